//! One task per pool, the only owner of that pool's state. It takes from the mailbox, steps the state machine, runs the
//! effects, publishes a snapshot, and sleeps until there is more or until the time that the pool named.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::api::PoolKey;
use crate::observe::metrics::Step;
use crate::pool::{
    Decision, Effect, Fact, Input, KindChanges, Moment, Question, Request, Snapshot,
};

use super::clock::Clock;
use super::events::Recorder;
use super::journal;
use super::mailbox::{Asked, Mailbox, Taken};
use super::registry::Board;
use super::router::Router;
use super::view::Counts;
use super::writer::Writer;

/// Steps after which a busy pool lets others run, and the time after which it does. A step of a large pool can take milliseconds.
const BATCH: usize = 64;
const BATCH_TIME: Duration = Duration::from_millis(10);

/// What a worker drives: the pool's state machine, or a scripted one in tests.
pub(super) trait Machine: Send {
    fn step(&mut self, input: Input, at: Moment) -> Vec<Effect>;
    fn snapshot(&self) -> Snapshot;
    fn fact(&self, question: &Question) -> Fact;
    fn is_empty(&self) -> bool;
}

/// One pool's task.
pub(super) struct Worker {
    pub(super) key: PoolKey,
    pub(super) machine: Box<dyn Machine>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) board: Arc<Board>,
    pub(super) router: Arc<Router>,
    pub(super) writer: Arc<Writer>,
    pub(super) counts: Arc<Counts>,
    /// Where decisions become Events, if they do.
    pub(super) events: Option<Arc<Recorder>>,
    pub(super) clock: Clock,
    /// What the pool was told of the kinds last.
    pub(super) kinds: KindChanges,
}

impl Worker {
    /// Runs until the pool is empty (the router hires a new worker when it is needed again) or the run ends.
    pub(super) async fn run(mut self) {
        let mut wake: Option<Timestamp> = None;
        loop {
            let mut steps = 0;
            let begun = Instant::now();
            let waited = self.mailbox.batch_begins();
            if let Some(waited) = waited {
                self.counts.metrics().work_begins(waited);
            }
            let is_over = |steps| steps >= BATCH || (steps > 0 && begun.elapsed() >= BATCH_TIME);
            while !is_over(steps)
                && let Some(taken) = self.mailbox.take()
            {
                match taken {
                    Taken::Input(input) => self.step(input, &mut wake),
                    // The one that asked may have stopped waiting.
                    Taken::Asked(Asked { question, reply }) => {
                        let _ = reply.send(self.machine.fact(&question));
                    }
                }
                steps += 1;
            }
            if wake.is_some_and(|at| at <= self.clock.now()) {
                wake = None;
                self.step(Input::Tick, &mut wake);
            }
            self.publish();
            if waited.is_some() {
                self.mailbox.batch_ends();
                self.counts.metrics().work_ends(begun.elapsed());
            }
            if is_over(steps) {
                tokio::task::yield_now().await;
                continue;
            }
            if self.mailbox.close_if_drained() {
                return;
            }
            if self.machine.is_empty() && self.mailbox.close_if_idle() {
                // From here on the router gets every input back, and starts a new worker for it.
                self.router.retire(&self.key, &self.mailbox);
                return;
            }
            let next = wake.map(|at| self.clock.instant(at));
            tokio::select! {
                biased;
                () = self.mailbox.filled() => {}
                () = until(next) => {}
            }
        }
    }

    fn step(&mut self, input: Input, wake: &mut Option<Timestamp>) {
        let begun = Instant::now();
        let at = self.clock.moment();
        if let Input::Kinds(kinds) = &input {
            self.kinds = kinds.changes();
        }
        let mut effects = self.machine.step(input, at);
        if self.mailbox.is_stopping() {
            // This run tries nothing again: what it did not send waits for the next one.
            effects.retain(|e| !matches!(e, Effect::Decided(Decision::Retrying { .. })));
        }
        let chose = |e: &Effect| matches!(e, Effect::Request(_, Request::CreateAddress(_)));
        let failed = |e: &Effect| matches!(e, Effect::Decided(Decision::Retrying { .. }));
        self.counts.metrics().stepped(Step {
            took: begun.elapsed(),
            chose: effects.iter().any(chose),
            failed: effects.iter().any(failed),
        });
        // A12: a name is watched before any request of the step is sent, so that its end cannot be missed.
        for effect in &effects {
            if let Effect::WatchName(name) = effect {
                self.router.watch_name(&self.key, name);
            }
        }
        for effect in effects {
            match effect {
                Effect::Request(id, request) => {
                    let reply = self.mailbox.reserve(id);
                    self.writer.submit(&self.key, request, self.kinds, reply);
                }
                Effect::Withdraw(id) => {
                    self.mailbox.withdraw(id);
                    self.writer.withdraw(&self.key, id);
                }
                Effect::WakeAt(at) => *wake = Some(at),
                Effect::WatchName(_) => {}
                Effect::ForgetName(name) => self.router.forget_name(&self.key, &name),
                Effect::Decided(decision) => {
                    journal::tell(&self.key, &decision);
                    self.counts.decided(&decision, at.wall);
                    if let Some(events) = &self.events {
                        events.tell(&self.key, &decision, at);
                    }
                }
            }
        }
    }

    fn publish(&self) {
        if self.board.show(self.machine.snapshot()) {
            self.counts.changed();
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Machine for crate::pool::Pool {
    fn step(&mut self, input: Input, at: Moment) -> Vec<Effect> {
        self.step(input, at)
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot()
    }

    fn fact(&self, question: &Question) -> Fact {
        self.fact(question)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}
