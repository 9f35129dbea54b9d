//! Tests that go through the API, as one test program.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod allocation;
mod bench;
mod burst;
mod cases;
mod cli;
mod cluster;
mod controller;
mod differential;
mod disk;
mod dry;
mod ends;
mod explain;
mod faults;
mod fields;
mod forged;
mod guard;
mod image;
mod install;
mod kill;
mod kinds;
mod kubectl;
mod layers;
mod leaks;
mod lease;
mod lost;
mod manager;
mod metrics;
mod moves;
mod names;
mod oracles;
mod pause;
mod plane;
mod proxy;
mod real;
mod reasons;
mod release;
mod restart;
mod scope;
mod takeover;
mod tally;
mod upstream;
mod veil;
mod webhook;
mod words;
mod world;
