//! `caBundle` of the webhook configurations. These are of the whole cluster, so one can have webhooks of another installation:
//! ours are those that an API server reaches under a name that our certificate has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation};
use serde_json::Value;

use super::authority::split;
use crate::webhook::hooks::Hook;

/// Where a webhook of a configuration leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// To one of our paths, by a name of our certificate.
    Ours,
    /// To one of our paths, by this other name: to another installation, or to nobody.
    Elsewhere(String),
    /// To another path.
    Other,
}

/// What makes the `caBundle` of our webhooks in this configuration be this one; `None` when it is. Other webhooks are left alone.
/// `names` are those of our certificate.
pub(super) fn patch(configuration: &Value, names: &[String], bundle: &str) -> Option<Patch> {
    let bundle = STANDARD.encode(bundle);
    let webhooks = configuration.get("webhooks").and_then(Value::as_array)?;
    let mut operations = Vec::new();
    for (place, webhook) in webhooks.iter().enumerate() {
        let client = webhook.get("clientConfig").unwrap_or(&Value::Null);
        let stands = client.get("caBundle").and_then(Value::as_str);
        if target(client, names) == Target::Ours && stands != Some(&bundle) {
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
pub(super) fn authorities(configuration: &Value, names: &[String]) -> Vec<String> {
    let bundles = ours(configuration, names).filter_map(|client| {
        let bytes = STANDARD.decode(client["caBundle"].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    });
    bundles.flat_map(|bundle| split(&bundle)).collect()
}

/// Whether an annotation asks cert-manager or another controller to keep the `caBundle` of our webhooks in this configuration.
pub(super) fn is_kept_by_others(configuration: &Value, names: &[String]) -> bool {
    let annotations = configuration.pointer("/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object);
    let is_annotated =
        annotations.is_some_and(|all| all.keys().any(|k| k.starts_with("cert-manager.io/inject-")));
    is_annotated && ours(configuration, names).next().is_some()
}

/// The webhooks at our paths that do not lead to us, each with where it leads.
pub(super) fn elsewhere(configuration: &Value, names: &[String]) -> Vec<String> {
    let found = webhooks(configuration).filter_map(|webhook| {
        let name = webhook["name"].as_str().unwrap_or_default();
        match target(&webhook["clientConfig"], names) {
            Target::Elsewhere(host) => Some(format!("{name} to {host}")),
            Target::Ours | Target::Other => None,
        }
    });
    found.collect()
}

fn webhooks(configuration: &Value) -> impl Iterator<Item = &Value> {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    webhooks.into_iter().flatten()
}

/// `clientConfig` of our webhooks.
fn ours<'a>(configuration: &'a Value, names: &'a [String]) -> impl Iterator<Item = &'a Value> {
    let clients = webhooks(configuration).map(|webhook| &webhook["clientConfig"]);
    clients.filter(|client| target(client, names) == Target::Ours)
}

fn target(client: &Value, names: &[String]) -> Target {
    let Some((host, path)) = asked_at(client) else {
        return Target::Other;
    };
    if Hook::at(&path).is_none() {
        Target::Other
    } else if names.iter().any(|name| name.eq_ignore_ascii_case(&host)) {
        Target::Ours
    } else {
        Target::Elsewhere(host)
    }
}

/// Under which name, by which the API server checks the certificate, and at which path a webhook is asked.
fn asked_at(client: &Value) -> Option<(String, String)> {
    if let Some(service) = client.get("service").filter(|service| service.is_object()) {
        let text = |field: &str| service.get(field)?.as_str();
        let host = format!("{}.{}.svc", text("name")?, text("namespace")?);
        return Some((host, text("path")?.to_owned()));
    }
    let url: Uri = client.get("url")?.as_str()?.parse().ok()?;
    let host = url.host()?.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), url.path().to_owned()))
}
