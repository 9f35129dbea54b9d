//! One pool as a state machine: `step(input, now) -> effects`.
//!
//! May use `alloc` and `api`; knows no async, no socket, no client, no clock and no metrics. Time and randomness are handed
//! in, so that a run can be repeated from its seed.
//!
//! ```text
//!   Known: is it the newest version of its object?        known.rs     asked by the router before every input
//!     -> Input (objects seen and gone, answers, time)     machine.rs   one step: take in, assess, serve by age
//!     -> what is known changes                            seen.rs head.rs answer.rs
//!     -> the cases concerned are assessed, purely         assess.rs -> want.rs bind.rs release.rs explain.rs  (gate.rs)
//!     -> those whose turn it is do their one step         queue.rs -> perform.rs attempt.rs
//!   -> Effect (requests, one wake-up, decisions to tell)
//! ```
//!
//! A *case* (case.rs) is a claim together with the address objects that name it; where it stands is never stored but read
//! off the objects each time. Beside the cases stand the addresses and who holds them (space.rs, from terms.rs; shown.rs where an object is missing), the pool
//! object with its metadata (head.rs) and status (report.rs), and counts (tally.rs). Questions are answered from these (facts.rs). Nothing is assumed done before its
//! answer or the object itself is seen.

mod answer;
mod assess;
mod attempt;
mod bind;
mod case;
mod config;
mod dropped;
mod explain;
mod facts;
mod gate;
mod head;
mod input;
mod known;
mod machine;
mod perform;
mod queue;
mod record;
mod release;
mod report;
mod request;
mod seen;
mod shown;
mod snapshot;
mod space;
mod tally;
mod terms;
#[cfg(test)]
mod tests;
mod time;
mod want;

pub use config::{Config, LeakRepair};
pub use facts::{Fact, InUse, Question};
pub use input::{Age, Input, KindState, Kinds, Object, Outcome, Refusal, Reread, Scope};
pub use known::{By, Incarnation, Known, Name, Outdated};
pub use machine::Pool;
pub use request::{ClaimStatus, Decision, Effect, NewAddress, Request, RequestId};
pub use snapshot::Snapshot;
pub use tally::PROBLEM_KINDS;
pub use time::Moment;
