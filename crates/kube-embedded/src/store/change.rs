//! One write: what it expects to find, what it leaves, and how it can be refused.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

use super::disk::{HEADER, Header};

/// A write of one key, carried out if what it expects still holds.
#[derive(Debug)]
pub(crate) struct Change {
    /// Which history hears of it.
    pub(crate) kind: usize,
    /// `/group/plural/[namespace/]name`.
    pub(crate) key: Arc<str>,
    /// Revision of the object that this was computed from; none: there must be no object.
    pub(crate) expected: Option<u64>,
    /// What it leaves.
    pub(crate) action: Action,
    /// Whether other objects may lie in this one (a namespace): while it is being deleted it is [`Emptying`](super::Emptying).
    pub(crate) container: bool,
    /// Key of the container in which the object lies. It must exist and not be deleting when the object is new.
    pub(crate) within: Option<Arc<str>>,
    /// Owners that the object names from now on: id, and the key under which the owner should be (none: of a kind that is
    /// not served here, so never missed).
    pub(crate) linked: Vec<(u128, Option<String>)>,
    /// Owners that it names no more.
    pub(crate) unlinked: Vec<u128>,
    /// What the object is found by beside its key, before and after.
    pub(crate) index: (Option<String>, Option<String>),
    /// Whether the garbage collector has work with the object itself (it waits for or lets go of its dependents).
    pub(crate) collect: bool,
    /// The object before, when a selector may have matched it and not match it now, or the reverse.
    pub(crate) prior: Option<Bytes>,
}

/// What a write leaves.
#[derive(Debug)]
pub(crate) enum Action {
    /// This object.
    Put {
        /// Id of the object's UID.
        id: u128,
        /// Whether it is being deleted.
        deleting: bool,
        /// The object.
        draft: Draft,
    },
    /// Nothing; watches are told the last state.
    Remove {
        /// Id of the object's UID.
        id: u128,
        /// The last state.
        draft: Draft,
    },
}

/// An object as JSON text, but for its resourceVersion, which only the commit knows.
#[derive(Debug)]
pub(crate) struct Draft {
    text: Vec<u8>,
    /// Where the digits go.
    gap: usize,
}

/// A write that was carried out.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    /// Its revision.
    pub(crate) revision: u64,
    /// The object with that revision as its resourceVersion.
    pub(crate) object: Bytes,
}

/// Why a write was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is an object where none was expected.
    Exists,
    /// The object is another than expected, or gone.
    Changed,
    /// The namespace does not exist.
    NoNamespace,
    /// The namespace is being deleted.
    NamespaceDeleting,
}

// === impl Draft ===

impl Draft {
    /// The text of `object`, with a gap where its `metadata.resourceVersion` goes.
    pub(crate) fn of(object: &Map<String, Value>) -> Self {
        fn quote(text: &mut Vec<u8>, key: &str) {
            serde_json::to_writer(&mut *text, key).expect("writing to memory cannot fail");
            text.push(b':');
        }
        let mut text = Vec::with_capacity(1024);
        let mut gap = 0;
        text.push(b'{');
        let mut first = true;
        for (key, value) in object {
            if !std::mem::take(&mut first) {
                text.push(b',');
            }
            quote(&mut text, key);
            match value {
                Value::Object(metadata) if key == "metadata" => {
                    text.push(b'{');
                    // Keys stay sorted, as everywhere: a reader of the text sees no difference to a plain object.
                    let (before, after): (Vec<_>, Vec<_>) = metadata
                        .iter()
                        .filter(|(key, _)| *key != "resourceVersion")
                        .partition(|(key, _)| key.as_str() < "resourceVersion");
                    for (key, value) in before {
                        quote(&mut text, key);
                        serde_json::to_writer(&mut text, value)
                            .expect("writing to memory cannot fail");
                        text.push(b',');
                    }
                    text.extend_from_slice(b"\"resourceVersion\":\"");
                    gap = text.len();
                    text.push(b'"');
                    for (key, value) in after {
                        text.push(b',');
                        quote(&mut text, key);
                        serde_json::to_writer(&mut text, value)
                            .expect("writing to memory cannot fail");
                    }
                    text.push(b'}');
                }
                other => {
                    serde_json::to_writer(&mut text, other).expect("writing to memory cannot fail");
                }
            }
        }
        text.push(b'}');
        debug_assert!(gap > 0, "an object has metadata");
        Self { text, gap }
    }

    /// Bytes of text, but for the revision's digits.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Header and text with the revision filled in, in one piece.
    pub(super) fn seal(&self, header: Header) -> Bytes {
        let mut whole = BytesMut::with_capacity(HEADER + self.text.len() + 20);
        header.write(&mut whole);
        whole.put_slice(&self.text[..self.gap]);
        whole.put_slice(header.revision.to_string().as_bytes());
        whole.put_slice(&self.text[self.gap..]);
        whole.freeze()
    }
}

/// A UID as the number by which owners and dependents are linked. UIDs that this server gives are UUIDs; any other text
/// that a client writes into an owner reference is hashed.
pub(crate) fn owner_id(uid: &str) -> u128 {
    uuid::Uuid::try_parse(uid).map_or_else(
        |_| {
            // FNV-1a, 128 bits: a stable spread over restarts is all that is asked of it.
            uid.bytes().fold(
                0x6c62_272e_07bb_0142_62b8_2175_6295_c58d,
                |hash: u128, byte| {
                    (hash ^ u128::from(byte))
                        .wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
                },
            )
        },
        |uuid| uuid.as_u128(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sealed_draft_is_the_object_with_its_revision() {
        for metadata in [
            json!({"name": "a"}),
            json!({"name": "a", "uid": "u", "resourceVersion": "3"}),
            json!({"uid": "u"}),
            json!({}),
        ] {
            let object = json!({"apiVersion": "v1", "kind": "X", "metadata": metadata, "spec": {"a": [1, "\"é"]}});
            let draft = Draft::of(object.as_object().unwrap());
            let header = Header {
                revision: 42,
                id: 7,
                deleting: true,
            };
            let whole = draft.seal(header);
            let mut want = object.clone();
            want["metadata"]["resourceVersion"] = "42".into();
            assert_eq!(
                std::str::from_utf8(&whole[HEADER..]).unwrap(),
                want.to_string()
            );
            assert_eq!(Header::read(&whole), Some(header));
        }
    }

    #[test]
    fn ids_of_uids_are_stable_and_differ() {
        assert_eq!(owner_id("00000000-0000-0000-0000-000000000007"), 7);
        assert_ne!(owner_id("a"), owner_id("b"));
        assert_eq!(owner_id("not a uuid"), owner_id("not a uuid"));
    }
}
