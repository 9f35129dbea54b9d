//! Watches that end, fail or say nothing.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_watch_that_goes_on_failing_is_said_and_listed_anew_and_said_to_be_over() {
    let ways: [fn() -> Say; 6] = [
        // It ends at once and in order, each time.
        || Say::Lines(vec![]),
        || failure(403, "Forbidden", "no right to watch"),
        || failure(500, "InternalError", "etcd is away"),
        || {
            Say::Text(
                200,
                "this is no event
",
            )
        },
        || Say::Error("reset".into()),
        || Say::Nothing,
    ];
    for fails in ways {
        let started = tokio::time::Instant::now();
        let watches = std::iter::repeat_with(fails).take(6).collect();
        let lists = vec![
            page(10, "", vec![]),
            page(11, "", vec![claim("a", "1", 11)]),
        ];
        let harness = harness(CLAIMS, &["v1alpha1"], lists, watches);
        until("readiness to say so", || {
            harness
                .view
                .ready()
                .is_err_and(|why| why.contains("is not watched"))
        })
        .await;
        assert!(
            started.elapsed() <= Duration::from_mins(1),
            "said after {:?}",
            started.elapsed()
        );
        assert!(harness.is_blind(), "the metric says so");
        until("a list anew", || {
            harness
                .told()
                .contains(&"claim IPClaim a 1 Ours".to_owned())
        })
        .await;
        assert!(harness.is_blind(), "a list shows nothing of the watch");
        harness.next(
            vec![],
            vec![Say::Lines(vec![event("ADDED", claim("b", "2", 12))])],
        );
        until("the end of it", || !harness.is_blind()).await;
    }
}

/// A server whose watch cache is of another history answers 410 to every watch, whatever its lists say.
#[tokio::test(start_paused = true)]
async fn a3_a_watch_that_expires_after_each_list_is_said_and_not_listed_for_without_pause() {
    let lists = std::iter::repeat_with(|| page(10, "", vec![]));
    let watches = std::iter::repeat_with(|| failure(410, "Expired", ""));
    let started = tokio::time::Instant::now();
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        lists.take(1000).collect(),
        watches.take(1000).collect(),
    );
    until("readiness to say so", || {
        let ready = harness.view.ready();
        ready.is_err_and(|why| why.contains("is not watched"))
    })
    .await;
    tokio::time::sleep_until(started + Duration::from_mins(2)).await;
    let lists = harness.script.asked();
    let lists = lists
        .iter()
        .filter(|line| !line.contains("watch=1"))
        .count();
    assert!(lists < 40, "{lists} lists in two minutes");
    let shown = Say::Lines(vec![event("ADDED", claim("b", "2", 12))]);
    harness.next(vec![page(11, "", vec![])], vec![shown]);
    until("the end of it", || !harness.is_blind()).await;
}

#[tokio::test(start_paused = true)]
async fn f8_a_cut_watch_goes_on_from_the_last_whole_event() {
    let harness = harness(
        CLAIMS,
        &["v1alpha1"],
        vec![page(10, "", vec![])],
        vec![
            Say::Text(
                200,
                "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"uid\":\"1\",\"resourceVersion\":\"11\"},\"spec\":{\"pool\":{\"name\":\"x\"}}}}\n{\"type\":\"ADDED\",\"obj",
            ),
            failure(500, "InternalError", ""),
            Say::Error("reset".into()),
            Say::Text(200, "this is no event\n"),
        ],
    );
    harness.asked(6).await;
    assert_eq!(harness.told(), ["claim IPClaim a 1 Ours"]);
    let asked = harness.script.asked();
    assert!(asked[1].ends_with("resourceVersion=10"));
    assert!(
        asked[2..].iter().all(|a| a.ends_with("resourceVersion=11")),
        "{asked:?}"
    );
    assert_eq!(harness.state(), KindState::Listed);
}

#[tokio::test(start_paused = true)]
async fn w6_a_watch_that_says_nothing_at_all_is_given_up() {
    let harness = harness(CLAIMS, &["v1alpha1"], vec![page(10, "", vec![])], vec![]);
    harness.asked(3).await;
    let restarts = harness.view.counters().restarts;
    assert_eq!(restarts.get(&(CLAIMS, "failed")), Some(&1));
}
