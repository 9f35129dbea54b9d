//! Bytes of lists and watches to objects, leniently: one object that cannot be read is told as such and delays no other (A12).

use serde::Deserialize;
use serde_json::Value;

use crate::api::{Meta, Uid, WireObject};

use super::known::Name;

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) revision: String,
    /// Where the next page begins; empty at the end.
    pub(super) next: String,
    pub(super) objects: Vec<Result<WireObject, Unreadable>>,
}

/// An object that cannot be read, and what is clear of it nevertheless.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) name: Option<Name>,
    pub(super) revision: Option<String>,
    pub(super) error: String,
}

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Event {
    /// ADDED or MODIFIED.
    Changed {
        name: &'static str,
        object: WireObject,
    },
    /// DELETED.
    Ended(WireObject),
    /// BOOKMARK, with the revision up to which everything was told.
    Bookmark(String),
    /// ERROR: the watch is over.
    Error { code: u16, message: String },
    /// Something else. `ended`: it is the end of this incarnation.
    Odd { odd: Unreadable, ended: Option<Uid> },
}

#[derive(Deserialize)]
struct WirePage<T> {
    metadata: ListMeta,
    // Servers written in Go say `null` for none.
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct WireEvent {
    #[serde(rename = "type")]
    what: String,
    object: EventObject,
}

/// An object, or the Status of an ERROR event: their fields do not clash.
#[derive(Deserialize)]
struct EventObject {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

/// Reads a page; object by object when one of them cannot be read.
///
/// # Errors
/// A line when it is no page at all.
pub(super) fn page(body: &[u8]) -> Result<Page, String> {
    let (meta, objects) = if let Ok(page) = serde_json::from_slice::<WirePage<WireObject>>(body) {
        let objects = page.items.unwrap_or_default().into_iter().map(Ok);
        (page.metadata, objects.collect())
    } else {
        let page: WirePage<Value> =
            serde_json::from_slice(body).map_err(|e| format!("the list cannot be read: {e}"))?;
        let objects = page.items.unwrap_or_default().into_iter().map(|value| {
            WireObject::deserialize(&value).map_err(|e| Unreadable::of(&value, e.to_string()))
        });
        (page.metadata, objects.collect())
    };
    Ok(Page {
        revision: meta.resource_version,
        next: meta.next,
        objects,
    })
}

/// Reads a line of a watch.
///
/// # Errors
/// A line when it is no event at all: the stream was cut or is none.
pub(super) fn event(line: &[u8]) -> Result<Event, String> {
    let WireEvent { what, object } = match serde_json::from_slice(line) {
        Ok(event) => event,
        Err(e) => return odd(line, e.to_string()),
    };
    let EventObject {
        metadata,
        spec,
        status,
        code,
        message,
    } = object;
    let revision = metadata.resource_version.to_string();
    let object = WireObject {
        metadata,
        spec,
        status,
    };
    Ok(match what.as_str() {
        "ADDED" => Event::Changed {
            name: "added",
            object,
        },
        "MODIFIED" => Event::Changed {
            name: "modified",
            object,
        },
        "DELETED" => Event::Ended(object),
        "BOOKMARK" => Event::Bookmark(revision),
        "ERROR" => Event::Error { code, message },
        other => return odd(line, format!("an event of the type {other:?}")),
    })
}

fn odd(line: &[u8], error: String) -> Result<Event, String> {
    let value: Value =
        serde_json::from_slice(line).map_err(|e| format!("an event cannot be read: {e}"))?;
    let text = |path: &str| value.pointer(path).and_then(Value::as_str);
    let ended = text("/object/metadata/uid").filter(|_| text("/type") == Some("DELETED"));
    Ok(Event::Odd {
        ended: ended.map(Uid::from),
        odd: Unreadable::of(value.get("object").unwrap_or(&Value::Null), error),
    })
}

impl Event {
    /// As it is counted.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Changed { name, .. } => name,
            Self::Ended(_) => "deleted",
            Self::Bookmark(_) => "bookmark",
            Self::Error { .. } => "error",
            Self::Odd { .. } => "unreadable",
        }
    }
}

impl Unreadable {
    fn of(object: &Value, error: String) -> Self {
        let text = |path| object.pointer(path).and_then(Value::as_str);
        let name = text("/metadata/name").map(|name| Name {
            namespace: text("/metadata/namespace").unwrap_or_default().into(),
            name: name.into(),
        });
        Self {
            name,
            revision: text("/metadata/resourceVersion").map(str::to_owned),
            error: super::bounded(error),
        }
    }

    /// Its name for people.
    pub(super) fn described(&self) -> String {
        match &self.name {
            Some(name) => format!("{}/{}", name.namespace, name.name),
            None => "without a name".to_owned(),
        }
    }
}
