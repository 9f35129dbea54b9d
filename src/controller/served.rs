//! In which version the API server serves each kind now.

use std::sync::Mutex;

use crate::api::{Kind, Origin, names};

/// In which version each kind is served now. Written by the kind's watch, read by every request.
#[derive(Debug)]
pub(super) struct Served(Mutex<[Option<&'static str>; 6]>);

impl Served {
    /// Our own kinds have one version; Cluster API's are unknown until discovery has answered.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Kind::ALL.map(|kind| match kind.origin() {
            Origin::Ours => Some(names::METAL3_VERSION),
            Origin::ClusterApi => None,
        })))
    }

    /// The version to use for this kind; `None`: the server does not have it.
    pub(super) fn version(&self, kind: Kind) -> Option<&'static str> {
        self.0.lock().expect(super::LOCK)[kind.place()]
    }

    pub(super) fn set(&self, kind: Kind, version: Option<&'static str>) {
        self.0.lock().expect(super::LOCK)[kind.place()] = version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::RESOURCES;

    #[test]
    fn metrics_name_every_kind() {
        let mut ours = Kind::ALL.map(Kind::resource);
        let mut theirs = RESOURCES;
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
    }
}
