//! One write: the state that it expects, what it stores, and why it can be refused.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

use super::disk::{HEADER, Header};

/// A write of one key, which is carried out if the expected state still holds.
#[derive(Debug)]
pub(crate) struct Change {
    /// The history that records it.
    pub(crate) kind: usize,
    /// `/group/plural/[namespace/]name`.
    pub(crate) key: Arc<str>,
    /// Revision of the object from which the write was computed. `None`: there must be no object.
    pub(crate) expected: Option<u64>,
    /// What it stores.
    pub(crate) action: Action,
    /// Whether the object contains others (a namespace). While it is being deleted it is in [`Emptying`](super::Emptying).
    pub(crate) container: bool,
    /// Key of the object's namespace. For a new object it must exist and not be deleted.
    pub(crate) within: Option<Arc<str>>,
    /// Owners that the object newly names: id and key. `None` instead of a key for a kind that is not served, whose objects count
    /// as existing.
    pub(crate) linked: Vec<(u128, Option<String>)>,
    /// Owners that the object no longer names.
    pub(crate) unlinked: Vec<u128>,
    /// The index texts that the object loses, and those that it gets.
    pub(crate) index: (Vec<String>, Vec<String>),
    /// Whether the garbage collector has to serve a finalizer of the object (`foregroundDeletion`, `orphan`).
    pub(crate) collect: bool,
    /// The object before, when a selector may match only one of the two states.
    pub(crate) prior: Option<Bytes>,
}

/// What a write stores.
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
    /// Nothing. Watches get the last state.
    Remove {
        /// Id of the object's UID.
        id: u128,
        /// The last state.
        draft: Draft,
    },
}

/// An object as JSON text without its resourceVersion, which the commit fills in.
#[derive(Debug)]
pub(crate) struct Draft {
    text: Vec<u8>,
    /// Offset of the resourceVersion's digits.
    gap: usize,
}

/// The outcome of a write.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    /// Its revision.
    pub(crate) revision: u64,
    /// The object with that revision as its resourceVersion.
    pub(crate) object: Bytes,
}

/// Why a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An object exists where none was expected.
    Exists,
    /// The object has another revision than expected, or was removed.
    Changed,
    /// The namespace does not exist.
    NoNamespace,
    /// The namespace is being deleted.
    NamespaceDeleting,
}

// === impl Draft ===

impl Draft {
    /// The text of `object`, with a gap for `metadata.resourceVersion`.
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
                    // Keys stay sorted, so that the text is that of a serialized object.
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

    /// Length of the text in bytes, without the revision's digits.
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

/// The number by which owners and dependents are linked: a UUID as it is, any other UID that a client writes into an owner
/// reference as its hash.
pub(crate) fn owner_id(uid: &str) -> u128 {
    uuid::Uuid::try_parse(uid).map_or_else(
        |_| {
            // FNV-1a with 128 bits: it has to be the same after a restart, and to spread.
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
