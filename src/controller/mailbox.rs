//! Inputs that one pool has not taken yet.
//!
//! The router and the writer put things in and never wait; the pool's worker takes them out. So that neither a slow pool nor
//! a busy server can make it grow, it keeps per object only what still matters: the newest version, and which incarnations
//! ended ("gone uid1, seen uid2" stays two inputs, in order). Every request in flight has its reply place reserved.
//!
//! Size: at most [`ENDED`] + 2 inputs an object, one answer a request. Answers overtake objects (they finish work, and a pool
//! takes objects and answers in any order); the state of the kinds and the end of a Cluster's pause overtake no object that was
//! put in before them, because they vouch for it (A3, P3). A question overtakes nothing either, so that its answer holds all that
//! was put in before it. A Cluster that an object names for the first time overtakes everything: the object may be an answer's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::api::{AddressKey, ClaimKey, ClusterFacts, Kind, Uid};
use crate::pool::{Fact, Input, Name, Object, Outcome, Question, RequestId, Reread, Take};

/// Ended incarnations of one object that are kept apart. A worker can know two of them at most: the one that it was told of
/// last, which is the first kept, and the one that its own unanswered create made, which is among the newest: it would take
/// this many more creations and deletions of one name within one step of the worker to push it out.
pub(super) const ENDED: usize = 8;

/// The inbox of one worker.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Objects with inputs to tell, oldest first. A newer input of an object takes the place that the older one had.
    order: VecDeque<Slot>,
    inputs: HashMap<Slot, Vec<Input>>,
    /// Taken before everything else.
    first: VecDeque<Input>,
    /// What is left of the object whose turn it is.
    current: VecDeque<Input>,
    answers: VecDeque<(RequestId, Outcome)>,
    /// Questions; each has a place in the order of the objects.
    asked: VecDeque<Asked>,
    /// Requests in flight: each will put in one answer.
    reserved: usize,
    /// Those of them, or of the answers, that are not to be sent any more.
    withdrawn: HashSet<RequestId>,
    /// When the first thing came in since the worker last looked.
    since: Option<Instant>,
    /// When the worker began with what it works off now.
    batch_begun: Option<Instant>,
    /// The run ends: the worker leaves as soon as nothing is in here and no answer is due.
    stopping: bool,
    closed: bool,
}

/// What the worker takes out.
#[derive(Debug)]
pub(super) enum Taken {
    /// To step the pool with.
    Input(Input),
    /// To answer.
    Asked(Asked),
}

/// A question to the pool, and where its answer goes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) reply: oneshot::Sender<Fact>,
}

/// What an input is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Slot {
    Pool,
    /// That a Cluster is paused.
    Cluster(Arc<str>),
    /// That it is not, or that there is none: a pause that is not taken yet keeps its place before it (P3).
    ClusterGoesOn(Arc<str>),
    Claim(ClaimKey),
    Address(AddressKey),
    Kinds,
    /// The next of the questions.
    Question,
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

    /// Puts in an input. Answers and ticks do not come this way.
    pub(super) fn put(&self, input: Input) -> Result<(), Closed> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(Closed(Box::new(input)));
        }
        inner.put(input);
        inner.since.get_or_insert_with(Instant::now);
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// Puts in a Cluster that the pool's objects have not named before, to be taken before everything else: the object that names
    /// it comes in an answer, or has its place already. But where a pause of that Cluster is not taken yet, or its end, this one
    /// overtakes nothing (P3).
    pub(super) fn put_first(&self, cluster: Arc<ClusterFacts>) {
        let mut inner = self.inner();
        if inner.closed {
            return;
        }
        let slots = [
            Slot::Cluster(cluster.name.clone()),
            Slot::ClusterGoesOn(cluster.name.clone()),
        ];
        let input = Input::ClusterSeen(cluster);
        if slots.iter().any(|slot| inner.inputs.contains_key(slot)) {
            inner.put(input);
        } else {
            inner.first.push_back(input);
        }
        inner.since.get_or_insert_with(Instant::now);
        drop(inner);
        self.filled.notify_one();
    }

    /// Puts in a question. The answer never comes when the worker has left.
    pub(super) fn ask(&self, question: Question) -> oneshot::Receiver<Fact> {
        let (reply, answer) = oneshot::channel();
        let mut inner = self.inner();
        if !inner.closed {
            inner.asked.push_back(Asked { question, reply });
            inner.order.push_back(Slot::Question);
            drop(inner);
            self.filled.notify_one();
        }
        answer
    }

    /// The pool does not want this request sent any more: it looks at this on its way out.
    pub(super) fn withdraw(&self, id: RequestId) {
        self.inner().withdrawn.insert(id);
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

    /// The worker looks: how long something has lain here, `None` when nothing came since it last looked.
    pub(super) fn batch_begins(&self) -> Option<Duration> {
        let mut inner = self.inner();
        let since = inner.since.take()?;
        inner.batch_begun = Some(Instant::now());
        Some(since.elapsed())
    }

    /// The worker has worked off what it began with.
    pub(super) fn batch_ends(&self) {
        self.inner().batch_begun = None;
    }

    /// For how long the worker has worked on what it began with; `None` when it has nothing in hand.
    pub(super) fn batch_lasts(&self) -> Option<Duration> {
        self.inner().batch_begun.map(|begun| begun.elapsed())
    }

    /// The next input or question.
    pub(super) fn take(&self) -> Option<Taken> {
        self.inner().take()
    }

    /// The next input, where no question waits.
    #[cfg(test)]
    pub(super) fn take_input(&self) -> Option<Input> {
        self.take().map(|taken| match taken {
            Taken::Input(input) => input,
            Taken::Asked(asked) => panic!("a question: {asked:?}"),
        })
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

    /// Whether the run ends.
    pub(super) fn is_stopping(&self) -> bool {
        self.inner().stopping
    }

    /// Closes it if the worker shall leave now.
    pub(super) fn close_if_drained(&self) -> bool {
        let mut inner = self.inner();
        inner.stopping && inner.close_if_idle()
    }

    /// Closes it if nothing is in it and no answer is due; from then on every message is handed back.
    pub(super) fn close_if_idle(&self) -> bool {
        self.inner().close_if_idle()
    }

    /// Whether nothing is in it and no answer is due.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.is_empty() && inner.reserved == 0
    }

    /// Inputs in it: objects and answers.
    pub(super) fn depth(&self) -> usize {
        let inner = self.inner();
        inner.first.len() + inner.order.len() + inner.current.len() + inner.answers.len()
    }
}

// === impl Inner ===

impl Inner {
    fn is_empty(&self) -> bool {
        self.first.is_empty()
            && self.answers.is_empty()
            && self.current.is_empty()
            && self.order.is_empty()
    }

    fn close_if_idle(&mut self) -> bool {
        if self.is_empty() && self.reserved == 0 {
            self.closed = true;
        }
        self.closed
    }

    fn put(&mut self, input: Input) {
        let Some(slot) = slot(&input) else {
            debug_assert!(false, "answers and ticks do not come this way");
            return;
        };
        if let Input::ClusterSeen(cluster) = &input
            && cluster.paused
        {
            let goes_on = Slot::ClusterGoesOn(cluster.name.clone());
            if self.inputs.remove(&goes_on).is_some() {
                self.order.retain(|s| *s != goes_on);
            }
        }
        let vouches = match &input {
            Input::Kinds(_) | Input::ClusterGone { .. } => true,
            Input::ClusterSeen(cluster) => !cluster.paused,
            _ => false,
        };
        if vouches {
            // It vouches for every object put in before it, so a newer one goes to the end.
            if self.inputs.insert(slot.clone(), vec![input]).is_some() {
                self.order.retain(|s| *s != slot);
            }
            self.order.push_back(slot);
            return;
        }
        if !self.inputs.contains_key(&slot) {
            self.order.push_back(slot.clone());
        }
        join(self.inputs.entry(slot).or_default(), input);
    }

    /// Drops what an answer with this object makes worthless: answers overtake objects, and the older version must not come
    /// after the newer one. The end of another incarnation stays in.
    fn supersede(&mut self, object: &Object) {
        let uid = &object.meta().uid;
        let is_older = |input: &Input| match says(input) {
            Says::Seen(_) => true,
            Says::Left(left) => left == uid,
            Says::Gone(_) | Says::Newest | Says::Freed => false,
        };
        self.drop_inputs(&slot_of(object), is_older);
    }

    fn drop_inputs(&mut self, slot: &Slot, is_worthless: impl Fn(&Input) -> bool) {
        if self.current.front().and_then(self::slot).as_ref() == Some(slot) {
            self.current.retain(|input| !is_worthless(input));
        }
        if let Some(inputs) = self.inputs.get_mut(slot) {
            inputs.retain(|input| !is_worthless(input));
        }
    }

    fn take(&mut self) -> Option<Taken> {
        if let Some(input) = self.first.pop_front() {
            return Some(Taken::Input(input));
        }
        if let Some((id, outcome)) = self.answers.pop_front() {
            self.withdrawn.remove(&id);
            return Some(Taken::Input(Input::Answer { id, outcome }));
        }
        // An object may have a place in the order and no input left.
        while self.current.is_empty() {
            let slot = self.order.pop_front()?;
            self.current
                .extend(self.inputs.remove(&slot).unwrap_or_default());
            if self.order.is_empty() {
                // A burst's memory is given back; at rest a mailbox is a few words.
                self.order = VecDeque::new();
                self.inputs = HashMap::new();
            }
            if slot == Slot::Question {
                return self.asked.pop_front().map(Taken::Asked);
            }
        }
        self.current.pop_front().map(Taken::Input)
    }
}

fn slot(input: &Input) -> Option<Slot> {
    Some(match input {
        Input::Seen(object) => slot_of(object),
        Input::PoolGone { .. } => Slot::Pool,
        Input::ClusterSeen(cluster) if cluster.paused => Slot::Cluster(cluster.name.clone()),
        Input::ClusterSeen(cluster) => Slot::ClusterGoesOn(cluster.name.clone()),
        Input::ClusterGone { name } => Slot::ClusterGoesOn(name.clone()),
        Input::ClaimGone { key, .. } | Input::ClaimLeft { key, .. } => Slot::Claim(key.clone()),
        Input::AddressGone { key, .. } | Input::NameFreed(key) => Slot::Address(key.clone()),
        Input::Kinds(_) => Slot::Kinds,
        Input::Answer { .. } | Input::Tick => return None,
    })
}

fn slot_of(object: &Object) -> Slot {
    match object {
        Object::Pool { .. } => Slot::Pool,
        Object::Claim { claim, .. } => Slot::Claim(claim.key()),
        Object::Address { address, .. } => Slot::Address(address.key()),
    }
}

/// The slot of the object of this name. `None` for a Cluster: no answer ends one.
fn slot_of_name(kind: Kind, name: &Name) -> Option<Slot> {
    Some(match kind {
        Kind::Pools => Slot::Pool,
        Kind::Claims(family) => Slot::Claim(name.claim(family)),
        Kind::Addresses(family) => Slot::Address(name.address(family)),
        Kind::Clusters => return None,
    })
}

/// The object of an answer that the pool is to take in.
fn newest(outcome: &Outcome) -> Option<&Object> {
    match outcome {
        Outcome::Stored(object, Take::In) | Outcome::Conflict(Reread::Found(object, Take::In)) => {
            Some(object)
        }
        Outcome::Stored(_, Take::LeaveOut)
        | Outcome::Conflict(
            Reread::Found(_, Take::LeaveOut)
            | Reread::Gone
            | Reread::Unread
            | Reread::Unchanged { .. },
        )
        | Outcome::Gone
        | Outcome::Cluster(_)
        | Outcome::NameTaken
        | Outcome::Refused { .. }
        | Outcome::NotSent { .. }
        | Outcome::Withdrawn
        | Outcome::Unknown { .. } => None,
    }
}

/// What an input says of its object.
enum Says<'a> {
    /// It stands so, as this incarnation.
    Seen(&'a Uid),
    /// This incarnation ended.
    Gone(&'a Uid),
    /// This incarnation lives and leads elsewhere.
    Left(&'a Uid),
    /// It replaces everything before it.
    Newest,
    /// The name is free.
    Freed,
}

fn says(input: &Input) -> Says<'_> {
    match input {
        Input::Seen(object) => Says::Seen(&object.meta().uid),
        Input::PoolGone { uid } | Input::ClaimGone { uid, .. } | Input::AddressGone { uid, .. } => {
            Says::Gone(uid)
        }
        Input::ClaimLeft { uid, .. } => Says::Left(uid),
        Input::NameFreed(_) => Says::Freed,
        Input::ClusterSeen(_)
        | Input::ClusterGone { .. }
        | Input::Kinds(_)
        | Input::Answer { .. }
        | Input::Tick => Says::Newest,
    }
}

/// Adds an input to those of its object, and drops what it makes worthless.
fn join(inputs: &mut Vec<Input>, input: Input) {
    match says(&input) {
        Says::Newest => inputs.clear(),
        // Only the newest version counts; the end of another incarnation is an input of its own.
        Says::Seen(_) => inputs.retain(|f| !matches!(says(f), Says::Seen(_))),
        Says::Left(uid) => {
            inputs.retain(|f| !matches!(says(f), Says::Seen(u) | Says::Left(u) if u == uid));
        }
        Says::Gone(uid) => {
            inputs.retain(|f| !matches!(says(f), Says::Seen(u) | Says::Left(u) if u == uid));
            if inputs
                .iter()
                .any(|f| matches!(says(f), Says::Gone(u) if u == uid))
            {
                return;
            }
            let is_gone = |f: &Input| matches!(says(f), Says::Gone(_));
            if inputs.iter().filter(|f| is_gone(f)).count() >= ENDED {
                // Not the first: the worker may know that one.
                let second = inputs.iter().enumerate().filter(|(_, f)| is_gone(f)).nth(1);
                if let Some(second) = second.map(|(i, _)| i) {
                    inputs.remove(second);
                }
            }
        }
        Says::Freed => inputs.retain(|f| !matches!(says(f), Says::Freed)),
    }
    inputs.push(input);
}

// === impl ReplyPlace ===

impl ReplyPlace {
    /// From now on the request may have reached the server.
    pub(super) fn sent(&mut self) {
        self.stage = Stage::Sent;
    }

    /// Which request it is for.
    pub(super) fn id(&self) -> RequestId {
        self.id
    }

    /// Whether the pool wants it sent no more.
    pub(super) fn is_withdrawn(&self) -> bool {
        let inner = self.mailbox.inner.lock();
        inner.is_ok_and(|inner| inner.withdrawn.contains(&self.id))
    }

    /// The answer shows that this incarnation is gone: answers overtake objects, so what was not taken of it is dropped, or it
    /// would come back to life after the answer.
    pub(super) fn drop_ended(&self, kind: Kind, name: &Name, uid: &Uid) {
        let is_of_it =
            |input: &Input| matches!(says(input), Says::Seen(of) | Says::Left(of) if of == uid);
        if let (Some(slot), Ok(mut inner)) = (slot_of_name(kind, name), self.mailbox.inner.lock()) {
            inner.drop_inputs(&slot, is_of_it);
        }
    }

    /// Puts the answer into the mailbox.
    pub(super) fn answer(mut self, outcome: Outcome) {
        self.fill(outcome);
    }

    fn fill(&mut self, outcome: Outcome) {
        self.stage = Stage::Answered;
        // A poisoned lock means that the worker has panicked and the run is ending: no one waits for the answer.
        if let Ok(mut inner) = self.mailbox.inner.lock() {
            inner.reserved -= 1;
            if let Some(object) = newest(&outcome) {
                inner.supersede(object);
            }
            inner.answers.push_back((self.id, outcome));
            inner.since.get_or_insert_with(Instant::now);
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
