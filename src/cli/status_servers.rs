//! What a running controller shows of itself: health and diagnostics, bound before the run begins and served until its very
//! end: a manager that is stopping is still alive.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::flags::Listen;
use crate::controller::{LiveFacts, View};
use crate::observe::diagnostics::{Diagnostics, Guard, Served};
use crate::observe::health::{Check, Health};
use crate::observe::logs::Dial;
use crate::observe::metrics::{self, Metrics, PoolMetrics};
use crate::standalone::Server;
use crate::webhook::{Certificates, Keeper, Scope, Webhook};

/// Time for answers that are under way when the run ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The servers of one run.
#[derive(Debug, Default)]
pub(super) struct StatusServers {
    stop: CancellationToken,
    servers: Vec<(&'static str, JoinHandle<()>)>,
}

/// What the health and metrics servers show of a run.
pub(super) struct RunStatus {
    pub(super) view: View,
    pub(super) pools: PoolMetrics,
    pub(super) dial: Dial,
    /// The embedded server, where the controller runs on one.
    pub(super) server: Option<Server>,
}

/// Logs or prints where something is served. One place for both, so that the lines read alike.
#[derive(Debug, Clone, Copy)]
pub(super) enum Announce {
    /// In the log.
    Log,
    /// On the terminal.
    Terminal,
}

impl StatusServers {
    /// Serves `/healthz` and `/readyz` there, the latter with this check beside that of the controller.
    pub(super) async fn health(
        &mut self,
        address: &Listen,
        view: View,
        more: Option<Check>,
        announce: Announce,
    ) -> anyhow::Result<()> {
        let Some(health) = first("health", "--health-addr", address, Health::bind).await? else {
            return Ok(());
        };
        match announce {
            Announce::Log => tracing::info!(address = %health.addr(), "health is served"),
            Announce::Terminal => tell!("health: http://{}/readyz", health.addr()),
        }
        let mut checks = vec![Check::new("synced", move || view.ready())];
        checks.extend(more);
        let serve = health.serve(checks, self.stop.clone());
        self.servers.push(("health", tokio::spawn(serve)));
        Ok(())
    }

    /// Serves `/metrics` there, and what else `guard` protects.
    pub(super) async fn diagnostics(
        &mut self,
        address: &Listen,
        served: Served,
        guard: impl FnOnce(IpAddr) -> anyhow::Result<Guard>,
        announce: Announce,
    ) -> anyhow::Result<()> {
        let bind = Diagnostics::bind;
        let found = first("diagnostics", "--diagnostics-address", address, bind).await?;
        let Some(diagnostics) = found else {
            return Ok(());
        };
        let addr = diagnostics.addr();
        let guard = guard(addr.ip())?;
        let scheme = match &guard {
            Guard::Open => "http",
            Guard::Reviewed { .. } => "https",
        };
        match announce {
            Announce::Log => tracing::info!(address = %addr, scheme, "diagnostics are served"),
            Announce::Terminal => tell!("metrics: {scheme}://{addr}/metrics"),
        }
        let serve = diagnostics.serve(served, guard, self.stop.clone());
        self.servers.push(("diagnostics", tokio::spawn(serve)));
        Ok(())
    }

    /// Serves the webhook there.
    pub(super) async fn webhook(
        &mut self,
        address: &Listen,
        certificates: Arc<Certificates>,
        facts: LiveFacts,
        scope: Scope,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<()> {
        let found = first("the webhook", "--webhook-port", address, Webhook::bind).await?;
        let Some(webhook) = found else { return Ok(()) };
        tracing::info!(address = %webhook.addr(), "the webhook is served");
        // What is missing is logged here, and not only at a request.
        let _ = certificates.ready();
        let facts = Arc::new(facts);
        let serve = webhook.serve(certificates, facts, scope, metrics, self.stop.clone());
        self.servers.push(("the webhook", tokio::spawn(serve)));
        Ok(())
    }

    /// Keeps the webhook's own certificates in order.
    pub(super) fn keeper(&mut self, keeper: Keeper) {
        let keeping = tokio::spawn(keeper.run(self.stop.clone()));
        self.servers.push(("the webhook's certificates", keeping));
    }

    /// Ends them, and reports when one had broken off. A client that does not take its answer in time does not delay the end.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let ends = async {
            for (what, server) in self.servers {
                server
                    .await
                    .with_context(|| format!("the server of {what} broke off"))?;
            }
            Ok(())
        };
        timeout(LAST_ANSWERS, ends).await.unwrap_or(Ok(()))
    }
}

/// Binds the first of an address' candidates that can be bound; none where nothing is to be served.
async fn first<S>(
    what: &str,
    flag: &str,
    address: &Listen,
    bind: impl AsyncFn(SocketAddr) -> io::Result<S>,
) -> anyhow::Result<Option<S>> {
    let failed = || {
        format!(
            "cannot serve {what} at {address}; choose another address with {flag}, or 0 for none"
        )
    };
    let mut last = None;
    for candidate in address.candidates().await.with_context(failed)? {
        match bind(candidate).await {
            Ok(server) => return Ok(Some(server)),
            Err(error) => last = Some(error),
        }
    }
    last.map_or(Ok(None), |error| Err(error).with_context(failed))
}

impl RunStatus {
    /// The metrics and the log's level.
    pub(super) fn served(self) -> anyhow::Result<Served> {
        let Self {
            view,
            pools,
            dial,
            server,
        } = self;
        let registry = Registry::new();
        let metrics = view.metrics();
        let look = Box::new(move || view.sight());
        metrics::register(&registry, &metrics, look, pools).context("registering the metrics")?;
        if let Some(server) = server {
            let registered = server.register(&registry);
            registered.context("registering the metrics of the embedded server")?;
        }
        Ok(Served {
            registry,
            natives: metrics.natives(),
            dial,
        })
    }
}
