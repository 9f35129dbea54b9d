//! The scenarios of allocation, release, pause and move with the webhook down: the configurations of `deploy/webhook` are in
//! place and name a port that is closed. Claims are bound and released all the same. New pools and changed specs
//! are refused then, so the scenario itself acts as a member of [`GROUP`], which one more condition lets write pools; the
//! controller acts as any other user does.

use std::net::Ipv4Addr;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::api::{Api, PostParams};
use metal3_ipam::api::metal3::IPPool;
use metal3_ipam::controller;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::OnceCell;

use super::{Serving, deployed, lead_to, until};
use crate::control_plane::ControlPlane;

/// Members write pools without an answer of the webhook.
const GROUP: &str = "scenarios-of-a-closed-webhook";
/// Namespaces with this label have the webhook down.
const LABEL: (&str, &str) = ("tests.metal3-ipam/webhook", "down");
const NAME: &str = "webhook-down";
const OF_POOLS: &str = "validation.ippool.ipam.metal3.io";

/// Labels of a scenario's namespace.
pub(crate) fn labels() -> Value {
    json!({LABEL.0: LABEL.1})
}

/// A client of the scenario itself. Registers the configurations when it is the first.
pub(crate) async fn client(plane: &ControlPlane) -> Client {
    /// Bound and not listening: every connection is refused, and no other process gets the port.
    static PORT: OnceCell<TcpSocket> = OnceCell::const_new();
    let config = plane.shared.config.clone();
    let register = async || {
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let client = controller::client(config.clone()).unwrap();
        register(&client, &closed).await;
        closed
    };
    PORT.get_or_init(register).await;
    let mut config = config.clone();
    config.auth_info.impersonate = Some("scenario".to_owned());
    let groups = ["system:masters", GROUP].map(str::to_owned);
    config.auth_info.impersonate_groups = Some(groups.into());
    controller::client(config).unwrap()
}

async fn register(client: &Client, closed: &TcpSocket) {
    let (addr, ca) = (closed.local_addr().unwrap(), Serving::authority());
    let selector = json!({"matchLabels": labels()});
    let mut by_kind = deployed();
    for configuration in by_kind.values_mut() {
        lead_to(configuration, NAME, (addr, &ca), &selector);
    }
    let mut validating = by_kind.remove("ValidatingWebhookConfiguration").unwrap();
    let webhooks = validating["webhooks"].as_array_mut().unwrap();
    let mut of_pools = webhooks.iter_mut().filter(|w| w["name"] == OF_POOLS);
    let conditions = of_pools.next().unwrap()["matchConditions"].as_array_mut();
    conditions.unwrap().push(json!({
        "name": "not-by-the-scenario",
        "expression": format!("!(\"{GROUP}\" in request.userInfo.groups)"),
    }));
    let mutating = by_kind.remove("MutatingWebhookConfiguration").unwrap();
    let post = PostParams::default();
    let validating: ValidatingWebhookConfiguration = serde_json::from_value(validating).unwrap();
    let api = Api::all(client.clone());
    api.create(&post, &validating).await.unwrap();
    let mutating: MutatingWebhookConfiguration = serde_json::from_value(mutating).unwrap();
    let api = Api::all(client.clone());
    api.create(&post, &mutating).await.unwrap();
}

/// Whether a new pool of any other user is refused because the webhook does not answer.
async fn is_refused(client: &Client, namespace: &str) -> bool {
    let pool = json!({"metadata": {"name": "of-another-user"},
        "spec": {"namePrefix": "p", "pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}});
    let pool: IPPool = serde_json::from_value(pool).unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let pools = Api::<IPPool>::namespaced(client.clone(), namespace);
    match pools.create(&dry, &pool).await {
        Ok(_) => false,
        Err(kube::Error::Api(status)) => {
            let says = format!("failed calling webhook \"{OF_POOLS}\"");
            let message = status.message;
            assert!(status.code == 500 && message.contains(&says), "{message}");
            true
        }
        Err(error) => panic!("no answer of the API server: {error}"),
    }
}

/// Waits until the configurations are in force for a namespace.
pub(crate) async fn is_in_force(client: &Client, namespace: &str) {
    let refused = async || is_refused(client, namespace).await;
    until("the webhook to be asked and not to answer", refused).await;
}

/// Fails where the configurations are in force no more.
pub(crate) async fn is_still_in_force(client: &Client, namespace: &str) {
    assert!(
        is_refused(client, namespace).await,
        "the webhook is asked and does not answer, to the end of the scenario"
    );
}
