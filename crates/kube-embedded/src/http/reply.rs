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
use super::openapi;
use crate::error::ApiError;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

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
    with(status, JSON, Body::Whole(Some(text.into())))
}

/// Plain text, for health checks.
pub(super) fn text(text: &'static str) -> Reply {
    let body = Body::Whole(Some(Bytes::from_static(text.as_bytes())));
    with(StatusCode::OK, "text/plain; charset=utf-8", body)
}

/// The document of OpenAPI v2 in protobuf.
pub(super) fn openapi_v2() -> Reply {
    let body = Body::Whole(Some(Bytes::from_static(openapi::V2_PROTOBUF)));
    let content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    with(StatusCode::OK, content_type, body)
}

/// A stream of JSON lines.
pub(super) fn lines(lines: impl Stream<Item = Bytes> + Send + 'static) -> Reply {
    let body = Body::Pieces(lines.boxed());
    with(StatusCode::OK, JSON, body)
}

/// JSON text in the encoding that was asked for.
pub(super) fn encoded(status: StatusCode, form: Form, text: Bytes) -> Result<Reply, ApiError> {
    match form.encoding {
        Encoding::Json => Ok(json(status, text)),
        Encoding::Yaml => {
            let value: Value = serde_json::from_slice(&text).map_err(ApiError::internal)?;
            let body = Body::Whole(Some(yaml(&value).into()));
            Ok(with(status, YAML, body))
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

    /// A list that is rendered while it is sent, so that sent items are freed. `extra`: a field between `metadata` and the items.
    pub(super) fn stream(
        &self,
        encoding: Encoding,
        extra: Option<(&str, &Value)>,
        items_key: &str,
        items: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> BoxStream<'static, Bytes> {
        let around = self.around(encoding, extra, items_key);
        let state = (Some(around.head), items, true, false);
        stream::unfold(
            state,
            move |(head, mut items, mut first, done)| async move {
                if done {
                    return None;
                }
                let mut piece = BytesMut::with_capacity(PIECE);
                piece.extend(head.map(Bytes::from));
                let mut done = false;
                while piece.len() < PIECE {
                    let Some(item) = items.next() else {
                        let end = if first { around.empty } else { around.end };
                        piece.extend_from_slice(end.as_bytes());
                        done = true;
                        break;
                    };
                    let before = if std::mem::take(&mut first) {
                        around.before_first
                    } else {
                        around.before_next
                    };
                    piece.extend_from_slice(before.as_bytes());
                    match encoding {
                        Encoding::Json => piece.extend_from_slice(&item),
                        Encoding::Yaml => piece.extend_from_slice(&yaml_item(&item)),
                    }
                }
                Some((piece.freeze(), (None, items, first, done)))
            },
        )
        .boxed()
    }

    fn around(&self, encoding: Encoding, extra: Option<(&str, &Value)>, items_key: &str) -> Around {
        let (kind, api_version) = (Value::from(self.kind), Value::from(self.api_version));
        let metadata = self.metadata();
        let fields = [
            ("kind", &kind),
            ("apiVersion", &api_version),
            ("metadata", &metadata),
        ];
        let field = |(name, value): (&str, &Value)| match encoding {
            Encoding::Json => format!("\"{name}\":{value},"),
            Encoding::Yaml => yaml(&json!({name: value})),
        };
        let head: String = fields.into_iter().chain(extra).map(field).collect();
        match encoding {
            Encoding::Json => Around {
                head: format!("{{{head}\"{items_key}\":["),
                before_first: "",
                before_next: ",",
                end: "]}\n",
                empty: "]}\n",
            },
            Encoding::Yaml => Around {
                head: format!("{head}{items_key}:"),
                before_first: "\n",
                before_next: "",
                end: "",
                empty: " []\n",
            },
        }
    }
}

/// What stands around the items of a list.
struct Around {
    head: String,
    before_first: &'static str,
    before_next: &'static str,
    end: &'static str,
    /// In the place of `end` when there are no items.
    empty: &'static str,
}

/// An item of a list in YAML. An object that cannot be parsed is left out; this program stores JSON only.
fn yaml_item(item: &Bytes) -> Bytes {
    serde_json::from_slice::<Value>(item)
        .map(|item| yaml(&Value::Array(vec![item])).into())
        .unwrap_or_default()
}

/// A value in YAML, with a newline at its end.
fn yaml(value: &Value) -> String {
    let mut text = serde_saphyr::to_string(value).expect("a JSON value is one of YAML");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// An answer from a stream of pieces. A short one is sent whole, with its length.
pub(super) async fn pieces(encoding: Encoding, mut pieces: BoxStream<'static, Bytes>) -> Reply {
    let first = pieces.next().await.unwrap_or_default();
    let body = if first.len() < PIECE {
        Body::Whole(Some(first))
    } else {
        Body::Pieces(stream::iter([first]).chain(pieces).boxed())
    };
    let content_type = match encoding {
        Encoding::Json => JSON,
        Encoding::Yaml => YAML,
    };
    with(StatusCode::OK, content_type, body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;

    use super::*;

    async fn list(count: usize, encoding: Encoding) -> Value {
        let head = ListHead {
            kind: "XList",
            api_version: "v1",
            revision: 7,
            continue_token: Some("more"),
            remaining: Some(3),
        };
        let rendered = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&rendered);
        let items = (0..count).map(move |n| {
            counted.fetch_add(1, Ordering::Relaxed);
            json!({"n": n, "x": "y".repeat(99), "list": [["a"], {"b": "1\n2\n"}]})
                .to_string()
                .into()
        });
        let stream = head.stream(
            encoding,
            Some(("extra", &json!([{"c": {}}]))),
            "items",
            items,
        );
        let reply = pieces(encoding, stream).await;
        // The rest waits for the client.
        assert!(rendered.load(Ordering::Relaxed) < 1000);
        let text = reply.into_body().collect().await.unwrap().to_bytes();
        match encoding {
            Encoding::Json => serde_json::from_slice(&text).unwrap(),
            Encoding::Yaml => serde_saphyr::from_slice(&text).unwrap(),
        }
    }

    #[tokio::test]
    async fn a_list_is_one_document_however_many_pieces_it_is_sent_in() {
        for count in [0, 1, 2, 500, 5000] {
            let list = list(count, Encoding::Json).await;
            assert_eq!(self::list(count, Encoding::Yaml).await, list);
            assert_eq!(list["extra"], json!([{"c": {}}]));
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
