//! What is seen of the program from outside: logs, health, metrics and diagnostics.
//!
//! May use `api` and `pool` (its snapshots), tracing and hyper; does not know how pools work, nor the controller: who serves
//! health hands in what "ready" means.
//!
//! ```text
//!   tracing lines   -> logs.rs      -> stderr, text or JSON
//!   ready: closure  -> health.rs    -> /healthz, /readyz
//!   counts, a Sight -> metrics/     -> a registry
//!   the registry    -> diagnostics/ -> /metrics, /debug/...           both over crate::listen
//! ```

pub mod diagnostics;
pub mod health;
pub mod logs;
pub mod metrics;
