//! Who is connected, and who is closed when a place is needed for someone new.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Full, Limits};

/// Too many open files, of the process and of the machine; these numbers are the same on every Unix that this runs on.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// How often it is logged that places have run out.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The places of one server.
pub(super) struct Places {
    what: &'static str,
    limits: Limits,
    table: Mutex<Table>,
    connections: Arc<Connections>,
}

/// Connections of one server or of several, counted.
#[derive(Debug, Default)]
pub struct Connections {
    of: Mutex<Vec<Weak<Places>>>,
    closed: [AtomicU64; Closed::ALL.len()],
}

/// How many connections there are at this moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Those that have not authenticated.
    pub strangers: usize,
    /// Those that have, without a request in progress.
    pub idle: usize,
    /// Those with one.
    pub busy: usize,
}

/// Why a server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Its place was needed.
    Full,
    /// It did not authenticate in time, or its life was over.
    Overdue,
    /// Its client read nothing of what was sent to it.
    Unread,
}

#[derive(Default)]
struct Table {
    /// The next connection's number; a lower number came earlier.
    next: u64,
    taken: BTreeMap<u64, Place>,
    logged: Option<Instant>,
    /// When it was logged last that nothing can be accepted.
    refused: Option<Instant>,
    /// Connections that had to go since the last line in the log.
    closed: u64,
}

struct Place {
    from: IpAddr,
    known: bool,
    /// Requests in progress.
    busy: usize,
    idle_since: Instant,
    close: CancellationToken,
}

/// One connection, as its server knows it. Clones are the same connection.
#[derive(Clone)]
pub struct Guest {
    places: Arc<Places>,
    number: u64,
    peer: IpAddr,
    accepted: Instant,
    close: CancellationToken,
    known: CancellationToken,
    ends: CancellationToken,
    answers: Arc<Mutex<Vec<Weak<Answer>>>>,
}

/// When an answer's last piece was given to the connection, in milliseconds since it was accepted, and one more; 0 while the
/// connection has asked for the next one, so that the client waits for the server.
type Answer = AtomicU64;

/// A request in progress; dropped when it has been answered.
pub struct Busy {
    guest: Guest,
    answer: Arc<Answer>,
}

// === impl Connections ===

impl Closed {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Full, Self::Overdue, Self::Unread];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Overdue => "overdue",
            Self::Unread => "unread",
        }
    }
}

impl Connections {
    pub(super) fn watch(&self, places: &Arc<Places>) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.retain(|places| places.strong_count() > 0);
        of.push(Arc::downgrade(places));
    }

    /// Those that are open now.
    pub fn open(&self) -> Counted {
        let mut counted = Counted::default();
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        for places in of.iter().filter_map(Weak::upgrade) {
            for place in places.table().taken.values() {
                let count = match (place.known, place.busy) {
                    (false, _) => &mut counted.strangers,
                    (true, 0) => &mut counted.idle,
                    (true, _) => &mut counted.busy,
                };
                *count += 1;
            }
        }
        counted
    }

    /// Those that were closed for this reason so far.
    pub fn closed(&self, why: Closed) -> u64 {
        self.closed[why as usize].load(Ordering::Relaxed)
    }

    fn closes(&self, why: Closed) {
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Places ===

impl Places {
    pub(super) fn new(what: &'static str, limits: Limits, connections: Arc<Connections>) -> Self {
        Self {
            what,
            limits,
            table: Mutex::default(),
            connections,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every place is whole at every moment, also after a panic elsewhere.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection; `None` when it has to be closed.
    pub(super) fn enter(places: &Arc<Self>, peer: IpAddr) -> Option<Guest> {
        let now = Instant::now();
        let mut table = places.table();
        if table.taken.len() >= places.limits.connections {
            let goes = table.goes(places.limits.full);
            if let Some(place) = goes.and_then(|number| table.taken.remove(&number)) {
                place.close.cancel();
            }
            places.connections.closes(Closed::Full);
            table.log(places, now);
            goes?;
        }
        let number = table.next;
        table.next += 1;
        let close = CancellationToken::new();
        table.taken.insert(
            number,
            Place {
                from: site(peer),
                known: false,
                busy: 0,
                idle_since: now,
                close: close.clone(),
            },
        );
        Some(Guest {
            places: Arc::clone(places),
            number,
            peer,
            accepted: now,
            close,
            known: CancellationToken::new(),
            ends: CancellationToken::new(),
            answers: Arc::default(),
        })
    }
}

impl Places {
    /// A connection could not be accepted. Out of file descriptors, the connection goes whose place would be given to a new one;
    /// whether one went.
    pub(super) fn cannot_accept(&self, error: &io::Error) -> bool {
        let now = Instant::now();
        let mut table = self.table();
        let is_out_of_files = matches!(error.raw_os_error(), Some(EMFILE | ENFILE));
        let goes = table.goes(self.limits.full).filter(|_| is_out_of_files);
        let place = goes.and_then(|number| table.taken.remove(&number));
        if let Some(place) = &place {
            place.close.cancel();
            self.connections.closes(Closed::Full);
        }
        if table.refused.is_none_or(|at| now >= at + LOG_EVERY) {
            table.refused = Some(now);
            let advice = if is_out_of_files {
                "; give the process more file descriptors (ulimit -n, LimitNOFILE of systemd)"
            } else {
                ""
            };
            let (what, open) = (self.what, table.taken.len());
            tracing::warn!(%error, open, "no connection to the {what} port can be accepted{advice}");
        }
        place.is_some()
    }
}

// === impl Table ===

impl Table {
    /// Whose place a new connection gets.
    fn goes(&self, full: Full) -> Option<u64> {
        let strangers = || self.taken.iter().filter(|(_, place)| !place.known);
        let mut by_site: HashMap<IpAddr, usize> = HashMap::new();
        for (_, place) in strangers() {
            *by_site.entry(place.from).or_default() += 1;
        }
        // The oldest of the address that has most: who is connecting right now from elsewhere is left alone.
        let most = by_site.values().copied().max().unwrap_or_default();
        let stranger = strangers().find(|(_, place)| by_site[&place.from] == most);
        let idle = || {
            let idle = self.taken.iter().filter(|(_, place)| place.busy == 0);
            idle.min_by_key(|(_, place)| place.idle_since)
        };
        let oldest = || match full {
            Full::CloseNew => None,
            Full::CloseOldest => self.taken.iter().next(),
        };
        let goes = stranger.or_else(idle).or_else(oldest);
        goes.map(|(number, _)| *number)
    }

    fn log(&mut self, places: &Places, now: Instant) {
        self.closed += 1;
        if self.logged.is_some_and(|at| now < at + LOG_EVERY) {
            return;
        }
        self.logged = Some(now);
        let closed = std::mem::take(&mut self.closed);
        let known = self.taken.values().filter(|place| place.known).count();
        tracing::warn!(
            closed,
            known,
            "all {} connections of the {} port are in use: for each new one the oldest that has not authenticated, or else the one idle for longest, is closed",
            places.limits.connections,
            places.what,
        );
    }
}

/// Where someone connects from: an IPv6 host has a whole /64 to itself.
fn site(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

// === impl Guest ===

impl Guest {
    /// The address that the connection comes from; of IPv6 its /64.
    pub fn site(&self) -> IpAddr {
        site(self.peer)
    }

    /// Its client has shown who it is. From now on it goes only when it is idle and no stranger is left to go.
    pub fn known(&self) {
        if self.known.is_cancelled() {
            return;
        }
        self.known.cancel();
        if let Some(place) = self.places.table().taken.get_mut(&self.number) {
            place.known = true;
        }
    }

    /// Returns when its life is over: the request in progress is finished, and then the connection is closed.
    pub async fn ends(&self) {
        self.ends.cancelled().await;
    }

    /// A request has begun.
    pub fn busy(&self) -> Busy {
        if let Some(place) = self.places.table().taken.get_mut(&self.number) {
            place.busy += 1;
        }
        let answer = Arc::new(Answer::new(0));
        let mut answers = self.answers();
        answers.retain(|answer| answer.strong_count() > 0);
        answers.push(Arc::downgrade(&answer));
        drop(answers);
        Busy {
            guest: self.clone(),
            answer,
        }
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Weak<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bounds of its server.
    pub(super) fn limits(&self) -> &Limits {
        &self.places.limits
    }

    /// Milliseconds since it was accepted, and one more.
    fn age(&self) -> u64 {
        let age = self.accepted.elapsed().as_millis();
        u64::try_from(age).unwrap_or(u64::MAX - 1) + 1
    }

    /// Whether a piece of an answer was given to the connection so long ago that its client cannot be reading.
    fn is_unread(&self) -> bool {
        let limit = u64::try_from(self.limits().unread.as_millis()).unwrap_or(u64::MAX);
        let now = self.age();
        let answers = self.answers();
        let mut given = answers
            .iter()
            .filter_map(|answer| Some(answer.upgrade()?.load(Ordering::Relaxed)));
        given.any(|given| given > 0 && now.saturating_sub(given) >= limit)
    }

    /// Its client has read nothing for too long.
    pub(super) fn unread(&self) {
        self.places.connections.closes(Closed::Unread);
        tracing::info!(
            client = %self.peer,
            "a connection to the {} port is closed: its client has read nothing of what was sent to it for {:?}",
            self.places.what,
            self.limits().unread,
        );
    }

    /// Returns when the connection has to be closed: its place is needed, it did not become known in time, its life and the grace
    /// after it are over, or its client does not read.
    pub(super) async fn must_go(&self) {
        let limits = self.limits();
        let overdue = async {
            sleep_until(self.accepted + limits.greeting).await;
            if self.known.is_cancelled() {
                std::future::pending::<()>().await;
            }
        };
        let old = async {
            let Some(life) = limits.life else {
                return std::future::pending().await;
            };
            let end = self.accepted + life.age;
            sleep_until(end).await;
            self.places.connections.closes(Closed::Overdue);
            self.ends.cancel();
            sleep_until(end + life.grace).await;
        };
        let unread = async {
            let mut look = interval(limits.unread / 4);
            while !self.is_unread() {
                look.tick().await;
            }
        };
        tokio::select! {
            () = self.close.cancelled() => {}
            () = overdue => self.places.connections.closes(Closed::Overdue),
            () = old => {}
            () = unread => self.unread(),
        }
    }

    pub(super) fn leave(&self) {
        self.places.table().taken.remove(&self.number);
    }
}

// === impl Busy ===

impl Busy {
    /// A piece of the answer is on its way to the client.
    pub(super) fn waits_for_client(&self) {
        self.answer.store(self.guest.age(), Ordering::Relaxed);
    }

    /// The connection asks for the next piece.
    pub(super) fn waits_for_body(&self) {
        self.answer.store(0, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let guest = &self.guest;
        if let Some(place) = guest.places.table().taken.get_mut(&guest.number) {
            place.busy -= 1;
            place.idle_since = Instant::now();
        }
    }
}
