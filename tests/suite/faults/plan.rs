//! Faults of requests, events and lists, with the numbers of `docs/testing.md`, and plans of when they happen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use metal3_ipam::api::Kind;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::api_request::ApiRequest;

/// What a crash costs at most: its lease runs out, a new process lists everything, and every request is slow.
const AFTER_A_CRASH: Duration = Duration::from_secs(45);

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RequestFault {
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
    /// F6: in flight when the process dies; the layer sends it later.
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
    /// F5: the answer has arrived and is not processed yet.
    Memory,
}

/// What happens to one event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EventFault {
    /// Nothing.
    Pass,
    /// W3: lost. A while later the watch ends and cannot go on from where it was: so a server reports that it has lost events.
    Dropped,
    /// W4: sent twice.
    Twice,
    /// W2: sent, and then the last ones are sent again.
    Again,
    /// W5, W6: this and the following events of the kind are sent so much later.
    Stalled(Duration),
    /// W7: sent, then the stream ends without an error.
    Closed,
    /// W8: sent, then the stream ends, and the next watch is answered 410.
    Expired,
    /// W11: sent, then an ERROR event of this code.
    Failed(u16),
    /// W12: a bookmark with the newest revision comes before it.
    AfterBookmark,
    /// W13: from here on the deletion of an object is not sent when an object of the same name follows soon.
    Replaced,
}

/// What happens to one list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListFault {
    /// Nothing.
    Pass,
    /// W1: as things stood so many writes of the controller ago.
    Stale(usize),
    /// W9: in pages of two objects; the second page is answered 410.
    ExpiredMidway,
    /// W10: in pages of two objects; the second page does not come.
    PageMissing,
}

/// Chooses the fault of each request, event and list. Called once for each, in order.
pub(crate) trait Faults: Send {
    /// On a write, numbered from 1 over all processes of the controller. Leases are not among them.
    fn write(&mut self, _n: u64, _request: &ApiRequest) -> RequestFault {
        RequestFault::Pass
    }

    /// On a read of an object, a list or a document, numbered from 1.
    fn read(&mut self, _n: u64, _request: &ApiRequest) -> RequestFault {
        RequestFault::Pass
    }

    /// On a write of the lease, numbered from 1.
    fn lease(&mut self, _n: u64, _request: &ApiRequest) -> RequestFault {
        RequestFault::Pass
    }

    /// After how many writes of the next process the held ones are sent (F6).
    fn landing(&self) -> u64 {
        0
    }

    /// On an event, numbered from 1 for each kind.
    fn event(&mut self, _kind: Kind, _n: u64) -> EventFault {
        EventFault::Pass
    }

    /// On a list (its first page), numbered from 1 for each kind.
    fn list(&mut self, _kind: Kind, _n: u64) -> ListFault {
        ListFault::Pass
    }

    /// Time that a request takes to the server, and its answer back.
    fn delay(&mut self) -> Duration {
        Duration::ZERO
    }
}

/// Identity of a run's first process.
pub(crate) const FIRST: &str = "manager-1";

/// No fault at all.
pub(crate) struct NoFaults;

impl Faults for NoFaults {}

/// Faults by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Of writes.
    pub(crate) writes: BTreeMap<u64, RequestFault>,
    /// Of reads.
    pub(crate) reads: BTreeMap<u64, RequestFault>,
    /// Of events.
    pub(crate) events: BTreeMap<(Kind, u64), EventFault>,
    /// Of lists.
    pub(crate) lists: BTreeMap<(Kind, u64), ListFault>,
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
    pub(crate) fn write(n: u64, fault: RequestFault) -> Self {
        Self {
            writes: BTreeMap::from([(n, fault)]),
            ..Self::default()
        }
    }

    /// One fault, at the n-th event of a kind.
    pub(crate) fn event(kind: Kind, n: u64, fault: EventFault) -> Self {
        Self {
            events: BTreeMap::from([((kind, n), fault)]),
            ..Self::default()
        }
    }

    /// One fault, at the n-th list of a kind.
    pub(crate) fn list(kind: Kind, n: u64, fault: ListFault) -> Self {
        Self {
            lists: BTreeMap::from([((kind, n), fault)]),
            ..Self::default()
        }
    }

    /// How long its faults may last.
    pub(crate) fn lasts(&self) -> Duration {
        let stalls = self.events.values().map(|fault| match fault {
            EventFault::Stalled(time) => *time,
            _ => Duration::ZERO,
        });
        let crashes = self.writes.values();
        let crashes = crashes.filter(|fault| matches!(fault, RequestFault::Crash(_)));
        let crashes = u32::try_from(crashes.count()).unwrap_or(u32::MAX);
        stalls.max().unwrap_or_default() + AFTER_A_CRASH * crashes
    }

    /// Several faults of every kind, crashes among them, for a run that sends about so many writes without any.
    pub(crate) fn draw(seed: u64, writes: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut plan = Self::default();
        let reach = writes.max(4) * 3 / 2;
        for _ in 0..rng.random_range(0..=writes.max(4) / 4) {
            let fault = random_fault(&mut rng);
            plan.writes.insert(rng.random_range(1..=reach), fault);
        }
        for _ in 0..rng.random_range(0..4) {
            let whens = [When::Sending, When::Answer, When::Memory];
            let when = *whens.choose(&mut rng).unwrap();
            plan.writes
                .insert(rng.random_range(1..=reach), RequestFault::Crash(when));
        }
        for _ in 0..rng.random_range(0..3) {
            let faults = [
                RequestFault::Refused(500),
                RequestFault::Unconnected,
                RequestFault::Refused(429),
            ];
            let fault = faults.choose(&mut rng).unwrap().clone();
            plan.reads.insert(rng.random_range(1..=40), fault);
        }
        for _ in 0..rng.random_range(0..5) {
            let kind = *Kind::ALL.choose(&mut rng).unwrap();
            let fault = random_event_fault(&mut rng);
            plan.events
                .insert((kind, rng.random_range(1..=writes.max(4) / 2)), fault);
        }
        for _ in 0..rng.random_range(0..2) {
            let kind = *Kind::ALL.choose(&mut rng).unwrap();
            let faults = [ListFault::ExpiredMidway, ListFault::PageMissing];
            let fault = faults.choose(&mut rng).unwrap().clone();
            plan.lists.insert((kind, rng.random_range(1..=3)), fault);
        }
        if rng.random_bool(0.6) {
            let longest = *[1, 20, 300, 3_000].choose(&mut rng).unwrap();
            plan.delays = Some((rng.random(), Duration::from_millis(longest)));
        }
        plan
    }
}

fn random_fault(rng: &mut StdRng) -> RequestFault {
    let faults = [
        RequestFault::Refused(409),
        RequestFault::Refused(429),
        RequestFault::Refused(500),
        RequestFault::Refused(503),
        RequestFault::Refused(403),
        RequestFault::Refused(401),
        RequestFault::Refused(413),
        RequestFault::Unconnected,
        RequestFault::Lost(Loss::Error),
        RequestFault::Lost(Loss::Reset),
        RequestFault::Lost(Loss::Timeout),
        RequestFault::Lost(Loss::Cut),
    ];
    faults.choose(rng).unwrap().clone()
}

fn random_event_fault(rng: &mut StdRng) -> EventFault {
    let faults = [
        EventFault::Dropped,
        EventFault::Twice,
        EventFault::Again,
        EventFault::Stalled(Duration::from_millis(rng.random_range(1..20_000))),
        EventFault::Closed,
        EventFault::Expired,
        EventFault::Failed(410),
        EventFault::Failed(500),
        EventFault::AfterBookmark,
        EventFault::Replaced,
    ];
    faults.choose(rng).unwrap().clone()
}

impl Faults for Plan {
    fn write(&mut self, n: u64, _request: &ApiRequest) -> RequestFault {
        self.written = n;
        self.writes.get(&n).cloned().unwrap_or(RequestFault::Pass)
    }

    fn read(&mut self, n: u64, _request: &ApiRequest) -> RequestFault {
        self.reads.get(&n).cloned().unwrap_or(RequestFault::Pass)
    }

    fn lease(&mut self, _n: u64, request: &ApiRequest) -> RequestFault {
        let is_cut_off = self.cut_off.is_some_and(|from| self.written >= from);
        if is_cut_off && request.json()["spec"]["holderIdentity"] == FIRST {
            RequestFault::Unconnected
        } else {
            RequestFault::Pass
        }
    }

    fn landing(&self) -> u64 {
        self.landing
    }

    fn event(&mut self, kind: Kind, n: u64) -> EventFault {
        let fault = self.events.get(&(kind, n));
        fault.cloned().unwrap_or(EventFault::Pass)
    }

    fn list(&mut self, kind: Kind, n: u64) -> ListFault {
        self.lists
            .get(&(kind, n))
            .cloned()
            .unwrap_or(ListFault::Pass)
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
        for (n, fault) in &self.writes {
            writeln!(f, "  write {n}: {fault:?}")?;
        }
        for (n, fault) in &self.reads {
            writeln!(f, "  read {n}: {fault:?}")?;
        }
        for ((kind, n), fault) in &self.events {
            writeln!(f, "  event {n} of {kind}: {fault:?}")?;
        }
        for ((kind, n), fault) in &self.lists {
            writeln!(f, "  list {n} of {kind}: {fault:?}")?;
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
