//! The managers' Leases in all namespaces. A Lease excludes only managers that use the same one (P5), so two managers with
//! Leases in two namespaces would both hand out the addresses of one pool.

use std::time::Duration;

use anyhow::{Context, bail};
use http::Request;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::Value;
use tokio::time::timeout;

use super::causes::causes;

/// How long the API server may take to list Leases.
const ANSWER: Duration = Duration::from_secs(15);

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

/// The Leases of this name in other namespaces than this one that are held now.
async fn held_elsewhere(client: &Client, name: &str, namespace: &str) -> anyhow::Result<Vec<Held>> {
    let path = format!("/apis/coordination.k8s.io/v1/leases?fieldSelector=metadata.name%3D{name}");
    let request = Request::get(path).body(Vec::new())?;
    let answer = timeout(ANSWER, client.request::<Value>(request)).await;
    let list = answer.context("no answer in time")??;
    let now = Timestamp::now();
    let held = |lease: &Value| {
        let there = lease["metadata"]["namespace"].as_str()?;
        (there != namespace).then_some(())?;
        Some(Held {
            namespace: there.to_owned(),
            holder: holder(lease, now)?.to_owned(),
        })
    };
    let leases = list["items"].as_array().into_iter().flatten();
    Ok(leases.filter_map(held).collect())
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
