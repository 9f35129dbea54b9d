//! The API from its door: requests in, answers out, in process.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, BodyStream, Full};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::bounds::MAX_BODY;
use super::reply::Body;
use super::service::Api;
use crate::metrics::Metrics;
use crate::registry::{Options, Registry};

const WIDGETS: &str = "/apis/example.com/v1alpha1/namespaces/default/widgets";
const MERGE: &str = "application/merge-patch+json";

struct Door {
    api: Api,
    registry: Registry,
    closing: CancellationToken,
    _dir: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.text)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.text)))
    }
}

impl Door {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(Options::new(dir.path(), crate::testing::serves()))
            .await
            .unwrap();
        let closing = CancellationToken::new();
        Self {
            api: Api::new(
                registry.clone(),
                Some("right"),
                Arc::new(Metrics::new(
                    registry.product(),
                    None,
                    registry.commit_seconds().clone(),
                )),
                closing.clone(),
            ),
            registry,
            closing,
            _dir: dir,
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> http::Response<Body> {
        self.api.clone().oneshot(request).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        let request = request.body(Full::from(body.to_vec())).unwrap();
        Answer::of(self.send(request).await).await
    }

    async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let kind = if method == "PATCH" {
            MERGE
        } else {
            "application/json"
        };
        let headers = [(CONTENT_TYPE.as_str(), kind)];
        self.ask(method, path, &headers, body.to_string().as_bytes())
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    /// Creates a widget, which must succeed.
    async fn widget(&self, name: &str) -> Value {
        let made = self.json("POST", WIDGETS, &widget(name)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.text);
        made.json()
    }
}

impl Answer {
    async fn of(response: http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            text: body.collect().await.unwrap().to_bytes(),
        }
    }
}

fn widget(name: &str) -> Value {
    json!({
        "apiVersion": "example.com/v1alpha1", "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"model": "p", "parts": [{"start": "10.0.0.1", "end": "10.0.0.9"}]},
    })
}

/// Method, path, content type, body; code and reason of the answer.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a str);

/// Asserts that each request is refused, and how.
async fn judge(door: &Door, table: &[Case<'_>]) {
    for (method, path, content_type, body, code, reason) in table {
        let answer = door
            .ask(method, path, &[("content-type", content_type)], body)
            .await;
        let what = format!("{method} {path} {:.60}", String::from_utf8_lossy(body));
        let status = answer.json();
        assert_eq!(answer.status.as_u16(), *code, "{what}: {status}");
        assert_eq!(status["kind"], "Status", "{what}");
        assert_eq!(status["code"], *code, "{what}");
        assert_eq!(status["reason"], *reason, "{what}: {status}");
        assert!(
            status["message"].as_str().unwrap().len() < 4096,
            "{what}: a message that grows with its request"
        );
    }
}

#[tokio::test]
async fn bad_requests_end_in_a_status_with_code_and_reason() {
    let door = Door::open().await;
    door.widget("a").await;
    let one = format!("{WIDGETS}/a");
    let with = |change: fn(&mut Value)| {
        let mut widget = widget("x");
        change(&mut widget);
        widget.to_string().into_bytes()
    };
    let good = widget("x").to_string().into_bytes();
    let renamed = with(|p| p["metadata"]["name"] = "b".into());
    let deep = format!(
        "{{\"spec\":{}1{}}}",
        "{\"a\":".repeat(5000),
        "}".repeat(5000)
    )
    .into_bytes();
    let huge = vec![b'x'; MAX_BODY + 1];
    let large = with(|p| {
        let owner = "x".repeat(3 * 1024 * 1024 - 400);
        p["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": owner, "uid": "u"}]);
    });
    let (json, yaml) = ("application/json", "application/yaml");
    let table: &[Case<'_>] = &[
        // What is no object at all.
        ("POST", WIDGETS, json, b"", 400, "BadRequest"),
        ("POST", WIDGETS, json, b"garbage", 400, "BadRequest"),
        ("POST", WIDGETS, json, b"[]", 400, "BadRequest"),
        ("POST", WIDGETS, json, b"\xff\xfe", 400, "BadRequest"),
        ("POST", WIDGETS, yaml, b"a: [", 400, "BadRequest"),
        ("POST", WIDGETS, yaml, b"just text", 400, "BadRequest"),
        ("POST", WIDGETS, json, &deep, 400, "BadRequest"),
        ("POST", WIDGETS, json, &huge, 413, "RequestEntityTooLarge"),
        ("POST", WIDGETS, json, &large, 413, "RequestEntityTooLarge"),
        // Media types.
        (
            "POST",
            WIDGETS,
            "application/vnd.kubernetes.protobuf",
            &good,
            415,
            "UnsupportedMediaType",
        ),
        (
            "POST",
            WIDGETS,
            "text/plain",
            &good,
            415,
            "UnsupportedMediaType",
        ),
        ("PATCH", &one, json, b"{}", 415, "UnsupportedMediaType"),
        (
            "PATCH",
            &one,
            "application/apply-patch+cbor",
            &good,
            415,
            "UnsupportedMediaType",
        ),
        // An apply says who applies.
        (
            "PATCH",
            &one,
            "application/apply-patch+yaml",
            &good,
            422,
            "Invalid",
        ),
        // Patches.
        ("PATCH", &one, MERGE, b"[]", 400, "BadRequest"),
        ("PATCH", &one, MERGE, b"{", 400, "BadRequest"),
        (
            "PATCH",
            &one,
            "application/json-patch+json",
            b"{}",
            400,
            "BadRequest",
        ),
        (
            "PATCH",
            &one,
            "application/json-patch+json",
            b"[{\"op\":\"fly\"}]",
            422,
            "Invalid",
        ),
        (
            "PATCH",
            &one,
            "application/json-patch+json",
            b"[{\"op\":\"remove\",\"path\":\"/no\"}]",
            422,
            "Invalid",
        ),
        // An object for somewhere else.
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| p["apiVersion"] = "example.com/v9".into()),
            400,
            "BadRequest",
        ),
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| p["kind"] = "Gadget".into()),
            422,
            "Invalid",
        ),
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| p["metadata"]["namespace"] = "b".into()),
            400,
            "BadRequest",
        ),
        ("PUT", &one, json, &renamed, 400, "BadRequest"),
        (
            "POST",
            &WIDGETS.replace("default", "nowhere"),
            json,
            &good,
            404,
            "NotFound",
        ),
        (
            "POST",
            WIDGETS,
            json,
            &widget("a").to_string().into_bytes(),
            409,
            "AlreadyExists",
        ),
        // Queries.
        (
            "GET",
            &format!("{WIDGETS}?limit=x"),
            json,
            b"",
            400,
            "BadRequest",
        ),
        (
            "GET",
            &format!("{WIDGETS}?timeout=x"),
            json,
            b"",
            400,
            "BadRequest",
        ),
        (
            "GET",
            &format!("{WIDGETS}?labelSelector=a%3D%3D%3Db"),
            json,
            b"",
            400,
            "BadRequest",
        ),
        (
            "GET",
            &format!("{WIDGETS}?fieldSelector=spec.x%3Db"),
            json,
            b"",
            400,
            "BadRequest",
        ),
        (
            "GET",
            &format!("{WIDGETS}?continue=x"),
            json,
            b"",
            400,
            "BadRequest",
        ),
        (
            "GET",
            &format!("{WIDGETS}?resourceVersion=x"),
            json,
            b"",
            400,
            "BadRequest",
        ),
        (
            "GET",
            &format!("{WIDGETS}?resourceVersionMatch=Exact"),
            json,
            b"",
            422,
            "Invalid",
        ),
        (
            "GET",
            &format!("{WIDGETS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"),
            json,
            b"",
            422,
            "Invalid",
        ),
        (
            "POST",
            &format!("{WIDGETS}?dryRun=Some"),
            json,
            &good,
            422,
            "Invalid",
        ),
        (
            "POST",
            &format!("{WIDGETS}?fieldValidation=Odd"),
            json,
            &good,
            422,
            "Invalid",
        ),
        (
            "DELETE",
            &format!("{one}?propagationPolicy=Odd"),
            json,
            b"",
            422,
            "Invalid",
        ),
        ("DELETE", &one, json, b"[]", 400, "BadRequest"),
        (
            "DELETE",
            &one,
            json,
            b"{\"preconditions\":{\"uid\":\"other\"}}",
            409,
            "Conflict",
        ),
        // Paths and methods.
        ("GET", "/nothing", json, b"", 404, "NotFound"),
        ("GET", "/api/v1/pods", json, b"", 404, "NotFound"),
        (
            "GET",
            "/apis/example.com/v9/widgets",
            json,
            b"",
            404,
            "NotFound",
        ),
        ("GET", "/apis/none/v1", json, b"", 404, "NotFound"),
        (
            "GET",
            &format!("{WIDGETS}/none"),
            json,
            b"",
            404,
            "NotFound",
        ),
        ("GET", &format!("{one}/scale"), json, b"", 404, "NotFound"),
        (
            "POST",
            "/apis/example.com/v1alpha1/widgets",
            json,
            &good,
            404,
            "NotFound",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/namespaces",
            json,
            b"",
            404,
            "NotFound",
        ),
        ("PUT", WIDGETS, json, &good, 400, "BadRequest"),
        (
            "DELETE",
            &format!("{one}/status"),
            json,
            b"",
            405,
            "MethodNotAllowed",
        ),
        ("POST", "/apis", json, b"", 405, "MethodNotAllowed"),
        (
            "DELETE",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com",
            json,
            b"",
            405,
            "MethodNotAllowed",
        ),
    ];
    judge(&door, table).await;
    assert!(
        door.get(&one).await.status.is_success(),
        "the object that was there is as it was"
    );

    for accept in ["text/html", "application/vnd.kubernetes.protobuf"] {
        let answer = door
            .ask("GET", WIDGETS, &[(ACCEPT.as_str(), accept)], b"")
            .await;
        assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
        assert_eq!(answer.json()["reason"], "NotAcceptable");
    }
}

#[tokio::test]
async fn head_of_custom_resources_answers_as_get_without_a_body() {
    let door = Door::open().await;
    door.widget("here").await;
    let cases = [
        (WIDGETS.to_owned(), StatusCode::OK),
        (format!("{WIDGETS}/here"), StatusCode::OK),
        (format!("{WIDGETS}/none"), StatusCode::NOT_FOUND),
        (
            "/api/v1/namespaces/default".to_owned(),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ];
    for (path, status) in cases {
        let head = door.ask("HEAD", &path, &[], b"").await;
        assert_eq!((head.status, head.text.len()), (status, 0), "{path}");
    }
    let (head, get) = (
        door.ask("HEAD", WIDGETS, &[], b"").await,
        door.get(WIDGETS).await,
    );
    assert_eq!(
        head.headers.get(CONTENT_TYPE),
        get.headers.get(CONTENT_TYPE)
    );
    let watch = format!("{WIDGETS}?watch=true");
    let head = door.ask("HEAD", &watch, &[], b"").await;
    assert_eq!(head.status, StatusCode::OK, "it ends");
}

#[tokio::test]
async fn bad_contents_end_in_a_status_too() {
    let door = Door::open().await;
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let with = |change: fn(&mut Value)| {
        let mut widget = widget("x");
        change(&mut widget);
        widget.to_string().into_bytes()
    };
    let json = "application/json";
    let table: &[Case<'_>] = &[
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| p["metadata"]["name"] = "A_b".into()),
            422,
            "Invalid",
        ),
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| p["spec"]["size"] = "x".into()),
            422,
            "Invalid",
        ),
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| drop(p["spec"].as_object_mut().unwrap().remove("model"))),
            422,
            "Invalid",
        ),
        (
            "POST",
            &strict,
            json,
            &with(|p| p["spec"]["odd"] = 1.into()),
            400,
            "BadRequest",
        ),
        (
            "POST",
            &strict,
            json,
            b"{\"metadata\":{\"name\":\"x\"},\"spec\":{\"model\":\"p\",\"model\":\"p\"}}",
            400,
            "BadRequest",
        ),
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| p["metadata"]["annotations"] = json!({"a": "x".repeat(270_000)})),
            422,
            "Invalid",
        ),
        (
            "POST",
            WIDGETS,
            json,
            &with(|p| p["spec"]["parts"][0]["end"] = "10.0.0.0".into()),
            422,
            "Invalid",
        ),
    ];
    judge(&door, table).await;
    assert_eq!(door.get(WIDGETS).await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_object_lives_through_every_verb() {
    let door = Door::open().await;
    let one = format!("{WIDGETS}/a");
    let made = door.widget("a").await;
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(door.get(&one).await.json(), made);

    let big = json!({"metadata": {"annotations": {"note": "x".repeat(200 * 1024)}}});
    let patched = door.json("PATCH", &one, &big).await;
    assert_eq!(
        patched.status,
        StatusCode::OK,
        "200 KiB of annotations are fine"
    );

    let yaml = "apiVersion: example.com/v1alpha1\nkind: Widget\nmetadata: {name: a}\nspec: {model: p, size: 24, parts: []}\n";
    let mut replaced = serde_saphyr::from_str::<Value>(yaml).unwrap();
    replaced["metadata"]["resourceVersion"] = patched.json()["metadata"]["resourceVersion"].clone();
    let text = serde_saphyr::to_string(&replaced).unwrap();
    let headers = [
        ("content-type", "application/yaml"),
        ("accept", "application/yaml"),
    ];
    let put = door.ask("PUT", &one, &headers, text.as_bytes()).await;
    assert_eq!(put.status, StatusCode::OK, "{:?}", put.text);
    assert_eq!(put.headers["content-type"], "application/yaml");
    let put: Value = serde_saphyr::from_slice(&put.text).unwrap();
    assert_eq!(put["spec"]["size"], 24);
    assert_eq!(put["metadata"]["generation"], 2);

    let status = json!({"status": {"capacity": 7}, "spec": {"size": 1}});
    let answer = door
        .json("PATCH", &format!("{one}/status"), &status)
        .await
        .json();
    assert_eq!(answer["status"]["capacity"], 7);
    assert_eq!(
        answer["spec"]["size"], 24,
        "the status path leaves the spec alone"
    );

    let list = door.get(WIDGETS).await.json();
    assert_eq!(list["kind"], "WidgetList");
    assert_eq!(list["apiVersion"], "example.com/v1alpha1");
    assert_eq!(list["items"], json!([answer]));
    assert_eq!(
        list["metadata"]["resourceVersion"],
        answer["metadata"]["resourceVersion"]
    );
    let all = door
        .get("/apis/example.com/v1alpha1/widgets?labelSelector=x")
        .await
        .json();
    assert_eq!(all["items"], json!([]));

    let dry = door
        .ask("DELETE", &format!("{one}?dryRun=All"), &[], b"")
        .await;
    assert_eq!(dry.status, StatusCode::OK);
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
        "preconditions": {"uid": made["metadata"]["uid"]}});
    let gone = door.json("DELETE", &one, &options).await;
    assert_eq!(gone.status, StatusCode::OK);
    assert_eq!(gone.json()["status"], "Success");
    assert_eq!(gone.json()["details"]["name"], "a");
    assert_eq!(door.get(&one).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn warnings_stand_in_the_head() {
    let door = Door::open().await;
    let body = br#"{"apiVersion":"example.com/v1alpha1","kind":"Widget","metadata":{"name":"w"},"spec":{"model":"p","parts":[],"odd":1,"size":24,"size":25}}"#;
    let answer = door.ask("POST", WIDGETS, &[], body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.text);
    let warnings: Vec<&str> = answer
        .headers
        .get_all("warning")
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect();
    for field in [
        "unknown field \\\"spec.odd\\\"",
        "duplicate field \\\"spec.size\\\"",
    ] {
        assert!(
            warnings
                .iter()
                .any(|w| w.starts_with("299 - ") && w.contains(field)),
            "{warnings:?}"
        );
    }
    let silent = door
        .ask(
            "POST",
            &format!("{WIDGETS}?fieldValidation=Ignore&dryRun=All"),
            &[],
            body,
        )
        .await;
    assert!(silent.headers.get("warning").is_none());
}

#[tokio::test]
async fn pages_rows_and_metadata() {
    let door = Door::open().await;
    for name in ["a", "b", "c"] {
        door.widget(name).await;
    }
    let first = door.get(&format!("{WIDGETS}?limit=2")).await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let query: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let second = door
        .get(&format!("{WIDGETS}?limit=2&continue={query}"))
        .await
        .json();
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    assert_eq!(second["metadata"].get("continue"), None);

    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let rows = door
        .ask("GET", WIDGETS, &[("accept", table)], b"")
        .await
        .json();
    assert_eq!(rows["kind"], "Table");
    let names: Vec<&Value> = rows["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(
        names,
        ["Name", "Team", "Capacity", "Used", "Free", "Ready", "Age"]
    );
    assert_eq!(rows["rows"].as_array().unwrap().len(), 3);
    assert_eq!(rows["rows"][1]["cells"][0], "b");
    assert_eq!(rows["rows"][1]["object"]["kind"], "PartialObjectMetadata");
    let one = door
        .ask(
            "GET",
            &format!("{WIDGETS}/a?includeObject=Object"),
            &[("accept", table)],
            b"",
        )
        .await
        .json();
    assert_eq!(one["rows"][0]["object"]["kind"], "Widget");

    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = door
        .ask("GET", WIDGETS, &[("accept", partial)], b"")
        .await
        .json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][2]["metadata"]["name"], "c");
    assert_eq!(list["items"][2].get("spec"), None);

    let yaml = [("accept", "application/yaml")];
    let text = door.ask("GET", WIDGETS, &yaml, b"").await;
    assert_eq!(text.headers[CONTENT_TYPE], "application/yaml");
    let whole: Value = serde_saphyr::from_slice(&text.text).unwrap();
    assert_eq!(whole, door.get(WIDGETS).await.json());

    // As on a real API server, a limit bounds a deletion too, which goes on with the token.
    let names = |list: &Value| -> Vec<Value> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["metadata"]["name"].clone()).collect()
    };
    let page = format!("{WIDGETS}?limit=1");
    let gone = door.ask("DELETE", &page, &[], b"").await.json();
    assert_eq!(names(&gone), ["a"]);
    assert_eq!(gone["metadata"]["remainingItemCount"], 2);
    assert_eq!(names(&door.get(WIDGETS).await.json()), ["b", "c"]);
    let token = gone["metadata"]["continue"].as_str().unwrap();
    let query: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let next = format!("{page}&continue={query}");
    assert_eq!(
        names(&door.ask("DELETE", &next, &[], b"").await.json()),
        ["b"]
    );
    let gone = door.ask("DELETE", WIDGETS, &[], b"").await;
    assert_eq!(gone.status, StatusCode::OK, "{:?}", gone.text);
    assert_eq!(door.get(WIDGETS).await.json()["items"], json!([]));
}

/// The lines of a watch, as they come.
struct Lines(futures::stream::BoxStream<'static, Value>);

impl Lines {
    async fn open(door: &Door, path: &str, accept: &str) -> Self {
        let request = Request::get(path)
            .header("accept", accept)
            .body(Full::default())
            .unwrap();
        let response = door.send(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        // The server sends an event as one piece; over a network a reader would cut at line ends.
        let lines = BodyStream::new(response.into_body()).map(|frame| {
            let data = frame.unwrap().into_data().unwrap_or_default();
            assert!(data.ends_with(b"\n"));
            serde_json::from_slice(&data).unwrap()
        });
        Self(lines.boxed())
    }

    async fn next(&mut self) -> Option<Value> {
        self.0.next().await
    }
}

#[tokio::test]
async fn a_watch_tells_what_happens_until_the_server_stops() {
    let door = Door::open().await;
    door.widget("a").await;
    let list = door.get(WIDGETS).await.json();
    let since = list["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{WIDGETS}?watch=true&resourceVersion={since}");
    let mut whole = Lines::open(&door, &path, "application/json").await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut rows = Lines::open(&door, &path, table).await;
    let mut only_b = Lines::open(&door, &format!("{WIDGETS}/b?watch=1"), "*/*").await;

    door.widget("b").await;
    door.json(
        "PATCH",
        &format!("{WIDGETS}/a"),
        &json!({"metadata": {"labels": {"x": "y"}}}),
    )
    .await;
    door.ask("DELETE", &format!("{WIDGETS}/b"), &[], b"").await;
    for (kind, name) in [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")] {
        let event = whole.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&kind.into(), &name.into())
        );
        assert_eq!(event["object"]["kind"], "Widget");
        let row = rows.next().await.unwrap();
        assert_eq!(
            (&row["type"], &row["object"]["rows"][0]["cells"][0]),
            (&kind.into(), &name.into())
        );
        assert_eq!(
            row["object"]["columnDefinitions"].is_array(),
            kind == "ADDED",
            "headings come once"
        );
    }
    assert_eq!(only_b.next().await.unwrap()["type"], "ADDED");
    assert_eq!(only_b.next().await.unwrap()["type"], "DELETED");

    door.closing.cancel();
    assert_eq!(whole.next().await, None);
    assert_eq!(rows.next().await, None);
    assert_eq!(only_b.next().await, None);
    door.registry.close().await;
}

#[tokio::test]
async fn documents_and_reviews() {
    let door = Door::open().await;
    for path in ["/healthz", "/readyz", "/livez?verbose", "/livez/ping"] {
        assert_eq!(door.get(path).await.text, "ok", "{path}");
    }
    assert_eq!(door.get("/version").await.json()["major"], "1");
    assert_eq!(
        door.get("/apis/example.com").await.json()["kind"],
        "APIGroup"
    );
    let index = door.get("/openapi/v3").await.json();
    for entry in index["paths"].as_object().unwrap().values() {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        assert_eq!(door.get(url).await.json()["openapi"], "3.0.0", "{url}");
    }
    let before = door.get("/openapi/v2").await.json();
    assert_eq!(
        (&before["swagger"], &before["paths"]),
        (&json!("2.0"), &json!({}))
    );
    for version in [".v1.0", "@v1.0"] {
        let accept = format!("application/com.github.proto-openapi.spec.v2{version}+protobuf");
        let before = door
            .ask("GET", "/openapi/v2", &[("accept", &accept)], b"")
            .await;
        assert_eq!(
            (before.status, &*before.text),
            (StatusCode::OK, &b"\n\x032.0"[..])
        );
    }
    let crds = door
        .get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        .await
        .json();
    assert_eq!(crds["items"].as_array().unwrap().len(), 4);
    let who = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let who = door
        .json(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            &who,
        )
        .await;
    assert_eq!(who.status, StatusCode::CREATED);
    assert!(who.json()["status"]["userInfo"]["username"].is_string());
    let may = json!({"spec": {"resourceAttributes": {"verb": "get"}}});
    let may = door
        .json(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            &may,
        )
        .await;
    assert_eq!(may.json()["status"]["allowed"], true);
    assert_eq!(may.json()["spec"]["resourceAttributes"]["verb"], "get");
}

#[tokio::test]
async fn from_outside_only_health_and_version_are_open() {
    let door = Door::open().await;
    let ask = async |path: &str, authorization: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let request = request.body(Full::<Bytes>::default()).unwrap();
        Answer::of(door.api.answer_remote(request, || ()).await).await
    };
    for path in ["/healthz", "/readyz", "/livez", "/version"] {
        assert_eq!(ask(path, None).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/", "/api", "/apis", "/nothing", "/openapi/v3", WIDGETS] {
        for wrong in [
            None,
            Some("Bearer wrong"),
            Some("Bearer right1"),
            Some("Basic right"),
            Some("right"),
            Some("Bearer"),
        ] {
            let answer = ask(path, wrong).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {wrong:?}");
            assert_eq!(answer.json()["reason"], "Unauthorized");
        }
        assert_ne!(
            ask(path, Some("Bearer right")).await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }

    let head = Request::head("/healthz")
        .body(Full::<Bytes>::default())
        .unwrap();
    let head = Answer::of(door.api.answer_remote(head, || ()).await).await;
    assert_eq!((head.status, head.text), (StatusCode::OK, Bytes::new()));
}
