//! The API server ends in the middle of a burst and comes back: a real one, by `kill -9`.

use futures::future::join_all;
use kube::api::{Api, PostParams};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::crds;
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use serde_json::{Value, json};

use crate::oracles::Recorder;
use crate::real::{Versions, capi_definitions, private_plane, say};
use crate::tally;
use crate::world::{World, capi_claim_json, capi_is_bound, claim_json, is_bound};

/// Creates an object, again and again while the server does not answer; one that an unheard try made counts.
async fn create_in_the_end<K>(api: &Api<K>, object: Value)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).unwrap();
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        pause.tick().await;
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 409 => return,
            Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => {
                panic!("refused: {status:?}")
            }
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_r7_the_api_server_is_killed_and_started_again_in_mid_burst() {
    const CLAIMS: usize = 400;
    let mut definitions = crds::metal3_crds();
    definitions.extend(capi_definitions(Versions::Stored));
    let Some((mut server, _turn)) = private_plane(&definitions).await else {
        say(
            "SKIPPED on a real server: a3_r7_the_api_server_is_killed_and_started_again_in_mid_burst",
        );
        tally::add("scenarios SKIPPED on a real kube-apiserver: no Go", 1);
        return;
    };
    let mut world = World::on(&server).await;
    for pool in 0..4 {
        let spec = json!({"pools": [{"subnet": format!("10.{pool}.0.0/24")}]});
        world.pool(&format!("pool-{pool}"), spec).await;
    }
    world.start_controller();
    let (claims, capi_claims) = (world.api::<IPClaim>(), world.api::<IPAddressClaim>());
    let create = join_all((0..8).map(|writer| {
        let (claims, capi_claims) = (claims.clone(), capi_claims.clone());
        async move {
            for n in (writer..CLAIMS).step_by(8) {
                let (name, pool) = (format!("claim-{n:03}"), format!("pool-{}", (n / 2) % 4));
                if n % 2 == 0 {
                    create_in_the_end(&claims, claim_json(&name, &pool)).await;
                } else {
                    create_in_the_end(&capi_claims, capi_claim_json(&name, &pool)).await;
                }
            }
        }
    }));
    let restarts = async {
        for objects in [20, 90] {
            world
                .until::<IPAddress>("a part of the burst", |all| all.len() >= objects)
                .await;
            server.restart().await;
        }
    };
    tokio::join!(create, restarts);
    // The history of watches begins anew with the server, so the oracles look at what is there from here on.
    let recorder = Recorder::start(&world).await;
    world
        .until::<IPClaim>("every IPClaim bound", |all| {
            all.len() == CLAIMS / 2 && all.values().all(is_bound)
        })
        .await;
    world
        .until::<IPAddressClaim>("every IPAddressClaim bound", |all| {
            all.len() == CLAIMS / 2 && all.values().all(capi_is_bound)
        })
        .await;
    recorder
        .finish()
        .await
        .assert_clean("the API server restarts");
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
