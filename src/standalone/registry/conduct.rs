//! What built-in kinds do differently, and the objects that every cluster begins with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::metadata::{self, Object};
use super::request::{Target, WriteOptions};
use super::{Registry, key};
use crate::standalone::error::{ApiError, FieldError, FieldErrorKind};
use crate::standalone::kinds::{Conduct, Resource};

/// Namespaces that exist from the start.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// What the server fills in beyond a schema.
pub(super) fn complete(resource: &Resource, object: &mut Object, is_new: bool) {
    match resource.conduct {
        Conduct::Namespace => {
            let name = metadata::text(object, "name").to_owned();
            if !name.is_empty() {
                let labels = metadata::of(object)
                    .entry("labels")
                    .or_insert_with(|| Value::Object(Map::new()));
                labels["kubernetes.io/metadata.name"] = name.into();
            }
            if is_new {
                object.insert("spec".to_owned(), json!({"finalizers": ["kubernetes"]}));
                object.insert("status".to_owned(), json!({"phase": "Active"}));
            }
        }
        Conduct::Plain if resource.kind == "Secret" => {
            object
                .entry("type")
                .or_insert_with(|| Value::from("Opaque"));
            if let Some(Value::Object(plain)) = object.remove("stringData") {
                let data = object
                    .entry("data")
                    .or_insert_with(|| Value::Object(Map::new()));
                // What is no map of texts stays as it is, for the check to find.
                if let Value::Object(data) = data {
                    for (key, value) in plain {
                        let value = value
                            .as_str()
                            .map_or(value.clone(), |text| STANDARD.encode(text).into());
                        data.insert(key, value);
                    }
                }
            }
        }
        Conduct::Custom
        | Conduct::Definition
        | Conduct::Event
        | Conduct::Lease
        | Conduct::Plain => {}
    }
}

/// What is wrong with an object of a kind that has no schema, beyond its metadata.
pub(super) fn check(resource: &Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let part = |name: &str| object.get(name).filter(|value| !value.is_null());
    let mut must_be_map_of_texts = |name: &str| {
        if let Some(value) = part(name)
            && !value
                .as_object()
                .is_some_and(|map| map.values().all(Value::is_string))
        {
            errors.push(FieldError::bare(
                name,
                FieldErrorKind::TypeInvalid,
                "must be a map of strings to strings",
            ));
        }
    };
    match resource.conduct {
        Conduct::Plain => {
            must_be_map_of_texts("data");
            must_be_map_of_texts("binaryData");
        }
        Conduct::Lease | Conduct::Namespace => {
            if part("spec").is_some_and(|spec| !spec.is_object()) {
                errors.push(FieldError::bare(
                    "spec",
                    FieldErrorKind::TypeInvalid,
                    "must be an object",
                ));
            }
        }
        Conduct::Event => {
            let about = part("involvedObject").or_else(|| part("regarding"));
            let about = about
                .and_then(|about| about["namespace"].as_str())
                .unwrap_or_default();
            let here = metadata::text(object, "namespace");
            // An Event about something without a namespace lies in `default`.
            if about != here && !(about.is_empty() && here == "default") {
                errors.push(FieldError::invalid(
                    "involvedObject.namespace",
                    &about.into(),
                    "does not match event.namespace",
                ));
            }
        }
        Conduct::Custom | Conduct::Definition => {}
    }
    errors
}

/// Whether PUT of something that does not exist makes it.
pub(super) fn is_made_by_update(resource: &Resource) -> bool {
    match resource.conduct {
        Conduct::Event | Conduct::Lease => true,
        Conduct::Custom | Conduct::Definition | Conduct::Namespace | Conduct::Plain => false,
    }
}

/// Whether PUT without a resourceVersion overwrites whatever is there.
pub(super) fn is_updated_unconditionally(resource: &Resource) -> bool {
    match resource.conduct {
        Conduct::Event | Conduct::Namespace | Conduct::Plain => true,
        Conduct::Custom | Conduct::Definition | Conduct::Lease => false,
    }
}

/// Whether the object is kept by something else than `metadata.finalizers`: a namespace by its contents.
pub(super) fn is_held(resource: &Resource, object: &Object) -> bool {
    resource.conduct == Conduct::Namespace
        && object
            .get("spec")
            .and_then(|spec| spec["finalizers"].as_array())
            .is_some_and(|finalizers| !finalizers.is_empty())
}

impl Registry {
    /// Puts in what every cluster begins with, where it is missing.
    pub(super) async fn furnish(&self) -> Result<(), ApiError> {
        let namespaces = self.inner.kinds.of_conduct(Conduct::Namespace);
        let options = WriteOptions {
            field_manager: Some("kube-apiserver".to_owned()),
            ..WriteOptions::default()
        };
        for name in NAMESPACES {
            if self
                .inner
                .store
                .snapshot()?
                .get(&key(namespaces, "", name))?
                .is_none()
            {
                let body =
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                self.create(&Target::all(namespaces, None), body, &options)
                    .await?;
            }
        }
        self.furnish_definitions().await
    }

    /// The CRDs of what is served, as objects to read. A newer program replaces an older one's.
    async fn furnish_definitions(&self) -> Result<(), ApiError> {
        let resource = self.inner.kinds.of_conduct(Conduct::Definition);
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
            self.put_served(resource, want).await?;
        }
        Ok(())
    }
}
