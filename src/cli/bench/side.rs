//! Who binds the claims of a round: the bare writes, or the controller.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use kube::Client;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::super::board::{Change, Kind};
use super::super::follow::Follow;
use super::Bench;
use super::load::Load;
use super::site::Site;
use crate::api::{Claim, ClaimKind, WireObject};
use crate::controller::{Ceiling, Controller, Sent, Settings, Target, View, object_name};

/// The two sides of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Three writes per claim and nothing else.
    Ceiling,
    /// The controller.
    Controller,
}

impl Who {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "bare writes",
            Self::Controller => "controller",
        }
    }
}

/// A side at work.
pub(super) struct Side {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    view: Option<View>,
}

impl Side {
    pub(super) async fn start(
        site: &Site,
        who: Who,
        load: &Load,
        bench: &Bench,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let in_flight = usize::from(bench.in_flight);
        let (task, view) = match who {
            Who::Controller => {
                let mut settings = Settings {
                    namespace: Some(load.namespace.clone()),
                    in_flight,
                    ..Settings::default()
                };
                settings.pool.in_flight = settings.pool.in_flight.min(in_flight);
                let controller =
                    Controller::new(site.client.clone(), site.writes.clone(), settings);
                let view = controller.view();
                let stopped = stop.clone();
                let run = async move { controller.run(stopped).await.map_err(anyhow::Error::from) };
                (tokio::spawn(run), Some(view))
            }
            Who::Ceiling => {
                let ceiling = Ceiling::new(site.writes.clone(), in_flight);
                let ceiling = ceiling.await.map_err(anyhow::Error::msg)?;
                let bare = Bare::new(ceiling, load);
                let run = bare.run(site.client.clone(), load.namespace.clone(), stop.clone());
                (tokio::spawn(run), None)
            }
        };
        Ok(Self { stop, task, view })
    }

    /// Stops it and tells what the controller has sent.
    pub(super) async fn stop(self) -> anyhow::Result<Option<Sent>> {
        self.stop.cancel();
        self.task.await.context("it broke off")??;
        Ok(self.view.map(|view| Sent::of(&view.counters())))
    }

    /// Returns when it ends though nobody has stopped it.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow!("it ended by itself"),
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        }
    }
}

/// The bare writes: as claims come, each gets the next address of its pool.
struct Bare {
    ceiling: Arc<Ceiling>,
    pools: HashMap<Arc<str>, (Arc<Target>, u32)>,
    begun: HashSet<(ClaimKind, Arc<str>)>,
    under_way: JoinSet<Result<(), String>>,
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
                            self.begin(kind, object);
                        }
                    }
                    Change::Seen(Kind::Claim(kind), object) => self.begin(kind, object),
                    Change::All(..) | Change::Seen(..) | Change::Gone(..) => {}
                },
                Some(ended) = self.under_way.join_next() => {
                    ended.context("a write broke off")?.map_err(anyhow::Error::msg)?;
                }
            }
        }
        while let Some(ended) = self.under_way.join_next().await {
            ended
                .context("a write broke off")?
                .map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    fn begin(&mut self, kind: ClaimKind, object: WireObject) {
        let claim = Claim::read(kind, object);
        if !self.begun.insert((kind, claim.meta.name.clone())) {
            return;
        }
        let Some((target, next)) = self.pools.get_mut(&claim.pool) else {
            return;
        };
        let address = IpAddr::V4(Ipv4Addr::from_bits(*next));
        *next += 1;
        let (ceiling, target) = (Arc::clone(&self.ceiling), Arc::clone(target));
        self.under_way.spawn(async move {
            let object = object_name(kind, &target.key.name, address);
            ceiling.bind(&target, &claim, &object, address).await
        });
    }
}
