//! The one door through which requests leave: bounded in flight over all pools, fair between namespaces and pools, and only under
//! the lease.
//!
//! Pools put their requests in and never wait. The dispatcher takes a free slot, then a token (when a rate is set), then the
//! next request of the pool whose turn it is (`turns.rs`).
//! Writes of pools' status come after what claims wait for, but one in sixteen requests may be such a write; those that change
//! counts alone are one in 32 or one in 60 ms while claims are served. Events come after all, but one in 64 requests may be
//! one. Each request runs in its own task and fills its reply place exactly once, whatever happens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kube::Client;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::api::PoolKey;
use crate::pool::{KindChanges, Outcome, Request, RequestId, Reread};

use super::bucket::Bucket;
use super::failure::Failures;
use super::lease::Tenure;
use super::mailbox::ReplyPlace;
use super::outcome::{self, Meaning};
use super::router::Router;
use super::served::Served;
use super::settings::Rate;
use super::transport::{self, Call, Fault, OBJECT_BYTES, Reply};
use super::turns::Turns;
use super::view::Counts;
use super::wire::{self, Subject, Verb, WRITE_SECONDS};

/// Time after which we stop waiting for the answer to a read or to a write of an Event: a little above what the server was asked to
/// keep. Writes of objects have the limit of their request ([`wire::time_limit`]), those of the lease their own.
pub(super) const PATIENCE: Duration = Duration::from_secs(WRITE_SECONDS + 1);

/// The queue of all pools' requests and what sends them.
pub(super) struct Writer {
    queue: Mutex<Queue>,
    filled: Notify,
    slots: Arc<Semaphore>,
    all_slots: u32,
    rate: Option<Rate>,
    door: Door,
    /// Until when a write whose answer was lost may still be under way.
    lost: Mutex<Option<Instant>>,
}

/// What a request needs on its way out.
pub(super) struct Door {
    pub(super) client: Client,
    pub(super) served: Arc<Served>,
    pub(super) counts: Arc<Counts>,
    pub(super) tenure: Tenure,
    /// [`Settings::absence_age`](super::Settings::absence_age).
    pub(super) absence_age: Duration,
}

/// One of so many requests may be a write of a pool's status while others wait.
const ONE_STATUS_IN: u32 = 16;

/// One of so many requests may be a write of counts while there is work, and one in so much time. A burst of claims changes the
/// counts of all its pools at once, and each of these writes costs the server as much as one for a claim.
const ONE_COUNT_IN: u32 = 32;
const COUNTS_APART: Duration = Duration::from_millis(60);

/// Time without work after which counts are written as fast as the server takes them, and how many are in flight then.
const REST: Duration = Duration::from_millis(500);
const COUNTS_AT_REST: usize = 16;

/// One of so many requests may be a write of an Event while others wait.
const ONE_EVENT_IN: u32 = 64;

/// Longest time that a place stays taken because the server asked to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long an overloaded server (429, 5xx) asked to wait.
fn pause_after(reply: &Reply) -> Option<Duration> {
    let is_overload = reply.status == 429 || reply.status >= 500;
    let asked = reply.retry_after.filter(|_| is_overload)?;
    Some(asked.min(LONGEST_PAUSE))
}

/// Requests that wait to be sent.
#[derive(Default)]
struct Queue {
    /// What claims wait for.
    work: Lane,
    /// Writes of pools' status that say more than counts. With many pools these would take the slots of the work.
    status: Lane,
    /// Writes of pools' counts.
    counts: Lane,
    /// Requests of the work since the last status.
    since_status: u32,
    /// Requests of the work since the last write of counts.
    since_counts: u32,
    /// When that one left.
    counted: Option<Instant>,
    /// When the last request of the work left or was answered.
    worked: Option<Instant>,
    /// Writes of Events. Nothing waits for them.
    events: VecDeque<EventJob>,
    /// Other requests since the last of those.
    since_event: u32,
    /// The run ends: nothing is taken in any more.
    closed: bool,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Work,
    Status,
    Counts,
}

/// Requests of one sort: those that wait, and how many are in flight.
#[derive(Default)]
struct Lane {
    in_flight: usize,
    turns: Turns<Job>,
}

struct Job {
    pool: PoolKey,
    request: Request,
    /// What the pool knew of the kinds when it decided on the request.
    decided_on: KindChanges,
    reply: ReplyPlace,
}

/// A write of an Event.
struct EventJob {
    call: Call,
    verb: &'static str,
    reply: oneshot::Sender<Result<Reply, Fault>>,
}

/// What leaves next.
enum Next {
    Job(Job),
    Event(EventJob),
}

// === impl Queue ===

impl Queue {
    fn lane(&mut self, sort: Sort) -> &mut Lane {
        match sort {
            Sort::Work => &mut self.work,
            Sort::Status => &mut self.status,
            Sort::Counts => &mut self.counts,
        }
    }

    fn push(&mut self, job: Job) {
        self.lane(sort(&job.request)).push(job);
    }

    /// Takes a request out that still waits.
    fn withdraw(&mut self, pool: &PoolKey, id: RequestId) -> Option<Job> {
        let lanes = [&mut self.work, &mut self.status, &mut self.counts];
        lanes.into_iter().find_map(|lane| lane.withdraw(pool, id))
    }

    /// The next request of the pools; a write of an Event when there is none, or when its turn has come.
    fn pop(&mut self) -> Option<Next> {
        if self.since_event + 1 < ONE_EVENT_IN
            && let Some(job) = self.pop_job()
        {
            self.since_event += 1;
            return Some(Next::Job(job));
        }
        self.since_event = 0;
        let event = self.events.pop_front().map(Next::Event);
        event.or_else(|| self.pop_job().map(Next::Job))
    }

    /// The next request of the work; a write of a status or of counts when there is none, or when its turn has come.
    fn pop_job(&mut self) -> Option<Job> {
        if self.since_status + 1 < ONE_STATUS_IN
            && let Some(job) = self.pop_work()
        {
            self.since_status += 1;
            return Some(job);
        }
        self.since_status = 0;
        if let Some(job) = self.status.pop() {
            return Some(job);
        }
        if self.may_count()
            && let Some(job) = self.counts.pop()
        {
            self.since_counts = 0;
            self.counted = Some(Instant::now());
            return Some(job);
        }
        self.pop_work()
    }

    fn pop_work(&mut self) -> Option<Job> {
        let job = self.work.pop()?;
        self.since_counts = self.since_counts.saturating_add(1);
        self.worked = Some(Instant::now());
        Some(job)
    }

    fn may_count(&self) -> bool {
        self.counts_from().is_some_and(|at| at <= Instant::now())
    }

    /// From when on counts may be written, if nothing else happens until then; `None`: not before an answer.
    fn counts_from(&self) -> Option<Instant> {
        if self.counts.in_flight >= COUNTS_AT_REST {
            return None;
        }
        let now = Instant::now();
        let Some(counted) = self
            .counted
            .filter(|_| self.since_counts + 1 < ONE_COUNT_IN)
        else {
            return Some(now);
        };
        let apart = counted + COUNTS_APART;
        let has_work = self.work.in_flight > 0 || !self.work.turns.is_empty();
        if has_work {
            return Some(apart);
        }
        Some(self.worked.map_or(now, |at| apart.min(at + REST)))
    }

    /// From when on something may be sent, if nothing else happens until then.
    fn opens(&self) -> Option<Instant> {
        let others = [&self.work, &self.status];
        if others.iter().any(|lane| !lane.turns.is_empty()) || !self.events.is_empty() {
            return Some(Instant::now());
        }
        self.counts_from().filter(|_| !self.counts.turns.is_empty())
    }
}

/// What a request is for.
fn sort(request: &Request) -> Sort {
    match request {
        Request::PoolStatus {
            counts_only: true, ..
        } => Sort::Counts,
        Request::PoolStatus { .. } => Sort::Status,
        Request::PoolMeta { .. }
        | Request::ClaimFinalizers { .. }
        | Request::ClaimStatus { .. }
        | Request::CreateAddress(_)
        | Request::DeleteAddress { .. }
        | Request::AddressMeta { .. }
        | Request::ReadCluster { .. }
        | Request::ReadClaim { .. }
        | Request::ReadAddress { .. } => Sort::Work,
    }
}

// === impl Lane ===

impl Lane {
    fn push(&mut self, job: Job) {
        let pool = job.pool.clone();
        self.turns.push(&pool, job);
    }

    /// The next request by turns. It counts as in flight.
    fn pop(&mut self) -> Option<Job> {
        let job = self.turns.pop()?;
        self.in_flight += 1;
        Some(job)
    }

    fn withdraw(&mut self, pool: &PoolKey, id: RequestId) -> Option<Job> {
        self.turns.withdraw(pool, |job| job.reply.id() == id)
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(in_flight: usize, rate: Option<Rate>, door: Door) -> Self {
        let all_slots = u32::try_from(in_flight.clamp(1, 1 << 16)).unwrap_or(1 << 16);
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            slots: Arc::new(Semaphore::new(all_slots as usize)),
            all_slots,
            rate,
            door,
            lost: Mutex::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect(super::LOCK)
    }

    /// Takes in a request. Never waits; once the run ends the answer is `NotSent`.
    ///
    /// `decided_on`: what the pool knew of the kinds when it decided on the request.
    pub(super) fn submit(
        &self,
        pool: &PoolKey,
        request: Request,
        decided_on: KindChanges,
        reply: ReplyPlace,
    ) {
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            // The reply place says `NotSent` by itself when it is dropped unsent.
            drop(reply);
            return;
        }
        queue.push(Job {
            pool: pool.clone(),
            request,
            decided_on,
            reply,
        });
        drop(queue);
        self.filled.notify_one();
    }

    /// Takes a request out, if it still waits here. One that is on its way asks its [`ReplyPlace`].
    pub(super) fn withdraw(&self, pool: &PoolKey, id: RequestId) {
        let job = self.queue().withdraw(pool, id);
        if let Some(Job { reply, .. }) = job {
            reply.answer(Outcome::Withdrawn);
        }
    }

    /// Sends a write of an Event, when nothing else wants to be sent or its turn has come. `None`: it was not sent, because the run
    /// ends or another process may lead.
    pub(super) async fn write_event(
        &self,
        call: Call,
        verb: &'static str,
    ) -> Option<Result<Reply, Fault>> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.closed {
                return None;
            }
            queue.events.push_back(EventJob { call, verb, reply });
        }
        self.filled.notify_one();
        answer.await.ok()
    }

    /// Sends what is put in, until `stop`. What waits then is answered `NotSent`; what is in flight goes on.
    pub(super) async fn run(
        self: Arc<Self>,
        router: Arc<Router>,
        failures: Arc<Failures>,
        stop: CancellationToken,
    ) {
        let dispatch = async {
            let mut bucket = self.rate.map(Bucket::new);
            loop {
                let slot = Arc::clone(&self.slots).acquire_owned().await;
                let slot = slot.expect("the semaphore is never closed");
                self.filled().await;
                if let Some(bucket) = &mut bucket {
                    bucket.take().await;
                }
                let Some(next) = self.queue().pop() else {
                    continue;
                };
                let (writer, router) = (Arc::clone(&self), Arc::clone(&router));
                let stop = stop.clone();
                failures.spawn("writer", async move {
                    let pause = match next {
                        Next::Job(job) => {
                            let sort = sort(&job.request);
                            let pause = writer.perform(job, &router, &stop).await;
                            writer.ended(sort);
                            pause
                        }
                        Next::Event(job) => writer.perform_event(job).await,
                    };
                    if let Some(pause) = pause {
                        stop.run_until_cancelled(sleep(pause)).await;
                    }
                    drop(slot);
                });
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = dispatch => {}
        }
        let left = {
            let mut queue = self.queue();
            queue.closed = true;
            (
                std::mem::take(&mut queue.work),
                std::mem::take(&mut queue.status),
                std::mem::take(&mut queue.counts),
                std::mem::take(&mut queue.events),
            )
        };
        drop(left);
    }

    /// Returns once nothing is in flight.
    pub(super) async fn drained(&self) {
        let all = self.slots.acquire_many(self.all_slots).await;
        drop(all);
    }

    /// Whether no write of ours can still be under way: every one was answered, and what was lost is long over for the
    /// server too.
    pub(super) fn is_all_definite(&self) -> bool {
        let lost = *self.lost.lock().expect(super::LOCK);
        lost.is_none_or(|until| until < Instant::now())
    }

    /// A request of this sort has its answer: counts may wait for that.
    fn ended(&self, sort: Sort) {
        let mut queue = self.queue();
        let lane = queue.lane(sort);
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if sort == Sort::Work {
            queue.worked = Some(Instant::now());
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Waits until something may be sent.
    async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            let opens = self.queue().opens();
            match opens {
                Some(at) if at <= Instant::now() => return,
                Some(at) => _ = timeout_at(at, filled).await,
                None => filled.await,
            }
        }
    }

    /// Sends one request and gives its pool the answer. Returns for how long its place is to stay taken, when the server asked
    /// to wait: an overloaded server then meets no more requests in that time than may be in flight.
    async fn perform(
        &self,
        job: Job,
        router: &Arc<Router>,
        stop: &CancellationToken,
    ) -> Option<Duration> {
        let Job {
            pool,
            request,
            decided_on,
            mut reply,
        } = job;
        let (subject, limit) = (wire::subject(&pool, &request), wire::time_limit(&request));
        let age = self.door.absence_age;
        let knows_who_holds = subject.verb != Verb::Create || {
            let knows = router.knows_who_holds(decided_on, age);
            // At the end nobody asks discovery any more.
            stop.run_until_cancelled(knows).await.unwrap_or(false)
        };
        let started = Instant::now();
        let mut pause = None;
        let outcome = match wire::encode(&pool, &request, &self.door.served) {
            Err(unserved) => outcome::unserved(unserved.0, subject.verb),
            Ok(_) if !knows_who_holds => Outcome::NotSent { retry_after: None },
            Ok(_) if subject.verb.is_write() && !self.door.tenure.may_start(started) => {
                Outcome::NotSent { retry_after: None }
            }
            // While it waited for discovery.
            Ok(_) if reply.is_withdrawn() => Outcome::Withdrawn,
            Ok(call) => {
                reply.sent();
                let in_flight = self.door.counts.metrics().request_begins();
                // A little above what the server was asked to keep.
                let patience = limit + Duration::from_secs(1);
                let answer = transport::send(&self.door.client, call, patience, OBJECT_BYTES).await;
                drop(in_flight);
                let code = answer.as_ref().ok().map(|reply| reply.status);
                pause = answer.as_ref().ok().and_then(pause_after);
                self.door.counts.sent(&subject, code, started.elapsed());
                match outcome::meaning(&subject, &self.door.served, router.filter(), answer) {
                    Meaning::Outcome(outcome) => outcome,
                    Meaning::Conflict(message) => {
                        let reread = self.reread(&pool, &subject, router.filter()).await;
                        Outcome::Conflict(match (reread, request.resource_version()) {
                            (Reread::Found(object, _), Some(version))
                                if object.meta().resource_version == *version =>
                            {
                                Reread::Unchanged { message }
                            }
                            (reread, _) => reread,
                        })
                    }
                }
            }
        };
        if let (true, Outcome::Unknown { .. }) = (subject.verb.is_write(), &outcome) {
            let over = Instant::now() + 2 * limit;
            let mut lost = self.lost.lock().expect(super::LOCK);
            *lost = Some(lost.map_or(over, |known| known.max(over)));
        }
        self.door
            .counts
            .answered(&subject, &outcome, started.elapsed());
        router.answered(&pool, &subject, outcome, reply);
        pause
    }

    /// The same for an Event. Nothing depends on what becomes of it.
    async fn perform_event(&self, job: EventJob) -> Option<Duration> {
        let EventJob { call, verb, reply } = job;
        let started = Instant::now();
        if !self.door.tenure.may_start(started) {
            return None;
        }
        let answer = transport::send(&self.door.client, call, PATIENCE, OBJECT_BYTES).await;
        let code = answer.as_ref().ok().map(|reply| reply.status);
        let metrics = self.door.counts.metrics();
        metrics.written(verb, "events", code, started.elapsed());
        let pause = answer.as_ref().ok().and_then(pause_after);
        // Who asked may have ended with the run.
        let _ = reply.send(answer);
        pause
    }

    async fn reread(&self, pool: &PoolKey, subject: &Subject<'_>, filter: Option<&str>) -> Reread {
        let Ok(call) = wire::reread(pool, subject, &self.door.served) else {
            return Reread::Unread;
        };
        let answer = transport::send(&self.door.client, call, PATIENCE, OBJECT_BYTES).await;
        outcome::reread(subject, &self.door.served, filter, answer)
    }
}
