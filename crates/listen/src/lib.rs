//! Listening sockets: the one way in which every server of this program (the embedded API server, health, diagnostics,
//! webhook) accepts connections, so that a client that is slow, silent or hostile takes nothing from the others.
//!
//! ```text
//!   accept -> a place (places.rs) -> the server's own `talk`, one task a connection -> the place is free again
//! ```
//! - A connection begins as a stranger and has [`Limits::greeting`] from accept until its server calls [`Guest::known`], which
//!   happens at the first request that is authenticated (of a server without authentication: at the first request). TLS
//!   handshake and request head are within that time.
//! - When all places are taken, a connection is closed for each new one: the oldest stranger first, of the address that has
//!   most of them; then the known connection that has been without a request for longest. So strangers can fill no server.
//!   Where the process runs out of file descriptors before, one is closed in the same order.
//! - [`Guest::busy`] marks a request that is being answered. Its guard has to live until the last byte of the answer is sent.
//! - A connection whose life is over ([`Limits::life`]) finishes the request in progress, for which it has a bounded time.
//! - A client that reads nothing of what is sent to it for [`Limits::unread`] loses its connection: `stream.rs` sees it where the
//!   system's buffers are full, `held.rs` where one stream of HTTP/2 is not read while others are.
//!
//! What TLS the manager's servers offer is read in `tls.rs`; the certificates that a server makes itself come from `authority.rs`;
//! `http.rs` speaks HTTP on a connection of the servers that have TLS. `bodies.rs`, `room.rs` and `memory.rs` bound what the bodies
//! of requests take of memory, as text and parsed.
//!
//! May use tokio, rustls, rcgen and hyper; does not know what is served.

pub mod authority;
pub mod bodies;
mod held;
mod http;
pub mod memory;
mod places;
pub mod room;
mod stream;
mod tls;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::http::{Heads, Http};
pub use held::Held;
pub use places::{Busy, Closed, Connections, Guest};
pub use stream::Stream;
pub use tls::{Oldest, TlsOptions};

use places::Places;

/// Pause after a failed accept, so that the loop does not spin; and where a connection was closed to make room, until it has
/// ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A bound socket, not served yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
    connections: Arc<Connections>,
}

/// Bounds of one server's connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at one time.
    pub connections: usize,
    /// Time from accept to the first request that makes the connection known.
    pub greeting: Duration,
    /// Longest life of a connection, where there is a limit. A `talk` that serves more than one request looks at [`Guest::ends`].
    pub life: Option<Lifetime>,
    /// Longest time for which a client may read nothing of what is sent to it; then its connection is closed.
    pub unread: Duration,
    /// What happens to a new connection when every place is taken by a known one with a request in progress.
    pub full: Full,
    /// How long connections may go on after the shutdown began; then they are cut.
    pub drain: Duration,
}

/// See [`Limits::life`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// From accept to its end: from then on no further request is served.
    pub age: Duration,
    /// Time after that for the request in progress and its answer; then the connection is cut.
    pub grace: Duration,
}

/// See [`Limits::full`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// It is closed: only authenticated clients can have come this far, and their watches stay.
    CloseNew,
    /// It takes the place of the oldest one: anyone can make requests here, so none may keep its place.
    CloseOldest,
}

// === impl Listener ===

impl Listener {
    /// Binds the address; port 0 picks a free one. The wildcard of IPv6 takes IPv4 too, whatever the machine's default
    /// (`net.ipv6.bindv6only`).
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = if addr.ip() == Ipv6Addr::UNSPECIFIED {
            of_both_families(addr)?
        } else {
            TcpListener::bind(addr).await?
        };
        let addr = listener.local_addr()?;
        Ok(Self {
            listener,
            addr,
            connections: Arc::default(),
        })
    }

    /// Counts its connections there, too.
    #[must_use]
    pub fn counted(mut self, connections: &Arc<Connections>) -> Self {
        self.connections = Arc::clone(connections);
        self
    }

    /// Where it is bound.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets `talk` serve each connection until `shutdown`, and returns when all connections have ended. `what` names the
    /// server in the log. A `talk` that can end gracefully looks at `shutdown` itself.
    pub async fn serve<T>(
        self,
        what: &'static str,
        limits: Limits,
        talk: impl Fn(Stream, Guest) -> T,
        shutdown: CancellationToken,
    ) where
        T: Future<Output = ()> + Send + 'static,
    {
        let places = Arc::new(Places::new(what, limits, Arc::clone(&self.connections)));
        self.connections.watch(&places);
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    let has_made_room = places.cannot_accept(&error);
                    let pause = if has_made_room {
                        ROOM_PAUSE
                    } else {
                        ACCEPT_PAUSE
                    };
                    sleep(pause).await;
                    continue;
                }
            };
            let Some(guest) = Places::enter(&places, peer.ip()) else {
                continue;
            };
            // Small answers follow each other on one connection; waiting for more to send only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            let talk = talk(Stream::new(stream, guest.clone()), guest.clone());
            let cut = cut.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = talk => {}
                    () = guest.must_go() => {}
                    () = cut.cancelled() => {}
                }
                guest.leave();
            });
        }
        drop(self.listener);
        connections.close();
        if timeout(limits.drain, connections.wait()).await.is_err() && !limits.drain.is_zero() {
            tracing::warn!(
                "connections to the {what} port that did not end in {:?} are cut",
                limits.drain
            );
        }
        cut.cancel();
        connections.wait().await;
    }
}

/// The wildcard of IPv6, for IPv4 too.
fn of_both_families(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_only_v6(false)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests;
