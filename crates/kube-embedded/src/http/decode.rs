//! Parses the body of a request, within bounds on depth, memory, and the expansion of YAML anchors.

use std::fmt;

use listen::memory::Memory;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::protobuf;
use crate::error::ApiError;
use crate::field::truncated;

/// Deepest nesting of a body. Walks through objects are recursive.
const MAX_DEPTH: usize = 100;
/// Most repeated keys that one answer names.
const MAX_DUPLICATES: usize = 16;

/// The notations of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    Json,
    Yaml,
    /// Built-in kinds only.
    Protobuf,
}

/// A parsed body.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) value: Value,
    /// Paths of repeated keys, of which the last value counts.
    pub(super) duplicates: Vec<String>,
}

/// Parses a body, whose values may take so much memory.
pub(super) fn decode(
    bytes: &[u8],
    notation: Notation,
    memory: &Memory,
) -> Result<Decoded, ApiError> {
    let mut duplicates = Vec::new();
    let node = Node {
        depth: 0,
        path: &Trail::Root,
        duplicates: &mut duplicates,
        memory,
    };
    let read = match notation {
        Notation::Json => {
            let mut reader = serde_json::Deserializer::from_slice(bytes);
            let read = node.deserialize(&mut reader);
            read.and_then(|value| reader.end().map(|()| value))
                .map_err(|error| error.to_string())
        }
        Notation::Protobuf => protobuf::decode(bytes, memory),
        Notation::Yaml => {
            let mut options = serde_saphyr::Options::default();
            // The last value counts; repeated keys are reported in the same way for both notations.
            options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
            options.with_snippet = false;
            serde_saphyr::with_deserializer_from_slice_with_options(bytes, options, |reader| {
                node.deserialize(reader)
            })
            .map_err(|error| error.to_string())
        }
    };
    let value = read.map_err(|error| {
        let error = truncated(&error, 512);
        ApiError::bad_request(match notation {
            Notation::Json => format!("couldn't get version/kind; json parse error: {error}"),
            Notation::Protobuf => format!("couldn't get version/kind; protobuf: {error}"),
            Notation::Yaml => format!("yaml: {error}"),
        })
    })?;
    Ok(Decoded { value, duplicates })
}

/// The path to a value, as a list back to the root, so that its text is made only when it is needed.
enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

struct Node<'a> {
    depth: usize,
    path: &'a Trail<'a>,
    duplicates: &'a mut Vec<String>,
    memory: &'a Memory,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.memory.value().map_err(Error::custom)?;
        deserializer.deserialize_any(self)
    }
}

impl Node<'_> {
    fn deeper<E: Error>(&self) -> Result<usize, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        if value.is_finite() {
            Ok(value.into())
        } else {
            Err(E::custom("JSON has no such number"))
        }
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.memory.text(value.len()).map_err(E::custom)?;
        Ok(value.into())
    }
    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.memory.text(value.len()).map_err(E::custom)?;
        Ok(value.into())
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        loop {
            let path = Trail::Index(self.path, list.len());
            let item = Node {
                depth,
                path: &path,
                duplicates: self.duplicates,
                memory: self.memory,
            };
            let Some(value) = items.next_element_seed(item)? else {
                return Ok(list.into());
            };
            self.memory.item(list.len()).map_err(Error::custom)?;
            list.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let taken = self.memory.entry(&key, map.len());
            taken.map_err(Error::custom)?;
            let path = Trail::Key(self.path, &key);
            let value = entries.next_value_seed(Node {
                depth,
                path: &path,
                duplicates: self.duplicates,
                memory: self.memory,
            })?;
            if map.contains_key(&key) && self.duplicates.len() < MAX_DUPLICATES {
                self.duplicates.push(truncated(&path.to_string(), 256));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::json;

    use super::*;

    fn json(text: &str) -> Result<Decoded, ApiError> {
        decode(text.as_bytes(), Notation::Json, &Memory::of(usize::MAX))
    }
    fn yaml(text: &str) -> Result<Decoded, ApiError> {
        decode(text.as_bytes(), Notation::Yaml, &Memory::of(usize::MAX))
    }

    #[test]
    fn both_notations_give_the_same_value() {
        let want = json!({"a": [1, -2, 1.5, "x", true, null], "b": {"c": ""}});
        assert_eq!(json(&want.to_string()).unwrap().value, want);
        let text = "a: [1, -2, 1.5, x, true, null]\nb: {c: ''}\n";
        assert_eq!(yaml(text).unwrap().value, want);
    }

    #[test]
    fn a_key_that_stands_twice_is_found_and_the_last_one_counts() {
        let doubled = r#"{"spec": {"parts": [{"a": 1, "a": 2}], "x": 1, "x": 2}}"#;
        for decoded in [json(doubled).unwrap(), yaml(doubled).unwrap()] {
            assert_eq!(decoded.value["spec"]["x"], 2);
            assert_eq!(decoded.duplicates, ["spec.parts[0].a", "spec.x"]);
        }
    }

    #[test]
    fn bad_and_unbounded_bodies_are_refused() {
        let deep_json = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_object = format!("{}1{}", "{\"a\":".repeat(110), "}".repeat(110));
        let bomb = {
            let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
            for level in 1..12 {
                let before = format!("*a{}", level - 1);
                let list = vec![before; 10].join(",");
                writeln!(text, "a{level}: &a{level} [{list}]").unwrap();
            }
            text
        };
        for bad in [
            "",
            "garbage",
            "{",
            "{\"a\":1}x",
            "[1,]",
            &deep_json,
            &deep_object,
        ] {
            assert_eq!(json(bad).unwrap_err().code, 400, "{bad:.40}");
        }
        for bad in ["a: [", "a: b: c", "%", &deep_json, &bomb, "a: .nan"] {
            assert_eq!(yaml(bad).unwrap_err().code, 400, "{bad:.40}");
        }
    }
}
