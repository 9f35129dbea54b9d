//! The writer: the one thread that writes. It takes all changes that wait, carries them out in one redb transaction, syncs once,
//! publishes the events, and answers each change. It ends when the store is dropped, which closes the queue. A store in memory
//! has no thread, since there is no sync to share: the caller carries out its write.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};
use tokio::sync::oneshot;

use super::change::{Action, Change, Committed, Refused};
use super::disk::{
    COLLECT, Disk, FACTS, FOUND_BY, HEADER, Header, OBJECTS, OWNED, OpenError, StoreError,
};
use super::failure::OnPanic;
use super::history::{Contained, Event, EventKind, Histories, Wakes};

/// Most changes in one transaction. Bounds the changes that a crash leaves unanswered, and the memory of a commit.
const BATCH: usize = 512;
/// How long a commit waits for as many changes as the last one had. Their callers were answered together and send their next
/// changes together; without this pause the first of these would be synced alone.
const GATHER: Duration = Duration::from_micros(300);

/// Why a write failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// The expected state does not hold.
    #[error("the store is not in the state that was expected: {0:?}")]
    Refused(Refused),
    /// The object is larger than objects may be.
    #[error("the object is too large")]
    TooLarge,
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
}

/// The sending side.
pub(super) enum Writer {
    /// The queue to the thread.
    Thread {
        // Unbounded, but each caller waits for its answer or takes its change back, so it holds at most one change per request in
        // flight.
        queue: Option<mpsc::Sender<Job>>,
        thread: Option<thread::JoinHandle<()>>,
    },
    /// No thread: the caller writes.
    Inline(Mutex<Loop>),
}

type Answer = Result<Committed, CommitError>;

pub(super) struct Job {
    change: Arc<Waiting>,
    answer: oneshot::Sender<Answer>,
}

/// A change until the writer begins with it. `None` from then on, or when its caller has gone away before.
struct Waiting(Mutex<Option<Change>>);

/// Takes a change back that is still waiting when its caller goes away: nobody waits for it, and it would keep its memory.
struct TakesBack(Arc<Waiting>);

/// The state of the thread, or of the callers in its place.
pub(super) struct Loop {
    disk: Arc<Disk>,
    histories: Arc<Histories>,
    revision: u64,
}

/// The outcome of one transaction, which is published once it is durable.
#[derive(Default)]
struct Done {
    events: Vec<(usize, Event)>,
    collect: Wakes,
    containers: Vec<Contained>,
}

struct Tables<'txn> {
    objects: Table<'txn, &'static str, &'static [u8]>,
    owned: Table<'txn, (u128, &'static str), ()>,
    found_by: Table<'txn, (&'static str, &'static str), ()>,
    collect: Table<'txn, u128, &'static str>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn start(
        disk: Arc<Disk>,
        histories: Arc<Histories>,
        revision: u64,
    ) -> Result<Self, OpenError> {
        let (queue, jobs) = mpsc::channel();
        let state = Loop {
            disk,
            histories,
            revision,
        };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || state.run(&jobs))
            .map_err(|source| OpenError::Prepare(source.to_string()))?;
        Ok(Self::Thread {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    pub(super) fn inline(disk: Arc<Disk>, histories: Arc<Histories>, revision: u64) -> Self {
        Self::Inline(Mutex::new(Loop {
            disk,
            histories,
            revision,
        }))
    }

    pub(super) fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }

    pub(super) async fn commit(&self, change: Change) -> Answer {
        let (answer, answered) = oneshot::channel();
        let change = Arc::new(Waiting(Mutex::new(Some(change))));
        let _takes_back = TakesBack(Arc::clone(&change));
        let job = Job { change, answer };
        match self {
            Self::Thread { queue, .. } => {
                let queue = queue.as_ref().ok_or(CommitError::Closed)?;
                queue.send(job).map_err(|_| CommitError::Closed)?;
            }
            // A panic of another caller aborted its transaction, and left no partial state.
            Self::Inline(state) => state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .carry_out(vec![job]),
        }
        answered.await.unwrap_or(Err(CommitError::Closed))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Self::Thread { queue, thread } = self else {
            return;
        };
        *queue = None;
        if let Some(thread) = thread.take() {
            // So that the folder can be opened again. The thread reports its own panic.
            let _ = thread.join();
        }
    }
}

// === impl Waiting ===

impl Waiting {
    fn take(&self) -> Option<Change> {
        let mut change = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change.take()
    }
}

impl Drop for TakesBack {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

// === impl Loop ===

impl Loop {
    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        let _on_panic = OnPanic(self.disk.failure.clone(), "the store's writer");
        let mut last = 0;
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            gather(jobs, &mut batch, last);
            last = batch.len();
            self.carry_out(batch);
        }
    }

    fn carry_out(&mut self, batch: Vec<Job>) {
        let (changes, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .filter_map(|job| Some((job.change.take()?, job.answer)))
            .unzip();
        if changes.is_empty() {
            return;
        }
        let before = self.revision;
        let mut done = Done::default();
        match self.transact(changes, &mut done) {
            Ok(results) => {
                self.histories
                    .publish(done.events, self.revision, done.collect);
                self.histories.contained(done.containers);
                for (answer, result) in answers.into_iter().zip(results) {
                    // When the request was cancelled nobody waits for the answer; the write stays.
                    let _ = answer.send(result.map_err(CommitError::Refused));
                }
            }
            Err(error) => {
                self.revision = before;
                self.disk.failure.set(error.to_string());
                tracing::error!(%error, writes = answers.len(), "a commit failed, its writes are refused");
                for answer in answers {
                    let _ = answer.send(Err(CommitError::Store(error.clone())));
                }
            }
        }
    }

    fn transact(
        &mut self,
        changes: Vec<Change>,
        done: &mut Done,
    ) -> Result<Vec<Result<Committed, Refused>>, StoreError> {
        let transaction = self.disk.db.begin_write()?;
        let results = self.apply_all(&transaction, changes, done)?;
        if results.iter().any(Result::is_ok) {
            let begun = Instant::now();
            transaction.commit()?;
            self.disk.commits.observe(begun.elapsed().as_secs_f64());
        } else {
            transaction.abort()?;
        }
        Ok(results)
    }

    fn apply_all(
        &mut self,
        transaction: &WriteTransaction,
        changes: Vec<Change>,
        done: &mut Done,
    ) -> Result<Vec<Result<Committed, Refused>>, StoreError> {
        let mut tables = Tables {
            objects: transaction.open_table(OBJECTS)?,
            owned: transaction.open_table(OWNED)?,
            found_by: transaction.open_table(FOUND_BY)?,
            collect: transaction.open_table(COLLECT)?,
        };
        let mut results = Vec::with_capacity(changes.len());
        for change in changes {
            results.push(if let Err(refused) = tables.check(&change)? {
                Err(refused)
            } else {
                self.revision += 1;
                Ok(tables.apply(change, self.revision, done)?)
            });
        }
        transaction
            .open_table(FACTS)?
            .insert("revision", self.revision)?;
        Ok(results)
    }
}

/// Fills the batch with the changes that wait, and waits up to [`GATHER`] for as many as the last batch had.
fn gather(jobs: &mpsc::Receiver<Job>, batch: &mut Vec<Job>, last: usize) {
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH {
        match jobs.try_recv() {
            Ok(job) => batch.push(job),
            Err(_) if batch.len() >= last => break,
            Err(_) => {
                let rest = until.saturating_duration_since(Instant::now());
                match jobs.recv_timeout(rest) {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
        }
    }
}

// === impl Tables ===

impl Tables<'_> {
    fn header(&self, key: &str) -> Result<Option<Header>, StoreError> {
        Ok(self
            .objects
            .get(key)?
            .and_then(|value| Header::read(value.value())))
    }

    fn check(&self, change: &Change) -> Result<Result<(), Refused>, StoreError> {
        if let (Some(namespace), None) = (&change.within, change.expected) {
            match self.header(namespace)? {
                None => return Ok(Err(Refused::NoNamespace)),
                Some(header) if header.deleting => return Ok(Err(Refused::NamespaceDeleting)),
                Some(_) => {}
            }
        }
        let found = self.header(&change.key)?.map(|header| header.revision);
        Ok(match (change.expected, found) {
            (None, Some(_)) => Err(Refused::Exists),
            (expected, found) if expected != found => Err(Refused::Changed),
            _ => Ok(()),
        })
    }

    fn apply(
        &mut self,
        change: Change,
        revision: u64,
        done: &mut Done,
    ) -> Result<Committed, StoreError> {
        let Change {
            kind,
            key,
            expected,
            action,
            container,
            within,
            linked,
            unlinked,
            index: (lost, gained),
            collect,
            prior,
        } = change;
        for by in lost {
            self.found_by.remove((&*by, &*key))?;
        }
        for by in gained {
            self.found_by.insert((&*by, &*key), ())?;
        }
        for owner in unlinked {
            self.owned.remove((owner, &*key))?;
            done.collect.progress += u64::from(self.let_go(owner)?);
        }
        let (event, whole) = match action {
            Action::Put {
                id,
                deleting,
                draft,
            } => {
                let whole = draft.seal(Header {
                    revision,
                    id,
                    deleting,
                });
                self.objects.insert(&*key, &*whole)?;
                for (owner, owner_key) in linked {
                    self.owned.insert((owner, &*key), ())?;
                    done.collect.work += u64::from(self.missed(owner, owner_key.as_deref())?);
                }
                if collect {
                    self.collect.insert(id, &*key)?;
                    done.collect.work += 1;
                }
                if container && deleting {
                    done.containers
                        .push(Contained::Deleting(Arc::clone(&key), id));
                }
                let event = match expected {
                    None => EventKind::Created,
                    Some(_) => EventKind::Updated,
                };
                (event, whole)
            }
            Action::Remove { id, draft } => {
                self.objects.remove(&*key)?;
                if container {
                    done.containers.push(Contained::Gone(Arc::clone(&key)));
                }
                done.containers.extend(within.map(Contained::Less));
                if self.has_dependents(id)? {
                    self.collect.insert(id, "")?;
                    done.collect.work += 1;
                } else {
                    self.collect.remove(id)?;
                }
                let header = Header {
                    revision,
                    id,
                    deleting: true,
                };
                (EventKind::Removed, draft.seal(header))
            }
        };
        let object: Bytes = whole.slice(HEADER..);
        done.events.push((
            kind,
            Event {
                revision,
                key,
                kind: event,
                object: object.clone(),
                prior,
            },
        ));
        Ok(Committed { revision, object })
    }

    fn has_dependents(&self, owner: u128) -> Result<bool, StoreError> {
        Ok(match self.owned.range((owner, "")..)?.next() {
            Some(entry) => entry?.0.value().0 == owner,
            None => false,
        })
    }

    /// Removes a dependent of an owner. Returns whether the garbage collector has to check the owner, because it waits for its
    /// dependents. An owner that is gone and has no dependent left is removed from the work list.
    fn let_go(&mut self, owner: u128) -> Result<bool, StoreError> {
        let Some(gone) = self
            .collect
            .get(owner)?
            .map(|owner_key| owner_key.value().is_empty())
        else {
            return Ok(false);
        };
        if gone && !self.has_dependents(owner)? {
            self.collect.remove(owner)?;
        }
        Ok(!gone)
    }

    /// Adds a dependent of an owner. Returns whether the garbage collector has to check the dependent, because the owner does not
    /// exist or waits for its dependents.
    fn missed(&mut self, owner: u128, owner_key: Option<&str>) -> Result<bool, StoreError> {
        if self.collect.get(owner)?.is_some() {
            return Ok(true);
        }
        let Some(owner_key) = owner_key else {
            return Ok(false);
        };
        if self
            .header(owner_key)?
            .is_some_and(|found| found.id == owner)
        {
            return Ok(false);
        }
        self.collect.insert(owner, "")?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::Limits;
    use super::super::tests::put;
    use super::*;
    use crate::metrics;
    use crate::testing;

    #[test]
    fn a_write_that_has_not_begun_goes_with_its_caller() {
        let commits = metrics::commit_seconds(&testing::product());
        let (disk, revision) = Disk::in_memory(1 << 20, commits).unwrap();
        let disk = Arc::new(disk);
        let mut state = Loop {
            disk: Arc::clone(&disk),
            histories: Arc::new(Histories::new(1, revision, Limits::default())),
            revision,
        };
        let (queue, jobs) = mpsc::channel();
        let writer = Writer::Thread {
            queue: Some(queue),
            thread: None,
        };
        let mut stays = Box::pin(writer.commit(put("/stays", None, 1)));
        let mut goes = Box::pin(writer.commit(put("/goes", None, 1)));
        assert!((&mut stays).now_or_never().is_none());
        assert!((&mut goes).now_or_never().is_none());
        drop(goes);
        state.carry_out(jobs.try_iter().collect());
        assert!(stays.now_or_never().unwrap().is_ok());
        let snapshot = disk.snapshot().unwrap();
        assert!(snapshot.get("/stays").unwrap().is_some());
        assert!(snapshot.get("/goes").unwrap().is_none());
        assert_eq!(snapshot.revision(), 1);
    }
}
