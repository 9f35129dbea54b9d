//! Requests that no good client sends: bodies that are none, paths that lead nowhere, methods that nobody has.

use rand::RngExt as _;
use serde_json::json;

use super::bodies::{chance, pick};
use super::generate::{Generator, NAMES};
use super::kinds::{KINDS, Kind};
use super::model::kind;
use super::script::Request;
use super::spoil::written;

pub(super) fn request(generator: &mut Generator) -> Request {
    match generator.rng.random_range(0..100) {
        0..40 => bad_body(generator),
        40..65 => wrong_kind(generator),
        65..90 => nowhere(generator),
        _ => wrong_method(generator),
    }
}

/// POST, PUT, PATCH or DELETE with a body that cannot be read.
fn bad_body(generator: &mut Generator) -> Request {
    let (at, name, _) = generator.target();
    let kind = kind(at);
    let whole = {
        let mut object = generator.new_object(kind);
        object["metadata"]["name"] = name.as_str().into();
        written(&object)
    };
    let rng = &mut generator.rng;
    let mut content_type = pick(
        rng,
        &[
            "application/json",
            "application/json",
            "application/json",
            "application/yaml",
            "text/plain",
            "application/xml",
            "",
        ],
    );
    let methods = ["POST", "POST", "PUT", "PATCH", "DELETE"];
    let method = pick(rng, &methods);
    let body = match rng.random_range(0..14) {
        0 => String::new(),
        1 => "garbage".to_owned(),
        2 => "{".to_owned(),
        3 => "[]".to_owned(),
        4 => "null".to_owned(),
        5 => "\"text\"".to_owned(),
        // Go's reader of YAML passes over what follows a document.
        6 if content_type != "application/yaml" => format!("{whole}x"),
        7 => whole[..whole.len() - 1].to_owned(),
        8 => "{}".to_owned(),
        // Deletions and patches that are too deep here are carried out there.
        9 if method == "POST" || method == "PUT" => {
            format!("{}1{}", "{\"a\":".repeat(110), "}".repeat(110))
        }
        10 if method != "DELETE" && !kind.is_minimal() => nested(kind, &name),
        11 => {
            // More than etcd takes, less than the server reads.
            let size = pick(rng, &[1_000_000, 1_700_000, 3_200_000]);
            let mut object = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name}});
            object["metadata"]["annotations"] = json!({"big": "x".repeat(size)});
            object.to_string()
        }
        12 => "a: [".to_owned(),
        _ => whole,
    };
    if method == "PATCH" {
        content_type = pick(
            rng,
            &[
                "application/json",
                "application/merge-patch+json",
                "application/merge-patch+json",
                "application/json-patch+json",
                "text/plain",
                "application/strategic-merge-patch+json",
            ],
        );
    }
    let path = if method == "POST" {
        kind.collection()
    } else {
        kind.object(&name)
    };
    if content_type.is_empty() {
        let mut request = Request::new(method, path);
        request.body = body;
        return request;
    }
    Request::new(method, path).typed(content_type, body)
}

/// An object deeper than anything real, where unknown fields are kept.
fn nested(kind: &Kind, name: &str) -> String {
    let depth = 60;
    let deep = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    format!(
        "{{\"apiVersion\":\"{}\",\"kind\":\"{}\",\"metadata\":{{\"name\":\"{name}\"}},\"spec\":{deep}}}",
        kind.api_version(),
        kind.kind
    )
}

/// A good body that says another kind, version, name or namespace than the path.
fn wrong_kind(generator: &mut Generator) -> Request {
    let (at, name, object) = generator.target();
    let kind = kind(at);
    let other = &KINDS[generator.kind()];
    let mut body = generator.changed(at, &name, object);
    let rng = &mut generator.rng;
    match rng.random_range(0..8) {
        0 => body["kind"] = other.kind.into(),
        1 => body["apiVersion"] = other.api_version().into(),
        2 => body["kind"] = "Nothing".into(),
        3 => body["apiVersion"] = (pick(rng, &["v9", "a/b/c", "ipam.metal3.io/v9", ""])).into(),
        4 => {
            body.as_object_mut().map(|map| map.remove("kind"));
        }
        5 => {
            body.as_object_mut().map(|map| map.remove("apiVersion"));
        }
        6 => body["metadata"]["name"] = (pick(rng, &NAMES)).into(),
        _ => body["metadata"]["namespace"] = "elsewhere".into(),
    }
    if chance(rng, 50) {
        if let Some(metadata) = body["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        Request::new("POST", kind.collection()).json(written(&body))
    } else {
        Request::new("PUT", kind.object(&name)).json(written(&body))
    }
}

/// Paths that lead nowhere.
fn nowhere(generator: &mut Generator) -> Request {
    let (at, name, _) = generator.target();
    let kind = kind(at);
    let rng = &mut generator.rng;
    let object = kind.object(&name);
    let path = match rng.random_range(0..14) {
        0 => "/apis/nothing.io/v1/things".to_owned(),
        1 => "/apis/ipam.metal3.io/v9/ippools".to_owned(),
        2 => "/apis/ipam.metal3.io/v1alpha1/namespaces/{ns}/things".to_owned(),
        3 => format!("{object}/scale"),
        4 => format!("{object}/nothing"),
        5 => format!("{object}/nothing/more"),
        6 => "/api/v2/namespaces/{ns}/configmaps".to_owned(),
        7 => "/nothing".to_owned(),
        8 => format!("{}/a", kind.everywhere()),
        9 => kind.collection().replace("{ns}", "{ns}-missing"),
        10 => object.replace("{ns}", "{ns}-missing"),
        11 => "/apis/ipam.metal3.io/v1alpha1/namespaces/{ns}".to_owned(),
        12 => "/api/v1/namespaces/{ns}/nothings/x".to_owned(),
        _ => format!("{object}/status"),
    };
    let method = pick(rng, &["GET", "GET", "POST", "PUT", "PATCH", "DELETE"]);
    let request = Request::new(method, path);
    match method {
        "GET" | "DELETE" => request,
        "PATCH" => request.typed("application/merge-patch+json", "{\"metadata\":{}}"),
        _ => {
            let mut body = generator.new_object(kind);
            body["metadata"]["name"] = name.into();
            request.json(written(&body))
        }
    }
}

fn wrong_method(generator: &mut Generator) -> Request {
    let (at, name, _) = generator.target();
    let kind = kind(at);
    let rng = &mut generator.rng;
    let body =
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name}});
    let (method, path) = match rng.random_range(0..6) {
        0 => ("PUT", kind.collection()),
        1 => ("PATCH", kind.collection()),
        2 if !kind.is_minimal() => ("POST", kind.object(&name)),
        3 => ("DELETE", kind.everywhere() + "/a"),
        4 => ("OPTIONS", kind.object(&name)),
        _ => ("POST", kind.everywhere()),
    };
    let request = Request::new(method, path);
    if method == "PATCH" {
        request.typed("application/merge-patch+json", body.to_string())
    } else if method == "DELETE" || method == "OPTIONS" {
        request
    } else {
        request.json(body.to_string())
    }
}
