//! One request, one reply, and a clear word on what can be known when there is none.
//!
//! kube's own calls turn every failure into one error type and retry by themselves; a write needs to know whether it can
//! have been carried out (R7).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;

/// Longest body that is read of one object, in bytes. A server stores at most 3 MiB or so.
pub(super) const OBJECT_BYTES: usize = 16 << 20;
/// Longest body that is read of one page of a list. 500 ordinary objects are about 1 MiB; where they are so large that they do
/// not fit, fewer are asked for.
pub(crate) const PAGE_BYTES: usize = 64 << 20;

/// A request as it goes out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    /// Of the body, when there is one.
    pub(super) content_type: Option<&'static str>,
    pub(super) body: Vec<u8>,
}

impl Call {
    pub(super) fn get(target: String) -> Self {
        Self {
            method: Method::GET,
            target,
            content_type: None,
            body: Vec::new(),
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// Why a request has no answer, and whether it can have been carried out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// There was no connection: nothing was sent.
    NotConnected(String),
    /// It may have arrived.
    Lost(String),
    /// It was answered, with more bytes than are read.
    TooLong(String),
}

impl Fault {
    pub(super) fn text(self) -> String {
        match self {
            Self::NotConnected(text) | Self::Lost(text) | Self::TooLong(text) => text,
        }
    }
}

/// Sends a call and reads the whole answer.
pub(super) async fn send(
    client: &Client,
    call: Call,
    within: Duration,
    limit: usize,
) -> Result<Reply, Fault> {
    let exchange = async {
        let response = open(client, call).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limit)
            .collect()
            .await
            .map_err(|e| {
                if e.is::<LengthLimitError>() {
                    Fault::TooLong(format!("the answer is longer than {limit} bytes"))
                } else {
                    Fault::Lost(format!("the answer broke off: {e}"))
                }
            })?
            .to_bytes();
        Ok(Reply {
            status: parts.status.as_u16(),
            retry_after: retry_after(&parts.headers),
            body,
        })
    };
    tokio::time::timeout(within, exchange)
        .await
        .unwrap_or_else(|_| Err(Fault::Lost(format!("no answer within {within:?}"))))
}

/// Sends a call and leaves the body of the answer to be read as it comes.
pub(super) async fn open(client: &Client, call: Call) -> Result<http::Response<Body>, Fault> {
    let Call {
        method,
        target,
        content_type,
        body,
    } = call;
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(ACCEPT, "application/json");
    if let Some(content_type) = content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    let request = request
        .body(Body::from(body))
        .map_err(|e| Fault::NotConnected(format!("not a request: {e}")))?;
    client.send(request).await.map_err(|e| fault(&e))
}

/// Only a failure to connect is certain to have sent nothing. Anything else may have arrived.
fn fault(error: &kube::Error) -> Fault {
    let text = chain(error);
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = source {
        let unconnected = e
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
            || e.downcast_ref::<io::Error>()
                .is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
            // Credentials are made before anything is sent.
            || matches!(e.downcast_ref::<kube::Error>(), Some(kube::Error::Auth(_)));
        if unconnected {
            return Fault::NotConnected(text);
        }
        source = e.source();
    }
    Fault::Lost(text)
}

/// The whole chain of causes in one line; the outermost text alone often says only "client error".
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let next = e.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = e.source();
    }
    super::bounded(text)
}

/// Seconds; the form with a date is not used by Kubernetes. Longer than a minute is cut: a claim shall not sleep for hours
/// because a proxy said so.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(60)))
}

/// A name in a path, or a value of a query, so that it ends neither its own part nor the whole. Names come from specs too
/// (`clusterName`).
pub(crate) fn escape(text: &str) -> PercentEncode<'_> {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, PLAIN)
}
