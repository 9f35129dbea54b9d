//! Tests of the pieces, each against the smallest thing that can stand for its neighbours.

#![allow(
    clippy::needless_pass_by_value,
    reason = "fixtures take what a test has just made"
)]

mod end;
mod events;
mod fixture;
mod intake;
mod lease;
mod mailbox;
mod outcome;
mod resume;
mod router;
mod wire;
mod worker;
mod writer;
