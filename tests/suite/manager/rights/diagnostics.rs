//! The diagnostics endpoint asks the API server who may read it (U5).

use http::StatusCode;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::DeleteParams;
use kube::{Api, Client, Config};
use serde_json::json;

use super::deploy::{Form, bind, create_cluster_wide, deploy, token_of};
use crate::control_plane::{free_port, is_there};
use crate::harness::{On, World};
use crate::manager::Manager;
use crate::tally;

/// Asks a manager's diagnostics server, and returns what it answers.
pub(super) async fn ask(port: u16, token: Option<String>, path: &str) -> (StatusCode, String) {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info.token = token.map(Into::into);
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
}

#[tokio::test(flavor = "multi_thread")]
async fn u5_only_users_that_the_api_server_allows_read_the_metrics() {
    if !is_there("u5_only_users_that_the_api_server_allows_read_the_metrics").await {
        return;
    }
    let world = World::without_controller(On::Real).await;
    let token = deploy(&world, Form::Namespaced, &|_| true).await;
    let roles = create_cluster_wide(&world, "diagnostics", &|_| true).await;
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
        let token = match account {
            Some(account) => Some(token_of(&world, account).await),
            None => None,
        };
        ask(port, token, path).await
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
        "metal3_ipam_pool_available_addresses{{pool_namespace=\"{}\",pool=\"p\"}} 2\n",
        world.namespace
    );
    assert!(text.contains(&series), "{text}");

    manager.signal("TERM");
    assert!(manager.ended().await, "SIGTERM is a good end");
    let bindings = Api::<ClusterRoleBinding>::all(world.client.clone());
    for name in [
        format!("{reader}-of-prometheus"),
        format!("{}-ipam-diagnostics-review-rolebinding", world.namespace),
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
