//! Objects as whoever writes them sends them: new ones, those that are there with changes, and names of what is meant.

use rand::RngExt as _;
use serde_json::{Value, json};

use super::bodies::{self, chance, pick};
use super::generate::Generator;
use super::kinds::Kind;
use super::model::kind;

impl Generator {
    /// A new object of a kind with metadata, less its name.
    pub(super) fn new_object(&mut self, kind: &Kind) -> Value {
        let rng = &mut self.rng;
        let mut object = bodies::object(rng, kind);
        object["metadata"] = json!({});
        if chance(rng, 45) {
            object["metadata"]["labels"] = bodies::labels(rng, 6);
        }
        if chance(rng, 25) {
            object["metadata"]["annotations"] = bodies::annotations(rng, 6);
        }
        if chance(rng, 20) {
            object["metadata"]["finalizers"] = bodies::finalizers(rng, 8);
        }
        if self.has_family && chance(&mut self.rng, 45) {
            object["metadata"]["ownerReferences"] = self.owners();
        }
        object
    }

    /// Owner references: to what is there, and now and then wrong ones.
    pub(super) fn owners(&mut self) -> Value {
        let mut list = Vec::new();
        for _ in 0..self.rng.random_range(1..3) {
            let (at, name, object) = self.target();
            let kind = kind(at);
            let rng = &mut self.rng;
            let uid = object.map_or(json!("12345678-0000-0000-0000-000000000000"), |o| {
                o["metadata"]["uid"].clone()
            });
            let mut owner = json!({
                "apiVersion": kind.api_version(), "kind": kind.kind, "name": name, "uid": uid,
            });
            if chance(rng, 40) {
                owner["blockOwnerDeletion"] = chance(rng, 80).into();
            }
            if chance(rng, 30) {
                owner["controller"] = chance(rng, 80).into();
            }
            if chance(rng, 10) {
                match rng.random_range(0..6) {
                    0 => owner["uid"] = "".into(),
                    1 => owner["kind"] = "Nothing".into(),
                    2 => owner["name"] = "".into(),
                    3 => owner["apiVersion"] = (pick(rng, &["", "a/b/c"])).into(),
                    4 => owner["uid"] = "12345678-1111-0000-0000-000000000000".into(),
                    _ => owner["unknown"] = 1.into(),
                }
            }
            list.push(owner);
        }
        list.into()
    }

    /// The object as it is there, changed, or a new one.
    pub(super) fn changed(&mut self, at: usize, name: &str, object: Option<Value>) -> Value {
        let kind = kind(at);
        let mut new = object.unwrap_or_else(|| self.new_object(kind));
        let fresh = self.new_object(kind);
        let rng = &mut self.rng;
        new["metadata"]["name"] = name.into();
        for field in ["creationTimestamp", "deletionTimestamp"] {
            if let Some(metadata) = new["metadata"].as_object_mut() {
                metadata.remove(field);
            }
        }
        if kind.is_minimal() || chance(rng, 70) {
            new["metadata"]
                .as_object_mut()
                .map(|metadata| metadata.remove("managedFields"));
        }
        for entry in new["metadata"]["managedFields"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            entry["time"] = "2021-01-01T00:00:00Z".into();
        }
        for field in [
            "spec",
            "data",
            "binaryData",
            "stringData",
            "type",
            "message",
            "count",
            "reason",
        ] {
            if !fresh[field].is_null() && chance(rng, 40) {
                new[field] = fresh[field].clone();
            }
        }
        for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
            if !fresh["metadata"][field].is_null() && chance(rng, 50) {
                new["metadata"][field] = fresh["metadata"][field].clone();
            } else if chance(rng, 12)
                && let Some(metadata) = new["metadata"].as_object_mut()
            {
                metadata.remove(field);
            }
        }
        if kind.status && chance(rng, 20) {
            new["status"] = bodies::status(rng, kind);
        }
        new
    }

    /// Another resourceVersion or UID than the newest.
    pub(super) fn misname(&mut self, at: usize, metadata: &mut Value) {
        let older: Vec<Value> = self
            .model
            .past
            .iter()
            .filter(|(kind, object)| *kind == at && object["metadata"]["name"] == metadata["name"])
            .map(|(_, object)| object["metadata"].clone())
            .collect();
        let rng = &mut self.rng;
        let older = (!older.is_empty()).then(|| pick(rng, &older).clone());
        match rng.random_range(0..100) {
            0..8 => metadata["resourceVersion"] = Value::Null,
            8..16 => {
                if let Some(older) = older {
                    metadata["resourceVersion"] = older["resourceVersion"].clone();
                    if chance(rng, 50) {
                        metadata["uid"] = older["uid"].clone();
                    }
                }
            }
            16..18 => metadata["resourceVersion"] = "1".into(),
            18..20 => metadata["resourceVersion"] = (pick(rng, &["", "0"])).into(),
            20..22 => {
                metadata["resourceVersion"] =
                    (pick(rng, &["abc", "-1", "99999999999", "1.5"])).into();
            }
            22..26 => metadata["uid"] = Value::Null,
            26..29 => {
                metadata["uid"] = older
                    .map_or("12345678-2222-0000-0000-000000000000".into(), |o| {
                        o["uid"].clone()
                    });
            }
            _ => {}
        }
    }
}
