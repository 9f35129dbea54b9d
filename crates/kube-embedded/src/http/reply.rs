//! Answers: their body, `Status` errors, warnings, and lists that are rendered piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};

use super::accept::{Encoding, Form};
use crate::error::ApiError;

/// Size of a piece of a long list, in bytes.
const PIECE: usize = 64 * 1024;

/// Most characters of all warnings of an answer; beyond that, also of each warning.
const WARNINGS: usize = 4096;
const WARNING: usize = 256;
/// Most warnings of an answer: HTTP clients accept 100 headers.
const MAX_WARNINGS: usize = 80;

/// The body of an answer.
pub(crate) enum Body {
    /// The whole body, which the first poll takes.
    Whole(Option<Bytes>),
    /// A stream: long lists and watches.
    Pieces(BoxStream<'static, Bytes>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Pieces(stream) => stream
                .poll_next_unpin(context)
                .map(|piece| piece.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// An answer.
pub(crate) type Reply = Response<Body>;

fn with(status: StatusCode, content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}

/// A whole JSON text.
pub(super) fn json(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    with(status, "application/json", Body::Whole(Some(text.into())))
}

/// Plain text, for health checks.
pub(super) fn text(text: &'static str) -> Reply {
    let body = Body::Whole(Some(Bytes::from_static(text.as_bytes())));
    with(StatusCode::OK, "text/plain; charset=utf-8", body)
}

/// A stream of JSON lines.
pub(super) fn lines(lines: impl Stream<Item = Bytes> + Send + 'static) -> Reply {
    let body = Body::Pieces(lines.boxed());
    with(StatusCode::OK, "application/json", body)
}

/// JSON text in the encoding that was asked for.
pub(super) fn encoded(status: StatusCode, form: Form, text: Bytes) -> Result<Reply, ApiError> {
    match form.encoding {
        Encoding::Json => Ok(json(status, text)),
        Encoding::Yaml => {
            let value: Value = serde_json::from_slice(&text).map_err(ApiError::internal)?;
            let yaml = serde_saphyr::to_string(&value).map_err(ApiError::internal)?;
            Ok(with(
                status,
                "application/yaml",
                Body::Whole(Some(yaml.into())),
            ))
        }
    }
}

/// An error, as a `Status`.
pub(super) fn refused(error: &ApiError) -> Reply {
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = json(status, error.to_json());
    let seconds = error.details.as_ref().and_then(|d| d.retry_after_seconds);
    if let Some(seconds) = seconds {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    warn(&mut reply, &error.warnings);
    reply
}

/// Adds warnings as headers, which kubectl prints. As on a real API server, each is cut when all of them together are too long,
/// and those beyond the limit are left out.
pub(super) fn warn(reply: &mut Reply, warnings: &[String]) {
    let length = |warning: &String| warning.chars().count();
    let cut = if warnings.iter().map(length).sum::<usize>() > WARNINGS {
        WARNING
    } else {
        WARNINGS
    };
    let mut written = 0;
    for warning in warnings.iter().take(MAX_WARNINGS) {
        if written >= WARNINGS {
            break;
        }
        written += length(warning).min(cut);
        // A character that a header cannot have becomes a blank, so that the request does not fail.
        let mut text = String::with_capacity(warning.len() + 10);
        for c in warning.chars().take(cut) {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => text.push(' '),
                c => text.push(c),
            }
        }
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{text}\"").as_bytes()) {
            reply.headers_mut().append("warning", value);
        }
    }
}

/// The fields of a list before its items.
pub(super) struct ListHead<'a> {
    pub(super) kind: &'a str,
    pub(super) api_version: &'a str,
    pub(super) revision: u64,
    pub(super) continue_token: Option<&'a str>,
    pub(super) remaining: Option<u64>,
}

impl ListHead<'_> {
    /// `metadata` of the list.
    pub(super) fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(token) = self.continue_token {
            metadata["continue"] = token.into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }

    /// A list that is rendered while it is sent, so that sent items are freed. `extra`: text between `metadata` and the items.
    pub(super) fn stream(
        &self,
        items_key: &str,
        extra: &str,
        items: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> BoxStream<'static, Bytes> {
        let head = format!(
            r#"{{"kind":{},"apiVersion":{},"metadata":{},{extra}"{items_key}":["#,
            Value::from(self.kind),
            Value::from(self.api_version),
            self.metadata(),
        );
        let state = (Some(Bytes::from(head)), items, true, false);
        stream::unfold(state, |(head, mut items, mut first, done)| async move {
            if done {
                return None;
            }
            let mut piece = BytesMut::with_capacity(PIECE);
            piece.extend(head);
            let mut done = false;
            while piece.len() < PIECE {
                let Some(item) = items.next() else {
                    piece.extend_from_slice(b"]}\n");
                    done = true;
                    break;
                };
                if !std::mem::take(&mut first) {
                    piece.extend_from_slice(b",");
                }
                piece.extend_from_slice(&item);
            }
            Some((piece.freeze(), (None, items, first, done)))
        })
        .boxed()
    }
}

/// An answer from a stream of pieces. A short one is sent whole, with its length.
pub(super) async fn pieces(
    form: Form,
    mut pieces: BoxStream<'static, Bytes>,
) -> Result<Reply, ApiError> {
    let first = pieces.next().await.unwrap_or_default();
    match form.encoding {
        Encoding::Json if first.len() < PIECE => encoded(StatusCode::OK, form, first),
        Encoding::Json => Ok(lines(stream::iter([first]).chain(pieces))),
        Encoding::Yaml => {
            let mut whole = BytesMut::from(first);
            while let Some(piece) = pieces.next().await {
                whole.extend_from_slice(&piece);
            }
            encoded(StatusCode::OK, form, whole.freeze())
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::http::accept::JSON;

    async fn list(count: usize) -> Value {
        let head = ListHead {
            kind: "XList",
            api_version: "v1",
            revision: 7,
            continue_token: Some("more"),
            remaining: Some(3),
        };
        let items =
            (0..count).map(|n| Bytes::from(format!(r#"{{"n":{n},"x":"{}"}}"#, "y".repeat(99))));
        let reply = pieces(JSON, head.stream("items", "", items)).await.unwrap();
        let text = reply.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&text).unwrap()
    }

    #[tokio::test]
    async fn a_list_is_one_document_however_many_pieces_it_is_sent_in() {
        for count in [0, 1, 2, 500, 5000] {
            let list = list(count).await;
            assert_eq!(list["metadata"]["resourceVersion"], "7");
            assert_eq!(list["metadata"]["continue"], "more");
            assert_eq!(list["metadata"]["remainingItemCount"], 3);
            let items = list["items"].as_array().unwrap();
            assert_eq!(items.len(), count);
            assert!(items.iter().enumerate().all(|(n, item)| item["n"] == n));
        }
    }

    #[test]
    fn a_warning_never_breaks_the_head() {
        let mut reply = text("ok");
        warn(
            &mut reply,
            &["say \"hi\"\r\nX: y".to_owned(), "ü".to_owned()],
        );
        let found: Vec<_> = reply
            .headers()
            .get_all("warning")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(
            found,
            [
                br#"299 - "say \"hi\"  X: y""#.as_slice(),
                "299 - \"ü\"".as_bytes()
            ]
        );
    }
}
