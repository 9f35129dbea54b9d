//! Settings of a run of the controller.

use std::sync::Arc;
use std::time::Duration;

use crate::api::names;
use crate::observe::metrics::Metrics;
use crate::pool::Config;

use super::clock::Clock;

/// Settings of one run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Look at this namespace only, with a Role (`--namespace`, P4); all of them otherwise.
    pub namespace: Option<String>,
    /// Act only on objects with this value of the label `cluster.x-k8s.io/watch-filter` (P4).
    pub watch_filter: Option<String>,
    /// Requests in flight over all pools.
    pub in_flight: usize,
    /// Most requests a second, when someone asks for a limit.
    pub rate: Option<Rate>,
    /// What every pool is built with. Its seed is that of everything random here; its share of the requests is set by
    /// [`Self::in_flight`].
    pub pool: Config,
    /// Leader election; without it this process acts at once.
    pub lease: Option<LeaseSettings>,
    /// Time between two looks for a kind that the server does not have. One small GET each; in a cluster without Cluster API
    /// that is three in this time, and when it is installed its claims wait this long at most.
    pub discovery_interval: Duration,
    /// Before an address object is created a kind that the server does not have is looked for anew, unless that was done no longer
    /// ago than this: objects that hold addresses may come with it (A3). While claims are served in a cluster without Cluster API
    /// these are three GETs in this time, one for each kind that is absent.
    pub absence_age: Duration,
    /// Time that answers in flight are waited for at the end of the run.
    pub drain: Duration,
    /// The clock of the run; the system's when there is none.
    pub clock: Option<Clock>,
    /// Where the run counts what it does.
    pub metrics: Arc<Metrics>,
    /// Whether Events are written (U4), and which.
    pub events: Events,
}

/// Which Events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Events {
    /// None.
    #[default]
    Off,
    /// Of pools, and of claims for which somebody has to change something.
    Usual,
    /// Also of every claim that gets, loses or waits for an address (`--claim-events`).
    EveryClaim,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: None,
            watch_filter: None,
            in_flight: 64,
            rate: None,
            pool: Config::default(),
            lease: None,
            discovery_interval: Duration::from_secs(5),
            absence_age: Duration::from_millis(250),
            drain: Duration::from_secs(5),
            clock: None,
            metrics: Arc::default(),
            events: Events::Off,
        }
    }
}

/// `--kube-api-qps` and `--kube-api-burst`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests a second, on average.
    pub qps: f32,
    /// Requests at once after a quiet time.
    pub burst: u32,
}

/// Leader election by a Lease, with client-go's protocol, so that upstream's manager and this one exclude each other (P5).
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// Namespace of the Lease: the pod's, else the kubeconfig context's, else `default`; never that of `--namespace`.
    pub namespace: String,
    /// Its name. Managers with one name exclude each other; those with different names must serve disjoint objects (P5).
    pub name: String,
    /// Who we are: `hostname_uuid`.
    pub identity: String,
    /// Others take the lease when it was not renewed for this long.
    pub duration: Duration,
    /// The holder gives up when it could not renew for this long.
    pub renew_deadline: Duration,
    /// Time between two tries.
    pub retry_period: Duration,
}

impl LeaseSettings {
    /// Upstream's lease with its timings (15, 10 and 2 s), and an identity of this process.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: names::LEASE_NAME.to_owned(),
            identity: Self::new_identity(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// A name of this process that no other has: `hostname_uuid`.
    pub(super) fn new_identity() -> String {
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let host = Some(host.trim())
            .filter(|h| !h.is_empty())
            .map(str::to_owned)
            .or_else(|| std::env::var("HOSTNAME").ok())
            .unwrap_or_else(|| "metal3-ipam".to_owned());
        format!("{host}_{}", uuid::Uuid::new_v4())
    }
}
