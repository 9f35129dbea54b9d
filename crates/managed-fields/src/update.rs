//! Who owns what after a write that is no apply: whoever wrote owns what it changed.

use super::Object;
use super::compare::{Delta, compare};
use super::element::Element;
use super::managed::{Entry, Key, Managed, Operation, Writer};
use super::set::Set;
use super::shape::Layout;

/// Metadata that is never anyone's.
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

/// A write that is no apply.
#[derive(Debug)]
pub struct Update<'a> {
    /// What the objects are made of.
    pub layout: &'a Layout,
    /// The object before; none: it is new.
    pub live: Option<&'a Object>,
    /// The object after, as whoever writes it wants it.
    pub new: &'a Object,
    /// Who writes.
    pub writer: &'a Writer<'a>,
}

/// The entries after a write. An object whose entries were taken away is not followed again before its first apply.
pub fn update(update: &Update<'_>, managed: Managed) -> Managed {
    if managed.is_empty() && update.live.is_some() {
        return managed;
    }
    follow(update, managed)
}

/// As [`update`], whether there are entries or not.
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
    /// Paths are told by what they are in one version; a version that is not served has no meaning any more.
    pub(super) fn forget_other_versions(&mut self, served: &str) {
        self.entries.retain(|entry| entry.version == served);
    }

    /// Takes what changed and what is gone from everyone but this one.
    pub(super) fn take(&mut self, changed: &Set, delta: &Delta, but: Option<&Key>) {
        self.entries.retain_mut(|entry| {
            Some(&entry.key) == but || !(entry.lose(changed) || entry.lose(&delta.removed))
        });
    }
}

/// Without what is never anyone's.
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
