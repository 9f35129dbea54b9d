//! The embedded Kubernetes-style API server: for people without a cluster, and for tests. It is only evidence while it
//! behaves like the real one, so codes, reasons and messages are those of kube-apiserver.
//!
//! May use `api`, `admission`, redb and hyper; it must not know the controller, which reaches it as any client does.
//!
//! ```text
//!   server.rs   Server: open a folder, client(), listen()
//!     tls.rs      certificate authority, token           http/   requests and answers; TLS and in process alike
//!                                                          |
//!     kinds.rs    what is served   <---------------------- registry/   what objects mean
//!     schema/     what a custom resource may hold <--------|
//!     fields/     who owns which field, server-side apply <-|
//!     error.rs    Status                                 store/  durable, revisions, history
//! ```

pub mod error;
mod fields;
mod http;
pub mod kinds;
mod metrics;
mod reach;
pub mod registry;
pub mod schema;
mod server;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod typed;

pub use registry::{Clock, Limits};
pub use server::{InMemory, InMemoryOptions, Listening, Options, Server, ServerError};
