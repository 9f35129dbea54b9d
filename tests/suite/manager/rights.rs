//! The manager with nothing but the rights that `deploy/rbac` gives: nothing that it asks is refused (P4, P5).

use std::path::Path;

use http::StatusCode;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use super::Manager;
use crate::proxy::{Asked, Proxy};
use crate::real::{control_plane, free_port, say};
use crate::tally;
use crate::world::{On, World, until};

/// The objects of a file under `deploy/rbac`, in this namespace.
fn deployed(file: &str, namespace: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/rbac")
        .join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("namespace: system", &format!("namespace: {namespace}"));
    serde_saphyr::from_multiple(&text).unwrap()
}

/// Creates what the files hold, and returns a token of the manager's service account.
async fn deploy(world: &World) -> String {
    for file in [
        "common/service_account.yaml",
        "common/leader_election_role.yaml",
        "common/leader_election_role_binding.yaml",
        "namespaced/role.yaml",
        "namespaced/role_binding.yaml",
    ] {
        for object in deployed(file, &world.namespace) {
            match object["kind"].as_str().unwrap() {
                "ServiceAccount" => _ = world.create::<ServiceAccount>(object).await,
                "Role" => _ = world.create::<Role>(object).await,
                "RoleBinding" => _ = world.create::<RoleBinding>(object).await,
                other => panic!("{file} holds a {other}"),
            }
        }
    }
    token_of(world, "manager").await
}

/// Creates what the files of a folder hold that is of no namespace, under names that no other run has. Returns the names of
/// the roles.
async fn deploy_cluster_wide(world: &World, folder: &str, files: &[&str]) -> Vec<String> {
    let own = |name: &str| format!("{}-{name}", world.namespace);
    let mut roles = Vec::new();
    for file in files {
        for mut object in deployed(&format!("{folder}/{file}.yaml"), &world.namespace) {
            let name = own(object["metadata"]["name"].as_str().unwrap());
            object["metadata"]["name"] = json!(name);
            match object["kind"].as_str().unwrap() {
                "ClusterRole" => {
                    let api = Api::<ClusterRole>::all(world.client.clone());
                    let role = serde_json::from_value(object).unwrap();
                    api.create(&PostParams::default(), &role).await.unwrap();
                    roles.push(name);
                }
                "ClusterRoleBinding" => {
                    object["roleRef"]["name"] =
                        json!(own(object["roleRef"]["name"].as_str().unwrap()));
                    bind(world, object).await;
                }
                other => panic!("{file} holds a {other}"),
            }
        }
    }
    roles
}

async fn bind(world: &World, binding: Value) {
    let api = Api::<ClusterRoleBinding>::all(world.client.clone());
    let binding = serde_json::from_value(binding).unwrap();
    api.create(&PostParams::default(), &binding).await.unwrap();
}

/// A token of a service account in the scenario's namespace.
async fn token_of(world: &World, account: &str) -> String {
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/{account}/token",
        world.namespace
    );
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&asked).unwrap())
        .unwrap();
    let made: TokenRequest = world.client.request(request).await.unwrap();
    made.status.unwrap().token.unwrap()
}

fn assert_none_refused(asked: &[Asked]) {
    let is_refused = |a: &&Asked| {
        matches!(
            a.status,
            Some(StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED)
        )
    };
    let refused: Vec<_> = asked.iter().filter(is_refused).collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
}

#[test]
fn the_role_of_one_namespace_has_the_rules_of_the_role_of_all() {
    let rules = |file: &str| deployed(file, "n")[0]["rules"].clone();
    assert_eq!(
        rules("cluster/role.yaml"),
        rules("namespaced/role.yaml"),
        "deploy/rbac/cluster/role.yaml and deploy/rbac/namespaced/role.yaml are one set of rules in two files"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_p5_with_the_roles_in_deploy_nothing_is_refused() {
    if control_plane().await.is_none() {
        say("SKIPPED on a real server: p4_p5_with_the_roles_in_deploy_nothing_is_refused");
        tally::add("scenarios SKIPPED on a real kube-apiserver: no Go", 1);
        return;
    }
    let world = World::without_controller(On::Real).await;
    let token = deploy(&world).await;
    let door = world.door().await;
    let proxy = Proxy::start(&door.config).await;
    let kubeconfig = door.kubeconfig_to("rights", &proxy.cluster(), Some(&token));
    let manager = Manager::start(&world, &kubeconfig, &[]);

    // Everything that it does: a pool that gets its Cluster as an owner, both kinds of claims, exhaustion and relief, a name
    // that someone took, a status that someone forged, an address object deleted by hand, release, the end of the pool.
    world.cluster("cluster", false).await;
    world
        .create::<IPAddress>(json!({"metadata": {"name": "p-10-0-0-1"},
            "spec": {"address": "10.9.9.9", "pool": {"name": "other"}, "claim": {"name": "nobody"}}}))
        .await;
    let range = json!([{"start": "10.0.0.1", "end": "10.0.0.3"}]);
    world
        .pool("p", json!({"clusterName": "cluster", "pools": range}))
        .await;
    let first = world.claim("first", "p").await;
    assert_eq!(world.address_of("first").await, "10.0.0.2");
    world.capi_claim("second", "p").await;
    assert_eq!(world.capi_address_of("second").await, "10.0.0.3");
    world.claim("third", "p").await;
    world.waits_for("third", "PoolExhausted").await;
    let forged =
        json!({"status": {"address": {"name": "elsewhere", "namespace": world.namespace}}});
    world
        .api::<IPClaim>()
        .patch_status("first", &PatchParams::default(), &Patch::Merge(forged))
        .await
        .unwrap();
    world
        .until::<IPClaim>("the forged status corrected", |all| {
            let status = all["first"].status.as_ref().unwrap();
            status.address.as_ref().unwrap().name.as_deref() == Some("p-10-0-0-2")
        })
        .await;
    world.delete::<IPAddress>("p-10-0-0-2").await;
    world.delete_and_wait::<IPAddressClaim>("second").await;
    assert_eq!(world.address_of("third").await, "10.0.0.3");
    world.delete_and_wait::<IPClaim>("first").await;
    world.delete_and_wait::<IPClaim>("third").await;
    world.delete_and_wait::<IPPool>("p").await;
    assert_eq!(first.metadata.namespace.as_ref(), Some(&world.namespace));
    manager.signal("TERM");
    assert!(manager.ended().await, "SIGTERM is a good end");

    let asked = proxy.asked();
    assert_none_refused(&asked);
    let mut used: Vec<_> = asked.iter().filter_map(Asked::right).collect();
    used.sort();
    used.dedup();
    say(&format!(
        "Real: with the roles in deploy/rbac 0 of {} requests were refused; {} rights were used",
        asked.len(),
        used.len()
    ));
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

/// How the API server is to verify the webhooks of a configuration; `None` where one has nothing.
fn bundle(webhooks: &Value) -> Option<&str> {
    let mut bundles = webhooks.as_array()?.iter();
    let first = bundles.next()?["clientConfig"]["caBundle"].as_str()?;
    let same = |w: &Value| w["clientConfig"]["caBundle"] == first;
    bundles.all(same).then_some(first)
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_with_the_roles_in_deploy_the_manager_keeps_the_webhooks_certificate() {
    if control_plane().await.is_none() {
        say(
            "SKIPPED on a real server: p4_with_the_roles_in_deploy_the_manager_keeps_the_webhooks_certificate",
        );
        tally::add("scenarios SKIPPED on a real kube-apiserver: no Go", 1);
        return;
    }
    let world = World::without_controller(On::Real).await;
    let token = deploy(&world).await;
    for file in ["secret_role", "secret_role_binding"] {
        let file = format!("webhook-self-signed/{file}.yaml");
        for object in deployed(&file, &world.namespace) {
            match object["kind"].as_str().unwrap() {
                "Role" => _ = world.create::<Role>(object).await,
                "RoleBinding" => _ = world.create::<RoleBinding>(object).await,
                other => panic!("{file} holds a {other}"),
            }
        }
    }
    let files = ["configurations_role", "configurations_role_binding"];
    let roles = deploy_cluster_wide(&world, "webhook-self-signed", &files).await;
    // Under the very names that the roles give rights to; for this namespace only.
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": world.namespace}});
    let configuration = |file: &str| {
        let mut object = deployed(&format!("../webhook/{file}.yaml"), &world.namespace).remove(0);
        for webhook in object["webhooks"].as_array_mut().unwrap() {
            webhook["namespaceSelector"] = selector.clone();
        }
        object
    };
    let validating = Api::<ValidatingWebhookConfiguration>::all(world.client.clone());
    let object = serde_json::from_value(configuration("validating")).unwrap();
    let post = PostParams::default();
    validating.create(&post, &object).await.unwrap();
    let mutating = Api::<MutatingWebhookConfiguration>::all(world.client.clone());
    let object = serde_json::from_value(configuration("mutating")).unwrap();
    mutating.create(&post, &object).await.unwrap();

    let door = world.door().await;
    let proxy = Proxy::start(&door.config).await;
    let kubeconfig = door.kubeconfig_to("rights", &proxy.cluster(), Some(&token));
    let flags = ["--webhook-self-signed", "--webhook-port=127.0.0.1:0"];
    let manager = Manager::start(&world, &kubeconfig, &flags);
    world
        .until::<Secret>("the Secret of the webhook", |all| {
            all.contains_key("webhook-own-certificate")
        })
        .await;
    let trusted = |webhooks: &Value| bundle(webhooks).map(str::to_owned);
    let validates = until::<ValidatingWebhookConfiguration>(
        validating.clone(),
        "every webhook to trust an authority",
        |all| trusted(&json!(all["validating-webhook-configuration"].webhooks)).is_some(),
    );
    let validates = json!(validates.await["validating-webhook-configuration"].webhooks);
    let mutates = until::<MutatingWebhookConfiguration>(
        mutating.clone(),
        "every webhook to trust the same one",
        |all| {
            let webhooks = json!(all["mutating-webhook-configuration"].webhooks);
            trusted(&webhooks) == trusted(&validates)
        },
    );
    mutates.await;
    manager.signal("TERM");
    assert!(manager.ended().await, "SIGTERM is a good end");
    assert_none_refused(&proxy.asked());

    let now = DeleteParams::default();
    let name = "validating-webhook-configuration";
    validating.delete(name, &now).await.unwrap();
    let name = "mutating-webhook-configuration";
    mutating.delete(name, &now).await.unwrap();
    let bindings = Api::<ClusterRoleBinding>::all(world.client.clone());
    let binding = format!("{}-webhook-configurations-rolebinding", world.namespace);
    bindings.delete(&binding, &now).await.unwrap();
    for role in roles {
        let api = Api::<ClusterRole>::all(world.client.clone());
        api.delete(&role, &now).await.unwrap();
    }
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn u5_the_metrics_are_for_whom_the_api_server_allows() {
    if control_plane().await.is_none() {
        say("SKIPPED on a real server: u5_the_metrics_are_for_whom_the_api_server_allows");
        tally::add("scenarios SKIPPED on a real kube-apiserver: no Go", 1);
        return;
    }
    let world = World::without_controller(On::Real).await;
    let token = deploy(&world).await;
    let files = ["review_role", "review_role_binding", "reader_role"];
    let roles = deploy_cluster_wide(&world, "diagnostics", &files).await;
    let reader = roles
        .iter()
        .find(|r| r.ends_with("metrics-reader"))
        .unwrap();
    for account in ["prometheus", "stranger"] {
        let object = json!({"metadata": {"name": account}});
        world.create::<ServiceAccount>(object).await;
    }
    let binding = json!({
        "metadata": {"name": format!("{reader}-of-prometheus")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": reader},
        "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": world.namespace}],
    });
    bind(&world, binding).await;

    let door = world.door().await;
    let cluster =
        json!({"server": door.config.cluster_url.to_string(), "insecure-skip-tls-verify": true});
    let kubeconfig = door.kubeconfig_to("rights", &cluster, Some(&token));
    let port = free_port();
    let address = format!("--diagnostics-address=127.0.0.1:{port}");
    let manager = Manager::start(&world, &kubeconfig, &[&address]);
    world
        .pool(
            "p",
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.3"}]}),
        )
        .await;
    world.claim("first", "p").await;
    world.address_of("first").await;

    let ask = async |account: Option<&str>, path: &str| {
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
        config.accept_invalid_certs = true;
        if let Some(account) = account {
            config.auth_info.token = Some(token_of(&world, account).await.into());
        }
        let client = Client::try_from(config).unwrap();
        let request = http::Request::get(path)
            .body(kube::client::Body::empty())
            .unwrap();
        let answer = client.send(request).await.unwrap();
        let status = answer.status();
        let body = http_body_util::BodyExt::collect(answer.into_body())
            .await
            .unwrap();
        (status, String::from_utf8(body.to_bytes().to_vec()).unwrap())
    };
    assert_eq!(ask(None, "/metrics").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        ask(Some("stranger"), "/metrics").await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        ask(Some("prometheus"), "/debug/flags/v").await.0,
        StatusCode::FORBIDDEN
    );
    let (status, text) = ask(Some("prometheus"), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let series = format!(
        "metal3_ipam_pool_available_addresses{{namespace=\"{}\",pool=\"p\"}} 2\n",
        world.namespace
    );
    assert!(text.contains(&series), "{text}");

    manager.signal("TERM");
    assert!(manager.ended().await, "SIGTERM is a good end");
    let bindings = Api::<ClusterRoleBinding>::all(world.client.clone());
    for name in [
        format!("{reader}-of-prometheus"),
        format!("{}-diagnostics-review-rolebinding", world.namespace),
    ] {
        bindings
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
    }
    for role in roles {
        let api = Api::<ClusterRole>::all(world.client.clone());
        api.delete(&role, &DeleteParams::default()).await.unwrap();
    }
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
