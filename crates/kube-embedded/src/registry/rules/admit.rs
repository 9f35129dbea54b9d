//! Asks the embedding program's rules ([`crate::Admission`]) about a write that Kubernetes itself would accept.

use crate::admission::{Objects, Request};
use crate::field::FieldError;
use crate::kinds::{Resource, Strategy};
use crate::registry::Registry;
use crate::registry::rules::metadata::Object;

impl Registry {
    /// The violations by `new` in place of `old`.
    pub(crate) fn admit(
        &self,
        resource: &Resource,
        old: Option<&Object>,
        new: &Object,
        warnings: &mut Vec<String>,
    ) -> Vec<FieldError> {
        let Some(admission) = self.inner.admission.as_deref() else {
            return Vec::new();
        };
        if resource.strategy != Strategy::Custom {
            return Vec::new();
        }
        let objects = Objects::new(&self.inner.kinds, &self.inner.store);
        let request = Request { resource, old, new };
        let verdict = admission.review(&request, &objects);
        warnings.extend(verdict.warnings);
        verdict.errors
    }

    /// The index texts of the old and the new object, where the two differ.
    pub(crate) fn index_change(
        &self,
        resource: &Resource,
        old: Option<&Object>,
        new: Option<&Object>,
    ) -> (Option<String>, Option<String>) {
        let Some(admission) = self.inner.admission.as_deref() else {
            return (None, None);
        };
        if resource.strategy != Strategy::Custom {
            return (None, None);
        }
        let index = |object: Option<&Object>| admission.index(resource, object?);
        let (old, new) = (index(old), index(new));
        if old == new { (None, None) } else { (old, new) }
    }
}
