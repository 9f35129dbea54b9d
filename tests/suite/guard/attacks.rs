//! Attacks of a tenant, one after the other, on a namespace in which the manager serves claims.

use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::{Value, json};

use super::{Guard, Tenant};
use crate::control_plane::is_there;
use crate::dry::{CAPI, METAL3, Write, attempt};
use crate::harness::{DEADLINE, On, World, capi_claim_json, claim_json};
use crate::steps::range;
use crate::tally;

fn address(name: &str, address: &str, claim: &str) -> Value {
    json!({"apiVersion": METAL3, "kind": "IPAddress", "metadata": {"name": name},
        "spec": {"address": address, "pool": {"name": "p"}, "claim": {"name": claim}}})
}

fn capi_address(name: &str, group: &str) -> Value {
    json!({"apiVersion": CAPI, "kind": "IPAddress", "metadata": {"name": name},
        "spec": {"address": "10.77.0.9", "prefix": 24, "claimRef": {"name": "c2"},
            "poolRef": {"apiGroup": group, "kind": "IPPool", "name": "p"}}})
}

fn with_finalizer(mut object: Value, finalizer: &str) -> Value {
    object["metadata"]["finalizers"] = json!([finalizer]);
    object
}

fn with_request(mut claim: Value, wanted: &str) -> Value {
    claim["metadata"]["annotations"] = json!({"ipAddress": wanted});
    claim
}

/// What is denied, with a part of what is said; `None`: let through.
fn tries() -> Vec<(&'static str, Write, Option<&'static str>)> {
    use Write::{Create, Delete, Patch, Status};
    let alone = Some("IPAddress objects are written by the IPAM manager alone");
    let finalizers = Some("the finalizers of the IPAM manager are put in and taken off by itself");
    let status = Some("the status of pools and claims is written by the IPAM manager alone");
    let request = Some("metadata.annotations[ipAddress]: must be the IPv4 or IPv6 address");
    let mut elsewhere = claim_json("n", "p");
    elsewhere["spec"]["pool"]["namespace"] = json!("kube-system");
    vec![
        (
            "forge an address for a victim's claim",
            Create(address("x", "10.77.0.9", "victim")),
            alone,
        ),
        (
            "squat an address object's name",
            Create(address("p-10-77-0-11", "10.77.0.99", "nobody")),
            alone,
        ),
        (
            "forge one of Cluster API's kind",
            Create(capi_address("x", "ipam.metal3.io")),
            alone,
        ),
        (
            "make another provider's address",
            Create(capi_address("y", "other.io")),
            None,
        ),
        (
            "edit an address object",
            Patch(
                METAL3,
                "IPAddress",
                "p-10-77-0-10",
                json!({"metadata": {"labels": {"a": "b"}}}),
            ),
            alone,
        ),
        (
            "delete a live address object",
            Delete(METAL3, "IPAddress", "p-10-77-0-10"),
            alone,
        ),
        (
            "take the finalizer off a live claim",
            Patch(
                METAL3,
                "IPClaim",
                "c1",
                json!({"metadata": {"finalizers": null}}),
            ),
            finalizers,
        ),
        (
            "take the finalizer off a pool",
            Patch(
                METAL3,
                "IPPool",
                "p",
                json!({"metadata": {"finalizers": null}}),
            ),
            finalizers,
        ),
        (
            "take the finalizer off a claim of Cluster API",
            Patch(
                CAPI,
                "IPAddressClaim",
                "c2",
                json!({"metadata": {"finalizers": []}}),
            ),
            finalizers,
        ),
        (
            "put the finalizer into another object",
            Patch(
                METAL3,
                "IPClaim",
                "c1",
                json!({"metadata": {"finalizers": ["ipclaim.ipam.metal3.io", "ippool.ipam.metal3.io"]}}),
            ),
            finalizers,
        ),
        (
            "add a finalizer of one's own",
            Patch(
                METAL3,
                "IPClaim",
                "c1",
                json!({"metadata": {"finalizers": ["ipclaim.ipam.metal3.io", "mine.io/hold"]}}),
            ),
            None,
        ),
        (
            "label a claim",
            Patch(
                METAL3,
                "IPClaim",
                "c1",
                json!({"metadata": {"labels": {"a": "b"}}}),
            ),
            None,
        ),
        (
            "forge a claim's status",
            Status(
                METAL3,
                "IPClaim",
                "c1",
                json!({"status": {"address": {"name": "p-10-77-0-11"}}}),
            ),
            status,
        ),
        (
            "forge an error of a claim",
            Status(
                METAL3,
                "IPClaim",
                "c1",
                json!({"status": {"errorMessage": "broken"}}),
            ),
            status,
        ),
        (
            "forge the status of a claim of Cluster API",
            Status(
                CAPI,
                "IPAddressClaim",
                "c2",
                json!({"status": {"addressRef": {"name": "x"}}}),
            ),
            status,
        ),
        (
            "forge a pool's counts",
            Status(
                METAL3,
                "IPPool",
                "p",
                json!({"status": {"available": 1_000}}),
            ),
            status,
        ),
        (
            "ask for a pool of another namespace",
            Create(elsewhere),
            Some("spec.pool.namespace: must be empty or the object's own namespace"),
        ),
        (
            "ask for no address",
            Create(with_request(claim_json("n", "p"), "abc")),
            request,
        ),
        (
            "ask for a subnet",
            Create(with_request(claim_json("n", "p"), "10.77.0.0/24")),
            request,
        ),
        (
            "ask for a multicast address",
            Create(with_request(claim_json("n", "p"), "224.0.0.1")),
            request,
        ),
        (
            "ask for an embedded address",
            Create(with_request(claim_json("n", "p"), "::10.77.0.11")),
            request,
        ),
        (
            "ask in the other kind",
            Create(with_request(capi_claim_json("n", "p"), "010.0.0.1")),
            request,
        ),
        (
            "edit the request into nonsense",
            Patch(
                METAL3,
                "IPClaim",
                "c1",
                json!({"metadata": {"annotations": {"ipAddress": "abc"}}}),
            ),
            request,
        ),
        (
            "ask for an address",
            Create(with_request(claim_json("n", "p"), "10.77.0.11")),
            None,
        ),
        (
            "ask with a finalizer",
            Create(with_finalizer(
                claim_json("n", "p"),
                "ipclaim.ipam.metal3.io",
            )),
            None,
        ),
        (
            "ask in the other kind, well",
            Create(with_request(capi_claim_json("n", "p"), "fd00::1")),
            None,
        ),
        ("delete a claim", Delete(METAL3, "IPClaim", "c1"), None),
        (
            "grow a pool",
            Patch(
                METAL3,
                "IPPool",
                "p",
                json!({"spec": range("10.77.0.10", "10.77.0.99")}),
            ),
            None,
        ),
    ]
}

/// Waits until the policies judge, which is some moments after they are stored.
async fn in_force(tenant: &Tenant, namespace: &str, what: &Write, denied: bool) {
    let judged = tokio::time::timeout(DEADLINE, async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
        while attempt(&tenant.client, namespace, what).await.is_err() != denied {
            tick.tick().await;
        }
    });
    judged.await.expect("the policies to be in force in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_cannot_write_what_the_manager_writes() {
    if !is_there("a_tenant_cannot_write_what_the_manager_writes").await {
        return;
    }
    let world = World::start(On::Real).await;
    world.pool("p", range("10.77.0.10", "10.77.0.20")).await;
    world.claim("c1", "p").await;
    assert_eq!(world.address_of("c1").await, "10.77.0.10");
    world.capi_claim("c2", "p").await;
    world.capi_address_of("c2").await;
    let (guard, tenant) = (Guard::apply(&world).await, Tenant::of(&world).await);
    let namespace = world.namespace.clone();
    for (_, what, said) in tries().into_iter().filter(|(_, _, said)| said.is_some()) {
        in_force(&tenant, &namespace, &what, said.is_some()).await;
    }
    let mut wrong = Vec::new();
    for (name, what, said) in tries() {
        let found = attempt(&tenant.client, &namespace, &what).await;
        let is_right = match (&found, said) {
            (Ok(()), None) => true,
            (Err(message), Some(part)) => message.contains(part),
            (Ok(()), Some(_)) | (Err(_), None) => false,
        };
        if !is_right {
            wrong.push(format!("{name}: {found:?}, expected {said:?}"));
        }
        // The administrator, whose group is named, may repair by hand; mistakes are mistakes for everybody.
        let mistake = said.is_some_and(|said| said.contains("must be"));
        let by_admin = attempt(&world.client, &namespace, &what).await;
        if by_admin.is_err() != mistake {
            wrong.push(format!("{name}, by the administrator: {by_admin:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    tally::add("writes tried under deploy/guard", tries().len() as u64);

    // Claims are bound and released under the policies, and the garbage collector clears away.
    world.claim("c3", "p").await;
    world.address_of("c3").await;
    world.delete_and_wait::<IPClaim>("c3").await;

    // A label of the namespace lets addresses be kept out of use by hand, without what makes them the manager's.
    let external = Write::Create(address("router", "10.77.0.20", "router"));
    let ours = Write::Create(with_finalizer(
        address("router", "10.77.0.20", "router"),
        "ipaddress.ipam.metal3.io",
    ));
    in_force(&tenant, &namespace, &external, true).await;
    guard.allow_external().await;
    in_force(&tenant, &namespace, &external, false).await;
    attempt(&tenant.client, &namespace, &ours)
        .await
        .unwrap_err();
    let live = Write::Delete(METAL3, "IPAddress", "p-10-77-0-10");
    attempt(&tenant.client, &namespace, &live)
        .await
        .unwrap_err();

    guard.remove().await;
    tenant.remove().await;
    world.delete_and_wait::<IPClaim>("c1").await;
    world.none::<IPAddress>().await;
    world.end().await;
}
