//! One manager at a time, by client-go's lease (P5).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use super::Manager;
use crate::control_plane::{self, say, skipped};
use crate::harness::{On, World, is_bound, scenarios};
use crate::oracles::Recorder;
use crate::proxy::Proxy;
use crate::tally;

const LEASE: &str = "controller-leader-election-ipam-capm3";
/// Time that a lease lasts without renewal.
const DURATION: Duration = Duration::from_secs(15);
/// What preStop leaves of `terminationGracePeriodSeconds` of deploy/manager: then the kubelet kills it.
const GRACE: Duration = Duration::from_secs(10);

scenarios! {
    p5_the_lease_passes_to_another_manager_at_sigterm_and_kill_9,
    p5_a_leader_that_was_frozen_past_its_lease_starts_no_write,
    p5_the_lease_lies_in_the_contexts_namespace_and_not_in_the_one_served,
    p5_sigterm_ends_with_exit_code_0_within_the_grace_period_while_the_api_server_hangs,
    p5_a_manager_of_all_namespaces_does_not_start_beside_a_leader_in_another_namespace,
}

/// Who holds the lease in the scenario's namespace, once it is someone else than `not`.
pub(super) async fn leader_other_than(world: &World, not: &str) -> String {
    let holder = |all: &BTreeMap<String, Lease>| {
        let holder = all.get(LEASE)?.spec.as_ref()?.holder_identity.clone();
        holder.filter(|h| !h.is_empty() && h != not)
    };
    let leases = world
        .until::<Lease>("another leader", |all| holder(all).is_some())
        .await;
    holder(&leases).unwrap()
}

/// Creates claims by number and waits until all so far are bound.
async fn claims_are_served(world: &World, from: usize, to: usize) {
    for n in from..to {
        world.claim(&format!("claim-{n:03}"), "p").await;
    }
    all_bound(world, to).await;
}

async fn all_bound(world: &World, count: usize) {
    world
        .until::<IPClaim>("the claims bound", |all| {
            all.len() == count && all.values().all(is_bound)
        })
        .await;
}

/// Time that it takes to list each kind once, as a new leader does.
async fn time_of_one_list(world: &World) -> Duration {
    let begun = Instant::now();
    let all = ListParams::default();
    world.api::<IPPool>().list(&all).await.unwrap();
    world.api::<IPClaim>().list(&all).await.unwrap();
    world.api::<IPAddress>().list(&all).await.unwrap();
    world.api::<IPAddressClaim>().list(&all).await.unwrap();
    world.api::<CapiIPAddress>().list(&all).await.unwrap();
    begun.elapsed()
}

async fn p5_the_lease_passes_to_another_manager_at_sigterm_and_kill_9(on: On) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let start = || Manager::start(&world, &door.kubeconfig, &[]);
    let recorder = Recorder::start(&world).await;
    let range = json!({"pools": [{"subnet": "10.0.0.0/16"}]});
    world.pool("p", range).await;

    let first = start();
    let leader = leader_other_than(&world, "").await;
    let second = start();
    claims_are_served(&world, 0, 20).await;

    // At SIGTERM with nothing unanswered it is given up, not left to run out.
    let begun = Instant::now();
    first.signal("TERM");
    let leader = leader_other_than(&world, &leader).await;
    let at_term = begun.elapsed();
    assert!(first.ended().await, "SIGTERM is a good end");
    assert!(at_term < Duration::from_secs(2), "{at_term:?} at SIGTERM");
    claims_are_served(&world, 20, 40).await;

    // At kill -9 it runs out; then the standby lists once and works.
    let third = start();
    let begun = Instant::now();
    second.kill();
    world.claim("claim-040", "p").await;
    let other = leader_other_than(&world, &leader).await;
    let at_kill = begun.elapsed();
    all_bound(&world, 41).await;
    let served = begun.elapsed();
    let list = time_of_one_list(&world).await;
    assert_ne!(other, leader);
    assert!(
        served < DURATION + Duration::from_secs(2) + 10 * list + Duration::from_secs(1),
        "{served:?} with a list of {list:?}"
    );
    let findings = recorder.finish().await;
    findings.assert_clean("p5");
    say(&format!(
        "{on:?}: the lease was taken over {at_term:.2?} after SIGTERM, {at_kill:.2?} after kill -9; the first claim then was bound \
         {served:.2?} after kill -9; one list of every kind takes {list:.2?}"
    ));
    drop(third);
    world.end().await;
}

async fn p5_the_lease_lies_in_the_contexts_namespace_and_not_in_the_one_served(on: On) {
    let world = World::without_controller(on).await;
    let served = world.neighbour().await;
    let door = world.door().await;
    let flags = ["--leader-elect-lease-name=edge"];
    let manager = Manager::start(&served, &door.kubeconfig, &flags);
    served
        .pool("p", json!({"pools": [{"subnet": "10.0.0.0/24"}]}))
        .await;
    served.claim("a", "p").await;
    served.address_of("a").await;
    let leases = |world: &World| world.api::<Lease>();
    let all = ListParams::default();
    let here = leases(&world).list(&all).await.unwrap();
    let names = here.items.iter().map(|l| l.metadata.name.as_deref());
    let names: Vec<_> = names.collect();
    assert_eq!(names, [Some("edge")]);
    let there = leases(&served).list(&all).await.unwrap();
    assert!(there.items.is_empty(), "{:?}", there.items);
    manager.signal("TERM");
    assert!(manager.ended().await, "SIGTERM is a good end");
    served.end().await;
    world.end().await;
}

async fn p5_sigterm_ends_with_exit_code_0_within_the_grace_period_while_the_api_server_hangs(
    on: On,
) {
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let proxy = Proxy::start(&door.config).await;
    let through = door.kubeconfig_to("hanging", &proxy.cluster(), None);
    let manager = Manager::start(&world, &through, &[]);
    leader_other_than(&world, "").await;
    proxy.fall_silent();
    // In the middle of a renewal.
    let before = proxy.asked().len();
    let renews = |asked: &[crate::proxy::Asked]| {
        let mut unanswered = asked[before..].iter();
        unanswered.any(|a| a.path.ends_with(LEASE) && a.status.is_none())
    };
    proxy.until(renews).await;
    ends_well(manager).await;

    // And before it serves anything: it looks for leaders in other namespaces.
    let proxy = Proxy::start(&door.config).await;
    proxy.fall_silent_at("/leases");
    let through = door.kubeconfig_to("hanging-from-the-start", &proxy.cluster(), None);
    let manager = Manager::of_all(&through, &[]);
    proxy
        .until(|asked| asked.iter().any(|a| a.path.ends_with("/leases")))
        .await;
    ends_well(manager).await;
    world.end().await;
}

/// Sends SIGTERM.
async fn ends_well(manager: Manager) {
    manager.signal("TERM");
    let ended = tokio::time::timeout(GRACE, manager.ended()).await;
    assert!(
        ended.expect("the manager to end before the kubelet kills it"),
        "SIGTERM is a good end"
    );
}

/// Two leaders by Leases in two namespaces would hand out one pool's addresses twice.
async fn p5_a_manager_of_all_namespaces_does_not_start_beside_a_leader_in_another_namespace(
    on: On,
) {
    let world = World::without_controller(on).await;
    let other = world.neighbour().await;
    let door = world.door().await;
    let elsewhere = door.kubeconfig_in(&other.namespace, "elsewhere", &door.cluster());
    // Managers of other scenarios hold Leases of the default name.
    let name = format!("--leader-elect-lease-name={}", world.namespace);
    let leader = Manager::start(&world, &door.kubeconfig, &[&name]);
    world
        .until::<Lease>("a leader", |all| {
            let spec = all.get(&world.namespace).and_then(|l| l.spec.as_ref());
            spec.is_some_and(|spec| spec.holder_identity.is_some())
        })
        .await;

    let (second, log) = Manager::logging(&elsewhere, &[&name]);
    assert!(!second.ended().await, "it does not start");
    let log = log.await.unwrap();
    let says = format!("leads by the Lease {0}/{0}", world.namespace);
    let action = format!("--leader-elect-namespace={}", world.namespace);
    assert!(log.contains(&says) && log.contains(&action), "{log}");

    // What its message names: it takes turns.
    let door_of_standby = Proxy::start(&door.config).await;
    let through = door.kubeconfig_in(&other.namespace, "standby", &door_of_standby.cluster());
    let standby = Manager::of_all(&through, &[&name, &action]);
    let watches = |a: &crate::proxy::Asked| {
        a.path
            .contains(&format!("/namespaces/{}/leases", world.namespace))
            && a.query.contains("watch=1")
    };
    door_of_standby
        .until(|asked| asked.iter().any(watches))
        .await;
    standby.kill();
    leader.signal("TERM");
    assert!(leader.ended().await, "SIGTERM is a good end");
    other.end().await;
    world.end().await;
}

async fn p5_a_leader_that_was_frozen_past_its_lease_starts_no_write(on: On) {
    const CLAIMS: usize = 300;
    /// `--in-flight`: so many writes may have been begun when it was frozen.
    const IN_FLIGHT: usize = 8;
    let world = World::without_controller(on).await;
    let door = world.door().await;
    let before_first = Proxy::start(&door.config).await;
    let to_first = door.kubeconfig_to("first", &before_first.cluster(), None);
    let recorder = Recorder::start(&world).await;
    let range = json!({"pools": [{"subnet": "10.0.0.0/16"}]});
    world.pool("p", range).await;

    let first = Manager::start(&world, &to_first, &["--in-flight=8"]);
    let leader = leader_other_than(&world, "").await;
    let second = Manager::start(&world, &door.kubeconfig, &[]);
    let create = async {
        for n in 0..CLAIMS {
            world.claim(&format!("claim-{n:03}"), "p").await;
        }
    };
    let freeze = async {
        world
            .until::<IPAddress>("the leader in the middle of its work", |all| {
                all.len() >= CLAIMS / 4
            })
            .await;
        first.signal("STOP");
    };
    tokio::join!(create, freeze);
    leader_other_than(&world, &leader).await;
    all_bound(&world, CLAIMS).await;
    let before = before_first.asked().len();
    first.signal("CONT");
    assert!(
        !first.ended().await,
        "a manager that lost its lease ends with an error"
    );
    // What it had begun to send when it was frozen may still arrive; nothing else does.
    let asked = before_first.asked();
    let late: Vec<_> = asked[before..].iter().filter(|a| a.is_write()).collect();
    assert!(
        late.len() <= IN_FLIGHT,
        "{} late writes: {late:#?}",
        late.len()
    );
    let worked = asked[..before].iter().filter(|a| a.is_write()).count();
    assert!(worked > CLAIMS / 4, "the first one led: {worked} writes");
    claims_are_served(&world, CLAIMS, CLAIMS + 10).await;
    let findings = recorder.finish().await;
    findings.assert_clean("p5 frozen");
    say(&format!(
        "{on:?}: a leader frozen after {worked} writes and resumed past its lease sent {} late writes, all harmless",
        late.len()
    ));
    drop(second);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_client_go_and_the_manager_exclude_each_other() {
    let Some(plane) = control_plane::started().await else {
        skipped("p5_client_go_and_the_manager_exclude_each_other");
        return;
    };
    let world = World::without_controller(On::Real).await;
    let door = world.door().await;
    let lease = [world.namespace.as_str(), LEASE];
    world
        .pool("p", json!({"pools": [{"subnet": "10.0.0.0/24"}]}))
        .await;
    world.claim("claim-000", "p").await;

    // Theirs leads, ours stands by and writes nothing, not even a finalizer.
    let mut theirs = plane.contender(&door.kubeconfig, lease, "theirs");
    assert_eq!(leader_other_than(&world, "").await, "theirs");
    let proxy = Proxy::start(&door.config).await;
    let through = door.kubeconfig_to("ours", &proxy.cluster(), None);
    let ours = Manager::start(&world, &through, &[]);
    let watches = |asked: &[crate::proxy::Asked]| {
        let watches = asked.iter().filter(|a| a.query.contains("watch=1"));
        watches.filter(|a| !a.path.contains("/leases")).count()
    };
    // Six kinds are watched: it is ready for all but the lease.
    proxy.until(|asked| watches(asked) >= 6).await;
    assert_eq!(proxy.asked().iter().filter(|a| a.is_write()).count(), 0);

    // Theirs dies; ours follows, and then the next of theirs waits for ours.
    theirs.kill();
    let leader = leader_other_than(&world, "theirs").await;
    all_bound(&world, 1).await;
    let next = plane.contender(&door.kubeconfig, lease, "next");
    ours.kill();
    assert_eq!(leader_other_than(&world, &leader).await, "next");
    say("Real: a contender written with client-go and the manager take the lease in turns");
    drop(next);
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
