//! Who has written in objects where only a controller writes, by `metadata.managedFields`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{object_name, word};
use crate::api::Kind;
use crate::controller::FIELD_MANAGER;

/// Who writes there and is expected: upstream's manager, the garbage collector and `clusterctl move` beside our own.
const EXPECTED: [&str; 4] = [
    FIELD_MANAGER,
    "manager",
    "kube-controller-manager",
    "clusterctl",
];

/// Someone else has written the spec of an IPAddress, or the status of an IPPool or a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Foreign {
    pub(in crate::cli) kind: Kind,
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) name: String,
    /// As the server names the writer.
    pub(in crate::cli) manager: String,
    /// Of its last change.
    pub(in crate::cli) at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    namespace: String,
    name: String,
    #[serde(default)]
    managed_fields: Option<Vec<Entry>>,
}

/// The fields that one writer has by one way of writing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default)]
    fields_v1: Option<Fields>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<IgnoredAny>,
    #[serde(rename = "f:status")]
    status: Option<IgnoredAny>,
}

/// Those of a page of a kind.
///
/// # Errors
/// Of each object whose metadata cannot be read: the object, and why.
pub(super) fn of_page(kind: Kind, body: &[u8]) -> Vec<Result<Vec<Foreign>, (String, String)>> {
    let page: Option<Page<'_>> = serde_json::from_slice(body).ok();
    let items = page.and_then(|page| page.items).unwrap_or_default();
    let of_item = |item: &RawValue| match serde_json::from_str::<Item>(item.get()) {
        Ok(item) => Ok(of_object(kind, item.metadata)),
        Err(error) => {
            let object = serde_json::from_str(item.get()).unwrap_or_default();
            let name = object_name(word(kind), &object);
            Err((name, format!("metadata.managedFields: {error}")))
        }
    };
    items.into_iter().map(of_item).collect()
}

/// One for each writer, with its last change.
fn of_object(kind: Kind, metadata: Metadata) -> Vec<Foreign> {
    let mut writers: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
    for entry in metadata.managed_fields.unwrap_or_default() {
        let fields = entry.fields_v1.unwrap_or_default();
        let is_ours = match kind {
            Kind::Addresses(_) => fields.spec.is_some(),
            Kind::Pools | Kind::Claims(_) => fields.status.is_some(),
            Kind::Clusters => false,
        };
        if is_ours && !EXPECTED.contains(&&*entry.manager) {
            let at = writers.entry(entry.manager).or_default();
            *at = (*at).max(entry.time);
        }
    }
    let (namespace, name) = (metadata.namespace, metadata.name);
    let foreign = |(manager, at)| Foreign {
        kind,
        namespace: namespace.clone(),
        name: name.clone(),
        manager,
        at,
    };
    writers.into_iter().map(foreign).collect()
}
