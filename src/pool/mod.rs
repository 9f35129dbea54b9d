//! One pool as a state machine: `step(input, now) -> effects`.
//!
//! May use `alloc` and `api`; knows no async, no socket, no client, no clock and no metrics. Time and randomness are handed
//! in, so that a run can be repeated from its seed.
//!
//! ```text
//!   Input (objects seen and gone, answers, time)  ->  Pool::step  ->  Effect (requests, one wake-up, decisions to tell)
//! ```

mod answer;
mod assess;
mod attempt;
mod bind;
mod case;
mod config;
mod explain;
mod gate;
mod graves;
mod head;
mod input;
mod machine;
mod perform;
mod queue;
mod record;
mod release;
mod report;
mod request;
mod seen;
mod snapshot;
mod space;
mod tally;
mod terms;
#[cfg(test)]
mod tests;
mod time;
mod want;

pub use config::{Config, LeakRepair};
pub use input::{Input, KindState, Kinds, Newest, Outcome, Refusal, Scope, Stored};
pub use machine::Pool;
pub use request::{ClaimStatus, Decision, Effect, NewAddress, Request, RequestId};
pub use snapshot::Snapshot;
