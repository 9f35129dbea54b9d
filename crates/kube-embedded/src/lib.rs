#![doc = include_str!("../README.md")]
//!
//! # The house
//!
//! ```text
//!   serves.rs   the resources and rules of a server; admission.rs: the trait for rules
//!   server.rs   Server: open a folder, client(), listen()
//!     tls.rs      certificate authority, token           http/   requests and answers; TLS and in process alike
//!                                                          |
//!     kinds.rs    the resources    <---------------------- registry/   the semantics of objects
//!     builtin/    built-in kinds, each described once <----|
//!     schema/     schemas of custom resources <------------|
//!     managed_fields, a crate: who owns which field <------|
//!     error.rs, field.rs  Status, and errors of fields                                     store/  durable, revisions, history
//! ```

mod admission;
mod builtin;
pub mod error;
pub mod field;
mod http;
pub mod kinds;
mod metrics;
mod private;
mod product;
mod reach;
pub mod registry;
pub mod schema;
mod server;
mod serves;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;

pub use admission::{Admission, Object, Objects, Request, Verdict};
pub use kinds::{DefinitionError, Resources};
pub use product::Product;
pub use registry::{Clock, Limits};
pub use server::{InMemory, InMemoryOptions, Listening, Options, Server, ServerError};
pub use serves::Serves;
