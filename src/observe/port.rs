//! A port of this process: bound before anything is served there, few connections, each ended in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A port that is bound.
#[derive(Debug)]
pub(super) struct Port {
    listener: TcpListener,
    addr: SocketAddr,
}

/// What whoever connects gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at one time; the next one waits in the kernel's queue.
    pub(super) connections: usize,
    /// Longest life of a connection.
    pub(super) life: Duration,
}

impl Port {
    /// Binds it; 0 picks a free one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(super) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    /// Where it is bound.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets `talk` serve each connection, until `shutdown`. `what` names the port in the log.
    pub(super) async fn serve<T>(
        self,
        what: &'static str,
        limits: Limits,
        talk: impl Fn(TcpStream) -> T,
        shutdown: CancellationToken,
    ) where
        T: Future<Output = ()> + Send + 'static,
    {
        let connections = Arc::new(Semaphore::new(limits.connections));
        loop {
            // The permit comes first: who is not served yet costs us nothing.
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                return; // Nobody closes it.
            };
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(e) => {
                    // Out of file descriptors, mostly: there is nothing to do but to wait.
                    warn!(error = %e, "no connection to the {what} port can be accepted");
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let (talk, shutdown) = (talk(stream), shutdown.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    _ = timeout(limits.life, talk) => {}
                }
                drop(permit);
            });
        }
    }
}
