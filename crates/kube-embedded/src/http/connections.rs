//! From a listening socket to requests: TLS, then HTTP/1.1 or HTTP/2. Who may connect and for how long is `listen`'s.
//!
//! ```text
//!   listen -> TLS handshake -> hyper, one task a connection -> Api
//! ```

use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::service::Api;
use listen::{Full, Guest, Heads, Held, Http, Limits, Listener, Stream};

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
const HEADS: Heads = Heads {
    bytes: 64 << 10,
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

/// One connection, to its end.
async fn talk(stream: Stream, guest: Guest, http: Http, tls: TlsAcceptor, api: Api) {
    // The listener ends one that takes too long.
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
