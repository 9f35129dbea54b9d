//! Records why the server cannot go on: an error of the disk, or a panic of a necessary task. After its first I/O error redb
//! refuses everything until the file is opened again, so the server has to end.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::disk::StoreError;

/// The first failure of a store and its tasks. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    why: OnceLock<String>,
    happened: CancellationToken,
}

/// Reports a panic of the thread that drops it.
pub(super) struct OnPanic(pub(super) Failure, pub(super) &'static str);

impl Failure {
    /// Records why the server cannot go on. Only the first reason is kept.
    pub(crate) fn set(&self, why: String) {
        if self.0.why.set(why).is_ok() {
            self.0.happened.cancel();
        }
    }

    /// Records that a task panicked, with the panic's message.
    pub(crate) fn panicked(&self, task: &str, panic: &(dyn Any + Send)) {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("without a message");
        self.set(format!("{task} panicked: {text}"));
    }

    /// Returns the result, and records its error.
    pub(super) fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.set(error.to_string());
        }
        result
    }

    /// Why the server cannot go on.
    pub(crate) fn why(&self) -> Option<&str> {
        self.0.why.get().map(String::as_str)
    }

    /// Returns when the server cannot go on, with the reason.
    pub(crate) async fn happened(&self) -> &str {
        self.0.happened.cancelled().await;
        self.why().unwrap_or_default()
    }
}

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .set(format!("{} panicked; what it said is above", self.1));
        }
    }
}
