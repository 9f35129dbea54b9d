//! One pool as a state machine: `step(input, now) -> effects`.
//!
//! May use `alloc` and `api`; knows no async, no socket, no client, no clock and no metrics. Time and randomness are handed
//! in, so that a run can be repeated from its seed.
//!
//! ```text
//!   Input (objects seen and gone, answers, time)  ->  Pool::step  ->  Effect (requests, one wake-up, decisions to tell)
//! ```

mod config;
mod input;
mod request;
mod snapshot;

pub use config::{Config, LeakRepair};
pub use input::{Input, KindState, Kinds, Newest, Outcome, Refusal, Scope, Stored};
pub use request::{ClaimStatus, Decision, Effect, NewAddress, Request, RequestId};
pub use snapshot::Snapshot;
