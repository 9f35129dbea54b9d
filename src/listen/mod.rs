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
//! - [`Guest::busy`] marks a request that is being answered. Its guard has to live until the last byte of the answer is sent.
//! - A client that reads nothing of what is sent to it for [`Limits::unread`] loses its connection: `stream.rs` sees it where the
//!   system's buffers are full, `held.rs` where one stream of HTTP/2 is not read while others are.
//!
//! What TLS the manager's servers offer is read in `tls.rs`.
//!
//! May use tokio, rustls and hyper's body trait; does not know what is served.

mod held;
mod places;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use held::Held;
pub(crate) use places::{Busy, Closed, Connections, Guest};
pub(crate) use stream::Stream;
pub use tls::{Oldest, TlsOptions};

use places::Places;

/// Pause after a failed accept (out of file descriptors, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket, not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
    connections: Arc<Connections>,
}

/// Bounds of one server's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at one time.
    pub(crate) connections: usize,
    /// Time from accept to the first request that makes the connection known.
    pub(crate) greeting: Duration,
    /// Longest life of a connection, where there is a limit.
    pub(crate) life: Option<Duration>,
    /// Longest time for which a client may read nothing of what is sent to it; then its connection is closed.
    pub(crate) unread: Duration,
    /// What happens to a new connection when every place is taken by a known one with a request in progress.
    pub(crate) full: Full,
    /// How long connections may go on after the shutdown began; then they are cut.
    pub(crate) drain: Duration,
}

/// See [`Limits::full`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// It is closed: only authenticated clients can have come this far, and their watches stay.
    CloseNew,
    /// It takes the place of the oldest one: anyone can make requests here, so none may keep its place.
    CloseOldest,
}

// === impl Listener ===

impl Listener {
    /// Binds the address; port 0 picks a free one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(crate) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self {
            listener,
            addr,
            connections: Arc::default(),
        })
    }

    /// Counts its connections there, too.
    pub(crate) fn counted(mut self, connections: &Arc<Connections>) -> Self {
        self.connections = Arc::clone(connections);
        self
    }

    /// Where it is bound.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets `talk` serve each connection until `shutdown`, and returns when all connections have ended. `what` names the
    /// server in the log. A `talk` that can end gracefully looks at `shutdown` itself.
    pub(crate) async fn serve<T>(
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
                    tracing::warn!(%error, "no connection to the {what} port can be accepted");
                    sleep(ACCEPT_PAUSE).await;
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

/// For tests that hold thousands of sockets: raises this process' soft limit of open files, where it is lower.
#[cfg(test)]
pub(crate) fn raise_open_files(want: u64) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.unwrap().split_whitespace().nth(3).unwrap();
    if soft.parse::<u64>().is_ok_and(|soft| soft < want) {
        let pid = format!("--pid={}", std::process::id());
        let raised = std::process::Command::new("prlimit")
            .args([pid, format!("--nofile={want}:")])
            .status();
        assert!(
            raised.is_ok_and(|status| status.success()),
            "this test needs {want} open files; raise the limit (ulimit -n {want})"
        );
    }
}

#[cfg(test)]
mod tests;
