//! Reads one object, or a collection in pages. All pages of a list come from one snapshot, which is kept for a minute after
//! each page. A later request for the next page is answered 410, with a token that continues with the newest objects.

pub(crate) mod budget;
pub(crate) mod continue_token;
pub(crate) mod label_selector;
pub(crate) mod selector;
pub(crate) mod watch;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::field::truncated;
use crate::kinds::Strategy;
use crate::registry::Registry;
use crate::registry::read::budget::Held;
use crate::registry::read::continue_token::{Token, VERSION};
use crate::registry::request::{ListOptions, Listed, Target, VersionMatch};
use crate::store::{Snapshot, Stored};

/// How long a snapshot is kept for the next page.
const KEPT: Duration = Duration::from_mins(1);
/// Objects from which a list without pages is long: its client needs a while until it watches from there.
const LONG: usize = 500;
/// Most snapshots that are kept. Each keeps the disk space of everything that was overwritten since.
const SNAPSHOTS: usize = 32;

const TOO_MUCH: &str = "too much is being listed at one time; ask for it in pages, with the parameter limit, or try again later";
const TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// Snapshots of lists that are being read in pages, oldest first.
#[derive(Default)]
pub(crate) struct Pages(Mutex<VecDeque<Kept>>);

/// The most that a part of a collection has.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    pub(crate) items: Option<usize>,
    /// It ends with the object that reaches them.
    pub(crate) bytes: usize,
}

/// A part of a collection.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) items: Vec<Bytes>,
    /// The last of them, when others follow.
    pub(crate) next: Option<String>,
    /// Whether the budget was used up before its end.
    pub(crate) is_too_much: bool,
}

struct Kept {
    snapshot: Arc<Snapshot>,
    until: Instant,
}

// === impl Pages ===

impl Pages {
    fn keep(&self, snapshot: &Arc<Snapshot>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|k| k.until > now && k.snapshot.revision() != snapshot.revision());
        kept.push_back(Kept {
            snapshot: Arc::clone(snapshot),
            until: now + KEPT,
        });
        while kept.len() > SNAPSHOTS {
            kept.pop_front();
        }
    }

    fn find(&self, revision: u64) -> Option<Arc<Snapshot>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|k| k.until > now);
        kept.iter()
            .find(|k| k.snapshot.revision() == revision)
            .map(|k| Arc::clone(&k.snapshot))
    }

    /// Drops the snapshots that were not read for [`KEPT`].
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|k| k.until > now);
    }

    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

// === impl Registry ===

impl Registry {
    /// The newest state of one object, at least as new as `resource_version`.
    ///
    /// # Errors
    /// `NotFound`, or a failing store.
    pub fn get(&self, target: &Target, resource_version: Option<&str>) -> Result<Bytes, ApiError> {
        let name = target.name()?;
        let snapshot = self.inner.store.snapshot()?;
        let least = match target.resource.strategy {
            // A real API server reads Events from etcd, not from its cache, with another error.
            Strategy::Event => {
                parse_version(resource_version).map_err(|error| invalid_version(&error))?
            }
            Strategy::Custom
            | Strategy::Definition
            | Strategy::Namespace
            | Strategy::Lease
            | Strategy::Plain => parse_version(resource_version)?,
        };
        if let Some(least) = least {
            reached(least, snapshot.revision()).map_err(|mut error| {
                if let (Strategy::Event, Some(details)) =
                    (target.resource.strategy, &mut error.details)
                {
                    details.retry_after_seconds = None;
                }
                error
            })?;
        }
        match snapshot.get(&target.key(name))? {
            Some(stored) => Ok(stored.object),
            None => Err(ApiError::not_found(&target.resource, name)),
        }
    }

    /// A collection, or a page of it.
    ///
    /// # Errors
    /// `BadRequest` for options that contradict each other, `Expired` when the snapshot of the list was dropped.
    pub fn list(&self, target: &Target, options: &ListOptions) -> Result<Listed, ApiError> {
        let (snapshot, token) = self.asked(options)?;
        self.page(&snapshot, target, options, token.as_ref())
    }

    /// The snapshot that a list reads from, and where in it the last page ended.
    pub(crate) fn asked(
        &self,
        options: &ListOptions,
    ) -> Result<(Arc<Snapshot>, Option<Token>), ApiError> {
        let token = options
            .continue_token
            .as_deref()
            .filter(|token| !token.is_empty())
            .map(Token::read)
            .transpose()?;
        let asked = parse_version(options.resource_version.as_deref())
            .map_err(|error| invalid_version(&error))?;
        check_version_match(options, asked, token.is_some())?;
        let mut snapshot = match &token {
            Some(token) => self.continued(token)?,
            None => Arc::new(self.inner.store.snapshot()?),
        };
        if let (Some(asked), None) = (asked, &token) {
            reached(asked, snapshot.revision())?;
            // `limit` with a resourceVersion means exactly that revision, unless resourceVersionMatch says otherwise.
            let is_page = options.limit.is_some() && options.version_match.is_none();
            let is_exact = is_page || options.version_match == Some(VersionMatch::Exact);
            if is_exact && asked != snapshot.revision() {
                snapshot = self.inner.pages.find(asked).ok_or_else(|| {
                    ApiError::expired("The resourceVersion for the provided list is too old.")
                })?;
            }
        }
        Ok((snapshot, token))
    }

    /// As [`Self::list`]. What reads from a disk may read much, and runs on a thread for blocking work.
    pub(crate) async fn list_beside(
        &self,
        target: &Target,
        options: &ListOptions,
    ) -> Result<Listed, ApiError> {
        let (target, options) = (target.clone(), options.clone());
        self.beside(move |registry| registry.list(&target, &options))
            .await?
    }

    /// Reads on a thread for blocking work, when it is read from a disk.
    pub(crate) async fn beside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if self.is_in_memory() {
            return Ok(read(self));
        }
        let registry = self.clone();
        tokio::task::spawn_blocking(move || read(&registry))
            .await
            .map_err(ApiError::internal)
    }

    fn continued(&self, token: &Token) -> Result<Arc<Snapshot>, ApiError> {
        let now = Arc::new(self.inner.store.snapshot()?);
        let Ok(revision) = u64::try_from(token.rv) else {
            return Ok(now);
        };
        if now.revision() == revision {
            return Ok(now);
        }
        self.inner.pages.find(revision).ok_or_else(|| {
            let mut error = ApiError::expired(TOO_OLD);
            let present = Token {
                rv: -1,
                v: token.v.clone(),
                start: token.start.clone(),
                left: None,
            };
            error.continue_token = Some(present.write().into());
            error
        })
    }

    fn page(
        &self,
        snapshot: &Arc<Snapshot>,
        target: &Target,
        options: &ListOptions,
        token: Option<&Token>,
    ) -> Result<Listed, ApiError> {
        let most = Most {
            items: options.limit.filter(|limit| *limit > 0),
            bytes: usize::MAX,
        };
        let mut held = Held::default();
        let after = token.map(|token| &*token.start);
        let part = part(snapshot, target, options, after, most, &mut held)?;
        if part.is_too_much {
            return Err(too_much());
        }
        if part.next.is_some() || token.is_some() || part.items.len() >= LONG {
            self.inner.store.hold_after(snapshot.revision());
        }
        let mut listed = Listed {
            revision: snapshot.revision(),
            continue_token: None,
            remaining: None,
            items: part.items,
            held,
        };
        if let Some(start) = part.next {
            if options.selectors.is_empty() {
                // Counted once per list; later pages subtract the number of their items.
                let left = if let Some(left) = token.and_then(|token| token.left) {
                    left.saturating_sub(listed.items.len() as u64)
                } else {
                    let prefix = target.prefix();
                    snapshot.count(&prefix, &format!("{prefix}{start}"))?
                };
                listed.remaining = Some(left);
            }
            let token = Token {
                v: VERSION.to_owned(),
                rv: i64::try_from(snapshot.revision()).unwrap_or(i64::MAX),
                start,
                left: listed.remaining,
            };
            listed.continue_token = Some(token.write());
            self.inner.pages.keep(snapshot);
        }
        Ok(listed)
    }
}

/// The selected objects of a snapshot, from the one after `after` on. `held` takes their bytes of the budget.
pub(crate) fn part(
    snapshot: &Snapshot,
    target: &Target,
    options: &ListOptions,
    after: Option<&str>,
    most: Most,
    held: &mut Held,
) -> Result<Part, ApiError> {
    let prefix = &*target.prefix();
    let mut part = Part::default();
    let mut bytes = 0;
    let mut last = None;
    let mut more = false;
    let after = after.map(|after| format!("{prefix}{after}"));
    let selectors = &options.selectors;
    let mut take = |key: &str, stored: Stored| {
        // A full page has a next one when any object follows, selected or not.
        if most.items.is_some_and(|most| part.items.len() == most) || bytes >= most.bytes {
            more = true;
            return ControlFlow::Break(());
        }
        let (namespace, name) = target.resource.split_key(key);
        if !selectors.matches(namespace, name, &stored.object) {
            return ControlFlow::Continue(());
        }
        if let Some(budget) = &options.budget
            && !budget.take(held, stored.object.len())
        {
            part.is_too_much = true;
            return ControlFlow::Break(());
        }
        bytes += stored.object.len();
        part.items.push(stored.object);
        last = Some(key[prefix.len()..].to_owned());
        ControlFlow::Continue(())
    };
    // A selector for one name in one namespace is a read of one key.
    match (
        selectors.fields.name(),
        target.namespace.as_deref().or(selectors.fields.namespace()),
    ) {
        (Some(name), namespace)
            if after.is_none() && (namespace.is_some() || !target.resource.namespaced) =>
        {
            let key = target.resource.key(namespace.unwrap_or_default(), name);
            if let Some(stored) = snapshot.get(&key)?.filter(|_| key.starts_with(prefix)) {
                let _ = take(&key, stored);
            }
        }
        _ => snapshot.scan(prefix, after.as_deref(), take)?,
    }
    part.next = last.filter(|_| more || part.is_too_much);
    Ok(part)
}

/// The budget for lists is used up.
pub(crate) fn too_much() -> ApiError {
    ApiError::too_many_requests(TOO_MUCH, 1)
}

/// The resourceVersion of a query. `None` for an empty one and for `0`.
pub(crate) fn parse_version(text: Option<&str>) -> Result<Option<u64>, ApiError> {
    match text {
        None | Some("" | "0") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let text = truncated(text, 64);
            ApiError::unreasoned(format!(
                "resourceVersion: Invalid value: {text:?}: expected a number"
            ))
        }),
    }
}

/// The error of a list's resourceVersion.
fn invalid_version(error: &ApiError) -> ApiError {
    ApiError::bad_request(format!("invalid resource version: {}", error.message))
}

/// Whether this revision was reached.
pub(crate) fn reached(asked: u64, current: u64) -> Result<(), ApiError> {
    if asked > current {
        return Err(ApiError::too_large_revision(asked, current));
    }
    Ok(())
}

fn check_version_match(
    options: &ListOptions,
    asked: Option<u64>,
    continued: bool,
) -> Result<(), ApiError> {
    let given = options
        .resource_version
        .as_deref()
        .is_some_and(|version| !version.is_empty());
    let forbidden = |why: &str| {
        Err(ApiError::bad_request(format!(
            "resourceVersionMatch: Forbidden: {why}"
        )))
    };
    if continued && asked.is_some() {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    match options.version_match {
        Some(_) if continued => {
            forbidden("resourceVersionMatch is forbidden when continue is provided")
        }
        Some(_) if !given => {
            forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        Some(VersionMatch::Exact) if asked.is_none() => {
            forbidden("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"")
        }
        None | Some(VersionMatch::Exact | VersionMatch::NotOlderThan) => Ok(()),
    }
}
