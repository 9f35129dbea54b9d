//! What one pool has yet to be told.
//!
//! The router and the writer put things in and never wait; the pool's worker takes them out. So that neither a slow pool nor
//! a busy server can make it grow, it keeps per object only what still matters: the newest version, and which incarnations
//! ended ("gone uid1, seen uid2" stays two facts, in order). Every request in flight has its reply place reserved.
//!
//! Size: at most [`ENDED`] + 2 facts an object, one answer a request. Answers overtake objects (they finish work, and a pool
//! takes objects and answers in any order); the state of the kinds overtakes no object that was put in before it, because
//! it vouches for them (A3).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::api::{AddressKey, ClaimKey, Uid};
use crate::pool::{Input, Outcome, RequestId};

/// Ended incarnations of one object that are kept apart. A worker can know two of them at most: the one that it was told of
/// last, which is the first kept, and the one that its own unanswered create made, which is among the newest: it would take
/// this many more creations and deletions of one name within one step of the worker to push it out.
const ENDED: usize = 8;

/// The inbox of one worker.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Objects with facts to tell, oldest first. A newer fact of an object takes the place that the older one had.
    order: VecDeque<Slot>,
    facts: HashMap<Slot, Vec<Input>>,
    /// Facts of the object whose turn it is.
    turn: VecDeque<Input>,
    answers: VecDeque<(RequestId, Outcome)>,
    /// Requests in flight: each will put in one answer.
    reserved: usize,
    /// The run ends: the worker leaves as soon as nothing is in here and no answer is due.
    stopping: bool,
    closed: bool,
}

/// What a fact is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Slot {
    Pool,
    Cluster(Arc<str>),
    Claim(ClaimKey),
    Address(AddressKey),
    Kinds,
}

/// The worker is gone; the message comes back, so that it can go to the next one.
#[derive(Debug)]
pub(super) struct Closed(pub(super) Box<Input>);

/// The place that one request's answer has in the mailbox. It is filled exactly once: dropped without an answer (a panic, a
/// cancelled task), it says what is certain then.
#[derive(Debug)]
pub(super) struct ReplyPlace {
    mailbox: Arc<Mailbox>,
    id: RequestId,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not sent yet.
    Queued,
    /// It may have reached the server.
    Sent,
    Answered,
}

// === impl Mailbox ===

impl Mailbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect(super::LOCK)
    }

    /// Puts in a fact. Answers and ticks do not come this way.
    pub(super) fn put(&self, input: Input) -> Result<(), Closed> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(Closed(Box::new(input)));
        }
        inner.put(input);
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// Reserves the place for one answer.
    pub(super) fn reserve(self: &Arc<Self>, id: RequestId) -> ReplyPlace {
        let mut inner = self.inner();
        inner.reserved += 1;
        let places = inner.reserved;
        inner.answers.reserve(places);
        ReplyPlace {
            mailbox: Arc::clone(self),
            id,
            stage: Stage::Queued,
        }
    }

    /// The next thing to tell the pool.
    pub(super) fn take(&self) -> Option<Input> {
        self.inner().take()
    }

    /// Returns once there is something to take, or the run ends.
    pub(super) async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            {
                let inner = self.inner();
                if !inner.is_empty() || (inner.stopping && inner.reserved == 0) {
                    return;
                }
            }
            filled.await;
        }
    }

    /// The run ends: the worker shall leave once nothing is in here and no answer is due.
    pub(super) fn stop(&self) {
        self.inner().stopping = true;
        self.filled.notify_one();
    }

    /// Whether the worker shall leave now.
    pub(super) fn is_drained(&self) -> bool {
        let inner = self.inner();
        inner.stopping && inner.is_empty() && inner.reserved == 0
    }

    /// Closes it if nothing is in it and no answer is due; from then on every message is handed back.
    pub(super) fn close_if_idle(&self) -> bool {
        let mut inner = self.inner();
        if inner.is_empty() && inner.reserved == 0 {
            inner.closed = true;
        }
        inner.closed
    }

    /// Whether nothing is in it and no answer is due.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.is_empty() && inner.reserved == 0
    }

    /// Things to tell: objects and answers.
    pub(super) fn depth(&self) -> usize {
        let inner = self.inner();
        inner.order.len() + inner.turn.len() + inner.answers.len()
    }
}

// === impl Inner ===

impl Inner {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.turn.is_empty() && self.order.is_empty()
    }

    fn put(&mut self, input: Input) {
        let Some(slot) = slot(&input) else {
            debug_assert!(false, "answers and ticks do not come this way");
            return;
        };
        if slot == Slot::Kinds {
            // It vouches for every object put in before it, so a newer one goes to the end.
            if self.facts.insert(slot.clone(), vec![input]).is_some() {
                self.order.retain(|s| *s != Slot::Kinds);
            }
            self.order.push_back(slot);
            return;
        }
        let facts = self.facts.entry(slot.clone()).or_default();
        if facts.is_empty() {
            self.order.push_back(slot);
        }
        join(facts, input);
    }

    fn take(&mut self) -> Option<Input> {
        if let Some((id, outcome)) = self.answers.pop_front() {
            return Some(Input::Answer { id, outcome });
        }
        if self.turn.is_empty() {
            let slot = self.order.pop_front()?;
            self.turn
                .extend(self.facts.remove(&slot).unwrap_or_default());
            if self.order.is_empty() {
                // A burst's memory is given back; at rest a mailbox is a few words.
                self.order = VecDeque::new();
                self.facts = HashMap::new();
            }
        }
        self.turn.pop_front()
    }
}

fn slot(input: &Input) -> Option<Slot> {
    Some(match input {
        Input::PoolSeen { .. } | Input::PoolGone { .. } => Slot::Pool,
        Input::ClusterSeen(cluster) => Slot::Cluster(cluster.name.clone()),
        Input::ClusterGone { name } => Slot::Cluster(name.as_str().into()),
        Input::ClaimSeen { claim, .. } => Slot::Claim(claim.key()),
        Input::ClaimGone { key, .. } => Slot::Claim(key.clone()),
        Input::AddressSeen(address) => Slot::Address(address.key()),
        Input::AddressGone { key, .. } | Input::NameFreed(key) => Slot::Address(key.clone()),
        Input::Kinds(_) => Slot::Kinds,
        Input::Answer { .. } | Input::Tick => return None,
    })
}

/// What a fact says of its object.
enum Says<'a> {
    /// It stands so, as this incarnation.
    Seen(&'a Uid),
    /// This incarnation ended.
    Gone(&'a Uid),
    /// The newest word, whatever came before.
    Newest,
    /// The name is free.
    Freed,
}

fn says(input: &Input) -> Says<'_> {
    match input {
        Input::PoolSeen { object, .. } => Says::Seen(&object.meta.uid),
        Input::ClaimSeen { claim, .. } => Says::Seen(&claim.meta.uid),
        Input::AddressSeen(address) => Says::Seen(&address.meta.uid),
        Input::PoolGone { uid } | Input::ClaimGone { uid, .. } | Input::AddressGone { uid, .. } => {
            Says::Gone(uid)
        }
        Input::NameFreed(_) => Says::Freed,
        Input::ClusterSeen(_)
        | Input::ClusterGone { .. }
        | Input::Kinds(_)
        | Input::Answer { .. }
        | Input::Tick => Says::Newest,
    }
}

/// Adds a fact to those of its object, and drops what it makes worthless.
fn join(facts: &mut Vec<Input>, input: Input) {
    match says(&input) {
        Says::Newest => facts.clear(),
        // Only the newest version counts; that another incarnation ended is told by itself.
        Says::Seen(_) => facts.retain(|f| !matches!(says(f), Says::Seen(_))),
        Says::Gone(uid) => {
            facts.retain(|f| !matches!(says(f), Says::Seen(u) if u == uid));
            if facts
                .iter()
                .any(|f| matches!(says(f), Says::Gone(u) if u == uid))
            {
                return;
            }
            let is_gone = |f: &Input| matches!(says(f), Says::Gone(_));
            if facts.iter().filter(|f| is_gone(f)).count() >= ENDED {
                // Not the first: the worker may know that one.
                let second = facts.iter().enumerate().filter(|(_, f)| is_gone(f)).nth(1);
                if let Some(second) = second.map(|(i, _)| i) {
                    facts.remove(second);
                }
            }
        }
        Says::Freed => facts.retain(|f| !matches!(says(f), Says::Freed)),
    }
    facts.push(input);
}

// === impl ReplyPlace ===

impl ReplyPlace {
    /// From now on the request may have reached the server.
    pub(super) fn sent(&mut self) {
        self.stage = Stage::Sent;
    }

    /// Fills the place.
    pub(super) fn answer(mut self, outcome: Outcome) {
        self.fill(outcome);
    }

    fn fill(&mut self, outcome: Outcome) {
        self.stage = Stage::Answered;
        // A poisoned lock means that the worker has panicked and the run is ending: nobody is left to tell.
        if let Ok(mut inner) = self.mailbox.inner.lock() {
            inner.reserved -= 1;
            inner.answers.push_back((self.id, outcome));
        }
        self.mailbox.filled.notify_one();
    }
}

impl Drop for ReplyPlace {
    fn drop(&mut self) {
        match self.stage {
            Stage::Answered => {}
            Stage::Queued => self.fill(Outcome::NotSent { retry_after: None }),
            Stage::Sent => self.fill(Outcome::Unknown {
                message: "the request was given up".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::api::{Claim, ClaimKind, WireObject};
    use crate::pool::{KindState, Kinds, Scope};

    fn wire(name: &str, uid: &str, version: u64) -> WireObject {
        serde_json::from_value(serde_json::json!({
            "metadata": { "name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string() }
        }))
        .unwrap()
    }

    fn seen(name: &str, uid: &str, version: u64) -> Input {
        Input::ClaimSeen {
            claim: Box::new(Claim::read(ClaimKind::Metal3, wire(name, uid, version))),
            scope: Scope::Ours,
        }
    }

    fn gone(name: &str, uid: &str) -> Input {
        Input::ClaimGone {
            key: ClaimKey {
                kind: ClaimKind::Metal3,
                name: name.into(),
            },
            uid: uid.into(),
        }
    }

    fn text(input: &Input) -> String {
        match input {
            Input::ClaimSeen { claim, .. } => format!(
                "{} seen {} at {}",
                claim.meta.name, claim.meta.uid, claim.meta.resource_version
            ),
            Input::ClaimGone { key, uid } => format!("{} gone {uid}", key.name),
            other => format!("{other:?}"),
        }
    }

    fn drain(mailbox: &Mailbox) -> Vec<String> {
        std::iter::from_fn(|| mailbox.take())
            .map(|i| text(&i))
            .collect()
    }

    #[test]
    fn the_newest_version_takes_the_old_ones_place() {
        let mailbox = Mailbox::default();
        for input in [seen("a", "1", 1), seen("b", "9", 2), seen("a", "1", 3)] {
            mailbox.put(input).unwrap();
        }
        assert_eq!(drain(&mailbox), ["a seen 1 at 3", "b seen 9 at 2"]);
    }

    #[test]
    fn gone_and_seen_again_stay_two_facts() {
        let mailbox = Mailbox::default();
        for input in [
            seen("a", "1", 1),
            gone("a", "1"),
            seen("a", "2", 2),
            seen("a", "2", 3),
        ] {
            mailbox.put(input).unwrap();
        }
        assert_eq!(drain(&mailbox), ["a gone 1", "a seen 2 at 3"]);
    }

    #[test]
    fn a_name_that_comes_and_goes_keeps_few_facts_the_first_and_the_newest() {
        let mailbox = Mailbox::default();
        for uid in 0..100 {
            mailbox.put(seen("a", &uid.to_string(), uid)).unwrap();
            mailbox.put(gone("a", &uid.to_string())).unwrap();
        }
        let told = drain(&mailbox);
        assert_eq!(told.len(), ENDED);
        assert_eq!(told[0], "a gone 0");
        assert_eq!(told[ENDED - 1], "a gone 99");
    }

    #[test]
    fn a_freed_name_is_told_before_who_took_it_next() {
        let key = AddressKey {
            kind: ClaimKind::Metal3,
            name: "p-10-0-0-1".into(),
        };
        let address = crate::api::Address::read(ClaimKind::Metal3, wire("p-10-0-0-1", "2", 5));
        let mailbox = Mailbox::default();
        mailbox.put(Input::NameFreed(key.clone())).unwrap();
        mailbox.put(Input::NameFreed(key)).unwrap();
        mailbox.put(Input::AddressSeen(Box::new(address))).unwrap();
        assert!(matches!(mailbox.take(), Some(Input::NameFreed(_))));
        assert!(matches!(mailbox.take(), Some(Input::AddressSeen(_))));
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn every_request_gets_one_answer_also_when_its_task_is_gone() {
        let mailbox = Arc::new(Mailbox::default());
        let (queued, mut sent, answered) = (
            mailbox.reserve(RequestId(1)),
            mailbox.reserve(RequestId(2)),
            mailbox.reserve(RequestId(3)),
        );
        assert!(!mailbox.close_if_idle(), "answers are due");
        sent.sent();
        drop(queued);
        drop(sent);
        answered.answer(Outcome::Gone);
        let told: Vec<_> = std::iter::from_fn(|| mailbox.take())
            .map(|input| match input {
                Input::Answer { id, outcome } => (id.0, outcome),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(matches!(
            told[0],
            (1, Outcome::NotSent { retry_after: None })
        ));
        assert!(matches!(told[1], (2, Outcome::Unknown { .. })));
        assert!(matches!(told[2], (3, Outcome::Gone)));
        assert_eq!(told.len(), 3);
        assert!(mailbox.close_if_idle());
        assert!(matches!(mailbox.put(gone("a", "1")), Err(Closed(_))));
    }

    #[tokio::test]
    async fn a_message_wakes_who_waits() {
        let mailbox = Arc::new(Mailbox::default());
        let waiter = tokio::spawn({
            let mailbox = Arc::clone(&mailbox);
            async move {
                mailbox.filled().await;
                mailbox.take().is_some()
            }
        });
        tokio::task::yield_now().await;
        mailbox.put(seen("a", "1", 1)).unwrap();
        assert!(waiter.await.unwrap());
    }

    /// One thing that happens: an object changes, ends, or the kinds' state is told, or the worker takes something.
    #[derive(Debug, Clone)]
    enum Event {
        Change(u8),
        End(u8),
        Kinds,
        Take,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0u8..4).prop_map(Event::Change),
            2 => (0u8..4).prop_map(Event::End),
            1 => Just(Event::Kinds),
            3 => Just(Event::Take),
        ]
    }

    /// Position in the naive queue of everything that was ever put in, and what it said.
    #[derive(Default)]
    struct Naive {
        put: Vec<(Option<u8>, String)>,
        told: Vec<usize>,
    }

    impl Naive {
        /// The worker was told this: finds it in the queue.
        fn told(&mut self, what: &str) {
            let at = self.put.iter().rposition(|(_, said)| said == what);
            self.told
                .push(at.unwrap_or_else(|| panic!("{what} was never put in")));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
        #[test]
        fn coalescing_is_a_naive_queue_with_the_worthless_left_out(events in prop::collection::vec(event(), 1..120)) {
            let mailbox = Mailbox::default();
            let mut naive = Naive::default();
            let mut uids = [0u32; 4];
            let mut alive = [false; 4];
            let mut kinds = 0;
            let put = |naive: &mut Naive, object: Option<u8>, input: Input, said: String| {
                mailbox.put(input).unwrap();
                naive.put.push((object, said));
            };
            for (version, event) in events.into_iter().enumerate() {
                match event {
                    Event::Change(o) => {
                        let i = usize::from(o);
                        if !alive[i] { uids[i] += 1; alive[i] = true; }
                        let input = seen(&o.to_string(), &uids[i].to_string(), version as u64);
                        let said = text(&input);
                        put(&mut naive, Some(o), input, said);
                    }
                    Event::End(o) => {
                        let i = usize::from(o);
                        if alive[i] {
                            alive[i] = false;
                            let input = gone(&o.to_string(), &uids[i].to_string());
                            let said = text(&input);
                            put(&mut naive, Some(o), input, said);
                        }
                    }
                    Event::Kinds => {
                        kinds += 1;
                        // Six kinds of four states: enough to number them.
                        let state = |n: u32| [KindState::Pending, KindState::Listed, KindState::Absent, KindState::Unavailable][(n % 4) as usize];
                        let value = Kinds { pools: state(kinds), metal3_claims: state(kinds / 4), capi_claims: state(kinds / 16), clusters: state(kinds / 64), ..Kinds::default() };
                        let input = Input::Kinds(value);
                        let said = text(&input);
                        put(&mut naive, None, input, said);
                    }
                    Event::Take => {
                        if let Some(input) = mailbox.take() { naive.told(&text(&input)); }
                    }
                }
            }
            while let Some(input) = mailbox.take() { naive.told(&text(&input)); }

            let said = |i: usize| naive.put[i].1.as_str();
            let of = |o: Option<u8>| naive.told.iter().copied().filter(|i| naive.put[*i].0 == o).collect::<Vec<_>>();
            for object in [None, Some(0), Some(1), Some(2), Some(3)] {
                let told = of(object);
                prop_assert!(told.windows(2).all(|w| w[0] < w[1]), "told in the order put in");
                let last = naive.put.iter().rposition(|(o, _)| *o == object);
                prop_assert_eq!(told.last().copied(), last, "the last fact is told");
            }
            // An incarnation that the worker was told of is also told gone.
            let all: BTreeSet<&str> = naive.told.iter().map(|i| said(*i)).collect();
            let mut newest: BTreeMap<u8, usize> = BTreeMap::new();
            for i in &naive.told {
                if let (Some(o), Some((_, rest))) = (naive.put[*i].0, said(*i).split_once(" seen ")) {
                    let uid = rest.split(' ').next().unwrap();
                    let end = format!("{o} gone {uid}");
                    let ended = naive.put.iter().any(|(_, s)| *s == end);
                    prop_assert!(!ended || all.contains(end.as_str()), "{end} is missing");
                    newest.insert(o, *i);
                }
            }
            // The kinds' state comes after everything that was put in before it (or something newer of the same object).
            for (turn, i) in naive.told.iter().enumerate() {
                if naive.put[*i].0.is_some() { continue; }
                for object in 0..4u8 {
                    let vouched = naive.put[..*i].iter().rposition(|(o, _)| *o == Some(object));
                    let told = naive.told[..turn].iter().copied().filter(|t| naive.put[*t].0 == Some(object)).max();
                    prop_assert!(told >= vouched, "kinds overtook object {object}");
                }
            }
        }
    }
}
