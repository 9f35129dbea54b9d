//! The cluster as the watches have shown it: every object by its pool. No I/O.
//!
//! A change marks the pool of its object, and the one that the object led to before. [`Store::rebuild`] feeds the objects of each
//! marked pool to a new state machine (`objects/fed.rs`) and keeps the line that it gives: what a line says is decided there and
//! nowhere here. Its cost grows with the objects of the marked pools, so that it is called once a second at most.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::ask::{Line, Lists, Outlook, Whole};
use super::super::objects::{Fed, Parts};
use super::rate::{Averages, Rate};
use super::watch::{Change, Odd};
use crate::api::{
    Address, AddressKey, Claim, ClaimKey, ClaimKind, ClusterFacts, Kind, PoolKey, PoolObject,
    ReferenceFault, WireObject, names_our_pool,
};
use crate::pool::{KindState, Kinds, Name};

/// Time after which a pool's outlook is computed anew though nothing changed in the pool.
const OUTLOOK_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Every object, by its pool.
#[derive(Debug, Default)]
pub(super) struct Store {
    pools: BTreeMap<PoolKey, Bucket>,
    /// By namespace and name.
    clusters: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<ClusterFacts>>>,
    /// The name of the pool that each object leads to, by the object's kind and name; of a Cluster its own name.
    homes: BTreeMap<Kind, HashMap<Name, Arc<str>>>,
    kinds: Kinds,
    /// Lists that have begun and not ended.
    listings: BTreeMap<Kind, Listing>,
    /// Pools whose lines are no longer what their objects say.
    marked: BTreeSet<PoolKey>,
    rate: Rate,
    /// Kinds that cannot be read, with why and since when.
    troubles: BTreeMap<Kind, (String, Duration)>,
    /// Objects that exist and cannot be read, with why.
    odd: BTreeMap<(Kind, Name), String>,
    /// When the outlooks of all pools were computed last.
    renewed: Option<Timestamp>,
}

/// One pool's objects.
#[derive(Debug, Default)]
struct Bucket {
    pool: Option<PoolObject>,
    claims: BTreeMap<ClaimKey, Claim>,
    addresses: BTreeMap<AddressKey, Address>,
    /// As of the last rebuild.
    line: Option<Arc<Line>>,
    /// Claims with an address, as of the last rebuild.
    bound: u64,
    rate: Rate,
}

/// What a list has shown so far.
#[derive(Debug, Default)]
struct Listing {
    seen: HashSet<Name>,
    /// An object without a name that can be read may be any: then nothing counts as gone.
    nameless: bool,
}

/// A pool's line, and how fast its claims become bound.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) line: Arc<Line>,
    /// Claims with an address.
    pub(super) bound: u64,
    pub(super) rate: Averages,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) text: String,
    /// How old what is shown of it is; `None`: nothing is shown of it.
    pub(super) age: Option<Duration>,
}

/// What the screen shows of a cluster at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) entries: Vec<Entry>,
    /// IPPools that exist.
    pub(super) pools: usize,
    pub(super) claims: u64,
    /// Claims with an address.
    pub(super) bound: u64,
    /// Claims that wait, by reason; those that are being served left out.
    pub(super) waiting: BTreeMap<&'static str, u64>,
    pub(super) rate: Averages,
    /// What could not be read.
    pub(super) notes: Vec<Note>,
    /// Every kind was listed, or cannot be.
    pub(super) is_complete: bool,
    /// Objects known.
    pub(super) objects: usize,
}

impl Store {
    /// Takes in a change, at a time since the screen began.
    pub(super) fn take(&mut self, change: Change, at: Duration) {
        match change {
            Change::Absent(kind) => {
                self.keep_only(kind, &HashSet::new());
                self.listings.remove(&kind);
                self.odd.retain(|(of, _), _| *of != kind);
                self.set_kind(kind, KindState::Absent);
            }
            Change::Listing(kind) => {
                self.listings.insert(kind, Listing::default());
            }
            Change::Page(kind, objects) => {
                for object in objects {
                    match object {
                        Ok(object) => {
                            let name = Name::of(&object.metadata);
                            self.list(kind, |listing| _ = listing.seen.insert(name));
                            self.put(kind, object, at);
                        }
                        Err(odd) => {
                            let name = odd.name.clone();
                            self.list(kind, |listing| match name {
                                Some(name) => _ = listing.seen.insert(name),
                                None => listing.nameless = true,
                            });
                            self.put_odd(kind, odd);
                        }
                    }
                }
            }
            Change::Listed(kind) => {
                let listing = self.listings.remove(&kind).unwrap_or_default();
                if !listing.nameless {
                    self.keep_only(kind, &listing.seen);
                    let seen = &listing.seen;
                    self.odd
                        .retain(|(of, name), _| *of != kind || seen.contains(name));
                }
                self.set_kind(kind, KindState::Listed);
            }
            Change::Seen(kind, object) => self.put(kind, *object, at),
            Change::Gone(kind, name) => {
                self.remove(kind, &name);
                self.odd.remove(&(kind, name));
            }
            Change::Odd(kind, odd) => self.put_odd(kind, odd),
            Change::Trouble(kind, Some(why)) => {
                let trouble = self.troubles.entry(kind).or_insert((String::new(), at));
                trouble.0 = why;
            }
            Change::Trouble(kind, None) => _ = self.troubles.remove(&kind),
        }
    }

    fn list(&mut self, kind: Kind, note: impl FnOnce(&mut Listing)) {
        note(self.listings.entry(kind).or_default());
    }

    fn set_kind(&mut self, kind: Kind, state: KindState) {
        if self.kinds[kind] != state {
            self.kinds[kind] = state;
            self.marked.extend(self.pools.keys().cloned());
        }
    }

    /// The objects of a kind that were not seen do not exist any more.
    fn keep_only(&mut self, kind: Kind, seen: &HashSet<Name>) {
        let known = self.homes.entry(kind).or_default().keys();
        let gone: Vec<Name> = known.filter(|name| !seen.contains(name)).cloned().collect();
        for name in gone {
            self.remove(kind, &name);
        }
    }

    fn put_odd(&mut self, kind: Kind, odd: Odd) {
        let name = odd.name.unwrap_or(Name {
            namespace: "".into(),
            name: "?".into(),
        });
        self.odd.insert((kind, name), odd.error);
    }

    fn put(&mut self, kind: Kind, object: WireObject, at: Duration) {
        let name = Name::of(&object.metadata);
        if !self.odd.is_empty() {
            self.odd.remove(&(kind, name.clone()));
        }
        match kind {
            Kind::Pools => {
                let pool = PoolObject::read(object);
                self.move_to(kind, &name, pool.meta.name.clone());
                let bucket = self.pools.entry(pool.key()).or_default();
                bucket.pool = Some(pool);
            }
            Kind::Claims(kind) => self.put_claim(kind, &name, object, at),
            Kind::Addresses(family) => {
                if !names_our_pool(family, &object.spec) {
                    self.remove(kind, &name);
                    return;
                }
                let address = Address::read(family, object);
                let key = address.pool_key();
                self.move_to(kind, &name, address.pool.clone());
                let bucket = self.pools.entry(key).or_default();
                bucket.addresses.insert(address.key(), address);
            }
            Kind::Clusters => {
                let facts = Arc::new(ClusterFacts::read("", &object));
                let (namespace, own) = (name.namespace.clone(), name.name.clone());
                let clusters = self.clusters.entry(namespace.clone()).or_default();
                // A Cluster's status changes often, and is nothing to a pool.
                if clusters.get(&own) != Some(&facts) {
                    clusters.insert(own.clone(), facts);
                    self.mark_namespace(&namespace);
                }
                self.homes.entry(kind).or_default().insert(name, own);
            }
        }
    }

    fn put_claim(&mut self, kind: ClaimKind, name: &Name, object: WireObject, at: Duration) {
        let claim = Claim::read(kind, object);
        if claim.fault == Some(ReferenceFault::OtherProvider) {
            self.remove(Kind::Claims(kind), name);
            return;
        }
        let key = claim.pool_key();
        let before = self.move_to(Kind::Claims(kind), name, claim.pool.clone());
        let was_bound =
            before.is_some_and(|old| old.meta.uid == claim.meta.uid && old.published.is_some());
        let bucket = self.pools.entry(key).or_default();
        // What the first list holds was bound before.
        if self.kinds[Kind::Claims(kind)] == KindState::Listed
            && claim.published.is_some()
            && !was_bound
        {
            bucket.rate.add(at);
            self.rate.add(at);
        }
        bucket.claims.insert(claim.key(), claim);
    }

    /// Notes that an object leads to a pool, takes it away from the one before, and marks both. Returns the claim as it was.
    fn move_to(&mut self, kind: Kind, name: &Name, pool: Arc<str>) -> Option<Claim> {
        let before = self.take_out(kind, name);
        self.marked.insert(name.pool(&pool));
        let homes = self.homes.entry(kind).or_default();
        homes.insert(name.clone(), pool);
        before
    }

    fn remove(&mut self, kind: Kind, name: &Name) {
        self.take_out(kind, name);
        self.homes.entry(kind).or_default().remove(name);
    }

    /// Takes an object out of its pool, which is marked. Returns it when it is a claim.
    fn take_out(&mut self, kind: Kind, name: &Name) -> Option<Claim> {
        let home = self.homes.get(&kind)?.get(name)?;
        let key = name.pool(home);
        let own = name.name.clone();
        match kind {
            Kind::Pools => {
                let bucket = self.pools.get_mut(&key)?;
                bucket.pool = None;
                self.marked.insert(key);
                None
            }
            Kind::Claims(kind) => {
                let bucket = self.pools.get_mut(&key)?;
                self.marked.insert(key);
                bucket.claims.remove(&ClaimKey { kind, name: own })
            }
            Kind::Addresses(kind) => {
                let bucket = self.pools.get_mut(&key)?;
                self.marked.insert(key);
                bucket.addresses.remove(&AddressKey { kind, name: own });
                None
            }
            Kind::Clusters => {
                if let Some(clusters) = self.clusters.get_mut(&name.namespace)
                    && clusters.remove(&own).is_some()
                {
                    self.mark_namespace(&name.namespace);
                }
                None
            }
        }
    }

    fn mark_namespace(&mut self, namespace: &Arc<str>) {
        let pools = self.pools.keys();
        let pools = pools.filter(|key| key.namespace == *namespace);
        self.marked.extend(pools.cloned());
    }

    /// Whether every kind was listed or is known not to be readable, so that lines can be trusted.
    pub(super) fn is_complete(&self) -> bool {
        self.known_kinds().is_synced()
    }

    /// As the answers take it: a kind that was never read counts as absent, and the notes say so.
    fn known_kinds(&self) -> Kinds {
        let mut kinds = self.kinds;
        for kind in self.troubles.keys() {
            if kinds[*kind] == KindState::Pending {
                kinds[*kind] = KindState::Absent;
            }
        }
        kinds
    }

    /// Makes the lines of the marked pools anew, and returns those that differ from before, by key. The line of a pool of which
    /// nothing is left is returned a last time.
    pub(super) fn rebuild(&mut self, now: Timestamp) -> Vec<Arc<Line>> {
        let mut changed = Vec::new();
        for key in std::mem::take(&mut self.marked) {
            let Some(fed) = self.feed(&key, now) else {
                continue;
            };
            let line = Arc::new(Line::new(&fed, now));
            let Some(bucket) = self.pools.get_mut(&key) else {
                continue;
            };
            let claims = bucket.claims.values();
            bucket.bound = claims.filter(|claim| claim.published.is_some()).count() as u64;
            let is_empty = bucket.is_empty();
            let is_news = match &bucket.line {
                Some(before) => *before != line,
                None => !is_empty,
            };
            bucket.line = Some(Arc::clone(&line));
            if is_news {
                changed.push(line);
            }
            if is_empty {
                self.pools.remove(&key);
            }
        }
        changed.extend(self.renew_outlooks(now));
        changed
    }

    /// Computes anew when each pool runs out, once a minute: time alone changes it. Returns the lines that differ from before.
    fn renew_outlooks(&mut self, now: Timestamp) -> Vec<Arc<Line>> {
        let is_due = |before: Timestamp| now.duration_since(before) >= OUTLOOK_INTERVAL;
        if !self.renewed.is_none_or(is_due) {
            return Vec::new();
        }
        self.renewed = Some(now);
        let mut changed = Vec::new();
        for bucket in self.pools.values_mut() {
            let births = bucket.parts().births();
            if let Some(line) = &mut bucket.line {
                let outlook = Outlook::new(&births, line.snapshot.available, now);
                if line.outlook != outlook {
                    Arc::make_mut(line).outlook = outlook;
                    changed.push(Arc::clone(line));
                }
            }
        }
        changed
    }

    /// The pool's state machine, fed with its objects.
    fn feed(&self, key: &PoolKey, now: Timestamp) -> Option<Fed> {
        let clusters = self.clusters.get(&key.namespace);
        let parts = Parts {
            clusters: clusters.into_iter().flat_map(BTreeMap::values).collect(),
            ..self.pools.get(key)?.parts()
        };
        let mut fed = Fed::of(key.clone(), &parts, self.known_kinds(), None, now);
        fed.refuse_taken_names(|name| self.address(&key.namespace, name), None, now);
        Some(fed)
    }

    /// The address object of a name, of whatever pool.
    fn address(&self, namespace: &Arc<str>, key: &AddressKey) -> Option<&Address> {
        let name = Name {
            namespace: namespace.clone(),
            name: key.name.clone(),
        };
        let homes = self.homes.get(&Kind::Addresses(key.kind))?;
        let pool = name.pool(homes.get(&name)?);
        self.pools.get(&pool)?.addresses.get(key)
    }

    /// Whether the pool's line is older than its objects.
    pub(super) fn is_marked(&self, key: &PoolKey) -> bool {
        self.marked.contains(key)
    }

    /// Everything about a pool, for people; `None`: nothing is known of it.
    pub(super) fn text(&self, key: &PoolKey, now: Timestamp) -> Option<String> {
        let object = self.pools.get(key)?.pool.as_ref();
        let fed = self.feed(key, now)?;
        Some(Whole::new(&fed, object).text(Lists::Whole))
    }

    /// What is to be shown at this time.
    pub(super) fn view(&self, at: Duration) -> View {
        let mut view = View {
            rate: self.rate.averages(at),
            notes: self.notes(at),
            is_complete: self.is_complete(),
            objects: self.homes.values().map(HashMap::len).sum(),
            ..View::default()
        };
        for bucket in self.pools.values() {
            let Some(line) = &bucket.line else {
                continue;
            };
            view.pools += usize::from(line.snapshot.exists());
            view.claims += line.snapshot.claims;
            view.bound += bucket.bound;
            for (reason, claims) in line.waiting_by_reason() {
                *view.waiting.entry(reason).or_default() += claims;
            }
            view.entries.push(Entry {
                line: Arc::clone(line),
                bound: bucket.bound,
                rate: bucket.rate.averages(at),
            });
        }
        view
    }

    /// What could not be read. Kinds that fail for one reason have one note.
    pub(super) fn notes(&self, at: Duration) -> Vec<Note> {
        let mut by_reason: BTreeMap<&str, Vec<(Kind, Duration)>> = BTreeMap::new();
        for (kind, (why, since)) in &self.troubles {
            by_reason.entry(why).or_default().push((*kind, *since));
        }
        let note = |(why, kinds): (&str, Vec<(Kind, Duration)>)| {
            let names = match &*kinds {
                [(kind, _)] => kind.to_string(),
                many => format!("{} kinds", many.len()),
            };
            let listed = |(kind, _): &&(Kind, Duration)| self.kinds[*kind] == KindState::Listed;
            let since = kinds.iter().filter(listed).map(|(_, since)| *since).min();
            Note {
                text: format!("{names}: {why}"),
                age: since.map(|since| at.saturating_sub(since)),
            }
        };
        let odd = self.odd.iter().map(|((kind, name), why)| Note {
            text: format!("{kind} {}/{}: {why}", name.namespace, name.name),
            age: None,
        });
        by_reason.into_iter().map(note).chain(odd).collect()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.age {
            Some(age) => write!(f, ". Shown as it was {} s ago", age.as_secs()),
            None => f.write_str(". Not shown"),
        }
    }
}

impl Bucket {
    /// Its objects, without the Clusters.
    fn parts(&self) -> Parts<'_> {
        Parts {
            pool: self.pool.as_ref(),
            addresses: self.addresses.values().collect(),
            claims: self.claims.values().collect(),
            clusters: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.pool.is_none() && self.claims.is_empty() && self.addresses.is_empty()
    }
}
