//! Lists and watches of a scripted server: what the router hears of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{Say, address_spec, claim_spec, failure, key, object, server, told, until};
use crate::api::ClaimKind;
use crate::api::Kind;
use crate::controller::View;
use crate::controller::failure::Failures;
use crate::controller::intake::{Intake, Intakes};
use crate::controller::registry::Registry;
use crate::controller::router::{Barrier, Router};
use crate::controller::served::Served;
use crate::controller::view::Counts;
use crate::pool::{By, KindState};

const CLAIMS: Kind = Kind::Claims(ClaimKind::Metal3);
const CAPI_ADDRESSES: Kind = Kind::Addresses(ClaimKind::Capi);

/// What a scripted server says: discovery by itself, lists and watches in the order of the script. At its end it is silent.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Scripted>>);

#[derive(Default)]
struct Scripted {
    /// Versions in which the kind is served.
    versions: Vec<&'static str>,
    lists: VecDeque<Say>,
    watches: VecDeque<Say>,
    /// Lists and watches that were asked for.
    asked: Vec<String>,
    /// Times that the list of groups was asked for.
    discoveries: usize,
}

struct Harness {
    failures: Arc<Failures>,
    script: Script,
    router: Arc<Router>,
    view: View,
    served: Arc<Served>,
    registry: Arc<Registry>,
    kind: Kind,
}

impl Script {
    fn answer(&self, kind: Kind, line: &str) -> Say {
        let mut script = self.0.lock().unwrap();
        let path = line.strip_prefix("GET ").unwrap();
        if path == "/apis" {
            script.discoveries += 1;
            let versions: Vec<Value> = script
                .versions
                .iter()
                .map(|v| json!({ "version": v }))
                .collect();
            let groups = if versions.is_empty() {
                json!([])
            } else {
                json!([{ "name": kind.group(), "versions": versions }])
            };
            return Say::Status(200, json!({ "kind": "APIGroupList", "groups": groups }));
        }
        if path.split('/').count() == 4 {
            let resources =
                json!([{ "name": kind.plural() }, { "name": format!("{}/status", kind.plural()) }]);
            return Say::Status(
                200,
                json!({ "kind": "APIResourceList", "resources": resources }),
            );
        }
        script.asked.push(path.to_owned());
        let queue = if path.contains("watch=1") {
            &mut script.watches
        } else {
            &mut script.lists
        };
        queue.pop_front().unwrap_or(Say::Nothing)
    }

    fn asked(&self) -> Vec<String> {
        let asked = &self.0.lock().unwrap().asked;
        // The seconds of a watch are random.
        let short = |line: &String| {
            let (path, query) = line.split_once('?').unwrap_or((line, ""));
            let query: Vec<&str> = query
                .split('&')
                .filter(|q| !q.starts_with("timeoutSeconds"))
                .collect();
            format!(
                "{} {}",
                path.rsplit('/').next().unwrap_or_default(),
                query.join("&")
            )
        };
        asked.iter().map(short).collect()
    }
}

fn page(version: u64, next: &str, items: Vec<Value>) -> Say {
    let items: Vec<Value> = items;
    Say::Status(
        200,
        json!({ "kind": "List", "metadata": { "resourceVersion": version.to_string(), "continue": next }, "items": items }),
    )
}

fn event(what: &str, object: Value) -> Value {
    json!({ "type": what, "object": object })
}

fn claim(name: &str, uid: &str, version: u64) -> Value {
    object(name, uid, version, claim_spec("x"))
}

/// An intake at work on a scripted server, with an open barrier.
fn harness(kind: Kind, versions: &[&'static str], lists: Vec<Say>, watches: Vec<Say>) -> Harness {
    let script = Script::default();
    {
        let mut scripted = script.0.lock().unwrap();
        scripted.versions = versions.to_vec();
        scripted.lists = lists.into();
        scripted.watches = watches.into();
    }
    let answers = script.clone();
    let (client, _) = server(move |_, asked| answers.answer(kind, &asked.line));
    let (registry, counts) = (
        Arc::new(Registry::default()),
        Arc::new(Counts::new(Arc::default(), "lease")),
    );
    let router = Arc::new(Router::new(
        Arc::clone(&registry),
        Arc::clone(&counts),
        None,
        Box::new(|_, _, _| {}),
    ));
    router.barrier(Barrier::Open);
    let served = Arc::new(Served::new());
    let failures = Arc::new(Failures::default());
    let all = Intakes {
        client,
        router: Arc::clone(&router),
        served: Arc::clone(&served),
        counts: Arc::clone(&counts),
        namespace: None,
        discovery_interval: Duration::from_secs(30),
        seed: 1,
        failures: Arc::clone(&failures),
        page_bytes: 8 << 10,
    };
    failures.spawn("watch", Intake::new(kind, all).run());
    Harness {
        failures,
        script,
        router,
        view: View {
            registry: Arc::clone(&registry),
            counts,
        },
        served,
        registry,
        kind,
    }
}

impl Harness {
    /// What pool `x` was told since the last time.
    fn told(&self) -> Vec<String> {
        let Some(handle) = self.registry.get(&key("x")) else {
            return Vec::new();
        };
        let inputs = std::iter::from_fn(|| handle.mailbox.take_input());
        inputs
            .map(|i| told(&i))
            .filter(|t| !t.starts_with("kinds"))
            .collect()
    }

    fn state(&self) -> KindState {
        self.view.kinds()[self.kind]
    }

    /// What the server says from now on.
    fn next(&self, lists: Vec<Say>, watches: Vec<Say>) {
        let mut script = self.script.0.lock().unwrap();
        script.lists = lists.into();
        script.watches = watches.into();
    }

    /// Whether the metric says that the kind is not watched.
    fn is_blind(&self) -> bool {
        let kinds = self.view.sight().kinds;
        let pending =
            |of: &str, state: KindState| of == self.kind.resource() && state == KindState::Pending;
        kinds.iter().any(|(of, state)| pending(of, *state))
    }

    async fn asked(&self, n: usize) {
        until("asked so often", || self.script.asked().len() >= n).await;
    }
}

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

    let status =
        json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" });
    harness.next(
        vec![page(20, "", vec![claim("b", "9", 15)])],
        vec![Say::Lines(vec![event("ERROR", status)])],
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

    // 410 in mid-list (W9): what was listed so far is told, but nothing counts as gone before a whole list.
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
    let status =
        json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" });
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
            event("ERROR", status.clone()),
        ])],
    );
    harness.asked(5).await;
    assert_eq!(
        harness.told(),
        ["claim IPClaim a 1 Ours", "claim IPClaim b 2 Ours"]
    );

    // A database that was put back: nothing that is known here holds any more.
    let lists = std::iter::repeat_with(|| page(5, "", vec![claim("a", "1", 1)]));
    harness.next(
        lists.take(40).collect(),
        vec![Say::Lines(vec![event("ERROR", status)])],
    );
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
    let mut pool = object("x", "9", 9, json!({}));
    pool["metadata"]["namespace"] = json!("n");
    let wire = serde_json::from_value(pool).unwrap();
    harness
        .router
        .seen(Kind::Pools, "v1alpha1", By::Event, wire);
    let told = harness.told();
    let paused: Vec<&str> = told
        .iter()
        .filter_map(|line| line.strip_prefix("cluster "))
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

/// `etcdutl snapshot restore --bump-revision`: the revision grows, and the objects are those of before.
#[tokio::test(start_paused = true)]
async fn a3_a_list_that_shows_an_object_as_it_was_before_ends_the_process_at_once() {
    let status =
        json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" });
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
            event("ERROR", status),
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
    assert!(!harness.router.knows_who_holds(AGE).await, "not asked yet");
    until("absent", || harness.state() == KindState::Absent).await;
    let claims = Kind::Claims(ClaimKind::Capi);
    harness.router.kind_is(claims, KindState::Listed);
    let discoveries = || harness.script.0.lock().unwrap().discoveries;
    let before = discoveries();
    assert!(harness.router.knows_who_holds(AGE).await);
    assert_eq!(discoveries(), before, "the last answer is young");
    tokio::time::sleep(2 * AGE).await;
    let creates = (0..10).map(|_| harness.router.knows_who_holds(AGE));
    let known = futures::future::join_all(creates).await;
    assert!(known.into_iter().all(|known| known));
    assert_eq!(discoveries(), before + 1, "one request for all of them");

    harness.script.0.lock().unwrap().versions = vec!["v1beta2"];
    tokio::time::sleep(2 * AGE).await;
    assert!(!harness.router.knows_who_holds(AGE).await, "not listed yet");
    assert_eq!(harness.state(), KindState::Pending);
    harness.script.0.lock().unwrap().lists = vec![page(5, "", vec![])].into();
    until("listed", || harness.state() == KindState::Listed).await;
    assert!(harness.router.knows_who_holds(AGE).await);
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
    assert!(
        harness.router.knows_who_holds(AGE).await,
        "it is still away"
    );
    harness.script.0.lock().unwrap().versions = vec!["v1beta2"];
    tokio::time::sleep(2 * AGE).await;
    assert!(!harness.router.knows_who_holds(AGE).await, "not listed yet");
    harness.next(vec![page(9, "", vec![])], vec![]);
    until("listed again", || harness.state() == KindState::Listed).await;
    assert!(harness.router.knows_who_holds(AGE).await);
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
