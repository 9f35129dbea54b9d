//! What happens to the claims of a round, and when: told by watches of the bench's own, the same for both sides.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use kube::Client;

use super::super::board::{Change, Kind};
use super::super::follow::Follow;
use super::Mode;
use crate::api::{Claim, ClaimKey, WireObject};

/// Time in which something must happen to some claim, or the round has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is known of a claim: moments at which the watch told it.
#[derive(Debug, Clone, Copy)]
struct Moments {
    created: Instant,
    touched: Option<Instant>,
    bound: Option<Instant>,
}

/// Watches one namespace.
pub(super) struct Observer {
    follow: Follow,
    claims: HashMap<ClaimKey, Moments>,
    pools: usize,
    bound: usize,
}

/// How long a round's claims took.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// From the first write (backlog) or the first claim (live) to the last claim bound.
    pub(super) whole: Duration,
    /// From the claim's creation (live) or the first write (backlog) to its being bound, sorted.
    pub(super) each: Vec<Duration>,
}

impl Observer {
    pub(super) fn start(client: &Client, namespace: &str) -> Self {
        Self {
            follow: Follow::of(client, Some(namespace)),
            claims: HashMap::new(),
            pools: 0,
            bound: 0,
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
            let Ok(change) = tokio::time::timeout(PATIENCE, self.follow.next()).await else {
                bail!(
                    "nothing happened for {PATIENCE:?}: {} claims are there and {} of them bound",
                    self.claims.len(),
                    self.bound
                );
            };
            self.take(change?);
            show(self);
        }
        Ok(())
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::All(Kind::Claim(kind), objects) => {
                for object in objects {
                    self.seen(&Claim::read(kind, object));
                }
            }
            Change::Seen(Kind::Claim(kind), object) => self.seen(&Claim::read(kind, object)),
            Change::Gone(Kind::Claim(kind), object) => self.gone(&key_of(kind, object)),
            Change::All(Kind::Pool, objects) => self.pools = objects.len(),
            Change::Gone(Kind::Pool, _) => self.pools = self.pools.saturating_sub(1),
            Change::All(Kind::Address(_) | Kind::Cluster, _)
            | Change::Seen(Kind::Pool | Kind::Address(_) | Kind::Cluster, _)
            | Change::Gone(Kind::Address(_) | Kind::Cluster, _) => {}
        }
    }

    fn seen(&mut self, claim: &Claim) {
        let now = Instant::now();
        let moments = self.claims.entry(claim.key()).or_insert(Moments {
            created: now,
            touched: None,
            bound: None,
        });
        if !claim.meta.finalizers.is_empty() {
            moments.touched.get_or_insert(now);
        }
        if claim.published.is_some() && moments.bound.is_none() {
            moments.bound = Some(now);
            self.bound += 1;
        }
    }

    fn gone(&mut self, key: &ClaimKey) {
        if self.claims.remove(key).is_some_and(|m| m.bound.is_some()) {
            self.bound -= 1;
        }
    }

    /// How long it took.
    pub(super) fn times(&self, mode: Mode) -> Times {
        let moments = || self.claims.values();
        let begun = match mode {
            Mode::Backlog => moments().filter_map(|m| m.touched).min(),
            Mode::Live => moments().map(|m| m.created).min(),
        };
        let (Some(begun), Some(ended)) = (begun, moments().filter_map(|m| m.bound).max()) else {
            return Times::default();
        };
        let from = |m: &Moments| match mode {
            Mode::Backlog => begun,
            Mode::Live => m.created,
        };
        let each = moments().filter_map(|m| Some(m.bound?.saturating_duration_since(from(m))));
        let mut each: Vec<Duration> = each.collect();
        each.sort_unstable();
        Times {
            whole: ended.saturating_duration_since(begun),
            each,
        }
    }
}

fn key_of(kind: crate::api::ClaimKind, object: WireObject) -> ClaimKey {
    ClaimKey {
        kind,
        name: object.metadata.name,
    }
}
