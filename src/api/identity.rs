//! Which incarnation of an object, and which version of it: two texts of the API server, kept in 24 and 16 bytes without
//! memory of their own where they have the form that every API server gives them.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A UID as the server gave it: what differs between two objects of one name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(UidForm);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum UidForm {
    /// Written with hyphens and lower-case digits.
    Uuid(Uuid),
    /// Any other text.
    Text(Arc<str>),
}

/// A resourceVersion. Equal ones of one object mean the same state; the larger of two numbers is the newer state
/// (Kubernetes guarantees since 1.35 that they are numbers that grow).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourceVersion(VersionForm);

#[derive(Clone, PartialEq, Eq, Hash)]
enum VersionForm {
    /// Written without a sign and without zeros in front.
    Number(NonZeroU64),
    /// Any other text.
    Text(Arc<str>),
}

// === impl Uid ===

impl Uid {
    /// Whether it is the empty text, which no server gives.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, UidForm::Text(text) if text.is_empty())
    }

    /// Whether it is this text.
    pub fn is(&self, text: &str) -> bool {
        *self == Self::from(text)
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        let uuid = Uuid::try_parse(text).ok();
        let mut buffer = Uuid::encode_buffer();
        let uuid = uuid.filter(|uuid| uuid.hyphenated().encode_lower(&mut buffer) == text);
        Self(uuid.map_or_else(|| UidForm::Text(text.into()), UidForm::Uuid))
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self(UidForm::Text(Arc::default()))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            UidForm::Uuid(uuid) => uuid.hyphenated().fmt(f),
            UidForm::Text(text) => f.write_str(text),
        }
    }
}

// === impl ResourceVersion ===

impl ResourceVersion {
    /// It as a number, by which versions of objects are compared; `None` when it is none.
    pub fn number(&self) -> Option<NonZeroU64> {
        match self.0 {
            VersionForm::Number(number) => Some(number),
            VersionForm::Text(_) => None,
        }
    }

    /// Whether it is the empty text, which no object has.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, VersionForm::Text(text) if text.is_empty())
    }
}

impl From<&str> for ResourceVersion {
    fn from(text: &str) -> Self {
        let is_plain = text.starts_with(|c| matches!(c, '1'..='9'));
        let number = is_plain.then(|| text.parse().ok()).flatten();
        Self(number.map_or_else(|| VersionForm::Text(text.into()), VersionForm::Number))
    }
}

impl Default for ResourceVersion {
    fn default() -> Self {
        Self(VersionForm::Text(Arc::default()))
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            VersionForm::Number(number) => number.fmt(f),
            VersionForm::Text(text) => f.write_str(text),
        }
    }
}

/// What both are: a text from the server that goes back to it as it came.
macro_rules! text_of_the_server {
    ($name:ident) => {
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::from(text.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                        Ok($name::from(text))
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

text_of_the_server!(Uid);
text_of_the_server!(ResourceVersion);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_goes_back_as_it_came() {
        let texts = [
            "",
            "0",
            "1",
            "007",
            "+7",
            "18446744073709551615",
            "18446744073709551616",
            "5c9a1ee2-1c1f-4b9e-9d2a-0123456789ab",
            "5C9A1EE2-1C1F-4B9E-9D2A-0123456789AB",
            "5c9a1ee21c1f4b9e9d2a0123456789ab",
            "{5c9a1ee2-1c1f-4b9e-9d2a-0123456789ab}",
            "urn:uuid:5c9a1ee2-1c1f-4b9e-9d2a-0123456789ab",
            "a text",
        ];
        for text in texts {
            assert_eq!(Uid::from(text).to_string(), text);
            assert_eq!(ResourceVersion::from(text).to_string(), text);
            let json = serde_json::json!(text);
            let uid: Uid = serde_json::from_value(json.clone()).unwrap();
            let version: ResourceVersion = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(&uid).unwrap(), json);
            assert_eq!(serde_json::to_value(&version).unwrap(), json);
            assert_eq!(
                (uid.is_empty(), version.is_empty()),
                (text.is_empty(), text.is_empty())
            );
            for other in texts {
                assert_eq!(Uid::from(text) == Uid::from(other), text == other);
                assert_eq!(
                    ResourceVersion::from(text) == ResourceVersion::from(other),
                    text == other
                );
            }
        }
    }

    #[test]
    fn they_are_small_and_the_usual_ones_have_no_memory_of_their_own() {
        assert_eq!((size_of::<Uid>(), size_of::<ResourceVersion>()), (24, 16));
        let uid = Uid::from("5c9a1ee2-1c1f-4b9e-9d2a-0123456789ab");
        assert!(matches!(uid.0, UidForm::Uuid(_)));
        assert_eq!(
            ResourceVersion::from("4711").number(),
            NonZeroU64::new(4711)
        );
        assert_eq!(ResourceVersion::from("007").number(), None);
    }
}
