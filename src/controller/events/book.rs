//! Which Events there are, how often each was seen, and whose turn it is to be written. Pure: the times come with the calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::pool::Moment;

use super::occurrence::{About, Occurrence, Weight};

/// Most series in memory. When a thousand claims fail at once, each gets its Event. Claims beyond a thousand get none until one of
/// these Events is written; the metric counts them.
pub(super) const MOST: usize = 1000;
/// Least time between two writes of one series.
pub(super) const BETWEEN: SignedDuration = SignedDuration::from_secs(10);
/// Time for which nothing of a namespace is written in which Events are refused.
const REST: SignedDuration = SignedDuration::from_mins(1);
/// A series ends when nothing was added to it for this long, as in client-go. The next occurrence begins a new Event object.
const OVER: SignedDuration = SignedDuration::from_mins(6);
/// Longest message in characters, as `events.k8s.io` allows.
const LONGEST: usize = 1024;

/// Which series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    pub(super) about: About,
    pub(super) reason: &'static str,
}

/// One Event object, or one that is to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) weight: Weight,
    pub(super) action: &'static str,
    /// Of the last time that it was seen.
    pub(super) message: String,
    /// How often it was seen.
    pub(super) count: i32,
    /// When it was seen first and last.
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Name of the Event object.
    pub(super) name: Arc<str>,
    /// The count that the object shows; `None`: there is no object.
    stored: Option<i32>,
    /// When it was seen last, as timers go.
    seen_at: Timestamp,
    /// Not written before.
    not_before: Timestamp,
    /// When it was tried last: among those whose time has come the others go before it.
    tried_at: Timestamp,
}

/// All series.
#[derive(Debug, Default)]
pub(super) struct Book {
    series: BTreeMap<SeriesKey, Series>,
    /// Namespaces in which Events are refused, and until when nothing is written there.
    resting: BTreeMap<Arc<str>, Timestamp>,
    /// When each namespace had its turn last.
    turns: BTreeMap<Arc<str>, Timestamp>,
    /// Names that were given.
    named: u64,
}

/// What became of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// There is something to write that there was not before.
    New,
    /// The same, and what another namespace with more to write had there was dropped for it.
    Displaced,
    /// It is counted with what is to be written anyway.
    Counted,
    /// There was no place for it.
    Dropped,
}

// === impl Series ===

impl Series {
    fn is_written(&self) -> bool {
        self.stored == Some(self.count)
    }

    /// Whether the object exists already, so that it is patched.
    pub(super) fn is_stored(&self) -> bool {
        self.stored.is_some()
    }
}

// === impl Book ===

impl Book {
    /// Takes in an occurrence.
    pub(super) fn note(&mut self, occurrence: Occurrence, at: Moment) -> Noted {
        let Occurrence {
            about,
            reason,
            weight,
            action,
            mut message,
        } = occurrence;
        if let Some((end, _)) = message.char_indices().nth(LONGEST) {
            message.truncate(end);
        }
        let key = SeriesKey { about, reason };
        if let Some(series) = self.series.get_mut(&key)
            && !series.is_over(at.now)
        {
            let noted = if series.is_written() {
                Noted::New
            } else {
                Noted::Counted
            };
            series.count = series.count.saturating_add(1);
            series.message = message;
            (series.last, series.seen_at) = (at.wall, at.now);
            return noted;
        }
        self.series.remove(&key);
        let mut noted = Noted::New;
        if self.series.len() >= MOST && !self.makes_room() {
            if !self.displaces(key.about.namespace()) {
                return Noted::Dropped;
            }
            noted = Noted::Displaced;
        }
        self.named += 1;
        let series = Series {
            weight,
            action,
            message,
            count: 1,
            first: at.wall,
            last: at.wall,
            name: object_name(key.about.name(), at.wall, self.named),
            stored: None,
            seen_at: at.now,
            not_before: at.now,
            tried_at: Timestamp::MIN,
        };
        self.series.insert(key, series);
        noted
    }

    /// When something is to be written next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let unwritten = self.series.iter().filter(|(_, s)| !s.is_written());
        unwritten.map(|(key, s)| self.opens(key, s)).min()
    }

    /// When a series may be written.
    fn opens(&self, key: &SeriesKey, series: &Series) -> Timestamp {
        let resting = self.resting.get(key.about.namespace());
        resting.map_or(series.not_before, |until| series.not_before.max(*until))
    }

    /// What is to be written now: namespaces take turns, and in each it is the one whose time has come that waits longest.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<(SeriesKey, Series)> {
        let due = |(key, s): &(&SeriesKey, &Series)| !s.is_written() && self.opens(key, s) <= now;
        let due = self.series.iter().filter(due);
        let (key, _) = due.min_by_key(|(key, s)| {
            let turn = self.turns.get(key.about.namespace()).copied();
            (turn, s.not_before.max(s.tried_at))
        })?;
        let key = key.clone();
        let series = self.series.get_mut(&key)?;
        series.tried_at = now;
        self.turns
            .retain(|_, turn| now.duration_since(*turn) < OVER);
        self.turns.insert(key.about.namespace().into(), now);
        Some((key, series.clone()))
    }

    /// The object shows this count now.
    pub(super) fn stored(&mut self, key: &SeriesKey, count: i32, now: Timestamp) {
        if let Some(series) = self.series.get_mut(key) {
            series.stored = Some(count);
            series.not_before = after(now, BETWEEN);
        }
        self.resting.remove(key.about.namespace());
        self.forget_over(now);
    }

    /// The object is gone, as Events are after an hour: it is made anew, under another name.
    pub(super) fn gone(&mut self, key: &SeriesKey, at: Moment) {
        self.named += 1;
        if let Some(series) = self.series.get_mut(key) {
            series.stored = None;
            series.name = object_name(key.about.name(), at.wall, self.named);
            series.not_before = at.now;
        }
    }

    /// The write failed: it is tried again after a while.
    pub(super) fn failed(&mut self, key: &SeriesKey, now: Timestamp) {
        if let Some(series) = self.series.get_mut(key) {
            series.not_before = after(now, BETWEEN);
        }
    }

    /// Nothing of this namespace is written for a while.
    pub(super) fn rest(&mut self, namespace: &str, now: Timestamp) {
        self.resting.retain(|_, until| *until > now);
        self.resting.insert(namespace.into(), after(now, REST));
    }

    /// The object can never be written: what it is of is gone, or the server refuses it.
    pub(super) fn forget(&mut self, key: &SeriesKey) {
        self.series.remove(key);
    }

    /// Forgets the series that was seen longest ago, of those that are written: its Event stays, and is not counted on.
    fn makes_room(&mut self) -> bool {
        let written = self.series.iter().filter(|(_, s)| s.is_written());
        let oldest = written.min_by_key(|(_, s)| s.seen_at);
        let oldest = oldest.map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.series.remove(&key).is_some())
    }

    /// Forgets the newest that is to be written of the namespace that has most, if that has more than this one.
    fn displaces(&mut self, namespace: &str) -> bool {
        let mut all: BTreeMap<&str, usize> = BTreeMap::new();
        for key in self.series.keys() {
            *all.entry(key.about.namespace()).or_default() += 1;
        }
        let ours = all.get(namespace).copied().unwrap_or_default();
        let Some((most, count)) = all.into_iter().max_by_key(|(_, count)| *count) else {
            return false;
        };
        if count <= ours + 1 {
            return false;
        }
        let of_it = self
            .series
            .iter()
            .filter(|(key, _)| key.about.namespace() == most);
        let newest = of_it
            .max_by_key(|(_, series)| series.first)
            .map(|(key, _)| key.clone());
        newest.is_some_and(|key| self.series.remove(&key).is_some())
    }

    fn forget_over(&mut self, now: Timestamp) {
        self.series
            .retain(|_, series| !(series.is_written() && series.is_over(now)));
    }
}

impl Series {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen_at) >= OVER
    }
}

fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// A name that no other Event has: the object's, cut where it would be too long, and the time. Two processes that give names in
/// one nanosecond would differ in what the object is, or the server refuses the second.
fn object_name(of: &str, wall: Timestamp, number: u64) -> Arc<str> {
    /// Of a DNS subdomain, without the 17 characters behind it.
    const LONGEST_NAME: usize = 253 - 17;
    let cut = &of[..of.len().min(LONGEST_NAME)];
    let nanos = u64::try_from(wall.as_nanosecond()).unwrap_or_default();
    let name = cut.trim_end_matches(['.', '-']);
    format!("{name}.{:016x}", nanos.wrapping_add(number)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ClaimKey, ClaimKind, PoolKey};

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn at(n: i64) -> Moment {
        second(n).into()
    }

    fn of_claim(n: usize) -> Occurrence {
        let claim = ClaimKey {
            kind: ClaimKind::Capi,
            name: format!("c{n}").into(),
        };
        Occurrence {
            about: About::Claim("n".into(), claim, "u".into()),
            ..exhausted("why")
        }
    }

    fn exhausted(message: &str) -> Occurrence {
        let pool = PoolKey {
            namespace: "n".into(),
            name: "p".into(),
        };
        Occurrence {
            about: About::Pool(pool),
            reason: "PoolExhausted",
            weight: Weight::Warning,
            action: "AllocateIPAddress",
            message: message.to_owned(),
        }
    }

    /// Writes what is due at this second; returns message, count and whether the object was there.
    fn write(book: &mut Book, n: i64) -> Option<(String, i32, bool)> {
        let (key, series) = book.due(second(n))?;
        book.stored(&key, series.count, second(n));
        Some((series.message.clone(), series.count, series.is_stored()))
    }

    #[test]
    fn u4_ten_thousand_claims_are_one_series_that_is_written_once_in_ten_seconds() {
        let mut book = Book::default();
        assert_eq!(book.note(exhausted("first"), at(0)), Noted::New);
        assert_eq!(write(&mut book, 0), Some(("first".to_owned(), 1, false)));
        assert_eq!(book.note(exhausted("second"), at(0)), Noted::New);
        for _ in 2..10_000 {
            assert_eq!(book.note(exhausted("last"), at(1)), Noted::Counted);
        }
        assert_eq!(write(&mut book, 9), None);
        assert_eq!(book.next(), Some(second(10)));
        assert_eq!(
            write(&mut book, 10),
            Some(("last".to_owned(), 10_000, true))
        );
        assert_eq!((write(&mut book, 100), book.next()), (None, None));
    }

    #[test]
    fn u4_what_comes_after_a_long_rest_is_an_event_of_its_own() {
        let mut book = Book::default();
        book.note(exhausted("first"), at(0));
        let name = book.due(second(0)).unwrap().1.name;
        write(&mut book, 0);
        book.note(exhausted("again"), at(359));
        assert_eq!(write(&mut book, 359), Some(("again".to_owned(), 2, true)));
        assert_eq!(book.note(exhausted("another"), at(359 + 360)), Noted::New);
        assert_ne!(book.due(second(719)).unwrap().1.name, name);
        assert_eq!(
            write(&mut book, 719),
            Some(("another".to_owned(), 1, false))
        );
    }

    #[test]
    fn u4_series_beyond_the_bound_are_dropped_while_none_is_written() {
        let mut book = Book::default();
        for n in 0..MOST {
            assert_eq!(book.note(of_claim(n), at(0)), Noted::New);
        }
        assert_eq!(book.note(of_claim(MOST), at(0)), Noted::Dropped);
        assert_eq!(book.note(of_claim(0), at(0)), Noted::Counted);
        write(&mut book, 0);
        assert_eq!(book.note(of_claim(MOST), at(1)), Noted::New);
        assert_eq!(book.note(of_claim(MOST + 1), at(1)), Noted::Dropped);
        assert_eq!(book.series.len(), MOST);
        while write(&mut book, 10).is_some() {}
        book.note(of_claim(MOST), at(370));
        write(&mut book, 370);
        assert_eq!(book.series.len(), 1, "the others are over");
    }

    #[test]
    fn u4_an_event_that_the_server_has_forgotten_is_made_anew() {
        let mut book = Book::default();
        book.note(exhausted("first"), at(0));
        write(&mut book, 0);
        book.note(exhausted("second"), at(5));
        let (key, before) = book.due(second(10)).unwrap();
        book.gone(&key, at(10));
        let (_, now) = book.due(second(10)).unwrap();
        assert_ne!(now.name, before.name);
        assert_eq!((now.count, now.is_stored()), (2, false));
        book.failed(&key, second(10));
        assert_eq!(book.next(), Some(second(20)));
        book.forget(&key);
        assert_eq!(book.next(), None);
    }

    #[test]
    fn names_are_those_of_objects_however_long_the_objects_own_is() {
        for (of, begins) in [("p", "p."), ("a.b", "a.b.")] {
            let name = object_name(of, second(0), 1);
            assert!(name.starts_with(begins), "{name}");
        }
        let long = format!("{}.{}", "a".repeat(235), "b".repeat(20));
        let name = object_name(&long, second(0), 1);
        assert!(name.len() <= 253 && !name.contains(".."), "{name}");
        assert_ne!(
            object_name("p", second(0), 1),
            object_name("p", second(0), 2)
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut book = Book::default();
        book.note(exhausted(&"ä".repeat(2000)), at(0));
        let message = book.due(second(0)).unwrap().1.message;
        assert_eq!(message.chars().count(), LONGEST);
    }

    #[test]
    fn u4_a_namespace_with_a_thousand_series_takes_no_place_from_another() {
        let mut book = Book::default();
        for n in 0..MOST {
            assert_eq!(book.note(of_claim(n), at(0)), Noted::New);
        }
        assert_eq!(book.note(of_claim(MOST), at(0)), Noted::Dropped);
        let other = PoolKey {
            namespace: "other".into(),
            name: "p".into(),
        };
        let occurrence = Occurrence {
            about: About::Pool(other.clone()),
            ..exhausted("of another")
        };
        assert_eq!(book.note(occurrence, at(1)), Noted::Displaced);
        assert_eq!(book.series.len(), MOST);
        let written: Vec<_> = (1..3).filter_map(|n| write(&mut book, n)).collect();
        assert!(
            written.iter().any(|(message, ..)| message == "of another"),
            "{written:?}"
        );
    }

    fn of(namespace: &str, n: usize) -> Occurrence {
        let About::Claim(_, claim, uid) = of_claim(n).about else {
            panic!("it is of a claim")
        };
        Occurrence {
            about: About::Claim(namespace.into(), claim, uid),
            ..exhausted(namespace)
        }
    }

    #[test]
    fn u4_several_series_displace_the_newest_of_who_has_most() {
        let mut book = Book::default();
        for n in 0..MOST {
            book.note(of("n", n), at(i64::from(n > 0)));
        }
        for n in 0..5 {
            assert_eq!(
                book.note(of("other", n), at(2)),
                Noted::Displaced,
                "number {n}"
            );
        }
        let others = book.series.keys();
        let others = others.filter(|key| key.about.namespace() == "other");
        assert_eq!(others.count(), 5);
        assert_eq!(
            book.note(of("n", 0), at(3)),
            Noted::Counted,
            "the oldest stays"
        );
    }

    #[test]
    fn u4_three_namespaces_take_turns() {
        let mut book = Book::default();
        for (namespace, since) in [("a", 0), ("b", 0), ("c", 1)] {
            for n in 0..3 {
                book.note(of(namespace, n), at(since));
            }
        }
        let order = (2..8).filter_map(|n| write(&mut book, n));
        let order: Vec<String> = order.map(|written| written.0).collect();
        assert_eq!(order, ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn u4_what_comes_while_it_is_written_is_written_next() {
        let mut book = Book::default();
        book.note(exhausted("first"), at(0));
        let (key, series) = book.due(second(0)).unwrap();
        assert_eq!(book.note(exhausted("meanwhile"), at(0)), Noted::Counted);
        book.stored(&key, series.count, second(0));
        assert_eq!(
            write(&mut book, 10),
            Some(("meanwhile".to_owned(), 2, true))
        );
    }
}
