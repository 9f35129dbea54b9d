//! Tests that go through the API, as one test program.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod allocation;
mod burst;
mod cli;
mod controller;
mod explain;
mod kill;
mod kubectl;
mod manager;
mod oracles;
mod pause;
mod proxy;
mod real;
mod release;
mod restart;
mod tally;
mod world;
