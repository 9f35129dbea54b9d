//! Bytes of lists and watches to objects. An object that cannot be read is reported as such and delays no other (A12).

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::admission;
use crate::api::{Address, Claim, Kind, Meta, PoolObject, Uid, WireObject};
use crate::pool::{Name, Object, Scope};

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) revision: String,
    /// Where the next page begins; empty at the end.
    pub(crate) next: String,
    pub(crate) objects: Vec<Result<WireObject, Unreadable>>,
}

/// An object that cannot be read, and what is clear of it nevertheless.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) name: Option<Name>,
    pub(crate) revision: Option<String>,
    uid: Option<Uid>,
    pub(crate) error: String,
}

/// One line of a watch.
#[derive(Debug)]
pub(crate) enum Event {
    /// ADDED or MODIFIED.
    Changed {
        name: &'static str,
        object: WireObject,
    },
    /// DELETED.
    Ended(WireObject),
    /// BOOKMARK, with the revision up to which every event was sent.
    Bookmark(String),
    /// ERROR: the watch is over.
    Error { code: u16, message: String },
    /// Something else. `ended`: it is the end of this incarnation.
    Odd { odd: Unreadable, ended: Option<Uid> },
}

/// The input for a pool that an object makes; `None` for a Cluster. `filter`: `--watch-filter`.
pub(super) fn pool_input(kind: Kind, object: WireObject, filter: Option<&str>) -> Option<Object> {
    let scope = Scope::of(&object.metadata, filter);
    Some(match kind {
        Kind::Pools => {
            let object = Box::new(PoolObject::read(object));
            let problems = match &object.spec {
                Ok(spec) => admission::pool_problems(spec)
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                Err(why) => vec![why.clone()],
            };
            Object::Pool {
                object,
                problems,
                scope,
            }
        }
        Kind::Claims(family) => Object::Claim {
            claim: Box::new(Claim::read(family, object)),
            scope,
        },
        Kind::Addresses(family) => Object::Address {
            address: Box::new(Address::read(family, object)),
            scope,
        },
        Kind::Clusters => return None,
    })
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct WirePage<T> {
    metadata: ListMeta,
    // Servers written in Go say `null` for none. An answer without the field is no list.
    #[serde(deserialize_with = "Option::deserialize")]
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
struct WireEvent<T> {
    #[serde(rename = "type")]
    what: String,
    object: T,
}

/// What an ERROR event carries.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// An object's pieces, unread.
#[derive(Deserialize)]
struct Pieces<'a> {
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

/// Reads a page; object by object when one of them cannot be read. Of a Cluster, metadata and `spec.paused` are read and nothing
/// else.
///
/// # Errors
/// A line when it is no page at all.
pub(super) fn page(kind: Kind, body: &[u8]) -> Result<Page, String> {
    let whole = match kind {
        Kind::Clusters => None,
        Kind::Pools | Kind::Claims(_) | Kind::Addresses(_) => {
            serde_json::from_slice::<WirePage<WireObject>>(body).ok()
        }
    };
    let (meta, objects) = if let Some(page) = whole {
        let objects = page.items.unwrap_or_default().into_iter().map(Ok);
        (page.metadata, objects.collect())
    } else {
        let page: WirePage<&RawValue> =
            serde_json::from_slice(body).map_err(|e| format!("the list cannot be read: {e}"))?;
        let items = page.items.unwrap_or_default().into_iter();
        (
            page.metadata,
            items.map(|raw| piecewise(kind, raw)).collect(),
        )
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
pub(crate) fn event(kind: Kind, line: &[u8]) -> Result<Event, String> {
    let whole = match kind {
        Kind::Clusters => None,
        Kind::Pools | Kind::Claims(_) | Kind::Addresses(_) => {
            serde_json::from_slice::<WireEvent<WireObject>>(line).ok()
        }
    };
    let (what, object) = match whole {
        // A Status has no metadata that says anything; it is read piece by piece below.
        Some(WireEvent { what, object }) if what != "ERROR" => (what, Ok(object)),
        Some(_) | None => {
            let WireEvent { what, object } =
                serde_json::from_slice::<WireEvent<&RawValue>>(line)
                    .map_err(|e| format!("an event cannot be read: {e}"))?;
            if what == "ERROR" {
                let Status { code, message } =
                    serde_json::from_str(object.get()).unwrap_or_default();
                return Ok(Event::Error { code, message });
            }
            let object = piecewise(kind, object);
            (what, object)
        }
    };
    let object = match object {
        Ok(object) => object,
        Err(odd) => {
            let ended = odd.uid.clone().filter(|_| what == "DELETED");
            return Ok(Event::Odd { odd, ended });
        }
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
        "BOOKMARK" => Event::Bookmark(object.metadata.resource_version.to_string()),
        other => Event::Odd {
            odd: Unreadable {
                name: Some(Name::of(&object.metadata)),
                revision: Some(object.metadata.resource_version.to_string()),
                uid: Some(object.metadata.uid),
                error: format!("an event of the type {other:?}"),
            },
            ended: None,
        },
    })
}

/// Reads the object that an answer carries.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn object(kind: Kind, body: &[u8]) -> Result<WireObject, serde_json::Error> {
    match kind {
        Kind::Clusters => {
            let raw: &RawValue = serde_json::from_slice(body)?;
            piecewise(kind, raw).map_err(|odd| serde::de::Error::custom(odd.error))
        }
        Kind::Pools | Kind::Claims(_) | Kind::Addresses(_) => serde_json::from_slice(body),
    }
}

/// Reads one object piece by piece. Pieces that are not asked for are skipped, however deep they are nested.
fn piecewise(kind: Kind, raw: &RawValue) -> Result<WireObject, Unreadable> {
    let pieces: Pieces =
        serde_json::from_str(raw.get()).map_err(|e| Unreadable::of(None, e.to_string()))?;
    let odd = |what: &str, e: serde_json::Error| {
        Unreadable::of(pieces.metadata, format!("its {what} cannot be read: {e}"))
    };
    let metadata = pieces.metadata.map_or("{}", RawValue::get);
    let metadata: Meta = serde_json::from_str(metadata).map_err(|e| odd("metadata", e))?;
    let value = |what: &str, piece: Option<&RawValue>| -> Result<Value, Unreadable> {
        let Some(piece) = piece else {
            return Ok(Value::Null);
        };
        serde_json::from_str(piece.get()).map_err(|e| odd(what, e))
    };
    let (spec, status) = match kind {
        Kind::Clusters => (paused(pieces.spec), Value::Null),
        Kind::Pools | Kind::Claims(_) | Kind::Addresses(_) => {
            (value("spec", pieces.spec)?, value("status", pieces.status)?)
        }
    };
    Ok(WireObject {
        metadata,
        spec,
        status,
    })
}

/// A Cluster's spec with nothing but `paused` in it. One that is there and no boolean counts as a pause: nothing is written
/// until it is put right.
fn paused(spec: Option<&RawValue>) -> Value {
    #[derive(Deserialize, Default)]
    struct Spec<'a> {
        #[serde(borrow, default)]
        paused: Option<&'a RawValue>,
    }
    let spec: Spec = spec
        .and_then(|spec| serde_json::from_str(spec.get()).ok())
        .unwrap_or_default();
    let paused = spec
        .paused
        .is_some_and(|raw| !["false", "null"].contains(&raw.get()));
    json!({ "paused": paused })
}

impl Event {
    /// The event's type as metrics count it.
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
    /// What is clear of an object by its metadata, of which some may be unreadable too.
    fn of(metadata: Option<&RawValue>, error: String) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase")]
        struct Names<'a> {
            #[serde(borrow, default)]
            name: Option<&'a RawValue>,
            #[serde(borrow, default)]
            namespace: Option<&'a RawValue>,
            #[serde(borrow, default)]
            uid: Option<&'a RawValue>,
            #[serde(borrow, default)]
            resource_version: Option<&'a RawValue>,
        }
        let names: Names = metadata
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        let text = |raw: Option<&RawValue>| -> Option<String> {
            let text: String = serde_json::from_str(raw?.get()).ok()?;
            (!text.is_empty()).then_some(text)
        };
        Self {
            name: text(names.name).map(|name| Name {
                namespace: text(names.namespace).unwrap_or_default().into(),
                name: name.into(),
            }),
            revision: text(names.resource_version),
            uid: text(names.uid).map(Uid::from),
            error: super::bounded(error),
        }
    }

    /// Namespace and name, as far as they are known, for the log.
    pub(crate) fn described(&self) -> String {
        match &self.name {
            Some(name) => format!("{}/{}", name.namespace, name.name),
            None => "without a name".to_owned(),
        }
    }
}
