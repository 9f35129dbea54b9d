//! Which version of each object is the newest, and which objects are known to be gone: the door that every object passes
//! before a pool hears of it.
//!
//! A watch lags behind answers, and an answer can be under way while the watch shows the object's end. [`Known`] compares
//! resourceVersions, so that a [`super::Pool`] never has to: an input is newer than all inputs about its object before it.
//! Kubernetes guarantees since 1.35 that resourceVersions are numbers that grow; one that is no number counts as newer.
//!
//! An object whose end an *answer* shows stays remembered as gone until the watch or a list shows the same. An object whose
//! end the *watch* shows is forgotten; a late answer about it is recognised by its version, since the watch has shown
//! everything up to the end that it showed last. Cost: one look-up an object.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::api::{AddressKey, ClaimKey, ClaimKind, Kind, Meta, PoolKey, ResourceVersion, Uid};

/// Name of an object: namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// What is remembered of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Incarnation {
    /// Which incarnation has the name.
    pub uid: Uid,
    /// Name of the pool (of the object's namespace) that it leads to.
    pub pool: Option<Arc<str>>,
    /// Its newest resourceVersion; `None` when that is no number.
    version: Option<NonZeroU64>,
    /// An answer has shown its end, and the watch has yet to.
    is_gone: bool,
}

/// From where an object is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A list. It shows an object anew also in the version that is known: the kind may be served in another version since.
    List,
    /// An event of a watch. The version that is known already is nothing new.
    Event,
    /// The answer to a request, or a page of a list that is no reset: unlike a list it brings nothing back that the watch has shown
    /// gone.
    Read,
}

/// The object is older than what is known of it, or known to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outdated;

/// Everything that is known, by kind.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<Kind, OfKind>);

#[derive(Debug, Default)]
struct OfKind {
    objects: HashMap<Name, Incarnation>,
    /// Everything up to this version was shown by the watch or by a complete list: an object of such a version that is not
    /// in `objects` is gone.
    shown_to: Option<NonZeroU64>,
}

// === impl Incarnation ===

impl Incarnation {
    /// What is to be remembered of an object that leads to this pool.
    pub fn of(meta: &Meta, pool: Option<Arc<str>>) -> Self {
        Self {
            uid: meta.uid.clone(),
            pool,
            version: meta.resource_version.number(),
            is_gone: false,
        }
    }

    fn is_older_than(&self, known: &Self) -> bool {
        let versions = self.version.zip(known.version);
        versions.is_some_and(|(this, known)| this < known)
    }
}

// === impl Name ===

impl Name {
    /// The name of the object with this metadata.
    pub fn of(meta: &Meta) -> Self {
        Self {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
        }
    }

    /// A pool of the object's namespace.
    pub fn pool(&self, pool: &Arc<str>) -> PoolKey {
        PoolKey {
            namespace: self.namespace.clone(),
            name: pool.clone(),
        }
    }

    /// The claim of this name.
    pub fn claim(&self, kind: ClaimKind) -> ClaimKey {
        ClaimKey {
            kind,
            name: self.name.clone(),
        }
    }

    /// The address object of this name.
    pub fn address(&self, kind: ClaimKind) -> AddressKey {
        AddressKey {
            kind,
            name: self.name.clone(),
        }
    }
}

// === impl Known ===

impl Known {
    /// The object that has this name, unless it is known to be gone.
    pub fn get(&self, kind: Kind, name: &Name) -> Option<&Incarnation> {
        let known = self.0.get(&kind)?.objects.get(name)?;
        Some(known).filter(|known| !known.is_gone)
    }

    /// Whether [`Self::see`] would refuse this object.
    pub fn is_outdated(&self, kind: Kind, name: &Name, seen: &Incarnation, by: By) -> bool {
        let Some(of_kind) = self.0.get(&kind) else {
            return false;
        };
        match of_kind.objects.get(name) {
            Some(known) if known.uid == seen.uid => {
                let is_echo =
                    by == By::Event && seen.version.is_some() && seen.version == known.version;
                known.is_gone || is_echo || seen.is_older_than(known)
            }
            // A name has one object at a time: the one with the older version was gone when the other was made.
            Some(known) => seen.is_older_than(known),
            None => {
                let versions = seen.version.zip(of_kind.shown_to);
                by == By::Read && versions.is_some_and(|(seen, shown)| seen <= shown)
            }
        }
    }

    /// Whether a list of this version shows the object as it cannot be in the history that is known: in a version older than
    /// one that the list must have seen. Then the database was put back, whatever its revision is now.
    pub fn is_of_another_history(
        &self,
        kind: Kind,
        name: &Name,
        seen: &Incarnation,
        listed: &ResourceVersion,
    ) -> bool {
        let known = self.get(kind, name);
        known.is_some_and(|known| {
            let is_listed = known
                .version
                .zip(listed.number())
                .is_some_and(|(known, listed)| known <= listed);
            is_listed && seen.is_older_than(known)
        })
    }

    /// Remembers an object, and returns what was known under its name: an older version of it, or another incarnation, which
    /// must be gone.
    ///
    /// # Errors
    /// When the object is older than what is known, or known to be gone; nothing is changed then.
    pub fn see(
        &mut self,
        kind: Kind,
        name: &Name,
        seen: Incarnation,
        by: By,
    ) -> Result<Option<Incarnation>, Outdated> {
        if self.is_outdated(kind, name, &seen, by) {
            return Err(Outdated);
        }
        let objects = &mut self.0.entry(kind).or_default().objects;
        let before = objects.insert(name.clone(), seen);
        // That this one is gone was said before.
        Ok(before.filter(|before| !before.is_gone))
    }

    /// The watch shows the end of an incarnation, in an event of this version. Returns what was known of it, unless its end
    /// is nothing new.
    pub fn end(
        &mut self,
        kind: Kind,
        name: &Name,
        uid: &Uid,
        version: &ResourceVersion,
    ) -> Option<Incarnation> {
        let of_kind = self.0.entry(kind).or_default();
        of_kind.shown_to = of_kind.shown_to.max(version.number());
        if of_kind.objects.get(name)?.uid != *uid {
            return None;
        }
        let known = of_kind.objects.remove(name)?;
        Some(known).filter(|known| !known.is_gone)
    }

    /// An answer shows the end of an incarnation. Returns what was known of it, unless its end is nothing new. Late events of
    /// the watch do not bring it back.
    pub fn end_by_answer(&mut self, kind: Kind, name: &Name, uid: &Uid) -> Option<Incarnation> {
        let known = self.0.get_mut(&kind)?.objects.get_mut(name)?;
        if known.uid != *uid || known.is_gone {
            return None;
        }
        let before = known.clone();
        known.is_gone = true;
        Some(before)
    }

    /// A complete list of this version was shown: what is known, not in it and not newer is gone. Returns that by name.
    pub fn end_missing(
        &mut self,
        kind: Kind,
        live: &HashSet<Name>,
        version: &ResourceVersion,
    ) -> Vec<(Name, Incarnation)> {
        let listed = version.number();
        let of_kind = self.0.entry(kind).or_default();
        of_kind.shown_to = of_kind.shown_to.max(listed);
        let is_missing = |name: &Name, known: &mut Incarnation| {
            // An answer may show what was made after the list.
            let versions = known.version.zip(listed);
            !live.contains(name) && versions.is_none_or(|(known, listed)| known <= listed)
        };
        let missing = of_kind
            .objects
            .extract_if(|name, known| is_missing(name, known));
        let mut missing: Vec<_> = missing.filter(|(_, known)| !known.is_gone).collect();
        missing.sort_by(|(a, _), (b, _)| a.cmp(b));
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind::Addresses(ClaimKind::Metal3);

    fn a() -> Name {
        Name {
            namespace: "n".into(),
            name: "a".into(),
        }
    }

    fn object(uid: &str, version: &str) -> Incarnation {
        let meta = Meta {
            uid: uid.into(),
            resource_version: version.into(),
            ..Meta::default()
        };
        Incarnation::of(&meta, Some("x".into()))
    }

    /// Whether the object passes, and the UID that it takes the place of.
    fn see(
        known: &mut Known,
        uid: &str,
        version: &str,
        by: By,
    ) -> Result<Option<String>, Outdated> {
        let before = known.see(KIND, &a(), object(uid, version), by)?;
        Ok(before.map(|before| before.uid.to_string()))
    }

    fn end(known: &mut Known, uid: &str, version: &str) -> bool {
        known
            .end(KIND, &a(), &uid.into(), &version.into())
            .is_some()
    }

    fn end_by_answer(known: &mut Known, uid: &str) -> bool {
        known.end_by_answer(KIND, &a(), &uid.into()).is_some()
    }

    fn missing(known: &mut Known, live: &[Name], version: &str) -> Vec<String> {
        let live = live.iter().cloned().collect();
        let missing = known.end_missing(KIND, &live, &version.into()).into_iter();
        missing.map(|(_, known)| known.uid.to_string()).collect()
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "9", By::Event), Ok(None));
        assert_eq!(see(&mut known, "1", "10", By::Event), Ok(Some("1".into())));
        assert_eq!(see(&mut known, "1", "9", By::Event), Err(Outdated));
        assert_eq!(see(&mut known, "1", "9", By::Read), Err(Outdated));
    }

    #[test]
    fn a_version_that_is_no_number_counts_as_newer() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "b", By::Event), Ok(None));
        assert_eq!(see(&mut known, "1", "a", By::Event), Ok(Some("1".into())));
        assert!(end(&mut known, "1", "c"));
    }

    #[test]
    fn the_watch_shows_nothing_new_with_a_version_that_an_answer_has_shown() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "9", By::Read), Ok(None));
        assert_eq!(see(&mut known, "1", "9", By::Event), Err(Outdated));
        // The other way round the answer passes: the pool compares what a conflict's read finds with what it has.
        assert_eq!(see(&mut known, "1", "9", By::Read), Ok(Some("1".into())));
    }

    #[test]
    fn a_list_shows_again_what_is_known_and_nothing_older() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "9", By::Event), Ok(None));
        assert_eq!(see(&mut known, "1", "9", By::List), Ok(Some("1".into())));
        assert_eq!(see(&mut known, "1", "8", By::List), Err(Outdated));
    }

    #[test]
    fn a_list_that_shows_less_than_it_must_have_seen_is_of_another_history() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "9", By::Event), Ok(None));
        let other = |known: &Known, uid: &str, version: &str, listed: &str| {
            known.is_of_another_history(KIND, &a(), &object(uid, version), &listed.into())
        };
        assert!(other(&known, "1", "8", "1000"));
        assert!(other(&known, "1", "8", "9"));
        assert!(
            other(&known, "0", "8", "9"),
            "the one that had the name before"
        );
        assert!(
            !other(&known, "1", "8", "8"),
            "the list is older than the answer"
        );
        assert!(!other(&known, "1", "9", "1000"));
        assert!(!other(&known, "2", "10", "1000"));
        assert!(
            !other(&known, "1", "8", "x"),
            "versions that are no numbers prove nothing"
        );
        assert!(end_by_answer(&mut known, "1"));
        assert!(!other(&known, "1", "8", "1000"));
    }

    #[test]
    fn a_late_event_of_an_older_incarnation_does_not_end_the_newer_one() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "5", By::Event), Ok(None));
        assert_eq!(see(&mut known, "2", "9", By::Read), Ok(Some("1".into())));
        assert_eq!(see(&mut known, "1", "7", By::Event), Err(Outdated));
        assert!(!end(&mut known, "1", "8"));
        assert_eq!(known.get(KIND, &a()).unwrap().uid, "2".into());
    }

    #[test]
    fn an_object_whose_end_an_answer_shows_is_not_brought_back_by_late_events() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "5", By::Event), Ok(None));
        assert!(end_by_answer(&mut known, "1"));
        assert!(!end_by_answer(&mut known, "1"));
        assert_eq!(known.get(KIND, &a()), None);
        assert_eq!(see(&mut known, "1", "6", By::Event), Err(Outdated));
        assert_eq!(see(&mut known, "1", "7", By::Read), Err(Outdated));
        assert!(!end(&mut known, "1", "8"), "its end is nothing new");
        assert_eq!(see(&mut known, "2", "9", By::Event), Ok(None));
    }

    #[test]
    fn an_answer_that_comes_after_the_end_of_its_object_is_outdated() {
        let mut known = Known::default();
        // Our own create: made at 5, gone at 8, and the watch is faster than the answer.
        assert_eq!(see(&mut known, "1", "5", By::Event), Ok(None));
        assert!(end(&mut known, "1", "8"));
        assert_eq!(see(&mut known, "1", "5", By::Read), Err(Outdated));
        assert_eq!(see(&mut known, "2", "9", By::Read), Ok(None));
    }

    #[test]
    fn a_list_ends_what_is_not_in_it_and_not_newer() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "7", By::Read), Ok(None));
        assert!(missing(&mut known, &[], "6").is_empty());
        assert!(missing(&mut known, &[a()], "8").is_empty());
        assert_eq!(missing(&mut known, &[], "8"), ["1"]);
        assert_eq!(see(&mut known, "1", "7", By::Read), Err(Outdated));
    }

    #[test]
    fn a_list_that_still_has_an_object_does_not_bring_it_back() {
        let mut known = Known::default();
        assert_eq!(see(&mut known, "1", "5", By::Event), Ok(None));
        assert!(end_by_answer(&mut known, "1"));
        assert_eq!(see(&mut known, "1", "5", By::Event), Err(Outdated));
        assert!(missing(&mut known, &[a()], "6").is_empty());
        assert_eq!(see(&mut known, "1", "6", By::Event), Err(Outdated));
        assert!(missing(&mut known, &[], "9").is_empty());
        assert_eq!(known.0[&KIND].objects.len(), 0, "forgotten with the list");
    }
}
