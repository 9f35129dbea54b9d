//! Worlds that several files begin with.

use super::super::Request;
use super::world::{Fate, M, World, small};
use crate::api::ClaimKind;

/// Kinds of the requests sent since, in order.
pub(super) fn kinds(world: &World, since: usize) -> Vec<&'static str> {
    let kind = |request: &Request| match request {
        Request::PoolMeta { .. } => "pool",
        Request::PoolStatus { .. } => "",
        Request::ClaimFinalizers { finalizers, .. } if finalizers.is_empty() => "claim off",
        Request::ClaimFinalizers { .. } => "claim on",
        Request::ClaimStatus { .. } => "status",
        Request::CreateAddress(_) => "create",
        Request::DeleteAddress { .. } => "delete",
        Request::AddressMeta { .. } => "address",
        Request::ReadCluster { .. } => "read cluster",
        Request::ReadClaim { .. } => "read claim",
        Request::ReadAddress { .. } => "read address",
    };
    let all = world.sent[since..].iter().map(kind);
    all.filter(|k| !k.is_empty()).collect()
}

/// One bound claim in a pool of three.
pub(super) fn bound_world() -> World {
    let mut world = World::new();
    world.create_pool(small(3));
    world.create_claim(M, "a");
    world.pass(2);
    assert_eq!(world.bound(M, "a").as_deref(), Some("10.0.0.1"));
    world
}

/// A pool of three and a claim whose create is the next request.
pub(super) fn before_create(world: &mut World) {
    world.create_pool(small(3));
    world.create_claim(M, "a");
    until_create(world);
}

/// The next request is the create of an address object.
pub(super) fn until_create(world: &mut World) {
    world.deliver_all();
    while !is_create_next(world) {
        world.carry_out(0, Fate::Fine);
        world.answer(0);
        world.deliver_all();
    }
}

pub(super) fn is_create_next(world: &World) -> bool {
    let next = world.requests.front();
    next.is_some_and(|(_, request)| matches!(request, Request::CreateAddress(_)))
}

/// Requests of this sort that were sent.
pub(super) fn count(world: &World, of: fn(&Request) -> bool) -> usize {
    world.sent.iter().filter(|r| of(r)).count()
}

pub(super) fn is_claim_status(request: &Request) -> bool {
    matches!(request, Request::ClaimStatus { .. })
}

/// Another pool's object has the name of the first address, as anyone can make it.
pub(super) fn take_first_name(world: &mut World, kind: ClaimKind) {
    world.create_address(kind, "p-10-0-0-1", "other", "z", "10.9.9.9", |_| {});
}
