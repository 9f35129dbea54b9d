//! The webhooks of `deploy/webhook`, asked by the API server for one namespace and as long as a round lasts. They are served by
//! this process, from the pools of the controller that is measured, and the configurations lead there by URL instead of by
//! Service: the API server has to reach this machine at 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::load::{Load, create, delete};
use crate::api::ClaimKind;
use crate::controller::Controller;
use crate::webhook::{self, Certificates, Scope, Source, TlsOptions, Webhook};

/// What is deployed.
const CONFIGURATIONS: [(&str, &str); 2] = [
    (
        "validatingwebhookconfigurations",
        include_str!("../../../deploy/webhook/validating.yaml"),
    ),
    (
        "mutatingwebhookconfigurations",
        include_str!("../../../deploy/webhook/mutating.yaml"),
    ),
];
const PATH: &str = "/apis/admissionregistration.k8s.io/v1";
/// Whose writes the configurations leave alone.
pub(super) const MANAGER: &str = "system:serviceaccount:metal3-ipam-system:ipam-manager";
/// An API server's own figures of the webhooks it has asked.
const FIGURES: &str = "apiserver_admission_webhook_admission_duration_seconds";
/// The time that is wanted, and the bucket of it.
const WANTED: (&str, &str) = ("5 ms", "0.005");

/// The server takes configurations up some time after they are stored, and does not report when.
const LOOKS: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_mins(1);

/// Which of the webhooks are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that check objects.
    Checking,
    /// Those too that put in the claims' finalizers.
    All,
}

/// Reviews as the API server has timed them, from its request to the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reviews {
    pub(super) asked: u64,
    /// Those that took no longer than 5 ms.
    pub(super) in_time: u64,
}

/// The webhook configurations of a round, in force until they are removed.
pub(super) struct Hooks {
    client: Client,
    stored: Vec<String>,
    before: Reviews,
    _server: DropGuard,
}

impl Hooks {
    /// Serves the webhooks for the load's namespace and waits until the API server asks them.
    pub(super) async fn install(
        client: &Client,
        load: &Load,
        controller: &Controller,
        which: Which,
    ) -> anyhow::Result<Self> {
        let (addr, authority, server) = serve(load, controller).await?;
        let mut hooks = Self {
            client: client.clone(),
            stored: Vec::new(),
            before: Reviews::default(),
            _server: server.drop_guard(),
        };
        let configurations = match which {
            Which::Checking => &CONFIGURATIONS[..1],
            Which::All => &CONFIGURATIONS[..],
        };
        for (plural, text) in configurations {
            let mut configuration: Value = serde_saphyr::from_str(text)?;
            let name = format!("{}.{plural}", load.namespace);
            configuration["metadata"] = json!({"name": name});
            for webhook in configuration["webhooks"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                let path = &webhook["clientConfig"]["service"]["path"];
                let url = format!("https://{addr}{}", path.as_str().unwrap_or_default());
                webhook["clientConfig"] =
                    json!({"url": url, "caBundle": STANDARD.encode(&authority)});
                webhook["namespaceSelector"] =
                    json!({"matchLabels": {"kubernetes.io/metadata.name": load.namespace}});
            }
            create(client, &format!("{PATH}/{plural}"), &configuration)
                .await
                .context("--webhook needs the right to create webhook configurations")?;
            hooks.stored.push(format!("{PATH}/{plural}/{name}"));
        }
        hooks.until_asked(load, which).await?;
        hooks.before = reviews(client).await?;
        Ok(hooks)
    }

    async fn until_asked(&self, load: &Load, which: Which) -> anyhow::Result<()> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let mut asked = self.checks(load).await?;
            if which == Which::All {
                for kind in ClaimKind::ALL {
                    let (path, claim) = load.claim_to_try(kind);
                    let made = self.try_out(&path, &claim).await?;
                    asked &= made["metadata"]["finalizers"] == json!([kind.claim_finalizer()]);
                }
            }
            if asked {
                return Ok(());
            }
            tokio::time::sleep(LOOKS).await;
        }
        bail!(
            "the API server has not asked the webhooks within {PATIENCE:?}: it has to reach this machine at 127.0.0.1"
        )
    }

    /// Whether a pool is refused that the definitions take: one whose address is promised to two claims.
    async fn checks(&self, load: &Load) -> anyhow::Result<bool> {
        let (path, mut pool) = load.pool_to_try();
        let first = &load.pools[0].first;
        pool["spec"]["preAllocations"] = json!({"one": first, "other": first});
        match self.try_out(&path, &pool).await {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(refused)) if refused.message.contains("admission webhook") => {
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn try_out(&self, path: &str, object: &Value) -> kube::Result<Value> {
        let request = Request::post(format!("{path}?dryRun=All"))
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        self.client.request(request).await
    }

    /// The reviews of the round.
    pub(super) async fn reviews(&self) -> anyhow::Result<Reviews> {
        let now = reviews(&self.client).await?;
        Ok(Reviews {
            asked: now.asked.saturating_sub(self.before.asked),
            in_time: now.in_time.saturating_sub(self.before.in_time),
        })
    }

    /// Removes the webhook configurations.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        for path in &self.stored {
            delete(&self.client, path).await?;
        }
        Ok(())
    }
}

/// Where the webhooks are served, the authority of the server's certificate, and what ends it.
async fn serve(
    load: &Load,
    controller: &Controller,
) -> anyhow::Result<(SocketAddr, String, CancellationToken)> {
    let names = [Ipv4Addr::LOCALHOST.to_string()];
    let (authority, pair) = webhook::self_signed(&names).context("cannot make a certificate")?;
    let certificates = Certificates::new(Source::Given, TlsOptions::default(), Arc::default());
    certificates.give(pair);
    let server = Webhook::bind((Ipv4Addr::LOCALHOST, 0).into())
        .await
        .context("cannot bind a port for the webhooks")?;
    let (addr, stop) = (server.addr(), CancellationToken::new());
    let scope = Scope {
        namespace: Some(load.namespace.clone()),
        watch_filter: None,
    };
    tokio::spawn(server.serve(
        Arc::new(certificates),
        Arc::new(controller.facts()),
        scope,
        controller.view().metrics(),
        stop.clone(),
    ));
    Ok((addr, authority, stop))
}

/// All reviews since the API server began.
async fn reviews(client: &Client) -> anyhow::Result<Reviews> {
    let request = Request::get("/metrics").body(Vec::new())?;
    let text = client.request_text(request).await;
    let text = text.context("--webhook needs the right to read the API server's /metrics")?;
    let of = |series: &str, label: &str| {
        let ours = |line: &&str| {
            line.starts_with(series) && line.contains("ipam.") && line.contains(label)
        };
        let counts = text.lines().filter(ours);
        let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        #[expect(clippy::cast_sign_loss, reason = "a count is not negative")]
        let sum = counts.sum::<f64>() as u64;
        sum
    };
    Ok(Reviews {
        asked: of(&format!("{FIGURES}_count{{"), ""),
        in_time: of(
            &format!("{FIGURES}_bucket{{"),
            &format!("le=\"{}\"", WANTED.1),
        ),
    })
}

impl Reviews {
    /// Number and latency of the reviews, as one cell of the table.
    pub(super) fn text(self) -> String {
        if self.asked == 0 {
            return "no reviews".to_owned();
        }
        let share = self.in_time as f64 * 100.0 / self.asked as f64;
        format!("{} reviews, {share:.1} % within {}", self.asked, WANTED.0)
    }
}
