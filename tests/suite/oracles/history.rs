//! The replay of all events since a revision, from a server that still has them: one short watch of each kind at the end, instead
//! of a recorder during the run.

use bytes::Bytes;
use http::Request;
use kube::Client;
use kube::client::Body;
use metal3_ipam::api::{Address, Claim, ClaimKind, WireObject};
use serde::Deserialize;

use super::replay::{Findings, Seen, replay};

/// The collections that are read, in all namespaces.
const KINDS: [(&str, ClaimKind, Part); 4] = [
    (
        "/apis/ipam.metal3.io/v1alpha1/ipclaims",
        ClaimKind::Metal3,
        Part::Claim,
    ),
    (
        "/apis/ipam.cluster.x-k8s.io/v1beta2/ipaddressclaims",
        ClaimKind::Capi,
        Part::Claim,
    ),
    (
        "/apis/ipam.metal3.io/v1alpha1/ipaddresses",
        ClaimKind::Metal3,
        Part::Address,
    ),
    (
        "/apis/ipam.cluster.x-k8s.io/v1beta2/ipaddresses",
        ClaimKind::Capi,
        Part::Address,
    ),
];

#[derive(Clone, Copy)]
enum Part {
    Claim,
    Address,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    what: String,
    object: WireObject,
}

/// Replays what happened after this revision.
pub(crate) async fn history(client: &Client, from: &str) -> Findings {
    let mut events = Vec::new();
    for (path, kind, part) in KINDS {
        let target = format!("{path}?watch=1&timeoutSeconds=1&resourceVersion={from}");
        let told = get(client, &target).await;
        for line in told.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let Line { what, object } = serde_json::from_slice(line).unwrap();
            assert_ne!(what, "ERROR", "the history of {path} is not whole");
            let revision = object.metadata.resource_version.number().unwrap().get();
            let name = format!("{}/{}", object.metadata.namespace, object.metadata.name);
            let seen = match (part, what.as_str()) {
                (Part::Claim, "DELETED") => Seen::ClaimGone(kind, name),
                (Part::Claim, _) => Seen::Claim(Box::new(Claim::read(kind, object))),
                (Part::Address, "DELETED") => Seen::AddressGone(kind, name),
                (Part::Address, _) => Seen::Address(Box::new(Address::read(kind, object))),
            };
            events.push((revision, seen));
        }
    }
    replay(events)
}

/// The whole answer to a GET, which must be good.
pub(super) async fn get(client: &Client, target: &str) -> Bytes {
    let request = Request::get(target).body(Body::empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    assert!(answer.status().is_success(), "{target}: {answer:?}");
    answer.into_body().collect_bytes().await.unwrap()
}
