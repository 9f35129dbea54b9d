//! Faults in process: a layer between the controller and the embedded server that fails in every way that a server, a network
//! and a process can, scripts of what users do meanwhile, and oracles at the end of every run. A run is named by its script,
//! its seed and its plan, happens in virtual time, and happens twice alike. How to repeat one: `docs/testing.md`.
//!
//! ```text
//!   script.rs, scripts/   what users do               plan.rs     what goes wrong, and when
//!      |                                                |
//!   run.rs     one run: server, keeper, oracles  <--- layer.rs  life.rs   every request and event passes here
//!      |                                              asked.rs  watching.rs  tenure.rs (O8)  trace.rs
//!   writes.rs  F1 to F5, F7, F8 at every write     failover.rs  F6, the lease, O8
//!   watches.rs W1 to W13 at every event            random.rs    several at once, drawn from a seed
//!   kept.rs    runs that found a bug once           tests/guards  what fails without each guard
//! ```

mod answers;
mod asked;
mod campaign;
mod failover;
mod kept;
mod layer;
mod life;
mod plan;
mod random;
mod run;
mod script;
mod scripts;
mod tenure;
mod trace;
mod watches;
mod watching;
mod writes;
