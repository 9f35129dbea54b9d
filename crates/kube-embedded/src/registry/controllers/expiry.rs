//! Deletes Events after an hour, and snapshots of lists of which no further page was read.

use std::ops::ControlFlow;
use std::sync::Weak;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::error::ApiError;
use crate::kinds::Strategy;
use crate::registry::request::{DeleteOptions, Target};
use crate::registry::{Inner, Registry};

/// Pause between two passes.
const EVERY: Duration = Duration::from_mins(1);
/// How long an Event is kept after its last write; a real API server's default. The times in the Event do not count.
const EVENTS: Duration = Duration::from_hours(1);
/// Runs until the registry is closed or dropped.
pub(crate) async fn run(inner: Weak<Inner>) {
    let Some(closed) = inner.upgrade().map(|inner| inner.closed.clone()) else {
        return;
    };
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let Some(inner) = inner.upgrade() else {
            return;
        };
        inner.pages.sweep();
        let Ok(horizon) = inner.clock.now().checked_sub(EVENTS) else {
            continue;
        };
        if let Err(error) = (Registry { inner }).delete_old_events(horizon).await {
            tracing::warn!(%error, "old Events cannot be removed");
        }
    }
}

impl Registry {
    /// Deletes the Events whose last write was before `horizon`. It goes on after an error, and returns the first one.
    pub(crate) async fn delete_old_events(&self, horizon: Timestamp) -> Result<(), ApiError> {
        let resource = self.inner.kinds.of_strategy(Strategy::Event);
        let mut old = Vec::new();
        self.inner
            .store
            .snapshot()?
            .scan(&resource.prefix(), None, |key, stored| {
                if written(&stored.object).is_none_or(|at| at < horizon) {
                    let (namespace, name) = resource.split_key(key);
                    old.push((
                        Target::one(resource, Some(namespace), name),
                        stored.revision.to_string(),
                    ));
                }
                ControlFlow::Continue(())
            })?;
        let mut passed = Ok(());
        for (target, revision) in old {
            let options = DeleteOptions {
                resource_version: Some(revision),
                ..DeleteOptions::default()
            };
            match self.delete(&target, &options).await {
                // It was deleted or written meanwhile.
                Err(error) if ![404, 409].contains(&error.code) => passed = passed.and(Err(error)),
                _ => {}
            }
        }
        passed
    }
}

/// When an Event was last written, by the times that this server puts into it: its creation, and its managedFields.
fn written(event: &[u8]) -> Option<Timestamp> {
    let event: Value = serde_json::from_slice(event).ok()?;
    let metadata = event.get("metadata")?;
    let entries = metadata.get("managedFields").and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    let times = entries.filter_map(|entry| entry.get("time"));
    times
        .chain(metadata.get("creationTimestamp"))
        .filter_map(|time| time.as_str()?.parse().ok())
        .max()
}
