//! What can happen to what a controller sends and hears, with the numbers that `docs/testing.md` gives each fault, and plans of
//! when it happens.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use metal3_ipam::api::Kind;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::asked::Asked;

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// Nothing: it is carried out and answered.
    Pass,
    /// F1, F10, F11: answered with this code (429 with Retry-After), not carried out.
    Refused(u16),
    /// F1: there is no connection.
    Unconnected,
    /// F2, F8: carried out, and its answer is lost.
    Lost(Loss),
    /// F3, F4, F5: the process dies.
    Crash(When),
    /// F6: on its way when the process dies; it lands when the test says so.
    Held,
}

/// How an answer is lost after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It says 500.
    Error,
    /// The connection breaks.
    Reset,
    /// It never comes.
    Timeout,
    /// F8: half of its body comes.
    Cut,
}

/// Where in a write the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// F3.
    Sending,
    /// F4: after the commit, before the answer.
    Answer,
    /// F5: the answer is there and has not been taken in.
    Memory,
}

/// What happens to one event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EventFate {
    /// Nothing.
    Pass,
    /// W3: not told. A while later the watch breaks and cannot go on from where it was, which is how a server that has lost
    /// events says so.
    Dropped,
    /// W4: told twice.
    Twice,
    /// W2: told, and then the last ones are told again.
    Again,
    /// W5, W6: this and what follows of the kind is told so much later.
    Stalled(Duration),
    /// W7: told, then the stream ends in an orderly way.
    Closed,
    /// W8: told, then the stream ends, and 410 answers who goes on from there.
    Expired,
    /// W11: told, then an ERROR event of this code.
    Failed(u16),
    /// W12: a bookmark with the newest revision comes before it.
    AfterBookmark,
    /// W13: from here on the end of an object is not told when its successor of the same name comes soon.
    Replaced,
}

/// What happens to one list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListFate {
    /// Nothing.
    Pass,
    /// W1: as things stood so many writes of the controller ago.
    Stale(usize),
    /// W9: in pages of two objects; the second page is answered 410.
    ExpiredMidway,
    /// W10: in pages of two objects; the second page does not come.
    PageMissing,
}

/// Decides on everything that passes. Asked once for each, in order.
pub(crate) trait Mischief: Send {
    /// On a write, numbered from 1 over all lives of the controller. Leases are not among them.
    fn write(&mut self, _n: u64, _asked: &Asked) -> Fate {
        Fate::Pass
    }

    /// On a read of an object, a list or a document, numbered from 1.
    fn read(&mut self, _n: u64, _asked: &Asked) -> Fate {
        Fate::Pass
    }

    /// On a write of the lease, numbered from 1.
    fn lease(&mut self, _n: u64, _asked: &Asked) -> Fate {
        Fate::Pass
    }

    /// How many writes the next process has made when those that are held back land (F6).
    fn landing(&self) -> u64 {
        0
    }

    /// On an event, numbered from 1 for each kind.
    fn event(&mut self, _kind: Kind, _n: u64) -> EventFate {
        EventFate::Pass
    }

    /// On a list (its first page), numbered from 1 for each kind.
    fn list(&mut self, _kind: Kind, _n: u64) -> ListFate {
        ListFate::Pass
    }

    /// Time that a request is under way, before it is carried out and after.
    fn delay(&mut self) -> Duration {
        Duration::ZERO
    }
}

/// Identity of a run's first process.
pub(crate) const FIRST: &str = "manager-1";

/// Nothing happens.
pub(crate) struct Calm;

impl Mischief for Calm {}

/// Faults by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Of writes.
    pub(crate) writes: BTreeMap<u64, Fate>,
    /// Of reads.
    pub(crate) reads: BTreeMap<u64, Fate>,
    /// Of events.
    pub(crate) events: BTreeMap<(Kind, u64), EventFate>,
    /// Of lists.
    pub(crate) lists: BTreeMap<(Kind, u64), ListFate>,
    /// F6: held writes land after so many writes of the next process.
    pub(crate) landing: u64,
    /// From this write on the first process cannot renew its lease.
    pub(crate) cut_off: Option<u64>,
    /// Requests take up to so long, drawn from this seed.
    pub(crate) delays: Option<(u64, Duration)>,
    /// Delays drawn so far.
    pub(super) drawn: u64,
    /// Writes so far.
    pub(super) written: u64,
}

impl Plan {
    /// One fault, at the n-th write.
    pub(crate) fn write(n: u64, fate: Fate) -> Self {
        Self {
            writes: BTreeMap::from([(n, fate)]),
            ..Self::default()
        }
    }

    /// One fault, at the n-th event of a kind.
    pub(crate) fn event(kind: Kind, n: u64, fate: EventFate) -> Self {
        Self {
            events: BTreeMap::from([((kind, n), fate)]),
            ..Self::default()
        }
    }

    /// One fault, at the n-th list of a kind.
    pub(crate) fn list(kind: Kind, n: u64, fate: ListFate) -> Self {
        Self {
            lists: BTreeMap::from([((kind, n), fate)]),
            ..Self::default()
        }
    }

    /// How long its longest fault lasts.
    pub(crate) fn lasts(&self) -> Duration {
        let stalls = self.events.values().map(|fate| match fate {
            EventFate::Stalled(time) => *time,
            _ => Duration::ZERO,
        });
        stalls.max().unwrap_or_default()
    }

    /// Several faults of every kind, crashes among them, for a run that sends about so many writes without any.
    pub(crate) fn draw(seed: u64, writes: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut plan = Self::default();
        let reach = writes.max(4) * 3 / 2;
        for _ in 0..rng.random_range(0..=writes.max(4) / 4) {
            let fate = random_fate(&mut rng);
            plan.writes.insert(rng.random_range(1..=reach), fate);
        }
        for _ in 0..rng.random_range(0..4) {
            let whens = [When::Sending, When::Answer, When::Memory];
            let when = *whens.choose(&mut rng).unwrap();
            plan.writes
                .insert(rng.random_range(1..=reach), Fate::Crash(when));
        }
        for _ in 0..rng.random_range(0..3) {
            let fates = [Fate::Refused(500), Fate::Unconnected, Fate::Refused(429)];
            let fate = fates.choose(&mut rng).unwrap().clone();
            plan.reads.insert(rng.random_range(1..=40), fate);
        }
        for _ in 0..rng.random_range(0..5) {
            let kind = *Kind::ALL.choose(&mut rng).unwrap();
            let fate = random_event_fate(&mut rng);
            plan.events
                .insert((kind, rng.random_range(1..=writes.max(4) / 2)), fate);
        }
        for _ in 0..rng.random_range(0..2) {
            let kind = *Kind::ALL.choose(&mut rng).unwrap();
            let fates = [ListFate::ExpiredMidway, ListFate::PageMissing];
            let fate = fates.choose(&mut rng).unwrap().clone();
            plan.lists.insert((kind, rng.random_range(1..=3)), fate);
        }
        if rng.random_bool(0.6) {
            let longest = *[1, 20, 300, 3_000].choose(&mut rng).unwrap();
            plan.delays = Some((rng.random(), Duration::from_millis(longest)));
        }
        plan
    }
}

fn random_fate(rng: &mut StdRng) -> Fate {
    let fates = [
        Fate::Refused(409),
        Fate::Refused(429),
        Fate::Refused(500),
        Fate::Refused(503),
        Fate::Refused(403),
        Fate::Refused(401),
        Fate::Refused(413),
        Fate::Unconnected,
        Fate::Lost(Loss::Error),
        Fate::Lost(Loss::Reset),
        Fate::Lost(Loss::Timeout),
        Fate::Lost(Loss::Cut),
    ];
    fates.choose(rng).unwrap().clone()
}

fn random_event_fate(rng: &mut StdRng) -> EventFate {
    let fates = [
        EventFate::Dropped,
        EventFate::Twice,
        EventFate::Again,
        EventFate::Stalled(Duration::from_millis(rng.random_range(1..20_000))),
        EventFate::Closed,
        EventFate::Expired,
        EventFate::Failed(410),
        EventFate::Failed(500),
        EventFate::AfterBookmark,
        EventFate::Replaced,
    ];
    fates.choose(rng).unwrap().clone()
}

impl Mischief for Plan {
    fn write(&mut self, n: u64, _asked: &Asked) -> Fate {
        self.written = n;
        self.writes.get(&n).cloned().unwrap_or(Fate::Pass)
    }

    fn read(&mut self, n: u64, _asked: &Asked) -> Fate {
        self.reads.get(&n).cloned().unwrap_or(Fate::Pass)
    }

    fn lease(&mut self, _n: u64, asked: &Asked) -> Fate {
        let is_cut_off = self.cut_off.is_some_and(|from| self.written >= from);
        if is_cut_off && asked.json()["spec"]["holderIdentity"] == FIRST {
            Fate::Unconnected
        } else {
            Fate::Pass
        }
    }

    fn landing(&self) -> u64 {
        self.landing
    }

    fn event(&mut self, kind: Kind, n: u64) -> EventFate {
        let fate = self.events.get(&(kind, n));
        fate.cloned().unwrap_or(EventFate::Pass)
    }

    fn list(&mut self, kind: Kind, n: u64) -> ListFate {
        self.lists
            .get(&(kind, n))
            .cloned()
            .unwrap_or(ListFate::Pass)
    }

    fn delay(&mut self) -> Duration {
        let Some((seed, longest)) = self.delays else {
            return Duration::ZERO;
        };
        self.drawn += 1;
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(self.drawn));
        let longest = u64::try_from(longest.as_micros()).unwrap();
        Duration::from_micros(rng.random_range(0..=longest))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fate) in &self.writes {
            writeln!(f, "  write {n}: {fate:?}")?;
        }
        for (n, fate) in &self.reads {
            writeln!(f, "  read {n}: {fate:?}")?;
        }
        for ((kind, n), fate) in &self.events {
            writeln!(f, "  event {n} of {kind}: {fate:?}")?;
        }
        for ((kind, n), fate) in &self.lists {
            writeln!(f, "  list {n} of {kind}: {fate:?}")?;
        }
        if self.landing > 0 {
            writeln!(f, "  what is held lands after {} writes", self.landing)?;
        }
        if let Some(n) = self.cut_off {
            writeln!(f, "  no renewal of the first lease from write {n} on")?;
        }
        if let Some((seed, longest)) = self.delays {
            writeln!(f, "  requests take up to {longest:?} (seed {seed})")?;
        }
        Ok(())
    }
}
