//! What is seen of the program from outside: logs and health now, metrics and diagnostics on the same snapshots.
//!
//! May use `api` and `pool` (its snapshots), tracing and hyper; does not know how pools work, nor the controller: who serves
//! health hands in what "ready" means.
//!
//! ```text
//!   tracing lines  -> logs.rs   -> stderr, text or JSON
//!   ready: closure -> health.rs -> /healthz, /readyz
//! ```

pub mod health;
pub mod logs;
