//! Fields of a status that the API server does not keep, since its definitions lack them, and claims as upstream left them.

use super::super::Request;
use super::steps::{count, is_claim_status};
use super::world::{C, M, World, claim_key, small};

/// Every field of ours in a status, and each field of a condition.
const FIELDS: [&str; 18] = [
    "lastUpdated",
    "indexes",
    "capacity",
    "allocated",
    "available",
    "reserved",
    "outOfRange",
    "availableIPCount",
    "utilization",
    "waitingClaims",
    "observedGeneration",
    "errorMessage",
    "conditions",
    "conditions.reason",
    "conditions.message",
    "conditions.observedGeneration",
    "conditions.lastTransitionTime",
    "ipAddress",
];

/// A pool of two, two bound claims and two that wait, on a server that drops these fields.
fn busy(drops: &[&'static str]) -> World {
    let mut world = World::new();
    world.drops = drops.iter().copied().collect();
    world.create_pool(small(2));
    for name in ["a", "b", "c", "d"] {
        world.create_claim(M, name);
    }
    world.pass(60);
    for name in ["a", "b"] {
        assert!(world.bound(M, name).is_some(), "{drops:?}: {name}");
    }
    world
}

#[test]
fn u1_whatever_field_a_definition_drops_costs_one_more_write_at_most() {
    let each = FIELDS.map(|field| vec![field]);
    let all_of_ours = vec![FIELDS.to_vec(), FIELDS[2..].to_vec()];
    let whole = busy(&[]).sent.len();
    for drops in each.into_iter().chain(all_of_ours) {
        let mut world = busy(&drops);
        let sent = world.sent.len();
        // Each object of the five is written once more at most.
        assert!(
            sent <= whole + 5,
            "{drops:?}: {sent} and {whole} of a whole definition"
        );
        world.pass(3600);
        assert_eq!(
            sent,
            world.sent.len(),
            "{drops:?}: {:?}",
            &world.sent[sent..]
        );
        // A new leader finds out anew, with one write of an object at most.
        world.restart();
        world.pass(3600);
        let restarted = world.sent.len() - sent;
        assert!(restarted <= 5, "{drops:?}: {:?}", &world.sent[sent..]);
        world.delete_claim(M, "a");
        world.pass(60);
        assert!(world.bound(M, "c").is_some(), "{drops:?}");
        let sent = world.sent.len();
        world.pass(3600);
        assert_eq!(sent, world.sent.len(), "{drops:?}");
    }
}

#[test]
fn u1_binding_a_claim_costs_three_writes_where_conditions_are_dropped() {
    for kind in [M, C] {
        let mut world = World::new();
        world.drops = ["conditions"].into();
        world.create_pool(small(9));
        world.settle();
        for name in ["a", "b", "c"] {
            let before = world.writes();
            world.create_claim(kind, name);
            world.pass(5);
            assert_eq!(world.writes() - before, 3, "{name}");
        }
    }
}

#[test]
fn u1_a_field_that_the_server_begins_to_keep_is_written_again() {
    let mut world = busy(&["conditions", "capacity"]);
    assert!(world.pool.as_ref().unwrap().status.capacity.is_none());
    world.drops.clear();
    world.delete_claim(M, "a");
    world.pass(60);
    assert_eq!(world.pool.as_ref().unwrap().status.capacity, Some(2));
    assert_eq!(world.pool_condition("Exhausted").0, "True");
    assert_eq!(world.reason(M, "c"), "AddressAllocated");
    assert_eq!(world.reason(M, "d"), "PoolExhausted");
    assert_eq!(world.reason(M, "b"), "AddressAllocated", "the others too");
}

/// As upstream's controller leaves them: bound, without conditions.
fn taken_over(count: u8) -> World {
    let mut world = World::new();
    world.create_pool(small(count + 9));
    for number in 1..=count {
        let (name, object) = (format!("c{number:03}"), format!("p-10-0-0-{number}"));
        let address = format!("10.0.0.{number}");
        world.create_address(M, &object, "prov", &name, &address, |a| {
            a.meta.finalizers.push("ipaddress.ipam.metal3.io".into());
        });
        world.create_claim_with(M, &name, |claim| {
            claim.published = Some(object.as_str().into());
            claim.meta.finalizers.push("ipclaim.ipam.metal3.io".into());
        });
    }
    world
}

#[test]
fn a_new_claim_comes_before_conditions_of_bound_ones() {
    let mut world = taken_over(200);
    world.create_claim(M, "new");
    world.settle();
    let place = |of: &dyn Fn(&Request) -> bool| world.sent.iter().position(of);
    let created = place(&|r| matches!(r, Request::CreateAddress(_))).unwrap();
    let tidied = |r: &&Request| matches!(r, Request::ClaimStatus { status, .. } if status.published.is_none());
    let before = world.sent[..created].iter().filter(tidied).count();
    assert!(before <= 1, "{before} conditions were written before");
    world.pass(60);
    assert_eq!(world.reason(M, "c200"), "AddressAllocated");
}

#[test]
fn a_restart_on_a_server_without_conditions_writes_to_one_claim_of_many() {
    let mut world = taken_over(200);
    world.drops = ["conditions", "ipAddress"].into();
    world.pass(60);
    assert_eq!(count(&world, is_claim_status), 1);
    world.restart();
    world.pass(60);
    assert_eq!(count(&world, is_claim_status), 2);
}

#[test]
fn u1_bound_claims_of_an_older_version_show_their_address_after_one_write_each() {
    let mut world = taken_over(200);
    world.drops = ["ipAddress"].into();
    world.pass(60);
    assert_eq!(world.reason(M, "c200"), "AddressAllocated");
    let before = count(&world, is_claim_status);
    // The definitions are replaced, and a new leader comes.
    world.drops.clear();
    world.restart();
    world.pass(60);
    assert_eq!(count(&world, is_claim_status) - before, 200);
    let shown = world.claim(M, "c200").ip_address;
    assert_eq!(shown, Some([10, 0, 0, 200].into()));
}

#[test]
fn u3_an_address_that_a_claim_shows_and_has_not_is_corrected_or_taken_away() {
    let mut world = busy(&[]);
    for name in ["a", "c"] {
        world.edit_claim(&claim_key(M, name), |claim| {
            claim.ip_address = Some([10, 9, 9, 9].into());
        });
    }
    world.pass(5);
    assert_eq!(world.claim(M, "a").ip_address, Some([10, 0, 0, 1].into()));
    assert_eq!(world.claim(M, "c").ip_address, None);
}
