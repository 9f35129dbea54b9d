//! Which pool does an object lead to?
//!
//! One synchronous struct behind one lock. The watches give it what they show and the writer gives it the answers; it puts
//! facts into mailboxes and never waits. It remembers of every object which pool it led to and in which version
//! ([`Known`]), so that a changed reference and a missed end become facts too and what is not new ends here; and pools
//! are told the state of the kinds only after the objects of the lists that it vouches for (A3).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::api::{
    AddressKey, Claim, ClaimKey, ClaimKind, ClusterFacts, Kind, PoolKey, ReferenceFault,
    ResourceVersion, Uid, WireObject,
};
use crate::pool::{
    By, Incarnation, Input, Kinds, Known, Name, Object, Outcome, Outdated, Reread, Take,
};

use super::absence::Absences;
use super::clusters::NamedClusters;
use super::kinds::Role;
use super::mailbox::ReplyPlace;
use super::reading;
use super::registry::{PoolHandle, Registry};
use super::resume::{PauseEnded, Resuming};
use super::term::LeaderTerms;
use super::view::Counts;
use super::wire::Subject;

/// Starts the worker of a pool.
pub(super) type Hire = Box<dyn Fn(&Arc<Router>, &PoolKey, &PoolHandle) + Send + Sync>;

/// The router. All of it is behind one lock; nothing in it waits while holding that.
pub(super) struct Router {
    state: Mutex<State>,
    pub(super) registry: Arc<Registry>,
    pub(super) counts: Arc<Counts>,
    /// `--watch-filter`.
    filter: Option<String>,
    hire: Hire,
    /// Changed under the lock only.
    pub(super) terms: LeaderTerms,
    pub(super) absences: Absences,
    /// The state of a kind changed, or discovery has answered for one that is absent.
    pub(super) kinds_changed: Notify,
    /// Wakes the task that ends pauses.
    pub(super) ended: PauseEnded,
}

/// What is behind the router's lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) kinds: Kinds,
    pub(super) role: Role,
    pub(super) known: Known,
    /// Clusters by namespace as the pools know them, for workers that are started later.
    pub(super) clusters: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<ClusterFacts>>>,
    /// The lists of address objects of this term have begun. What a list of Clusters shows before holds in them.
    pub(super) addresses_begun: bool,
    /// Clusters whose pause has ended, unknown to the pools yet (P3).
    pub(super) resuming: Resuming,
    /// Pools with a worker, sorted, and the Clusters whose changes concern each.
    pub(super) hired: BTreeMap<PoolKey, NamedClusters>,
    /// Pools that wait for a name to become free (A12).
    watchers: BTreeMap<(Arc<str>, AddressKey), BTreeSet<Arc<str>>>,
    /// The run ends: no pool gets a worker any more.
    stopped: bool,
    /// Names of namespaces, pools and Clusters, each once: 100,000 objects of one pool share both texts.
    shared: BTreeSet<Arc<str>>,
    /// Texts that are remembered before those are forgotten that nothing else has.
    shared_bound: usize,
}

/// The least [`State::shared_bound`].
const FEW_TEXTS: usize = 64;

// === impl Router ===

impl Router {
    pub(super) fn new(
        registry: Arc<Registry>,
        counts: Arc<Counts>,
        filter: Option<String>,
        hire: Hire,
    ) -> Self {
        Self {
            state: Mutex::default(),
            registry,
            counts,
            filter,
            hire,
            terms: LeaderTerms::default(),
            absences: Absences::default(),
            kinds_changed: Notify::default(),
            ended: PauseEnded::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(super::LOCK)
    }

    /// `--watch-filter`.
    pub(super) fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// An object as a list, a page or an event shows it. `version`: the one that its kind is served in.
    pub(super) fn seen(
        self: &Arc<Self>,
        kind: Kind,
        version: &str,
        by: By,
        mut object: WireObject,
    ) {
        let name = {
            let mut state = self.state();
            object.metadata.namespace = state.intern(&object.metadata.namespace);
            let name = Name::of(&object.metadata);
            let seen = Incarnation::of(&object.metadata, None);
            if state.known.is_outdated(kind, &name, &seen, by) {
                // Most often the echo of a write of ours, whose answer the pool has.
                return;
            }
            name
        };
        let meta = &object.metadata;
        if meta.is_deleting() && meta.finalizers.is_empty() {
            // Nothing holds it any more. A page of a list may show it, so that not everything up to its version was shown.
            self.gone(kind, &name, &meta.uid, &ResourceVersion::default());
            return;
        }
        if kind == Kind::Clusters {
            let api_version = format!("{}/{version}", kind.group());
            let facts = ClusterFacts::read(&api_version, &object);
            self.cluster_seen(&name, &object, facts, by);
            return;
        }
        // A whole spec is judged here, before the lock is taken.
        let Some(object) = reading::pool_input(kind, object, self.filter()) else {
            return;
        };
        let mut state = self.state();
        let state = &mut *state;
        if let Ok(Some(pool)) = self.note(state, kind, &name, &object, by) {
            self.deliver(state, &name.pool(&pool), Input::Seen(object));
        }
    }

    /// The first of these objects that a list of this version cannot show in the history that is known.
    pub(super) fn of_another_history<'a>(
        &self,
        kind: Kind,
        objects: impl Iterator<Item = &'a WireObject>,
        listed: &ResourceVersion,
    ) -> Option<Name> {
        let state = self.state();
        let mut names = objects.map(|object| (Name::of(&object.metadata), &object.metadata));
        let found = names.find(|(name, meta)| {
            let seen = Incarnation::of(meta, None);
            state.known.is_of_another_history(kind, name, &seen, listed)
        });
        found.map(|(name, _)| name)
    }

    /// An object's end as a watch shows it, in an event of this version.
    pub(super) fn gone(&self, kind: Kind, name: &Name, uid: &Uid, version: &ResourceVersion) {
        let mut state = self.state();
        if let Some(known) = state.known.end(kind, name, uid, version) {
            self.tell_end(&mut state, kind, name, known, None);
        }
    }

    /// Gives a pool the answer to its request about `subject`, and notes what that shows: what the watch shows of it then is
    /// nothing new.
    pub(super) fn answered(
        self: &Arc<Self>,
        pool: &PoolKey,
        subject: &Subject<'_>,
        mut outcome: Outcome,
        reply: ReplyPlace,
    ) {
        let mut state = self.state();
        let state = &mut *state;
        match &mut outcome {
            Outcome::Stored(object, take) | Outcome::Conflict(Reread::Found(object, take)) => {
                *take = self.note_answer(state, pool, subject.kind, object);
            }
            Outcome::Gone | Outcome::Conflict(Reread::Gone) => {
                if let Some(uid) = subject.uid {
                    let name = Name {
                        namespace: state.intern(&pool.namespace),
                        name: subject.name.into(),
                    };
                    reply.drop_ended(subject.kind, &name, uid);
                    if let Some(known) = state.known.end_by_answer(subject.kind, &name, uid) {
                        self.tell_end(state, subject.kind, &name, known, Some(pool));
                    }
                }
            }
            Outcome::Conflict(Reread::Unread | Reread::Unchanged { .. })
            | Outcome::Cluster(_)
            | Outcome::NameTaken
            | Outcome::Refused { .. }
            | Outcome::NotSent { .. }
            | Outcome::Withdrawn
            | Outcome::Unknown { .. } => {}
        }
        // Under the lock, so that nothing newer comes before it.
        reply.answer(outcome);
    }

    /// Whether the pool is to take in the object of its answer. An object that leads elsewhere goes there.
    fn note_answer(
        self: &Arc<Self>,
        state: &mut State,
        asked_by: &PoolKey,
        kind: Kind,
        object: &Object,
    ) -> Take {
        let mut name = Name::of(object.meta());
        name.namespace = state.intern(&name.namespace);
        match self.note(state, kind, &name, object, By::Read) {
            Ok(Some(pool)) if pool == asked_by.name => {
                self.tell_named(state, asked_by, object);
                Take::In
            }
            Ok(Some(pool)) => {
                self.deliver(state, &name.pool(&pool), Input::Seen(object.clone()));
                Take::LeaveOut
            }
            Ok(None) | Err(Outdated) => Take::LeaveOut,
        }
    }

    /// Remembers an object, tells the pool that its name led to before when that is another or when it was another incarnation,
    /// and returns the pool that it leads to.
    fn note(
        &self,
        state: &mut State,
        kind: Kind,
        name: &Name,
        object: &Object,
        by: By,
    ) -> Result<Option<Arc<str>>, Outdated> {
        let pool = leads_to(object).map(|pool| state.intern(&pool));
        let seen = Incarnation::of(object.meta(), pool.clone());
        let uid = seen.uid.clone();
        let Some(before) = state.known.see(kind, name, seen, by)? else {
            return Ok(pool);
        };
        let moved = before.pool.clone().filter(|_| before.pool != pool);
        match (kind, moved) {
            (Kind::Claims(family), Some(pool)) if before.uid == uid => {
                let key = name.claim(family);
                self.tell(&name.pool(&pool), Input::ClaimLeft { key, uid });
            }
            (_, Some(_)) => self.tell_end(state, kind, name, before, None),
            (_, None) if before.uid != uid => self.tell_end(state, kind, name, before, None),
            (_, None) => {}
        }
        Ok(pool)
    }

    /// A complete list was shown: what is known and was not in it is gone. `version`: of the list.
    pub(super) fn reset(&self, kind: Kind, live: &HashSet<Name>, version: &ResourceVersion) {
        let mut state = self.state();
        for (name, known) in state.known.end_missing(kind, live, version) {
            self.tell_end(&mut state, kind, &name, known, None);
        }
    }

    #[cfg(test)]
    pub(super) fn shared_texts_for_tests(&self) -> usize {
        self.state().shared.len()
    }

    /// The pools of a namespace that have a worker.
    pub(super) fn pools_in(&self, namespace: &str) -> Vec<PoolKey> {
        self.state()
            .workers_in(namespace)
            .map(|(pool, _)| pool.clone())
            .collect()
    }

    /// The pool that a claim leads to, as far as that is a pool of ours.
    pub(super) fn pool_of(&self, namespace: &str, claim: &ClaimKey) -> Option<PoolKey> {
        let name = Name {
            namespace: namespace.into(),
            name: claim.name.clone(),
        };
        let state = self.state();
        let known = state.known.get(Kind::Claims(claim.kind), &name)?;
        Some(name.pool(known.pool.as_ref()?))
    }

    /// From now on this pool gets [`Input::NameFreed`] when the address object of this name goes.
    pub(super) fn watch_name(&self, pool: &PoolKey, name: &AddressKey) {
        let mut state = self.state();
        let namespace = state.intern(&pool.namespace);
        state
            .watchers
            .entry((namespace, name.clone()))
            .or_default()
            .insert(pool.name.clone());
    }

    /// Ends what [`Self::watch_name`] began.
    pub(super) fn forget_name(&self, pool: &PoolKey, name: &AddressKey) {
        let mut state = self.state();
        let key = (pool.namespace.clone(), name.clone());
        if let Some(pools) = state.watchers.get_mut(&key) {
            pools.remove(&pool.name);
            if pools.is_empty() {
                state.watchers.remove(&key);
            }
        }
    }

    /// The worker with this mailbox has left; its mailbox takes nothing any more.
    pub(super) fn retire(&self, pool: &PoolKey, mailbox: &Arc<super::mailbox::Mailbox>) {
        let mut state = self.state();
        if self.registry.remove(pool, mailbox) {
            state.hired.remove(pool);
            // An empty pool holds no name; this is a second line of defence.
            state.watchers.retain(|(namespace, _), pools| {
                if *namespace == pool.namespace {
                    pools.remove(&pool.name);
                }
                !pools.is_empty()
            });
            self.counts.changed();
        }
    }

    /// The run ends: every worker leaves once it has nothing to do.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        for pool in state.hired.keys() {
            if let Some(handle) = self.registry.get(pool) {
                handle.mailbox.stop();
            }
        }
    }

    /// Tells the pool that an object led to that it is gone or leads elsewhere, and the pools that wait for its name. `knows`: the
    /// pool that has this from its own answer.
    fn tell_end(
        &self,
        state: &mut State,
        kind: Kind,
        name: &Name,
        known: Incarnation,
        knows: Option<&PoolKey>,
    ) {
        let Incarnation { uid, pool, .. } = known;
        let pool = pool.map(|pool| name.pool(&pool));
        let to_tell = pool.as_ref().filter(|pool| knows != Some(*pool));
        match kind {
            Kind::Clusters => self.cluster_gone(state, name),
            Kind::Pools => {
                if let Some(pool) = to_tell {
                    self.tell(pool, Input::PoolGone { uid });
                }
            }
            Kind::Claims(family) => {
                if let Some(pool) = to_tell {
                    let key = name.claim(family);
                    self.tell(pool, Input::ClaimGone { key, uid });
                }
            }
            Kind::Addresses(family) => {
                for watcher in state.watchers_of(name, family) {
                    if pool.as_ref() != Some(&watcher) {
                        self.tell(&watcher, Input::NameFreed(name.address(family)));
                    }
                }
                if let Some(pool) = to_tell {
                    let key = name.address(family);
                    self.tell(pool, Input::AddressGone { key, uid });
                }
            }
        }
    }

    /// Puts an input into a pool's mailbox; a pool without a worker gets one.
    fn deliver(self: &Arc<Self>, state: &mut State, pool: &PoolKey, input: Input) {
        if let Input::Seen(object) = &input {
            self.tell_named(state, pool, object);
        }
        let Some(input) = self.put(pool, input) else {
            return;
        };
        if state.stopped {
            // A page that is just being put in: a worker that began now would keep the run from its end.
            return;
        }
        let handle = PoolHandle::default();
        let (mut first, named) = state.clusters_for(pool, &input);
        first.push(Input::Kinds(state.kinds_for_pools()));
        first.push(input);
        for input in first {
            handle
                .mailbox
                .put(input)
                .expect("a new mailbox is open: only its worker closes it, and that starts below");
        }
        // An old worker that has just closed its mailbox is replaced here; when it comes to retire it finds a successor.
        self.registry.insert(pool.clone(), handle.clone());
        state.hired.insert(pool.clone(), named);
        (self.hire)(self, pool, &handle);
    }

    /// Puts an input into a pool's mailbox if it has a worker: without one there is nothing that this could change.
    pub(super) fn tell(&self, pool: &PoolKey, input: Input) {
        let _ = self.put(pool, input);
    }

    /// Gives the input back when nobody takes it.
    fn put(&self, pool: &PoolKey, input: Input) -> Option<Input> {
        match self.registry.get(pool) {
            Some(handle) => handle.mailbox.put(input).err().map(|closed| *closed.0),
            None => Some(input),
        }
    }

    /// The system's clock was set: every pool takes a step with the new time. What it is told is nothing new; a mailbox takes no
    /// tick, and any step compares the two clocks.
    pub(super) fn tell_time(&self) {
        self.tell_all(&self.state());
    }

    pub(super) fn tell_all(&self, state: &State) {
        let kinds = state.kinds_for_pools();
        for pool in state.hired.keys() {
            let _ = self.put(pool, Input::Kinds(kinds));
        }
    }
}

/// Name of the pool of ours that an object leads to.
fn leads_to(object: &Object) -> Option<Arc<str>> {
    match object {
        Object::Pool { object, .. } => Some(object.meta.name.clone()),
        Object::Claim { claim, .. } => leads_to_us(claim).then(|| claim.pool.clone()),
        Object::Address { address, .. } => (!address.pool.is_empty()).then(|| address.pool.clone()),
    }
}

/// An IPAddressClaim of another provider is not ours to look at, but for one that carries our finalizer (R8).
fn leads_to_us(claim: &Claim) -> bool {
    match claim.fault {
        Some(ReferenceFault::OtherProvider) => claim.has_our_finalizer(),
        Some(
            ReferenceFault::NoName
            | ReferenceFault::BadName
            | ReferenceFault::OtherNamespace
            | ReferenceFault::OtherKind,
        )
        | None => true,
    }
}

// === impl State ===

impl State {
    fn kinds_for_pools(&self) -> Kinds {
        match self.role {
            Role::Leader => self.kinds,
            Role::Standby => Kinds::default(),
        }
    }

    /// Pools of a namespace that have a worker.
    pub(super) fn workers_in(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = (&PoolKey, &NamedClusters)> {
        let first = PoolKey {
            namespace: namespace.into(),
            name: "".into(),
        };
        let from = self.hired.range(first..);
        from.take_while(move |(pool, _)| *pool.namespace == *namespace)
    }

    /// The one copy of the name of a namespace or a pool.
    pub(super) fn intern(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.shared.get(text) {
            return known.clone();
        }
        if self.shared.len() >= self.shared_bound.max(FEW_TEXTS) {
            self.shared.retain(|known| Arc::strong_count(known) > 1);
            // Twice what is left: each of these passes is paid for by as many new texts.
            self.shared_bound = 2 * self.shared.len();
        }
        self.shared.insert(text.clone());
        text.clone()
    }

    /// Pools that wait for a name to become free.
    fn watchers_of(&self, name: &Name, kind: ClaimKind) -> Vec<PoolKey> {
        if self.watchers.is_empty() {
            return Vec::new();
        }
        let key = (name.namespace.clone(), name.address(kind));
        self.watchers
            .get(&key)
            .into_iter()
            .flatten()
            .map(|pool| name.pool(pool))
            .collect()
    }
}
