//! The API over HTTP: one service, for clients in process and over TLS.
//!
//! It may use `registry`, `kinds`, `builtin`, `error` and hyper. It parses requests and renders answers; the semantics of objects
//! are the registry's.
//!
//! ```text
//!   connections.rs  TCP, TLS, HTTP/1 and 2, permits ----+
//!   kube::Client in process ----------------------------+--> service.rs   token, in-flight bound, panics
//!                                                             route.rs    path -> Route
//!            discovery.rs  openapi.rs  access_review.rs  <----+
//!            objects.rs  verbs  <-----------------------------+
//!              in:  query.rs  options.rs  negotiate.rs  decode.rs  protobuf.rs   out:  accept.rs  render.rs  table.rs  watch.rs  reply.rs
//! ```
//! bounds.rs: what all requests from the network together may take of memory

mod accept;
mod access_review;
mod bounds;
mod connections;
mod decode;
mod discovery;
mod jsonpath;
mod negotiate;
mod objects;
mod openapi;
mod options;
mod protobuf;
mod query;
mod render;
mod reply;
mod route;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use connections::{UNREAD, serve};
pub(super) use service::Api;
