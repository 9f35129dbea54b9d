//! The state machine against a fake API server: rule by rule, and as a model under random faults.

mod edges;
mod ends;
mod model;
mod rules;
mod world;
