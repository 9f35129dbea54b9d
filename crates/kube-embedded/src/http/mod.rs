//! The API over HTTP: one service, reached in process and over TLS alike.
//!
//! May use `registry`, `kinds` and `error` beside it; hyper for the wire. It decides what a request says and how the answer
//! looks; what objects mean is the registry's.
//!
//! ```text
//!   connections.rs  TCP, TLS, HTTP/1 and 2, permits ----+
//!   kube::Client in process ----------------------------+--> service.rs   token, in-flight bound, panics
//!                                                             route.rs    path -> Route
//!            discovery.rs  openapi.rs  review.rs  <-----------+
//!            objects.rs  verbs  <-----------------------------+
//!              in:  query.rs  options.rs  negotiate.rs  decode.rs  protobuf.rs   out:  accept.rs  show.rs  table.rs  watch.rs  reply.rs
//! ```

mod accept;
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
mod reply;
mod review;
mod route;
mod service;
mod show;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use connections::{UNREAD, serve};
pub(super) use service::Api;
