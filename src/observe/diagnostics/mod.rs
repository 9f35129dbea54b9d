//! The diagnostics endpoint (`--diagnostics-address`): `/metrics`, and with protection `/debug/flags/v`, as upstream's
//! manager serves them, and `/debug/pprof/profile`, as Go's programs serve it.
//!
//! ```text
//!   connection -> TLS (tls.rs: a certificate of our own)     or plain, with --insecure-diagnostics
//!     -> who asks? TokenReview                access.rs, rate.rs -  nobody is asked
//!     -> may they? SubjectAccessReview
//!       -> GET /metrics, PUT /debug/flags/v   server.rs      GET /metrics only
//!          GET /debug/pprof/profile           profile.rs
//! ```
//!
//! It fails closed: a caller that cannot be reviewed gets no answer but the error.

mod access;
mod profile;
mod rate;
mod server;
#[cfg(test)]
mod tests;
mod tls;

pub use access::Access;
pub use listen::{Oldest, TlsOptions};
pub use server::{Diagnostics, Guard, Served};
pub use tls::{TlsError, self_signed};
