//! The webhook configurations: which authorities they trust, and the `caBundle` that the leader writes into them.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tracing::info;

use super::Keeper;
use super::request::{MANAGER, PATIENCE, done, sent};
use crate::webhook::own::bundle;

/// What a look at a configuration came to.
pub(super) struct Tended {
    /// Whether this look had to write the bundle: API servers learn of it only now.
    pub(super) is_patched: bool,
    /// Webhooks at our paths that do not lead to us, and what to do about them.
    pub(super) elsewhere: Option<String>,
}

impl Keeper {
    /// The authorities in a configuration; none where there is none or where it may not be read.
    pub(super) async fn in_force<K>(&self, name: &str) -> Result<Vec<String>, String>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api = Api::<K>::all(self.client.clone());
        let reading = format!("reading {} {name}", K::kind(&()));
        let found = match timeout(PATIENCE, api.get_opt(name)).await {
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => None,
            other => done(&reading, other)?,
        };
        let found = serde_json::to_value(found).map_err(|e| format!("{reading}: {e}"))?;
        Ok(bundle::authorities(&found, &self.own.names))
    }

    /// Has the webhooks of a configuration that lead here trust this bundle. One that does not exist needs nothing.
    pub(super) async fn tend<K>(&self, name: &str, bundle: &str) -> Result<Tended, String>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api = Api::<K>::all(self.client.clone());
        let kind = K::kind(&());
        let reading = format!("reading {kind} {name}");
        let found = match timeout(PATIENCE, api.get_opt(name)).await {
            // A server without webhooks.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => None,
            other => done(&reading, other)?,
        };
        let found = serde_json::to_value(found).map_err(|e| format!("{reading}: {e}"))?;
        let names = &self.own.names;
        if bundle::is_kept_by_others(&found, names) {
            return Err(format!(
                "{kind} {name} has an annotation by which cert-manager keeps its caBundle; remove it, or \
                 --webhook-self-signed"
            ));
        }
        let elsewhere = bundle::elsewhere(&found, names);
        let elsewhere = (!elsewhere.is_empty()).then(|| {
            format!(
                "webhooks of {kind} {name} do not lead to this manager, whose names are {}, so their caBundle is left alone: \
                 {}; correct their clientConfig or --webhook-service, or give this manager a configuration of its own \
                 (--webhook-validating, --webhook-mutating)",
                names.join(" and "),
                elsewhere.join(", "),
            )
        });
        let Some(patch) = bundle::patch(&found, names, bundle) else {
            return Ok(Tended {
                is_patched: false,
                elsewhere,
            });
        };
        let how = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::<()>::Json(patch);
        sent(
            &format!("patching {kind} {name}"),
            api.patch(name, &how, &patch),
        )
        .await?;
        info!("caBundle of {kind} {name} is that of the webhook's certificate");
        Ok(Tended {
            is_patched: true,
            elsewhere,
        })
    }
}
