//! What a server does by itself, all through the same writes as clients: it holds the registry weakly, and ends with it.

pub(crate) mod bootstrap;
pub(crate) mod expiry;
pub(crate) mod garbage_collector;
pub(crate) mod namespace_controller;
