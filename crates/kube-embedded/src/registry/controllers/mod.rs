//! The controllers that run in the server. They write as clients do, hold the registry weakly, and end with it.

pub(crate) mod bootstrap;
pub(crate) mod expiry;
pub(crate) mod garbage_collector;
pub(crate) mod namespace_controller;
