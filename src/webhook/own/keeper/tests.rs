//! Keepers that look at one server in turn, as replicas and as installations of their own, under tokio's paused time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::advance;

use super::*;
use crate::webhook::{Source, TlsOptions};

const SECRET: &str = "/api/v1/namespaces/one/secrets/webhook";
const VALIDATING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/shared";
const PATH: &str = "/validate-ipam-metal3-io-v1alpha1-ippool";

/// Objects by path, with the API server's rules on names and resourceVersions.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<BTreeMap<String, Value>>>);

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, body) = server.answer(&head.method, head.uri.path(), body);
                let body = Body::from(serde_json::to_vec(&body).unwrap());
                let response = Response::builder().status(status).body(body).unwrap();
                Ok::<_, Infallible>(response)
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    fn answer(&self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let fails = |code: u16, reason: &str| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
                "message": reason, "reason": reason, "code": code});
            (code, status)
        };
        let path = if method == Method::POST {
            format!("{path}/{}", body["metadata"]["name"].as_str().unwrap())
        } else {
            path.to_owned()
        };
        let stands = self.get(&path);
        let (code, next) = match (method.as_str(), stands) {
            ("GET", Some(object)) => return (200, object),
            ("POST", None) => (201, body),
            ("POST", Some(_)) => return fails(409, "AlreadyExists"),
            (_, None) => return fails(404, "NotFound"),
            ("PUT", Some(object)) => {
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                if version(&object) != version(&body) {
                    return fails(409, "Conflict");
                }
                (200, body)
            }
            ("PATCH", Some(mut object)) => {
                let patch: json_patch::Patch = serde_json::from_value(body).unwrap();
                if json_patch::patch(&mut object, &patch).is_err() {
                    return fails(422, "Invalid");
                }
                (200, object)
            }
            (other, Some(_)) => panic!("{other} {path}"),
        };
        self.put(&path, next);
        (code, self.get(&path).unwrap())
    }

    fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().get(path).cloned()
    }

    /// Stores an object in its next version.
    fn put(&self, path: &str, mut object: Value) {
        let version = self.get(path).map_or(0, |_| self.version(path)) + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        self.0.lock().unwrap().insert(path.to_owned(), object);
    }

    fn version(&self, path: &str) -> u64 {
        let object = self.get(path).unwrap();
        let version = object["metadata"]["resourceVersion"].as_str();
        version.unwrap().parse().unwrap()
    }

    /// `caBundle` of each webhook of the configuration.
    fn bundles(&self) -> Vec<Value> {
        let configuration = self.get(VALIDATING).unwrap();
        let webhooks = configuration["webhooks"].as_array().unwrap();
        let bundles = webhooks
            .iter()
            .map(|w| w["clientConfig"]["caBundle"].clone());
        bundles.collect()
    }
}

/// A configuration whose webhooks lead to the Services of these names in these namespaces.
fn configuration(services: &[(&str, &str)]) -> Value {
    let webhooks = services.iter().map(|(name, namespace)| {
        json!({"name": format!("{name}.{namespace}"), "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"name": name, "namespace": namespace, "path": PATH}}})
    });
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "shared"}, "webhooks": webhooks.collect::<Vec<_>>()})
}

/// A leader in a namespace whose Service has this name.
fn keeper(server: &Server, namespace: &str, service: &str) -> Keeper {
    let own = Own {
        namespace: namespace.to_owned(),
        secret: "webhook".to_owned(),
        validating: "shared".to_owned(),
        mutating: "shared".to_owned(),
        names: vec![format!("{service}.{namespace}.svc")],
    };
    let certificates = Certificates::new(Source::Given, TlsOptions::default(), Arc::default());
    let (certificates, metrics) = (Arc::new(certificates), Arc::new(Metrics::new()));
    Keeper::new(server.client(), own, certificates, metrics, || true)
}

/// Each of them looks so often, in turn.
async fn look(keepers: &mut [Keeper], times: usize) {
    for _ in 0..times {
        for keeper in &mut *keepers {
            keeper.look().await;
        }
        advance(Times::default().look).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_installations_that_share_a_configuration_do_not_overwrite_each_other() {
    let server = Server::default();
    server.put(
        VALIDATING,
        configuration(&[("hook", "one"), ("hook", "two")]),
    );
    let mut keepers = ["one", "two"].map(|namespace| keeper(&server, namespace, "hook"));
    look(&mut keepers, 1).await;
    let version = server.version(VALIDATING);
    let bundles = server.bundles();
    assert!(bundles.iter().all(Value::is_string) && bundles[0] != bundles[1]);
    look(&mut keepers, 3).await;
    assert_eq!(server.version(VALIDATING), version);
    for keeper in &keepers {
        let (what, why) = keeper.troubles.first_key_value().expect("a warning");
        assert_eq!(
            (*what, keeper.troubles.len()),
            ("validating, leading elsewhere", 1)
        );
        assert!(why.contains("--webhook-validating"), "{why}");
        assert!(keeper.trusted.is_some(), "no exchange waits for it");
    }

    // The other installation has moved to a configuration of its own.
    server.put(VALIDATING, configuration(&[("hook", "one")]));
    keepers[0].look().await;
    assert!(keepers[0].troubles.is_empty());
}

/// A moment so many days after the start.
fn at(days: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + jiff::SignedDuration::from_hours(24 * days)
}

#[tokio::test(start_paused = true)]
async fn after_a_hundred_days_without_the_cluster_the_authority_is_trusted_at_once() {
    let server = Server::default();
    server.put(VALIDATING, configuration(&[("hook", "one")]));
    look(
        &mut [keeper(&server, "one", "hook").with_clock(|| at(0))],
        2,
    )
    .await;
    let (before, bundles) = (server.get(SECRET).unwrap(), server.bundles());
    let keepers = [(); 2].map(|()| keeper(&server, "one", "hook").with_clock(|| at(100)));
    look(&mut { keepers }, 3).await;
    let after = server.get(SECRET).unwrap();
    assert_eq!(after["data"]["ca.crt"], before["data"]["ca.crt"]);
    assert_ne!(after["data"]["tls.crt"], before["data"]["tls.crt"]);
    assert_eq!(server.version(SECRET), 2, "one new certificate");
    assert_eq!(server.bundles(), bundles);
    assert_eq!(server.version(VALIDATING), 2, "nothing to patch");
}

#[tokio::test(start_paused = true)]
async fn replicas_with_other_names_share_one_certificate_and_do_not_overwrite_each_other() {
    let server = Server::default();
    server.put(VALIDATING, configuration(&[("old", "one")]));
    let [old, new] = ["old", "new"].map(|name| keeper(&server, "one", name).with_clock(|| at(0)));
    let mut old = [old];
    look(&mut old, 4).await;
    let before = server.get(SECRET).unwrap();
    let [old] = old;
    let mut both = [new, old];
    look(&mut both, 6).await;
    assert_eq!(server.version(SECRET), 2, "one certificate more, for both");
    let after = server.get(SECRET).unwrap();
    assert_eq!(after["data"]["ca.crt"], before["data"]["ca.crt"]);
    for keeper in &both {
        assert_eq!(keeper.certificates.ready(), Ok(()));
        let held = keeper.last.as_ref().unwrap();
        assert!(held.content.renewal(&keeper.own.names, at(0)).is_ok());
    }
    // The leader's renewal leaves the other name out, which the other adds again, once.
    for keeper in &mut both {
        keeper.now = Box::new(|| at(61));
    }
    look(&mut both, 6).await;
    assert!(server.version(SECRET) <= 4, "{}", server.version(SECRET));
    let version = server.version(SECRET);
    look(&mut both, 6).await;
    assert_eq!(server.version(SECRET), version);
}

#[tokio::test(start_paused = true)]
async fn a_spoiled_certificate_gives_way_to_what_was_good_last() {
    let server = Server::default();
    let mut keepers = [keeper(&server, "one", "hook").with_clock(|| at(0))];
    look(&mut keepers, 4).await;
    let good = server.get(SECRET).unwrap();
    let mut spoiled = good.clone();
    spoiled["data"]["tls.crt"] = json!("Z2FyYmFnZQ==");
    server.put(SECRET, spoiled.clone());
    look(&mut keepers, 1).await;
    assert_eq!(server.get(SECRET).unwrap()["data"], good["data"]);

    // Who starts then knows nothing of what was good: the authority signs.
    server.put(SECRET, spoiled);
    look(
        &mut [keeper(&server, "one", "hook").with_clock(|| at(0))],
        1,
    )
    .await;
    let mended = server.get(SECRET).unwrap();
    assert_eq!(mended["data"]["ca.crt"], good["data"]["ca.crt"]);
    assert_ne!(mended["data"]["tls.crt"], good["data"]["tls.crt"]);
}

#[tokio::test(start_paused = true)]
async fn a_ca_bundle_that_was_put_back_has_its_minute_anew_before_the_new_authority_signs() {
    let server = Server::default();
    server.put(VALIDATING, configuration(&[("hook", "one")]));
    let mut keepers = [keeper(&server, "one", "hook").with_clock(|| at(0))];
    look(&mut keepers, 1).await;
    let before = server.get(VALIDATING).unwrap();
    // An exchange begins: its time has come.
    let mut due = server.get(SECRET).unwrap();
    due["metadata"]["annotations"] = Value::Null;
    server.put(SECRET, due);
    let served = || server.get(SECRET).unwrap()["data"]["tls.crt"].clone();
    let first = served();
    // The new authority is made, and the next look has the API servers trust it; a minute begins.
    look(&mut keepers, 6).await;
    // A GitOps controller writes back what it knows, 40 s later.
    server.put(VALIDATING, before);
    look(&mut keepers, 6).await;
    assert_eq!(served(), first, "a minute has not passed since the patch");
    look(&mut keepers, 2).await;
    assert_ne!(served(), first);
}
