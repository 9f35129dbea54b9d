//! From a listening socket to requests: TLS, HTTP/1.1 or HTTP/2, and what keeps strangers from holding the server up.
//!
//! ```text
//!   accept (a permit each) -> TLS handshake -> hyper, one task a connection -> Api
//! ```
//! The accept loop owns the permits and the list of connections; a connection's task gives its permit back when it ends.

use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::service::Api;

/// Connections at one time. The next one waits in the system's queue until one of these ends.
const MAX_CONNECTIONS: usize = 512;
/// Requests at one time on one HTTP/2 connection: watches and writes of one client.
const MAX_STREAMS: u32 = 250;
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;
/// A client that takes longer for its handshake, or to send a request's head, is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may think.
const PING: Duration = Duration::from_secs(30);
/// How long requests may go on after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause after a failed accept (out of file descriptors, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `listener` until `stopping`, then lets requests in progress end. Watches end by themselves: their streams are
/// closed with the [`Api`]'s own signal.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    api: Api,
    stopping: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);

    let abort = CancellationToken::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits)
                .acquire_owned()
                .await
                .expect("the semaphore of this loop is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (http, tls, api) = (http.clone(), tls.clone(), api.clone());
        let (watcher, abort) = (graceful.watcher(), abort.clone());
        connections.spawn(async move {
            let serving = async {
                let Some(stream) = handshake(stream, &tls).await else {
                    return;
                };
                let service = service_fn(move |request| {
                    let api = api.clone();
                    async move { Ok::<_, std::convert::Infallible>(api.answer_remote(request).await) }
                });
                let connection = http.serve_connection(TokioIo::new(stream), service);
                // Clients break connections off at any time; that is no news.
                if let Err(error) = watcher.watch(connection.into_owned()).await {
                    tracing::debug!(%error, "a connection ended early");
                }
            };
            tokio::select! {
                () = serving => {}
                () = abort.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections that did not end in time are cut");
    }
    // Handshakes, and whoever did not listen.
    abort.cancel();
    connections.wait().await;
}

async fn handshake(
    stream: TcpStream,
    tls: &TlsAcceptor,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    // Small answers follow each other on one connection; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}
