//! What is repaired, and what is left.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request as HttpRequest, Response};
use jiff::SignedDuration;
use kube::Client;
use kube::client::Body;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::catalog::{self, Check};
use super::super::earlier::{BETWEEN, Earlier};
use super::super::repair::{Fate, Outcome, carry_out, plan};
use super::super::repaired::Repaired;
use super::super::report::Report;
use super::super::{Form, look};
use super::healthy::{Cluster, now};
use super::{SEEDS, ages, bound, reading};
use crate::pool::Request;

/// A report of a cluster, as it was stored so long ago.
fn earlier(cluster: &Cluster, output: Form, ago: SignedDuration) -> Earlier {
    let reading = reading(cluster);
    let report = Report::new(&reading, look(&reading, None, ages()), now() - ago);
    Earlier::parse(&report.text(output).unwrap()).unwrap()
}

fn outcomes(before: &Cluster, after: &Cluster) -> Vec<Outcome> {
    let earlier = earlier(before, Form::Json, BETWEEN);
    plan(&reading(after), &earlier, ages())
}

/// Corrupts sound clusters: the error of the object that is named is to be repaired by the request.
#[track_caller]
fn repairs(
    check: Check,
    corrupt: impl Fn(&mut Cluster, &mut StdRng) -> String,
    by: impl Fn(&Request) -> bool,
) {
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut cluster = Cluster::new(&mut rng);
        let object = corrupt(&mut cluster, &mut rng);
        let outcomes = outcomes(&cluster, &cluster);
        let about =
            |o: &&Outcome| o.finding.check == check && o.finding.subject.to_string() == object;
        let it = outcomes.iter().find(about);
        let it = it.unwrap_or_else(|| panic!("seed {seed}: {object} is not named"));
        assert!(matches!(it.fate, Fate::Planned), "seed {seed}: {it:?}");
        let remedy = it.remedy.as_deref().unwrap();
        assert!(by(&remedy.request), "seed {seed}: {remedy:?}");
        assert_eq!(remedy.unless.is_some(), check == catalog::LEAK);
    }
}

#[test]
fn leaks_owners_and_finalizers_are_repaired() {
    repairs(
        catalog::LEAK,
        |cluster, rng| {
            let (claim, address) = bound(cluster, rng);
            cluster.claims.remove(claim);
            cluster.address_name(address)
        },
        |request| matches!(request, Request::DeleteAddress { .. }),
    );
    let owners = |request: &Request| {
        matches!(request, Request::AddressMeta { owner_references: Some(owners), .. }
            if owners.len() == 2 && owners.iter().all(|owner| owner.uid != "another"))
    };
    repairs(
        catalog::OWNER,
        |cluster, rng| {
            let (_, address) = bound(cluster, rng);
            cluster.addresses[address].1["metadata"]["ownerReferences"][1]["uid"] =
                json!("another");
            cluster.address_name(address)
        },
        owners,
    );
    repairs(
        catalog::REPLACED,
        |cluster, rng| {
            let (_, address) = bound(cluster, rng);
            cluster.addresses[address].1["metadata"]["ownerReferences"][0]["uid"] =
                json!("another");
            cluster.address_name(address)
        },
        owners,
    );
    repairs(
        catalog::FINALIZER,
        |cluster, rng| {
            let (claim, _) = bound(cluster, rng);
            cluster.claims[claim].1["metadata"]["finalizers"] = json!(["others"]);
            cluster.claim_name(claim)
        },
        |request| {
            matches!(request, Request::ClaimFinalizers { finalizers, .. }
                if finalizers.len() == 2 && finalizers[0] == "others")
        },
    );
    repairs(
        catalog::FINALIZER,
        |cluster, rng| {
            let (_, address) = bound(cluster, rng);
            let pool = cluster.pool_of(address);
            cluster.pools[pool]["metadata"]["finalizers"] = json!([]);
            cluster.pool_name(pool)
        },
        |request| matches!(request, Request::PoolMeta { finalizers, .. } if finalizers.len() == 1),
    );
}

/// A cluster of one claim, whose address object is owned by objects that are not there: two errors, and what else it needs.
fn owned_by_others() -> Cluster {
    let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
    for owner in 0..2 {
        cluster.addresses[0].1["metadata"]["ownerReferences"][owner]["uid"] = json!("another");
    }
    cluster
}

/// A server with the kinds of `ipam.metal3.io` that stores every object; and the writes that it was asked for.
fn server() -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: HttpRequest<Body>| {
        let log = Arc::clone(&log);
        let groups = json!([{"name": "ipam.metal3.io", "versions": [{"version": "v1alpha1"}]}]);
        let kinds = ["ippools", "ipclaims", "ipaddresses"].map(|name| json!({ "name": name }));
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET, "/apis") => json!({ "groups": groups }),
            (&Method::GET, "/apis/ipam.metal3.io/v1alpha1") => json!({ "resources": kinds }),
            (method, path) => {
                let name = path.rsplit('/').next().unwrap();
                log.lock().unwrap().push(format!("{method} {name}"));
                json!({"metadata": {"name": name, "namespace": "n", "uid": "u", "resourceVersion": "9"}})
            }
        };
        let body = Body::from(answer.to_string().into_bytes());
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    (Client::new(service, "default"), asked)
}

#[tokio::test]
async fn an_object_with_two_errors_is_written_once() {
    let mut outcomes = outcomes(&owned_by_others(), &owned_by_others());
    let codes: Vec<_> = outcomes.iter().map(|o| o.finding.check).collect();
    assert_eq!(codes, [catalog::REPLACED, catalog::OWNER], "{outcomes:?}");
    let (client, asked) = server();
    let end = CancellationToken::new();
    carry_out(&mut outcomes, &client, &end).await.unwrap();
    let name = &outcomes[0].finding.subject.name;
    assert_eq!(*asked.lock().unwrap(), [format!("PATCH {name}")]);
    assert!(
        outcomes.iter().all(|o| matches!(o.fate, Fate::Written)),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_repair_that_is_interrupted_tells_what_it_has_not_begun() {
    let mut outcomes = outcomes(&owned_by_others(), &owned_by_others());
    let (client, asked) = server();
    let end = CancellationToken::new();
    end.cancel();
    carry_out(&mut outcomes, &client, &end).await.unwrap();
    assert!(asked.lock().unwrap().is_empty());
    let result = Repaired {
        outcomes,
        dry_run: false,
        earlier: now() - BETWEEN,
        now: now(),
        unread: Vec::new(),
    };
    assert_eq!(result.exit_code(), 1);
    let text = result.text(Form::Table).unwrap();
    assert!(
        text.ends_with("2 errors: 0 repaired, 0 failed, 2 not begun, 0 left\n"),
        "{text}"
    );
}

#[test]
fn a_leak_is_deleted_and_not_corrected_as_well() {
    let leak = || {
        let mut cluster = owned_by_others();
        cluster.claims.clear();
        cluster
    };
    let outcomes = outcomes(&leak(), &leak());
    let planned = outcomes.iter().filter(|o| matches!(o.fate, Fate::Planned));
    let mut codes = Vec::new();
    for outcome in planned {
        let remedy = outcome.remedy.as_deref().unwrap();
        let deletes = matches!(remedy.request, Request::DeleteAddress { .. });
        assert!(deletes, "{outcome:?}");
        assert!(outcome.detail().starts_with("delete the IPAddress"));
        codes.push(outcome.finding.check);
    }
    assert_eq!(codes, [catalog::LEAK, catalog::OWNER]);
}

#[test]
fn duplicates_are_named_and_never_moved() {
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut cluster = Cluster::new(&mut rng);
        let (_, address) = bound(&cluster, &mut rng);
        cluster.twin(address, "ipam.metal3.io");
        let (_, address) = bound(&cluster, &mut rng);
        cluster.second(address);
        for outcome in outcomes(&cluster, &cluster) {
            if [catalog::DUPLICATE, catalog::SEVERAL].contains(&outcome.finding.check) {
                assert!(
                    matches!(outcome.fate, Fate::Left),
                    "seed {seed}: {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn a_pool_whose_status_is_written_does_not_keep_its_addresses_from_being_repaired() {
    let corrupted = |version: &str| {
        let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
        cluster.addresses[0].1["metadata"]["ownerReferences"][1]["uid"] = json!("another");
        cluster.pools[0]["metadata"]["resourceVersion"] = json!(version);
        cluster
    };
    let outcomes = outcomes(&corrupted("8"), &corrupted("9"));
    let of_owner = outcomes.iter().find(|o| o.finding.check == catalog::OWNER);
    let fate = &of_owner.unwrap().fate;
    assert!(matches!(fate, Fate::Planned), "{fate:?}");
}

#[test]
fn what_one_report_alone_shows_is_not_repaired() {
    let sound = Cluster::with_one_claim("ipam.metal3.io");
    let leak = || {
        let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
        cluster.claims.clear();
        cluster
    };
    let is_new = |outcomes: Vec<Outcome>| {
        let [outcome] = &outcomes[..] else {
            panic!("{outcomes:?}");
        };
        matches!(outcome.fate, Fate::New)
    };
    assert!(!is_new(outcomes(&leak(), &leak())));
    assert!(is_new(outcomes(&sound, &leak())));
    for field in ["uid", "resourceVersion"] {
        let mut changed = leak();
        changed.addresses[0].1["metadata"][field] = json!("7");
        assert!(is_new(outcomes(&leak(), &changed)), "{field}");
    }
    assert!(outcomes(&leak(), &sound).is_empty(), "it is gone");
    // What is paused or moved is a note, and is not written to.
    let paused = Cluster::in_a_move(&mut StdRng::seed_from_u64(1));
    assert!(outcomes(&paused, &paused).is_empty());
}

#[test]
fn a_report_of_another_cluster_or_of_just_now_is_refused() {
    let cluster = Cluster::with_one_claim("ipam.metal3.io");
    let refusal = |ago, uid: Option<&str>| {
        let earlier = earlier(&cluster, Form::Yaml, ago);
        let refusal = earlier.suits(uid, now());
        refusal.map_err(|why| why.to_string()).err()
    };
    let here = Some("kube-system-uid");
    assert_eq!(refusal(BETWEEN, here), None);
    let young = refusal(SignedDuration::from_mins(7), here).unwrap();
    assert!(young.ends_with("repeat this in 181 s"), "{young}");
    let ahead = refusal(SignedDuration::from_mins(-7), here).unwrap();
    assert!(ahead.contains("repeat this in"), "{ahead}");
    let other = refusal(BETWEEN, Some("other")).unwrap();
    assert!(
        other.contains("the report is of another cluster"),
        "{other}"
    );
    let unknown = refusal(BETWEEN, None).unwrap();
    assert!(unknown.contains("the right to get"), "{unknown}");
    for text in ["", "{}", "[]", "findings: 3", "{\"cluster\": null"] {
        assert!(Earlier::parse(text).is_err(), "{text}");
    }
}

/// A library's bounds for configuration files ended such a report, which is written where a repair is needed most.
#[test]
fn a_report_of_many_errors_can_be_read_again() {
    let mut cluster = Cluster::with_one_claim("ipam.metal3.io");
    cluster.claims.clear();
    let reading = reading(&cluster);
    let one = look(&reading, None, ages());
    let leak = one.iter().find(|f| f.check == catalog::LEAK).unwrap();
    let many = vec![leak.clone(); 12_000];
    let report = Report::new(&reading, many, now() - BETWEEN);
    for form in [Form::Json, Form::Yaml] {
        let earlier = Earlier::parse(&report.text(form).unwrap()).unwrap();
        assert!(earlier.has(leak), "{form:?}");
    }
}

#[test]
fn a_repair_ends_with_0_where_nothing_is_left() {
    let sound = Cluster::with_one_claim("ipam.metal3.io");
    let mut leak = Cluster::with_one_claim("ipam.metal3.io");
    leak.claims.clear();
    let repaired = |outcomes: Vec<Outcome>| Repaired {
        outcomes,
        dry_run: true,
        earlier: now() - BETWEEN,
        now: now(),
        unread: Vec::new(),
    };
    assert_eq!(repaired(outcomes(&sound, &sound)).exit_code(), 0);
    let mut planned = repaired(outcomes(&leak, &leak));
    assert_eq!(planned.exit_code(), 1, "nothing is written yet");
    let text = planned.text(Form::Table).unwrap();
    assert!(
        text.ends_with("1 errors: 1 would be repaired, 0 left\n"),
        "{text}"
    );
    planned.outcomes[0].fate = Fate::Written;
    assert_eq!(planned.exit_code(), 0);
    planned.outcomes[0].fate = Fate::Failed("refused".to_owned());
    assert_eq!(planned.exit_code(), 2);
    let json = planned.text(Form::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["errors"][0]["result"], "Failed");
    assert_eq!(json["errors"][0]["repair"], "refused");
    planned.outcomes.clear();
    planned.unread.push("ipclaims: no".to_owned());
    assert_eq!(planned.exit_code(), 2);
}
