//! `metal3-ipam manager`: the controller against a Kubernetes API server, in a cluster or from outside, with the flags of
//! upstream's manager.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::flags::{self, Listen};
use super::options::{Logging, Serving};
use super::{accepted, connect, signals};
use crate::controller::{self, Controller, LeaseSettings, Rate, Settings, View};
use crate::observe::health::Health;
use crate::observe::logs::Level;

/// Client-go's defaults for a rate of which only the other half is given.
const DEFAULT_QPS: f32 = 20.0;
const DEFAULT_BURST: u32 = 30;

/// Runs the controller against a Kubernetes API server.
///
/// Takes the flags of metal3-io/ip-address-manager; those without a meaning here are accepted with a warning.
#[derive(Debug, Args)]
pub(super) struct Manager {
    /// Let one of several managers work at a time, by a lease.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = flags::boolean)]
    pub(super) leader_elect: bool,
    /// Serve this namespace only; a Role in it is enough. Default: all.
    #[arg(long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// Act only on objects whose label cluster.x-k8s.io/watch-filter has this value. Default: on all.
    #[arg(long, value_name = "VALUE")]
    pub(super) watch_filter: Option<String>,
    /// Where health is served, as host:port or :port; 0: nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = ":9440", value_parser = Listen::parse)]
    pub(super) health_addr: Listen,
    /// Port of the webhook server; 0: none. This version serves none.
    #[arg(long, value_name = "PORT", default_value_t = 9443)]
    pub(super) webhook_port: u16,
    /// Where diagnostics are served, as host:port or :port; 0: nowhere. This version serves none.
    #[arg(long, value_name = "ADDRESS", default_value = ":8443", value_parser = Listen::parse)]
    pub(super) diagnostics_address: Listen,
    /// Most requests a second to the API server; not above 0: no limit. Default: none, --in-flight bounds the writes.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = rate)]
    pub(super) kube_api_qps: Option<f32>,
    /// Most requests in one burst, where --kube-api-qps limits them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) kube_api_burst: Option<u32>,
    /// The kubeconfig to use. Default: $KUBECONFIG, else the pod's service account, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use. Default: its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    #[command(flatten)]
    pub(super) serving: Serving,
    #[command(flatten)]
    pub(super) logging: Logging,
    #[command(flatten)]
    pub(super) accepted: accepted::ManagerFlags,
}

/// A rate in requests a second.
fn rate(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if rate.is_finite() => Ok(rate),
        Ok(_) | Err(_) => Err("expected a number".to_owned()),
    }
}

impl Manager {
    /// Runs until a signal, or until something fails that a restart may mend.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        self.logging.start(Level::Info)?;
        for warning in self.warnings() {
            tracing::warn!("{warning}");
        }
        let shutdown = signals::shutdown()?;
        let config = connect::config(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        let url = config.cluster_url.to_string();
        let settings = self.settings(&config.default_namespace);
        let watches = controller::client(config.clone())?;
        let writes = controller::client(config)?;
        let (version, served) = tokio::select! {
            greeting = connect::greet(&watches, &url) => greeting?,
            () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
        };
        tracing::info!(server = url, version, "connected");
        if !served {
            tracing::error!(
                "the API server has no IPPool, IPClaim and IPAddress of ipam.metal3.io/v1alpha1; waiting for them; apply them \
                 with: metal3-ipam crds | kubectl apply -f -"
            );
        }
        let controller = Controller::new(watches, writes, settings);
        // Health is served until the very end: a manager that is stopping is still alive.
        let stop = CancellationToken::new();
        let health = self.health(controller.view(), &stop).await?;
        let ended = controller.run(shutdown).await;
        stop.cancel();
        if let Some(health) = health {
            health.await.context("the health server broke off")?;
        }
        ended.context("the controller failed")?;
        Ok(ExitCode::SUCCESS)
    }

    async fn health(
        &self,
        view: View,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<JoinHandle<()>>> {
        let address = &self.health_addr;
        let failed = || {
            format!(
                "cannot serve health at {address}; choose another address with --health-addr, or 0 for none"
            )
        };
        let mut last = None;
        for candidate in address.candidates().await.with_context(failed)? {
            match Health::bind(candidate).await {
                Ok(health) => {
                    tracing::info!(address = %health.addr(), "health is served");
                    let serve = health.serve(move || view.ready(), stop.clone());
                    return Ok(Some(tokio::spawn(serve)));
                }
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error).with_context(failed),
            None => Ok(None),
        }
    }

    fn settings(&self, namespace: &str) -> Settings {
        let rate = match (self.kube_api_qps, self.kube_api_burst) {
            (None, None) => None,
            (Some(qps), _) if qps <= 0.0 => None,
            (qps, burst) => Some(Rate {
                qps: qps.unwrap_or(DEFAULT_QPS),
                burst: burst.unwrap_or(DEFAULT_BURST),
            }),
        };
        Settings {
            // Upstream takes the empty text, which a Deployment's template may leave, for none.
            namespace: self.namespace.clone().filter(|n| !n.is_empty()),
            watch_filter: self.watch_filter.clone().filter(|f| !f.is_empty()),
            rate,
            lease: self.leader_elect.then(|| LeaseSettings::new(namespace)),
            ..self.serving.settings()
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.webhook_port != 0 {
            warnings.push(format!(
                "no webhook server at port {}: this version serves none; invalid pools are refused by conditions instead of \
                 at admission; remove the webhook configurations of ipam.metal3.io, and say --webhook-port=0",
                self.webhook_port
            ));
        }
        if self.diagnostics_address != Listen::Off {
            warnings.push(format!(
                "no diagnostics at {}: this version serves none; say --diagnostics-address=0",
                self.diagnostics_address
            ));
        }
        if !self.leader_elect {
            warnings.push(
                "without --leader-elect nothing keeps two managers from working at the same time"
                    .to_owned(),
            );
        }
        warnings.extend_from_slice(self.accepted.warnings());
        warnings
    }
}
