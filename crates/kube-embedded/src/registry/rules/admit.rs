//! Asks the embedding program's rules ([`crate::Admission`]) about a write that Kubernetes itself would accept.

use std::collections::BTreeSet;

use crate::admission::{Admission, Objects, Request};
use crate::field::FieldError;
use crate::kinds::{Resource, Strategy};
use crate::registry::Registry;
use crate::registry::rules::metadata::Object;
use crate::store::StoreError;

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

    /// The index texts that the object loses, and those that it gets.
    pub(crate) fn index_change(
        &self,
        resource: &Resource,
        old: Option<&Object>,
        new: Option<&Object>,
    ) -> (Vec<String>, Vec<String>) {
        if old.map(|old| old.get("spec")) == new.map(|new| new.get("spec")) {
            return (Vec::new(), Vec::new());
        }
        let texts = |object: Option<&Object>| -> BTreeSet<String> {
            let texts = object.map(|object| self.index_texts(resource, object));
            texts.into_iter().flatten().collect()
        };
        let (old, new) = (texts(old), texts(new));
        (
            old.difference(&new).cloned().collect(),
            new.difference(&old).cloned().collect(),
        )
    }

    fn index_texts(&self, resource: &Resource, object: &Object) -> Vec<String> {
        match self.inner.admission.as_deref() {
            Some(admission) if resource.strategy == Strategy::Custom => {
                admission.index(resource, object)
            }
            _ => Vec::new(),
        }
    }

    /// Makes the index texts of all objects anew if the stored ones are of another version of the rules.
    pub(crate) fn index_anew(&self) -> Result<(), StoreError> {
        let version = self.inner.admission.as_deref();
        let version = version.map_or(0, Admission::index_version);
        self.inner.store.index_anew(version, |key, stored| {
            let resource = self.inner.kinds.of_key(key);
            match (resource, serde_json::from_slice(stored)) {
                (Some(resource), Ok(object)) => self.index_texts(resource, &object),
                _ => Vec::new(),
            }
        })
    }
}
