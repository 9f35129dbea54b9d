//! The answers of a controller to the webhook server's questions, as leader and as standby.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::future::join_all;
use metal3_ipam::alloc::{Coverage, Range};
use metal3_ipam::api::PoolKey;
use metal3_ipam::api::capi::CapiIPAddress;
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use metal3_ipam::controller::{Controller, LeaseSettings, LiveFacts, Settings};
use metal3_ipam::webhook::{Answer, Facts, Question};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::{On, World, is_bound, scenarios};
use crate::steps::{capi_address_json, range, until_view};

scenarios! {
    s6_a_controller_and_its_standby_know_the_holder_of_each_address,
}

const Q: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 9));
const ABOVE_Q: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 10));
const TOP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 99));

fn key(world: &World, name: &str) -> PoolKey {
    PoolKey {
        namespace: world.namespace.as_str().into(),
        name: name.into(),
    }
}

async fn holders(facts: &LiveFacts, question: Question) -> Vec<String> {
    match facts.ask(question).await {
        Answer::Holders(holders) => {
            let mut texts: Vec<String> = holders
                .iter()
                .map(|h| format!("{} by {}", h.address, h.by))
                .collect();
            texts.sort();
            texts
        }
        other => panic!("no holders: {other:?}"),
    }
}

async fn s6_a_controller_and_its_standby_know_the_holder_of_each_address(on: On) {
    let mut world = World::without_controller(on).await;
    let lease = || Settings {
        lease: Some(LeaseSettings::new(world.namespace.clone())),
        namespace: Some(world.namespace.clone()),
        ..Settings::default()
    };
    let (first, second) = (lease(), lease());
    // Nothing is listed before a run begins.
    let standby = Controller::new(world.client.clone(), world.client.clone(), second);
    let (view, known) = (standby.view(), standby.facts());
    let pool = key(&world, "p");
    let early = known.ask(Question::Holders(pool.clone())).await;
    assert!(
        matches!(&early, Answer::NotYet(why) if why.contains("not listed yet")),
        "{early:?}"
    );

    world.start_controller_with(first);
    until_view(
        world.view(),
        "that it leads",
        metal3_ipam::controller::View::is_leading,
    )
    .await;
    let stop = CancellationToken::new();
    let run = tokio::spawn(standby.run(stop.clone()));
    world.pool("p", range("10.0.0.1", "10.0.0.200")).await;
    world.pool("q", range("10.1.0.1", "10.1.0.9")).await;
    let names: Vec<String> = (0..100).map(|n| format!("c-{n:03}")).collect();
    join_all(names.iter().map(|name| world.claim(name, "p"))).await;
    world
        .until::<IPClaim>("every claim bound", |all| {
            all.len() == 100 && all.values().all(is_bound)
        })
        .await;
    world.capi_claim("x", "p").await;
    let of_x = world.capi_address_of("x").await;
    let by_hand = capi_address_json("by-hand", "p", "nobody", "10.9.9.9");
    let _: CapiIPAddress = world.create(by_hand).await;
    let objects = world.until::<IPAddress>("a list", |_| true).await;
    let mut want: Vec<String> = objects
        .values()
        .map(|o| {
            let name = o.metadata.name.as_deref().unwrap();
            format!(
                "{} by IPAddress {}/{name} (claim {})",
                &*o.spec.address,
                world.namespace,
                o.spec.claim.name.as_deref().unwrap()
            )
        })
        .collect();
    let x = world
        .get::<metal3_ipam::api::capi::IPAddressClaim>("x")
        .await;
    let of_claim_x = x.status.unwrap().address_ref.unwrap().name;
    want.push(format!(
        "{of_x} by IPAddress {}/{of_claim_x} (claim x)",
        world.namespace
    ));
    want.push(format!(
        "10.9.9.9 by IPAddress {}/by-hand, whose claim nobody does not exist",
        world.namespace
    ));
    want.sort();

    until_view(&view, "a standby that has seen all", |view| {
        let snapshot = view.snapshot(&pool);
        view.is_synced()
            && !view.is_leading()
            && snapshot.is_some_and(|s| s.allocated == 101 && s.out_of_range == 1)
    })
    .await;
    let leader = world.facts();
    for facts in [&known, &leader] {
        super::until("the watches to have told it", async || {
            holders(facts, Question::Holders(pool.clone())).await == want
        })
        .await;
        let at = Question::HoldersOf(pool.clone(), of_x.parse().unwrap());
        assert_eq!(holders(facts, at).await.len(), 1);
        let free = Question::HoldersOf(pool.clone(), "10.0.0.199".parse().unwrap());
        assert_eq!(holders(facts, free).await, [""; 0]);
        assert_eq!(
            holders(facts, Question::Holders(key(&world, "none"))).await,
            [""; 0]
        );
        for (first, want) in [(Q, vec![("q".to_owned(), Q)]), (ABOVE_Q, vec![])] {
            let added = Range::new(first, TOP).unwrap();
            let added = Arc::new(Coverage::of(&[added], &[]));
            let answer = facts.ask(Question::Overlaps(pool.clone(), added)).await;
            assert_eq!(answer, Answer::Overlaps(want));
        }
        let reference = |claim: &str| Question::ClaimPoolRef {
            namespace: world.namespace.clone(),
            claim: claim.to_owned(),
        };
        let asked = facts.ask(reference("x")).await;
        let want = json!({"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": "p"});
        assert_eq!(asked, Answer::PoolRef(Some(want)));
        assert_eq!(facts.ask(reference("none")).await, Answer::PoolRef(None));
        let elsewhere = PoolKey {
            namespace: "elsewhere".into(),
            name: "p".into(),
        };
        let elsewhere = facts.ask(Question::Holders(elsewhere)).await;
        assert!(matches!(&elsewhere, Answer::NotSeen(_)), "{elsewhere:?}");
    }
    stop.cancel();
    run.await.unwrap().unwrap();
    world.end().await;
}
