//! The layer between a controller and the server, a tower service: every request, answer and event of the controller passes here,
//! is numbered and traced, and gets the fault that [`Faults`] chooses.
//!
//! ```text
//!   controller --kube::Client--> Process (one process; dead or alive) --> Layer (numbers, trace, oracle O8) --> server
//!                                                                        `-- watching.rs: events    held writes (F6)
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use kube::Client;
use metal3_ipam::api::Kind;
use tokio::time::{Instant, sleep};
use tower::BoxError;

use super::api_request::ApiRequest;
use super::lease_check::LeaseCheck;
use super::plan::{Faults, ListFault};
use super::process::Process;
use super::trace::Trace;
use super::watching::Streams;

/// How long a write may be under way that nobody waits for any more.
const LATEST: Duration = Duration::from_secs(20);

/// The layer of one run.
pub(crate) struct Layer {
    /// Without the layer.
    pub(crate) server: Client,
    faults: Mutex<Box<dyn Faults>>,
    state: Mutex<State>,
    start: Instant,
    pub(super) remember_lists: bool,
}

/// What the layer knows.
#[derive(Default)]
pub(super) struct State {
    /// Writes so far, without the lease's.
    pub(super) writes: u64,
    pub(super) reads: u64,
    pub(super) leases: u64,
    pub(super) lists: BTreeMap<Kind, u64>,
    /// The fault of a kind's list whose second page is still to come.
    pub(super) midway: BTreeMap<Kind, ListFault>,
    /// Lists as they stood before each write.
    pub(super) remembered: BTreeMap<Kind, VecDeque<Bytes>>,
    pub(super) streams: Streams,
    /// Faults that happened.
    pub(super) faults: u64,
    /// When the last of them happened.
    pub(super) last_fault: Option<Instant>,
    /// Lists that were older than the last event of their kind (W1).
    pub(super) old_lists: u64,
    /// Times that the process died.
    pub(super) crashes: u64,
    /// Writes that are on their way while nobody waits for them any more, with their numbers.
    pub(super) held: Vec<(u64, ApiRequest)>,
    /// Whether there ever was one that creates an address object.
    pub(super) has_held_create: bool,
    pub(super) lease_check: LeaseCheck,
    pub(super) trace: Trace,
    processes: u32,
}

impl Layer {
    pub(crate) fn new(server: Client, faults: Box<dyn Faults>) -> Arc<Self> {
        Arc::new(Self {
            server,
            faults: Mutex::new(faults),
            state: Mutex::default(),
            start: Instant::now(),
            remember_lists: false,
        })
    }

    /// A layer that keeps earlier lists, to return them as stale ones (W1).
    pub(crate) fn remembering(server: Client, faults: Box<dyn Faults>) -> Arc<Self> {
        Arc::new(Self {
            remember_lists: true,
            ..Arc::into_inner(Self::new(server, faults)).expect("nobody has it yet")
        })
    }

    /// The next process.
    pub(crate) fn process(self: &Arc<Self>) -> Arc<Process> {
        let mut state = self.state();
        state.processes += 1;
        Arc::new(Process::new(Arc::clone(self), state.processes))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Box<dyn Faults>> {
        self.faults.lock().unwrap()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn line(&self, process: u32, text: impl FnOnce() -> String) {
        let at = self.elapsed();
        self.state().trace.line(at, process, text());
    }

    pub(super) fn fault(&self) {
        let mut state = self.state();
        state.faults += 1;
        state.last_fault = Some(Instant::now());
    }

    /// Requests and events that have passed; two equal numbers some time apart mean that nothing happened between.
    pub(crate) fn passed(&self) -> u64 {
        self.state().trace.passed()
    }

    /// Everything that was found against O8.
    pub(crate) fn late_writes(&self) -> Vec<String> {
        self.state().lease_check.violations().to_vec()
    }

    /// Whether a write is held back.
    pub(crate) fn holds_writes(&self) -> bool {
        !self.state().held.is_empty()
    }

    /// F6: the writes that were held back land when their time has come.
    pub(super) async fn land_what_is_due(&self) {
        let landing = self.faults().landing();
        let is_due = {
            let state = self.state();
            let mut held = state.held.iter();
            held.any(|(n, _)| state.writes > n + landing)
        };
        if is_due {
            self.land().await;
        }
    }

    /// F6: the writes that are held back land after a while, also when the next process writes nothing.
    pub(super) fn land_at_last(self: &Arc<Self>) {
        let layer = Arc::clone(self);
        tokio::spawn(async move {
            sleep(LATEST).await;
            layer.land().await;
        });
    }

    /// F6: the writes that were held back land now.
    pub(crate) async fn land(&self) {
        let held = std::mem::take(&mut self.state().held);
        for (_, request) in held {
            self.fault();
            let answer = self.server.send(request.to_http()).await.unwrap();
            let code = answer.status().as_u16();
            self.line(0, || {
                format!("landed: {} {} {code}", request.method(), request.target())
            });
        }
    }

    /// Sends a request to the server and reads the whole answer.
    pub(super) async fn carry_out(
        &self,
        request: &ApiRequest,
    ) -> Result<(http::response::Parts, Bytes), BoxError> {
        let (parts, body) = self.server.send(request.to_http()).await?.into_parts();
        Ok((parts, body.collect_bytes().await?))
    }
}
