//! Tests that go through the API, as one test program.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod kubectl;
