//! Watches: a position in the history of a kind, and a selector. An object that stops matching is sent as deleted, one that
//! begins to match as added.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;
use crate::kinds::Resource;
use crate::registry::Registry;
use crate::registry::read::budget::{Held, ListBudget};
use crate::registry::read::{parse_version, reached, too_much};
use crate::registry::request::{
    Selectors, Target, WatchEvent, WatchEventKind, WatchOptions, WatchStream,
};
use crate::store::{Event, EventKind, Next, Snapshot, Tail};

/// How long a watch runs when the client does not say.
const TIMEOUT: Duration = Duration::from_mins(30);
/// Pause between bookmarks of a watch without events.
const BOOKMARKS: Duration = Duration::from_mins(1);
/// Longest that a watch runs, whatever timeout the client asks for.
const MOST: Duration = Duration::from_hours(24);

struct Watch {
    resource: Arc<Resource>,
    prefix: String,
    selectors: Selectors,
    bookmarks: bool,
    /// The snapshot of the first state, until it was read. Not longer: a client that stops reading must not keep a snapshot.
    begin: Option<Snapshot>,
    tail: Tail,
    /// Events that were read and not sent yet, each with its revision. Those of the first state have none.
    ready: VecDeque<(Option<u64>, WatchEvent)>,
    /// What the first state is taken from, and what it has taken until all of it was sent.
    budget: Option<ListBudget>,
    held: Held,
    ends: Instant,
    next_bookmark: Instant,
    closed: CancellationToken,
    over: bool,
}

impl Registry {
    /// Watches a collection or one object. An error that is known at once is returned; a later one is the stream's last event.
    ///
    /// # Errors
    /// A resourceVersion that cannot be read or that was not reached yet.
    pub fn watch(&self, target: &Target, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        let snapshot = self.inner.store.snapshot()?;
        let resource = Arc::clone(&target.resource);
        let asked = parse_version(options.resource_version.as_deref())?;
        let (begin, from) = if let Some(asked) = asked {
            reached(asked, snapshot.revision())?;
            (None, asked)
        } else {
            let from = snapshot.revision();
            (Some(snapshot), from)
        };
        let now = Instant::now();
        let mut prefix = target.prefix();
        if let Some(name) = &target.name {
            prefix = target.key(name);
        }
        let watch = Watch {
            tail: self.inner.store.follow(resource.index, from),
            resource,
            prefix,
            selectors: options.selectors.clone(),
            bookmarks: options.bookmarks,
            begin,
            ready: VecDeque::new(),
            budget: options.budget.clone(),
            held: Held::default(),
            ends: now + options.timeout.unwrap_or(TIMEOUT).min(MOST),
            next_bookmark: now + BOOKMARKS,
            closed: self.inner.closed.clone(),
            over: false,
        };
        Ok(Box::pin(futures::stream::unfold(
            watch,
            |mut watch| async move { watch.next().await.map(|event| (event, watch)) },
        )))
    }
}

impl Watch {
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            // Also between events that were read together: a slow client gets none of them after the timeout.
            self.check_deadline(Instant::now());
            if let Some((_, event)) = self.ready.pop_front() {
                return Some(event);
            }
            self.held = Held::default();
            if self.over {
                return None;
            }
            if let Some(snapshot) = self.begin.take() {
                self.read_first_state(&snapshot);
                continue;
            }
            match self.tail.next() {
                Next::Events(events) => {
                    for event in events {
                        if let Some(told) = self.tell(&event) {
                            self.ready.push_back((Some(event.revision), told));
                        }
                    }
                }
                Next::TooOld(oldest) => {
                    self.fail(&ApiError::too_old(self.tail.at(), oldest));
                }
                Next::Nothing => self.wait().await,
            }
        }
    }

    /// Waits for an event, or for the time of a bookmark or of the timeout.
    async fn wait(&mut self) {
        let bookmark = self.bookmarks.then_some(self.next_bookmark);
        let until = bookmark.map_or(self.ends, |at| at.min(self.ends));
        tokio::select! {
            () = self.tail.changed() => {}
            () = self.closed.cancelled() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// Ends the watch at its timeout, and sends a bookmark when one is due.
    fn check_deadline(&mut self, now: Instant) {
        if self.over {
            return;
        }
        let ends = now >= self.ends;
        self.over = ends || self.closed.is_cancelled();
        // The last bookmark says where the next watch can start: before the events that were not sent.
        let reached = match self.ready.front() {
            _ if self.begin.is_some() => None,
            None => Some(self.tail.at()),
            Some((first, _)) if self.over => first.map(|first| first - 1),
            // No bookmark before events that are to be sent.
            Some(_) => None,
        };
        if self.over {
            self.ready.clear();
        }
        let due = ends || now >= self.next_bookmark;
        if self.bookmarks
            && due
            && let Some(reached) = reached
        {
            self.next_bookmark = now + BOOKMARKS;
            let bookmark = self.bookmark(reached);
            self.ready.push_back((None, bookmark));
        }
    }

    /// Reads all selected objects at once, as a list does.
    fn read_first_state(&mut self, snapshot: &Snapshot) {
        let mut found = VecDeque::new();
        let mut held = Held::default();
        let mut is_too_much = false;
        let scanned = snapshot.scan(&self.prefix, None, |key, stored| {
            if !self.is_selected(key, &stored.object) {
                return ControlFlow::Continue(());
            }
            if let Some(budget) = &self.budget
                && !budget.take(&mut held, stored.object.len())
            {
                is_too_much = true;
                return ControlFlow::Break(());
            }
            let event = WatchEvent {
                kind: WatchEventKind::Added,
                object: stored.object,
            };
            found.push_back((None, event));
            ControlFlow::Continue(())
        });
        if is_too_much {
            return self.fail(&too_much());
        }
        (self.ready, self.held) = (found, held);
        if let Err(error) = scanned {
            self.fail(&error.into());
        }
    }

    /// Whether the object with this key and text is watched.
    fn is_selected(&self, key: &str, object: &[u8]) -> bool {
        // A watch of one object has its key as prefix, with which other keys may begin.
        if !(self.prefix.ends_with('/') || key == self.prefix) {
            return false;
        }
        if self.selectors.is_empty() {
            return true;
        }
        let (namespace, name) = self.resource.split_key(key);
        self.selectors.matches(namespace, name, object)
    }

    fn tell(&self, event: &Event) -> Option<WatchEvent> {
        if !event.key.starts_with(&self.prefix) {
            return None;
        }
        let is = self.is_selected(&event.key, &event.object);
        let was = match &event.prior {
            Some(prior) if self.selectors.needs_object() => self.is_selected(&event.key, prior),
            _ => is,
        };
        let told = |kind, object: &Bytes| {
            Some(WatchEvent {
                kind,
                object: object.clone(),
            })
        };
        match (event.kind, was, is) {
            (EventKind::Created, _, true) | (EventKind::Updated, false, true) => {
                told(WatchEventKind::Added, &event.object)
            }
            (EventKind::Updated, true, true) => told(WatchEventKind::Modified, &event.object),
            (EventKind::Updated, true, false) => {
                let prior = event.prior.as_ref().unwrap_or(&event.object);
                told(
                    WatchEventKind::Deleted,
                    &with_version(prior, event.revision),
                )
            }
            (EventKind::Removed, true, _) => told(WatchEventKind::Deleted, &event.object),
            (EventKind::Created, _, false)
            | (EventKind::Updated, false, false)
            | (EventKind::Removed, false, _) => None,
        }
    }

    fn bookmark(&self, reached: u64) -> WatchEvent {
        let object = json!({
            "kind": self.resource.kind,
            "apiVersion": self.resource.api_version(),
            "metadata": {
                "resourceVersion": reached.to_string(),
                "creationTimestamp": null,
            },
        });
        WatchEvent {
            kind: WatchEventKind::Bookmark,
            object: Bytes::from(object.to_string()),
        }
    }

    fn fail(&mut self, error: &ApiError) {
        self.over = true;
        let event = WatchEvent {
            kind: WatchEventKind::Error,
            object: error.to_json(),
        };
        self.ready.push_back((None, event));
    }
}

/// The object with the revision of the write that took it out of the selection.
fn with_version(object: &Bytes, revision: u64) -> Bytes {
    match serde_json::from_slice::<Value>(object) {
        Ok(mut value) => {
            value["metadata"]["resourceVersion"] = revision.to_string().into();
            Bytes::from(value.to_string())
        }
        Err(_) => object.clone(),
    }
}
