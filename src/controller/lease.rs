//! Leader election by a Lease, with client-go's protocol (P5).
//!
//! ```text
//!   not leading:            read the lease; free, ours, or unchanged for its whole duration -> take it by an update;
//!                           else watch it until it is (`lease/standby.rs`)
//!   every 2 s, leading:     update it; not once in 10 s -> it counts as lost, the run ends
//!   at the end:             no write unanswered -> give it up (holder "", 1 s) within 2 s, else it runs out
//! ```
//!
//! Why no write of a former leader is under way when the next one begins: the next one waits 15 s from the last renewal that
//! it saw. A write is started only while it would end within 14 s of the *start* of our last successful renewal, and it ends
//! after the 4 s that the server was asked to give it. Clocks of different machines are never compared, as in client-go.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::clock::Clock;
use super::settings::LeaseSettings;
use super::status;
use super::transport::{self, Call, Fault, OBJECT_BYTES, Reply};
use super::wire::WRITE_SECONDS;

mod standby;

/// Between the end of the last write of ours and the beginning of someone else's lease.
const MARGIN: Duration = Duration::from_secs(1);

/// Whether writes may start: asked by the writer before each.
#[derive(Debug, Clone)]
pub(super) enum Tenure {
    /// No lease is asked for.
    Always,
    /// While the lease is held.
    Leased {
        /// Start of the last successful renewal; `None` while the lease is not held.
        renewed: watch::Receiver<Option<Instant>>,
        /// How long a renewal counts.
        duration: Duration,
    },
}

impl Tenure {
    /// Whether a write that starts now ends while the lease is certainly ours.
    pub(super) fn may_start(&self, now: Instant) -> bool {
        match self {
            Self::Always => true,
            Self::Leased { renewed, duration } => renewed.borrow().is_some_and(|renewed| {
                now + Duration::from_secs(WRITE_SECONDS)
                    <= renewed + duration.saturating_sub(MARGIN)
            }),
        }
    }
}

/// Why the lease is not held any more, or never can be.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It could not be renewed in time.
    #[error("the lease {lease} was lost: {why}; another manager may act now, so this one stops")]
    Lost {
        /// Namespace and name.
        lease: String,
        /// What the last try met.
        why: String,
    },
    /// A right is missing (P5).
    #[error(
        "leader election needs a right that is missing: {message}. Grant get, watch, create and update on leases of coordination.k8s.io \
         in namespace {namespace} (a Role and its RoleBinding there), or start with --leader-elect=false"
    )]
    Forbidden {
        /// Where the lease lies.
        namespace: String,
        /// The server's words.
        message: String,
    },
}

/// Tries to give the lease up when others write it at the same time.
const RELEASE_TRIES: u32 = 5;

/// Times that the lease has to be refused, for as long as a renewal may take, until a right is taken for missing.
const REFUSALS: u32 = 3;
/// Time for all of them. The kubelet kills a pod of `deploy/manager` 10 s after SIGTERM, and writes may have been waited for
/// before ([`super::Settings::drain`]).
const RELEASE_TIME: Duration = Duration::from_secs(2);

/// One contender for the lease.
pub(super) struct Contender {
    client: Client,
    settings: LeaseSettings,
    clock: Clock,
    jitter: Backoff,
    renewed: Arc<watch::Sender<Option<Instant>>>,
    /// The lease as last seen, and when it was seen to change.
    observed: Option<(Lease, Instant)>,
    /// A write of the lease on its way. It is carried out to its answer also when the run ends meanwhile: else the server could
    /// make the lease ours after it was given up.
    in_flight: Option<JoinHandle<Result<Reply, Fault>>>,
}

/// Whether another process may have led until this one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// No: the lease was free, or none is asked for.
    Early,
    /// Another process has it, or that is not known: [`Contender::acquire`] goes on.
    Late,
}

/// The result of one try to get or renew the lease.
#[derive(Debug)]
enum Try {
    /// The lease is ours; the try began then.
    Held(Instant),
    /// Someone else's.
    Taken(String),
    /// Someone else wrote it since it was read.
    Raced,
    Failed(String),
    Forbidden(String),
}

impl Contender {
    pub(super) fn new(
        client: Client,
        settings: LeaseSettings,
        clock: Clock,
        seed: u64,
        renewed: Arc<watch::Sender<Option<Instant>>>,
    ) -> Self {
        Self {
            client,
            settings,
            clock,
            jitter: Backoff::new(seed),
            renewed,
            observed: None,
            in_flight: None,
        }
    }

    /// One try, which gets a lease that is free.
    pub(super) async fn enter(&mut self) -> Entry {
        match self.attempt().await {
            Try::Held(since) => {
                self.held(since);
                Entry::Early
            }
            Try::Forbidden(_) | Try::Taken(_) | Try::Raced | Try::Failed(_) => Entry::Late,
        }
    }

    /// Tries until the lease is ours.
    pub(super) async fn acquire(&mut self) -> Result<(), LeaseError> {
        let mut said = None;
        let mut forbidden: Option<(Instant, u32)> = None;
        loop {
            let tried = self.attempt().await;
            if !matches!(tried, Try::Forbidden(_)) {
                forbidden = None;
            }
            match tried {
                Try::Held(since) => {
                    self.held(since);
                    return Ok(());
                }
                Try::Taken(holder) => {
                    if said.as_ref() != Some(&holder) {
                        info!(lease = %self.label(), holder, "standing by");
                        said = Some(holder);
                    }
                    self.stand_by().await;
                }
                // The winner is known at the next look.
                Try::Raced => {}
                Try::Failed(why) => {
                    warn!(lease = %self.label(), why, "the lease cannot be read");
                    self.pause().await;
                }
                Try::Forbidden(message) => {
                    // An API server that has just started does not know all roles for a moment.
                    let (since, tries) = forbidden.get_or_insert_with(|| (Instant::now(), 0));
                    *tries += 1;
                    if *tries >= REFUSALS && since.elapsed() >= self.settings.renew_deadline {
                        return Err(self.forbidden(message));
                    }
                    warn!(lease = %self.label(), why = message, "the lease may not be read or written; trying again");
                    self.pause().await;
                }
            }
        }
    }

    fn held(&self, since: Instant) {
        info!(lease = %self.label(), identity = self.settings.identity, "leading");
        self.renewed.send_replace(Some(since));
    }

    /// The retry period times 1 to 2.2, at random, so that contenders do not try at the same moments.
    async fn pause(&mut self) {
        let period = self.settings.retry_period;
        let extra = self.jitter.between(0, 120);
        sleep(period + period.mul_f64(extra as f64 / 100.0)).await;
    }

    /// Renews until it cannot.
    pub(super) async fn hold(&mut self) -> LeaseError {
        let mut last = self.renewed.borrow().unwrap_or_else(Instant::now);
        loop {
            sleep(self.settings.retry_period).await;
            let deadline = last + self.settings.renew_deadline;
            let mut why = "no answer in time".to_owned();
            let renewal = async {
                loop {
                    match self.attempt().await {
                        Try::Held(since) => return Ok(since),
                        Try::Taken(holder) => return Err(format!("{holder} holds it")),
                        Try::Raced => "someone else wrote it".clone_into(&mut why),
                        Try::Forbidden(message) => why = message,
                        Try::Failed(text) => why = text,
                    }
                    debug!(why, "the lease was not renewed; trying again");
                    sleep(self.settings.retry_period).await;
                }
            };
            let renewed = tokio::select! {
                biased;
                renewed = renewal => renewed,
                () = sleep_until(deadline) => Err(String::new()),
            };
            match renewed {
                Ok(since) => {
                    last = since;
                    self.renewed.send_replace(Some(since));
                }
                Err(taken) => {
                    self.renewed.send_replace(None);
                    return LeaseError::Lost {
                        lease: self.label(),
                        why: if taken.is_empty() { why } else { taken },
                    };
                }
            }
        }
    }

    /// Gives the lease up, so that a standby need not wait until it runs out. Only when every write has its answer. Where the
    /// server does not answer in time, the lease runs out.
    pub(super) async fn release(&mut self) {
        self.renewed.send_replace(None);
        if timeout(RELEASE_TIME, self.give_up()).await.is_err() {
            self.keeps_lease(&Try::Failed("no answer in time".to_owned()));
        }
    }

    async fn give_up(&mut self) {
        if let Some(sent) = self.in_flight.take() {
            // Whatever it came to, the next read shows it.
            let _ = sent.await;
        }
        for _ in 0..RELEASE_TRIES {
            // Read anew: a renewal whose answer nobody took in has changed its version, or has made it ours.
            let lease = match self.read().await {
                Ok(Some(lease)) if self.is_ours(&lease) => lease,
                Ok(Some(_) | None) => return,
                Err(failed) => return self.keeps_lease(&failed),
            };
            let mut spec = lease.spec.clone().unwrap_or_default();
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(self.clock.wall()));
            spec.acquire_time = spec.renew_time.clone();
            let free = Lease {
                spec: Some(spec),
                ..lease
            };
            match self.put(&free).await {
                Ok(_) => {
                    info!(lease = %self.label(), "lease given up");
                    return;
                }
                Err(Try::Raced) => {}
                Err(failed) => return self.keeps_lease(&failed),
            }
        }
        self.keeps_lease(&Try::Raced);
    }

    fn keeps_lease(&self, failed: &Try) {
        warn!(lease = %self.label(), ?failed, "the lease could not be given up; it runs out");
    }

    /// One try to get or to renew.
    async fn attempt(&mut self) -> Try {
        let started = Instant::now();
        // While it is ours and nobody has touched it, an update alone does it.
        if let Some((lease, _)) = &self.observed
            && self.is_ours(lease)
        {
            let lease = self.claimed(lease);
            if let Ok(stored) = self.put(&lease).await {
                self.observed = Some((stored, Instant::now()));
                return Try::Held(started);
            }
        }
        let lease = match self.read().await {
            Ok(Some(lease)) => lease,
            Ok(None) => {
                // Somebody deleted it: its holder may write until it notices, or until the time that it had is over.
                return match self.held_by_another() {
                    Some(holder) => Try::Taken(holder),
                    None => self.create(started).await,
                };
            }
            Err(failed) => return failed,
        };
        self.observe(lease.clone());
        if let Some(holder) = self.held_by_another() {
            return Try::Taken(holder);
        }
        let lease = self.claimed(&lease);
        match self.put(&lease).await {
            Ok(stored) => {
                self.observed = Some((stored, Instant::now()));
                Try::Held(started)
            }
            Err(failed) => failed,
        }
    }

    /// Who else holds the lease as it was last seen, while its time is not over.
    fn held_by_another(&self) -> Option<String> {
        let (lease, _) = self.observed.as_ref()?;
        let holder = holder(lease);
        let holds = !holder.is_empty() && holder != self.settings.identity && self.is_valid();
        holds.then(|| holder.to_owned())
    }

    /// The lease as it was just read: its time counts from when it was first seen so.
    fn observe(&mut self, lease: Lease) {
        match &mut self.observed {
            Some((seen, _)) if seen.spec == lease.spec => *seen = lease,
            _ => self.observed = Some((lease, Instant::now())),
        }
    }

    async fn create(&mut self, started: Instant) -> Try {
        let lease = self.claimed(&Lease {
            metadata: ObjectMeta {
                name: Some(self.settings.name.clone()),
                namespace: Some(self.settings.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec::default()),
        });
        match self.write(Method::POST, self.collection(), &lease).await {
            Ok(stored) => {
                self.observed = Some((stored, Instant::now()));
                Try::Held(started)
            }
            Err(failed) => failed,
        }
    }

    /// The lease as it stands when it is ours from now on.
    fn claimed(&self, lease: &Lease) -> Lease {
        let mut lease = lease.clone();
        let now = MicroTime(self.clock.wall());
        let renewal = self.is_ours(&lease);
        let new = lease.spec.is_none() || lease.metadata.resource_version.is_none();
        let spec = lease.spec.get_or_insert_default();
        if !renewal {
            spec.acquire_time = Some(now.clone());
            let before = spec.lease_transitions.unwrap_or_default();
            spec.lease_transitions = Some(if new {
                before
            } else {
                before.saturating_add(1)
            });
        }
        spec.holder_identity = Some(self.settings.identity.clone());
        spec.lease_duration_seconds =
            Some(i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        lease
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == self.settings.identity
    }

    /// Whether its holder may still hold it: its duration, as it says itself, counts from when we saw it change.
    fn is_valid(&self) -> bool {
        self.runs_out().is_some_and(|at| at > Instant::now())
    }

    /// When its holder has lost it unless it is renewed.
    fn runs_out(&self) -> Option<Instant> {
        let (lease, changed) = self.observed.as_ref()?;
        let seconds = lease.spec.as_ref().and_then(|s| s.lease_duration_seconds);
        let seconds = seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
        Some(*changed + Duration::from_secs(seconds))
    }

    async fn read(&self) -> Result<Option<Lease>, Try> {
        let reply = self.exchange(Call::get(self.path())).await?;
        match reply.status {
            200 => parse(&reply).map(Some),
            404 => Ok(None),
            _ => Err(failed(&reply)),
        }
    }

    async fn put(&mut self, lease: &Lease) -> Result<Lease, Try> {
        self.write(Method::PUT, self.path(), lease).await
    }

    async fn write(&mut self, method: Method, target: String, lease: &Lease) -> Result<Lease, Try> {
        let call = Call {
            method,
            target,
            content_type: Some("application/json"),
            body: serde_json::to_vec(lease).map_err(|e| Try::Failed(e.to_string()))?,
        };
        let (client, patience) = (self.client.clone(), self.patience());
        let sent = async move { transport::send(&client, call, patience, OBJECT_BYTES).await };
        let sent = self.in_flight.insert(tokio::spawn(sent)).await;
        self.in_flight = None;
        let reply = sent
            .map_err(|e| Try::Failed(e.to_string()))?
            .map_err(|fault| Try::Failed(fault.text()))?;
        match reply.status {
            200 | 201 => parse(&reply),
            _ => Err(failed(&reply)),
        }
    }

    /// Half the deadline, so that one lost answer does not lose the lease.
    fn patience(&self) -> Duration {
        self.settings.renew_deadline / 2
    }

    async fn exchange(&self, call: Call) -> Result<Reply, Try> {
        transport::send(&self.client, call, self.patience(), OBJECT_BYTES)
            .await
            .map_err(|fault: Fault| Try::Failed(fault.text()))
    }

    fn collection(&self) -> String {
        let namespace = &self.settings.namespace;
        format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.settings.name)
    }

    fn label(&self) -> String {
        format!("{}/{}", self.settings.namespace, self.settings.name)
    }

    fn forbidden(&self, message: String) -> LeaseError {
        LeaseError::Forbidden {
            namespace: self.settings.namespace.clone(),
            message,
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|s| s.holder_identity.as_deref())
        .unwrap_or_default()
}

fn parse(reply: &Reply) -> Result<Lease, Try> {
    serde_json::from_slice(&reply.body)
        .map_err(|e| Try::Failed(format!("the lease cannot be read: {e}")))
}

fn failed(reply: &Reply) -> Try {
    let words = status::words(&reply.body);
    let text = super::bounded(format!("{words} ({})", reply.status));
    match reply.status {
        403 => Try::Forbidden(text),
        409 => Try::Raced,
        _ => Try::Failed(text),
    }
}
