//! Tests that go through the API, as one test program.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod allocation;
mod bench;
mod burst;
mod capi_visibility;
mod cases;
mod cli;
mod cluster;
mod control_plane;
mod controller;
mod differential;
mod disk;
mod dry;
mod ends;
mod events;
mod example;
mod explain;
mod faults;
mod fields;
mod forged;
mod golden;
mod guard;
mod harness;
mod image;
mod install;
mod kill;
mod kinds;
mod kubectl;
mod lag;
mod layers;
mod leaks;
mod lease;
mod lost;
mod make_kube;
mod manager;
mod metrics;
mod moves;
mod names;
mod oracles;
mod pause;
mod proxy;
mod reader;
mod reasons;
mod release;
mod repair;
mod restart;
mod scope;
mod shells;
mod steps;
mod table;
mod takeover;
mod tally;
mod top;
mod upstream;
mod webhook;
