//! What a server is asked when manifests are applied, and what is said of its answers.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::cli::apply::{apply, base, runs};
use crate::cli::documents::{self, Manifest};
use crate::controller::escape;

fn parse(yaml: &str) -> Vec<Manifest> {
    documents::parse("f", yaml).unwrap()
}

/// A server that answers what `answer` says and keeps what it was asked.
fn server<F>(answer: F) -> (Client, Arc<Mutex<Vec<String>>>)
where
    F: Fn(&str) -> (u16, Value) + Clone + Send + 'static,
{
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let line = format!("{} {}", parts.method, parts.uri.path());
            let body = body.collect().await.unwrap().to_bytes();
            log.lock().unwrap().push(
                format!("{line} {}", String::from_utf8_lossy(&body))
                    .trim()
                    .to_owned(),
            );
            let (code, value) = answer(&line);
            let response = Response::builder()
                .status(code)
                .header("warning", r#"299 - "mind \"this\"""#);
            Ok::<_, std::convert::Infallible>(
                response
                    .body(Body::from(value.to_string().into_bytes()))
                    .unwrap(),
            )
        }
    });
    (Client::new(service, "default"), asked)
}

fn kinds(line: &str) -> Option<(u16, Value)> {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "kind": kind, "namespaced": namespaced, "singularName": "", "verbs": [] });
    let list = |resources: Value| {
        Some((
            200,
            json!({ "kind": "APIResourceList", "groupVersion": "x", "resources": resources }),
        ))
    };
    match line {
        "GET /api/v1" => list(json!([resource("namespaces", "Namespace", false)])),
        "GET /apis/g/v1" => list(json!([
            resource("as/status", "A", true),
            resource("as", "A", true)
        ])),
        _ => None,
    }
}

const A: &str = "apiVersion: g/v1\nkind: A\nmetadata: {name: a, namespace: n}\n";

#[tokio::test]
async fn missing_objects_and_namespaces_are_created() {
    let (client, asked) = server(|line| {
        kinds(line).unwrap_or(if line.starts_with("GET") {
            (404, json!({}))
        } else {
            (201, json!({}))
        })
    });
    let applied = apply(&client, &parse(&format!("{A}status: {{}}\n")))
        .await
        .unwrap();
    assert_eq!((applied.created, applied.updated), (1, 0));
    assert_eq!(
        applied.notes,
        [
            "f, document 1 (line 1): A n/a: mind \"this\"",
            "f, document 1 (line 1): A n/a: its status is left out, the controller writes it"
        ]
    );
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "GET /apis/g/v1",
            "GET /api/v1/namespaces/n",
            r#"POST /api/v1/namespaces {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}"#,
            r#"PATCH /apis/g/v1/namespaces/n/as/a {"apiVersion":"g/v1","kind":"A","metadata":{"name":"a","namespace":"n"}}"#,
        ]
    );
}

#[tokio::test]
async fn an_object_that_is_there_gets_the_given_fields() {
    let (client, asked) = server(|line| kinds(line).unwrap_or((200, json!({}))));
    let applied = apply(&client, &parse(A)).await.unwrap();
    assert_eq!((applied.created, applied.updated), (0, 1));
    assert_eq!(
        asked.lock().unwrap().last().unwrap(),
        r#"PATCH /apis/g/v1/namespaces/n/as/a {"apiVersion":"g/v1","kind":"A","metadata":{"name":"a","namespace":"n"}}"#
    );
}

#[tokio::test]
async fn a_refusal_names_file_document_and_object() {
    let (client, _) = server(|line| {
        kinds(line).unwrap_or(if line.starts_with("PATCH") {
            (
                422,
                json!({ "reason": "Invalid", "message": "spec.x: too big" }),
            )
        } else {
            (200, json!({}))
        })
    });
    let error = apply(&client, &parse(A)).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "f, document 1 (line 1): A n/a: spec.x: too big"
    );
}

#[tokio::test]
async fn unknown_kinds_are_found_before_anything_is_written() {
    let (client, asked) = server(|line| kinds(line).unwrap_or((404, json!({}))));
    for (version, kind) in [("g/v1", "B"), ("h/v1", "A"), ("v1", "A")] {
        let yaml = format!("{A}---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: b}}\n");
        let error = apply(&client, &parse(&yaml)).await.unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            format!("f, document 2 (line 5): {kind} b: the server has no kind {kind} in {version}")
        );
    }
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .all(|line| line.starts_with("GET "))
    );
}

#[test]
fn runs_keep_kinds_and_repeated_objects_in_order() {
    let doc =
        |kind, name| format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n");
    let cases = [
        ("A", "a"),
        ("A", "b"),
        ("B", "a"),
        ("B", "b"),
        ("B", "a"),
        ("A", "c"),
    ];
    let yaml: String = cases.map(|(kind, name)| doc(kind, name)).concat();
    let manifests = parse(&yaml);
    let manifests: Vec<&Manifest> = manifests.iter().collect();
    let lengths: Vec<usize> = runs(&manifests).iter().map(|run| run.len()).collect();
    assert_eq!(lengths, [2, 2, 1, 1]);
    assert!(runs(&[]).is_empty());
}

#[test]
fn names_cannot_leave_their_place_in_the_path() {
    assert_eq!(
        escape("a/../b?c#d%\u{e4}").to_string(),
        "a%2F..%2Fb%3Fc%23d%25%C3%A4"
    );
    assert_eq!(base("g/v1"), "/apis/g/v1");
    assert_eq!(base("v1"), "/api/v1");
}

/// The fields of a pool on an embedded server.
async fn spec(client: &Client, name: &str) -> Value {
    let pools: kube::Api<crate::api::metal3::IPPool> =
        kube::Api::namespaced(client.clone(), "default");
    let pool = pools.get(name).await.unwrap();
    serde_json::to_value(pool).unwrap()["spec"].clone()
}

const POOL: &str = "apiVersion: ipam.metal3.io/v1alpha1\nkind: IPPool\nmetadata: {name: p}\n";
const BEFORE: &str = "spec: {namePrefix: p, gateway: 10.0.0.1, pools: [{subnet: 10.0.0.0/24}], preAllocations: {a: 10.0.0.7, b: 10.0.0.8}}\n";
const AFTER: &str =
    "spec: {namePrefix: p, pools: [{subnet: 10.0.0.0/24}], preAllocations: {a: 10.0.0.7}}\n";

async fn embedded() -> crate::standalone::InMemory {
    let options = crate::standalone::in_memory();
    crate::standalone::InMemory::open(options).await.unwrap()
}

#[tokio::test]
async fn what_leaves_the_file_leaves_the_object() {
    let server = embedded().await;
    let client = server.client();
    let before = parse(&format!("{POOL}{BEFORE}"));
    let applied = apply(&client, &before).await.unwrap();
    assert_eq!((applied.created, applied.updated), (1, 0));
    assert_eq!(spec(&client, "p").await["preAllocations"]["b"], "10.0.0.8");
    // What someone else set stays.
    let pools: kube::Api<crate::api::metal3::IPPool> =
        kube::Api::namespaced(client.clone(), "default");
    let other = kube::api::Patch::Merge(json!({"spec": {"prefix": 24}}));
    pools
        .patch("p", &kube::api::PatchParams::default(), &other)
        .await
        .unwrap();
    let applied = apply(&client, &parse(&format!("{POOL}{AFTER}")))
        .await
        .unwrap();
    assert_eq!((applied.created, applied.updated), (0, 1));
    let spec = spec(&client, "p").await;
    assert_eq!(spec["preAllocations"], json!({"a": "10.0.0.7"}));
    assert_eq!(
        (&spec["gateway"], &spec["prefix"]),
        (&Value::Null, &json!(24))
    );
    server.close().await;
}

#[tokio::test]
async fn what_an_older_version_wrote_and_the_file_has_no_more_leaves_the_object() {
    let server = embedded().await;
    let client = server.client();
    // An older version created objects, and merged into those that were there.
    let send = async |method: &str, path: &str, content: &str, body: Value| {
        let request = Request::builder()
            .method(method)
            .uri(format!(
                "/apis/ipam.metal3.io/v1alpha1/namespaces/default/ippools{path}?fieldManager=metal3-ipam-apply"
            ))
            .header("content-type", content)
            .body(Body::from(body.to_string().into_bytes()));
        let response = client.send(request.unwrap()).await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
    };
    let object = parse(&format!("{POOL}{BEFORE}"))[0].object.clone();
    send("POST", "", "application/json", object).await;
    let merged = json!({"spec": {"preAllocations": {"c": "10.0.0.9"}}});
    send("PATCH", "/p", "application/merge-patch+json", merged).await;
    assert_eq!(spec(&client, "p").await["preAllocations"]["c"], "10.0.0.9");
    for _ in 0..2 {
        apply(&client, &parse(&format!("{POOL}{AFTER}")))
            .await
            .unwrap();
        let spec = spec(&client, "p").await;
        assert_eq!(spec["preAllocations"], json!({"a": "10.0.0.7"}));
        assert_eq!(spec["gateway"], Value::Null);
    }
    server.close().await;
}

#[tokio::test]
async fn definitions_in_a_file_are_left_out_with_a_note() {
    let server = embedded().await;
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: ippools.ipam.metal3.io}\nspec: {}\n";
    let applied = apply(
        &server.client(),
        &parse(&format!("{crd}---\n{POOL}{AFTER}")),
    )
    .await
    .unwrap();
    assert_eq!((applied.created, applied.updated), (1, 0));
    assert_eq!(applied.notes.len(), 1, "{:?}", applied.notes);
    assert!(applied.notes[0].contains("left out"), "{:?}", applied.notes);
    server.close().await;
}
