//! metal3-ipam: IP address management for bare-metal Kubernetes fleets.
//!
//! Each room is a folder whose `mod.rs` says what it is for. The map of the house, with what each room may use, stands in
//! `docs/design.md`; a test (`tests/house.rs`) compares it with the `use` lines. `docs/life-of-a-claim.md` follows one claim
//! through the rooms.
//!
//! What the program does, rule by rule, stands in `docs/spec.md`: ids like A1 and R3 in comments and tests refer to it.

pub mod admission;
pub mod alloc;
pub mod api;
pub mod cli;
pub mod controller;
pub mod observe;
pub mod pool;
pub mod standalone;
pub mod webhook;
