//! Lists: pages, what is missing from them, and those of another history.

use super::*;

#[tokio::test(start_paused = true)]
async fn a1_a_new_term_ends_the_watch_and_begins_with_a_new_list() {
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![page(10, "", vec![claim("a", "1", 9)])],
        vec![Say::Nothing],
    );
    until("watched", || {
        harness.script.asked().iter().any(|a| a.contains("watch=1"))
    })
    .await;
    assert_eq!(harness.state(), KindState::Listed);
    harness.told();
    harness.next(
        vec![page(20, "", vec![claim("b", "2", 19)])],
        vec![Say::Nothing],
    );
    harness.router.next_term();
    assert_eq!(harness.state(), KindState::Pending);
    until("listed anew", || harness.state() == KindState::Listed).await;
    assert_eq!(
        harness.told(),
        ["claim IPClaim b 2 Ours", "claim gone IPClaim a 1"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_a_watch_goes_on_from_its_revision() {
    let watch = vec![
        event("MODIFIED", claim("b", "2", 12)),
        event(
            "BOOKMARK",
            json!({ "metadata": { "resourceVersion": "20" } }),
        ),
        event("DELETED", claim("a", "1", 21)),
        event(
            "BOOKMARK",
            json!({ "metadata": { "resourceVersion": "30" } }),
        ),
    ];
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![
            page(10, "go/on=", vec![claim("a", "1", 1), claim("b", "2", 2)]),
            page(10, "", vec![claim("c", "3", 3)]),
        ],
        vec![Say::Lines(watch)],
    );
    harness.asked(4).await;
    assert_eq!(
        harness.script.asked(),
        [
            "ipclaims limit=500",
            "ipclaims limit=500&continue=go%2Fon%3D",
            "ipclaims watch=1&allowWatchBookmarks=true&resourceVersion=10",
            "ipclaims watch=1&allowWatchBookmarks=true&resourceVersion=30",
        ]
    );
    assert_eq!(
        harness.told(),
        [
            "claim gone IPClaim a 1",
            "claim IPClaim b 2 Ours",
            "claim IPClaim c 3 Ours"
        ]
    );
    assert_eq!(harness.state(), KindState::Listed);
}

#[tokio::test(start_paused = true)]
async fn w8_w11_an_expired_watch_is_followed_by_a_list_and_its_difference() {
    let lists = vec![page(10, "", vec![claim("a", "1", 1), claim("b", "2", 2)])];
    let harness = harness(CLAIMS, &["v1alpha1"], lists, vec![]);
    harness.asked(2).await;
    let first = ["claim IPClaim a 1 Ours", "claim IPClaim b 2 Ours"];
    assert_eq!(harness.told(), first);

    harness.next(
        vec![page(20, "", vec![claim("b", "9", 15)])],
        vec![Say::Lines(vec![expired()])],
    );
    harness.asked(5).await;
    assert_eq!(
        harness.told(),
        [
            "claim gone IPClaim b 2",
            "claim IPClaim b 9 Ours",
            "claim gone IPClaim a 1"
        ]
    );

    // 410 between two pages (W9): the pool gets the objects of the first page, and no object counts as gone before a whole list.
    let lists = vec![
        page(30, "more", vec![claim("d", "4", 25)]),
        failure(410, "Expired", ""),
    ];
    harness.next(lists, vec![failure(410, "Expired", "")]);
    harness.asked(9).await;
    assert_eq!(harness.told(), ["claim IPClaim d 4 Ours"]);
    harness.next(vec![page(40, "", vec![claim("d", "4", 25)])], vec![]);
    until("a whole list", || harness.script.asked().len() >= 11).await;
    assert_eq!(
        harness.told(),
        ["claim IPClaim d 4 Ours", "claim gone IPClaim b 9"]
    );
    assert_eq!(harness.state(), KindState::Listed);
    let restarts = harness.view.counters().restarts;
    assert_eq!(restarts.get(&(CLAIMS, "expired")), Some(&3));
}

#[tokio::test(start_paused = true)]
async fn a3_a_page_that_is_too_large_is_asked_for_with_half_its_objects() {
    let large = |name: &str, uid: &str, version: u64| {
        let mut claim = claim(name, uid, version);
        claim["spec"]["text"] = json!("x".repeat(3 << 10));
        claim
    };
    let [a, b, c] = [("a", "1", 1), ("b", "2", 2), ("c", "3", 3)].map(|(n, u, v)| large(n, u, v));
    let lists = vec![
        page(10, "", vec![a.clone(), b.clone(), c.clone()]),
        page(10, "rest", vec![a.clone(), b.clone()]),
        page(10, "", vec![c]),
    ];
    let harness = harness(CLAIMS, &["v1alpha1"], lists, vec![]);
    until("listed", || harness.state() == KindState::Listed).await;
    let told = [
        "claim IPClaim a 1 Ours",
        "claim IPClaim b 2 Ours",
        "claim IPClaim c 3 Ours",
    ];
    assert_eq!(harness.told(), told);
    let asked = harness.script.asked();
    let limits = [
        "ipclaims limit=500",
        "ipclaims limit=250",
        "ipclaims limit=250&continue=rest",
    ];
    assert_eq!(asked[..3], limits);
}

/// The fault layer's find (W1): what an old list did not know counted as gone, and its events came too late.
#[tokio::test(start_paused = true)]
async fn w1_a_list_older_than_what_was_told_is_not_believed_and_ends_the_process_when_it_stays() {
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![
            page(10, "", vec![claim("a", "1", 1)]),
            page(11, "", vec![claim("a", "1", 1)]),
            page(12, "", vec![claim("a", "1", 1), claim("b", "2", 12)]),
        ],
        vec![Say::Lines(vec![
            event("ADDED", claim("b", "2", 12)),
            expired(),
        ])],
    );
    harness.asked(5).await;
    assert_eq!(
        harness.told(),
        ["claim IPClaim a 1 Ours", "claim IPClaim b 2 Ours"]
    );

    // A database that was put back: nothing that is known here holds any more.
    let lists = std::iter::repeat_with(|| page(5, "", vec![claim("a", "1", 1)]));
    harness.next(lists.take(40).collect(), vec![Say::Lines(vec![expired()])]);
    let asked = harness.script.asked().len();
    harness.failures.failed().await;
    let again = harness.script.asked().len() - asked;
    assert!(again > 5, "given up after {again} requests");
    let what = harness.failures.first().unwrap().what;
    let says =
        "the API server's database was put back: it lists revision 5 and has shown 12 before";
    assert!(what.ends_with(says), "{what}");
    assert!(harness.told().is_empty(), "nothing counts as gone");
}

/// `etcdutl snapshot restore --bump-revision`: the revision grows, and the objects are those of before.
#[tokio::test(start_paused = true)]
async fn a3_a_list_that_shows_an_object_as_it_was_before_ends_the_process_at_once() {
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![
            page(10, "", vec![claim("a", "1", 1), claim("b", "2", 2)]),
            page(
                1_000_000_000,
                "",
                vec![claim("c", "3", 3), claim("b", "2", 2)],
            ),
        ],
        vec![Say::Lines(vec![
            event("MODIFIED", claim("b", "2", 12)),
            expired(),
        ])],
    );
    harness.failures.failed().await;
    let says = "the API server's database was put back: it lists n/b in a version older than it has shown before";
    let what = harness.failures.first().unwrap().what;
    assert!(what.contains(says), "{what}");
    let told = harness.told();
    assert!(
        !told.iter().any(|told| told.contains(" c ")),
        "nothing of that list is used: {told:?}"
    );
}

/// An answer to a list that is no list, such as a Status that came with 200, takes nothing away.
#[tokio::test(start_paused = true)]
async fn a3_an_answer_without_items_is_no_list() {
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![page(10, "", vec![claim("a", "1", 1)])],
        vec![failure(410, "Expired", "")],
    );
    harness.asked(2).await;
    assert_eq!(harness.told(), ["claim IPClaim a 1 Ours"]);
    let no_lists = [
        json!({"kind": "Status", "metadata": {}, "status": "Success"}),
        json!({"kind": "Table", "metadata": {"resourceVersion": "20"}, "rows": []}),
    ];
    let lists = no_lists.map(|answer| Say::Status(200, answer));
    let lists = lists
        .into_iter()
        .chain([page(30, "", vec![claim("a", "1", 1)])]);
    harness.next(lists.collect(), vec![]);
    harness.asked(6).await;
    assert_eq!(harness.told(), ["claim IPClaim a 1 Ours"], "never gone");
    // What servers written in Go say for none.
    let none = json!({"kind": "List", "metadata": {"resourceVersion": "40"}, "items": null});
    harness.next(vec![Say::Status(200, none)], vec![]);
    harness.router.next_term();
    until("the end", || harness.told() == ["claim gone IPClaim a 1"]).await;
}

/// A list of hundreds of pages would never end on a server that refuses a few per cent of the requests.
#[tokio::test(start_paused = true)]
async fn a3_a_later_page_that_fails_is_asked_for_again_and_the_list_goes_on() {
    let lists = vec![
        page(10, "more", vec![claim("a", "1", 1)]),
        failure(429, "TooManyRequests", "busy"),
        failure(500, "InternalError", "etcd"),
        page(10, "", vec![claim("b", "2", 2)]),
    ];
    let harness = harness(CLAIMS, &["v1alpha1"], lists, vec![]);
    until("listed", || harness.state() == KindState::Listed).await;
    let asked = harness.script.asked();
    let more = "ipclaims limit=500&continue=more";
    assert_eq!(asked[..4], ["ipclaims limit=500", more, more, more]);
    assert_eq!(
        harness.told(),
        ["claim IPClaim a 1 Ours", "claim IPClaim b 2 Ours"]
    );
}

/// The token of the list has run out meanwhile.
#[tokio::test(start_paused = true)]
async fn a3_a_list_whose_token_has_run_out_begins_anew() {
    let lists = vec![
        page(10, "more", vec![claim("a", "1", 1)]),
        failure(429, "TooManyRequests", "busy"),
        failure(410, "Expired", "too old"),
        page(20, "", vec![claim("b", "2", 12)]),
    ];
    let harness = harness(CLAIMS, &["v1alpha1"], lists, vec![]);
    until("listed", || harness.state() == KindState::Listed).await;
    assert_eq!(harness.script.asked()[3], "ipclaims limit=500");
    let told = harness.told();
    assert!(
        told.iter().any(|line| line == "claim gone IPClaim a 1"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn p3_address_objects_are_listed_after_the_clusters() {
    let address = object("a", "1", 1, address_spec("x"));
    let lists = vec![page(10, "", vec![address])];
    let harness = harness(CAPI_ADDRESSES, &["v1beta1"], lists, vec![]);
    // Before its task has begun.
    harness.router.next_term();
    until("discovered", || {
        harness.served.version(CAPI_ADDRESSES).is_some()
    })
    .await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(harness.script.asked().is_empty());
    harness.router.kind_is(Kind::Clusters, KindState::Listed);
    until("listed", || harness.state() == KindState::Listed).await;
}
