//! `metal3-ipam manager`: the controller against a Kubernetes API server, in a cluster or from outside, with the flags of
//! upstream's manager.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use kube::Client;

use super::flags::{self, Listen};
use super::options::{Logging, Serving};
use super::status_servers::{Announce, RunStatus, StatusServers};
use super::{accepted, connect, leases, signals};
use crate::api::names;
use crate::controller::{self, Controller, LeaseSettings, Rate, Settings};
use crate::observe::diagnostics::{Access, Guard, Oldest, TlsOptions, self_signed};
use crate::observe::health::Check;
use crate::observe::logs::Level;
use crate::observe::metrics::Metrics;
use crate::webhook::{Certificates, Keeper, Own, Scope, Source};

/// Client-go's defaults for a rate of which only the other half is given.
const DEFAULT_QPS: f32 = 20.0;
const DEFAULT_BURST: u32 = 30;
/// Where upstream's manager looks for the webhook's certificate, and its Deployment mounts it.
const CERT_DIR: &str = "/tmp/k8s-webhook-server/serving-certs";

/// Runs the controller against a Kubernetes API server.
///
/// Takes the flags of metal3-io/ip-address-manager; those without a meaning here are accepted with a warning.
///
/// SIGTERM or SIGINT ends it within 8 s, with exit code 0 whatever becomes of the lease in that time. Exit code 1 means that it
/// ended by itself, for the reason in its last log line, and should be started again: the lease was lost, a right for it is
/// missing, the API server could not be reached at the start, or a task failed. A second signal ends it at once (143, 130).
#[derive(Debug, Args)]
pub(super) struct Manager {
    /// Let one of several managers work at a time, by a lease.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = flags::boolean)]
    pub(super) leader_elect: bool,
    /// The Lease of --leader-elect. Managers with one name take turns; managers with different names work at the same time, so
    /// their --watch-filter or --namespace must be disjoint. It does not follow from --watch-filter (docs/scaling.md).
    #[arg(long, value_name = "NAME", default_value = names::LEASE_NAME, value_parser = flags::object_name)]
    pub(super) leader_elect_lease_name: String,
    /// The namespace of that Lease. Default: the pod's, else that of the kubeconfig's context, else default. Managers whose
    /// Leases lie in different namespaces do not take turns.
    #[arg(long, value_name = "NAMESPACE", value_parser = flags::namespace)]
    pub(super) leader_elect_namespace: Option<String>,
    /// Serve this namespace only; a Role in it is enough. Default: all.
    #[arg(long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// Act only on objects whose label cluster.x-k8s.io/watch-filter has this value. Default: on all.
    #[arg(long, value_name = "VALUE")]
    pub(super) watch_filter: Option<String>,
    /// Where health is served, as host:port or :port; 0: nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = ":9440", value_parser = Listen::parse)]
    pub(super) health_addr: Listen,
    /// Port of the webhook server, or host:port; 0: none.
    #[arg(long, value_name = "PORT", default_value = "9443", value_parser = Listen::parse_port)]
    pub(super) webhook_port: Listen,
    /// Folder of the webhook's tls.crt and tls.key, which are read anew for each connection. Default: that of upstream,
    /// /tmp/k8s-webhook-server/serving-certs, where it exists; without it no webhook is served.
    #[arg(long, value_name = "FOLDER")]
    pub(super) webhook_cert_dir: Option<PathBuf>,
    /// Make the webhook's certificate here: keep it in the Secret of --webhook-secret, which all replicas share, and its
    /// authority in the webhook configurations (deploy/rbac/webhook-self-signed).
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = flags::boolean)]
    pub(super) webhook_self_signed: bool,
    #[command(flatten)]
    pub(super) own_certificates: OwnCertificates,
    /// Where diagnostics are served, as host:port or :port; 0: nowhere. Over TLS, to clients that the API server authorizes:
    /// metrics, the log's level and CPU profiles.
    #[arg(long, value_name = "ADDRESS", default_value = ":8443", value_parser = Listen::parse)]
    pub(super) diagnostics_address: Listen,
    /// Serve diagnostics without TLS and to anyone: the metrics alone.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = flags::boolean)]
    pub(super) insecure_diagnostics: bool,
    /// The oldest version of TLS for diagnostics and webhook; below 1.2 it means 1.2.
    #[arg(long, value_name = "VERSION", default_value = "VersionTLS12")]
    pub(super) tls_min_version: TlsVersion,
    /// Cipher suites of TLS 1.2 for diagnostics and webhook, by Go's names, with commas. Default: all that are safe. Those of
    /// TLS 1.3 cannot be chosen.
    #[arg(
        long,
        value_name = "SUITES",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) tls_cipher_suites: String,
    /// Key exchange groups for diagnostics and webhook, the preferred one first, by Go's names or numbers, with commas.
    /// Default: all that are safe.
    #[arg(
        long,
        value_name = "GROUPS",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) tls_curve_preferences: String,
    /// Most requests a second to the API server; not above 0: no limit. Default: none, --in-flight bounds the writes.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = rate)]
    pub(super) kube_api_qps: Option<f32>,
    /// Most requests in one burst, where --kube-api-qps limits them; not above 0: 30.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) kube_api_burst: Option<i32>,
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

/// Names that --webhook-self-signed uses. Kustomize may have put a prefix before those of deploy/webhook.
#[derive(Debug, Args)]
pub(super) struct OwnCertificates {
    /// The Service by which API servers reach the webhook, in the manager's namespace; for --webhook-self-signed.
    #[arg(long, value_name = "NAME", default_value = "webhook-service")]
    pub(super) webhook_service: String,
    /// The Secret of the webhook's certificate, in the manager's namespace; for --webhook-self-signed.
    #[arg(long, value_name = "NAME", default_value = "webhook-own-certificate")]
    pub(super) webhook_secret: String,
    /// The ValidatingWebhookConfiguration whose caBundle is kept; for --webhook-self-signed.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "validating-webhook-configuration"
    )]
    pub(super) webhook_validating: String,
    /// The MutatingWebhookConfiguration whose caBundle is kept; for --webhook-self-signed.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "mutating-webhook-configuration"
    )]
    pub(super) webhook_mutating: String,
}

/// Go's names of TLS versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TlsVersion {
    #[value(name = "VersionTLS10", hide = true)]
    Tls10,
    #[value(name = "VersionTLS11", hide = true)]
    Tls11,
    #[value(name = "VersionTLS12")]
    Tls12,
    #[value(name = "VersionTLS13")]
    Tls13,
}

impl OwnCertificates {
    fn in_namespace(&self, namespace: &str) -> Own {
        let service = &self.webhook_service;
        let names = [
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        Own {
            namespace: namespace.to_owned(),
            secret: self.webhook_secret.clone(),
            validating: self.webhook_validating.clone(),
            mutating: self.webhook_mutating.clone(),
            names: names.into(),
        }
    }
}

/// Whom requests go to, as metrics name it.
fn host(url: &http::Uri) -> String {
    url.authority()
        .map_or_else(String::new, |authority| authority.as_str().to_owned())
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
        let dial = self.logging.start(Level::Info)?;
        let (tls, unspoken) = self.tls()?;
        for warning in self.warnings().iter().chain(&unspoken) {
            tracing::warn!("{warning}");
        }
        let metrics: Arc<Metrics> = Arc::default();
        let certificates = self.certificates(&tls, &metrics)?;
        let shutdown = signals::shutdown()?;
        let config = connect::config(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        let url = config.cluster_url.to_string();
        let host = host(&config.cluster_url);
        let namespace = config.default_namespace.clone();
        let settings = Settings {
            metrics: Arc::clone(&metrics),
            ..self.settings(&namespace)
        };
        let watches = controller::client(config.clone())?;
        let writes = controller::client(config.clone())?;
        // Strangers cause TokenReviews: these shall not share a connection with the watches.
        let reviews = controller::client(config)?;
        let (version, served) = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
            greeting = connect::greet(&watches, &url) => greeting?,
        };
        tracing::info!(server = url, version, "connected");
        if !served {
            tracing::error!(
                "the API server has no IPPool, IPClaim and IPAddress of ipam.metal3.io/v1alpha1; waiting for them; apply them \
                 with: metal3-ipam crds | kubectl apply -f -"
            );
        }
        if let Some(lease) = settings.lease.as_ref().filter(|_| self.serves_everything()) {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
                alone = leases::refuse_to_lead_beside_another(&watches, &lease.name, &lease.namespace) => alone?,
            }
        }
        let [watches, writes, reviews] =
            [watches, writes, reviews].map(|client| controller::counted(client, &host, &metrics));
        let controller = Controller::new(watches.clone(), writes, settings);
        let mut servers = StatusServers::default();
        let view = controller.view();
        let check = certificates.clone().map(|certificates| {
            Check::new("webhook", move || {
                let serving = certificates.ready();
                serving.map_err(|why| format!("the webhook cannot serve: {why}"))
            })
        });
        let address = &self.health_addr;
        servers
            .health(address, view.clone(), check, Announce::Log)
            .await?;
        if let Some(certificates) = certificates {
            let (address, facts) = (&self.webhook_port, controller.facts());
            let (scope, metrics) = (self.scope(), view.metrics());
            if self.webhook_self_signed {
                let (certificates, view) = (Arc::clone(&certificates), view.clone());
                let own = self.own_certificates.in_namespace(&namespace);
                let counted = Arc::clone(&metrics);
                let leads = move || view.is_leading();
                let client = watches.clone();
                servers.keeper(Keeper::new(client, own, certificates, counted, leads));
            }
            servers
                .webhook(address, certificates, facts, scope, metrics)
                .await?;
        }
        let status = RunStatus {
            view,
            pools: self.serving.pool_metrics,
            dial,
            server: None,
        };
        let guard = |addr| self.guard(reviews, addr, &tls);
        let address = &self.diagnostics_address;
        servers
            .diagnostics(address, status.served()?, guard, Announce::Log)
            .await?;
        let ended = controller.run(shutdown).await;
        servers.stop().await?;
        ended.context("the controller failed")?;
        Ok(ExitCode::SUCCESS)
    }

    /// Upstream's rule: without protection when asked for, else by the API server's own judgement.
    fn guard(&self, client: Client, addr: IpAddr, tls: &TlsOptions) -> anyhow::Result<Guard> {
        if self.insecure_diagnostics {
            return Ok(Guard::Open);
        }
        Ok(Guard::Reviewed {
            tls: Arc::new(self_signed(addr, tls)?),
            access: Box::new(Access::new(client)),
        })
    }

    /// What TLS is offered, and a line for each name in the flags that is not spoken here.
    fn tls(&self) -> anyhow::Result<(TlsOptions, Vec<String>)> {
        let oldest = match self.tls_min_version {
            TlsVersion::Tls10 | TlsVersion::Tls11 | TlsVersion::Tls12 => Oldest::Tls12,
            TlsVersion::Tls13 => Oldest::Tls13,
        };
        let (suites, groups) = (&self.tls_cipher_suites, &self.tls_curve_preferences);
        TlsOptions::read(oldest, suites, groups).map_err(anyhow::Error::msg)
    }

    /// Where the webhook's certificate comes from; `None` when no webhook is served. A manager without certificates, as outside
    /// of a cluster, is whole without a webhook; one whose Deployment mounts a folder, or names one, waits for what shall be
    /// in it.
    fn certificates(
        &self,
        tls: &TlsOptions,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Option<Arc<Certificates>>> {
        if self.webhook_self_signed && self.webhook_cert_dir.is_some() {
            anyhow::bail!(
                "--webhook-self-signed and --webhook-cert-dir are two sources of one certificate; give one of them"
            );
        }
        if self.webhook_port == Listen::Off {
            return Ok(None);
        }
        if self.webhook_self_signed {
            let certificates = Certificates::new(Source::Given, tls.clone(), Arc::clone(metrics));
            return Ok(Some(Arc::new(certificates)));
        }
        let folder = match &self.webhook_cert_dir {
            Some(folder) => folder.clone(),
            None if Path::new(CERT_DIR).is_dir() => PathBuf::from(CERT_DIR),
            None => {
                tracing::info!(
                    "no webhook is served: there is no folder {CERT_DIR}; name one with --webhook-cert-dir, or set --webhook-port=0"
                );
                return Ok(None);
            }
        };
        let certificates =
            Certificates::new(Source::Folder(folder), tls.clone(), Arc::clone(metrics));
        Ok(Some(Arc::new(certificates)))
    }

    /// The claims that this manager serves. Upstream takes the empty text, which a Deployment's template may leave, for none.
    fn scope(&self) -> Scope {
        Scope {
            namespace: self.namespace.clone().filter(|n| !n.is_empty()),
            watch_filter: self.watch_filter.clone().filter(|f| !f.is_empty()),
        }
    }

    /// Whether no flag narrows what is served (P4), so that a second leader would serve the same objects.
    pub(super) fn serves_everything(&self) -> bool {
        let Scope {
            namespace,
            watch_filter,
        } = self.scope();
        namespace.is_none() && watch_filter.is_none()
    }

    /// `namespace` is the pod's, or that of the kubeconfig's context.
    fn settings(&self, namespace: &str) -> Settings {
        let rate = self.rate();
        let Scope {
            namespace: served,
            watch_filter,
        } = self.scope();
        Settings {
            namespace: served,
            watch_filter,
            rate,
            lease: self.leader_elect.then(|| LeaseSettings {
                name: self.leader_elect_lease_name.clone(),
                ..LeaseSettings::new(self.leader_elect_namespace.as_deref().unwrap_or(namespace))
            }),
            ..self.serving.settings()
        }
    }

    /// What --kube-api-qps and --kube-api-burst allow.
    pub(super) fn rate(&self) -> Option<Rate> {
        let burst = self
            .kube_api_burst
            .map(|burst| u32::try_from(burst).unwrap_or(0));
        let burst = burst.map(|burst| if burst == 0 { DEFAULT_BURST } else { burst });
        match (self.kube_api_qps, burst) {
            (None, None) => None,
            (Some(qps), _) if qps <= 0.0 => None,
            (qps, burst) => Some(Rate {
                qps: qps.unwrap_or(DEFAULT_QPS),
                burst: burst.unwrap_or(DEFAULT_BURST),
            }),
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(burst) = self.kube_api_burst.filter(|burst| *burst <= 0) {
            warnings.push(format!(
                "--kube-api-burst={burst}: a burst has one request at least; it is {DEFAULT_BURST}"
            ));
        }
        if let TlsVersion::Tls10 | TlsVersion::Tls11 = self.tls_min_version {
            warnings.push("--tls-min-version: nothing below TLS 1.2 is spoken here".to_owned());
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
