//! Deletions, with all that can be said about them; and namespaces, which are made to be deleted.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::bodies::{self, chance, pick};
use super::generate::Generator;
use super::model::{NAMESPACES, kind};
use super::reads;
use super::script::Request;
use super::spoil::{self, written};

pub(super) fn one(generator: &mut Generator) -> Request {
    let (at, name, object) = generator.target();
    let has_finalizers = object
        .as_ref()
        .is_some_and(|o| o["metadata"]["finalizers"].is_array());
    let is_held = generator.has_family && has_finalizers;
    let mut request = Request::new("DELETE", kind(at).object(&name));
    let mut body = json!({});
    options(&mut generator.rng, &mut request, &mut body);
    if chance(&mut generator.rng, 25) {
        let mut metadata = object.map_or(json!({}), |o| o["metadata"].clone());
        generator.misname(at, &mut metadata);
        let rng = &mut generator.rng;
        let mut preconditions = json!({});
        for field in ["uid", "resourceVersion"] {
            if chance(rng, 60) && metadata[field].is_string() {
                preconditions[field] = metadata[field].clone();
            }
        }
        body["preconditions"] = preconditions;
    }
    if is_held {
        not_foreground(&mut request, &mut body);
    }
    finish(&mut generator.rng, request, body)
}

pub(super) fn collection(generator: &mut Generator) -> Request {
    let at = generator.kind();
    let mut request = Request::new("DELETE", kind(at).collection());
    if chance(&mut generator.rng, 75) {
        let selector = reads::label_selector(&mut generator.rng);
        request = request.with("labelSelector", selector);
    }
    if chance(&mut generator.rng, 20) {
        let selector = reads::field_selector(&mut generator.rng, kind(at));
        request = request.with("fieldSelector", selector);
    }
    let mut body = json!({});
    options(&mut generator.rng, &mut request, &mut body);
    if generator.has_family {
        not_foreground(&mut request, &mut body);
    }
    finish(&mut generator.rng, request, body)
}

/// An owner that something else holds, too, waits for its dependents for a moment: what of them the garbage collector meets in that
/// moment goes, the rest stays. That is a matter of luck on a real server.
fn not_foreground(request: &mut Request, body: &mut Value) {
    let background = |policy: &str| {
        if policy == "Foreground" {
            "Background".to_owned()
        } else {
            policy.to_owned()
        }
    };
    if let Some(Value::String(policy)) = body.get_mut("propagationPolicy") {
        *policy = background(policy);
    }
    for (key, value) in &mut request.query {
        if *key == "propagationPolicy" {
            *value = background(value);
        }
    }
}

fn options(rng: &mut StdRng, request: &mut Request, body: &mut Value) {
    let policy = match rng.random_range(0..100) {
        0..12 => "Background",
        12..22 => "Foreground",
        22..30 => "Orphan",
        30..32 => "Nonsense",
        _ => "",
    };
    if !policy.is_empty() {
        if chance(rng, 60) {
            body["propagationPolicy"] = policy.into();
        } else {
            request.query.push(("propagationPolicy", policy.to_owned()));
        }
    }
    if chance(rng, 5) {
        body["orphanDependents"] = chance(rng, 50).into();
    }
    if chance(rng, 15) {
        let seconds = pick(rng, &[0, 1, 30, -1]);
        if chance(rng, 60) {
            body["gracePeriodSeconds"] = seconds.into();
        } else {
            request
                .query
                .push(("gracePeriodSeconds", seconds.to_string()));
        }
    }
    if chance(rng, 6) {
        if chance(rng, 50) {
            body["dryRun"] = json!(["All"]);
        } else {
            request.query.push(("dryRun", "All".to_owned()));
        }
    }
}

fn finish(rng: &mut StdRng, request: Request, mut body: Value) -> Request {
    if body.as_object().is_some_and(serde_json::Map::is_empty) && chance(rng, 80) {
        return request;
    }
    if chance(rng, 50) {
        body["kind"] = "DeleteOptions".into();
        body["apiVersion"] = (pick(rng, &["v1", "meta.k8s.io/v1"])).into();
    }
    if chance(rng, 4) {
        spoil::one_place(rng, &mut body);
    }
    request.json(written(&body))
}

/// Namespaces of their own, made and deleted.
pub(super) fn namespace(generator: &mut Generator) -> Request {
    let there = generator.model.names(NAMESPACES).len();
    let name = format!("{{ns}}-x{}", generator.rng.random_range(1..4));
    let namespaces = kind(NAMESPACES);
    let rng = &mut generator.rng;
    if there == 0 || chance(rng, 40) {
        let mut labels = bodies::labels(rng, 10);
        labels["of"] = "{ns}".into();
        let mut body = json!({"metadata": {"name": name, "labels": labels}});
        if chance(rng, 20) {
            spoil::metadata(rng, &mut body["metadata"]);
            // Those that are not of this stream would never be tidied up.
            if !body["metadata"]["labels"].is_object() {
                body["metadata"]["labels"] = json!({});
            }
            body["metadata"]["labels"]["of"] = "{ns}".into();
            if body["metadata"]["name"]
                .as_str()
                .is_none_or(|n| !n.starts_with("{ns}"))
            {
                body["metadata"]["name"] = "Not.A_name".into();
            }
        }
        return Request::new("POST", namespaces.collection()).json(written(&body));
    }
    let path = namespaces.object(&name);
    match rng.random_range(0..5) {
        0 => Request::new("GET", path),
        1 => Request::new("PATCH", path).typed(
            "application/merge-patch+json",
            json!({"metadata": {"labels": {"app": "a"}, "annotations": bodies::annotations(rng, 0)}})
                .to_string(),
        ),
        _ => Request::new("DELETE", path),
    }
}
