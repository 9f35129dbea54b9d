//! Tasks whose end is noticed: a panic, or an end that nobody asked for, ends the run with the task's name.

use std::any::Any;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one run and the first failure among them.
#[derive(Debug, Default)]
pub(super) struct Failures {
    first: Mutex<Option<Failure>>,
    failed: CancellationToken,
    tasks: TaskTracker,
}

/// A task that ended although it should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) task: Cow<'static, str>,
    pub(super) what: String,
}

impl Failures {
    /// Runs a task that may end, but not by a panic.
    pub(super) fn spawn(
        self: &Arc<Self>,
        task: impl Into<Cow<'static, str>>,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (failures, task) = (Arc::clone(self), task.into());
        self.tasks.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                failures.report(task, said(&*panic));
            }
        });
    }

    /// Runs a task that shall go on until `stop`.
    pub(super) fn spawn_lasting(
        self: &Arc<Self>,
        task: impl Into<Cow<'static, str>>,
        stop: CancellationToken,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (failures, task) = (Arc::clone(self), task.into());
        let name = task.clone();
        self.spawn(name, async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => {
                    if !stop.is_cancelled() {
                        failures.report(task, "ended by itself".to_owned());
                    }
                }
            }
        });
    }

    /// Notes a failure; only the first counts, the others follow from it.
    pub(super) fn report(&self, task: Cow<'static, str>, what: String) {
        let failure = Failure { task, what };
        if let Ok(mut first) = self.first.lock() {
            first.get_or_insert_with(|| failure.clone());
        }
        self.failed.cancel();
        let Failure { task, what } = failure;
        tracing::error!(%task, what, "a task failed");
    }

    /// Returns once a task has failed.
    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    pub(super) fn first(&self) -> Option<Failure> {
        self.first.lock().ok().and_then(|first| first.clone())
    }

    /// Returns once every task has ended.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The message of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_and_an_unasked_end_are_failures_an_asked_one_is_not() {
        let failures = Arc::new(Failures::default());
        let stop = CancellationToken::new();
        failures.spawn_lasting("watch", stop.clone(), std::future::pending());
        stop.cancel();
        failures.ended().await;
        assert_eq!(failures.first(), None);

        let failures = Arc::new(Failures::default());
        failures.spawn_lasting("watch", CancellationToken::new(), async {});
        failures.failed().await;
        failures.spawn("writer", async { panic!("no way") });
        failures.ended().await;
        let want = Failure {
            task: "watch".into(),
            what: "ended by itself".into(),
        };
        assert_eq!(failures.first(), Some(want));

        let failures = Arc::new(Failures::default());
        failures.spawn("writer", async { panic!("no way") });
        failures.failed().await;
        assert_eq!(failures.first().unwrap().what, "panicked: no way");
    }
}
