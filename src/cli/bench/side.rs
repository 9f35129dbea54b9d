//! Who binds the claims of a round: the bare writes, or the controller.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use kube::Client;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::super::board::{Change, Kind};
use super::super::follow::Follow;
use super::Bench;
use super::ceiling::{Ceiling, Sent, Target, object_name};
use super::load::Load;
use super::patient::patient;
use super::site::Site;
use crate::api::{AddressKey, Claim, ClaimKey, Meta};
use crate::controller::{Controller, Settings, View};

/// The sides of a round: the bare writes, and the controller in several settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The bare writes: three per claim (six in churn) and nothing else.
    Ceiling,
    /// The controller.
    Controller,
    /// The bare writes, where the API server puts in the claims' finalizers as they are created: one less per claim.
    RuledCeiling,
    /// The controller, where the API server does so.
    Ruled,
    /// The controller, where the webhook checks what is written.
    Checked,
    /// The same, and the webhook puts in the claims' finalizers as they are created.
    Hooked,
    /// The controller on an embedded server.
    Embedded,
}

impl Who {
    /// As the table names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "bare writes",
            Self::Controller => "controller",
            Self::RuledCeiling => "bare, with rule",
            Self::Ruled => "with the rule",
            Self::Checked => "with checks",
            Self::Hooked => "with webhooks",
            Self::Embedded => "embedded",
        }
    }

    /// As the JSON output names it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Controller => "controller",
            Self::RuledCeiling => "ceilingWithRule",
            Self::Ruled => "withRule",
            Self::Checked => "withCheckingWebhook",
            Self::Hooked => "withWebhooks",
            Self::Embedded => "embedded",
        }
    }
}

/// One side of a round while it runs.
pub(super) struct Side {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    view: Option<View>,
    /// What the controller had sent when the claims began to come.
    before: Sent,
}

impl Side {
    /// The controller that takes part, not running yet; `None` for the bare writes.
    pub(super) fn controller(
        site: &Site,
        who: Who,
        load: &Load,
        bench: &Bench,
    ) -> Option<Controller> {
        let writes = match who {
            Who::Ceiling | Who::RuledCeiling => return None,
            Who::Controller | Who::Ruled | Who::Embedded => &site.writes,
            Who::Checked | Who::Hooked => &site.as_manager,
        };
        let settings = Settings {
            namespace: Some(load.namespace.clone()),
            in_flight: usize::from(bench.in_flight),
            metrics: Arc::clone(&site.live.metrics),
            ..Settings::default()
        };
        let controller = Controller::new(site.watches.clone(), writes.clone(), settings);
        site.live.show(controller.view());
        Some(controller)
    }

    /// Starts the controller, or the bare writes.
    pub(super) async fn start(
        site: &Site,
        controller: Option<Controller>,
        load: &Load,
        bench: &Bench,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (task, view) = if let Some(controller) = controller {
            let (view, stopped) = (controller.view(), stop.clone());
            let run = async move { controller.run(stopped).await.map_err(anyhow::Error::from) };
            (tokio::spawn(run), Some(view))
        } else {
            // A controller sends a write again that is answered 429.
            let writes = patient(site.writes.clone());
            let ceiling = Ceiling::new(writes, usize::from(bench.in_flight));
            let ceiling = ceiling.await.map_err(anyhow::Error::msg)?;
            let bare = Bare::new(ceiling, load);
            let run = bare.run(site.client.clone(), load.namespace.clone(), stop.clone());
            (tokio::spawn(run), None)
        };
        Ok(Self {
            stop,
            task,
            view,
            before: Sent::default(),
        })
    }

    /// Returns once the controller serves so many pools and has written their first status. The bare writes need no pool.
    ///
    /// # Errors
    /// When it ends before that.
    pub(super) async fn serves(&mut self, pools: u32) -> anyhow::Result<()> {
        let Some(view) = self.view.clone() else {
            return Ok(());
        };
        let all_ready = async {
            let mut changes = view.changes();
            loop {
                let snapshots = view.snapshots();
                let ready = snapshots.iter().filter(|pool| pool.ready.is_ok()).count();
                if ready == pools as usize && view.is_idle() {
                    break;
                }
                view.changed(&mut changes).await;
            }
        };
        tokio::select! {
            () = all_ready => {}
            failed = self.failed() => return Err(failed),
        }
        self.before = Sent::of(&view.counters());
        Ok(())
    }

    /// Stops it and returns what the controller has sent.
    pub(super) async fn stop(self) -> anyhow::Result<Option<Sent>> {
        self.stop.cancel();
        self.task.await.context("it broke off")??;
        let sent = |view: View| Sent::of(&view.counters()).since(&self.before);
        Ok(self.view.map(sent))
    }

    /// Returns when it ends without having been stopped.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow!("it ended by itself"),
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        }
    }
}

/// The bare writes: as claims come, each gets the next address of its pool; as they are deleted, each loses it.
struct Bare {
    ceiling: Arc<Ceiling>,
    pools: HashMap<Arc<str>, (Arc<Target>, u32)>,
    begun: HashSet<ClaimKey>,
    held: HashMap<ClaimKey, Held>,
    /// Claims that are deleted before their last write is answered.
    deleted: HashMap<ClaimKey, Claim>,
    under_way: JoinSet<Outcome>,
}

/// A claim that is bound, or nothing when one is released.
type Outcome = Result<Option<(ClaimKey, Held)>, String>;

/// A bound claim's address object.
struct Held {
    target: Arc<Target>,
    object: AddressKey,
    stored: Meta,
}

impl Bare {
    fn new(ceiling: Ceiling, load: &Load) -> Self {
        let pools = load.pools.iter().map(|pool| {
            let target = Arc::new(pool.target.clone());
            (pool.target.key.name.clone(), (target, pool.first.to_bits()))
        });
        Self {
            ceiling: Arc::new(ceiling),
            pools: pools.collect(),
            begun: HashSet::new(),
            held: HashMap::new(),
            deleted: HashMap::new(),
            under_way: JoinSet::new(),
        }
    }

    async fn run(
        mut self,
        client: Client,
        namespace: String,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut follow = Follow::of(&client, Some(&namespace));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                change = follow.next() => match change? {
                    Change::All(Kind::Claim(kind), objects) => {
                        for object in objects {
                            self.take(Claim::read(kind, object));
                        }
                    }
                    Change::Seen(Kind::Claim(kind), object) => self.take(Claim::read(kind, object)),
                    Change::All(..) | Change::Seen(..) | Change::Gone(..) => {}
                },
                Some(ended) = self.under_way.join_next() => self.ended(ended)?,
            }
        }
        while let Some(ended) = self.under_way.join_next().await {
            self.ended(ended)?;
        }
        Ok(())
    }

    fn take(&mut self, claim: Claim) {
        if claim.meta.deletion_timestamp.is_none() {
            self.bind(claim);
        } else if let Some(held) = self.held.remove(&claim.key()) {
            self.release(claim, held);
        } else if self.begun.contains(&claim.key()) {
            self.deleted.insert(claim.key(), claim);
        }
    }

    fn bind(&mut self, claim: Claim) {
        if !self.begun.insert(claim.key()) {
            return;
        }
        let Some((target, next)) = self.pools.get_mut(&claim.pool) else {
            return;
        };
        let address = IpAddr::V4(Ipv4Addr::from_bits(*next));
        *next += 1;
        let (ceiling, target) = (Arc::clone(&self.ceiling), Arc::clone(target));
        self.under_way.spawn(async move {
            let object = object_name(claim.kind, &target.key.name, address);
            let stored = ceiling.bind(&target, &claim, &object, address).await?;
            let held = Held {
                target,
                object,
                stored,
            };
            Ok(Some((claim.key(), held)))
        });
    }

    fn release(&mut self, claim: Claim, held: Held) {
        let ceiling = Arc::clone(&self.ceiling);
        self.under_way.spawn(async move {
            let released = ceiling.release(&held.target, &claim, held.object, &held.stored);
            released.await.map(|()| None)
        });
    }

    fn ended(&mut self, ended: Result<Outcome, JoinError>) -> anyhow::Result<()> {
        let bound = ended.context("a write broke off")?;
        if let Some((key, held)) = bound.map_err(anyhow::Error::msg)? {
            match self.deleted.remove(&key) {
                Some(claim) => self.release(claim, held),
                None => drop(self.held.insert(key, held)),
            }
        }
        Ok(())
    }
}
