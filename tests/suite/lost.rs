//! Scenarios of rule R7: creates whose answer is lost, some of them after the commit. A layer between the controller and the
//! server, on either kind of server, drops the answers until the test stops it.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use tokio::sync::watch;
use tower::BoxError;

use crate::harness::{DEADLINE, On, World, scenarios};
use crate::oracles::Recorder;
use crate::steps::range;

scenarios! {
    r7_r1_an_unanswered_create_that_was_carried_out_is_settled_before_anything_is_released,
    r7_r1_an_unanswered_create_that_was_not_carried_out_is_settled_before_anything_is_released,
}

/// What becomes of a create whose answer is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    CarriedOut,
    Dropped,
}

/// Drops the answers to creates of address objects until the test stops it.
struct Loser {
    fate: Fate,
    losing: watch::Sender<bool>,
    /// Creates that were answered with nothing, of each object.
    lost: watch::Sender<BTreeMap<String, u64>>,
}

impl Loser {
    fn before(server: Client, fate: Fate) -> (Client, Arc<Self>) {
        let loser = Arc::new(Self {
            fate,
            losing: watch::Sender::new(true),
            lost: watch::Sender::default(),
        });
        let of_service = Arc::clone(&loser);
        let service = tower::service_fn(move |request| {
            let (loser, server) = (Arc::clone(&of_service), server.clone());
            async move { loser.pass(&server, request).await }
        });
        (Client::new(service, "default"), loser)
    }

    async fn pass(
        &self,
        server: &Client,
        request: Request<Body>,
    ) -> Result<Response<Body>, BoxError> {
        let create =
            request.method() == Method::POST && request.uri().path().ends_with("/ipaddresses");
        if !create || !*self.losing.borrow() {
            return Ok(server.send(request).await?);
        }
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let object: PartialObjectMeta = serde_json::from_slice(&body)?;
        if self.fate == Fate::CarriedOut {
            server
                .send(Request::from_parts(head, Body::from(body)))
                .await?;
        }
        self.lost
            .send_modify(|lost| *lost.entry(object.name_any()).or_default() += 1);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        Ok(response)
    }

    /// Waits until the creates of so many objects were lost, each once more than so far.
    async fn loses_each_of(&self, objects: usize) {
        let mut lost = self.lost.subscribe();
        let before = lost.borrow().clone();
        let again = |lost: &BTreeMap<String, u64>| {
            let more = |(name, n): (&String, &u64)| before.get(name).is_none_or(|was| n > was);
            lost.len() == objects && lost.iter().all(more)
        };
        let waited = tokio::time::timeout(DEADLINE, lost.wait_for(again)).await;
        waited.expect("each create to be sent again").unwrap();
    }
}

async fn r7_r1_an_unanswered_create_that_was_carried_out_is_settled_before_anything_is_released(
    on: On,
) {
    nothing_goes_before_the_answer(on, Fate::CarriedOut).await;
}

async fn r7_r1_an_unanswered_create_that_was_not_carried_out_is_settled_before_anything_is_released(
    on: On,
) {
    nothing_goes_before_the_answer(on, Fate::Dropped).await;
}

async fn nothing_goes_before_the_answer(on: On, fate: Fate) {
    let mut world = World::without_controller(on).await;
    let recorder = Recorder::start(&world).await;
    let server = world.client.clone();
    let (lossy, loser) = Loser::before(server.clone(), fate);
    world.client = lossy;
    world.start_controller();
    world.client = server;
    world.pool("p", range("10.0.0.1", "10.0.0.2")).await;
    world.pool("goes", range("10.0.1.1", "10.0.1.2")).await;
    world.claim("a", "p").await;
    world.capi_claim("b", "p").await;
    world.claim("c", "goes").await;
    loser.loses_each_of(3).await;
    // The claims and one of the pools are deleted while nobody knows what became of their creates.
    world.delete::<IPClaim>("a").await;
    world.delete::<IPAddressClaim>("b").await;
    world.delete::<IPClaim>("c").await;
    world.delete::<IPPool>("goes").await;
    world.claim("waits", "p").await;
    world.waits_for("waits", "PoolExhausted").await;
    // The same creates are sent again, to the end.
    loser.loses_each_of(3).await;
    loser.loses_each_of(3).await;
    assert_eq!(world.get::<IPClaim>("a").await.finalizers().len(), 1);
    assert_eq!(world.get::<IPAddressClaim>("b").await.finalizers().len(), 1);
    assert_eq!(world.get::<IPClaim>("c").await.finalizers().len(), 1);
    assert_eq!(world.get::<IPPool>("goes").await.finalizers().len(), 1);
    world.waits_for("waits", "PoolExhausted").await;
    loser.losing.send_replace(false);
    world
        .until::<IPClaim>("the deleted IPClaims to go", |all| all.len() == 1)
        .await;
    world.none::<IPAddressClaim>().await;
    world
        .until::<IPPool>("the deleted pool to go", |all| all.len() == 1)
        .await;
    world.address_of("waits").await;
    world.none::<CapiIPAddress>().await;
    world
        .until::<IPAddress>("one object, of the claim that waited", |all| all.len() == 1)
        .await;
    world.pool_counts("p", 1).await;
    recorder.finish().await.assert_clean("r7");
    world.end().await;
}
