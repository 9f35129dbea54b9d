//! The JSON of a review, read within a budget of memory: a body of some MiB can hold millions of values, each of which takes
//! ten times its text and more.
//!
//! `metadata.managedFields` is skipped unread. No rule looks at it, and of a large object it is the larger half.

use std::fmt;

use kube::core::GroupVersionKind;
use kube::core::admission::Operation;
use listen::memory::Memory;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Bytes of memory that the objects of a review may take. The largest pool within the bounds of the definitions, as it was
/// and as it would be, takes 66 MiB without its texts.
pub(super) const MOST: usize = 80 << 20;
/// Up to here a review is judged at once, beside any number of others.
pub(super) const LIGHT: usize = 128 << 10;

/// An AdmissionReview whose objects are not read yet.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    pub(super) api_version: String,
    pub(super) kind: String,
    #[serde(borrow, default)]
    pub(super) request: Option<Request<'a>>,
}

/// What of the request is looked at.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    pub(super) uid: String,
    pub(super) kind: GroupVersionKind,
    #[serde(default)]
    pub(super) sub_resource: Option<String>,
    #[serde(default)]
    pub(super) namespace: Option<String>,
    pub(super) operation: Operation,
    #[serde(borrow, default)]
    pub(super) object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) old_object: Option<&'a RawValue>,
}

/// A part of an object that is being read.
#[derive(Clone, Copy)]
struct Part<'m> {
    memory: &'m Memory,
    at: At,
}

/// Which part of the object it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Object,
    Metadata,
    Inside,
}

/// Reads an object.
pub(super) fn read(text: &RawValue, memory: &Memory) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text.get());
    let whole = Part {
        memory,
        at: At::Object,
    };
    whole.deserialize(&mut reader)
}

// === impl Part ===

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.memory.value().map_err(Error::custom)?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value, E> {
        Ok(is.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.memory.text(text.len()).map_err(Error::custom)?;
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.inside("[]"))? {
            self.memory.item(values.len()).map_err(Error::custom)?;
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.at == At::Metadata && key == "managedFields" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let taken = self.memory.entry(&key, entries.len());
            taken.map_err(Error::custom)?;
            let value = map.next_value_seed(self.inside(&key))?;
            entries.insert(key, value);
        }
        Ok(entries.into())
    }
}

impl Part<'_> {
    fn inside(self, name: &str) -> Self {
        let at = match (self.at, name) {
            (At::Object, "metadata") => At::Metadata,
            (At::Object | At::Metadata | At::Inside, _) => At::Inside,
        };
        Self { at, ..self }
    }
}

#[cfg(test)]
mod tests {
    use listen::memory::{LIST, NODE, TEXT, VALUE};
    use serde_json::json;

    use super::*;

    fn read(text: &str, bytes: usize) -> Result<Value, String> {
        let (raw, memory) = (serde_json::from_str(text).unwrap(), Memory::of(bytes));
        let read = super::read(raw, &memory).map_err(|error| error.to_string());
        assert_eq!(read.is_err(), memory.is_used_up());
        read
    }

    #[test]
    fn an_object_is_read_as_serde_json_reads_it_without_managed_fields() {
        let other = json!({"managedFields": [1], "a": [null, true, -5, u64::MAX, 1.5, "\u{e4}\n\"", {}, []]});
        let mut whole = json!({"metadata": {"name": "x"}, "spec": other, "managedFields": 5});
        let text = |value: &Value| value.to_string();
        assert_eq!(read(&text(&whole), MOST).unwrap(), whole);
        let without = whole.clone();
        whole["metadata"]["managedFields"] = json!([{"fieldsV1": {"f:spec": {}}}]);
        assert_eq!(read(&text(&whole), MOST).unwrap(), without);
        for plain in ["null", "5", "\"x\"", "[]"] {
            assert_eq!(text(&read(plain, MOST).unwrap()), plain);
        }
    }

    #[test]
    fn every_value_is_paid_for() {
        for (text, bytes) in [
            ("[]", VALUE),
            ("[{},1,[]]", 4 * VALUE + LIST),
            ("\"abc\"", VALUE + TEXT + 3),
            ("{\"abc\":1}", 2 * VALUE + NODE + TEXT + 3),
        ] {
            assert!(read(text, bytes).is_ok(), "{text}");
            assert!(read(text, bytes - 1).is_err(), "{text}");
        }
        // Nothing of it is kept, so nothing is paid.
        let managed = format!("[{}0]", "{},".repeat(100_000));
        let text = format!("{{\"metadata\":{{\"managedFields\":{managed}}}}}");
        assert!(read(&text, LIGHT).is_ok());
    }
}
