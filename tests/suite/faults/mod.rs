//! Faults in process: a layer between the controller and the embedded server that fails as a server, a network and a process can,
//! scripts of what users do meanwhile, and oracles at the end of every run. A run is named by its script, its seed and its plan,
//! takes virtual time, and is repeatable. How to repeat one: `docs/testing.md`.
//!
//! ```text
//!   script.rs, scripts/   what users do               plan.rs     what goes wrong, and when
//!      |                                                |
//!   run.rs     one run: server, supervisor, oracles  <--- layer.rs  process.rs   every request and event passes here
//!      |                                              api_request.rs  watching.rs  lease_check.rs (O8)  trace.rs
//!   writes.rs  F1 to F5, F7, F8 at every write     failover.rs  F6, the lease, O8
//!   watches.rs W1 to W13 at every event            random.rs    several at once, drawn from a seed
//!   regressions.rs    runs that found a bug once           tests/guards  what fails without each guard
//! ```

mod answers;
mod api_request;
mod campaign;
mod failover;
mod layer;
mod lease_check;
mod plan;
mod process;
mod random;
mod regressions;
mod run;
mod script;
mod scripts;
mod trace;
mod watches;
mod watching;
mod writes;
