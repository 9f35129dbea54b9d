//! What random actions have found (model.rs): each as short as it could be made, held to the same statements.

use jiff::SignedDuration;

use super::super::{Input, Request};
use super::model::{Act, run};
use super::world::{Fate, M, World, address_key, ip, small};

/// The watch of Metal3's address objects.
const METAL3_ADDRESSES: usize = 3;

/// A user makes an object for a claim whose create is under way, and deletes it when the claim is bound to it.
#[test]
fn r4_an_object_made_by_hand_is_put_back_beside_one_whose_create_was_under_way() {
    let acts = [
        Act::CreatePool(0),
        Act::Settle,
        Act::CreateClaim(0, 3, 0),
        Act::Deliver(1),
        Act::HandAddress(0, 0, 1, false),
        Act::CreateClaim(0, 1, 0),
        Act::CarryOut(0, Fate::Fine),
        Act::DeliverAll(1),
        Act::Deliver(3),
        Act::DeleteAddress(0),
        Act::HandAddress(0, 1, 1, false),
        Act::Answer(0),
        Act::CreateClaim(0, 0, 0),
        Act::Settle,
        Act::Deliver(0),
        Act::DeleteAddress(3),
    ];
    run(64, &acts).unwrap();
}

/// A claim of two objects gets its status, which shows the younger of them.
#[test]
fn u1_indexes_show_the_object_that_the_claim_shows() {
    let of_two_kinds = [
        Act::HandAddress(0, 0, 2, false),
        Act::CreateClaim(1, 2, 0),
        Act::CreatePool(0),
        Act::HandAddress(1, 2, 2, false),
        Act::CreateClaim(0, 0, 0),
        Act::HandAddress(1, 2, 3, false),
        Act::DeliverAll(4),
    ];
    run(64, &of_two_kinds).unwrap();
    let of_one_kind = [
        Act::HandAddress(0, 1, 2, false),
        Act::HandAddress(0, 0, 1, false),
        Act::CreateClaim(0, 1, 0),
        Act::Settle,
        Act::HandAddress(0, 1, 1, false),
        Act::CreatePool(0),
    ];
    run(64, &of_one_kind).unwrap();
}

/// After the first restart the address of the missing object is known from `indexes`; after the second one the other kind's claim
/// of that name has its place there.
#[test]
fn a2_indexes_serve_one_of_two_claims_of_one_name() {
    let acts = [
        Act::HandAddress(1, 1, 4, false),
        Act::CreateClaim(1, 1, 0),
        Act::CreatePool(0),
        Act::Settle,
        Act::ForeignFinalizer(1, 1),
        Act::DeleteClaim(1, 1),
        Act::DeleteAddress(0),
        Act::Crash(0),
        Act::CreateClaim(0, 1, 0),
    ];
    run(64, &acts).unwrap();
}

/// The claim shows an object that is missing, and somebody makes it another one.
#[test]
fn a2_indexes_keep_the_address_of_a_missing_object() {
    let acts = [
        Act::HandAddress(0, 3, 2, false),
        Act::CreateClaim(0, 0, 0),
        Act::CreateClaim(0, 3, 0),
        Act::CreatePool(0),
        Act::Settle,
        Act::ForeignFinalizer(0, 3),
        Act::StripAddress(1),
        Act::HandAddress(0, 3, 1, false),
        Act::StripAddress(1),
        Act::MarkAddress(0),
        Act::DeleteClaim(0, 3),
        Act::Deliver(0),
        Act::Crash(0),
    ];
    run(64, &acts).unwrap();
    let of_disputed_objects = [
        Act::HandAddress(1, 3, 2, false),
        Act::HandAddress(1, 1, 4, false),
        Act::CreateClaim(1, 0, 0),
        Act::CreateClaim(1, 3, 0),
        Act::CreatePool(2),
        Act::Settle,
        Act::HandAddress(1, 3, 3, false),
        Act::HandAddress(0, 0, 3, false),
        Act::DeleteAddress(6),
        Act::Crash(0),
    ];
    run(64, &of_disputed_objects).unwrap();
}

/// A forged status shows a missing object, and `indexes` have the address of the other kind's claim of that name.
#[test]
fn a2_a_claim_does_not_hold_its_twins_address() {
    let acts = [
        Act::CreatePool(0),
        Act::HandAddress(0, 2, 1, false),
        Act::CreateClaim(1, 1, 0),
        Act::DeliverAll(0),
        Act::DeliverAll(2),
        Act::HandAddress(1, 2, 2, false),
        Act::CarryOut(0, Fate::Fine),
        Act::DeletePool,
        Act::Answer(0),
        Act::Settle,
        Act::HandAddress(0, 2, 4, false),
        Act::CreateClaim(0, 0, 0),
        Act::CreateClaim(0, 1, 0),
        Act::Forge(0, 1, 2),
        Act::ForeignFinalizer(0, 1),
        Act::DeleteClaim(0, 1),
    ];
    run(64, &acts).unwrap();
}

/// The status that shows an object is stored and its answer lost; that the next write of it is not sent says nothing about the
/// first one.
#[test]
fn a2_an_address_is_held_until_a_lost_status_write_is_settled() {
    for second in [Fate::NotSent, Fate::Refused] {
        let mut world = World::new();
        world.create_pool(small(1));
        world.create_claim(M, "a");
        world.create_claim(M, "b");
        world.deliver_all();
        let shows_it = |world: &World| {
            let first = world.requests.front();
            first.is_some_and(|(_, request)| {
                matches!(request, Request::ClaimStatus { status, .. } if matches!(status.published, Some(Some(_))))
            })
        };
        while !shows_it(&world) {
            world.carry_out(0, Fate::Fine);
            world.answer(0);
            world.deliver(METAL3_ADDRESSES);
        }
        world.carry_out(0, Fate::Unheard);
        world.answer(0);
        world.now += SignedDuration::from_secs(2);
        world.step(Input::Tick);
        assert!(shows_it(&world), "it is sent again: {:?}", world.requests);
        world.carry_out(0, second);
        world.answer(0);
        let key = address_key(M, "p-10-0-0-1");
        world.edit_address(&key, |address| address.meta.finalizers.clear());
        world.delete_address(&key);
        while world.deliver(METAL3_ADDRESSES) {}
        while !world.requests.is_empty() {
            let (_, request) = &world.requests[0];
            assert!(
                !matches!(request, Request::CreateAddress(new) if &*new.claim == "b"),
                "{second:?}: a shows the address: {request:?}"
            );
            world.carry_out(0, Fate::Fine);
            world.answer(0);
        }
    }
}

/// An object made by hand vanishes while the status that shows it is on its way: nobody else gets the address.
#[test]
fn r4_an_address_is_held_while_a_status_that_shows_it_is_on_its_way() {
    let acts = [
        Act::CreatePool(0),
        Act::Settle,
        Act::CreateClaim(0, 0, 2),
        Act::Squat(0, 1),
        Act::DeleteAddress(0),
        Act::Squat(0, 3),
        Act::Deliver(3),
        Act::Deliver(1),
        Act::HandAddress(0, 2, 1, false),
        Act::CarryOut(0, Fate::Fine),
        Act::Squat(0, 4),
        Act::CreateClaim(1, 0, 0),
        Act::Deliver(0),
        Act::CreateClaim(0, 2, 0),
        Act::ForeignFinalizer(0, 0),
        Act::Deliver(0),
        Act::StripAddress(3),
        Act::Squat(0, 1),
        Act::Squat(0, 1),
        Act::Pass(0),
        Act::PausePool,
        Act::PausePool,
        Act::HandAddress(0, 2, 1, false),
        Act::Answer(0),
    ];
    run(1, &acts).unwrap();
}

/// The object is put back and vanishes again before the answer to its create has come.
#[test]
fn r4_an_old_answer_to_a_create_does_not_end_a_newer_disappearance() {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.create_address(M, "by-hand", "prov", "a", "192.168.7.7", |_| {});
    world.settle();
    assert_eq!(world.bound(M, "a").as_deref(), Some("192.168.7.7"));
    let key = address_key(M, "by-hand");
    let vanishes = |world: &mut World| {
        world.edit_address(&key, |address| address.meta.finalizers.clear());
        world.delete_address(&key);
        while world.deliver(METAL3_ADDRESSES) {}
    };
    vanishes(&mut world);
    let create = world.requests.front().map(|(_, request)| request.clone());
    assert!(
        matches!(create, Some(Request::CreateAddress(_))),
        "{create:?}"
    );
    world.carry_out(0, Fate::Fine);
    while world.deliver(METAL3_ADDRESSES) {}
    vanishes(&mut world);
    world.answer(0);
    world.pass(60);
    let back = &world.addresses[&address_key(M, "by-hand")];
    assert_eq!(back.address, Ok(ip("192.168.7.7")));
    assert_eq!(world.bound(M, "a").as_deref(), Some("192.168.7.7"));
}

/// A claim is stripped while its create is under way, and made again with a reference that the pool cannot serve.
#[test]
fn r1_what_a_claim_left_behind_goes_though_its_successor_cannot_be_served() {
    let acts = [
        Act::CreatePool(0),
        Act::Settle,
        Act::CreateClaim(0, 2, 0),
        Act::Deliver(1),
        Act::CarryOut(0, Fate::Fine),
        Act::DeleteClaim(0, 2),
        Act::Answer(0),
        Act::StripClaim(0, 2),
        Act::CarryOut(0, Fate::Vanished),
        Act::DeletePool,
        Act::FaultyClaim(2),
    ];
    run(64, &acts).unwrap();
}

/// The object was named by a user, so its address is known from nothing but what this process has seen of it.
#[test]
fn a2_a_pool_made_anew_holds_the_address_of_an_object_that_was_named_by_a_user_and_went_before() {
    let acts = [
        Act::HandAddress(0, 2, 4, false),
        Act::CreatePool(2),
        Act::CreateClaim(1, 2, 0),
        Act::CreateClaim(0, 2, 0),
        Act::Settle,
        Act::EditPool(3),
        Act::StripPool,
        Act::StripAddress(1),
        Act::Deliver(1),
        Act::DeleteAddress(0),
        Act::CreatePool(2),
        Act::DeliverAll(1),
        Act::Cluster(false),
        Act::MarkClaim(0, 2),
        Act::CreateClaim(0, 0, 0),
        Act::CreateClaim(0, 1, 0),
        Act::Settle,
    ];
    run(64, &acts).unwrap();
}

#[test]
fn a2_the_object_that_a_status_shows_is_read_again_also_where_the_pool_goes() {
    let acts = [
        Act::CreateClaim(0, 3, 0),
        Act::CreatePool(0),
        Act::Settle,
        Act::Forge(0, 3, 4),
        Act::DeliverLate(1),
        Act::DeletePool,
        Act::Deliver(0),
        Act::CarryOut(0, Fate::Refused),
    ];
    run(64, &acts).unwrap();
}

#[test]
fn a4_the_object_of_a_claim_that_leads_elsewhere_goes_before_a_younger_one_of_a_claim_that_is_there()
 {
    let acts = [
        Act::CreateClaim(0, 0, 0),
        Act::CreatePool(2),
        Act::Settle,
        Act::MoveClaim(0, 0),
        Act::Pass(1),
        Act::HandAddress(0, 3, 3, false),
        Act::Crash(0),
        Act::FaultyClaim(3),
        Act::Settle,
    ];
    run(64, &acts).unwrap();
}
