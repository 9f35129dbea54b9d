//! A layer before a server that decides which of Cluster API's kinds a controller gets to see, and in which version: none, as
//! before Cluster API is installed, `v1beta2` as the server has them, or `v1beta1`, converted as Cluster API's own webhook
//! does it. Watches end when that changes, as a server ends them when a definition changes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::BoxError;

const GROUPS: [&str; 2] = ["ipam.cluster.x-k8s.io", "cluster.x-k8s.io"];

/// What of Cluster API is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// None of its kinds.
    Nothing,
    /// Its kinds, in the old version.
    V1Beta1,
    /// Its kinds, in the version that the server has.
    V1Beta2,
}

/// The body of an answer.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

fn whole(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into()).map_err(Into::into).boxed_unsync()
}

/// The handle of the layer.
pub(crate) struct CapiVisibility {
    shown: watch::Sender<Shown>,
}

impl CapiVisibility {
    /// A client of the server that sees Cluster API's kinds as `shown` says.
    pub(crate) fn over(server: Client, shown: Shown) -> (Client, Arc<Self>) {
        let visibility = Arc::new(Self {
            shown: watch::Sender::new(shown),
        });
        let of_service = Arc::clone(&visibility);
        let service = tower::service_fn(move |request| {
            let (visibility, server) = (Arc::clone(&of_service), server.clone());
            async move { visibility.pass(&server, request).await }
        });
        (Client::new(service, "default"), visibility)
    }

    /// Changes what the client sees.
    pub(crate) fn show(&self, shown: Shown) {
        self.shown.send_replace(shown);
    }

    async fn pass(
        &self,
        server: &Client,
        request: Request<Body>,
    ) -> Result<Response<Answer>, BoxError> {
        let mut changes = self.shown.subscribe();
        let shown = *changes.borrow_and_update();
        let path = request.uri().path().to_owned();
        if path == "/apis" {
            let response = sent(server, request).await?;
            return rewritten(response, |groups| discovery(groups, shown)).await;
        }
        let of_group = GROUPS.iter().find_map(|group| {
            let rest = path.strip_prefix("/apis/")?.strip_prefix(*group)?;
            rest.strip_prefix('/')
        });
        let Some(rest) = of_group else {
            return sent(server, request).await;
        };
        let version = rest.split('/').next().unwrap_or_default();
        match shown {
            Shown::V1Beta2 if version == "v1beta2" => {
                Ok(until(changes, sent(server, request).await?))
            }
            Shown::V1Beta1 if version == "v1beta1" => {
                let is_watch = request.uri().query().is_some_and(|q| q.contains("watch=1"));
                let response = sent(server, raised(request).await?).await?;
                if is_watch && response.status().is_success() {
                    return Ok(until(changes, response.map(lowered_events)));
                }
                rewritten(response, lower).await
            }
            Shown::Nothing | Shown::V1Beta1 | Shown::V1Beta2 => Ok(not_found()),
        }
    }
}

async fn sent(server: &Client, request: Request<Body>) -> Result<Response<Answer>, BoxError> {
    let response = server.send(request).await?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn not_found() -> Response<Answer> {
    let mut response = Response::new(whole("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The same answer with another body.
async fn rewritten(
    response: Response<Answer>,
    change: impl FnOnce(&mut Value),
) -> Result<Response<Answer>, BoxError> {
    let (mut parts, body) = response.into_parts();
    let mut value: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    change(&mut value);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Ok(Response::from_parts(
        parts,
        whole(serde_json::to_vec(&value)?),
    ))
}

/// The list of groups as it is shown.
fn discovery(groups: &mut Value, shown: Shown) {
    let of_capi = |group: &Value| GROUPS.iter().any(|name| group["name"] == *name);
    let all = groups["groups"].as_array_mut().unwrap();
    match shown {
        Shown::V1Beta2 => {}
        Shown::Nothing => all.retain(|group| !of_capi(group)),
        Shown::V1Beta1 => {
            for group in all.iter_mut().filter(|group| of_capi(group)) {
                let name = group["name"].as_str().unwrap().to_owned();
                let old = json!({"groupVersion": format!("{name}/v1beta1"), "version": "v1beta1"});
                group["preferredVersion"] = old.clone();
                group["versions"] = json!([old]);
            }
        }
    }
}

/// An answer that ends when something else is shown.
fn until(mut changes: watch::Receiver<Shown>, response: Response<Answer>) -> Response<Answer> {
    response.map(|body| {
        let changed = async move { drop(changes.changed().await) };
        let frames = body.into_data_stream().take_until(Box::pin(changed));
        StreamBody::new(frames.map(|bytes| bytes.map(Frame::data))).boxed_unsync()
    })
}

// --- conversion

/// Every `apiVersion` in it, owner references too.
fn versions(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                let in_group = |text: &str| GROUPS.iter().any(|g| text == format!("{g}/{from}"));
                match value {
                    Value::String(text)
                        if (key == "apiVersion" || key == "groupVersion") && in_group(text) =>
                    {
                        *text = text.replace(from, to);
                    }
                    value => versions(value, from, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| versions(item, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A request in v1beta1 as one in v1beta2.
async fn raised(request: Request<Body>) -> Result<Request<Body>, BoxError> {
    let (mut parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap().as_str();
    parts.uri = target.replacen("/v1beta1", "/v1beta2", 1).parse()?;
    let bytes = body.collect_bytes().await?;
    if bytes.is_empty() {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    let mut value: Value = serde_json::from_slice(&bytes)?;
    versions(&mut value, "v1beta1", "v1beta2");
    // The conditions of the new kind lie apart in the old version; the old ones say the same, as far as they can.
    if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut)
        && let Some(new) = status.remove("v1beta2")
    {
        status.insert("conditions".to_owned(), new["conditions"].clone());
    }
    Ok(Request::from_parts(
        parts,
        Body::from(serde_json::to_vec(&value)?),
    ))
}

/// An object or a list in v1beta2 as one in v1beta1.
fn lower(value: &mut Value) {
    versions(value, "v1beta2", "v1beta1");
    match value.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => items.iter_mut().for_each(lower_status),
        None => lower_status(value),
    }
}

fn lower_status(object: &mut Value) {
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(conditions) = status.get("conditions").cloned() else {
        return;
    };
    let old = conditions
        .as_array()
        .into_iter()
        .flatten()
        .map(|condition| {
            let mut old = condition.clone();
            let fields = old.as_object_mut().unwrap();
            fields.remove("observedGeneration");
            if fields["status"] == "True" {
                fields.remove("reason");
                fields.remove("message");
            }
            old
        });
    let old: Vec<Value> = old.collect();
    status.insert("conditions".to_owned(), json!(old));
    status.insert("v1beta2".to_owned(), json!({"conditions": conditions}));
}

/// A watch's events in v1beta2 as events in v1beta1.
fn lowered_events(body: Answer) -> Answer {
    let lines = lines(body.into_data_stream());
    let events = lines.map(|line| {
        line.map(|line| {
            let mut event: Value = serde_json::from_slice(&line).unwrap();
            lower(&mut event["object"]);
            let mut line = serde_json::to_vec(&event).unwrap();
            line.push(b'\n');
            Frame::data(Bytes::from(line))
        })
    });
    StreamBody::new(events).boxed_unsync()
}

/// The lines of a body; what comes after the last line break is dropped.
fn lines<E>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
where
    E: Send + 'static,
{
    let begin = (Box::pin(chunks), BytesMut::new());
    stream::unfold(begin, |(mut chunks, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1).freeze();
                return Some((Ok(line.slice(..end)), (chunks, rest)));
            }
            match chunks.next().await? {
                Ok(chunk) => rest.extend_from_slice(&chunk),
                Err(error) => return Some((Err(error), (chunks, rest))),
            }
        }
    })
}
