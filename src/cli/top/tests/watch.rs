//! Watches that fail.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;

use super::super::watch::Follow;
use super::*;

/// An API server of IPPools and IPClaims, of which it lets nobody read the claims. Its first watch of pools shows `second` and is
/// then too old; the list after that has `third`. Later watches break off at once.
fn answer(request: &Request<Body>, watches: &AtomicUsize) -> (u16, Vec<u8>) {
    let query = request.uri().query().unwrap_or_default();
    let pools = |names: &[&str]| {
        let items: Vec<_> = names.iter().map(|name| pool(name, 1, 9)).collect();
        json!({"metadata": {"resourceVersion": "7"}, "items": items})
    };
    let body = match (request.uri().path(), query.contains("watch=1")) {
        ("/apis", _) => {
            json!({"groups": [{"name": "ipam.metal3.io", "versions": [{"version": "v1alpha1"}]}]})
        }
        ("/apis/ipam.metal3.io/v1alpha1", _) => {
            json!({"resources": [{"name": "ippools"}, {"name": "ipclaims"}, {"name": "ipaddresses"}]})
        }
        ("/apis/ipam.metal3.io/v1alpha1/ippools", false) => match watches.load(Ordering::SeqCst) {
            0 => pools(&["first"]),
            _ => pools(&["third"]),
        },
        ("/apis/ipam.metal3.io/v1alpha1/ippools", true) => {
            if watches.fetch_add(1, Ordering::SeqCst) > 0 {
                return (200, b"{\"type\": \"ADD".to_vec());
            }
            let added = json!({"type": "ADDED", "object": pool("second", 2, 9)});
            let too_old = json!({"type": "ERROR", "object": {"code": 410, "message": "too old"}});
            return (200, format!("{added}\n{too_old}\n").into_bytes());
        }
        ("/apis/ipam.metal3.io/v1alpha1/ipaddresses", _) => pools(&[]),
        (path, _) => {
            let message = format!("{path} is forbidden");
            return (403, json!({"message": message}).to_string().into_bytes());
        }
    };
    (200, body.to_string().into_bytes())
}

#[tokio::test(start_paused = true)]
async fn watches_go_on_after_every_failure_and_say_what_cannot_be_read() {
    let watches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&watches);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (status, body) = answer(&request, &counted);
        let answer = Response::builder().status(status).body(Body::from(body));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    let mut follow = Follow::start(&Client::new(service, "default"), None);
    let mut store = Store::default();
    let mut seen = Vec::new();
    while watches.load(Ordering::SeqCst) < 5 || !store.is_complete() {
        let change = follow.next().await.unwrap();
        store.take(change, at(0));
        if store.is_complete() {
            let lines = store.rebuild(now());
            let names = lines.iter().map(|line| line.snapshot.key.name.to_string());
            seen.extend(names.filter(|name| name == "third"));
        }
    }
    let view = store.view(at(0));
    assert_eq!(view.pools, 1, "the last list counts");
    assert_eq!(seen, ["third"]);
    let notes: Vec<String> = view.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().any(|note| note.contains(
            "ipclaims.ipam.metal3.io: a right to list and watch is missing: \
             /apis/ipam.metal3.io/v1alpha1/ipclaims is forbidden; grant both to this user. Not shown"
        )),
        "{notes:?}"
    );
}
