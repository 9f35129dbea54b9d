//! The managers' Leases in all namespaces. A Lease excludes only managers that use the same one (P5), so two managers with
//! Leases in two namespaces would both hand out the addresses of one pool.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::TryStreamExt;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::causes::causes;
use crate::api::names::LEASE_NAME;

/// How long the API server may take to list Leases.
const ANSWER: Duration = Duration::from_secs(15);

/// Pause after the Lease could not be written.
const AGAIN: Duration = Duration::from_secs(1);

/// Who holds the Lease where the controller of `standalone` serves.
const STANDALONE: &str = "metal3-ipam standalone";

/// A manager leads where the controller of `standalone` would serve.
#[derive(Debug, thiserror::Error)]
#[error(
    "the manager {manager} leads by the Lease {LEASE_NAME} on this server, and both would hand out addresses; end it, and start this again 15 s later"
)]
struct Led {
    manager: String,
}

/// A manager's Lease that is held now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its namespace.
    pub(super) namespace: String,
    /// `hostname_uuid` of the process.
    pub(super) holder: String,
}

/// Who holds a Lease at this time. The clocks of two machines are compared, so this is good for a message or a refusal to
/// start, and not for taking the Lease.
pub(super) fn holder(lease: &Value, now: Timestamp) -> Option<&str> {
    let spec = &lease["spec"];
    let holder = spec["holderIdentity"].as_str().filter(|h| !h.is_empty())?;
    let renewed: Timestamp = spec["renewTime"].as_str()?.parse().ok()?;
    let lasts = SignedDuration::from_secs(spec["leaseDurationSeconds"].as_i64()?);
    (now.duration_since(renewed) < lasts).then_some(holder)
}

/// The Leases of this name that are held now, in other namespaces than this one.
async fn held_elsewhere(client: &Client, name: &str, namespace: &str) -> anyhow::Result<Vec<Held>> {
    let mut held = held(client, name).await?;
    held.retain(|held| held.namespace != namespace);
    Ok(held)
}

/// The Leases of this name that are held now.
async fn held(client: &Client, name: &str) -> anyhow::Result<Vec<Held>> {
    let path = format!("/apis/coordination.k8s.io/v1/leases?fieldSelector=metadata.name%3D{name}");
    let request = Request::get(path).body(Vec::new())?;
    let answer = timeout(ANSWER, client.request::<Value>(request)).await;
    let list = answer.context("no answer in time")??;
    let now = Timestamp::now();
    let held = |lease: &Value| {
        Some(Held {
            namespace: lease["metadata"]["namespace"].as_str()?.to_owned(),
            holder: holder(lease, now)?.to_owned(),
        })
    };
    let leases = list["items"].as_array().into_iter().flatten();
    Ok(leases.filter_map(held).collect())
}

/// Holds the managers' Lease for the controller beside an embedded server, so that a manager that is started on that server stands
/// by. It never runs out: what keeps a second such controller away is the lock of the data folder.
///
/// Fails while a manager holds it.
pub(super) async fn hold_for_standalone(client: &Client) -> anyhow::Result<()> {
    let leases = Api::<Lease>::namespaced(client.clone(), client.default_namespace());
    let known = leases.get_opt(LEASE_NAME).await?;
    let now = Timestamp::now();
    let held = known.as_ref().and_then(|lease| {
        let lease = serde_json::to_value(lease).unwrap_or_default();
        holder(&lease, now).map(str::to_owned)
    });
    if held.as_deref() == Some(STANDALONE) {
        return Ok(());
    }
    if let Some(manager) = held {
        return Err(Led { manager }.into());
    }
    let mut lease = known.unwrap_or_default();
    lease.metadata.name = Some(LEASE_NAME.to_owned());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(STANDALONE.to_owned()),
        lease_duration_seconds: Some(i32::MAX),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    });
    let done = match &lease.metadata.resource_version {
        None => leases.create(&PostParams::default(), &lease).await,
        Some(_) => {
            leases
                .replace(LEASE_NAME, &PostParams::default(), &lease)
                .await
        }
    };
    done.map(drop).context("holding the managers' Lease")
}

/// Holds the Lease on: one that somebody deletes is written anew. Returns when a manager was faster, with what to say.
pub(super) async fn keep_for_standalone(client: &Client) -> anyhow::Error {
    let leases = Api::<Lease>::namespaced(client.clone(), client.default_namespace());
    loop {
        // The server is busy, or is ending, or the watch has ended, as each does after a while.
        if !is_taken(&leases).await.unwrap_or(false) {
            sleep(AGAIN).await;
            continue;
        }
        match hold_for_standalone(client).await {
            Err(error) if error.is::<Led>() => return error,
            Err(_) => sleep(AGAIN).await,
            Ok(()) => {}
        }
    }
}

/// Waits until the Lease is not standalone's any more; `false` when that was not seen.
async fn is_taken(leases: &Api<Lease>) -> kube::Result<bool> {
    let only = format!("metadata.name={LEASE_NAME}");
    let is_ours = |lease: &Lease| {
        let lease = serde_json::to_value(lease).unwrap_or_default();
        holder(&lease, Timestamp::now()) == Some(STANDALONE)
    };
    let list = leases.list(&ListParams::default().fields(&only)).await?;
    if !list.items.iter().any(is_ours) {
        return Ok(true);
    }
    // From the list's version: the Lease's own is too old after a while.
    let version = list.metadata.resource_version.unwrap_or_default();
    let only = WatchParams::default().fields(&only);
    let mut events = pin!(leases.watch(&only, &version).await?);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(lease) | WatchEvent::Modified(lease) if is_ours(&lease) => {}
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => {
                return Ok(true);
            }
            WatchEvent::Error(_) => return Ok(false),
        }
    }
    Ok(false)
}

/// Fails where a manager leads: it would bind the claims of a bench in the place of what is measured. A server that does not let
/// Leases be listed leaves this unknown.
pub(super) async fn refuse_to_measure_beside_a_manager(client: &Client) -> anyhow::Result<()> {
    let held = held(client, LEASE_NAME).await.unwrap_or_default();
    match held.first() {
        None => Ok(()),
        Some(Held { holder, .. }) if holder == STANDALONE => bail!(
            "the controller of that {STANDALONE} would bind the claims of this bench; leave out --kubeconfig to measure an embedded \
             server, or make load for it with --duration"
        ),
        Some(Held { namespace, holder }) => bail!(
            "the manager {holder} leads by the Lease {namespace}/{LEASE_NAME} and would bind the claims of this bench; end it and wait 15 s, \
             or make load for it with --duration"
        ),
    }
}

/// Fails where a manager leads by a Lease of this name in another namespace. A server that does not let Leases of all
/// namespaces be listed leaves this unknown, which is logged.
pub(super) async fn refuse_to_lead_beside_another(
    client: &Client,
    name: &str,
    namespace: &str,
) -> anyhow::Result<()> {
    match held_elsewhere(client, name, namespace).await {
        Ok(held) => match held.first() {
            None => Ok(()),
            Some(Held {
                namespace: there,
                holder,
            }) => bail!(
                "the manager {holder} leads by the Lease {there}/{name}. A Lease in namespace {namespace} would not exclude it, and both \
                 managers would hand out addresses of the same pools. End that manager first; or take turns with it by \
                 --leader-elect-namespace={there}; or, where the two shall serve different objects, say so to both by --namespace \
                 or --watch-filter"
            ),
        },
        Err(error) => {
            tracing::info!(
                "whether a manager leads by a Lease in another namespace is not known: Leases of all namespaces cannot be listed: \
                 {}",
                causes(&error)
            );
            Ok(())
        }
    }
}
