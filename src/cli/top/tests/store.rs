//! What the lines say after changes.

use super::super::super::ask::{Line, Output};
use super::super::print::Printer;
use super::super::watch::Odd;
use super::*;

#[test]
fn a_change_is_shown_in_the_lines_of_its_pools_alone() {
    let mut store = prepared();
    assert_eq!(rebuilt(&mut store), ["free 10 0", "full 0 1", "half 9 0"]);
    assert_eq!(rebuilt(&mut store), [""; 0]);
    store.take(seen(CLAIMS, claim("three", "half")), at(1));
    assert!(store.is_marked(&key("half")) && !store.is_marked(&key("free")));
    // It gets an address next, which is no longer free, and does not count as waiting.
    assert_eq!(rebuilt(&mut store), ["half 8 0"]);
    store.take(seen(CLAIMS, claim("three", "half")), at(2));
    assert_eq!(rebuilt(&mut store), [""; 0], "nothing new in it");
    store.take(Change::Gone(CLAIMS, name("late")), at(3));
    assert_eq!(rebuilt(&mut store), ["full 0 0"]);
    store.take(Change::Gone(CLAIMS, name("never-seen")), at(3));
    assert_eq!(rebuilt(&mut store), [""; 0]);
}

#[test]
fn when_a_pool_runs_out_follows_the_time_though_nothing_changes() {
    let mut store = prepared();
    let begun: Timestamp = "2026-11-01T18:00:00Z".parse().unwrap();
    let mut left = |now: Timestamp| -> Vec<String> {
        let lines = store.rebuild(now);
        let shown =
            |line: &Arc<Line>| format!("{} {}", line.snapshot.key.name, line.outlook.short());
        lines.iter().map(shown).collect()
    };
    assert_eq!(
        left(begun),
        ["free not known", "full full", "half not known"]
    );
    assert_eq!(left(begun + SignedDuration::from_secs(59)), [""; 0]);
    assert_eq!(left(now()), ["half no growth"]);
}

#[test]
fn an_object_that_leads_to_another_pool_leaves_the_one_before() {
    let mut store = prepared();
    rebuilt(&mut store);
    store.take(seen(CLAIMS, claim("late", "free")), at(1));
    assert_eq!(rebuilt(&mut store), ["free 9 0", "full 0 0"]);
    store.take(seen(CLAIMS, claim("late", "nowhere")), at(2));
    assert_eq!(rebuilt(&mut store), ["free 10 0", "nowhere 0 1 missing"]);
    store.take(Change::Gone(CLAIMS, name("late")), at(3));
    assert_eq!(rebuilt(&mut store), ["nowhere 0 0 missing"]);
    assert_eq!(store.view(at(3)).entries.len(), 3, "nothing names it now");
    let mut moved = address("two", "free", "10.0.3.7");
    moved.metadata.name = "half-two".into();
    store.take(seen(ADDRESSES, moved), at(4));
    let lines = rebuilt(&mut store);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("free 9"), "{lines:?}");
}

#[test]
fn a_list_ends_what_is_not_in_it() {
    let mut store = prepared();
    rebuilt(&mut store);
    list(
        &mut store,
        Kind::Pools,
        vec![pool("full", 1, 1), pool("half", 2, 12)],
    );
    assert_eq!(rebuilt(&mut store), ["free 0 0 missing", "half 11 0"]);
    list(
        &mut store,
        ADDRESSES,
        vec![address("two", "half", "10.0.2.1")],
    );
    list(&mut store, CLAIMS, vec![bound("two", "half")]);
    assert_eq!(rebuilt(&mut store), ["full 1 0"]);
    // A list that broke off and began anew counts from its last beginning.
    store.take(Change::Listing(Kind::Pools), at(1));
    store.take(
        Change::Page(Kind::Pools, vec![Ok(pool("full", 1, 1))]),
        at(1),
    );
    list(&mut store, Kind::Pools, vec![pool("half", 2, 12)]);
    assert_eq!(rebuilt(&mut store), ["full 0 0 missing"]);
    // Something without a name that can be read may be any object.
    store.take(Change::Listing(Kind::Pools), at(2));
    let odd = Odd {
        name: None,
        error: "no object".to_owned(),
    };
    store.take(Change::Page(Kind::Pools, vec![Err(odd)]), at(2));
    store.take(Change::Listed(Kind::Pools), at(2));
    assert_eq!(rebuilt(&mut store), [""; 0]);
    store.take(Change::Absent(Kind::Pools), at(3));
    store.take(Change::Absent(CLAIMS), at(3));
    store.take(Change::Absent(ADDRESSES), at(3));
    assert_eq!(rebuilt(&mut store), ["half 0 0 missing"]);
}

#[test]
fn claims_of_other_providers_are_left_out() {
    let mut store = prepared();
    let capi = Kind::Claims(ClaimKind::Capi);
    for kind in [capi, Kind::Addresses(ClaimKind::Capi)] {
        list(&mut store, kind, Vec::new());
    }
    rebuilt(&mut store);
    let reference =
        |group: &str| json!({"poolRef": {"apiGroup": group, "kind": "IPPool", "name": "free"}});
    let other = wire("c", &reference("example.com"), &json!({}));
    store.take(seen(capi, other.clone()), at(1));
    let addresses = Kind::Addresses(ClaimKind::Capi);
    store.take(seen(addresses, other.clone()), at(1));
    assert_eq!(rebuilt(&mut store), [""; 0]);
    assert_eq!(store.view(at(1)).entries.len(), 3);
    let ours = wire("c", &reference("ipam.metal3.io"), &json!({}));
    store.take(seen(capi, ours), at(1));
    assert_eq!(rebuilt(&mut store), ["free 9 0"]);
    store.take(seen(capi, other), at(1));
    assert_eq!(rebuilt(&mut store), ["free 10 0"]);
}

#[test]
fn a_paused_cluster_is_shown_in_the_pools_of_its_namespace() {
    let mut store = prepared();
    let mut owned = pool("free", 3, 10);
    owned.spec["clusterName"] = json!("prod");
    store.take(seen(Kind::Pools, owned), at(0));
    let cluster = |paused: bool| wire("prod", &json!({"paused": paused}), &Value::Null);
    list(&mut store, Kind::Clusters, vec![cluster(false)]);
    store.take(seen(CLAIMS, claim("new", "free")), at(0));
    rebuilt(&mut store);
    store.take(seen(Kind::Clusters, cluster(false)), at(1));
    assert!(!store.is_marked(&key("free")), "the Cluster is as it was");
    store.take(seen(Kind::Clusters, cluster(true)), at(1));
    assert_eq!(rebuilt(&mut store), ["free 10 1"]);
    store.take(Change::Gone(Kind::Clusters, name("prod")), at(2));
    assert!(store.is_marked(&key("free")));
}

#[test]
fn claims_that_become_bound_are_counted_once_and_those_of_the_first_list_never() {
    let mut store = prepared();
    let shown = |store: &mut Store, seconds| {
        store.rebuild(now());
        let view = store.view(at(seconds));
        format!("{} {:.1}", view.bound, view.rate.short * 10.0)
    };
    assert_eq!(shown(&mut store, 9), "2 0.0");
    store.take(seen(CLAIMS, claim("three", "half")), at(9));
    store.take(seen(CLAIMS, bound("three", "half")), at(9));
    store.take(seen(CLAIMS, bound("three", "half")), at(9));
    store.take(seen(CLAIMS, bound("two", "half")), at(9));
    assert_eq!(shown(&mut store, 9), "3 1.0");
    // Of a list after the first one, what was not bound before counts.
    let again = vec![
        bound("one", "full"),
        bound("late", "full"),
        bound("two", "half"),
    ];
    list(&mut store, CLAIMS, again);
    store.take(Change::Gone(CLAIMS, name("one")), at(9));
    let mut reborn = bound("two", "half");
    reborn.metadata.uid = "other".to_owned().into();
    store.take(seen(CLAIMS, reborn), at(9));
    assert_eq!(shown(&mut store, 9), "2 3.0", "the list came at second 0");
    assert_eq!(shown(&mut store, 19), "2 0.0");
    let half = &store.view(at(9)).entries[2];
    assert_eq!(half.line.snapshot.key, key("half"));
    assert_eq!((half.bound, half.rate.short * 10.0), (1, 2.0));
}

#[test]
fn what_cannot_be_read_is_noted_with_its_age() {
    let mut store = Store::default();
    let trouble = |kind, why: &str| Change::Trouble(kind, Some(why.to_owned()));
    for kind in Kind::ALL {
        store.take(trouble(kind, "no way"), at(1));
    }
    assert!(store.is_complete(), "there is nothing to wait for");
    let notes = |store: &Store, seconds| -> Vec<String> {
        let notes = store.view(at(seconds)).notes;
        notes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(notes(&store, 3), ["6 kinds: no way. Not shown"]);
    let mut store = prepared();
    store.take(trouble(CLAIMS, "forbidden"), at(10));
    store.take(trouble(CLAIMS, "still forbidden"), at(12));
    let expected = "ipclaims.ipam.metal3.io: still forbidden. Shown as it was 5 s ago";
    assert_eq!(notes(&store, 15), [expected]);
    store.take(Change::Trouble(CLAIMS, None), at(16));
    let odd = Odd {
        name: Some(name("half")),
        error: "too deep".to_owned(),
    };
    store.take(Change::Odd(Kind::Pools, odd), at(17));
    let expected = "ippools.ipam.metal3.io a/half: too deep. Not shown";
    assert_eq!(notes(&store, 17), [expected]);
    store.take(seen(Kind::Pools, pool("half", 2, 10)), at(18));
    assert_eq!(notes(&store, 18), [""; 0]);
}

#[test]
fn a_line_is_printed_again_only_when_it_looks_different() {
    let mut store = prepared();
    let mut table = Printer::new(Output::Table, true);
    let mut objects = Printer::new(Output::Json, true);
    let mut names = Printer::new(Output::Name, true);
    let first = store.rebuild(now());
    assert_eq!(
        table.text(first.clone()).unwrap(),
        "NAMESPACE   NAME   USE               FREE   WAITING   LEFT        STRATEGY     FAMILY   READY\n\
         a           full   ██████████ 100%   0      1         full        sequential   IPv4     True\n\
         a           half   █░░░░░░░░░  10%   9      0         no growth   sequential   IPv4     True\n\
         a           free   ░░░░░░░░░░   0%   10     0         not known   sequential   IPv4     True\n"
    );
    let lines = objects.text(first.clone()).unwrap();
    let values: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(values.len(), 3);
    assert_eq!(values[0]["waiting"], json!({"PoolExhausted": 1}));
    assert!(
        names
            .text(first.clone())
            .unwrap()
            .starts_with("ippool.ipam.metal3.io/full\n")
    );
    assert_eq!(table.text(first).unwrap(), "");
    store.take(Change::Gone(Kind::Pools, name("free")), at(1));
    let gone = store.rebuild(now());
    let expected = "a           free   -                 -      0         -           -            -        NotFound\n";
    assert_eq!(table.text(gone.clone()).unwrap(), expected);
    assert_eq!(names.text(gone).unwrap(), "");
}
