//! Kinds that are absent, appear, vanish or change their version; rights that are missing.

use super::*;

#[tokio::test(start_paused = true)]
async fn a3_a_kind_of_cluster_api_is_absent_until_it_appears() {
    let harness = harness(CAPI_ADDRESSES, &[], vec![], vec![]);
    until("absent", || harness.state() == KindState::Absent).await;
    assert_eq!(harness.served.version(CAPI_ADDRESSES), None);
    assert!(harness.script.asked().is_empty());
    harness.script.0.lock().unwrap().versions = vec!["v1beta1", "v1beta2"];
    // Its list is waited for before anything is handed out.
    until("pending", || harness.state() == KindState::Pending).await;
    harness.script.0.lock().unwrap().lists = vec![page(5, "", vec![])].into();
    until("listed", || harness.state() == KindState::Listed).await;
    assert_eq!(harness.served.version(CAPI_ADDRESSES), Some("v1beta2"));
}

#[tokio::test(start_paused = true)]
async fn a3_a_new_leader_asks_anew_whether_a_kind_is_absent() {
    let harness = harness(CAPI_ADDRESSES, &[], vec![], vec![]);
    until("absent", || harness.state() == KindState::Absent).await;
    // Installed while another led, with an object that holds an address.
    harness.script.0.lock().unwrap().versions = vec!["v1beta2"];
    let since = tokio::time::Instant::now();
    harness.router.next_term();
    assert_eq!(harness.state(), KindState::Pending, "nothing is given out");
    harness.router.kind_is(Kind::Clusters, KindState::Listed);
    harness.script.0.lock().unwrap().lists = vec![page(5, "", vec![])].into();
    until("listed", || harness.state() == KindState::Listed).await;
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "it is asked at once"
    );
    // Still not there: it counts as absent again at once.
    let harness = self::harness(CAPI_ADDRESSES, &[], vec![], vec![]);
    until("absent", || harness.state() == KindState::Absent).await;
    harness.router.next_term();
    until("absent again", || harness.state() == KindState::Absent).await;
}

#[tokio::test(start_paused = true)]
async fn a3_creates_ask_together_whether_a_kind_is_still_absent_and_wait_for_its_list_when_it_is_not()
 {
    const AGE: Duration = Duration::from_millis(250);
    let harness = harness(CAPI_ADDRESSES, &[], vec![], vec![]);
    assert!(!harness.knows_who_holds(AGE).await, "not asked yet");
    until("absent", || harness.state() == KindState::Absent).await;
    let claims = Kind::Claims(ClaimKind::Capi);
    harness.router.kind_is(claims, KindState::Listed);
    let discoveries = || harness.script.0.lock().unwrap().discoveries;
    let before = discoveries();
    assert!(harness.knows_who_holds(AGE).await);
    assert_eq!(discoveries(), before, "the last answer is young");
    tokio::time::sleep(2 * AGE).await;
    let creates = (0..10).map(|_| harness.knows_who_holds(AGE));
    let known = futures::future::join_all(creates).await;
    assert!(known.into_iter().all(|known| known));
    assert_eq!(discoveries(), before + 1, "one request for all of them");

    harness.script.0.lock().unwrap().versions = vec!["v1beta2"];
    tokio::time::sleep(2 * AGE).await;
    assert!(!harness.knows_who_holds(AGE).await, "not listed yet");
    assert_eq!(harness.state(), KindState::Pending);
    harness.script.0.lock().unwrap().lists = vec![page(5, "", vec![])].into();
    until("listed", || harness.state() == KindState::Listed).await;
    assert!(harness.knows_who_holds(AGE).await);
}

/// The pool has chosen an address that an object of the new kind has. It was found once in a run of the scenarios, when the create
/// was not looked at between the beginning and the end of the list.
#[tokio::test(start_paused = true)]
async fn a3_a_create_that_was_decided_on_before_a_kind_came_is_not_sent_after_its_list() {
    let harness = harness(CAPI_ADDRESSES, &[], vec![], vec![]);
    until("absent", || harness.state() == KindState::Absent).await;
    let claims = Kind::Claims(ClaimKind::Capi);
    harness.router.kind_is(claims, KindState::Listed);
    let decided_on = harness.view.kinds().changes();
    let create = || harness.router.knows_who_holds(decided_on, Duration::ZERO);
    let mut waits = Box::pin(create());
    assert!(
        futures::poll!(&mut waits).is_pending(),
        "discovery is asked"
    );
    {
        let mut script = harness.script.0.lock().unwrap();
        script.versions = vec!["v1beta2"];
        script.lists = vec![page(5, "", vec![])].into();
    }
    until("listed", || harness.state() == KindState::Listed).await;
    assert!(!waits.await, "it waited for discovery");
    assert!(!create().await, "it waited for a place among the requests");
    assert!(
        harness.knows_who_holds(Duration::ZERO).await,
        "decided on anew"
    );
}

/// Cluster API is removed, and installed again with objects that hold addresses.
#[tokio::test(start_paused = true)]
async fn a3_creates_ask_whether_a_kind_that_vanished_is_back() {
    const AGE: Duration = Duration::from_millis(250);
    let lists = vec![page(5, "", vec![object("x", "1", 4, address_spec("x"))])];
    let watches = vec![failure(404, "NotFound", "")];
    let harness = harness(CAPI_ADDRESSES, &["v1beta2"], lists, watches);
    until("listed", || harness.state() == KindState::Listed).await;
    harness.script.0.lock().unwrap().versions.clear();
    until("unavailable", || harness.state() == KindState::Unavailable).await;
    let claims = Kind::Claims(ClaimKind::Capi);
    harness.router.kind_is(claims, KindState::Listed);
    tokio::time::sleep(2 * AGE).await;
    assert!(harness.knows_who_holds(AGE).await, "it is still away");
    harness.script.0.lock().unwrap().versions = vec!["v1beta2"];
    tokio::time::sleep(2 * AGE).await;
    assert!(!harness.knows_who_holds(AGE).await, "not listed yet");
    harness.next(vec![page(9, "", vec![])], vec![]);
    until("listed again", || harness.state() == KindState::Listed).await;
    assert!(harness.knows_who_holds(AGE).await);
}

#[tokio::test(start_paused = true)]
async fn a3_a_404_asks_discovery_again_which_may_change_the_version() {
    let spec =
        json!({ "poolRef": { "apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "x" } });
    let harness = harness(
        CAPI_ADDRESSES,
        &["v1beta1"],
        vec![
            page(
                5,
                "",
                vec![
                    object("a", "1", 1, spec.clone()),
                    object("b", "2", 2, spec.clone()),
                ],
            ),
            page(9, "", vec![object("b", "2", 2, spec)]),
        ],
        vec![],
    );
    until("listed", || harness.state() == KindState::Listed).await;
    assert_eq!(harness.served.version(CAPI_ADDRESSES), Some("v1beta1"));
    assert_eq!(harness.told(), ["address a 1", "address b 2"]);
    {
        let mut script = harness.script.0.lock().unwrap();
        script.versions = vec!["v1beta2"];
        script.watches = vec![Say::Text(404, "404 page not found")].into();
    }
    until("the new version", || {
        harness.served.version(CAPI_ADDRESSES) == Some("v1beta2")
    })
    .await;
    let want = ["address b 2", "address gone a 1"];
    until("the difference", || harness.told() == want).await;
}

#[tokio::test(start_paused = true)]
async fn a3_a_kind_that_disappears_takes_nothing_with_it() {
    let spec =
        json!({ "poolRef": { "apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "x" } });
    let harness = harness(
        CAPI_ADDRESSES,
        &["v1beta2"],
        vec![page(5, "", vec![object("a", "1", 1, spec)])],
        vec![],
    );
    until("listed", || harness.state() == KindState::Listed).await;
    assert_eq!(harness.told(), ["address a 1"]);
    {
        let mut script = harness.script.0.lock().unwrap();
        script.versions = vec![];
        script.watches = vec![Say::Text(404, "404 page not found")].into();
    }
    until("unavailable", || harness.state() == KindState::Unavailable).await;
    assert!(harness.told().is_empty());
    {
        let mut script = harness.script.0.lock().unwrap();
        script.versions = vec!["v1beta2"];
        script.lists = vec![page(9, "", vec![])].into();
    }
    until("listed again", || harness.state() == KindState::Listed).await;
    assert_eq!(harness.told(), ["address gone a 1"]);
}

#[tokio::test(start_paused = true)]
async fn our_own_kinds_are_waited_for_and_readiness_says_so() {
    let harness = harness(CLAIMS, &[], vec![page(1, "", vec![])], vec![]);
    until("said", || {
        harness.view.ready().is_err_and(|e| {
            e.contains(
                "ipclaims.ipam.metal3.io is not listed yet: the server does not have this kind",
            )
        })
    })
    .await;
    assert_eq!(harness.state(), KindState::Pending);
    harness.script.0.lock().unwrap().versions = vec!["v1alpha1"];
    until("listed", || harness.state() == KindState::Listed).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_said_in_readiness() {
    let denied = json!({ "kind": "Status", "code": 403, "message": "ipclaims is forbidden: User x cannot list" });
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![Say::Status(403, denied)],
        vec![],
    );
    until("said", || {
        harness.view.ready().is_err_and(|e| {
            e.contains("a right to list and watch is missing: ipclaims is forbidden")
        })
    })
    .await;
}

/// Objects of a version that is not known here hold addresses too.
#[tokio::test(start_paused = true)]
async fn a3_a_kind_that_is_served_in_unknown_versions_alone_is_not_absent() {
    let harness = harness(CAPI_ADDRESSES, &["v1alpha1"], vec![], vec![]);
    let said = |word: &str| harness.view.ready().is_err_and(|why| why.contains(word));
    until("trouble", || said("v1alpha1")).await;
    assert!(said("v1beta2, v1beta1"), "{:?}", harness.view.ready());
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(harness.state(), KindState::Pending);
}

#[tokio::test(start_paused = true)]
async fn p1_a_create_has_clusters_looked_for_and_does_not_wait_for_them() {
    const AGE: Duration = Duration::from_millis(250);
    let harness = harness(Kind::Clusters, &[], vec![], vec![]);
    let discoveries = || harness.script.0.lock().unwrap().discoveries;
    until("asked once", || discoveries() == 1).await;
    for kind in [CAPI_ADDRESSES, Kind::Claims(ClaimKind::Capi)] {
        harness.router.kind_is(kind, KindState::Listed);
    }
    tokio::time::sleep(2 * AGE).await;
    assert!(harness.knows_who_holds(AGE).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(discoveries(), 2);
}
