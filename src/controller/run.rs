//! A run from its start to its end: which tasks there are, and in which order they stop.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::api::{Kind, PoolKey, names};
use crate::pool::{Config, KindChanges};

use super::clock::Clock;
use super::events::{EventContext, Recorder};
use super::facts::{COMPARING, LiveFacts};
use super::failure::Failures;
use super::intake::{Intake, Intakes};
use super::lease::{Contender, Entry, LeaseError, Tenure};
use super::registry::{PoolHandle, Registry};
use super::resume::Resumer;
use super::router::Router;
use super::served::Served;
use super::settings::{Events, LeaseSettings, Settings};
use super::transport::PAGE_BYTES;
use super::view::{Counts, View};
use super::worker::{Machine, Worker};
use super::writer::{Door, Writer};

/// Why a run ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A task panicked or ended by itself.
    #[error(
        "the task {task} {what}; the process stops, so that it is started anew with a clean state"
    )]
    Task {
        /// Which task.
        task: String,
        /// What happened.
        what: String,
    },
    /// The lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// No client could be made.
    #[error("no client can be made of this configuration: {0}")]
    Client(#[source] Box<kube::Error>),
}

/// The controller: watches, router, workers, writer and lease.
pub struct Controller {
    settings: Settings,
    watches: Client,
    writes: Client,
    view: View,
    router: Arc<Router>,
    writer: Arc<Writer>,
    served: Arc<Served>,
    failures: Arc<Failures>,
    clock: Clock,
    renewed: Arc<watch::Sender<Option<tokio::time::Instant>>>,
    events: Option<Arc<Recorder>>,
}

/// Makes a pool's state machine.
pub(super) type Make = Box<dyn Fn(PoolKey, Config) -> Box<dyn Machine> + Send + Sync>;

impl Controller {
    /// A controller that watches with one client and writes with the other. Nothing happens before [`Self::run`].
    pub fn new(watches: Client, writes: Client, settings: Settings) -> Self {
        Self::with_machines(
            watches,
            writes,
            settings,
            Box::new(|key, config| Box::new(crate::pool::Pool::new(key, config))),
        )
    }

    pub(super) fn with_machines(
        watches: Client,
        writes: Client,
        mut settings: Settings,
        make: Make,
    ) -> Self {
        // While one half is on its way the other stands ready: the writer never waits for a pool to think.
        settings.pool.in_flight = settings.in_flight.saturating_mul(2);
        let clock = settings.clock.unwrap_or_else(Clock::system);
        let lease = settings.lease.as_ref();
        let lease = lease.map_or(names::LEASE_NAME, |lease| &lease.name);
        let counts = Arc::new(Counts::new(Arc::clone(&settings.metrics), lease));
        let registry = Arc::new(Registry::default());
        let (served, failures) = (Arc::new(Served::new()), Arc::new(Failures::default()));
        let renewed = Arc::new(watch::Sender::new(None));
        let tenure = match &settings.lease {
            None => Tenure::Always,
            Some(lease) => Tenure::Leased {
                renewed: renewed.subscribe(),
                duration: lease.duration,
            },
        };
        let door = Door {
            client: writes.clone(),
            served: Arc::clone(&served),
            counts: Arc::clone(&counts),
            tenure,
            absence_age: settings.absence_age,
        };
        let writer = Arc::new(Writer::new(settings.in_flight, settings.rate, door));
        let of_claims = match settings.events {
            Events::Off => None,
            Events::Usual => Some(false),
            Events::EveryClaim => Some(true),
        };
        let metrics = Arc::clone(&settings.metrics);
        let events = of_claims.map(|claims| Arc::new(Recorder::new(claims, metrics)));
        let hire = {
            let (writer, counts) = (Arc::clone(&writer), Arc::clone(&counts));
            let events = events.clone();
            let (failures, config) = (Arc::clone(&failures), settings.pool.clone());
            move |router: &Arc<Router>, key: &PoolKey, handle: &PoolHandle| {
                let seed = config.seed ^ mark(key);
                let config = Config {
                    seed,
                    ..config.clone()
                };
                let worker = Worker {
                    key: key.clone(),
                    machine: make(key.clone(), config),
                    mailbox: Arc::clone(&handle.mailbox),
                    board: Arc::clone(&handle.board),
                    router: Arc::clone(router),
                    writer: Arc::clone(&writer),
                    counts: Arc::clone(&counts),
                    events: events.clone(),
                    clock,
                    kinds: KindChanges::default(),
                };
                failures.spawn(format!("worker of pool {key}"), worker.run());
            }
        };
        let router = Arc::new(Router::new(
            Arc::clone(&registry),
            Arc::clone(&counts),
            settings.watch_filter.clone(),
            Box::new(hire),
        ));
        Self {
            settings,
            watches,
            writes,
            view: View { registry, counts },
            router,
            writer,
            served,
            failures,
            clock,
            renewed,
            events,
        }
    }

    #[cfg(test)]
    pub(super) fn router_for_tests(&self) -> Arc<Router> {
        Arc::clone(&self.router)
    }

    /// What others may see of this run.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// What the webhook server asks this run.
    pub fn facts(&self) -> LiveFacts {
        LiveFacts {
            registry: Arc::clone(&self.view.registry),
            router: Arc::clone(&self.router),
            counts: Arc::clone(&self.view.counts),
            comparing: Arc::new(Semaphore::new(COMPARING)),
            namespace: self.settings.namespace.clone(),
        }
    }

    /// Runs until `shutdown` is cancelled. Then the watches stop, what is in flight gets its answer (for [`Settings::drain`] at
    /// most), and the lease is given up.
    ///
    /// # Errors
    /// When a task panicked or ended by itself, or the lease was lost or is forbidden.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ControllerError> {
        let watching = CancellationToken::new();
        let writing = CancellationToken::new();
        // A run that is dropped half-way stops its tasks too.
        let _watching = watching.clone().drop_guard();
        let _writing = writing.clone().drop_guard();
        let _workers = StopWorkers(&self.router);

        let mut contender = self.settings.lease.clone().map(|lease| {
            Contender::new(
                self.writes.clone(),
                lease,
                self.clock,
                self.settings.pool.seed,
                Arc::clone(&self.renewed),
            )
        });
        // A lease that is free is taken before the first list begins; then the lists need not be begun again for it.
        let mut entry = Entry::Early;
        if let Some(contender) = &mut contender {
            entry = tokio::select! {
                biased;
                () = shutdown.cancelled() => Entry::Late,
                entry = contender.enter() => entry,
            };
        }

        self.spawn_tasks(&watching, &writing);
        let lead = async {
            if let (Some(contender), Entry::Late) = (&mut contender, entry) {
                contender.acquire().await?;
            }
            self.view.counts.leading(true);
            self.router.lead(entry);
            match &mut contender {
                Some(contender) => Err::<(), LeaseError>(contender.hold().await),
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            () = self.failures.failed() => Ok(()),
            lost = lead => lost.map_err(ControllerError::from),
        };
        self.view.counts.leading(false);

        watching.cancel();
        // The workers know of the end before their requests come back unsent.
        self.router.stop();
        writing.cancel();
        let settled = self.drain(contender.as_mut()).await;
        let end = match self.failures.first() {
            Some(failure) => Err(ControllerError::Task {
                task: failure.task.into_owned(),
                what: failure.what,
            }),
            None => end,
        };
        // A lease that is given up is taken at once: not while a write of ours may still be carried out, or a task has failed.
        if let (Some(contender), Settled::All, Ok(())) = (&mut contender, settled, &end) {
            contender.release().await;
        }
        end
    }

    /// Starts what runs until `watching` is cancelled (watches, ends of pauses, Events, the clock) and the writer, which runs
    /// until `writing` is.
    fn spawn_tasks(&self, watching: &CancellationToken, writing: &CancellationToken) {
        let all = Intakes {
            client: self.watches.clone(),
            router: Arc::clone(&self.router),
            served: Arc::clone(&self.served),
            counts: Arc::clone(&self.view.counts),
            namespace: self.settings.namespace.clone(),
            discovery_interval: self.settings.discovery_interval,
            seed: self.settings.pool.seed,
            failures: Arc::clone(&self.failures),
            page_bytes: PAGE_BYTES,
        };
        for kind in Kind::ALL {
            let intake = Intake::new(kind, all.clone());
            let task = format!("watch of {kind}");
            self.failures
                .spawn_lasting(task, watching.clone(), intake.run());
        }
        let resumer = Resumer {
            client: self.watches.clone(),
            router: Arc::clone(&self.router),
            served: Arc::clone(&self.served),
            seed: self.settings.pool.seed,
            page_bytes: PAGE_BYTES,
        };
        self.failures
            .spawn_lasting("ends of pauses", watching.clone(), resumer.run());
        let writer = Arc::clone(&self.writer).run(
            Arc::clone(&self.router),
            Arc::clone(&self.failures),
            writing.clone(),
        );
        self.failures.spawn("writer", writer);
        if let Some(events) = &self.events {
            let context = EventContext {
                writer: Arc::clone(&self.writer),
                registry: Arc::clone(&self.view.registry),
                served: Arc::clone(&self.served),
                clock: self.clock,
                instance: self.instance(),
            };
            let recording = Arc::clone(events).run(context);
            self.failures
                .spawn_lasting("events", watching.clone(), recording);
        }
        let (clock, router) = (self.clock, Arc::clone(&self.router));
        let following = async move {
            loop {
                clock.jumps().await;
                info!("the system's clock was set; what waits for a time is looked at again");
                router.tell_time();
            }
        };
        self.failures
            .spawn_lasting("clock", watching.clone(), following);
    }

    /// Who this process is, as its lease says.
    fn instance(&self) -> String {
        let lease = self.settings.lease.as_ref();
        let identity = |lease: &LeaseSettings| lease.identity.clone();
        lease.map_or_else(LeaseSettings::new_identity, identity)
    }

    /// Waits until what is in flight is answered and the workers have left. The lease is renewed meanwhile: it is still
    /// needed for what is in flight.
    async fn drain(&self, contender: Option<&mut Contender>) -> Settled {
        let renewing = async {
            match contender {
                Some(contender) if self.renewed.borrow().is_some() => {
                    contender.hold().await;
                    std::future::pending::<()>().await;
                }
                _ => std::future::pending().await,
            }
        };
        let drained = async {
            self.writer.drained().await;
            self.failures.ended().await;
        };
        tokio::select! {
            biased;
            drained = timeout(self.settings.drain.max(Duration::from_millis(1)), drained) => {
                if drained.is_err() {
                    warn!("some requests or workers did not come to an end in time; the lease is left to run out");
                    return Settled::Unknown;
                }
            }
            () = renewing => {}
        }
        if self.writer.is_all_definite() {
            info!("stopped, every request answered");
            Settled::All
        } else {
            info!("stopped; an answer was lost a moment ago, so the lease is left to run out");
            Settled::Unknown
        }
    }
}

/// Whether every write sent has a definite answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    All,
    Unknown,
}

/// Tells the workers to leave, also when the run is dropped.
struct StopWorkers<'a>(&'a Arc<Router>);

impl Drop for StopWorkers<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A number that differs from pool to pool and not from run to run, so that equal seeds do not make equal pools choose alike
/// (FNV-1a).
fn mark(key: &PoolKey) -> u64 {
    let bytes = key.namespace.bytes().chain([0]).chain(key.name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
