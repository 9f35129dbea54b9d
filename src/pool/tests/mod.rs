//! The state machine against a fake API server: rule by rule, and as a model under random faults.

mod clusters;
mod door;
mod edges;
mod found;
mod missing;
mod model;
mod policies;
mod release;
mod requests;
mod rules;
mod server;
mod shows;
mod steps;
mod world;
