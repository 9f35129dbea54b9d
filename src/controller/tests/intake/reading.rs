//! Objects that cannot be read, or of which only a part is.

use super::*;

/// A value of so many levels, as text: serde_json reads 128.
fn deep(levels: usize) -> String {
    format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
}

/// An object of one line with this text as its spec.
fn deep_object(name: &str, uid: &str, version: u64, spec: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"n","uid":"{uid}","resourceVersion":"{version}"}},"spec":{spec}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn a12_an_object_nested_too_deep_is_the_only_one_that_is_not_known() {
    let spec = |pool: &str| format!(r#"{{"pool":{{"name":"{pool}"}},"x":{}}}"#, deep(150));
    let list = |version: u64, items: &[String]| {
        let items = items.join(",");
        Say::Text(
            200,
            Box::leak(
                format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[{items}]}}"#)
                    .into_boxed_str(),
            ),
        )
    };
    let sound = serde_json::to_string(&claim("b", "2", 2)).unwrap();
    let event =
        |what: &str, object: &str| format!(r#"{{"type":"{what}","object":{object}}}"#) + "\n";
    let lines = event("ADDED", &deep_object("c", "3", 11, &spec("x")))
        + &event(
            "ADDED",
            &serde_json::to_string(&claim("d", "4", 12)).unwrap(),
        )
        + &event("DELETED", &deep_object("b", "2", 13, &spec("x")));
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![list(10, &[deep_object("a", "1", 1, &spec("x")), sound])],
        vec![Say::Text(200, Box::leak(lines.into_boxed_str()))],
    );
    harness.asked(3).await;
    assert_eq!(
        harness.told(),
        ["claim gone IPClaim b 2", "claim IPClaim d 4 Ours"]
    );
    assert_eq!(harness.state(), KindState::Listed);
    assert!(harness.script.asked()[2].ends_with("resourceVersion=13"));
}

#[tokio::test(start_paused = true)]
async fn a12_of_a_cluster_only_metadata_and_paused_are_read() {
    let spec = |paused: &str| format!(r#"{{"topology":{},"paused":{paused}}}"#, deep(150));
    let items = [
        deep_object("a", "1", 1, &spec("false")),
        deep_object("b", "2", 2, &spec("true")),
        deep_object("c", "3", 3, &spec(r#""maybe""#)),
        deep_object("d", "4", 4, "null"),
    ];
    let list = format!(
        r#"{{"metadata":{{"resourceVersion":"10"}},"items":[{}]}}"#,
        items.join(",")
    );
    let harness = harness(
        Kind::Clusters,
        &["v1beta2"],
        vec![Say::Text(200, Box::leak(list.into_boxed_str()))],
        vec![],
    );
    until("listed", || harness.state() == KindState::Listed).await;
    let state = harness.router.state();
    let read = state.clusters["n"].values();
    let paused: Vec<String> = read
        .map(|cluster| format!("{} paused {}", cluster.name, cluster.paused))
        .collect();
    assert_eq!(
        paused,
        [
            "a paused false",
            "b paused true",
            "c paused true",
            "d paused false"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a12_an_object_that_cannot_be_read_delays_no_other_and_counts_as_there() {
    let mut odd = claim("odd", "7", 3);
    odd["metadata"]["labels"] = json!(5);
    let mut odd_event = claim("a", "1", 22);
    odd_event["metadata"]["generation"] = json!("many");
    let watch = vec![
        event("MODIFIED", odd_event),
        event("ADDED", claim("c", "3", 23)),
        json!({ "type": "NEWS", "object": { "metadata": { "resourceVersion": "24" } } }),
    ];
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![
            page(10, "", vec![claim("odd", "7", 1)]),
            page(20, "", vec![odd, claim("a", "1", 2)]),
        ],
        vec![failure(410, "Expired", ""), Say::Lines(watch)],
    );
    harness.asked(5).await;
    assert_eq!(
        harness.told(),
        [
            "claim IPClaim odd 7 Ours",
            "claim IPClaim a 1 Ours",
            "claim IPClaim c 3 Ours"
        ]
    );
    let last = harness.script.asked().pop().unwrap();
    assert!(last.ends_with("resourceVersion=24"), "{last}");
}
