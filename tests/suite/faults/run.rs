//! One run: a script on a server of its own, with a controller behind the layer that is started again whenever it dies, in
//! virtual time on one thread. Everything in it comes from the script, the seed and the faults.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use metal3_ipam::controller::{Clock, Controller, ControllerError, LeaseSettings, Settings, View};
use metal3_ipam::standalone;
use metal3_ipam::standalone::{InMemory, InMemoryOptions};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::layer::Layer;
use super::plan::Faults;
use super::script::Script;
use crate::harness::World;
use crate::oracles::ByHand;
use crate::oracles::end::{Comparison, End};
use crate::oracles::history::history;
use crate::oracles::rest::is_at_rest;

/// The wall clock at the start of every run: 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600;
/// How long nothing may have happened before a run counts as being at rest. Longer than any pause of a controller that
/// has something to do and was not refused for long.
const QUIET: Duration = Duration::from_secs(4);
/// O5: the longest that anything may take, from the last fault or change by the script on: the longest backoff, the lease,
/// two audits and the age of a leak.
const BOUND: Duration = Duration::from_mins(4);
/// Time between two looks for leaks, and the least age of one, in place of 10 min and 1 h.
const AUDIT: i64 = 20;
const LEAK_AGE: i64 = 30;

/// How much of a panic's message is kept, in characters: a wait that failed shows objects.
const MESSAGE: usize = 300;

/// What a run is made of.
pub(crate) struct RunSetup<'a> {
    pub(crate) script: &'a Script,
    pub(crate) seed: u64,
    pub(crate) faults: Box<dyn Faults>,
    pub(crate) leased: Leased,
    /// Whether the layer keeps earlier lists, to return them as stale ones.
    pub(crate) remembers: bool,
    /// How long a fault of it may last.
    pub(crate) patience: Duration,
}

/// Whether the controllers of a run ask for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leased {
    No,
    Yes,
}

/// What came of a run.
pub(crate) struct Report {
    /// Against the oracles; nothing else fails a run.
    pub(crate) violations: Vec<String>,
    /// Writes of the controller, over all its processes.
    pub(crate) writes: u64,
    pub(crate) faults: u64,
    pub(crate) crashes: u64,
    /// Lists that were older than the last event of their kind (W1).
    pub(crate) old_lists: u64,
    pub(crate) events: std::collections::BTreeMap<metal3_ipam::api::Kind, u64>,
    pub(crate) end: Option<End>,
    /// F6: whether a create landed late.
    pub(crate) late_create: bool,
    /// Two runs with equal prints had equal traces.
    pub(crate) print: u64,
    /// The trace's last lines.
    pub(crate) tail: String,
}

impl<'a> RunSetup<'a> {
    pub(crate) fn new(script: &'a Script, seed: u64, faults: impl Faults + 'static) -> Self {
        Self {
            script,
            seed,
            faults: Box::new(faults),
            leased: Leased::No,
            remembers: false,
            patience: Duration::ZERO,
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (script, seed, leased) = (*self.script, self.seed, self.leased);
        let patience = self.patience;
        runtime.block_on(async move {
            let clock = Clock::at_start(Timestamp::from_second(BEGIN).unwrap());
            let server = InMemory::open(InMemoryOptions {
                clock: standalone::Clock::new(move || clock.now()),
                seed: Some(seed),
                ..standalone::in_memory()
            })
            .await
            .unwrap();
            let layer = if self.remembers {
                Layer::remembering(server.client(), self.faults)
            } else {
                Layer::new(server.client(), self.faults)
            };
            let mut settings = Settings::default();
            settings.pool.seed = seed;
            settings.pool.audit_interval = SignedDuration::from_secs(AUDIT);
            settings.pool.move_patience = SignedDuration::from_secs(AUDIT);
            settings.pool.leak_min_age = SignedDuration::from_secs(LEAK_AGE);
            settings.clock = Some(clock);
            (script.settings)(&mut settings);
            let mut world = World::on(layer.server.clone());
            world.patience = BOUND + patience;
            let from = world.revision().await;
            if let Some(found) = script.found {
                found(&world).await;
            }
            let supervisor = Supervisor::start(&layer, settings, leased);
            let report = check(&script, &world, &from, &layer, &supervisor).await;
            supervisor.stop().await;
            server.close().await;
            report
        })
    }
}

/// Plays the script, waits until all is at rest, and asks the oracles.
async fn check(
    script: &Script,
    world: &World,
    from: &str,
    layer: &Arc<Layer>,
    supervisor: &Supervisor,
) -> Report {
    let mut violations = Vec::new();
    let played = AssertUnwindSafe((script.play)(world)).catch_unwind().await;
    if let Err(panic) = &played {
        violations.push(format!(
            "O5 the script did not go on: {}",
            panic_message(&**panic)
        ));
    }
    let mut end = None;
    if played.is_ok() {
        match rest(world, layer, supervisor).await {
            Ok(at_rest) => end = Some(at_rest),
            Err(why) => violations.extend(why),
        }
    }
    let findings = history(&world.client, from).await;
    let mut excused = script.by_hand.to_vec();
    if layer.state().has_held_create {
        // A1: the one thing that may be there twice for a while. O7 summary if it stays.
        excused.push(ByHand::Objects);
    }
    violations.extend(findings.all(&excused));
    let late = layer.late_writes();
    violations.extend(late.into_iter().map(|w| format!("O8 {w}")));
    violations.extend(supervisor.failures());
    let state = layer.state();
    Report {
        violations,
        writes: state.writes,
        faults: state.faults,
        crashes: state.crashes,
        old_lists: state.old_lists,
        events: state.streams.events(),
        end,
        late_create: state.has_held_create,
        print: state.trace.print(),
        tail: state.trace.tail(),
    }
}

/// Waits until nothing happens any more and memory equals the objects (O4, O3).
async fn rest(
    world: &World,
    layer: &Arc<Layer>,
    supervisor: &Supervisor,
) -> Result<End, Vec<String>> {
    let since = Instant::now();
    let mut wrong = None;
    loop {
        let before = layer.passed();
        sleep(QUIET).await;
        if layer.holds_writes() {
            layer.land().await;
        }
        let lasted = layer
            .state()
            .last_fault
            .map_or(since, |fault| fault.max(since))
            .elapsed();
        let quiet = supervisor.is_leased() || layer.passed() == before;
        let end = End::read(&world.client).await;
        let view = supervisor.view();
        // One that waits for the lease of another that died writes nothing yet.
        let open = if quiet && view.is_leading() && view.is_idle() {
            is_at_rest(&end, &view)
        } else {
            let pools = view.snapshots();
            let busy = pools.iter().filter(|s| s.in_flight > 0);
            let busy: Vec<String> = busy.map(|s| s.key.to_string()).collect();
            vec![format!(
                "O5 it does not come to rest: quiet {quiet}, leading {}, backlog {}, requests in flight of {busy:?}, synced {}",
                view.is_leading(),
                view.backlog(),
                view.is_synced()
            )]
        };
        if open.is_empty() {
            return Ok(end);
        }
        if quiet {
            wrong = Some(open.clone());
        }
        if lasted > world.patience {
            return Err(wrong.unwrap_or(open));
        }
    }
}

impl Report {
    /// O7: what differs from the end of the run without faults.
    pub(crate) fn differences(&self, script: &Script, clean: &Self) -> Vec<String> {
        match (&clean.end, &self.end) {
            (Some(clean), Some(end)) => {
                let comparison = if self.late_create {
                    Comparison::Claims
                } else {
                    script.comparison
                };
                clean.differences(end, comparison)
            }
            // The violations say why there is no end.
            (None, _) | (_, None) => Vec::new(),
        }
    }
}

/// What a panic said.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a message");
    text.chars().take(MESSAGE).collect()
}

/// Keeps a controller running: when one dies the next is started.
struct Supervisor {
    running: Arc<Mutex<Option<View>>>,
    failures: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    leased: Leased,
}

impl Supervisor {
    fn start(layer: &Arc<Layer>, settings: Settings, leased: Leased) -> Self {
        let running = Arc::new(Mutex::new(None));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let supervise = supervise(
            Arc::clone(layer),
            settings,
            leased,
            Arc::clone(&running),
            Arc::clone(&failures),
            stop.clone(),
        );
        Self {
            running,
            failures,
            stop,
            task: tokio::spawn(supervise),
            leased,
        }
    }

    fn view(&self) -> View {
        self.running
            .lock()
            .unwrap()
            .clone()
            .expect("one is started at once")
    }

    fn is_leased(&self) -> bool {
        self.leased == Leased::Yes
    }

    fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn supervise(
    layer: Arc<Layer>,
    settings: Settings,
    leased: Leased,
    running: Arc<Mutex<Option<View>>>,
    failures: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
) {
    let mut number = 0;
    while !stop.is_cancelled() {
        number += 1;
        let process = layer.process();
        let mut settings = settings.clone();
        if leased == Leased::Yes {
            settings.lease = Some(LeaseSettings {
                identity: format!("manager-{number}"),
                ..LeaseSettings::new("default")
            });
        }
        let controller = Controller::new(process.client(), process.client(), settings);
        *running.lock().unwrap() = Some(controller.view());
        let ending = CancellationToken::new();
        let mut run = tokio::spawn(controller.run(ending.clone()));
        tokio::select! {
            biased;
            () = process.dead.cancelled() => run.abort(),
            ended = &mut run => match ended {
                // As in a cluster: the process ends and is started again.
                Ok(Err(ControllerError::Lease(_))) => process.kill(),
                Ok(Ok(())) => failures.lock().unwrap().push("the controller ended by itself".to_owned()),
                Ok(Err(error)) => failures.lock().unwrap().push(format!("the controller failed: {error}")),
                Err(error) => failures.lock().unwrap().push(format!("the controller panicked: {error}")),
            },
            () = stop.cancelled() => {
                ending.cancel();
                let _ = run.await;
            }
        }
    }
}
