//! The embedded Kubernetes-style API server.

pub mod error;
pub mod kinds;
#[allow(
    dead_code,
    reason = "the garbage collector, which comes next, uses the rest"
)]
pub mod registry;
pub mod schema;
#[allow(
    dead_code,
    reason = "the garbage collector, which comes next, uses the rest"
)]
mod store;
