//! Certificates that the webhook servers make themselves: three replicas, one Secret, and edits of it by users.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use metal3_ipam::observe::metrics::{self, Metrics, PoolMetrics, Sight};
use metal3_ipam::webhook::{Certificates, Keeper, Own, Scope, Source, Times, TlsOptions, Webhook};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{At, Judged, Registered, Serving, judged, until};
use crate::control_plane::is_there;
use crate::harness::{DEADLINE, On, World, scenarios};
use crate::tally;

scenarios! {
    s6_three_replicas_share_one_authority_and_heal_their_secret,
}

const SECRET: &str = "webhook-own-certificate";

/// Webhook servers that keep one Secret; the first of them leads.
struct Replicas {
    servers: Vec<(SocketAddr, Arc<Certificates>)>,
    metrics: Arc<Metrics>,
    _stop: DropGuard,
}

/// The objects of a world's replicas, with this Secret.
fn own(world: &World, secret: &str) -> Own {
    let name = format!("webhook-{}", world.namespace);
    Own {
        namespace: world.namespace.clone(),
        secret: secret.to_owned(),
        validating: name.clone(),
        mutating: name,
        names: vec!["127.0.0.1".to_owned()],
    }
}

/// The steps of an exchange follow each other in a second.
fn quick() -> Times {
    Times {
        look: Duration::from_millis(50),
        trusted: Duration::from_secs(1),
        served: Duration::from_secs(1),
    }
}

/// Looks often, and however slow the machine is a replica stays sure of what it knows.
fn without_exchange() -> Times {
    Times {
        trusted: DEADLINE,
        served: DEADLINE,
        ..quick()
    }
}

impl Replicas {
    async fn start(world: &World, times: Times) -> Self {
        let stop = CancellationToken::new();
        let (mut servers, metrics) = (Vec::new(), world.view().metrics());
        for replica in 0..3 {
            let certificates = Arc::new(Certificates::new(
                Source::Given,
                TlsOptions::default(),
                Arc::default(),
            ));
            assert!(certificates.ready().is_err(), "nothing is made yet");
            let webhook = Webhook::bind((Ipv4Addr::LOCALHOST, 0).into())
                .await
                .unwrap();
            servers.push((webhook.addr(), Arc::clone(&certificates)));
            let own = own(world, SECRET);
            let keeper = Keeper::new(
                world.client.clone(),
                own,
                Arc::clone(&certificates),
                Arc::clone(&metrics),
                move || replica == 0,
            );
            tokio::spawn(keeper.with_times(times).run(stop.clone()));
            let facts = Arc::new(world.facts());
            tokio::spawn(webhook.serve(
                certificates,
                facts,
                Scope::default(),
                Arc::clone(&metrics),
                stop.clone(),
            ));
        }
        Self {
            servers,
            metrics,
            _stop: stop.drop_guard(),
        }
    }

    /// How often one of them put the Secret right, for this reason.
    fn repairs(&self, reason: &str) -> u64 {
        let registry = prometheus::Registry::new();
        let look = Box::new(Sight::default);
        metrics::register(&registry, &self.metrics, look, PoolMetrics::Off).unwrap();
        let text = String::from_utf8(metrics::text(&registry).unwrap()).unwrap();
        let series = format!("metal3_ipam_webhook_secret_repairs_total{{reason=\"{reason}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap().parse().unwrap()
    }

    /// Whether every replica serves what these authorities trust.
    async fn are_trusted_by(&self, bundle: &[u8]) -> bool {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(bundle) {
            roots.add(authority.unwrap()).unwrap();
        }
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        for (addr, _) in &self.servers {
            let stream = TcpStream::connect(addr).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            if tls.connect(name, stream).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// The Secret of another installation whose webhook has the same names: whole, and its parts belong together.
async fn of_another_installation(world: &World) -> Secret {
    const ANOTHER: &str = "another-installation";
    let certificates = Arc::new(Certificates::new(
        Source::Given,
        TlsOptions::default(),
        Arc::default(),
    ));
    let own = own(world, ANOTHER);
    let keeper = Keeper::new(
        world.client.clone(),
        own,
        Arc::clone(&certificates),
        Arc::new(Metrics::new()),
        || false,
    );
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.with_times(quick()).run(stop.clone()));
    until("another installation's certificate", async || {
        certificates.ready().is_ok()
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    world.get::<Secret>(ANOTHER).await
}

/// Puts what one Secret holds into the Secret of the replicas.
async fn replace_with(world: &World, whole: &Secret) {
    let changes =
        json!({"data": whole.data, "metadata": {"annotations": whole.metadata.annotations}});
    let _: Secret = world.patch(SECRET, changes).await;
}

async fn stored(world: &World) -> Option<Secret> {
    world.api::<Secret>().get_opt(SECRET).await.unwrap()
}

fn data(secret: &Secret, key: &str) -> Vec<u8> {
    let data = secret.data.as_ref();
    let bytes = data.and_then(|data| Some(data.get(key)?.0.clone()));
    bytes.unwrap_or_default()
}

async fn s6_three_replicas_share_one_authority_and_heal_their_secret(on: On) {
    let world = World::start(on).await;
    let replicas = Replicas::start(&world, without_exchange()).await;
    let ready = || {
        replicas
            .servers
            .iter()
            .all(|(_, certificates)| certificates.ready().is_ok())
    };
    until("every replica to have a certificate", async || ready()).await;
    let made = stored(&world).await.unwrap();
    let bundle = data(&made, "ca.crt");
    assert_eq!(
        CertificateDer::pem_slice_iter(&bundle).count(),
        1,
        "one authority"
    );
    assert!(replicas.are_trusted_by(&bundle).await, "by every replica");

    let secrets = world.api::<Secret>();
    let healed = async |what: &str| {
        until(&format!("the Secret to be put right: {what}"), async || {
            let now = stored(&world).await;
            now.is_some_and(|now| now.data == made.data)
        })
        .await;
        assert!(replicas.are_trusted_by(&bundle).await, "{what}");
    };
    world.delete::<Secret>(SECRET).await;
    healed("deleted").await;
    let _: Secret = world.patch(SECRET, json!({"data": null})).await;
    healed("emptied").await;
    for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        // Another replica may be putting it right at the same moment.
        let mut forged = stored(&world).await.unwrap();
        let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let value = if key.ends_with("crt") {
            stranger.cert.pem()
        } else {
            stranger.signing_key.serialize_pem()
        };
        let value = ByteString(value.into_bytes());
        forged.data.as_mut().unwrap().insert(key.to_owned(), value);
        secrets
            .replace(SECRET, &kube::api::PostParams::default(), &forged)
            .await
            .unwrap();
        healed(key).await;
    }
    replace_with(&world, &of_another_installation(&world).await).await;
    healed("another installation's").await;
    let repairs = |reason: &str| replicas.repairs(reason);
    assert!(repairs("missing") >= 1 && repairs("damaged") >= 5);
    assert!(repairs("foreign") >= 1);
    drop(replicas);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_exchanged_while_a_kube_apiserver_goes_on_trusting_every_replica() {
    if !is_there("an_authority_is_exchanged_while_a_kube_apiserver_goes_on_trusting_every_replica")
        .await
    {
        return;
    }
    let world = World::start(On::Real).await;
    let replicas = Replicas::start(&world, quick()).await;
    until("every replica to have a certificate", async || {
        replicas
            .servers
            .iter()
            .all(|(_, certificates)| certificates.ready().is_ok())
    })
    .await;
    // A caBundle that trusts nobody, until the leader puts it right.
    let files: Vec<_> = super::deployed().into_values().collect();
    let (addr, stranger) = (replicas.servers[1].0, Serving::authority());
    let registered = Registered::apply(&world, files, (addr, &stranger), At::Work).await;
    let configurations = Api::<ValidatingWebhookConfiguration>::all(world.client.clone());
    let bundle_in_force = async || -> Vec<u8> {
        let configuration = configurations.get(&registered.name).await.unwrap();
        let bundles = configuration.webhooks.unwrap_or_default();
        bundles[0].client_config.ca_bundle.clone().unwrap().0
    };
    let first = bundle_in_force().await;
    // As when its time has come.
    let annotation =
        json!({"metadata": {"annotations": {"ipam.metal3.io/authority-renew-after": null}}});
    let _: Secret = world.patch(SECRET, annotation).await;
    let (most, reviews) = (AtomicU64::new(0), AtomicU64::new(0));
    until("the old authority to be gone", async || {
        let bundle = bundle_in_force().await;
        assert!(
            replicas.are_trusted_by(&bundle).await,
            "what the configuration says trusts every replica"
        );
        assert_eq!(judged(&world).await, Judged::Warned);
        reviews.fetch_add(1, Ordering::Relaxed);
        let authorities = CertificateDer::pem_slice_iter(&bundle).count();
        most.fetch_max(authorities as u64, Ordering::Relaxed);
        authorities == 1 && bundle != first
    })
    .await;
    assert_eq!(most.into_inner(), 2, "both were trusted for a while");
    assert!(reviews.into_inner() > 5);

    // What another installation's Secret holds is put right and never trusted.
    let version = async || {
        let configuration = configurations.get(&registered.name).await.unwrap();
        configuration.metadata.resource_version
    };
    let (kept, written) = (stored(&world).await.unwrap().data, version().await);
    replace_with(&world, &of_another_installation(&world).await).await;
    until("the Secret to be put right", async || {
        stored(&world).await.is_some_and(|now| now.data == kept)
    })
    .await;
    assert_eq!(judged(&world).await, Judged::Warned);
    assert_eq!(version().await, written, "the configuration is not written");
    drop(replicas);
    registered.remove().await;
    world.end().await;
    tally::add("scenarios passed on a real kube-apiserver", 1);
}
