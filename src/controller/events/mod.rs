//! Events (U4): what a person sees with `kubectl events` and `kubectl describe`, beside conditions and log lines.
//!
//! ```text
//!   worker --Decision--> Recorder::tell -> occurrence.rs: of which object, with which reason
//!                                          book.rs: one series for each object and reason, counted
//!   Recorder::run -- the series whose turn it is --> writer's lowest lane -> create, later PATCH of its count
//! ```
//!
//! Nothing waits for an Event and nothing reads one. Bounded in every direction: [`book::MOST`] series, one write of a series in
//! [`book::BETWEEN`], [`recorder::RATE`] writes over all of them, one at a time. What finds no place is counted
//! (`metal3_ipam_events_dropped_total`).

mod book;
mod occurrence;
mod recorder;

pub(super) use recorder::{EventContext, Recorder};
