//! Every reason for which a claim can be without an address, as the conditions of both kinds report it (U1, U2, A8, A9).

use http::{Method, Request, Response};
use kube::api::PostParams;
use kube::client::Body;
use kube::{Client, ResourceExt};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::Settings;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::BoxError;

use crate::harness::{On, World, capi_claim_json, claim_json, scenarios};
use crate::steps::{asking_for, range};

scenarios! {
    u1_u2_a8_a9_every_reason_is_reported_by_both_kinds_once,
    u1_a9_an_invalid_requested_address_is_refused_or_reported,
    u1_an_address_object_that_the_server_refuses_is_reported_and_tried_again,
}

/// A claim that cannot be served.
struct Case {
    name: &'static str,
    pool: &'static str,
    asks: Option<&'static str>,
    reason: &'static str,
    /// The reason that Cluster API's contract has for it.
    coarse: &'static str,
    /// A part of the message.
    says: &'static str,
    /// What the machine controller reads of an IPClaim.
    error: Option<&'static str>,
}

const CASES: [Case; 8] = [
    Case {
        name: "unavailable",
        pool: "p",
        asks: Some("10.0.0.2"),
        reason: "RequestedAddressUnavailable",
        coarse: "AllocationFailed",
        says: "10.0.0.2 is held",
        error: Some("Requested IP not available"),
    },
    Case {
        name: "outside",
        pool: "p",
        asks: Some("10.9.9.9"),
        reason: "RequestedAddressOutOfRange",
        coarse: "AllocationFailed",
        says: "10.9.9.9 is outside the ranges",
        error: Some("Requested IP out of bounds of the pool"),
    },
    Case {
        name: "excluded",
        pool: "p",
        asks: Some("10.0.0.9"),
        reason: "RequestedAddressOutOfRange",
        coarse: "AllocationFailed",
        says: "10.0.0.9 is excluded from",
        error: Some("Requested IP out of bounds of the pool"),
    },
    Case {
        name: "torn",
        pool: "p",
        asks: Some("10.0.0.7"),
        reason: "PreAllocationConflict",
        coarse: "AllocationFailed",
        says: "make them equal or remove one",
        error: Some("PreAllocation and requested ip address are conflicting"),
    },
    Case {
        name: "late",
        pool: "p",
        asks: None,
        reason: "PreAllocationConflict",
        coarse: "AllocationFailed",
        says: "10.0.0.2 is pre-allocated to this claim, but held",
        error: Some("Requested IP not available"),
    },
    Case {
        name: "nowhere",
        pool: "none",
        asks: None,
        reason: "PoolNotFound",
        coarse: "PoolNotReady",
        says: "does not exist; create it",
        error: None,
    },
    Case {
        name: "unready",
        pool: "clustered",
        asks: None,
        reason: "PoolNotReady",
        coarse: "PoolNotReady",
        says: "waits for Cluster missing",
        error: None,
    },
    Case {
        name: "starved",
        pool: "full",
        asks: None,
        reason: "PoolExhausted",
        coarse: "PoolExhausted",
        says: "has no free address; add a range or delete claims",
        error: Some("Exhausted IP Pools"),
    },
];

async fn u1_u2_a8_a9_every_reason_is_reported_by_both_kinds_once(on: On) {
    let mut world = World::without_controller(on).await;
    let mut settings = Settings::default();
    settings.pool.exhausted_error_after = jiff::SignedDuration::from_secs(1);
    world.start_controller_with(settings);
    let mut spec = range("10.0.0.1", "10.0.0.9");
    spec["excludedAddresses"] = json!(["10.0.0.9"]);
    spec["preAllocations"] = json!({"torn": "10.0.0.6"});
    world.pool("p", spec).await;
    let mut spec = range("10.1.0.1", "10.1.0.9");
    spec["clusterName"] = json!("missing");
    world.pool("clustered", spec).await;
    world.pool("full", range("10.2.0.1", "10.2.0.1")).await;
    world.claim("last", "full").await;
    world.address_of("last").await;
    let _: IPClaim = world
        .create(asking_for(claim_json("holder", "p"), "10.0.0.2"))
        .await;
    world.address_of("holder").await;
    // Promised to a name while another claim has it: that one keeps it.
    world
        .patch::<IPPool>(
            "p",
            json!({"spec": {"preAllocations": {"late": "10.0.0.2"}}}),
        )
        .await;
    world.pool_is_seen("p").await;
    for Case {
        name, pool, asks, ..
    } in &CASES
    {
        let with = |claim: Value| match asks {
            Some(address) => asking_for(claim, address),
            None => claim,
        };
        let _: IPClaim = world.create(with(claim_json(name, pool))).await;
        let _: IPAddressClaim = world.create(with(capi_claim_json(name, pool))).await;
    }
    for case in &CASES {
        let message = world.waits_for(case.name, case.reason).await;
        assert!(message.contains(case.says), "{}: {message}", case.name);
        let capi_message = world.capi_waits_for(case.name, case.coarse).await;
        let opening = if case.reason == case.coarse {
            String::new()
        } else {
            format!("{}: ", case.reason)
        };
        assert_eq!(
            capi_message,
            format!("{opening}{message}"),
            "one text for both kinds"
        );
        world
            .until::<IPClaim>(&format!("the error text of {}", case.name), |all| {
                let status = all[case.name].status.as_ref();
                status.is_some_and(|s| s.error_message.as_deref() == case.error)
            })
            .await;
    }
    // Said once: what comes and goes beside those who wait is not worth a write to them.
    let of_cases = |versions: Vec<String>| -> Vec<String> {
        let of_case = |line: &String| {
            CASES
                .iter()
                .any(|c| line.contains(&format!(" {} at ", c.name)))
        };
        versions.into_iter().filter(of_case).collect()
    };
    let before = of_cases(world.versions().await);
    assert_eq!(before.len(), 2 * CASES.len());
    for round in 0..3 {
        let name = format!("passes-{round}");
        world.claim(&name, "p").await;
        world.address_of(&name).await;
        world.delete_and_wait::<IPClaim>(&name).await;
    }
    world.looked_at_everything(&Value::Null).await;
    assert_eq!(of_cases(world.versions().await), before);
    world.end().await;
}

async fn u1_a9_an_invalid_requested_address_is_refused_or_reported(on: On) {
    let world = World::start(on).await;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    let claim: IPClaim =
        serde_json::from_value(asking_for(claim_json("a", "p"), "10.0.0.256")).unwrap();
    let capi_claim: IPAddressClaim =
        serde_json::from_value(asking_for(capi_claim_json("a", "p"), "10.0.0.256")).unwrap();
    let made = world.api().create(&PostParams::default(), &claim).await;
    let capi_made = world
        .api()
        .create(&PostParams::default(), &capi_claim)
        .await;
    match on {
        // The embedded server applies the rules of admission.
        On::Embedded => {
            for refused in [made.map(|_| ()), capi_made.map(|_| ())] {
                let kube::Error::Api(status) = refused.unwrap_err() else {
                    panic!("refused in another way");
                };
                assert!(
                    status.code == 422 && status.message.contains("ipAddress"),
                    "{status:?}"
                );
            }
            return world.end().await;
        }
        // Here no webhook does.
        On::Real | On::Upstream | On::WebhookDown => drop((made.unwrap(), capi_made.unwrap())),
    }
    let message = world.waits_for("a", "RequestedAddressInvalid").await;
    assert!(
        message.contains("\"10.0.0.256\": not a valid IP address"),
        "{message}"
    );
    let message = world.capi_waits_for("a", "AllocationFailed").await;
    assert!(
        message.starts_with("RequestedAddressInvalid: "),
        "{message}"
    );
    world
        .until::<IPClaim>("the error text", |all| {
            let status = all["a"].status.as_ref();
            status.and_then(|s| s.error_message.as_deref())
                == Some("Invalid ipAddress annotation \"10.0.0.256\": not a valid IP address")
        })
        .await;
    // No request, and a good one.
    world
        .patch::<IPClaim>("a", json!({"metadata": {"annotations": {"ipAddress": ""}}}))
        .await;
    world
        .patch::<IPAddressClaim>(
            "a",
            json!({"metadata": {"annotations": {"ipAddress": "10.0.0.7"}}}),
        )
        .await;
    assert_eq!(world.address_of("a").await, "10.0.0.1");
    assert_eq!(world.capi_address_of("a").await, "10.0.0.7");
    world.end().await;
}

/// A client that is refused every create of an address object as long as `refusing` says so, as by a webhook.
fn refused_creates(server: Client, refusing: &watch::Sender<bool>) -> Client {
    let refusing = refusing.subscribe();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (server, refusing) = (server.clone(), *refusing.borrow());
        async move {
            let create =
                request.method() == Method::POST && request.uri().path().ends_with("/ipaddresses");
            if !(create && refusing) {
                return Ok(server.send(request).await?);
            }
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                "reason": "Forbidden", "message": "no addresses on Sundays"});
            let mut response = Response::new(Body::from(serde_json::to_vec(&status)?));
            *response.status_mut() = http::StatusCode::FORBIDDEN;
            Ok::<_, BoxError>(response)
        }
    });
    Client::new(service, "default")
}

async fn u1_an_address_object_that_the_server_refuses_is_reported_and_tried_again(on: On) {
    let mut world = World::without_controller(on).await;
    let refusing = watch::Sender::new(true);
    let server = world.client.clone();
    world.client = refused_creates(server.clone(), &refusing);
    world.start_controller();
    world.client = server;
    world.pool("p", range("10.0.0.1", "10.0.0.9")).await;
    world.claim("a", "p").await;
    world.capi_claim("a", "p").await;
    for message in [
        world.waits_for("a", "AllocationFailed").await,
        world.capi_waits_for("a", "AllocationFailed").await,
    ] {
        assert!(
            message.contains("refused the address object")
                && message.contains("no addresses on Sundays"),
            "{message}"
        );
    }
    refusing.send_replace(false);
    world.address_of("a").await;
    world.capi_address_of("a").await;
    let mut objects: Vec<String> = Vec::new();
    for object in world
        .until::<IPAddress>("one object", |all| all.len() == 1)
        .await
        .values()
    {
        objects.push(object.name_any());
    }
    assert!(objects[0].starts_with("p-10-0-0-"), "{objects:?}");
    world.end().await;
}
