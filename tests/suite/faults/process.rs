//! One process of the controller: its requests get their faults here.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::BoxError;

use super::answers::{Answer, refusal, unconnected, whole};
use super::api_request::{About, ApiRequest};
use super::layer::Layer;
use super::plan::{ListFault, Loss, RequestFault, When};
use super::watching;

/// Objects of a page when a list is to have several.
const SMALL_PAGE: usize = 2;
/// Lists of a kind that are kept, to be returned again as stale ones.
const REMEMBERED: usize = 64;

/// One process of the controller.
pub(crate) struct Process {
    layer: Arc<Layer>,
    number: u32,
    /// Cancelled when it has died: no request of it reaches the server any more, and no answer reaches it.
    pub(crate) dead: CancellationToken,
}

impl Process {
    pub(super) fn new(layer: Arc<Layer>, number: u32) -> Self {
        Self {
            layer,
            number,
            dead: CancellationToken::new(),
        }
    }

    /// A client of this process.
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let process = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let process = Arc::clone(&process);
            async move { process.pass(request).await }
        });
        Client::new(service, "default")
    }

    /// Ends the process, as kill -9 does.
    pub(crate) fn kill(&self) {
        if !self.dead.is_cancelled() {
            self.dead.cancel();
            let mut state = self.layer.state();
            state.crashes += 1;
            state.last_fault = Some(Instant::now());
            state
                .trace
                .line(self.layer.elapsed(), self.number, "dies".to_owned());
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn layer(&self) -> &Arc<Layer> {
        &self.layer
    }

    async fn pass(self: Arc<Self>, request: Request<Body>) -> Result<Response<Answer>, BoxError> {
        let (parts, body) = request.into_parts();
        let request = ApiRequest::new(parts, body.collect().await?.to_bytes());
        if self.dead.is_cancelled() {
            return Err(unconnected());
        }
        let answer = tokio::select! {
            biased;
            () = self.dead.cancelled() => Err(unconnected()),
            answer = self.answer(&request) => answer,
        };
        self.layer.line(self.number, || match &answer {
            Ok(answer) => format!(
                "<- {} {} {}",
                request.method(),
                request.target(),
                answer.status().as_u16()
            ),
            Err(error) => format!("<- {} {} {error}", request.method(), request.target()),
        });
        answer
    }

    async fn answer(self: &Arc<Self>, request: &ApiRequest) -> Result<Response<Answer>, BoxError> {
        let fault = self.fault(request);
        if fault != RequestFault::Pass {
            self.layer.line(self.number, || format!("   {fault:?}"));
        }
        if request.is_watch() && fault == RequestFault::Pass {
            return watching::watch(self, request).await;
        }
        let delay = self.layer.faults().delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let answer = if request.is_list() && fault == RequestFault::Pass {
            self.list(request).await
        } else {
            self.meet(fault, request).await
        };
        let delay = self.layer.faults().delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        answer
    }

    /// Numbers the request, adds it to the trace, and returns its fault.
    fn fault(&self, request: &ApiRequest) -> RequestFault {
        let mut faults = self.layer.faults();
        let mut state = self.layer.state();
        let (label, fault) = match (request.about, request.is_read()) {
            (About::Lease, false) => {
                state.leases += 1;
                let fault = faults.lease(state.leases, request);
                (format!("-> lease {}", state.leases), fault)
            }
            (_, true) => {
                state.reads += 1;
                ("->".to_owned(), faults.read(state.reads, request))
            }
            (_, false) => {
                state.writes += 1;
                state.lease_check.started(self.number, request);
                let fault = faults.write(state.writes, request);
                (format!("-> write {}", state.writes), fault)
            }
        };
        if fault != RequestFault::Pass {
            state.faults += 1;
            state.last_fault = Some(Instant::now());
        }
        let text = format!(
            "{label} {} {} {}",
            request.method(),
            request.target(),
            String::from_utf8_lossy(&request.body)
        );
        state.trace.line(self.layer.elapsed(), self.number, text);
        fault
    }

    async fn meet(
        self: &Arc<Self>,
        fault: RequestFault,
        request: &ApiRequest,
    ) -> Result<Response<Answer>, BoxError> {
        let started = Instant::now();
        match fault {
            RequestFault::Pass => {
                if !request.is_read() && request.about != About::Lease {
                    self.layer.land_what_is_due().await;
                }
                self.remember(request).await?;
                let (parts, bytes) = self.layer.carry_out(request).await?;
                if request.about == About::Lease && !request.is_read() && parts.status.is_success()
                {
                    self.layer
                        .state()
                        .lease_check
                        .renewed(self.number, started, request);
                }
                self.trace_body(&bytes);
                Ok(Response::from_parts(parts, whole(bytes)))
            }
            RequestFault::Refused(code) => Ok(refusal(code)),
            RequestFault::Unconnected => Err(unconnected()),
            RequestFault::Lost(loss) => {
                let (parts, bytes) = self.layer.carry_out(request).await?;
                match loss {
                    Loss::Error => Ok(refusal(500)),
                    Loss::Reset => Err("connection reset by the test".into()),
                    Loss::Timeout => std::future::pending().await,
                    Loss::Cut => Ok(Response::from_parts(
                        parts,
                        whole(bytes.slice(..bytes.len() / 2)),
                    )),
                }
            }
            RequestFault::Crash(When::Sending) => {
                self.kill();
                Err(unconnected())
            }
            RequestFault::Crash(When::Answer) => {
                self.layer.carry_out(request).await?;
                self.kill();
                Err(unconnected())
            }
            RequestFault::Crash(When::Memory) => {
                let (parts, bytes) = self.layer.carry_out(request).await?;
                let process = Arc::clone(self);
                // The controller gets the last byte, and the process dies.
                let frames = stream::unfold(Some(bytes), move |left| {
                    let process = Arc::clone(&process);
                    async move {
                        let Some(bytes) = left else {
                            process.kill();
                            return None;
                        };
                        Some((Ok::<_, BoxError>(Frame::data(bytes)), None))
                    }
                });
                Ok(Response::from_parts(
                    parts,
                    StreamBody::new(frames).boxed_unsync(),
                ))
            }
            RequestFault::Held => {
                {
                    let mut state = self.layer.state();
                    let n = state.writes;
                    state.held.push((n, request.clone()));
                    state.has_held_create |= request.is_create();
                }
                self.layer.land_at_last();
                self.kill();
                Err(unconnected())
            }
        }
    }

    async fn list(self: &Arc<Self>, request: &ApiRequest) -> Result<Response<Answer>, BoxError> {
        let About::Kind(kind) = request.about else {
            return self.meet(RequestFault::Pass, request).await;
        };
        if request.query().contains("continue=") {
            let fault = self.layer.state().midway.remove(&kind);
            return match fault {
                Some(ListFault::ExpiredMidway) => Ok(refusal(410)),
                Some(ListFault::PageMissing) => Err("connection reset by the test".into()),
                Some(ListFault::Pass | ListFault::Stale(_)) | None => {
                    self.meet(RequestFault::Pass, request).await
                }
            };
        }
        let fault = {
            let mut faults = self.layer.faults();
            let mut state = self.layer.state();
            let n = state.lists.entry(kind).or_default();
            *n += 1;
            faults.list(kind, *n)
        };
        if fault != ListFault::Pass {
            self.layer.fault();
            self.layer.line(self.number, || format!("   {fault:?}"));
        }
        match fault {
            ListFault::Pass => self.meet(RequestFault::Pass, request).await,
            ListFault::ExpiredMidway | ListFault::PageMissing => {
                self.layer.state().midway.insert(kind, fault);
                let target = request
                    .target()
                    .replace("limit=500", &format!("limit={SMALL_PAGE}"));
                self.meet(RequestFault::Pass, &request.redirected(&target))
                    .await
            }
            ListFault::Stale(age) => {
                let earlier = {
                    let state = self.layer.state();
                    let lists = state.remembered.get(&kind);
                    lists.and_then(|l| l.get(l.len().checked_sub(age)?).or(l.front()).cloned())
                };
                match earlier {
                    Some(bytes) => {
                        let mut state = self.layer.state();
                        state.old_lists += u64::from(state.streams.is_older(kind, &bytes));
                        Ok(Response::new(whole(bytes)))
                    }
                    None => self.meet(RequestFault::Pass, request).await,
                }
            }
        }
    }

    /// Before a write of a kind its list is read, to be returned as a stale one later.
    async fn remember(&self, request: &ApiRequest) -> Result<(), BoxError> {
        if !self.layer.remember_lists || request.is_read() {
            return Ok(());
        }
        let About::Kind(kind) = request.about else {
            return Ok(());
        };
        let target = request.target();
        let version = target.split('/').nth(3).unwrap_or_default();
        let target = format!(
            "/apis/{}/{version}/{}?limit=500",
            kind.group(),
            kind.plural()
        );
        let get = Request::get(target).body(Body::empty())?;
        let bytes = self
            .layer
            .server
            .send(get)
            .await?
            .into_body()
            .collect_bytes()
            .await?;
        let mut state = self.layer.state();
        let lists = state.remembered.entry(kind).or_default();
        lists.push_back(bytes);
        if lists.len() > REMEMBERED {
            lists.pop_front();
        }
        Ok(())
    }

    fn trace_body(&self, bytes: &Bytes) {
        self.layer.state().trace.body(bytes);
    }
}
