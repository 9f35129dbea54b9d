//! Watches through the layer: every line is an event, numbered by kind, and gets its fault before it is sent on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use metal3_ipam::api::Kind;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

use super::answers::{Answer, refusal};
use super::api_request::{About, ApiRequest};
use super::plan::EventFault;
use super::process::Process;

/// How long a stream that has lost an event goes on before it ends.
const BLIND: Duration = Duration::from_secs(8);
/// How long the end of an object is held back for its successor (W13).
const SUCCESSION: Duration = Duration::from_millis(1500);
/// Events that are sent again (W2).
const AGAIN: usize = 4;

/// What is known of the streams of every kind, over the processes of the controller.
#[derive(Default)]
pub(crate) struct Streams(BTreeMap<Kind, OfKind>);

#[derive(Default)]
struct OfKind {
    events: u64,
    /// The next watch is answered 410.
    expired: bool,
    /// No event is sent before.
    stalled: Option<Instant>,
    /// The last events.
    lately: VecDeque<Bytes>,
}

impl Streams {
    fn of(&mut self, kind: Kind) -> &mut OfKind {
        self.0.entry(kind).or_default()
    }

    /// Whether a list is older than the last event of its kind.
    pub(super) fn is_older(&self, kind: Kind, list: &Bytes) -> bool {
        let of_kind = self.0.get(&kind);
        let last = of_kind.and_then(|of| of.lately.back());
        let last = last.and_then(|event| revision(event, "/object/metadata/resourceVersion"));
        revision(list, "/metadata/resourceVersion") < last
    }

    /// Events of a kind so far.
    pub(crate) fn events(&self) -> BTreeMap<Kind, u64> {
        self.0.iter().map(|(kind, of)| (*kind, of.events)).collect()
    }
}

/// One stream.
struct Stream {
    process: Arc<Process>,
    kind: Kind,
    server: BoxStream<'static, Result<Bytes, BoxError>>,
    /// What came of the server and is no whole line yet.
    partial: Vec<u8>,
    /// Lines to send, in order.
    ready: VecDeque<Bytes>,
    /// Ends that wait for a successor of the name, and until when.
    ended: VecDeque<(Instant, String, Bytes)>,
    replaced: bool,
    /// When the stream breaks because it has lost an event.
    breaks: Option<Instant>,
    over: bool,
}

/// Opens a watch.
pub(super) async fn watch(
    process: &Arc<Process>,
    request: &ApiRequest,
) -> Result<Response<Answer>, BoxError> {
    let About::Kind(kind) = request.about else {
        return Err("a watch of no kind".into());
    };
    let layer = process.layer();
    if std::mem::take(&mut layer.state().streams.of(kind).expired) {
        return Ok(refusal(410));
    }
    let (parts, body) = layer.server.send(request.to_http()).await?.into_parts();
    let server = body.into_data_stream().map(|r| r.map_err(Into::into));
    let stream = Stream {
        process: Arc::clone(process),
        kind,
        server: server.boxed(),
        partial: Vec::new(),
        ready: VecDeque::new(),
        ended: VecDeque::new(),
        replaced: false,
        breaks: None,
        over: false,
    };
    let frames = stream::unfold(stream, |mut stream| async move {
        let bytes = stream.next().await?;
        Some((Ok::<_, BoxError>(Frame::data(bytes)), stream))
    });
    Ok(Response::from_parts(
        parts,
        StreamBody::new(frames).boxed_unsync(),
    ))
}

impl Stream {
    /// The next bytes to send; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.process.dead.is_cancelled() {
                return None;
            }
            let stalled = self.process.layer().state().streams.of(self.kind).stalled;
            if let Some(until) = stalled
                && until > Instant::now()
            {
                let dead = self.process.dead.clone();
                tokio::select! {
                    biased;
                    () = dead.cancelled() => return None,
                    () = sleep_until(until) => {}
                }
            }
            if let Some(line) = self.ready.pop_front() {
                self.write_down(&line);
                return Some(line);
            }
            if self.over {
                return None;
            }
            let flush = self.ended.front().map(|(at, ..)| *at);
            let due = [flush, self.breaks].into_iter().flatten().min();
            let dead = self.process.dead.clone();
            tokio::select! {
                biased;
                () = dead.cancelled() => return None,
                chunk = self.server.next() => match chunk {
                    Some(Ok(bytes)) => self.take(&bytes).await,
                    Some(Err(_)) | None => self.end(),
                },
                () = until(due) => self.due(),
            }
        }
    }

    /// Time has come for something.
    fn due(&mut self) {
        let now = Instant::now();
        while self.ended.front().is_some_and(|(at, ..)| *at <= now) {
            self.ready
                .extend(self.ended.pop_front().map(|(.., line)| line));
        }
        if self.breaks.is_some_and(|at| at <= now) {
            self.expire();
        }
    }

    fn end(&mut self) {
        self.over = true;
        let ended = std::mem::take(&mut self.ended);
        self.ready.extend(ended.into_iter().map(|(.., line)| line));
        if self.breaks.is_some() {
            self.expire();
        }
    }

    /// The stream ends, and the next one cannot go on from here.
    fn expire(&mut self) {
        self.over = true;
        self.process.layer().state().streams.of(self.kind).expired = true;
    }

    async fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.event(line.into()).await;
        }
    }

    async fn event(&mut self, line: Bytes) {
        if self.over {
            return;
        }
        let is_bookmark = line.starts_with(b"{\"type\":\"BOOKMARK\"");
        if is_bookmark || line.starts_with(b"{\"type\":\"ERROR\"") {
            // What a stream that has lost something says of its place is not to be believed.
            if !(is_bookmark && self.breaks.is_some()) {
                self.ready.push_back(line);
            }
            return;
        }
        let layer = Arc::clone(self.process.layer());
        let fault = {
            let mut faults = layer.faults();
            let mut state = layer.state();
            let of = state.streams.of(self.kind);
            of.events += 1;
            let n = of.events;
            of.lately.push_back(line.clone());
            if of.lately.len() > AGAIN {
                of.lately.pop_front();
            }
            faults.event(self.kind, n)
        };
        if fault != EventFault::Pass {
            layer.fault();
            let kind = self.kind;
            layer.line(self.process.number(), || format!("   {kind}: {fault:?}"));
        }
        match fault {
            EventFault::Pass => self.tell(line),
            EventFault::Dropped => {
                self.breaks.get_or_insert_with(|| Instant::now() + BLIND);
            }
            EventFault::Twice => {
                self.tell(line.clone());
                self.tell(line);
            }
            EventFault::Again => {
                let lately = layer.state().streams.of(self.kind).lately.clone();
                self.tell(line);
                self.ready.extend(lately);
            }
            EventFault::Stalled(time) => {
                layer.state().streams.of(self.kind).stalled = Some(Instant::now() + time);
                self.tell(line);
            }
            EventFault::Closed => {
                self.tell(line);
                self.end();
            }
            EventFault::Expired => {
                self.tell(line);
                self.end();
                self.expire();
            }
            EventFault::Failed(code) => {
                self.tell(line);
                self.end();
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                    "reason": if code == 410 { "Expired" } else { "InternalError" }, "message": "said by the test"});
                let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
                self.ready.push_back(line.into());
            }
            EventFault::AfterBookmark => {
                let newest = newest(layer.server.clone(), self.kind).await;
                let bookmark =
                    json!({"metadata": {"resourceVersion": newest, "creationTimestamp": null}});
                let line_before = format!("{}\n", json!({"type": "BOOKMARK", "object": bookmark}));
                self.ready.push_back(line_before.into());
                self.tell(line);
            }
            EventFault::Replaced => {
                self.replaced = true;
                self.tell(line);
            }
        }
    }

    fn tell(&mut self, line: Bytes) {
        if !self.replaced {
            self.ready.push_back(line);
            return;
        }
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        let meta = &event["object"]["metadata"];
        let name = format!("{}/{}", meta["namespace"], meta["name"]);
        match event["type"].as_str() {
            Some("DELETED") => {
                let until = Instant::now() + SUCCESSION;
                self.ended.push_back((until, name, line));
            }
            Some("ADDED") => {
                self.ended.retain(|(_, ended, _)| *ended != name);
                self.ready.push_back(line);
            }
            Some(_) | None => self.ready.push_back(line),
        }
    }

    fn write_down(&self, line: &Bytes) {
        let layer = self.process.layer();
        let (at, process) = (layer.elapsed(), self.process.number());
        layer
            .state()
            .trace
            .event(at, process, self.kind, line.clone());
    }
}

/// A revision in a JSON text.
fn revision(json: &Bytes, at: &str) -> Option<u64> {
    let json: Value = serde_json::from_slice(json).ok()?;
    json.pointer(at)?.as_str()?.parse().ok()
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The newest revision of a kind.
async fn newest(server: Client, kind: Kind) -> String {
    let (group, plural, version) = (kind.group(), kind.plural(), kind.versions()[0]);
    let get = Request::get(format!("/apis/{group}/{version}/{plural}?limit=1"));
    let get = get.body(Body::empty()).unwrap();
    let answer = server.send(get).await.unwrap();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    let list: Value = serde_json::from_slice(&bytes).unwrap();
    let newest = list["metadata"]["resourceVersion"].as_str();
    newest.unwrap().to_owned()
}
