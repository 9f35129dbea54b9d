//! One write, as the rules see it.

use serde_json::Value;

use crate::api::PoolKey;

/// One write. Objects are whole, as the server is about to store them; writes of status or metadata alone come by too.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a> {
    /// API group of the object.
    pub group: &'a str,
    /// Kind of the object.
    pub kind: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// The object as it is stored; none on a create.
    pub old: Option<&'a Value>,
    /// The object as it would be stored.
    pub new: &'a Value,
}

impl<'a> Review<'a> {
    /// The spec as it would be; `null` when there is none.
    pub(super) fn new_spec(&self) -> &'a Value {
        self.new.get("spec").unwrap_or(&Value::Null)
    }

    /// The spec as it was; none on a create.
    pub(super) fn old_spec(&self) -> Option<&'a Value> {
        Some(self.old?.get("spec").unwrap_or(&Value::Null))
    }

    /// Whether this is an update that leaves the spec as it is.
    pub(super) fn spec_stands(&self) -> bool {
        self.old_spec().is_some_and(|old| old == self.new_spec())
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.new
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|t| !t.is_null())
    }

    /// Key of a pool of this name in the object's namespace.
    pub(super) fn pool_key(&self, name: &str) -> PoolKey {
        PoolKey {
            namespace: self.namespace.into(),
            name: name.into(),
        }
    }
}
