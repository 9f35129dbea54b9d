//! The API server ends in the middle of a burst and is started again, while the controller keeps running.

use std::net::Ipv4Addr;

use futures::future::join_all;
use kube::Config;
use kube::api::{Api, PostParams};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::crds;
use metal3_ipam::api::metal3::{IPAddress, IPClaim};
use metal3_ipam::standalone::{self, Listening};
use serde_json::{Value, json};

use crate::control_plane::{self, ApiServer, Versions, capi_definitions, free_port};
use crate::harness::{
    On, World, capi_claim_json, capi_is_bound, claim_json, door_of, is_bound, scenarios,
};
use crate::oracles::Recorder;

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

/// A server that can end and come back, with the same objects, at the same place.
enum Server {
    /// Closed and opened again; `kill -9` of it, with the controller that lives in it, is `kill.rs`.
    Embedded {
        dir: tempfile::TempDir,
        port: u16,
        running: Option<(standalone::Server, Listening)>,
    },
    /// `kill -9`.
    Real(Box<ApiServer>),
}

impl Server {
    async fn start(on: On) -> (Self, Config) {
        match on {
            On::Embedded => {
                let mut server = Self::Embedded {
                    dir: tempfile::tempdir().unwrap(),
                    port: free_port(),
                    running: None,
                };
                let config = server.open().await;
                (server, config)
            }
            On::Real | On::Upstream | On::WebhookDown => {
                let mut definitions = crds::metal3_crds();
                definitions.extend(capi_definitions(Versions::Stored));
                let started = control_plane::private(&definitions).await;
                let server = started.expect("the macro has looked");
                let config = server.config.clone();
                (Self::Real(Box::new(server)), config)
            }
        }
    }

    /// Opens the embedded server and its door.
    async fn open(&mut self) -> Config {
        let Self::Embedded { dir, port, running } = self else {
            panic!("a real server opens by itself");
        };
        let data_dir = dir.path().to_owned();
        let server = standalone::Server::open(standalone::options(data_dir))
            .await
            .unwrap();
        let addr = (Ipv4Addr::LOCALHOST, *port).into();
        let listening = server.listen(addr).await.unwrap();
        let (config, _) = door_of(&server, addr);
        *running = Some((server, listening));
        config
    }

    async fn restart(&mut self) {
        match self {
            Self::Embedded { running, .. } => {
                let (server, listening) = running.take().expect("it runs");
                listening.stop().await;
                server.close().await;
                self.open().await;
            }
            Self::Real(server) => server.restart().await,
        }
    }
}

scenarios! {
    a3_r7_the_api_server_restarts_in_the_middle_of_a_burst,
}

async fn a3_r7_the_api_server_restarts_in_the_middle_of_a_burst(on: On) {
    const CLAIMS: usize = 400;
    let (mut server, config) = Server::start(on).await;
    let mut world = World::at(&config).await;
    let recorder = Recorder::start_over_restarts(&world).await;
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
    let findings = recorder.finish().await;
    findings.assert_clean("the API server restarts");
    // Four writes a claim; a list at the end alone would show two of them.
    assert!(findings.events > 3 * CLAIMS, "{} events", findings.events);
    world.end().await;
}
