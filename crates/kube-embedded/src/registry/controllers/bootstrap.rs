//! Creates what every cluster has from the start: its namespaces, and the CustomResourceDefinitions that are served.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::kinds::{Resource, Strategy};
use crate::registry::request::{FieldValidation, Target, WriteOptions};
use crate::registry::rules::metadata;
use crate::registry::write::body::{self, Came};
use crate::registry::write::commit::{Left, Old};
use crate::registry::write::update;
use crate::registry::{Registry, commit_failed};

/// Namespaces that exist from the start.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl Registry {
    /// Creates these objects where they are missing.
    pub(crate) async fn bootstrap(&self) -> Result<(), ApiError> {
        let namespaces = self.inner.kinds.of_strategy(Strategy::Namespace);
        let options = WriteOptions {
            field_manager: Some("kube-apiserver".to_owned()),
            ..WriteOptions::default()
        };
        for name in NAMESPACES {
            if self
                .inner
                .store
                .snapshot()?
                .get(&namespaces.key("", name))?
                .is_none()
            {
                let body =
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                self.create(&Target::all(namespaces, None), body, &options)
                    .await?;
            }
        }
        self.create_definitions().await
    }

    /// Stores the CustomResourceDefinitions, which clients can only read. Those of an older version of the program are replaced.
    async fn create_definitions(&self) -> Result<(), ApiError> {
        let resource = self.inner.kinds.of_strategy(Strategy::Definition);
        for crd in self.inner.kinds.definitions() {
            let mut want = serde_json::to_value(crd).map_err(ApiError::internal)?;
            let names = want["spec"]["names"].clone();
            let version = want["spec"]["versions"][0]["name"].clone();
            let now = self.now();
            let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
            want["status"] = json!({
                "acceptedNames": names,
                "storedVersions": [version],
                "conditions": [
                    condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                    condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
                ],
            });
            self.put_definition(resource, want).await?;
        }
        Ok(())
    }

    /// Creates or replaces one of these objects.
    async fn put_definition(&self, resource: &Arc<Resource>, want: Value) -> Result<(), ApiError> {
        let options = WriteOptions {
            field_validation: FieldValidation::Ignore,
            ..WriteOptions::default()
        };
        let wanted = body::decode(resource, want, Came::Whole, &options, &mut Vec::new())?;
        let name = metadata::text(&wanted, "name").to_owned();
        let key = resource.key("", &name);
        let stored = self.inner.store.snapshot()?.get(&key)?;
        let committed = match stored {
            None => {
                let uid = self.new_uid();
                let new = update::created(resource, wanted, &uid, &self.now());
                self.store(resource, &key, None, &new, Left::Kept).await
            }
            Some(stored) => {
                let old = Old::read(stored)?;
                // Conditions keep their lastTransitionTime.
                let mut wanted = wanted;
                if let Some(status) = old.object.get("status") {
                    wanted.insert("status".to_owned(), status.clone());
                }
                let new = update::successor(resource, &old.object, wanted, None, None);
                if !update::differs(&old.object, &new) {
                    return Ok(());
                }
                self.store_next(resource, &key, &old, &new).await
            }
        };
        committed.map(drop).map_err(|error| commit_failed(&error))
    }
}
