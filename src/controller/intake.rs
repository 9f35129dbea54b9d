//! One task per kind: discover, list, watch, and again.
//!
//! ```text
//!   discovery --absent--> wait, ask again
//!       | version
//!       v
//!     list, page by page --> reset(what is gone) --> watch from the list's revision --clean end--> watch from the last revision
//!       ^                                               | 410                    | 404
//!       +-----------------------------------------------+                        +--> discovery
//! ```
//!
//! The lists are in `intake/list.rs`. An object that cannot be read delays no other (A12).

mod list;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::pool::{By, KindState, Name};

use super::backoff::Backoff;
use super::discovery;
use super::failure::Failures;
use super::kinds::Listing;
use super::pages::{Missing, Pages};
use super::reading::{self, Event, Unreadable};
use super::router::Router;
use super::served::Served;
use super::status::refused_read;
use super::term::Term;
use super::view::Counts;
use super::watch::{Watch, WatchEnd};
use crate::api::{Kind, Origin};

/// Seconds after which the server shall end a watch, spread so that six watches do not end at once. Short, since a connection
/// that died without a word is noticed only then: no event is missed for more than a minute. A new watch from the last
/// revision costs one request.
const WATCH_SECONDS: (u64, u64) = (40, 48);
/// Time beyond that after which a watch counts as dead.
const GRACE: Duration = Duration::from_secs(8);
/// Failures in a row after which the kind counts as not watched, and time after which it does with fewer.
const BLIND_AFTER: u32 = 3;
const BLIND_WITHIN: Duration = Duration::from_secs(30);
/// Failures in a row after which the kind is listed anew: a list may be served where a watch is not.
const LIST_AFTER: u32 = 6;
/// A watch that ends sooner than this without an event counts as failed.
const HASTY: Duration = Duration::from_secs(1);

/// The task of one kind.
pub(super) struct Intake {
    kind: Kind,
    client: Client,
    router: Arc<Router>,
    served: Arc<Served>,
    counts: Arc<Counts>,
    namespace: Option<String>,
    discovery_interval: Duration,
    backoff: Backoff,
    /// Whether an object of this kind was ever seen: then it never counts as absent again (A3).
    ever_seen: bool,
    /// Whether it was ever listed completely.
    ever_listed: bool,
    /// The newest revision of a list or an event of the kind; 0 as long as none was a number.
    newest: u64,
    /// Since when lists are older than that.
    old_lists_since: Option<Instant>,
    /// What is wrong, as it was logged last.
    said: Option<String>,
    pages: Pages,
    /// Watches that have failed since one has shown anything, and since when.
    failed: u32,
    failing_since: Option<Instant>,
    failures: Arc<Failures>,
}

/// What all intakes share.
#[derive(Clone)]
pub(super) struct Intakes {
    pub(super) client: Client,
    pub(super) router: Arc<Router>,
    pub(super) served: Arc<Served>,
    pub(super) counts: Arc<Counts>,
    pub(super) namespace: Option<String>,
    pub(super) discovery_interval: Duration,
    pub(super) seed: u64,
    pub(super) failures: Arc<Failures>,
    /// Longest page of a list, in bytes.
    pub(super) page_bytes: usize,
}

/// Why a list or a watch ended.
#[derive(Debug)]
enum End {
    /// 404: the kind may be gone, or be served in another version.
    NotFound(String),
    /// 410, or a list that changed under its pages: begin with a new list.
    Expired,
    /// Try the same again, later.
    Failed(String),
}

impl From<WatchEnd> for End {
    fn from(ended: WatchEnd) -> Self {
        match ended {
            WatchEnd::Refused { status, body } => end(status, &body),
            WatchEnd::Failed(why) => Self::Failed(why),
            WatchEnd::TooLong => Self::Expired,
        }
    }
}

impl From<Missing> for End {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Answer { status, body } => end(status, &body),
            Missing::Failed(why) => Self::Failed(why),
        }
    }
}

impl Intake {
    pub(super) fn new(kind: Kind, all: Intakes) -> Self {
        let Intakes {
            client,
            router,
            served,
            counts,
            namespace,
            discovery_interval,
            seed,
            failures,
            page_bytes,
        } = all;
        let number = Kind::ALL
            .iter()
            .position(|k| *k == kind)
            .unwrap_or_default();
        Self {
            kind,
            pages: Pages::new(client.clone(), kind, page_bytes),
            client,
            router,
            served,
            counts,
            namespace,
            discovery_interval,
            backoff: Backoff::new(seed.wrapping_add(number as u64 + 1)),
            ever_seen: false,
            ever_listed: false,
            newest: 0,
            old_lists_since: None,
            said: None,
            failed: 0,
            failing_since: None,
            failures,
        }
    }

    /// Lists and watches the kind for as long as the process runs.
    pub(super) async fn run(mut self) {
        loop {
            let (asked, at) = (self.router.terms().current(), Instant::now());
            match discovery::version_of(&self.client, self.kind).await {
                Ok(Some(version)) => {
                    if self.served.version(self.kind) != Some(version) {
                        info!(kind = %self.kind, version, "kind is served");
                    }
                    self.served.set(self.kind, Some(version));
                    if !self.ever_listed {
                        // It may have counted as absent: from now on its list is waited for.
                        self.router.kind_is(self.kind, KindState::Pending);
                    }
                    let why = self.follow(version).await;
                    self.trouble(why);
                    self.pause().await;
                }
                Ok(None) => {
                    self.absent(asked, at);
                    let router = Arc::clone(&self.router);
                    tokio::select! {
                        biased;
                        () = router.terms().after(asked) => {}
                        () = router.absences().outdated(self.kind, at) => {}
                        () = sleep(self.discovery_interval) => {}
                    }
                }
                Err(why) => {
                    self.trouble(why);
                    self.pause().await;
                }
            }
        }
    }

    /// Discovery says that the server does not have the kind.
    fn absent(&mut self, asked: Term, at: Instant) {
        self.served.set(self.kind, None);
        self.backoff.reset();
        match (self.kind.origin(), self.ever_seen) {
            (Origin::ClusterApi, false) => {
                if self.said.take().is_some() || !self.ever_listed {
                    debug!(kind = %self.kind, "not installed; looked for again from time to time");
                }
                self.ever_listed = false;
                self.counts.trouble(self.kind, None);
                self.router
                    .not_there(self.kind, KindState::Absent, asked, at);
            }
            (Origin::Ours, false) if !self.ever_listed => self.trouble(
                "the server does not have this kind; install the custom resource definitions: metal3-ipam crds | kubectl apply -f -"
                    .to_owned(),
            ),
            (Origin::Ours | Origin::ClusterApi, _) => {
                self.trouble("the server no longer has this kind; what is known of it stays held".to_owned());
                self.router
                    .not_there(self.kind, KindState::Unavailable, asked, at);
            }
        }
    }

    /// Lists and watches until discovery has to be asked again. Returns why.
    async fn follow(&mut self, version: &'static str) -> String {
        let router = Arc::clone(&self.router);
        loop {
            let term = match self.kind {
                Kind::Addresses(_) => router.addresses_begin().await,
                Kind::Pools | Kind::Claims(_) | Kind::Clusters => router.terms().current(),
            };
            let mut revision = match self.list(version).await {
                Ok(revision) => revision,
                Err(End::NotFound(why)) => return why,
                Err(End::Expired) => {
                    self.counts.restarted(self.kind, "expired");
                    self.pause().await;
                    continue;
                }
                Err(End::Failed(why)) => {
                    self.trouble(why);
                    self.pause().await;
                    continue;
                }
            };
            if self.listed(term) == Listing::Outdated {
                continue;
            }
            loop {
                let started = Instant::now();
                let before = revision.clone();
                let watched = tokio::select! {
                    biased;
                    // We came to lead: a new list holds what the leader before wrote last.
                    () = router.terms().after(term) => {
                        self.counts.restarted(self.kind, "new_term");
                        break;
                    }
                    watched = self.watch(version, &mut revision) => watched,
                };
                match watched {
                    Ok(()) => {
                        self.counts.restarted(self.kind, "ended");
                        if started.elapsed() < HASTY && before == revision {
                            let lists = self.watch_failed("the watch ended at once");
                            self.pause().await;
                            if lists {
                                break;
                            }
                        } else {
                            self.sees_again();
                            self.backoff.reset();
                        }
                    }
                    Err(End::NotFound(why)) => {
                        self.counts.restarted(self.kind, "not_found");
                        return why;
                    }
                    Err(End::Expired) => {
                        self.counts.restarted(self.kind, "expired");
                        if started.elapsed() < HASTY && before == revision {
                            self.watch_failed("the watch expired at once");
                            self.pause().await;
                        }
                        break;
                    }
                    Err(End::Failed(why)) => {
                        self.counts.restarted(self.kind, "failed");
                        if before != revision {
                            self.backoff.reset();
                        }
                        let lists = self.watch_failed(&why);
                        self.pause().await;
                        if lists {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// A watch failed. Logged once it has failed for a while; returns whether the kind is to be listed anew.
    fn watch_failed(&mut self, why: &str) -> bool {
        debug!(kind = %self.kind, why, "watch failed; it goes on from where it was");
        self.failed += 1;
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if self.is_blind() || since.elapsed() >= BLIND_WITHIN {
            self.failed = self.failed.max(BLIND_AFTER);
            self.trouble(format!("changes of it are not heard of: {why}"));
        }
        self.failed.is_multiple_of(LIST_AFTER)
    }

    /// Whether watches have failed for so long that the kind counts as not watched.
    fn is_blind(&self) -> bool {
        self.failed >= BLIND_AFTER
    }

    /// A watch has shown something, or has ended in an orderly way.
    fn sees_again(&mut self) {
        if self.is_blind() {
            info!(kind = %self.kind, "watched again");
            self.said = None;
            self.counts.trouble(self.kind, None);
        }
        self.failed = 0;
        self.failing_since = None;
    }

    fn listed(&mut self, begun: Term) -> Listing {
        // A list does not show that events come again.
        if !self.is_blind() {
            if self.said.take().is_some() || !self.ever_listed {
                info!(kind = %self.kind, "listed and watched");
            }
            if self.failed == 0 {
                self.backoff.reset();
            }
            self.counts.trouble(self.kind, None);
        }
        self.ever_listed = true;
        self.router.listed(self.kind, begun)
    }

    /// Watches from `revision` on, and moves it. `Ok` when the server ended the watch in an orderly way.
    async fn watch(&mut self, version: &'static str, revision: &mut String) -> Result<(), End> {
        let path = self.kind.collection(version, self.namespace.as_deref());
        let seconds = self.backoff.between(WATCH_SECONDS.0, WATCH_SECONDS.1);
        let target = format!(
            "{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={revision}"
        );
        let deadline = Instant::now() + Duration::from_secs(seconds) + GRACE;
        let mut watch = Watch::open(&self.client, target, deadline).await?;
        while watch.fill(deadline).await? {
            while let Some(line) = watch.line() {
                self.event(version, line, revision)?;
                self.sees_again();
            }
        }
        Ok(())
    }

    fn event(
        &mut self,
        version: &'static str,
        line: &[u8],
        revision: &mut String,
    ) -> Result<(), End> {
        let event = reading::event(self.kind, line).map_err(End::Failed)?;
        self.counts.event(self.kind, event.name());
        let seen = match event {
            Event::Changed { object, .. } => {
                let seen = object.metadata.resource_version.to_string();
                self.ever_seen = true;
                self.router.seen(self.kind, version, By::Event, object);
                seen
            }
            Event::Ended(object) => {
                let name = Name::of(&object.metadata);
                let meta = &object.metadata;
                self.router
                    .gone(self.kind, &name, &meta.uid, &meta.resource_version);
                object.metadata.resource_version.to_string()
            }
            Event::Bookmark(seen) => seen,
            Event::Error { code: 410, .. } => return Err(End::Expired),
            Event::Error { code, message } => {
                let why = format!("the watch ended with {code}: {message}");
                return Err(End::Failed(why));
            }
            // Left alone when at least the version is clear, else the watch starts anew.
            Event::Odd { odd, ended } => {
                self.left_alone(&odd);
                if let (Some(name), Some(uid)) = (&odd.name, &ended) {
                    let version = odd.revision.as_deref().unwrap_or_default().into();
                    self.router.gone(self.kind, name, uid, &version);
                }
                odd.revision.ok_or(End::Expired)?
            }
        };
        if !seen.is_empty() {
            self.newest = self.newest.max(seen.parse().unwrap_or(0));
            *revision = seen;
        }
        Ok(())
    }

    fn left_alone(&self, odd: &Unreadable) {
        let (kind, object, error) = (self.kind, odd.described(), &odd.error);
        warn!(%kind, object, error, "an object cannot be read; it is left alone");
    }

    /// Logs what is wrong and shows it in the readiness, once per change.
    fn trouble(&mut self, why: String) {
        let why = super::bounded(why);
        if self.said.as_ref() != Some(&why) {
            if self.ever_listed {
                warn!(kind = %self.kind, why, "kind cannot be watched; trying again");
            } else {
                error!(kind = %self.kind, why, "kind cannot be listed, nothing is handed out before; trying again");
            }
            self.said = Some(why.clone());
        }
        self.counts.trouble(self.kind, Some(why));
    }

    async fn pause(&mut self) {
        let delay = self.backoff.next();
        sleep(delay).await;
    }
}

/// What an answer other than 200 means for a list or a watch.
fn end(status: u16, body: &[u8]) -> End {
    match status {
        404 => End::NotFound(refused_read(status, body)),
        410 => End::Expired,
        _ => End::Failed(refused_read(status, body)),
    }
}
