//! The state machine against a fake API server: rule by rule, and as a model under random faults.

mod clusters;
mod definitions;
mod door;
mod edges;
mod found;
mod missing;
mod model;
mod policies;
mod refused;
mod release;
mod requests;
mod rules;
mod server;
mod shows;
mod statements;
mod steps;
mod taken_names;
mod world;
