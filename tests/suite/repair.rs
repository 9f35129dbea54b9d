//! `metal3-ipam check`, where it asks the server who wrote; and `repair` beside a running manager: what two reports agree on is
//! repaired, and nothing is freed that a claim has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use kube::api::{WatchEvent, WatchParams};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::Settings;
use metal3_ipam::pool::LeakRepair;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Door, On, World, published, scenarios};
use crate::oracles::Recorder;
use crate::steps::{ADDRESS_FINALIZER, address_json, range};
use crate::tally;

scenarios! {
    r6_a_leak_that_two_reports_agree_on_is_deleted_and_then_released,
    r6_a_repair_that_races_its_claims_frees_nothing_that_is_claimed,
    a_check_names_who_else_has_written_and_never_the_manager,
}

/// Leaks of the race.
const ROUNDS: u8 = 200;

/// Leaks are found within seconds, and only reported.
fn reporting() -> Settings {
    let mut settings = Settings::default();
    settings.pool.audit_interval = SignedDuration::from_secs(1);
    settings.pool.leak_min_age = SignedDuration::from_secs(2);
    settings.pool.leak_repair = LeakRepair::Report;
    settings
}

/// The address object of a claim that does not exist.
async fn leak(world: &World, last: u8) -> IPAddress {
    let (name, address) = (format!("p-10-0-0-{last}"), format!("10.0.0.{last}"));
    let mut object = address_json(&name, "p", &format!("claim-{last}"), &address);
    object["metadata"]["finalizers"] = json!([ADDRESS_FINALIZER]);
    world.create(object).await
}

/// Runs the program; its exit code, and what it printed, or else what it said on standard error.
async fn run(door: &Door, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_metal3-ipam"))
        .args(arguments)
        .arg("--kubeconfig")
        .arg(&door.kubeconfig)
        .output()
        .await
        .unwrap();
    let told = [output.stdout, output.stderr]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let told = String::from_utf8_lossy(&told).into_owned();
    (output.status.code().unwrap(), told)
}

/// A report of the namespace, dated back by eleven minutes.
async fn earlier(world: &World, door: &Door, dir: &Path) -> PathBuf {
    let at_once = ["--confirm-after", "0s", "--older-than", "0s", "-o", "json"];
    let check = [&["check", "-n", &world.namespace][..], &at_once].concat();
    let (_, text) = run(door, &check).await;
    let mut report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let time = Timestamp::now() - SignedDuration::from_mins(11);
    report["time"] = json!(time.to_string());
    let file = dir.join("report.json");
    std::fs::write(&file, report.to_string()).unwrap();
    file
}

/// Level, object and message of what a check finds written by others.
async fn written_by_others(world: &World, door: &Door) -> Vec<(String, String, String)> {
    let check = ["check", "-n", &world.namespace, "--confirm-after", "0s"];
    let (_, text) = run(door, &[&check[..], &["-o", "json"]].concat()).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = findings.filter(|finding| finding["code"] == "N9");
    findings
        .map(|f| {
            (
                text(&f["level"]),
                text(&f["object"]["name"]),
                text(&f["message"]),
            )
        })
        .collect()
}

async fn a_check_names_who_else_has_written_and_never_the_manager(on: On) {
    let mut world = World::without_controller(on).await;
    let door = world.door().await;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    world.pool("q", range("10.0.1.1", "10.0.1.9")).await;
    assert_eq!(written_by_others(&world, &door).await, []);
    let _: IPPool = world
        .patch_status("p", json!({"indexes": {"nobody": "10.0.0.7"}}))
        .await;
    leak(&world, 1).await;
    let findings = written_by_others(&world, &door).await;
    let [(one, pool, says), (other, address, also)] = &*findings else {
        panic!("{findings:?}");
    };
    assert_eq!([&**one, &**pool], ["Warning", "p"]);
    assert_eq!([&**other, &**address], ["Note", "p-10-0-0-1"]);
    assert!(
        says.starts_with("has a status that was written by "),
        "{says}"
    );
    assert!(also.starts_with("was written by "), "{also}");

    // What the manager binds, and shows in the status of pools and claims, is its own.
    world.start_controller_with(reporting());
    world.claim("one", "p").await;
    world.capi_claim("two", "q").await;
    world.address_of("one").await;
    world.capi_address_of("two").await;
    let known = [&**pool, &**address];
    for (_, object, says) in written_by_others(&world, &door).await {
        assert!(known.contains(&&*object), "{object} {says}");
    }
    world.end().await;
}

/// Result and name of each leaked address object of a repair.
fn of_leaks(told: &str) -> Vec<(String, String)> {
    let repaired: Value = serde_json::from_str(told).unwrap_or_else(|e| panic!("{e}: {told}"));
    let errors = repaired["errors"].as_array().unwrap().iter();
    errors
        .filter(|error| error["code"] == "E3")
        .map(|error| (&error["result"], &error["object"]["name"]))
        .map(|(result, name)| owned((result.as_str().unwrap(), name.as_str().unwrap())))
        .collect()
}

fn owned((result, name): (&str, &str)) -> (String, String) {
    (result.to_owned(), name.to_owned())
}

async fn r6_a_leak_that_two_reports_agree_on_is_deleted_and_then_released(on: On) {
    let mut world = World::without_controller(on).await;
    let (door, dir) = (world.door().await, tempfile::tempdir().unwrap());
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    leak(&world, 1).await;
    leak(&world, 2).await;
    world.start_controller_with(reporting());
    world.claim("bound", "p").await;
    assert_eq!(world.address_of("bound").await, "10.0.0.3");
    // The claim of the first one asks another pool now: it keeps nothing in this one.
    world.pool("q", range("10.0.1.1", "10.0.1.9")).await;
    world.claim("claim-1", "q").await;
    assert_eq!(world.address_of("claim-1").await, "10.0.1.1");
    let report = earlier(&world, &door, dir.path()).await;
    let report = report.to_str().unwrap();
    // The claim of the second one comes after the report.
    world.claim("claim-2", "p").await;
    assert_eq!(world.address_of("claim-2").await, "10.0.0.2");
    let repair = ["repair", "--from", report, "--older-than", "0s"];
    let json = [&repair[..], &["-o", "json"]].concat();

    let (code, told) = run(&door, &[&json[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 1, "{told}");
    assert_eq!(of_leaks(&told), [("Planned", "p-10-0-0-1")].map(owned));
    let untouched: IPAddress = world.get("p-10-0-0-1").await;
    assert_eq!(untouched.metadata.deletion_timestamp, None);

    let (_, told) = run(&door, &json).await;
    assert_eq!(of_leaks(&told), [("Repaired", "p-10-0-0-1")].map(owned));
    world
        .until::<IPAddress>("the leak to be released", |all| all.len() == 3)
        .await;
    let (_, told) = run(&door, &json).await;
    assert_eq!(of_leaks(&told), []);
    world.claim("next", "p").await;
    assert_eq!(world.address_of("next").await, "10.0.0.1");

    // A report of just now, and one of another cluster.
    let mut young: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    young["time"] = json!(Timestamp::now().to_string());
    std::fs::write(report, young.to_string()).unwrap();
    let (code, told) = run(&door, &repair).await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("repeat this in"), "{told}");
    young["time"] = json!("2026-01-01T00:00:00Z");
    young["cluster"] = json!("another");
    std::fs::write(report, young.to_string()).unwrap();
    let (code, told) = run(&door, &repair).await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("the report is of another cluster"), "{told}");
    world.end().await;
}

/// Creates each claim when the repair is about to reach its address object, and the rest when it has ended.
async fn create_claims(world: &World, ended: impl Future<Output = ()>) {
    let mut order: Vec<String> = (1..=ROUNDS).map(|n| format!("p-10-0-0-{n}")).collect();
    order.sort();
    let claim_of = |object: &str| object.replace("p-10-0-0-", "claim-");
    let mut next = 0;
    let events = world.api::<IPAddress>();
    let events = events.watch(&WatchParams::default(), "0").await.unwrap();
    let mut events = Box::pin(events);
    let mut ended = Box::pin(ended);
    loop {
        let event = tokio::select! {
            () = &mut ended => break,
            event = events.try_next() => event.unwrap(),
        };
        let deleted = match event {
            Some(WatchEvent::Modified(object)) => object
                .metadata
                .deletion_timestamp
                .as_ref()
                .and(object.metadata.name.clone()),
            Some(_) => None,
            None => break,
        };
        let Some(place) = deleted.and_then(|name| order.iter().position(|o| *o == name)) else {
            continue;
        };
        // One before it, itself, or one of the next two.
        let until = (place + place % 4).min(order.len());
        while next < until {
            world.claim(&claim_of(&order[next]), "p").await;
            next += 1;
        }
    }
    for object in &order[next..] {
        world.claim(&claim_of(object), "p").await;
    }
}

async fn r6_a_repair_that_races_its_claims_frees_nothing_that_is_claimed(on: On) {
    let mut world = World::without_controller(on).await;
    let (door, dir) = (world.door().await, tempfile::tempdir().unwrap());
    for last in 1..=ROUNDS {
        leak(&world, last).await;
    }
    let spec = json!({"pools": [{"start": "10.0.0.1", "end": "10.0.1.255"}]});
    world.pool("p", spec).await;
    let recorder = Recorder::start(&world).await;
    world.start_controller_with(reporting());
    world.pool_says("p", "Consistent", ("False", "Leak")).await;
    let report = earlier(&world, &door, dir.path()).await;
    let report = report.to_str().unwrap();
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let repair = async {
        let arguments = [
            "repair",
            "--from",
            report,
            "--older-than",
            "0s",
            "-o",
            "json",
        ];
        let told = run(&door, &arguments).await;
        drop(done);
        told
    };
    let ended = async {
        let _ = ended.await;
    };
    let ((code, told), ()) = tokio::join!(repair, create_claims(&world, ended));
    assert!([0, 1, 2].contains(&code), "{code}: {told}");
    let results = of_leaks(&told);
    assert_eq!(results.len(), usize::from(ROUNDS), "{told}");
    let is = |result: &str| results.iter().filter(|(of, _)| of == result).count();
    let (repaired, failed) = (is("Repaired"), is("Failed"));
    assert_eq!(repaired + failed, usize::from(ROUNDS), "{told}");

    // Each claim ends bound, if need be to the object that was deleted under it and is kept (R4).
    let claims = world
        .until::<IPClaim>("each claim to have an address", |all| {
            all.len() == usize::from(ROUNDS) && all.values().all(|claim| world.is_bound(claim))
        })
        .await;
    let objects = world
        .until::<IPAddress>("each claim to have its object", |all| {
            all.len() == usize::from(ROUNDS)
        })
        .await;
    let mut of_claims: BTreeMap<&str, &IPAddress> = BTreeMap::new();
    for object in objects.values() {
        let claim = object.spec.claim.name.as_deref().unwrap();
        let twice = of_claims.insert(claim, object);
        assert!(twice.is_none(), "{twice:?}");
    }
    let (mut adopted, mut anew, mut under) = (0, 0, 0);
    for (name, claim) in &claims {
        let object = of_claims[&**name];
        assert_eq!(published(claim), object.metadata.name);
        let own = format!("10.0.0.{}", &name["claim-".len()..]);
        if object.metadata.deletion_timestamp.is_some() {
            under += 1;
        } else if object.spec.address.0 == own {
            adopted += 1;
        } else {
            anew += 1;
        }
    }
    println!(
        "{repaired} deleted, {failed} left since their claims had come; {adopted} claims have their own address, {anew} another, {under} keep one that was deleted under them"
    );
    assert!(repaired > 0 && failed > 0, "they did not race");
    tally::add("rounds of a repair beside the manager", ROUNDS.into());
    recorder.finish().await.assert_clean("r6 repair");
    world.end().await;
}
