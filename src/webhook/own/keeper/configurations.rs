//! The webhook configurations: which authorities they trust, and the `caBundle` that the leader writes into them.

use std::fmt::Debug;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use tracing::info;

use super::Keeper;
use super::request::{MANAGER, PATIENCE, done, sent};
use crate::webhook::own::bundle;

/// A ValidatingWebhookConfiguration or a MutatingWebhookConfiguration.
pub(super) trait Configuration:
    Resource<Scope = ClusterResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
{
}

impl Configuration for ValidatingWebhookConfiguration {}
impl Configuration for MutatingWebhookConfiguration {}

/// What a look at a configuration came to.
pub(super) struct Tended {
    /// Whether this look had to write the bundle: API servers learn of it only now.
    pub(super) is_patched: bool,
    /// Webhooks at our paths that do not lead to us, and what to do about them.
    pub(super) elsewhere: Option<String>,
}

impl Keeper {
    /// The authorities in a configuration; none where there is none or where it may not be read.
    pub(super) async fn in_force<K: Configuration>(
        &self,
        name: &str,
    ) -> Result<Vec<String>, String> {
        let found = self.stored::<K>(name, &[403, 404]).await?;
        Ok(bundle::authorities(&found, &self.own.names))
    }

    /// A configuration as the API server has it; null where it answers with one of these codes. 404 is also the answer of a server
    /// without webhooks.
    async fn stored<K: Configuration>(&self, name: &str, none: &[u16]) -> Result<Value, String> {
        let reading = format!("reading {} {name}", K::kind(&()));
        let found = match timeout(PATIENCE, self.api::<K>().get_opt(name)).await {
            Ok(Err(kube::Error::Api(status))) if none.contains(&status.code) => None,
            other => done(&reading, other)?,
        };
        serde_json::to_value(found).map_err(|e| format!("{reading}: {e}"))
    }

    fn api<K: Configuration>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// Has the webhooks of a configuration that lead here trust this bundle. One that does not exist needs nothing.
    pub(super) async fn tend<K: Configuration>(
        &self,
        name: &str,
        bundle: &str,
    ) -> Result<Tended, String> {
        let kind = K::kind(&());
        let found = self.stored::<K>(name, &[404]).await?;
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
            self.api::<K>().patch(name, &how, &patch),
        )
        .await?;
        info!("caBundle of {kind} {name} is that of the webhook's certificate");
        Ok(Tended {
            is_patched: true,
            elsewhere,
        })
    }
}
