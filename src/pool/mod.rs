//! One pool as a state machine: `step(input, now) -> effects`.
//!
//! May use `alloc` and `api`; knows no async, no socket, no client, no clock and no metrics. Time and randomness are handed
//! in, so that a run can be repeated from its seed.
//!
//! ```text
//!   Known: is it the newest version of its object?        known.rs     asked by the router before every input
//!     -> Input (objects seen and gone, answers, time)     machine.rs   one step: take in, assess, serve by age
//!     -> what is known changes                            seen.rs ippool.rs answer.rs
//!     -> the cases concerned are assessed, purely         assess.rs -> want.rs bind.rs release.rs explain.rs  (gate.rs)
//!     -> those whose turn it is do their one step         queue.rs -> perform.rs attempt.rs
//!   -> Effect (requests, one wake-up, decisions to log)
//! ```
//!
//! A *case* (case.rs) is a claim together with the address objects that name it. How far it is is never stored: it is read off
//! the objects each time, so that a restart goes on at the right place. Beside the cases stand
//! - the addresses and who holds them (space.rs, built from terms.rs), also where the object is missing (shown.rs);
//! - the IPPool object with its metadata (ippool.rs) and its status (pool_status.rs, and status_writer.rs for when);
//! - counts and problems (counts.rs, problem.rs), from which questions are answered (facts.rs, inspect.rs).
//!
//! Nothing is assumed done before its answer or the object itself is seen.

mod answer;
mod answer_address;
mod answer_claim;
mod asked;
mod assess;
mod attempt;
mod bind;
mod case;
mod config;
mod counts;
mod dropped;
mod explain;
mod facts;
mod gate;
mod input;
mod inspect;
mod ippool;
mod known;
mod machine;
mod next;
mod perform;
mod pool_status;
mod problem;
mod queue;
mod reason;
mod record;
mod release;
mod request;
mod seen;
mod shown;
mod snapshot;
mod space;
mod status_writer;
mod terms;
#[cfg(test)]
mod tests;
mod time;
mod want;

pub use config::{Config, LeakRepair};
pub use facts::{Fact, InUse, Question};
pub use input::{
    Input, KindChanges, KindState, Kinds, Object, Outcome, Refusal, Reread, Scope, Take,
};
pub use inspect::{EntryUse, Held, Named, Standing, WaitingClaim};
pub use known::{By, Incarnation, Known, Name, Outdated};
pub use machine::Pool;
pub use pool_status::IndexesRoom;
pub use problem::ProblemKind;
pub use reason::Reason;
pub use request::{ClaimStatus, Decision, Effect, NewAddress, Request, RequestId};
pub use snapshot::Snapshot;
pub use space::{is_nearly_full, utilization};
pub use time::{Moment, delay};
