//! Who is connected, and who is closed when a place is needed for someone new.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Full, Limits};

/// How often it is logged that places have run out.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The places of one server.
pub(super) struct Places {
    what: &'static str,
    limits: Limits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// The next connection's number; a lower number came earlier.
    next: u64,
    taken: BTreeMap<u64, Place>,
    logged: Option<Instant>,
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
pub(crate) struct Guest {
    places: Arc<Places>,
    number: u64,
    peer: IpAddr,
    accepted: Instant,
    close: CancellationToken,
    known: CancellationToken,
}

/// A request in progress; dropped when it has been answered.
pub(crate) struct Busy(Guest);

// === impl Places ===

impl Places {
    pub(super) fn new(what: &'static str, limits: Limits) -> Self {
        Self {
            what,
            limits,
            table: Mutex::default(),
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
        })
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
    pub(crate) fn site(&self) -> IpAddr {
        site(self.peer)
    }

    /// Its client has shown who it is. From now on it goes only when it is idle and no stranger is left to go.
    pub(crate) fn known(&self) {
        if self.known.is_cancelled() {
            return;
        }
        self.known.cancel();
        if let Some(place) = self.places.table().taken.get_mut(&self.number) {
            place.known = true;
        }
    }

    /// A request has begun.
    pub(crate) fn busy(&self) -> Busy {
        if let Some(place) = self.places.table().taken.get_mut(&self.number) {
            place.busy += 1;
        }
        Busy(self.clone())
    }

    /// Returns when the connection has to be closed: its place is needed, it did not become known in time, or its life is
    /// over.
    pub(super) async fn must_go(&self, limits: Limits) {
        let overdue = async {
            sleep_until(self.accepted + limits.greeting).await;
            if self.known.is_cancelled() {
                std::future::pending::<()>().await;
            }
        };
        let old = async {
            match limits.life {
                Some(life) => sleep_until(self.accepted + life).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.close.cancelled() => {}
            () = overdue => {}
            () = old => {}
        }
    }

    pub(super) fn leave(&self) {
        self.places.table().taken.remove(&self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Self(guest) = self;
        if let Some(place) = guest.places.table().taken.get_mut(&guest.number) {
            place.busy -= 1;
            place.idle_since = Instant::now();
        }
    }
}
