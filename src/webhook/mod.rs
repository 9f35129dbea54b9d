//! The admission webhook server (`--webhook-port`): it asks the rules of `admission` about each write of a real API server, as
//! the embedded server does about its own, and puts the finalizer into new claims.
//!
//! May use `api`, `admission`, `listen`, `observe` (it is counted), kube's types of AdmissionReview, hyper and rustls; knows neither the controller nor the
//! embedded server. What lives in the cluster it learns through [`Facts`], which the controller implements.
//!
//! ```text
//!   connection -> TLS, with the certificate of this moment      certificates.rs  (own/: those that it makes itself)
//!     -> POST path: which hook?                                 server.rs  hooks.rs
//!       -> body: 8 MiB, 10 s                                    body.rs
//!         -> AdmissionReview v1: is it about the hook's kind?   review.rs  json.rs
//!           -> validate: admission::review, again and again, until no fact is missing    facts.rs -- Facts
//!           -> mutate: finalizer into a claim that this manager serves
//!         <- allowed, or 422 with the causes; warnings          answers.rs
//! ```
//!
//! It serves on a standby too: an API server asks any replica. Deletes and subresources are always allowed.

mod answers;
mod body;
mod certificates;
mod facts;
mod hooks;
mod json;
mod own;
mod review;
mod server;
#[cfg(test)]
mod tests;

pub use certificates::{Certificates, Pair, Source};
pub use facts::{Answer, Facts, Question};
pub use hooks::{Act, HOOKS, Hook};
pub use own::{Keeper, Own, Times, self_signed};
pub use review::Scope;
pub use server::Webhook;

pub use listen::TlsOptions;
