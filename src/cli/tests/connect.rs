//! The first question to an API server, and what is said of its answers.

use std::future::pending;
use std::path::PathBuf;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::cli::connect::{greet, merged};

/// Greets a server that answers `/version` and our group's list of kinds like this.
async fn greeted(version: (u16, Value), kinds: (u16, Value)) -> Result<(String, bool), String> {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (code, body) = match request.uri().path() {
            "/version" => version.clone(),
            "/apis/ipam.metal3.io/v1alpha1" => kinds.clone(),
            other => panic!("{other} is not asked for"),
        };
        let response = Response::builder().status(code);
        async move { response.body(Body::from(body.to_string().into_bytes())) }
    });
    let greeting = greet(&Client::new(service, "default"), "https://there").await;
    greeting.map_err(|e| format!("{e:#}"))
}

fn version() -> (u16, Value) {
    let text = [
        "buildDate",
        "compiler",
        "gitCommit",
        "gitTreeState",
        "goVersion",
        "major",
        "minor",
        "platform",
    ];
    let mut version: Value = text
        .into_iter()
        .map(|field| (field.to_owned(), json!("x")))
        .collect();
    version["gitVersion"] = json!("v1.2.3");
    (200, version)
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
                         "reason": reason, "message": format!("this is {reason}") });
    (code, status)
}

fn kinds(kinds: &[&str]) -> (u16, Value) {
    let resource = |kind: &&str| json!({ "name": "x", "singularName": "", "kind": kind, "namespaced": true, "verbs": [] });
    let resources: Vec<Value> = kinds.iter().map(resource).collect();
    (
        200,
        json!({ "kind": "APIResourceList", "groupVersion": "ipam.metal3.io/v1alpha1", "resources": resources }),
    )
}

#[tokio::test]
async fn a_server_is_greeted_and_asked_for_our_kinds() {
    let all = ["IPPool", "IPClaim", "IPAddress"];
    let cases = [
        (kinds(&all), true),
        (kinds(&all[..2]), false),
        (kinds(&[]), false),
        (status(404, "NotFound"), false),
    ];
    for (answer, served) in cases {
        assert_eq!(
            greeted(version(), answer).await,
            Ok(("v1.2.3".to_owned(), served))
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_want_us_is_told_of_in_plain_words() {
    let refused = greeted(status(401, "Unauthorized"), kinds(&[]))
        .await
        .unwrap_err();
    assert_eq!(
        refused,
        "the API server at https://there refuses the credentials of the kubeconfig; renew them"
    );
    let forbidden = greeted(status(403, "Forbidden"), kinds(&[]))
        .await
        .unwrap_err();
    assert_eq!(
        forbidden,
        "the API server at https://there answers 403: this is Forbidden"
    );
    let broken = greeted(version(), status(500, "InternalError"))
        .await
        .unwrap_err();
    assert_eq!(
        broken,
        "the API server at https://there answers 500: this is InternalError"
    );
    // A server that tells anyone its version.
    let refused = greeted(version(), status(401, "Unauthorized")).await;
    assert!(refused.unwrap_err().contains("refuses the credentials"));
}

/// As kubectl does it: a file of the list that does not exist is left out.
#[test]
fn the_files_that_kubeconfig_names_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = dir.path().join(name);
        let context = json!({"name": name, "context": {"cluster": name, "user": ""}});
        let config = json!({"apiVersion": "v1", "kind": "Config", "contexts": [context], "clusters": [], "users": []});
        std::fs::write(&path, config.to_string()).unwrap();
        path
    };
    let (a, b, none) = (file("a"), file("b"), dir.path().join("none"));
    let names = |files: &[&PathBuf]| {
        let merged = merged(&std::env::join_paths(files).unwrap())?;
        let contexts = merged.contexts.into_iter();
        anyhow::Ok(contexts.map(|context| context.name).collect::<Vec<_>>())
    };
    assert_eq!(names(&[&none, &a, &b]).unwrap(), ["a", "b"]);
    let error = names(&[&none]).unwrap_err().to_string();
    assert!(
        error.starts_with("$KUBECONFIG names no file that exists: "),
        "{error}"
    );
    std::fs::write(&b, "{").unwrap();
    let error = names(&[&a, &b]).unwrap_err().to_string();
    assert!(error.starts_with("cannot use the kubeconfig "), "{error}");
}

/// After the first answer too.
#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_waited_for_so_long() {
    for silent in ["/version", "/apis/ipam.metal3.io/v1alpha1"] {
        let service = tower::service_fn(move |request: Request<Body>| async move {
            if request.uri().path() == silent {
                pending::<()>().await;
            }
            Response::builder().body(Body::from(version().1.to_string().into_bytes()))
        });
        let greeting = greet(&Client::new(service, "default"), "https://there").await;
        assert_eq!(
            greeting.unwrap_err().to_string(),
            "the API server at https://there did not answer within 15 s",
            "{silent}"
        );
    }
}
