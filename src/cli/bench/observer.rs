//! What happens to the claims of a round, and when: seen by the bench's own watches, the same for all sides.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use kube::Client;

use super::super::board::{Change, Kind};
use super::super::follow::Follow;
use super::Mode;
use super::lifetimes::Lifetimes;
use crate::api::{Address, Claim, ClaimKey, ClaimKind, ResourceVersion, WireObject};

/// Time in which something must happen to some claim, or the round has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is known of a claim: the moments of its events.
#[derive(Debug, Clone)]
struct Moments {
    version: ResourceVersion,
    created: Instant,
    bound: Option<Instant>,
}

/// What a change meant to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It has its address.
    Bound(ClaimKey),
    /// It is gone.
    Gone(ClaimKey),
    /// Nothing that is waited for.
    Other,
}

/// Watches one namespace.
pub(super) struct Observer {
    follow: Follow,
    claims: HashMap<ClaimKey, Moments>,
    pools: usize,
    bound: usize,
    /// When the first write of the side that binds the claims was seen.
    begun: Option<Instant>,
    lifetimes: Lifetimes,
    done: Done,
    /// What [`Self::next`] has not returned yet: a list may show much at once.
    steps: VecDeque<Step>,
}

/// Claims that came to their end.
#[derive(Debug, Default)]
struct Done {
    count: usize,
    /// From creation to being bound.
    bound_in: Vec<Duration>,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// How long a round's claims took.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// From the first write (backlog) or the first claim (live, churn) to the last claim bound (churn: gone).
    pub(super) whole: Duration,
    /// From the claim's creation (live, churn) or the first write (backlog) to its being bound, sorted.
    pub(super) each: Vec<Duration>,
}

impl Observer {
    pub(super) fn start(client: &Client, namespace: &str) -> Self {
        Self {
            follow: Follow::of(client, Some(namespace)),
            claims: HashMap::new(),
            pools: 0,
            bound: 0,
            begun: None,
            lifetimes: Lifetimes::default(),
            done: Done::default(),
            steps: VecDeque::new(),
        }
    }

    /// Waits until so many claims are there.
    pub(super) async fn until_known(&mut self, claims: u32) -> anyhow::Result<()> {
        self.until(|this| this.claims.len() >= claims as usize, |_| {})
            .await
    }

    /// Waits until so many claims are bound.
    pub(super) async fn until_bound(
        &mut self,
        claims: u32,
        mut show: impl FnMut(usize, usize),
    ) -> anyhow::Result<()> {
        let all = claims as usize;
        self.until(
            |this| this.bound >= all,
            |this| show(this.bound, all.saturating_sub(this.bound)),
        )
        .await
    }

    /// Waits until no claim is there.
    pub(super) async fn until_none(&mut self) -> anyhow::Result<()> {
        self.until(|this| this.claims.is_empty(), |_| {}).await
    }

    /// Waits until no pool is there.
    pub(super) async fn until_no_pools(&mut self) -> anyhow::Result<()> {
        self.until(|this| this.pools == 0, |_| {}).await
    }

    async fn until(
        &mut self,
        so: impl Fn(&Self) -> bool,
        mut show: impl FnMut(&Self),
    ) -> anyhow::Result<()> {
        while !so(self) {
            self.next().await?;
            show(self);
        }
        Ok(())
    }

    /// The next thing that happened. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> anyhow::Result<Step> {
        if let Some(step) = self.steps.pop_front() {
            return Ok(step);
        }
        let Ok(change) = tokio::time::timeout(PATIENCE, self.follow.next()).await else {
            bail!(
                "nothing happened for {PATIENCE:?}: {} claims are there and {} of them bound",
                self.claims.len(),
                self.bound
            );
        };
        self.take(change?);
        Ok(self.steps.pop_front().unwrap_or(Step::Other))
    }

    /// Claims that are there, and how many of them are bound.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.claims.len(), self.bound)
    }

    /// Address objects that came while another one held their address.
    pub(super) fn duplicates(&self) -> usize {
        self.lifetimes.duplicates()
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::All(Kind::Claim(kind), objects) => self.listed(kind, objects),
            Change::Seen(Kind::Claim(kind), object) => self.seen(&Claim::read(kind, object)),
            Change::Gone(Kind::Claim(kind), object) => self.gone(key_of(kind, object)),
            Change::All(Kind::Address(kind), objects) => {
                let objects = objects.into_iter().map(|o| Address::read(kind, o));
                self.lifetimes.listed(kind, &objects.collect::<Vec<_>>());
            }
            Change::Seen(Kind::Address(kind), object) => {
                self.begun.get_or_insert_with(Instant::now);
                self.lifetimes.seen(&Address::read(kind, object));
            }
            Change::Gone(Kind::Address(kind), object) => {
                self.lifetimes.gone(&Address::read(kind, object));
            }
            Change::All(Kind::Pool, objects) => self.pools = objects.len(),
            Change::Gone(Kind::Pool, _) => self.pools = self.pools.saturating_sub(1),
            Change::All(Kind::Cluster, _)
            | Change::Seen(Kind::Pool | Kind::Cluster, _)
            | Change::Gone(Kind::Cluster, _) => {}
        }
    }

    /// A list after a watch that broke off: what it lacks went meanwhile.
    fn listed(&mut self, kind: ClaimKind, objects: Vec<WireObject>) {
        let claims: Vec<Claim> = objects.into_iter().map(|o| Claim::read(kind, o)).collect();
        let there: HashSet<&Arc<str>> = claims.iter().map(|c| &c.meta.name).collect();
        let of_kind = self.claims.keys().filter(|key| key.kind == kind);
        let gone: Vec<ClaimKey> = of_kind
            .filter(|key| !there.contains(&key.name))
            .cloned()
            .collect();
        for key in gone {
            self.gone(key);
        }
        for claim in &claims {
            self.seen(claim);
        }
    }

    fn seen(&mut self, claim: &Claim) {
        let now = Instant::now();
        let version = &claim.meta.resource_version;
        let moments = self.claims.entry(claim.key()).or_insert_with(|| Moments {
            version: version.clone(),
            created: now,
            bound: None,
        });
        if moments.version != *version {
            self.begun.get_or_insert(now);
        }
        if claim.published.is_some() && moments.bound.is_none() {
            moments.bound = Some(now);
            self.bound += 1;
            self.steps.push_back(Step::Bound(claim.key()));
        }
    }

    fn gone(&mut self, key: ClaimKey) {
        let Some(moments) = self.claims.remove(&key) else {
            return;
        };
        self.done.count += 1;
        let first = self.done.first.unwrap_or(moments.created);
        self.done.first = Some(first.min(moments.created));
        self.done.last = Some(Instant::now());
        if let Some(bound) = moments.bound {
            self.bound -= 1;
            let took = bound.saturating_duration_since(moments.created);
            self.done.bound_in.push(took);
        }
        self.steps.push_back(Step::Gone(key));
    }

    /// Claims that have gone.
    pub(super) fn ended(&self) -> usize {
        self.done.count
    }

    /// How long it took.
    pub(super) fn times(&self, mode: Mode) -> Times {
        let moments = || self.claims.values();
        let (begun, ended) = match mode {
            Mode::Backlog => (self.begun, moments().filter_map(|m| m.bound).max()),
            Mode::Live | Mode::Burst => (
                moments().map(|m| m.created).min(),
                moments().filter_map(|m| m.bound).max(),
            ),
            Mode::Churn => (self.done.first, self.done.last),
        };
        let (Some(begun), Some(ended)) = (begun, ended) else {
            return Times::default();
        };
        let from = |m: &Moments| match mode {
            Mode::Backlog => begun,
            Mode::Live | Mode::Burst | Mode::Churn => m.created,
        };
        let there = moments().filter_map(|m| Some(m.bound?.saturating_duration_since(from(m))));
        let mut each: Vec<Duration> = there.chain(self.done.bound_in.iter().copied()).collect();
        each.sort_unstable();
        Times {
            whole: ended.saturating_duration_since(begun),
            each,
        }
    }

    /// From creation to being bound, of the claims whose name begins so; sorted.
    pub(super) fn bound_in(&self, prefix: &str) -> Vec<Duration> {
        let named = self
            .claims
            .iter()
            .filter(|(key, _)| key.name.starts_with(prefix));
        let each = named.filter_map(|(_, m)| Some(m.bound?.saturating_duration_since(m.created)));
        let mut each: Vec<Duration> = each.collect();
        each.sort_unstable();
        each
    }
}

fn key_of(kind: ClaimKind, object: WireObject) -> ClaimKey {
    ClaimKey {
        kind,
        name: object.metadata.name,
    }
}
