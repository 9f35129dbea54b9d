//! Which of two views of an object is newer, and which objects are known to be gone. Watches lag behind answers, and an
//! answer can have been on its way while a watch told of the end: without this a late view would bring a dead object back.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::api::Uid;

use super::request::RequestId;
use super::time::later;

/// How long a grave is kept whose object no watch ever tells the end of (it saw neither its beginning).
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Compares two resourceVersions of one kind. Kubernetes promises since 1.35 that they are numbers that grow; one that is no
/// number counts as newer than what is known, unless the texts are equal.
pub(super) fn compare_versions(seen: &str, known: &str) -> Ordering {
    if seen == known {
        return Ordering::Equal;
    }
    match (seen.parse::<u64>(), known.parse::<u64>()) {
        (Ok(seen), Ok(known)) => seen.cmp(&known),
        (Err(_), _) | (_, Err(_)) => Ordering::Greater,
    }
}

/// Whether an object of another UID under a known name is an older incarnation that arrives late. One of the two is dead;
/// versions are drawn from one counter, so the one with the lower version ended before the other's version was made.
pub(super) fn is_older_incarnation(seen: (&str, Timestamp), known: (&str, Timestamp)) -> bool {
    match (seen.0.parse::<u64>(), known.0.parse::<u64>()) {
        (Ok(seen), Ok(known)) => seen < known,
        (Err(_), _) | (_, Err(_)) => seen.1 < known.1,
    }
}

/// UIDs of objects that are gone.
#[derive(Debug, Default)]
pub(super) struct Graves {
    /// With the time at which an open grave is forgotten.
    graves: BTreeMap<Uid, Option<Timestamp>>,
    /// The watch has told too: nothing but answers to requests below this number can still show the object.
    closing: BTreeSet<(RequestId, Uid)>,
    /// Dug on an answer's word; the watch has yet to tell.
    open: BTreeSet<(Timestamp, Uid)>,
}

impl Graves {
    pub(super) fn has(&self, uid: &Uid) -> bool {
        self.graves.contains_key(uid)
    }

    /// An answer showed that the object is gone.
    pub(super) fn dig(&mut self, uid: Uid, now: Timestamp) {
        if self.graves.contains_key(&uid) {
            return;
        }
        let until = later(now, FORGOTTEN_AFTER);
        self.graves.insert(uid.clone(), Some(until));
        self.open.insert((until, uid));
    }

    /// The watch told that the object is gone; requests from `next` on cannot show it any more.
    pub(super) fn close(&mut self, uid: &Uid, next: RequestId) {
        if let Some(Some(until)) = self.graves.insert(uid.clone(), None) {
            self.open.remove(&(until, uid.clone()));
        }
        self.closing.insert((next, uid.clone()));
    }

    /// Forgets what nothing can bring back: `oldest` is the oldest request without an answer, or the next one.
    pub(super) fn sweep(&mut self, oldest: RequestId, now: Timestamp) {
        while self.closing.first().is_some_and(|(b, _)| *b <= oldest) {
            if let Some((_, uid)) = self.closing.pop_first() {
                self.graves.remove(&uid);
            }
        }
        while self.open.first().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, uid)) = self.open.pop_first() {
                self.graves.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_where_they_are_numbers() {
        assert_eq!(compare_versions("9", "10"), Ordering::Less);
        assert_eq!(compare_versions("10", "10"), Ordering::Equal);
        assert_eq!(compare_versions("11", "10"), Ordering::Greater);
        assert_eq!(compare_versions("b", "a"), Ordering::Greater);
        assert_eq!(compare_versions("a", "b"), Ordering::Greater);
        assert_eq!(compare_versions("a", "a"), Ordering::Equal);
    }

    #[test]
    fn a_grave_is_kept_while_an_older_request_can_still_show_the_object() {
        let mut graves = Graves::default();
        let now = Timestamp::UNIX_EPOCH;
        let uid: Uid = "u".into();
        graves.dig(uid.clone(), now);
        graves.sweep(RequestId(9), now);
        assert!(graves.has(&uid), "the watch has not told yet");
        graves.close(&uid, RequestId(5));
        graves.sweep(RequestId(4), now);
        assert!(graves.has(&uid), "request 4 is unanswered");
        graves.sweep(RequestId(5), now);
        assert!(!graves.has(&uid));
    }
}
