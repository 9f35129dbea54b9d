//! The entries of `metadata.managedFields`: manager, operation, version, subresource, time, and the set of owned paths.
//!
//! Most writes change one entry of an object or none. So a stored entry is parsed only when a write touches it, and is otherwise
//! written back as it was: a third of the cost of parsing and writing all entries.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::set::Set;
use super::text;

/// Most entries of updates. The oldest are merged beyond that.
const UPDATES: usize = 10;
/// The manager of merged entries.
const ANCIENT: &str = "ancient-changes";
/// The manager of a client without a name.
const UNKNOWN: &str = "unknown";

/// The manager, path and time of a write.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    /// The field manager; empty is `unknown`.
    pub manager: &'a str,
    /// `group/version` in which the object is written.
    pub version: &'a str,
    /// The subresource's name; empty for the object's own path.
    pub subresource: &'a str,
    /// RFC 3339 with seconds and `Z`.
    pub now: &'a str,
    /// Top-level fields that a write through this path cannot change.
    pub untouched: &'a [&'a str],
}

/// The operation of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// What identifies an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) manager: String,
    pub(super) operation: Operation,
    /// Empty for applies: a manager has one entry for all versions.
    pub(super) version: String,
    pub(super) subresource: String,
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// `group/version` in which the paths are named.
    pub(super) version: String,
    /// RFC 3339 with seconds and `Z`: such texts sort as times do.
    pub(super) time: Option<String>,
    fields: Fields,
}

/// The owned paths of an entry.
#[derive(Debug, Clone, PartialEq)]
enum Fields {
    /// The whole entry as it is stored. Its set is not empty.
    Stored(Value),
    Set(Set),
}

/// All entries of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managed {
    pub(super) entries: Vec<Entry>,
}

/// An entry that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

// === impl Writer ===

impl Writer<'_> {
    pub(super) fn key(&self, operation: Operation) -> Key {
        let manager = if self.manager.is_empty() {
            UNKNOWN
        } else {
            self.manager
        };
        Key {
            manager: manager.to_owned(),
            operation,
            version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => self.version.to_owned(),
            },
            subresource: self.subresource.to_owned(),
        }
    }
}

// === impl Managed ===

impl Managed {
    /// The entries to start from: those that the client sent, or the live object's when it sent none or unreadable ones. One empty
    /// entry, or an empty list where the kind keeps it, resets them. A write of a subresource never changes them.
    pub fn settle(live: Option<&Value>, sent: Option<&Value>, is_subresource: bool) -> Self {
        if is_subresource || sent.is_some() && sent == live {
            return Self::stored(live);
        }
        if sent.is_some_and(resets) {
            return Self::default();
        }
        match sent.map(Self::read) {
            Some(Ok(managed)) if !managed.is_empty() => managed,
            None | Some(Ok(_) | Err(Malformed)) => Self::stored(live),
        }
    }

    /// The entries of a stored object, which this server wrote.
    fn stored(entries: Option<&Value>) -> Self {
        let entries = entries.and_then(Value::as_array).into_iter().flatten();
        let entries = entries.map(Entry::stored).collect::<Result<_, Malformed>>();
        entries.map_or_else(|_| Self::default(), |entries| Self { entries })
    }

    pub(super) fn read(entries: &Value) -> Result<Self, Malformed> {
        let mut managed = Self::default();
        for entry in entries.as_array().into_iter().flatten() {
            let entry = Entry::read(entry)?;
            managed.remove(&entry.key);
            managed.entries.push(entry);
        }
        Ok(managed)
    }

    /// The list for the object: applies first, then by time and name. `None` when there are no entries.
    pub fn write(mut self) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        self.entries.sort_by(Entry::in_order);
        let entries = self.entries.into_iter().map(Entry::write);
        Some(Value::Array(entries.collect()))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the version of any entry satisfies this.
    pub fn has_version(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.entries.iter().any(|entry| is_meant(&entry.version))
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == *key)?;
        Some(self.entries.remove(at))
    }

    /// Merges the oldest updates until there are at most [`UPDATES`].
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<(Option<String>, Key)> = self
            .entries
            .iter()
            .filter(|entry| entry.key.operation == Operation::Update)
            .map(|entry| (entry.time.clone(), entry.key.clone()))
            .collect();
        let mut count = updates.len();
        if count <= UPDATES {
            return;
        }
        updates.sort();
        // The oldest entry of a version stays until there is another one of that version to merge with.
        let mut oldest: Vec<Key> = Vec::new();
        for (_, key) in updates {
            if count <= UPDATES {
                return;
            }
            let Some(first) = oldest.iter().find(|first| first.version == key.version) else {
                oldest.push(key);
                continue;
            };
            let Some(entry) = self.remove(&key) else {
                continue;
            };
            let bucket = Key {
                manager: ANCIENT.to_owned(),
                operation: Operation::Update,
                version: key.version,
                subresource: String::new(),
            };
            let older = self.remove(&bucket).or_else(|| self.remove(first));
            let set = older.map_or_else(Set::default, Entry::into_set);
            let (version, time) = (entry.version.clone(), entry.time.clone());
            let set = entry.into_set().union(&set);
            self.entries.push(Entry::new(bucket, version, time, set));
            count -= 1;
        }
    }
}

/// Whether the entries that a client sent remove all entries.
fn resets(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_none_or(Map::is_empty),
        Some([_, _, ..]) | None => false,
    }
}

// === impl Operation ===

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(key: Key, version: String, time: Option<String>, set: Set) -> Self {
        Self {
            key,
            version,
            time,
            fields: Fields::Set(set),
        }
    }

    pub(super) fn set(&self) -> Cow<'_, Set> {
        match &self.fields {
            Fields::Set(set) => Cow::Borrowed(set),
            Fields::Stored(entry) => Cow::Owned(text::read(&entry["fieldsV1"]).unwrap_or_default()),
        }
    }

    pub(super) fn into_set(self) -> Set {
        self.set().into_owned()
    }

    /// Removes these paths. Returns whether none is left.
    pub(super) fn lose(&mut self, paths: &Set) -> bool {
        if let Fields::Stored(entry) = &self.fields
            && !text::shares(&entry["fieldsV1"], paths)
        {
            return false;
        }
        let left = self.set().difference(paths);
        let is_empty = left.is_empty();
        self.fields = Fields::Set(left);
        is_empty
    }

    fn stored(entry: &Value) -> Result<Self, Malformed> {
        Self::head(entry, |entry| Ok(Fields::Stored(entry.clone())))
    }

    fn read(entry: &Value) -> Result<Self, Malformed> {
        Self::head(entry, |entry| match &entry["fieldsV1"] {
            Value::Null => Ok(Fields::Set(Set::default())),
            fields => text::read(fields).map(Fields::Set).ok_or(Malformed),
        })
    }

    fn head(
        entry: &Value,
        fields: impl Fn(&Value) -> Result<Fields, Malformed>,
    ) -> Result<Self, Malformed> {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let operation = match entry["operation"].as_str() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            Some(_) | None => return Err(Malformed),
        };
        let version = text("apiVersion");
        if version.is_empty() || text("fieldsType") != "FieldsV1" {
            return Err(Malformed);
        }
        Ok(Self {
            key: Key {
                manager: text("manager"),
                operation,
                version: match operation {
                    Operation::Apply => String::new(),
                    Operation::Update => version.clone(),
                },
                subresource: text("subresource"),
            },
            version,
            time: entry["time"].as_str().and_then(in_seconds),
            fields: fields(entry)?,
        })
    }

    fn write(self) -> Value {
        let set = match self.fields {
            Fields::Stored(entry) => return entry,
            Fields::Set(set) => set,
        };
        let mut entry = Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                entry.insert(name.to_owned(), value.into());
            }
        };
        put("manager", &self.key.manager);
        put("operation", self.key.operation.name());
        put("apiVersion", &self.version);
        put("time", self.time.as_deref().unwrap_or_default());
        put("fieldsType", "FieldsV1");
        put("subresource", &self.key.subresource);
        entry.insert("fieldsV1".to_owned(), text::write(&set));
        Value::Object(entry)
    }

    fn in_order(a: &Self, b: &Self) -> Ordering {
        let key = &a.key;
        key.operation
            .cmp(&b.key.operation)
            .then_with(|| a.time.cmp(&b.time))
            .then_with(|| key.manager.cmp(&b.key.manager))
            .then_with(|| a.version.cmp(&b.version))
            .then_with(|| key.subresource.cmp(&b.key.subresource))
    }
}

/// A time in UTC and whole seconds.
fn in_seconds(time: &str) -> Option<String> {
    // Entries that this server wrote have this form.
    if time.len() == 20 && time.ends_with('Z') {
        return Some(time.to_owned());
    }
    let time: Timestamp = time.parse().ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
