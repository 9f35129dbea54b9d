//! Server-side apply: a manager sends the fields that it wants, and owns them. Fields that it applied before and no longer sends
//! are removed, unless another manager owns them. A field that another manager owns with another value is a conflict.

use std::fmt::Write as _;

use serde_json::Value;

use super::Object;
use super::annotated;
use super::check::{check, stored};
use super::compare::compare;
use super::element::{Element, same_fields};
use super::managed::{Entry, Key, Managed, Operation, Writer};
use super::merge::merge;
use super::paths::paths_of;
use super::remove::remove;
use super::set::Set;
use super::shape::Layout;
use super::update::{Update, follow, stripped};

/// The manager of the fields of an object that had no entries at its first apply.
const BEFORE: &str = "before-first-apply";

/// The outcome of an apply.
#[derive(Debug)]
pub struct Applied {
    /// The object after the apply, without entries. `None` when it did not change.
    pub object: Option<Object>,
    /// The entries after the apply.
    pub managed: Managed,
}

/// A field that another manager owns with another value.
#[derive(Debug, Clone)]
pub struct Conflict {
    pub(super) with: Key,
    pub(super) path: Vec<Element>,
}

/// Why an apply failed.
#[derive(Debug)]
pub enum ApplyError {
    /// The live object does not fit the kind and has no entries, so that who owns its fields cannot be computed.
    Stored(String),
    /// The configuration does not fit the kind.
    Misfit(String),
    /// The entries of the live object cannot be read.
    Unreadable,
    /// Other managers own fields of the configuration with other values.
    Conflicts(Vec<Conflict>),
}

/// Applies `config` to `live`, which is an empty object when it is to be created.
///
/// # Errors
/// The configuration or the live object does not fit the kind; or, without `force`, conflicts.
pub fn apply(
    layout: &Layout,
    live: &Object,
    config: &Object,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Applied, ApplyError> {
    let mut live = live.clone();
    let entries = live
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .and_then(|metadata| metadata.remove("managedFields"));
    let mut managed = match &entries {
        None => Managed::default(),
        Some(entries) => Managed::read(entries).map_err(|_| ApplyError::Unreadable)?,
    };
    if managed.is_empty() {
        if let Some(misfit) = stored(&layout.root, &live) {
            return Err(ApplyError::Stored(misfit));
        }
        let before = Update {
            layout,
            live: None,
            new: &live,
            writer: &Writer {
                manager: BEFORE,
                ..writer.clone()
            },
        };
        managed = follow(&before, managed);
    }
    if let Some(misfit) = check(&layout.root, config) {
        return Err(ApplyError::Misfit(misfit));
    }
    managed.forget_other_versions(writer.version);
    let live = layout.filled(&live);
    let apply = Apply {
        layout,
        live: &live,
        config,
        writer,
    };
    let applied = match apply.attempt(managed.clone(), force) {
        Err(conflicts) if writer.manager == annotated::KUBECTL => {
            let allowed = annotated::allowed(layout, &live, writer.version);
            let left: Vec<Conflict> = conflicts
                .iter()
                .filter(|conflict| !allowed.has(&conflict.path))
                .cloned()
                .collect();
            if left.is_empty() {
                apply.attempt(managed, true)
            } else {
                Err(left)
            }
        }
        done => done,
    };
    applied.map_err(ApplyError::Conflicts)
}

struct Apply<'a> {
    layout: &'a Layout,
    live: &'a Object,
    config: &'a Object,
    writer: &'a Writer<'a>,
}

impl Apply<'_> {
    fn attempt(&self, mut managed: Managed, force: bool) -> Result<Applied, Vec<Conflict>> {
        let Self {
            layout,
            live,
            config,
            writer,
        } = *self;
        let shape = &layout.root;
        let key = writer.key(Operation::Apply);
        let before = managed.remove(&key);
        managed.entries.push(Entry::new(
            key.clone(),
            writer.version.to_owned(),
            before.as_ref().and_then(|before| before.time.clone()),
            paths_of(shape, config).without(writer.untouched),
        ));
        let merged = merge(shape, live, config);
        let object = match before {
            Some(before) => prune(layout, &merged, before.into_set(), &managed),
            None => merged,
        };
        let delta = compare(shape, live, &object).without(writer.untouched);
        let changed = delta.changed();
        if !force {
            let conflicts = managed.conflicts(&changed, &key);
            if !conflicts.is_empty() {
                return Err(conflicts);
            }
        }
        managed.take(&changed, &delta, Some(&key));
        let is_changed = !same_fields(live, &object);
        if let Some(entry) = managed.remove(&key) {
            let time = if is_changed {
                Some(writer.now.to_owned())
            } else {
                entry.time.clone()
            };
            let version = entry.version.clone();
            let set = stripped(entry.into_set());
            if !set.is_empty() {
                managed.entries.push(Entry::new(key, version, time, set));
            }
        }
        Ok(Applied {
            object: is_changed.then_some(object),
            managed,
        })
    }
}

impl Managed {
    /// The changed fields that other managers own.
    fn conflicts(&self, changed: &Set, but: &Key) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let mut others: Vec<&Entry> = self.entries.iter().filter(|e| e.key != *but).collect();
        others.sort_by(|a, b| a.key.cmp(&b.key));
        for entry in others {
            let paths = entry.set().intersection(changed).paths();
            conflicts.extend(paths.into_iter().map(|path| Conflict {
                with: entry.key.clone(),
                path,
            }));
        }
        conflicts
    }
}

/// The merged object without the fields of the manager's last apply that nobody owns now.
fn prune(layout: &Layout, merged: &Object, last: Set, managed: &Managed) -> Object {
    let shape = &layout.root;
    let named = |set: Set| set.with_named_fields(Some(shape));
    let last = named(last);
    let pruned = remove(shape, merged, &last);
    let all = named(paths_of(shape, merged));
    // Fields that any manager owns stay ...
    let owned = managed
        .entries
        .iter()
        .fold(Set::default(), |all, entry| all.union(&entry.set()));
    let kept = named(paths_of(shape, &pruned)).union(&named(owned));
    let pruned = remove(shape, merged, &all.difference(&kept));
    // ... and so do those that were not in the manager's last apply.
    let left = named(paths_of(shape, &pruned));
    remove(shape, merged, &all.difference(&left).intersection(&last))
}

// === impl Conflict ===

impl Conflict {
    /// The field.
    pub fn field(&self) -> String {
        self.path.iter().map(ToString::to_string).collect()
    }

    /// The manager that owns it: `"kubectl" using v1`.
    pub fn with(&self) -> String {
        let Key {
            manager,
            operation,
            version,
            subresource,
        } = &self.with;
        let mut text = format!("{manager:?}");
        if !subresource.is_empty() {
            let _ = write!(text, " with subresource {subresource:?}");
        }
        if *operation == Operation::Update {
            let _ = write!(text, " using {version}");
        }
        text
    }

    /// The message about all conflicts.
    pub fn message(conflicts: &[Self]) -> String {
        if let [conflict] = conflicts {
            return format!(
                "Apply failed with 1 conflict: conflict with {}: {}",
                conflict.with(),
                conflict.field()
            );
        }
        let mut lines = Vec::new();
        let mut last = None;
        for conflict in conflicts {
            if last != Some(&conflict.with) {
                lines.push(format!("conflicts with {}:", conflict.with()));
                last = Some(&conflict.with);
            }
            lines.push(format!("- {}", conflict.field()));
        }
        format!(
            "Apply failed with {} conflicts: {}",
            conflicts.len(),
            lines.join("\n")
        )
    }
}
