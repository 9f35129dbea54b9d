//! The state machine against a fake API server: rule by rule, and as a model under random faults.

mod rules;
#[allow(dead_code, reason = "used as the tests grow")]
mod world;
