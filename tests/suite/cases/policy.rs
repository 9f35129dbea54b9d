//! A policy that was added later denies the updates that remove finalizers: the claim's condition says why it hangs, it holds its
//! address, delays no other claim, and is released when the policy is gone.

use std::future::Future;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::api::{Api, DeleteParams, PostParams};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::json;

use crate::control_plane::is_there;
use crate::harness::{On, World, claim_json};
use crate::steps::range;
use crate::tally;

use super::with;

const WORDS: &str = "every object of ipam.metal3.io needs the label team";

/// Denies every create and update in the world's namespace of an object without the label `team`.
struct Policy {
    name: String,
    policies: Api<ValidatingAdmissionPolicy>,
    bindings: Api<ValidatingAdmissionPolicyBinding>,
}

impl Policy {
    async fn apply(world: &World) -> Self {
        let this = Self {
            name: format!("team-label-{}", world.namespace),
            policies: Api::all(world.client.clone()),
            bindings: Api::all(world.client.clone()),
        };
        let policy = json!({"metadata": {"name": this.name}, "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{"apiGroups": ["ipam.metal3.io"], "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"], "resources": ["ippools", "ipclaims", "ipaddresses"]}]},
            "validations": [{"expression": "has(object.metadata.labels) && 'team' in object.metadata.labels", "message": WORDS}],
        }});
        let policy = serde_json::from_value(policy).unwrap();
        this.policies
            .create(&PostParams::default(), &policy)
            .await
            .unwrap();
        let binding = json!({"metadata": {"name": this.name}, "spec": {
            "policyName": this.name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}},
        }});
        let binding = serde_json::from_value(binding).unwrap();
        this.bindings
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();
        // A policy is in force some time after it is stored.
        let probe = serde_json::from_value(claim_json("probe", "none")).unwrap();
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        until(async || world.api::<IPClaim>().create(&dry, &probe).await.is_err()).await;
        this
    }

    async fn remove(self) {
        let now = DeleteParams::default();
        self.bindings.delete(&self.name, &now).await.unwrap();
        self.policies.delete(&self.name, &now).await.unwrap();
    }
}

/// Asks until it is so: what a server does in the background it does not announce.
async fn until<F: Future<Output = bool>>(so: impl Fn() -> F) {
    let asked = tokio::time::timeout(crate::harness::DEADLINE, async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
        while !so().await {
            tick.tick().await;
        }
    });
    asked.await.expect("the policy is in force in time");
}

/// A deleting claim that a policy holds, and one that waits for its address.
async fn denied() -> (World, Policy) {
    let world = World::start(On::Real).await;
    world.pool("p", range("10.41.0.10", "10.41.0.11")).await;
    world.claim("old", "p").await;
    assert_eq!(world.address_of("old").await, "10.41.0.10");
    world.pool_counts("p", 1).await;
    let policy = Policy::apply(&world).await;
    for name in ["new", "next"] {
        let claim = with(
            claim_json(name, "p"),
            "/metadata/labels",
            json!({"team": "a"}),
        );
        let _: IPClaim = world.create(claim).await;
        if name == "new" {
            assert_eq!(world.address_of("new").await, "10.41.0.11");
        }
    }
    world.waits_for("next", "PoolExhausted").await;
    world.delete::<IPClaim>("old").await;
    world.waits_saying("old", WORDS).await;
    world.waits_for("next", "PoolExhausted").await;
    (world, policy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_a_policy_denies_is_explained_and_done_when_the_policy_is_gone() {
    if !is_there("a_release_that_a_policy_denies_is_explained_and_done_when_the_policy_is_gone")
        .await
    {
        return;
    }
    let (world, policy) = denied().await;
    policy.remove().await;
    assert_eq!(world.address_of("next").await, "10.41.0.10");
    world
        .until::<IPClaim>("the old claim to go", |all| !all.contains_key("old"))
        .await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_a_policy_denies_is_done_when_the_objects_satisfy_it() {
    if !is_there("a_release_that_a_policy_denies_is_done_when_the_objects_satisfy_it").await {
        return;
    }
    let (world, policy) = denied().await;
    let labelled = json!({"metadata": {"labels": {"team": "a"}}});
    world
        .patch::<IPAddress>("p-10-41-0-10", labelled.clone())
        .await;
    world.patch::<IPClaim>("old", labelled.clone()).await;
    world.patch::<IPPool>("p", labelled).await;
    assert_eq!(world.address_of("next").await, "10.41.0.10");
    policy.remove().await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_finalizer_is_denied_says_so() {
    if !is_there("a_pool_whose_finalizer_is_denied_says_so").await {
        return;
    }
    let mut world = World::without_controller(On::Real).await;
    world.pool("p", range("10.41.0.10", "10.41.0.11")).await;
    let policy = Policy::apply(&world).await;
    world.start_controller();
    world
        .until::<IPPool>("the pool to quote the server", |all| {
            crate::steps::pool_condition(&all["p"], "Ready")
                .is_some_and(|c| c.status == "False" && c.message.contains(WORDS))
        })
        .await;
    policy.remove().await;
    world.pool_says("p", "Ready", ("True", "Ready")).await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
