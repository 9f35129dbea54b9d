//! The manager with nothing but the rights that `deploy/rbac` gives: no request of it is refused, and it has no right that
//! it does not use (P4, P5).

mod deploy;
mod diagnostics;
mod equal;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Event, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use metal3_ipam::api::capi::{CapiIPAddress, IPAddressClaim};
use metal3_ipam::api::crds;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use self::deploy::{Form, create_cluster_wide, create_namespaced, deploy, deployed, token_of};
use self::diagnostics::ask;
use self::equal::{UNUSED, Victim, assert_equal};
use super::Manager;
use crate::control_plane::{self, ApiServer, Versions, capi_definitions, free_port, say, skipped};
use crate::harness::{Door, World, until};
use crate::proxy::{Asked, Proxy, Writes};
use crate::tally;

pub(crate) use self::deploy::token;
pub(crate) use self::equal::assert_none_refused;

/// The webhook configurations' names in `deploy/webhook`.
const VALIDATING: &str = "ipam-validating-webhook-configuration";
const MUTATING: &str = "ipam-mutating-webhook-configuration";

#[test]
fn the_role_of_one_namespace_has_the_rules_of_the_role_of_all() {
    let rules = |file: &str| {
        let rules = deployed(file, "n")[0]["rules"].clone();
        let Value::Array(mut rules) = rules else {
            panic!("{file} has no rules");
        };
        // A manager of one namespace does not look for others' Leases.
        rules.retain(|rule| rule["resources"] != json!(["leases"]));
        rules
    };
    assert_eq!(
        rules("rbac/cluster/role.yaml"),
        rules("rbac/namespaced/role.yaml"),
        "deploy/rbac/cluster/role.yaml and deploy/rbac/namespaced/role.yaml are one set of rules in two files"
    );
}

/// On a server of its own: a manager of every namespace would serve those of other scenarios, and the webhook configurations
/// have the very names that the roles give rights to.
#[tokio::test(flavor = "multi_thread")]
async fn p4_p5_the_roles_in_deploy_give_every_right_that_is_used_and_no_other() {
    let mut definitions = crds::metal3_crds();
    definitions.extend(capi_definitions(Versions::Stored));
    let Some(server) = control_plane::private(&definitions).await else {
        skipped("p4_p5_the_roles_in_deploy_give_every_right_that_is_used_and_no_other");
        return;
    };
    for form in [Form::Cluster, Form::Namespaced] {
        everything_that_the_manager_does(&server, form).await;
    }
    tokio::join!(
        refused_without(&server, 0),
        refused_without(&server, 1),
        refused_without(&server, 2)
    );
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

/// With the rights of this form: two managers, a pool that gets its Cluster as an owner, both kinds of claims, exhaustion that
/// an Event counts, relief, names that someone took, a status that someone forged, an address object deleted by hand, versions that somebody
/// else's write outran, a leader's end, release, the end of the pool; the webhook's own certificates; a scrape.
async fn everything_that_the_manager_does(server: &ApiServer, form: Form) {
    let world = World::at(&server.config).await;
    let token = deploy(&world, form, &|_| true).await;
    create_cluster_wide(&world, "diagnostics", &|_| true).await;
    create_namespaced(&world, "webhook-self-signed", &|_| true).await;
    create_cluster_wide(&world, "webhook-self-signed", &|_| true).await;
    let webhooks = Webhooks::create(&world).await;
    let door = Door::to(&world.namespace, &server.config);
    let proxy = Proxy::answering(&door.config, Writes::FirstConflicts).await;
    let kubeconfig = door.kubeconfig_to("rights", &proxy.cluster(), Some(&token));
    let port = free_port();
    let diagnostics = format!("--diagnostics-address=127.0.0.1:{port}");
    let start = |more: &[&str]| {
        let webhook = [
            "--webhook-self-signed",
            "--webhook-service=ipam-webhook-service",
            "--webhook-port=127.0.0.1:0",
            "--webhook-validating=ipam-validating-webhook-configuration",
            "--webhook-mutating=ipam-mutating-webhook-configuration",
        ];
        let flags = [&webhook[..], more].concat();
        match form {
            Form::Cluster => Manager::of_all(&kubeconfig, &flags),
            Form::Namespaced => Manager::start(&world, &kubeconfig, &flags),
        }
    };
    let first = start(&[&diagnostics]);
    webhooks.are_trusted().await;
    // The second replica finds the Secret spoiled, and puts it right.
    let spoiled = json!({"data": {"tls.key": null}});
    let secrets = world.api::<Secret>();
    let spoiled = Patch::Merge(spoiled);
    let name = "webhook-own-certificate";
    let patch = PatchParams::default();
    secrets.patch(name, &patch, &spoiled).await.unwrap();
    let second = start(&[]);
    world
        .until::<Secret>("the Secret put right", |all| {
            let data = all[name].data.as_ref();
            data.is_some_and(|data| data.contains_key("tls.key"))
        })
        .await;

    world.cluster("cluster", false).await;
    let squatter = json!({"metadata": {"name": "p-10-0-0-1"},
        "spec": {"address": "10.9.9.9", "pool": {"name": "other"}, "claim": {"name": "nobody"}}});
    world.create::<IPAddress>(squatter).await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.3"}]);
    world
        .pool("p", json!({"clusterName": "cluster", "pools": range}))
        .await;
    world.claim("first", "p").await;
    assert_eq!(world.address_of("first").await, "10.0.0.2");
    world.capi_claim("second", "p").await;
    assert_eq!(world.capi_address_of("second").await, "10.0.0.3");
    world.claim("third", "p").await;
    world.waits_for("third", "PoolExhausted").await;
    world.claim("fourth", "p").await;
    world.waits_for("fourth", "PoolExhausted").await;
    world
        .until::<Event>("an Event that is counted", |all| {
            let full = |e: &Event| e.reason.as_deref() == Some("PoolExhausted");
            all.values().any(|e| full(e) && e.count >= Some(3))
        })
        .await;
    world.delete_and_wait::<IPClaim>("fourth").await;
    let forged =
        json!({"status": {"address": {"name": "elsewhere", "namespace": world.namespace}}});
    let forged = Patch::Merge(forged);
    let claims = world.api::<IPClaim>();
    claims.patch_status("first", &patch, &forged).await.unwrap();
    world
        .until::<IPClaim>("the forged status corrected", |all| {
            let status = all["first"].status.as_ref().unwrap();
            status.address.as_ref().unwrap().name.as_deref() == Some("p-10-0-0-2")
        })
        .await;
    world
        .create::<ServiceAccount>(json!({"metadata": {"name": "prometheus"}}))
        .await;
    // Whoever it is: the manager asks the API server.
    let scraped = ask(port, Some(token_of(&world, "prometheus").await), "/metrics").await;
    assert_eq!(scraped.0, http::StatusCode::FORBIDDEN);
    let watches = |a: &Asked| a.path.ends_with("/leases") && a.query.contains("watch=1");
    proxy.until(|asked| asked.iter().any(watches)).await;
    first.signal("TERM");
    assert!(first.ended().await, "SIGTERM is a good end");

    world.delete::<IPAddress>("p-10-0-0-2").await;
    world.delete_and_wait::<IPAddressClaim>("second").await;
    assert_eq!(world.address_of("third").await, "10.0.0.3");
    world.delete_and_wait::<IPClaim>("first").await;
    world.delete_and_wait::<IPClaim>("third").await;
    world.delete_and_wait::<IPPool>("p").await;
    let left = world.api::<CapiIPAddress>();
    let left = left.list(&ListParams::default()).await.unwrap();
    assert!(left.items.is_empty());
    second.signal("TERM");
    assert!(second.ended().await, "SIGTERM is a good end");
    say(&assert_equal(form, &proxy.asked()));
    webhooks.delete().await;
    world.end().await;
}

/// Without a right that no request uses: what the admission plugin then refuses shows that it is on, and what the right is for.
async fn refused_without(server: &ApiServer, index: usize) {
    let unused = &UNUSED[index];
    let world = World::at(&server.config).await;
    let token = deploy(&world, Form::Namespaced, &|right| right != unused.right).await;
    let door = Door::to(&world.namespace, &server.config);
    let proxy = Proxy::start(&door.config).await;
    let kubeconfig = door.kubeconfig_to("rights", &proxy.cluster(), Some(&token));
    let _manager = Manager::start(&world, &kubeconfig, &["--leader-elect=false"]);
    world.cluster("cluster", false).await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.3"}]);
    let says = |conditions: &[Condition]| {
        let mut of_ready = conditions.iter().filter(|c| c.type_ == "Ready");
        of_ready.any(|c| c.status == "False" && c.message.contains(unused.words))
    };
    let what = format!("{:?} refused without {}", unused.on, unused.right);
    match unused.on {
        Victim::Pool => {
            let spec = json!({"clusterName": "cluster", "pools": range});
            world.pool("p", spec).await;
            let refused = |p: &IPPool| p.status.as_ref().is_some_and(|s| says(&s.conditions));
            world.until(&what, |all| all.values().any(refused)).await;
        }
        Victim::Claim => {
            world.pool("p", json!({"pools": range})).await;
            world.capi_claim("c", "p").await;
            let refused =
                |c: &IPAddressClaim| c.status.as_ref().is_some_and(|s| says(&s.conditions));
            world.until(&what, |all| all.values().any(refused)).await;
        }
    }
    world.end().await;
}

/// The webhook configurations of `deploy/webhook`, for no namespace.
struct Webhooks {
    validating: Api<ValidatingWebhookConfiguration>,
    mutating: Api<MutatingWebhookConfiguration>,
}

impl Webhooks {
    async fn create(world: &World) -> Self {
        let selector = json!({"matchLabels": {"judged": "none"}});
        let configuration = |file: &str| {
            let mut object = deployed(&format!("webhook/{file}.yaml"), &world.namespace).remove(0);
            for webhook in object["webhooks"].as_array_mut().unwrap() {
                webhook["namespaceSelector"] = selector.clone();
            }
            object
        };
        let (validating, mutating) = (
            Api::<ValidatingWebhookConfiguration>::all(world.client.clone()),
            Api::<MutatingWebhookConfiguration>::all(world.client.clone()),
        );
        let post = PostParams::default();
        let object = serde_json::from_value(configuration("validating")).unwrap();
        validating.create(&post, &object).await.unwrap();
        let object = serde_json::from_value(configuration("mutating")).unwrap();
        mutating.create(&post, &object).await.unwrap();
        Self {
            validating,
            mutating,
        }
    }

    /// Waits until every webhook trusts one authority.
    async fn are_trusted(&self) {
        let validates = until(
            self.validating.clone(),
            "every validating webhook to trust an authority",
            |all| bundle(&json!(all[VALIDATING].webhooks)).is_some(),
        );
        let validates = json!(validates.await[VALIDATING].webhooks);
        let mutates = until(
            self.mutating.clone(),
            "every mutating webhook to trust the same one",
            |all| {
                let webhooks = json!(all[MUTATING].webhooks);
                bundle(&webhooks) == bundle(&validates)
            },
        );
        mutates.await;
    }

    async fn delete(self) {
        let now = DeleteParams::default();
        self.validating.delete(VALIDATING, &now).await.unwrap();
        self.mutating.delete(MUTATING, &now).await.unwrap();
    }
}

/// How the API server is to verify the webhooks of a configuration; `None` where one has nothing.
fn bundle(webhooks: &Value) -> Option<&str> {
    let mut bundles = webhooks.as_array()?.iter();
    let first = bundles.next()?["clientConfig"]["caBundle"].as_str()?;
    let same = |w: &Value| w["clientConfig"]["caBundle"] == first;
    bundles.all(same).then_some(first)
}
