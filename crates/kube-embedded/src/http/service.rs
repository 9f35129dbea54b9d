//! One request from head to answer: authentication, routing, and the bounds that keep a request from harming others.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use http::header::{ACCEPT, AUTHORIZATION};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::accept::{self, JSON};
use super::access_review::Review;
use super::bounds::{self, Bounds};
use super::discovery::{Discovery, group_version_path};
use super::negotiate::{self, Notations};
use super::objects;
use super::openapi::{self, OpenApi};
use super::query::Query;
use super::reply::{self, Body, Reply};
use super::route::{ObjectPath, Route};
use super::table::Columns;
use crate::error::ApiError;
use crate::metrics::{self, Metrics};
use crate::registry::Registry;

/// Most requests from the network that are worked on at one time, without watches. Each may hold a body and an answer.
const MAX_IN_FLIGHT: usize = 256;

/// Size of a body from which on a request is worked on in a thread for blocking work, in bytes.
const HEAVY: u64 = 64 * 1024;

/// The API as a tower service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    shared: Arc<Shared>,
    /// Ends the watches of the clients of this listener.
    closing: CancellationToken,
}

struct Shared {
    registry: Registry,
    discovery: Discovery,
    openapi: OpenApi,
    /// By [`Resource::index`](crate::kinds::Resource).
    columns: Vec<Arc<Columns>>,
    /// The token for the network. `None` refuses every request from there.
    token: Option<Box<str>>,
    in_flight: Semaphore,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// In this process: trusted; the clock may be a test's.
    InProcess,
    /// From the network: needs the token.
    Remote,
}

/// A request without its body, for the handlers.
pub(super) struct Asked<'a> {
    pub(super) registry: &'a Registry,
    pub(super) metrics: &'a Metrics,
    /// By [`Resource::index`](crate::kinds::Resource).
    pub(super) columns: &'a [Arc<Columns>],
    pub(super) closing: &'a CancellationToken,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) query: &'a Query,
    pub(super) caller: Caller,
    /// What its bodies and answers take from; `None` in this process.
    pub(super) bounds: Option<&'a Bounds>,
}

impl Api {
    pub(crate) fn new(
        registry: Registry,
        token: Option<&str>,
        metrics: Arc<Metrics>,
        closing: CancellationToken,
    ) -> Self {
        let resources = registry.resources();
        let shared = Shared {
            discovery: Discovery::of(resources, registry.product()),
            openapi: OpenApi::new(),
            columns: resources
                .all()
                .iter()
                .map(|resource| Arc::new(Columns::of(resource)))
                .collect(),
            token: token.map(Into::into),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            bounds: Bounds::new(),
            metrics,
            registry,
        };
        Self {
            shared: Arc::new(shared),
            closing,
        }
    }

    /// The same API, with watches that end when `closing` is cancelled.
    pub(crate) fn until(&self, closing: CancellationToken) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            closing,
        }
    }

    /// Answers a request from the network. `known` is called once it has shown the token.
    pub(crate) async fn answer_remote<B>(
        &self,
        request: Request<B>,
        known: impl FnOnce() + Send + 'static,
    ) -> Reply
    where
        B: body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let size = request.body().size_hint();
        let is_heavy = size.upper().is_none_or(|bytes| bytes > HEAVY);
        let begun = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.clone().counted(request, Caller::Remote, known);
        let reply = if is_heavy {
            // Parsing and checking a large body takes long, so it runs on a thread for blocking work.
            let here = Handle::current();
            tokio::task::spawn_blocking(move || here.block_on(answer))
                .await
                .unwrap_or_else(|error| reply::refused(&ApiError::internal(error)))
        } else {
            answer.await
        };
        tracing::debug!(%method, path, status = reply.status().as_u16(), took = ?begun.elapsed(), "answered");
        reply
    }

    /// Answers a request, also when its handler fails, and counts it.
    async fn counted<B>(self, request: Request<B>, caller: Caller, known: impl FnOnce()) -> Reply
    where
        B: body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let route = Route::parse(parts.uri.path());
        let counted = match &route {
            Route::Objects(path) => {
                let resources = self.shared.registry.resources();
                let found = resources.find(&path.group, &path.version, &path.plural);
                let part = path.subresource.as_deref();
                metrics::Asked::new(&parts, found.cloned(), path.name.is_some(), part)
            }
            _ => metrics::Asked::new(&parts, None, false, None),
        };
        let mut reply = guarded(self.answer(&parts, route, body, caller, known)).await;
        if parts.method == Method::HEAD {
            // HTTP/1 drops the body of an answer to HEAD, but HTTP/2 would send it, which breaks the stream.
            *reply.body_mut() = Body::Whole(None);
        }
        let metrics = &self.shared.metrics;
        metrics.answered(&counted, reply.status(), begun.elapsed());
        reply
    }

    async fn answer<B>(
        &self,
        parts: &Parts,
        route: Route,
        body: B,
        caller: Caller,
        known: impl FnOnce(),
    ) -> Result<Reply, ApiError>
    where
        B: body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match (&route, caller) {
            // Without a token, as on a real API server.
            (Route::Health | Route::Version, _) | (_, Caller::InProcess) => {}
            (_, Caller::Remote) => {
                self.admit(&parts.headers)?;
                known();
            }
        }
        let Route::Objects(path) = route else {
            return self.document(parts, &route);
        };
        let query = Query::parse(parts.uri.query());
        let is_watch = parts.method == Method::GET && query.flag("watch") == Some(true);
        // Held until the head of the answer is made; the client paces the rest.
        let _permit = match caller {
            Caller::Remote if !is_watch => {
                Some(self.shared.in_flight.try_acquire().map_err(|_| {
                    ApiError::too_many_requests("too many requests, please try again later", 1)
                })?)
            }
            Caller::Remote | Caller::InProcess => None,
        };
        let bounds = match caller {
            Caller::Remote => Some(&self.shared.bounds),
            Caller::InProcess => None,
        };
        if let Some(review) = Review::find(&path.group, &path.version, &path.plural) {
            return answer_review(review, &path, parts, body, bounds).await;
        }
        let asked = Asked {
            registry: &self.shared.registry,
            metrics: &self.shared.metrics,
            columns: &self.shared.columns,
            closing: &self.closing,
            method: &parts.method,
            headers: &parts.headers,
            query: &query,
            caller,
            bounds,
        };
        objects::serve(&asked, path, body).await
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token.trim());
        let Some(right) = &self.shared.token else {
            return Err(ApiError::unauthorized());
        };
        let (shown, right) = (shown.as_bytes(), right.as_bytes());
        // In constant time, so that the time does not show where the first wrong byte is.
        let same = shown.len() == right.len()
            && shown.iter().zip(right).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0;
        if same {
            Ok(())
        } else {
            Err(ApiError::unauthorized())
        }
    }

    /// Answers a request for a document, which does not change.
    fn document(&self, parts: &Parts, route: &Route) -> Result<Reply, ApiError> {
        let Shared {
            registry,
            discovery,
            openapi,
            ..
        } = &*self.shared;
        let found = match route {
            Route::Index => discovery.get(""),
            Route::Version => discovery.get("version"),
            Route::CoreVersions => discovery.get("api"),
            Route::Groups => discovery.get("apis"),
            Route::Group(group) => discovery.get(&format!("apis/{group}")),
            Route::GroupVersion { group, version } => {
                discovery.get(&group_version_path(group, version))
            }
            Route::OpenApiV2 => Some(openapi::v2(registry.product())),
            Route::OpenApiIndex => Some(openapi.index(registry.resources(), registry.product())),
            Route::OpenApiDocument(path) => {
                openapi.document(path, registry.resources(), registry.product())
            }
            Route::Health | Route::Unknown | Route::Objects(_) => None,
        };
        if found.is_none() && *route != Route::Health {
            return Err(ApiError::no_such_path());
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(ApiError::method_not_allowed_here());
        }
        let Some(found) = found else {
            return Ok(health(registry));
        };
        let accept = parts.headers.get(ACCEPT).and_then(|v| v.to_str().ok());
        if *route == Route::OpenApiV2 && accept.is_some_and(openapi::takes_v2_protobuf) {
            return Ok(reply::openapi_v2());
        }
        let form = accept::choose(accept).ok_or_else(negotiate::not_acceptable)?;
        reply::encoded(StatusCode::OK, form, found)
    }
}

/// Health: whether the store works. The reason is only logged, since health needs no token.
fn health(registry: &Registry) -> Reply {
    match registry.check() {
        Ok(()) => reply::text("ok"),
        Err(error) => {
            tracing::error!(error, "the store does not answer");
            let mut reply = reply::text("the store failed; the reason is in the server's log\n");
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            reply
        }
    }
}

async fn answer_review<B>(
    review: &Review,
    path: &ObjectPath,
    parts: &Parts,
    body: B,
    bounds: Option<&Bounds>,
) -> Result<Reply, ApiError>
where
    B: body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if path.name.is_some() || path.namespace.is_some() {
        return Err(ApiError::no_such_path());
    }
    if parts.method != Method::POST {
        return Err(ApiError::method_not_allowed_here());
    }
    let notation = negotiate::notation(&parts.headers, Notations::Binary)?;
    let body = bounds::collect(bounds, body).await?;
    let parsed = bounds::parse(bounds, &body.bytes, notation).await?;
    let asked = parsed.read?.value;
    if !asked.is_object() {
        return Err(ApiError::bad_request("the body is not an object"));
    }
    let answer = review.answer(asked).to_string();
    reply::encoded(StatusCode::CREATED, JSON, answer.into())
}

/// Turns errors into answers, and a panic into 500, so that the server goes on.
async fn guarded(answer: impl Future<Output = Result<Reply, ApiError>>) -> Reply {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => reply::refused(&error),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("of unknown kind");
            tracing::error!(panic = text, "a request's handler panicked");
            reply::refused(&ApiError::internal("the request's handler panicked"))
        }
    }
}

/// The service for `kube::Client` in process. It is always ready and never fails: errors are answers.
impl<B> Service<Request<B>> for Api
where
    B: body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.counted(request, Caller::InProcess, || ()).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let reply = guarded(async { panic!("on purpose") }).await;
        assert_eq!(reply.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
