//! The harness of scenarios: a server, a namespace of it, a controller, and the basic steps. Nothing here waits for time to pass:
//! every wait is for a state of objects that a watch shows, with a deadline that only a failure reaches. More steps: `steps.rs`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Config, Resource};
use metal3_ipam::api::capi::{CapiIPAddress, Cluster, IPAddressClaim};
use metal3_ipam::api::metal3::{IPAddress, IPClaim, IPPool};
use metal3_ipam::controller::{Controller, ControllerError, LiveFacts, Settings, View};
use metal3_ipam::observe::logs;
use metal3_ipam::standalone::{self, Listening, Server};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control_plane::{self, kubeconfig_of};
use crate::lag;
use crate::webhook::closed;

/// A controller at work, and what it comes to.
type Run = JoinHandle<Result<(), ControllerError>>;

/// How long a scenario may wait for a state before it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

/// Which server a scenario runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// The standalone server, in process, one for each scenario.
    Embedded,
    /// The real control plane, one for all scenarios, a namespace for each.
    Real,
    /// A real kube-apiserver with upstream's definitions, one for all scenarios, a namespace for each.
    Upstream,
    /// The real control plane, in a namespace whose objects the API server asks the webhook about, which does not answer.
    WebhookDown,
}

/// Whose definitions of the Metal3 kinds a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definitions {
    /// With conditions and counts.
    Ours,
    /// Without.
    Upstream,
}

/// Makes tests of scenarios: each named function runs once on every kind of server.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name($crate::harness::On::Embedded).await;
                    $crate::tally::add("scenarios passed on the embedded server", 1);
                }
            )+
        }
        mod real {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    if $crate::control_plane::is_there(stringify!($name)).await {
                        super::$name($crate::harness::On::Real).await;
                        $crate::tally::add("scenarios passed on a real kube-apiserver", 1);
                    }
                }
            )+
        }
    };
}
pub(crate) use scenarios;

/// The same in four ways: [`scenarios!`], each one on a real server with the webhook down, and each one on a real server with
/// upstream's definitions, unless a reason is given why it needs a field that they do not have.
macro_rules! scenarios_with_upstream {
    ($($name:ident $(=> $why:literal)?),+ $(,)?) => {
        $crate::harness::scenarios!($($name),+);
        mod upstream {
            $($crate::harness::on_upstream!($name $(, $why)?);)+
        }
        mod webhook_down {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    if $crate::control_plane::is_there(concat!("with the webhook down: ", stringify!($name))).await {
                        super::$name($crate::harness::On::WebhookDown).await;
                        $crate::tally::add("scenarios passed with the webhook down", 1);
                    }
                }
            )+
        }
    };
}
pub(crate) use scenarios_with_upstream;

/// One scenario with upstream's definitions, or why not.
macro_rules! on_upstream {
    ($name:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            if $crate::control_plane::started().await.is_some() {
                super::$name($crate::harness::On::Upstream).await;
                $crate::tally::add("scenarios passed with upstream's definitions", 1);
            } else {
                $crate::control_plane::say(concat!(
                    "SKIPPED with upstream's definitions: ",
                    stringify!($name)
                ));
                $crate::tally::add("scenarios SKIPPED with upstream's definitions: no Go", 1);
            }
        }
    };
    ($name:ident, $why:literal) => {
        #[test]
        fn $name() {
            $crate::control_plane::say(concat!(
                "LEFT OUT with upstream's definitions: ",
                stringify!($name),
                ": ",
                $why
            ));
            $crate::tally::add("scenarios LEFT OUT with upstream's definitions", 1);
        }
    };
}
pub(crate) use on_upstream;

/// A server, a namespace of it, and a controller that can be stopped and started again.
pub(crate) struct World {
    /// A client of the server.
    pub(crate) client: Client,
    /// The client of its controllers, where it is another one.
    as_controller: Option<Client>,
    /// The namespace that the scenario plays in.
    pub(crate) namespace: String,
    /// How long it may wait for a state before it has failed.
    pub(crate) patience: Duration,
    /// What its server keeps of the objects.
    pub(crate) definitions: Definitions,
    /// What a controller shows that another world runs.
    shown: Option<View>,
    embedded: Option<(Server, tempfile::TempDir)>,
    controller: Option<(CancellationToken, Run, View)>,
    /// What the controller that was started last knows.
    facts: Option<LiveFacts>,
}

impl World {
    /// A server with the controller running on it.
    pub(crate) async fn start(on: On) -> Self {
        let mut world = Self::without_controller(on).await;
        world.start_controller();
        world
    }

    /// Somebody else's server, with somebody else's controller on it or none.
    pub(crate) fn on(client: Client) -> Self {
        Self {
            client,
            as_controller: None,
            namespace: "default".to_owned(),
            patience: DEADLINE,
            definitions: Definitions::Ours,
            shown: None,
            embedded: None,
            controller: None,
            facts: None,
        }
    }

    /// A server alone.
    pub(crate) async fn without_controller(on: On) -> Self {
        match on {
            On::Embedded => {
                let dir = tempfile::tempdir().unwrap();
                let data_dir = dir.path().to_owned();
                let server = Server::open(standalone::options(data_dir)).await.unwrap();
                Self {
                    client: server.client(),
                    as_controller: None,
                    namespace: "default".to_owned(),
                    patience: DEADLINE,
                    definitions: Definitions::Ours,
                    shown: None,
                    embedded: Some((server, dir)),
                    controller: None,
                    facts: None,
                }
            }
            On::Real => {
                let plane = control_plane::started()
                    .await
                    .expect("the macro has looked");
                Self::at(&plane.shared.config).await
            }
            On::Upstream => {
                let plane = control_plane::started()
                    .await
                    .expect("the macro has looked");
                let mut world = Self::at(&plane.upstream().await.config).await;
                world.definitions = Definitions::Upstream;
                world
            }
            On::WebhookDown => {
                let plane = control_plane::started()
                    .await
                    .expect("the macro has looked");
                let scenario = closed::client(plane).await;
                let controllers = metal3_ipam::controller::client(plane.shared.config.clone());
                Self::with_the_webhook_down(scenario, controllers.unwrap()).await
            }
        }
    }

    /// A namespace of the server that this leads to, with nothing in it.
    pub(crate) async fn at(config: &Config) -> Self {
        let client = metal3_ipam::controller::client(config.clone()).unwrap();
        Self::in_a_new_namespace(client, json!({})).await
    }

    async fn with_the_webhook_down(scenario: Client, controllers: Client) -> Self {
        let mut world = Self::in_a_new_namespace(scenario, closed::labels()).await;
        closed::is_in_force(&controllers, &world.namespace).await;
        world.as_controller = Some(controllers);
        world
    }

    /// Another namespace of this server, without a controller.
    pub(crate) async fn neighbour(&self) -> Self {
        if let Some(controllers) = &self.as_controller {
            return Self::with_the_webhook_down(self.client.clone(), controllers.clone()).await;
        }
        let mut neighbour = Self::in_a_new_namespace(self.client.clone(), json!({})).await;
        neighbour.definitions = self.definitions;
        neighbour
    }

    /// The client that a controller of this world has.
    pub(crate) fn of_controllers(&self) -> Client {
        lag::applied_to(self.as_controller.as_ref().unwrap_or(&self.client).clone())
    }

    async fn in_a_new_namespace(client: Client, labels: Value) -> Self {
        let namespace = json!({"metadata": {"generateName": "scenario-", "labels": labels}});
        let namespace = serde_json::from_value(namespace).unwrap();
        let made = Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        Self {
            client,
            as_controller: None,
            namespace: made.metadata.name.unwrap(),
            patience: DEADLINE,
            definitions: Definitions::Ours,
            shown: None,
            embedded: None,
            controller: None,
            facts: None,
        }
    }

    /// Starts the controller with its defaults.
    pub(crate) fn start_controller(&mut self) {
        self.start_controller_with(Settings::default());
    }

    /// Starts the controller with these settings; it must not be running.
    pub(crate) fn start_controller_with(&mut self, mut settings: Settings) {
        assert!(
            self.controller.is_none(),
            "the controller is running already"
        );
        if std::env::var_os("RUST_LOG").is_some() {
            // The first scenario of the process sets it up for all; `-- --nocapture` shows it.
            let _ = logs::init(logs::Format::Text, logs::Level::of_verbosity(0));
        }
        if self.embedded.is_none() {
            // Scenarios share the real server: each has a namespace and a controller that sees no other.
            settings.namespace = Some(self.namespace.clone());
        }
        let client = self.of_controllers();
        let controller = Controller::new(client.clone(), client, settings);
        let view = controller.view();
        self.facts = Some(controller.facts());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = tokio::spawn(controller.run(stopped));
        self.controller = Some((stop, run, view));
    }

    /// Stops the controller and waits for its end.
    pub(crate) async fn stop_controller(&mut self) {
        let (stop, run, _) = self.controller.take().expect("the controller is running");
        stop.cancel();
        run.await
            .expect("the controller did not panic")
            .expect("the controller ends only when it is told to");
    }

    /// Waits until the controller ends by itself, and returns what it says.
    pub(crate) async fn controller_fails(&mut self) -> String {
        let (_stop, run, _) = self.controller.take().expect("the controller is running");
        let ended = tokio::time::timeout(DEADLINE, run).await;
        let ended = ended.expect("the controller to end in time");
        let failed = ended.expect("the controller did not panic");
        failed.expect_err("it ends with an error").to_string()
    }

    /// What the running controller shows.
    pub(crate) fn view(&self) -> &View {
        let own = self.controller.as_ref().map(|(_, _, view)| view);
        own.or(self.shown.as_ref())
            .expect("the controller is running")
    }

    /// What a webhook server asks the controller that was started last.
    pub(crate) fn facts(&self) -> LiveFacts {
        self.facts.clone().expect("a controller was started")
    }

    /// The controller of this namespace is one that the scenario runs by itself.
    pub(crate) fn is_served_by(&mut self, view: View) {
        self.shown = Some(view);
    }

    /// Whether the server keeps conditions and counts of the Metal3 kinds.
    pub(crate) fn keeps_conditions(&self) -> bool {
        self.definitions == Definitions::Ours
    }

    /// Whether the claim is bound, as far as the server's definition can say so.
    pub(crate) fn is_bound(&self, claim: &IPClaim) -> bool {
        match self.definitions {
            Definitions::Ours => is_bound(claim),
            Definitions::Upstream => published(claim).is_some(),
        }
    }

    /// Stops everything.
    pub(crate) async fn end(mut self) {
        if self.controller.is_some() {
            self.stop_controller().await;
        }
        if let Some((server, _dir)) = self.embedded.take() {
            server.close().await;
            return;
        }
        if let Some(others) = &self.as_controller {
            closed::is_still_in_force(others, &self.namespace).await;
        }
        // The namespace stays. Finalizers would keep it from its end, since the controller has stopped, and the namespace controller
        // tries it again every eight seconds: a hundred of them once took most of the machine. The server ends with the run.
    }

    /// A door for programs: how to reach the server from outside of this process, open as long as the answer lives. The
    /// lease of a manager that comes through it lies in the scenario's namespace (P5).
    pub(crate) async fn door(&self) -> Door {
        let Some((server, _)) = &self.embedded else {
            let plane = control_plane::started()
                .await
                .expect("the scenario runs on it");
            let config = match self.definitions {
                Definitions::Ours => plane.shared.config.clone(),
                Definitions::Upstream => plane.upstream().await.config.clone(),
            };
            return Door::new(&self.namespace, config, control_plane::TOKEN, None);
        };
        let listening = server
            .listen((Ipv4Addr::LOCALHOST, 0).into())
            .await
            .unwrap();
        let (config, token) = door_of(server, listening.addr);
        Door::new(&self.namespace, config, &token, Some(listening))
    }

    /// The server's newest revision, or one a little older.
    pub(crate) async fn revision(&self) -> String {
        let all = ListParams::default();
        let pools = self.api::<IPPool>().list(&all).await.unwrap();
        pools.metadata.resource_version.unwrap()
    }

    /// API of a kind in the scenario's namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates an object from its JSON.
    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Serialize
            + Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// A pool `name` with these spec fields; `namePrefix` is its name unless given.
    pub(crate) async fn pool(&self, name: &str, spec: Value) -> IPPool {
        let mut whole = json!({"namePrefix": name});
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        self.create(json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": name}, "spec": whole})).await
    }

    /// An IPClaim on a pool.
    pub(crate) async fn claim(&self, name: &str, pool: &str) -> IPClaim {
        self.create(claim_json(name, pool)).await
    }

    /// An IPAddressClaim on a pool.
    pub(crate) async fn capi_claim(&self, name: &str, pool: &str) -> IPAddressClaim {
        self.create(capi_claim_json(name, pool)).await
    }

    /// Waits until the objects of a kind, by name, are as `holds` wants them.
    pub(crate) async fn until<K>(
        &self,
        what: &str,
        holds: impl Fn(&BTreeMap<String, K>) -> bool,
    ) -> BTreeMap<String, K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        until_within(self.patience, self.api(), what, holds).await
    }

    /// Waits until this IPClaim is bound, and returns the address that it has.
    pub(crate) async fn address_of(&self, claim: &str) -> String {
        let claims = self
            .until::<IPClaim>(&format!("IPClaim {claim} to be bound"), |all| {
                all.get(claim).is_some_and(|c| self.is_bound(c))
            })
            .await;
        let object = published(&claims[claim]).unwrap();
        self.api::<IPAddress>()
            .get(&object)
            .await
            .unwrap()
            .spec
            .address
            .0
    }

    /// Waits until this IPAddressClaim is bound, and returns the address that it has.
    pub(crate) async fn capi_address_of(&self, claim: &str) -> String {
        let claims = self
            .until::<IPAddressClaim>(&format!("IPAddressClaim {claim} to be bound"), |all| {
                all.get(claim).is_some_and(capi_is_bound)
            })
            .await;
        let object = claims[claim]
            .status
            .as_ref()
            .unwrap()
            .address_ref
            .as_ref()
            .unwrap()
            .name
            .clone();
        self.api::<CapiIPAddress>()
            .get(&object)
            .await
            .unwrap()
            .spec
            .address
    }

    /// Waits until this IPClaim waits for this reason, and returns the message; an empty one where the server's definition
    /// keeps none.
    pub(crate) async fn waits_for(&self, claim: &str, reason: &str) -> String {
        if !self.keeps_conditions() {
            self.counted_as_waiting(claim, reason).await;
            return String::new();
        }
        let what = format!("IPClaim {claim} to wait for {reason}");
        let waits =
            |c: &IPClaim| ready(c).is_some_and(|(status, r, _)| status == "False" && r == reason);
        let claims = self
            .until::<IPClaim>(&what, |all| all.get(claim).is_some_and(waits))
            .await;
        ready(&claims[claim]).unwrap().2
    }

    /// Deletes an object by name.
    pub(crate) async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        self.api::<K>()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Deletes an object and waits until it is gone.
    pub(crate) async fn delete_and_wait<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        self.delete::<K>(name).await;
        self.until::<K>(&format!("{} {name} to be gone", K::kind(&())), |all| {
            !all.contains_key(name)
        })
        .await;
    }

    /// A Cluster.
    pub(crate) async fn cluster(&self, name: &str, paused: bool) -> Cluster {
        self.create(json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": name}, "spec": {"paused": paused}})).await
    }
}

/// How an embedded server that listens there is reached from outside, and with which token.
pub(crate) fn door_of(server: &Server, addr: SocketAddr) -> (Config, String) {
    let file = server.write_kubeconfig(addr).unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let server = file["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let token = file["users"][0]["user"]["token"].as_str().unwrap();
    let mut config = Config::new(server.parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(token.to_owned().into());
    (config, token.to_owned())
}

/// How programs reach a scenario's server.
pub(crate) struct Door {
    /// For clients in this process.
    pub(crate) config: Config,
    /// For programs.
    pub(crate) kubeconfig: PathBuf,
    /// Where both lie.
    dir: tempfile::TempDir,
    namespace: String,
    token: String,
    _listening: Option<Listening>,
}

impl Door {
    /// A door to a real server, with the administrator's token.
    pub(crate) fn to(namespace: &str, config: &Config) -> Self {
        Self::new(namespace, config.clone(), control_plane::TOKEN, None)
    }

    fn new(namespace: &str, config: Config, token: &str, listening: Option<Listening>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let door = Self {
            kubeconfig: dir.path().join("kubeconfig"),
            config,
            dir,
            namespace: namespace.to_owned(),
            token: token.to_owned(),
            _listening: listening,
        };
        std::fs::write(&door.kubeconfig, door.text(&door.cluster(), None)).unwrap();
        door
    }

    /// The server, as a kubeconfig names it.
    pub(crate) fn cluster(&self) -> Value {
        let server = self.config.cluster_url.to_string();
        json!({"server": server, "insecure-skip-tls-verify": true})
    }

    /// A kubeconfig whose context has another namespace of the same server.
    pub(crate) fn kubeconfig_in(&self, namespace: &str, name: &str, cluster: &Value) -> PathBuf {
        let path = self.dir.path().join(name);
        let text = kubeconfig_of(cluster, &self.token, namespace);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A kubeconfig to a server before this one (a proxy), with a token of its own if one is given.
    pub(crate) fn kubeconfig_to(
        &self,
        name: &str,
        cluster: &Value,
        token: Option<&str>,
    ) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, self.text(cluster, token)).unwrap();
        path
    }

    fn text(&self, cluster: &Value, token: Option<&str>) -> String {
        let token = token.unwrap_or(&self.token);
        kubeconfig_of(cluster, token, &self.namespace)
    }
}

/// Waits until the objects of a kind, by name, are as `holds` wants them.
pub(crate) async fn until<K>(
    api: Api<K>,
    what: &str,
    holds: impl Fn(&BTreeMap<String, K>) -> bool,
) -> BTreeMap<String, K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    until_within(DEADLINE, api, what, holds).await
}

/// The same, and fails after so long.
async fn until_within<K>(
    patience: Duration,
    api: Api<K>,
    what: &str,
    holds: impl Fn(&BTreeMap<String, K>) -> bool,
) -> BTreeMap<String, K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut now = BTreeMap::new();
    let waited = tokio::time::timeout(patience, async {
        loop {
            let listed = api.list(&ListParams::default()).await.unwrap();
            let from = listed.metadata.resource_version.clone().unwrap();
            now = listed
                .items
                .into_iter()
                .map(|k| (k.meta().name.clone().unwrap(), k))
                .collect();
            if holds(&now) {
                return;
            }
            let mut stream = api
                .watch(&WatchParams::default(), &from)
                .await
                .unwrap()
                .boxed();
            while let Ok(Some(event)) = stream.try_next().await {
                match event {
                    WatchEvent::Added(k) | WatchEvent::Modified(k) => {
                        now.insert(k.meta().name.clone().unwrap(), k)
                    }
                    WatchEvent::Deleted(k) => now.remove(k.meta().name.as_deref().unwrap()),
                    WatchEvent::Bookmark(_) => None,
                    WatchEvent::Error(_) => break,
                };
                if holds(&now) {
                    return;
                }
            }
        }
    })
    .await;
    assert!(
        waited.is_ok(),
        "waited {patience:?} for {what}; there are {}:\n{}",
        now.len(),
        now.values().map(in_one_line).collect::<Vec<_>>().join("\n")
    );
    now
}

/// An object as a failed wait shows it, without what has no value and its managedFields.
fn in_one_line(object: &impl Debug) -> String {
    let text = format!("{object:?}");
    let (before, rest) = text
        .split_once("managed_fields: Some(")
        .unwrap_or((&text, ""));
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    let after = end.map_or("", |end| &rest[end + 1..]);
    let fields = format!("{before}{after}");
    let fields = fields
        .split(", ")
        .filter(|field| !field.ends_with(": None"));
    fields.collect::<Vec<_>>().join(", ")
}

/// JSON of an IPClaim.
pub(crate) fn claim_json(name: &str, pool: &str) -> Value {
    json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPClaim", "metadata": {"name": name}, "spec": {"pool": {"name": pool}}})
}

/// JSON of an IPAddressClaim.
pub(crate) fn capi_claim_json(name: &str, pool: &str) -> Value {
    json!({"apiVersion": "ipam.cluster.x-k8s.io/v1beta2", "kind": "IPAddressClaim", "metadata": {"name": name},
        "spec": {"poolRef": {"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pool}}})
}

/// Status, reason and message of a claim's Ready condition.
pub(crate) fn ready(claim: &IPClaim) -> Option<(String, String, String)> {
    let condition = claim
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|c| c.type_ == "Ready")?;
    Some((
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    ))
}

/// Name of the address object in an IPClaim's status.
pub(crate) fn published(claim: &IPClaim) -> Option<String> {
    claim.status.as_ref()?.address.as_ref()?.name.clone()
}

/// Bound, and said so.
pub(crate) fn is_bound(claim: &IPClaim) -> bool {
    published(claim).is_some()
        && ready(claim)
            .is_some_and(|(status, reason, _)| status == "True" && reason == "AddressAllocated")
}

/// Bound, and said so.
pub(crate) fn capi_is_bound(claim: &IPAddressClaim) -> bool {
    claim.status.as_ref().is_some_and(|s| {
        s.address_ref.is_some()
            && s.conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True" && c.reason == "AddressAllocated")
    })
}
