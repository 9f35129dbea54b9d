//! HTTP/1.1 and HTTP/2 on one connection, with the bounds that every server has, to its end.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Bytes of bodies that one HTTP/2 stream, and one connection, may send before the server reads them: what is sent and not
/// read is kept in memory. One stream that waits leaves the others of its connection room.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(30);

/// Bounds of what a connection may hold before its requests are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Bytes of a head.
    pub bytes: u32,
    /// Requests at one time on one HTTP/2 connection.
    pub streams: u32,
    /// Time for a head; an HTTP/1.1 connection without requests is closed after it.
    pub time: Duration,
}

/// How a server speaks HTTP.
#[derive(Clone)]
pub struct Http {
    /// Its name in the log.
    server: &'static str,
    builder: auto::Builder<TokioExecutor>,
    stopping: CancellationToken,
}

impl Http {
    /// After `stopping` connections end with the requests that are in progress.
    pub fn new(server: &'static str, heads: Heads, stopping: CancellationToken) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(heads.time)
            .max_buf_size(heads.bytes as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(heads.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(heads.bytes)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        Self {
            server,
            builder,
            stopping,
        }
    }

    /// One connection, to its end.
    pub async fn talk<S, F, B>(
        &self,
        stream: S,
        answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let service = service_fn(move |request| {
            let response = answer(request);
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // Clients break connections off at any time.
        if let Err(error) = ended {
            debug!(server = self.server, %error, "a connection ended early");
        }
    }
}
