//! From a listening socket to requests: TLS, then HTTP/1.1 or HTTP/2. Who may connect and for how long is `listen`'s.
//!
//! ```text
//!   listen -> TLS handshake -> hyper, one task a connection -> Api
//! ```

use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::service::Api;
use listen::{Full, Guest, Held, Limits, Listener, Stream};

/// A client that reads nothing of what is sent to it for so long is let go: what it does not read is kept in memory.
pub(crate) const UNREAD: Duration = Duration::from_mins(1);

/// A connection has this long for its handshake and its first request with the right token; then it is closed. Watches of
/// clients that have shown the token keep their places.
const LIMITS: Limits = Limits {
    connections: 512,
    greeting: Duration::from_secs(15),
    life: None,
    unread: UNREAD,
    full: Full::CloseNew,
    drain: Duration::from_secs(3),
};
/// Requests at one time on one HTTP/2 connection: watches and writes of one client.
const MAX_STREAMS: u32 = 250;
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;
/// A client that takes longer to send a request's head is let go, and one that has no more requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may think.
const PING: Duration = Duration::from_secs(30);

/// Serves `listener` until `stopping`, then lets requests in progress end. Watches end by themselves: their streams are
/// closed with the [`Api`]'s own signal.
pub(crate) async fn serve(
    listener: Listener,
    unread: Duration,
    tls: TlsAcceptor,
    api: Api,
    stopping: CancellationToken,
) {
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
    let http = Arc::new(http);
    let talk = |stream, guest| {
        let (http, tls, api) = (Arc::clone(&http), tls.clone(), api.clone());
        talk(stream, guest, http, tls, api, stopping.clone())
    };
    let limits = Limits { unread, ..LIMITS };
    listener.serve("API", limits, talk, stopping.clone()).await;
}

/// One connection, to its end.
async fn talk(
    stream: Stream,
    guest: Guest,
    http: Arc<auto::Builder<TokioExecutor>>,
    tls: TlsAcceptor,
    api: Api,
    stopping: CancellationToken,
) {
    // The listener ends one that takes too long.
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
    };
    let service = service_fn(move |request| {
        let (api, guest) = (api.clone(), guest.clone());
        async move {
            let busy = guest.busy();
            let reply = api.answer_remote(request, move || guest.known()).await;
            Ok::<_, std::convert::Infallible>(reply.map(|body| Held::new(body, busy)))
        }
    });
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Clients break connections off at any time; that is no news.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
