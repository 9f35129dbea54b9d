//! One process of the controller: what it sends meets its fate here.

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
use super::asked::{About, Asked};
use super::layer::Layer;
use super::plan::{Fate, ListFate, Loss, When};
use super::watching;

/// Objects of a page when a list is to have several.
const SMALL_PAGE: usize = 2;
/// Lists that are remembered of a kind, to be told again as stale ones.
const REMEMBERED: usize = 64;

/// One process of the controller.
pub(crate) struct Life {
    layer: Arc<Layer>,
    number: u32,
    /// Cancelled when it is dead: nothing of it gets through any more, and it hears nothing.
    pub(crate) dead: CancellationToken,
}

impl Life {
    pub(super) fn new(layer: Arc<Layer>, number: u32) -> Self {
        Self {
            layer,
            number,
            dead: CancellationToken::new(),
        }
    }

    /// A client of this process.
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let life = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let life = Arc::clone(&life);
            async move { life.pass(request).await }
        });
        Client::new(service, "default")
    }

    /// The process is gone, as after kill -9.
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
        let asked = Asked::new(parts, body.collect().await?.to_bytes());
        if self.dead.is_cancelled() {
            return Err(unconnected());
        }
        let answer = tokio::select! {
            biased;
            () = self.dead.cancelled() => Err(unconnected()),
            answer = self.answer(&asked) => answer,
        };
        self.layer.line(self.number, || match &answer {
            Ok(answer) => format!(
                "<- {} {} {}",
                asked.method(),
                asked.target(),
                answer.status().as_u16()
            ),
            Err(error) => format!("<- {} {} {error}", asked.method(), asked.target()),
        });
        answer
    }

    async fn answer(self: &Arc<Self>, asked: &Asked) -> Result<Response<Answer>, BoxError> {
        let fate = self.fate(asked);
        if fate != Fate::Pass {
            self.layer.line(self.number, || format!("   {fate:?}"));
        }
        if asked.is_watch() && fate == Fate::Pass {
            return watching::watch(self, asked).await;
        }
        let delay = self.layer.mischief().delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let answer = if asked.is_list() && fate == Fate::Pass {
            self.list(asked).await
        } else {
            self.meet(fate, asked).await
        };
        let delay = self.layer.mischief().delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        answer
    }

    /// Numbers the request, writes it down, and asks what happens to it.
    fn fate(&self, asked: &Asked) -> Fate {
        let mut mischief = self.layer.mischief();
        let mut state = self.layer.state();
        let (label, fate) = match (asked.about, asked.is_read()) {
            (About::Lease, false) => {
                state.leases += 1;
                let fate = mischief.lease(state.leases, asked);
                (format!("-> lease {}", state.leases), fate)
            }
            (_, true) => {
                state.reads += 1;
                ("->".to_owned(), mischief.read(state.reads, asked))
            }
            (_, false) => {
                state.writes += 1;
                state.tenures.started(self.number, asked);
                let fate = mischief.write(state.writes, asked);
                (format!("-> write {}", state.writes), fate)
            }
        };
        if fate != Fate::Pass {
            state.faults += 1;
            state.last_fault = Some(Instant::now());
        }
        let text = format!(
            "{label} {} {} {}",
            asked.method(),
            asked.target(),
            String::from_utf8_lossy(&asked.body)
        );
        state.trace.line(self.layer.elapsed(), self.number, text);
        fate
    }

    async fn meet(
        self: &Arc<Self>,
        fate: Fate,
        asked: &Asked,
    ) -> Result<Response<Answer>, BoxError> {
        let started = Instant::now();
        match fate {
            Fate::Pass => {
                if !asked.is_read() && asked.about != About::Lease {
                    self.layer.land_what_is_due().await;
                }
                self.remember(asked).await?;
                let (parts, bytes) = self.layer.carry_out(asked).await?;
                if asked.about == About::Lease && !asked.is_read() && parts.status.is_success() {
                    self.layer
                        .state()
                        .tenures
                        .renewed(self.number, started, asked);
                }
                self.trace_body(&bytes);
                Ok(Response::from_parts(parts, whole(bytes)))
            }
            Fate::Refused(code) => Ok(refusal(code)),
            Fate::Unconnected => Err(unconnected()),
            Fate::Lost(loss) => {
                let (parts, bytes) = self.layer.carry_out(asked).await?;
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
            Fate::Crash(When::Sending) => {
                self.kill();
                Err(unconnected())
            }
            Fate::Crash(When::Answer) => {
                self.layer.carry_out(asked).await?;
                self.kill();
                Err(unconnected())
            }
            Fate::Crash(When::Memory) => {
                let (parts, bytes) = self.layer.carry_out(asked).await?;
                let life = Arc::clone(self);
                // The last byte is handed over, and the process dies.
                let frames = stream::unfold(Some(bytes), move |left| {
                    let life = Arc::clone(&life);
                    async move {
                        let Some(bytes) = left else {
                            life.kill();
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
            Fate::Held => {
                {
                    let mut state = self.layer.state();
                    let n = state.writes;
                    state.held.push((n, asked.clone()));
                    state.has_held_create |= asked.is_create();
                }
                self.layer.land_at_last();
                self.kill();
                Err(unconnected())
            }
        }
    }

    async fn list(self: &Arc<Self>, asked: &Asked) -> Result<Response<Answer>, BoxError> {
        let About::Kind(kind) = asked.about else {
            return self.meet(Fate::Pass, asked).await;
        };
        if asked.query().contains("continue=") {
            let fate = self.layer.state().midway.remove(&kind);
            return match fate {
                Some(ListFate::ExpiredMidway) => Ok(refusal(410)),
                Some(ListFate::PageMissing) => Err("connection reset by the test".into()),
                Some(ListFate::Pass | ListFate::Stale(_)) | None => {
                    self.meet(Fate::Pass, asked).await
                }
            };
        }
        let fate = {
            let mut mischief = self.layer.mischief();
            let mut state = self.layer.state();
            let n = state.lists.entry(kind).or_default();
            *n += 1;
            mischief.list(kind, *n)
        };
        if fate != ListFate::Pass {
            self.layer.fault();
            self.layer.line(self.number, || format!("   {fate:?}"));
        }
        match fate {
            ListFate::Pass => self.meet(Fate::Pass, asked).await,
            ListFate::ExpiredMidway | ListFate::PageMissing => {
                self.layer.state().midway.insert(kind, fate);
                let target = asked
                    .target()
                    .replace("limit=500", &format!("limit={SMALL_PAGE}"));
                self.meet(Fate::Pass, &asked.redirected(&target)).await
            }
            ListFate::Stale(age) => {
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
                    None => self.meet(Fate::Pass, asked).await,
                }
            }
        }
    }

    /// Before a write of a kind its list is taken, to be told as a stale one later.
    async fn remember(&self, asked: &Asked) -> Result<(), BoxError> {
        if !self.layer.remember_lists || asked.is_read() {
            return Ok(());
        }
        let About::Kind(kind) = asked.about else {
            return Ok(());
        };
        let target = asked.target();
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
