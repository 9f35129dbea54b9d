//! Watches for subcommands that look on: one task per kind lists it page by page and then watches it, until the subcommand ends.
//!
//! The requests are the manager's own (`controller`): a list without a resourceVersion, a watch that the server is asked to end
//! soon, so that a dead connection is noticed, and objects that cannot be read one by one. A failure ends nothing here. It is
//! passed on as [`Change::Trouble`], and the task tries again.

use std::time::Duration;

use anyhow::Context;
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::api::{Kind, Origin, WireObject};
use crate::controller::{
    Event, Missing, PAGE_BYTES, Pages, Unreadable, Watch, WatchEnd, event, refused_read, version_of,
};
use crate::pool::Name;

/// Changes that may wait until they are taken; a watch waits when there are more.
const WAITING: usize = 256;
/// Time after which the server shall end a watch. A connection that died without a word is noticed then at the latest.
const WATCH: Duration = Duration::from_secs(25);
/// Time beyond that after which a watch counts as dead.
const GRACE: Duration = Duration::from_secs(5);
/// Time before something that failed is tried again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// Time after which a kind that the server does not have is looked for again.
const ABSENT: Duration = Duration::from_secs(30);

/// What a watch has shown.
#[derive(Debug)]
pub(super) enum Change {
    /// The server does not have this kind.
    Absent(Kind),
    /// A list of the kind begins.
    Listing(Kind),
    /// One page of the list.
    Page(Kind, Vec<Result<WireObject, Odd>>),
    /// The list ends: what was not in it does not exist.
    Listed(Kind),
    /// The object is new, or new in this form.
    Seen(Kind, Box<WireObject>),
    /// The object does not exist any more.
    Gone(Kind, Name),
    /// The object exists and cannot be read.
    Odd(Kind, Odd),
    /// The kind cannot be read now, in the server's words where it answered. `None`: it can be again.
    Trouble(Kind, Option<String>),
}

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Odd {
    /// `None`: not even its name.
    pub(super) name: Option<Name>,
    pub(super) error: String,
}

/// The changes of every kind. Dropping it ends the watches.
pub(super) struct Follow {
    changes: mpsc::Receiver<Change>,
    tasks: JoinSet<()>,
}

/// The task of one kind.
struct Task {
    client: Client,
    kind: Kind,
    namespace: Option<String>,
    out: mpsc::Sender<Change>,
    pause: Duration,
    health: Health,
}

/// How the last request of a task went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// None was answered yet.
    New,
    /// A watch was opened.
    Works,
    /// An open watch broke off. That alone is no trouble: it goes on where it was.
    BrokeOff,
    /// Trouble was passed on.
    Fails,
}

/// Why a list or a watch ended.
enum End {
    /// Discovery has to be asked again: the kind may be gone, or be served in another version.
    NotFound(String),
    /// The resourceVersion is too old: a new list is needed.
    Expired,
    /// The same can be tried again.
    Failed(String),
    /// Nobody takes changes any more.
    Closed,
}

impl Follow {
    /// Starts the watches, of one namespace or of all.
    pub(super) fn start(client: &Client, namespace: Option<&str>) -> Self {
        let (out, changes) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let task = Task {
                client: client.clone(),
                kind,
                namespace: namespace.map(str::to_owned),
                out: out.clone(),
                pause: PAUSES.0,
                health: Health::New,
            };
            tasks.spawn(task.run());
        }
        Self { changes, tasks }
    }

    /// The next change. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> anyhow::Result<Change> {
        tokio::select! {
            // Each task holds a sender and goes on as long as changes are taken, so that only a panic ends it.
            Some(change) = self.changes.recv() => Ok(change),
            Some(ended) = self.tasks.join_next() => {
                ended.context("a watch broke off; this is a fault of metal3-ipam")?;
                anyhow::bail!("a watch ended; this is a fault of metal3-ipam")
            }
        }
    }

    /// A change that waits already.
    pub(super) fn waiting(&mut self) -> Option<Change> {
        self.changes.try_recv().ok()
    }
}

impl From<WatchEnd> for End {
    fn from(ended: WatchEnd) -> Self {
        match ended {
            WatchEnd::Refused { status, body } => Self::answered(status, &body),
            WatchEnd::Failed(why) => Self::lost(&why),
            WatchEnd::TooLong => Self::Expired,
        }
    }
}

impl From<Missing> for End {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Answer { status, body } => Self::answered(status, &body),
            Missing::Failed(why) => Self::lost(&why),
        }
    }
}

impl End {
    fn answered(status: u16, body: &[u8]) -> Self {
        match status {
            404 => Self::NotFound(refused_read(status, body)),
            410 => Self::Expired,
            401 => Self::Failed(format!(
                "{}; renew the credentials of the kubeconfig",
                refused_read(status, body)
            )),
            403 => Self::Failed(format!(
                "{}; grant both to this user",
                refused_read(status, body)
            )),
            _ => Self::Failed(refused_read(status, body)),
        }
    }

    fn lost(why: &str) -> Self {
        Self::Failed(format!("{why}; check the way to the API server"))
    }
}

impl From<Unreadable> for Odd {
    fn from(odd: Unreadable) -> Self {
        Self {
            name: odd.name,
            error: odd.error,
        }
    }
}

impl Task {
    async fn run(mut self) {
        while self.discover().await.is_ok() {}
    }

    /// Asks for the version of the kind, and follows it there until that has to be asked again.
    async fn discover(&mut self) -> Result<(), Closed> {
        match version_of(&self.client, self.kind).await {
            Ok(Some(version)) => {
                let path = self.kind.collection(version, self.namespace.as_deref());
                let why = self.follow(&path).await?;
                self.fails(why).await
            }
            Ok(None) => {
                self.send(Change::Absent(self.kind)).await?;
                match self.kind.origin() {
                    Origin::Ours => {
                        let why = "the server does not have this kind; install the definitions: metal3-ipam crds";
                        let why = Some(why.to_owned());
                        self.send(Change::Trouble(self.kind, why)).await?;
                        self.health = Health::Fails;
                    }
                    Origin::ClusterApi => self.works().await?,
                }
                sleep(ABSENT).await;
                Ok(())
            }
            Err(why) => {
                self.fails(format!("{why}; check the way to the API server"))
                    .await
            }
        }
    }

    /// Lists and watches until discovery has to be asked again. Returns why.
    async fn follow(&mut self, path: &str) -> Result<String, Closed> {
        loop {
            let mut revision = match self.list(path).await {
                Ok(revision) => revision,
                Err(End::NotFound(why)) => return Ok(why),
                Err(End::Expired) => {
                    sleep(PAUSES.0).await;
                    continue;
                }
                Err(End::Failed(why)) => {
                    self.fails(why).await?;
                    continue;
                }
                Err(End::Closed) => return Err(Closed),
            };
            loop {
                let before = (Instant::now(), revision.clone());
                match self.watch(path, &mut revision).await {
                    Ok(()) => {
                        if before.0.elapsed() < PAUSES.0 && before.1 == revision {
                            sleep(PAUSES.0).await;
                        }
                    }
                    Err(End::NotFound(why)) => return Ok(why),
                    Err(End::Expired) => break,
                    Err(End::Failed(why)) => self.fails(why).await?,
                    Err(End::Closed) => return Err(Closed),
                }
            }
        }
    }

    /// Passes the whole list on. Returns its resourceVersion.
    async fn list(&mut self, path: &str) -> Result<String, End> {
        let mut pages = Pages::new(self.client.clone(), self.kind, PAGE_BYTES);
        let mut next = String::new();
        self.send(Change::Listing(self.kind)).await?;
        loop {
            let page = pages.page(path, &next).await?;
            let objects = page.objects.into_iter();
            let objects = objects.map(|object| object.map_err(Odd::from)).collect();
            self.send(Change::Page(self.kind, objects)).await?;
            if page.next.is_empty() {
                self.send(Change::Listed(self.kind)).await?;
                return Ok(page.revision);
            }
            next = page.next;
        }
    }

    /// One watch from a resourceVersion, which moves on with every event. `Ok`: the server ended it in an orderly way.
    async fn watch(&mut self, path: &str, revision: &mut String) -> Result<(), End> {
        let target = format!(
            "{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={revision}",
            WATCH.as_secs()
        );
        let deadline = Instant::now() + WATCH + GRACE;
        let mut watch = Watch::open(&self.client, target, deadline).await?;
        self.works().await?;
        while watch.fill(deadline).await? {
            while let Some(line) = watch.line() {
                let (change, seen) = match event(self.kind, line).map_err(End::Failed)? {
                    Event::Changed { object, .. } => {
                        let seen = object.metadata.resource_version.to_string();
                        (Some(Change::Seen(self.kind, Box::new(object))), seen)
                    }
                    Event::Ended(object) => {
                        let seen = object.metadata.resource_version.to_string();
                        let name = Name::of(&object.metadata);
                        (Some(Change::Gone(self.kind, name)), seen)
                    }
                    Event::Bookmark(seen) => (None, seen),
                    Event::Error { code: 410, .. } => return Err(End::Expired),
                    Event::Error { code, message } => {
                        let why = format!("the watch ended with {code}: {message}");
                        return Err(End::Failed(why));
                    }
                    Event::Odd { odd, ended } => {
                        let seen = odd.revision.clone().ok_or(End::Expired)?;
                        let change = match (&odd.name, ended) {
                            (Some(name), Some(_)) => Change::Gone(self.kind, name.clone()),
                            (_, None) | (None, Some(_)) => Change::Odd(self.kind, odd.into()),
                        };
                        (Some(change), seen)
                    }
                };
                if let Some(change) = change {
                    self.send(change).await?;
                }
                if !seen.is_empty() {
                    *revision = seen;
                }
            }
        }
        Ok(())
    }

    /// A request has failed: passes on why, and waits before the next.
    async fn fails(&mut self, why: String) -> Result<(), Closed> {
        self.health = match self.health {
            Health::Works => Health::BrokeOff,
            Health::New | Health::BrokeOff | Health::Fails => {
                self.send(Change::Trouble(self.kind, Some(why))).await?;
                Health::Fails
            }
        };
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }

    /// A watch is open.
    async fn works(&mut self) -> Result<(), Closed> {
        self.pause = PAUSES.0;
        if self.health == Health::Fails {
            self.send(Change::Trouble(self.kind, None)).await?;
        }
        self.health = Health::Works;
        Ok(())
    }

    async fn send(&self, change: Change) -> Result<(), Closed> {
        self.out.send(change).await.map_err(|_| Closed)
    }
}

/// Nobody takes changes any more.
#[derive(Debug)]
struct Closed;

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}
