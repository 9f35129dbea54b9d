//! The async shell around the pools: watches, router, workers, writer and lease.
//!
//! May use every room above it (`alloc`, `api`, `pool`, `admission`, `observe`, `webhook`); holds no rule of allocation. What happens to
//! an object is decided by the pool's state machine alone; here things are fetched, carried and sent.
//!
//! ```text
//!   watch (one task per kind)                     intake.rs    intake/list.rs  discovery.rs  watch.rs  lines.rs  pages.rs  reading.rs
//!     -> router: which pool? kinds listed?       router.rs    clusters.rs  resume.rs  kinds.rs  registry.rs  (pool::Known)
//!       -> mailbox of that pool, coalescing       mailbox.rs
//!         -> worker, one task per pool            worker.rs    (pool::Pool::step)
//!           -> writer: bounded, fair, leased      writer.rs    turns.rs  wire.rs  lease.rs  bucket.rs
//!             -> API server                       transport.rs
//!               -> outcome, through the router    outcome.rs   status.rs
//!                  back into the mailbox
//!   webhook server -> question, into the mailbox  facts.rs     (answered by the worker in its turn)
//! ```
//!
//! A ring in one direction. The router never waits for a pool and the writer never waits for a worker, so a slow pool
//! cannot stall another and the ring cannot deadlock. Every task's end is noticed (`failure.rs`).

mod absence;
mod backoff;
mod bucket;
mod client;
mod clock;
mod clusters;
mod direct;
mod discovery;
mod events;
mod facts;
mod failure;
mod intake;
mod journal;
mod kinds;
mod lease;
mod lines;
mod mailbox;
mod outcome;
mod pages;
mod reading;
mod registry;
mod resume;
mod router;
mod run;
mod served;
mod settings;
mod status;
mod term;
#[cfg(test)]
mod tests;
mod transport;
mod turns;
mod view;
mod watch;
mod wire;
mod worker;
mod writer;

pub use client::{client, counted};
pub use clock::Clock;
pub(crate) use direct::Direct;
pub(crate) use discovery::version_of;
pub use facts::LiveFacts;
pub use lease::LeaseError;
pub(crate) use pages::{Missing, Pages};
pub(crate) use reading::{Event, Unreadable, event};
pub use run::{Controller, ControllerError};
pub use settings::{Events, LeaseSettings, Rate, Settings};
pub(crate) use status::{refused_read, words};
pub(crate) use transport::{PAGE_BYTES, escape};
pub use view::{Changes, Counters, View};
pub(crate) use watch::{Watch, WatchEnd};
pub(crate) use wire::FIELD_MANAGER;
pub use wire::Verb;

/// Why taking a lock cannot fail.
const LOCK: &str = "a task panicked while it held this lock, and that ends the run";

/// Cuts a text that came from outside to a length that fits a log line and a condition.
fn bounded(mut text: String) -> String {
    const LONGEST: usize = 1024;
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|i| text.is_char_boundary(*i));
        text.truncate(end.unwrap_or(0));
        text.push_str("...");
    }
    text
}
