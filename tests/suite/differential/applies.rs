//! Server-side applies: of what is there and of what is not, by few managers, who meet.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::bodies::{self, chance, pick};
use super::generate::{Generator, NAMES};
use super::kinds::Kind;
use super::model::kind;
use super::script::Request;
use super::spoil::{self, written};

const APPLY: &str = "application/apply-patch+yaml";

/// One apply of a whole object.
pub(super) fn apply(generator: &mut Generator) -> Request {
    let (at, name, object) = if chance(&mut generator.rng, 75) {
        generator.target()
    } else {
        let at = generator.kind();
        let name = pick(&mut generator.rng, &NAMES).to_owned();
        let object = generator.model.objects.get(&(at, name.clone())).cloned();
        (at, name, object)
    };
    let kind = kind(at);
    if chance(&mut generator.rng, 5) {
        return no_configuration(generator, kind.object(&name));
    }
    let mut body = configuration(generator, kind, &name);
    if let Some(object) = object
        && chance(&mut generator.rng, 8)
    {
        name_version(generator, at, &object, &mut body["metadata"]);
    }
    let rng = &mut generator.rng;
    match rng.random_range(0..100) {
        0..8 if !kind.is_minimal() => spoil::one_place(rng, &mut body),
        8..12 if kind.custom && !kind.is_minimal() => spoil::part(rng, &mut body, "spec"),
        12..18 => spoil::metadata(rng, &mut body["metadata"]),
        18..20 => {
            body["metadata"]["managedFields"] = pick(rng, &[json!([]), json!([{}])]);
        }
        20..21 => body["kind"] = (pick(rng, &["IPPool", "Nothing", ""])).into(),
        21..22 => body["apiVersion"] = (pick(rng, &["v1", "v9", "ipam.metal3.io/v9", ""])).into(),
        22..23 => {
            let missing = pick(rng, &["kind", "apiVersion", "metadata"]);
            body.as_object_mut().map(|body| body.remove(missing));
        }
        23..25 => {
            let metadata = body["metadata"].as_object_mut();
            metadata.map(|metadata| metadata.remove("name"));
        }
        25..29 if kind.status => body["status"] = bodies::status(rng, kind),
        _ => {}
    }
    if kind.custom {
        without_nothing(&mut body["metadata"]);
    }
    sent(generator, kind.object(&name), &body)
}

/// Takes away what is empty: nothing to the embedded server. A real one stores it for custom resources, shows it to nobody, and
/// writes the object again with the next update that changes nothing.
fn without_nothing(metadata: &mut Value) {
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|field, value| {
            let is_kept =
                ["name", "namespace", "resourceVersion", "managedFields"].contains(&field.as_str());
            is_kept || !(*value == "" || *value == json!([]) || *value == json!({}))
        });
    }
}

/// One apply of a status.
pub(super) fn status(generator: &mut Generator, at: usize, name: &str, path: String) -> Request {
    let kind = kind(at);
    let rng = &mut generator.rng;
    let mut body = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name},
        "status": bodies::status(rng, kind),
    });
    match rng.random_range(0..100) {
        0..12 if !kind.is_minimal() => spoil::part(rng, &mut body, "status"),
        12..17 => body["metadata"]["labels"] = bodies::labels(rng, 10),
        17..21 if !kind.is_minimal() => body["spec"] = json!({"namePrefix": "other"}),
        21..24 => body["status"] = Value::Null,
        24..27 if !kind.is_minimal() => body["status"] = json!({}),
        27..29 => {
            body.as_object_mut().map(|body| body.remove("status"));
        }
        29..32 => spoil::metadata(rng, &mut body["metadata"]),
        _ => {}
    }
    let stored = generator.model.objects.get(&(at, name.to_owned()));
    let has_status = stored.is_some_and(|object| object["status"].is_object());
    if body["status"].is_null() && !has_status {
        // As in `without_nothing`.
        body.as_object_mut().map(|body| body.remove("status"));
    }
    sent(generator, path, &body)
}

/// What a manager may want of an object: some of what objects of the kind have.
fn configuration(generator: &mut Generator, kind: &Kind, name: &str) -> Value {
    let mut body = generator.new_object(kind);
    body["metadata"]["name"] = name.into();
    let rng = &mut generator.rng;
    if chance(rng, 10) {
        body["metadata"]["namespace"] = "{ns}".into();
    }
    if kind.is_minimal() {
        // There must be something in it, or no spec at all.
        if chance(rng, 15) {
            body.as_object_mut().map(|body| body.remove("spec"));
        }
        return body;
    }
    for field in ["spec", "data"] {
        match rng.random_range(0..10) {
            0 | 1 => {
                body.as_object_mut().map(|body| body.remove(field));
            }
            2..=4 => thin(rng, &mut body[field]),
            _ => {}
        }
        if body[field].is_null() {
            body.as_object_mut().map(|body| body.remove(field));
        }
    }
    body
}

/// Takes some fields away.
fn thin(rng: &mut StdRng, value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, _| !chance(rng, 40));
    }
}

/// Says which version or which object is meant: the right one or another.
fn name_version(generator: &mut Generator, at: usize, object: &Value, metadata: &mut Value) {
    let mut named = object["metadata"].clone();
    generator.misname(at, &mut named);
    for field in ["resourceVersion", "uid"] {
        if chance(&mut generator.rng, 60) {
            metadata[field] = named[field].clone();
        }
    }
}

/// What is no configuration of anything.
fn no_configuration(generator: &mut Generator, path: String) -> Request {
    let bodies = [
        "",
        "garbage",
        "[]",
        "null",
        "{}",
        "a: [",
        "- a",
        "\"text\"",
        "{\"a\":1,\"a\":2}",
        "5",
        "kind: IPPool\napiVersion: ipam.metal3.io/v1alpha1\n",
    ];
    let rng = &mut generator.rng;
    let body = pick(rng, &bodies);
    let request = Request::new("PATCH", path).typed(APPLY, body);
    request.with("fieldManager", "one")
}

/// The request, by one of the managers.
fn sent(generator: &mut Generator, path: String, body: &Value) -> Request {
    let rng = &mut generator.rng;
    let mut request = Request::new("PATCH", path).typed(APPLY, written(body));
    match rng.random_range(0..100) {
        0..97 => {
            // As one of them too, others update.
            let manager = pick(rng, &["one", "one", "two", "someone", "differential"]);
            request = request.with("fieldManager", manager);
        }
        97 => {}
        98 => request = request.with("fieldManager", ""),
        _ => request = request.with("fieldManager", "x".repeat(129)),
    }
    match rng.random_range(0..100) {
        0..35 => request = request.with("force", pick(rng, &["1", "true"])),
        35..40 => request = request.with("force", pick(rng, &["0", "false", ""])),
        _ => {}
    }
    if chance(rng, 25) {
        let values = ["Strict", "Strict", "Warn", "Ignore", ""];
        request = request.with("fieldValidation", pick(rng, &values));
    }
    if chance(rng, 6) {
        request = request.with("dryRun", "All");
    }
    request
}
