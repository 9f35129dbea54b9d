//! The garbage collector, the deletion of namespaces and the expiry of Events.

use tokio::sync::watch;

use super::Registry;
use super::metadata::Object;
use crate::standalone::kinds::Resource;

/// A bell that remembers having been rung.
pub(super) struct Doorbell(watch::Sender<u64>);

impl Default for Doorbell {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// Starts the tasks.
pub(super) fn start(_registry: &Registry) {}

impl Registry {
    #[allow(clippy::unused_self, reason = "rings the bell")]
    /// Something is being deleted or gone: a namespace may have work, or be done.
    pub(super) fn ring_for_namespace(&self, _resource: &Resource, _object: &Object) {}
}
