//! The start of a range moves down, and a range in use is split in two: no claim's address changes.

use kube::ResourceExt;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use crate::harness::{On, World, published, scenarios};
use crate::steps::range;

use super::refusal;

scenarios! {
    a2_a15_a_range_grows_at_its_front_and_a_hole_is_cut_into_it,
}

async fn a2_a15_a_range_grows_at_its_front_and_a_hole_is_cut_into_it(on: On) {
    let world = World::start(on).await;
    world.pool("p", range("10.8.0.120", "10.8.0.127")).await;
    let first = [
        ("a", "10.8.0.120"),
        ("b", "10.8.0.121"),
        ("c", "10.8.0.122"),
    ];
    let mut objects = Vec::new();
    for (name, address) in first {
        world.claim(name, "p").await;
        assert_eq!(world.address_of(name).await, address);
        let object: IPAddress = world.get(&published(&world.get(name).await).unwrap()).await;
        objects.push(object.uid());
    }
    let spec = |ranges: &[(&str, &str)]| {
        let entries: Vec<Value> = ranges
            .iter()
            .map(|(s, e)| json!({"start": s, "end": e}))
            .collect();
        json!({"spec": {"pools": entries}})
    };
    world
        .patch::<IPPool>("p", spec(&[("10.8.0.117", "10.8.0.127")]))
        .await;
    world.pool_is_seen("p").await;
    world.capi_claim("d", "p").await;
    assert_eq!(world.capi_address_of("d").await, "10.8.0.117");
    world
        .patch::<IPPool>(
            "p",
            spec(&[("10.8.0.117", "10.8.0.123"), ("10.8.0.126", "10.8.0.127")]),
        )
        .await;
    world.pool_is_seen("p").await;
    world.claim("e", "p").await;
    assert_eq!(world.address_of("e").await, "10.8.0.118");
    world
        .until::<IPPool>("9 addresses, 4 of them free", |all| {
            let status = all["p"].status.as_ref();
            status.is_some_and(|s| (s.capacity, s.available) == (Some(9), Some(4)))
        })
        .await;
    let hole = spec(&[("10.8.0.117", "10.8.0.120"), ("10.8.0.122", "10.8.0.127")]);
    let made = world.try_patch_pool("p", hole).await;
    if on == On::Embedded {
        let (code, message) = refusal(made);
        assert_eq!(code, 422, "{message}");
        assert!(
            message.contains("spec.pools")
                && message.contains("10.8.0.121")
                && message.contains("(claim b)"),
            "{message}"
        );
    } else {
        made.unwrap();
        world
            .until::<IPPool>("the one outside to be counted", |all| {
                let status = all["p"].status.as_ref();
                status.is_some_and(|s| s.out_of_range == Some(1))
            })
            .await;
    }
    for ((name, address), uid) in first.into_iter().zip(objects) {
        assert_eq!(world.address_of(name).await, address);
        let object: IPAddress = world.get(&published(&world.get(name).await).unwrap()).await;
        assert_eq!(object.uid(), uid, "the same object");
    }
    if on != On::Embedded {
        world.delete_and_wait::<IPClaim>("b").await;
        for n in 0..5 {
            world.claim(&format!("more-{n}"), "p").await;
            assert_ne!(world.address_of(&format!("more-{n}")).await, "10.8.0.121");
        }
    }
    world.end().await;
}
