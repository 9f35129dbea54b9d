//! The entries after a create, update or patch: the manager owns what it changed.

use super::Object;
use super::compare::{Delta, compare};
use super::element::Element;
use super::managed::{Entry, Key, Managed, Operation, Writer};
use super::set::Set;
use super::shape::Layout;

/// Fields of the metadata that nobody owns.
const NOBODYS: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// A write other than an apply.
#[derive(Debug)]
pub struct Update<'a> {
    /// The layout of the kind.
    pub layout: &'a Layout,
    /// The object before. `None` when it is created.
    pub live: Option<&'a Object>,
    /// The object after, as the client sent it.
    pub new: &'a Object,
    /// The manager, and how it writes.
    pub writer: &'a Writer<'a>,
}

/// The entries after a write. An object without entries gets none before its first apply.
pub fn update(update: &Update<'_>, managed: Managed) -> Managed {
    if managed.is_empty() && update.live.is_some() {
        return managed;
    }
    follow(update, managed)
}

/// As [`update`], also for an object without entries.
pub(super) fn follow(update: &Update<'_>, mut managed: Managed) -> Managed {
    let Update {
        layout,
        live,
        new,
        writer,
    } = update;
    let nothing = Object::new();
    let (live, new) = (layout.filled(live.unwrap_or(&nothing)), layout.filled(new));
    let delta = compare(&layout.root, &live, &new).without(writer.untouched);
    managed.forget_other_versions(writer.version);
    let changed = delta.changed();
    managed.take(&changed, &delta, None);
    let own = stripped(changed);
    if !own.is_empty() {
        let key = writer.key(Operation::Update);
        let set = match managed.remove(&key) {
            Some(before) => before.set().union(&own),
            None => own,
        };
        let (version, now) = (writer.version.to_owned(), writer.now.to_owned());
        managed
            .entries
            .push(Entry::new(key, version, Some(now), set));
    }
    managed.cap();
    managed
}

impl Managed {
    /// Removes the entries of versions that are not served: what their paths mean is not known.
    pub(super) fn forget_other_versions(&mut self, served: &str) {
        self.entries.retain(|entry| entry.version == served);
    }

    /// Removes changed and removed paths from all entries but this one.
    pub(super) fn take(&mut self, changed: &Set, delta: &Delta, but: Option<&Key>) {
        self.entries.retain_mut(|entry| {
            Some(&entry.key) == but || !(entry.lose(changed) || entry.lose(&delta.removed))
        });
    }
}

/// Without the fields that nobody owns.
pub(super) fn stripped(set: Set) -> Set {
    let mut set = set.without(&["apiVersion", "kind"]);
    set.retain(|element, node| {
        if *element == Element::field("metadata") {
            node.own = false;
            node.below = std::mem::take(&mut node.below).without(&NOBODYS);
        }
    });
    set
}
