//! The manager with nothing but the rights that `deploy/rbac` gives: nothing that it asks is refused (P4, P5).

use std::path::Path;

use http::StatusCode;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use metal3_ipam::api::capi::IPAddressClaim;
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use serde_json::{Value, json};

use super::Manager;
use crate::proxy::Proxy;
use crate::real::{control_plane, free_port, say};
use crate::tally;
use crate::world::{On, World};

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

/// Creates what the files hold that is of no namespace, under names that no other run has. Returns the names of the roles.
async fn deploy_diagnostics(world: &World) -> Vec<String> {
    let own = |name: &str| format!("{}-{name}", world.namespace);
    let mut roles = Vec::new();
    for file in ["review_role", "review_role_binding", "reader_role"] {
        for mut object in deployed(&format!("diagnostics/{file}.yaml"), &world.namespace) {
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
    let refused: Vec<_> = asked
        .iter()
        .filter(|a| {
            matches!(
                a.status,
                Some(StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED)
            )
        })
        .collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
    let mut used: Vec<_> = asked
        .iter()
        .filter_map(crate::proxy::Asked::right)
        .collect();
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

#[tokio::test(flavor = "multi_thread")]
async fn u5_the_metrics_are_for_whom_the_api_server_allows() {
    if control_plane().await.is_none() {
        say("SKIPPED on a real server: u5_the_metrics_are_for_whom_the_api_server_allows");
        tally::add("scenarios SKIPPED on a real kube-apiserver: no Go", 1);
        return;
    }
    let world = World::without_controller(On::Real).await;
    let token = deploy(&world).await;
    let roles = deploy_diagnostics(&world).await;
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
            .delete(&name, &kube::api::DeleteParams::default())
            .await
            .unwrap();
    }
    for role in roles {
        let api = Api::<ClusterRole>::all(world.client.clone());
        api.delete(&role, &kube::api::DeleteParams::default())
            .await
            .unwrap();
    }
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
