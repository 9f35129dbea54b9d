//! `caBundle` of the webhook configurations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use serde_json::Value;

use super::authority::split;
use crate::webhook::hooks::Hook;

/// What makes the `caBundle` of our webhooks in this configuration be this one; `None` when it is. Webhooks of other paths are
/// left alone.
pub(super) fn patch(configuration: &Value, bundle: &str) -> Option<Patch> {
    let bundle = STANDARD.encode(bundle);
    let webhooks = configuration.get("webhooks").and_then(Value::as_array)?;
    let mut operations = Vec::new();
    for (place, webhook) in webhooks.iter().enumerate() {
        let client = webhook.get("clientConfig").unwrap_or(&Value::Null);
        let stands = client.get("caBundle").and_then(Value::as_str);
        if path_of(client).and_then(Hook::at).is_some() && stands != Some(&bundle) {
            let place = place.to_string();
            operations.push(PatchOperation::Add(AddOperation {
                path: PointerBuf::from_tokens(["webhooks", &place, "clientConfig", "caBundle"]),
                value: bundle.clone().into(),
            }));
        }
    }
    if operations.is_empty() {
        return None;
    }
    // The places are those of this version.
    let version = configuration.pointer("/metadata/resourceVersion");
    let same = TestOperation {
        path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
        value: version.cloned().unwrap_or_default(),
    };
    operations.insert(0, PatchOperation::Test(same));
    Some(Patch(operations))
}

/// The authorities that the API server trusts for our webhooks by this configuration, in PEM.
pub(super) fn authorities(configuration: &Value) -> Vec<String> {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    let clients = webhooks.into_iter().flatten().map(|w| &w["clientConfig"]);
    let ours = clients.filter(|client| path_of(client).and_then(Hook::at).is_some());
    let bundles = ours.filter_map(|client| {
        let bytes = STANDARD.decode(client["caBundle"].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    });
    bundles.flat_map(|bundle| split(&bundle)).collect()
}

/// Whether an annotation asks cert-manager or another controller to keep the `caBundle` of this configuration.
pub(super) fn is_kept_by_others(configuration: &Value) -> bool {
    let annotations = configuration.pointer("/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object);
    annotations.is_some_and(|all| all.keys().any(|k| k.starts_with("cert-manager.io/inject-")))
}

/// The path that a webhook is asked at.
fn path_of(client: &Value) -> Option<&str> {
    if let Some(path) = client.pointer("/service/path") {
        return path.as_str();
    }
    let (_scheme, rest) = client.get("url")?.as_str()?.split_once("://")?;
    let path = &rest[rest.find('/')?..];
    path.split('?').next()
}
