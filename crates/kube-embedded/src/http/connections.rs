//! Connections: TLS, then HTTP/1.1 or HTTP/2. The crate `listen` decides which connections are served and for how long.
//!
//! ```text
//!   listen -> TLS handshake -> hyper, one task a connection -> Api
//! ```

use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::service::Api;
use listen::{Full, Guest, Heads, Held, Http, Limits, Listener, Stream};

/// A client that reads nothing of an answer for so long is disconnected, since the answer is kept in memory.
pub(crate) const UNREAD: Duration = Duration::from_mins(1);

/// A connection without a request with the token is closed after this time, handshake included. Connections with the token keep
/// their places.
const LIMITS: Limits = Limits {
    connections: 512,
    greeting: Duration::from_secs(15),
    life: None,
    unread: UNREAD,
    full: Full::CloseNew,
    drain: Duration::from_secs(3),
};
const HEADS: Heads = Heads {
    bytes: 64 << 10,
    streams: 250,
    time: Duration::from_secs(30),
};

/// Serves `listener` until `stopping`, then lets requests in progress end. Watches end by themselves: their streams are
/// closed with the [`Api`]'s own signal.
pub(crate) async fn serve(
    listener: Listener,
    unread: Duration,
    tls: TlsAcceptor,
    api: Api,
    stopping: CancellationToken,
) {
    let http = Http::new("API", HEADS, stopping.clone());
    let talk = |stream, guest| talk(stream, guest, http.clone(), tls.clone(), api.clone());
    let limits = Limits { unread, ..LIMITS };
    listener.serve("API", limits, talk, stopping).await;
}

/// Serves one connection until it ends.
async fn talk(stream: Stream, guest: Guest, http: Http, tls: TlsAcceptor, api: Api) {
    // The listener closes the connection when this takes too long.
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
    };
    let answer = move |request| {
        let (api, guest) = (api.clone(), guest.clone());
        async move {
            let busy = guest.busy();
            let reply = api.answer_remote(request, move || guest.known()).await;
            reply.map(|body| Held::new(body, busy))
        }
    };
    http.talk(stream, answer).await;
}
