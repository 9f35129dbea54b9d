//! What the server answers to reviews: the verdicts of the rules, and patches.

use super::harness::{
    NEW_CLAIM, POOL, Running, claim, key, known, of_claim, of_pool, pool, review,
};
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::*;
use crate::admission::Holder;
use crate::alloc::{Coverage, Range};
use crate::api::ClaimKind;

#[tokio::test]
async fn a_bad_pool_is_refused_with_each_field_and_a_good_one_passes() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let good = server
        .review(POOL, &of_pool(None, &pool("10.0.0.1", "10.0.0.9")))
        .await;
    assert_eq!(good["allowed"], true, "{good}");
    assert_eq!(good["warnings"], Value::Null);

    let mut bad = pool("10.0.0.9", "10.0.0.1");
    bad["spec"]["gateway"] = "010.0.0.1".into();
    let answer = server.review(POOL, &of_pool(None, &bad)).await;
    assert_eq!(answer["allowed"], false);
    let status = &answer["status"];
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(422), &json!("Invalid"))
    );
    assert_eq!(status["status"], "Failure");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with("IPPool.ipam.metal3.io \"p\" is invalid: [spec."),
        "{message}"
    );
    let details = &status["details"];
    assert_eq!(
        (&details["name"], &details["kind"]),
        (&json!("p"), &json!("IPPool"))
    );
    let causes = details["causes"].as_array().unwrap();
    let fields: Vec<_> = causes
        .iter()
        .map(|c| c["field"].as_str().unwrap())
        .collect();
    assert!(
        fields.contains(&"spec.pools[0].end") && fields.contains(&"spec.gateway"),
        "{fields:?}"
    );
    for field in fields {
        assert!(message.contains(field), "{message}");
    }
    assert_eq!(causes[0]["reason"], "FieldValueInvalid");
}

#[tokio::test]
async fn the_name_of_an_object_that_has_none_yet_is_the_beginning_of_it() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let mut bad = pool("10.0.0.9", "10.0.0.1");
    bad["metadata"] = json!({"generateName": "rack-", "namespace": "n"});
    let answer = server.review(POOL, &of_pool(None, &bad)).await;
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("IPPool.ipam.metal3.io \"rack-\" is invalid: "),
        "{message}"
    );
}

#[tokio::test]
async fn deletes_and_subresources_are_allowed_whatever_they_hold() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let bad = pool("10.0.0.9", "10.0.0.1");
    for (pointer, value) in [
        ("/request/operation", "DELETE"),
        ("/request/operation", "CONNECT"),
        ("/request/subResource", "status"),
    ] {
        let mut review = of_pool(None, &bad);
        review["request"]["subResource"] = Value::Null;
        *review.pointer_mut(pointer).unwrap() = value.into();
        let answer = server.review(POOL, &review).await;
        assert_eq!(answer["allowed"], true, "{value}: {answer}");
    }
    let mut deleting = bad;
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let answer = server
        .review(POOL, &of_pool(Some(&deleting), &deleting))
        .await;
    assert_eq!(answer["allowed"], true, "{answer}");
}

#[tokio::test]
async fn a_shrink_names_the_holders_and_what_overlaps_is_a_warning() {
    let holder = Holder {
        is_external: false,
        address: [10, 0, 0, 9].into(),
        by: "IPAddress n/p-10-0-0-9 (claim c)".to_owned(),
    };
    let mut facts = known(Question::Holders(key()), Answer::Holders(vec![holder]));
    let other = vec![("other".to_owned(), [10, 0, 0, 3].into())];
    for last in [8, 9] {
        let added = Range::new([10, 0, 0, 1].into(), [10, 0, 0, last].into()).unwrap();
        let added = Arc::new(Coverage::of(&[added], &[]));
        facts.insert(
            Question::Overlaps(key(), added),
            Answer::Overlaps(other.clone()),
        );
    }
    let server = Running::start(facts, Scope::default()).await;

    let (before, after) = (pool("10.0.0.1", "10.0.0.9"), pool("10.0.0.1", "10.0.0.8"));
    let answer = server.review(POOL, &of_pool(Some(&before), &after)).await;
    assert_eq!(answer["allowed"], false);
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("10.0.0.9 by IPAddress n/p-10-0-0-9 (claim c)"),
        "{message}"
    );
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.contains("overlaps pool other"), "{warning}");
    // Each fact once, however often the rules run.
    assert_eq!(server.facts.asked.lock().unwrap().len(), 2);

    let answer = server.review(POOL, &of_pool(None, &before)).await;
    assert_eq!(answer["allowed"], true);
    assert_eq!(answer["warnings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_shrink_waits_for_the_lists_and_nothing_else_does() {
    let not_yet = Answer::NotYet("ipaddresses.ipam.metal3.io is not listed yet".to_owned());
    let facts = known(Question::Holders(key()), not_yet);
    let server = Running::start(facts, Scope::default()).await;
    let (before, after) = (pool("10.0.0.1", "10.0.0.9"), pool("10.0.0.1", "10.0.0.8"));
    let answer = server.review(POOL, &of_pool(Some(&before), &after)).await;
    assert_eq!(answer["allowed"], false);
    let status = &answer["status"];
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(503), &json!("ServiceUnavailable"))
    );
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("is not listed yet); try again in a moment"),
        "{message}"
    );
    let grown = pool("10.0.0.1", "10.0.0.99");
    let answer = server.review(POOL, &of_pool(Some(&before), &grown)).await;
    assert_eq!(answer["allowed"], true, "{answer}");
}

#[tokio::test]
async fn a_shrink_in_a_namespace_that_is_not_served_passes_with_a_warning() {
    let not_seen = Answer::NotSeen("this manager serves namespace m only".to_owned());
    let server = Running::start(known(Question::Holders(key()), not_seen), Scope::default()).await;
    let (before, after) = (pool("10.0.0.1", "10.0.0.9"), pool("10.0.0.1", "10.0.0.8"));
    let answer = server.review(POOL, &of_pool(Some(&before), &after)).await;
    assert_eq!(answer["allowed"], true);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(
        warning.ends_with("this manager serves namespace m only"),
        "{warning}"
    );
}

// === finalizers ===

/// The claim after the patch of the answer, and whether there was one.
fn patched(claim: &Value, answer: &Value) -> Option<Value> {
    assert_eq!(answer["allowed"], true, "{answer}");
    if answer["patch"].is_null() {
        return None;
    }
    // Go reads bytes from an array of numbers as well as from base64.
    let bytes: Vec<u8> = serde_json::from_value(answer["patch"].clone()).unwrap();
    assert_eq!(answer["patchType"], "JSONPatch");
    let mut claim = claim.clone();
    let patch: json_patch::Patch = serde_json::from_slice(&bytes).unwrap();
    json_patch::patch(&mut claim, &patch).unwrap();
    Some(claim)
}

#[tokio::test]
async fn a_new_claim_gets_its_finalizer_where_this_manager_serves_it() {
    let ours = "ipclaim.ipam.metal3.io";
    let scope = Scope {
        namespace: Some("n".to_owned()),
        watch_filter: Some("blue".to_owned()),
    };
    let blue = json!({"cluster.x-k8s.io/watch-filter": "blue"});
    let server = Running::start(BTreeMap::new(), scope).await;
    for (metadata, want) in [
        (json!({"name": "c", "labels": blue}), Some(json!([ours]))),
        (
            json!({"generateName": "c-", "labels": blue}),
            Some(json!([ours])),
        ),
        (
            json!({"name": "c", "labels": blue, "finalizers": ["x/y"]}),
            Some(json!(["x/y", ours])),
        ),
        (
            json!({"name": "c", "labels": blue, "finalizers": [ours]}),
            None,
        ),
        (
            json!({"name": "c", "labels": blue, "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            None,
        ),
        (
            json!({"name": "c", "labels": {"cluster.x-k8s.io/watch-filter": "red"}}),
            None,
        ),
        (json!({"name": "c"}), None),
    ] {
        let claim = claim(&metadata);
        let answer = server.review(NEW_CLAIM, &of_claim(&claim)).await;
        let finalizers = patched(&claim, &answer).map(|c| c["metadata"]["finalizers"].clone());
        assert_eq!(finalizers, want, "{claim}");
    }
    let claim = claim(&json!({"name": "c", "labels": blue}));
    let mut elsewhere = of_claim(&claim);
    elsewhere["request"]["namespace"] = "m".into();
    assert_eq!(
        patched(&claim, &server.review(NEW_CLAIM, &elsewhere).await),
        None
    );
    let update = review("ipam.metal3.io", "IPClaim", Some(&claim), &claim);
    assert_eq!(
        patched(&claim, &server.review(NEW_CLAIM, &update).await),
        None
    );
}

#[tokio::test]
async fn an_ip_address_claim_gets_its_finalizer_when_it_asks_a_pool_of_ours() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    let path = "/mutate-ipam-cluster-x-k8s-io-ipaddressclaim";
    for (group, want) in [("ipam.metal3.io", true), ("ipam.example.com", false)] {
        let reference = json!({"apiGroup": group, "kind": "IPPool", "name": "p"});
        let claim = json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim",
            "metadata": {"name": "c"}, "spec": {"poolRef": reference}});
        let asked = review("ipam.cluster.x-k8s.io", "IPAddressClaim", None, &claim);
        let got = patched(&claim, &server.review(path, &asked).await);
        let finalizers = got.map(|c| c["metadata"]["finalizers"].clone());
        assert_eq!(
            finalizers,
            want.then(|| json!([ClaimKind::Capi.claim_finalizer()]))
        );
    }
}

#[tokio::test]
async fn every_path_of_upstreams_configurations_answers_about_its_kind() {
    let server = Running::start(BTreeMap::new(), Scope::default()).await;
    for act in ["validate", "mutate"] {
        for (kind, spec) in [
            ("IPPool", pool("10.0.0.1", "10.0.0.9")["spec"].clone()),
            ("IPClaim", json!({"pool": {"name": "p"}})),
            (
                "IPAddress",
                json!({"pool": {"name": "p"}, "claim": {"name": "c"}, "address": "10.0.0.1"}),
            ),
        ] {
            let path = format!("/{act}-ipam-metal3-io-v1alpha1-{}", kind.to_lowercase());
            let object = json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
            let answer = server
                .review(&path, &review("ipam.metal3.io", kind, None, &object))
                .await;
            assert_eq!(answer["allowed"], true, "{path}: {answer}");
        }
    }
}

// === what it does not answer ===
