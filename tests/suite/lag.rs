//! A watch that is late. Watches of different kinds are not ordered among each other: a claim can be seen before the change of
//! its pool that was made a second earlier. No scenario may depend on that order, and
//! `WATCH_LAG=ippools.ipam.metal3.io:300 cargo test --test suite real::` shows one that does: the controllers of the scenarios
//! then see every event of that kind 300 ms late.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::Request;
use http_body_util::{BodyExt, Either, StreamBody};
use hyper::body::Body as HttpBody;
use kube::Client;
use kube::client::Body;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Which watch is late, and by how much.
#[derive(Clone)]
struct Lag {
    /// `/apis/GROUP/`.
    group: String,
    /// `/PLURAL`.
    plural: String,
    by: Duration,
}

impl Lag {
    /// What the environment asks for, `PLURAL.GROUP:MILLISECONDS`.
    fn asked_for() -> Option<Self> {
        let text = std::env::var("WATCH_LAG").ok()?;
        let parts = text
            .split_once(':')
            .and_then(|(kind, by)| Some((kind.split_once('.')?, by.parse().ok()?)));
        let Some(((plural, group), by)) = parts else {
            panic!("WATCH_LAG={text}: give it as plural.group:milliseconds");
        };
        Some(Self {
            group: format!("/apis/{group}/"),
            plural: format!("/{plural}"),
            by: Duration::from_millis(by),
        })
    }

    fn concerns(&self, request: &Request<Body>) -> bool {
        let (path, query) = (request.uri().path(), request.uri().query());
        path.starts_with(&self.group)
            && path.ends_with(&self.plural)
            && query.is_some_and(|query| query.contains("watch=1"))
    }
}

/// The client for a controller of a scenario: late where the environment asks for it.
pub(crate) fn applied_to(server: Client) -> Client {
    let Some(lag) = Lag::asked_for() else {
        return server;
    };
    let service = tower::service_fn(move |request: Request<Body>| {
        let (server, lag) = (server.clone(), lag.clone());
        async move {
            let late = lag.concerns(&request);
            let answer = server.send(request).await?;
            Ok::<_, kube::Error>(answer.map(|body| {
                if late {
                    Either::Right(delayed(body, lag.by))
                } else {
                    Either::Left(body)
                }
            }))
        }
    });
    Client::new(service, "default")
}

/// The same body, each part of it a fixed time after it came.
fn delayed(
    mut body: Body,
    by: Duration,
) -> impl HttpBody<Data = Bytes, Error = kube::Error> + Send + 'static {
    let (sender, parts) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(part) = body.frame().await {
            if sender.send((Instant::now() + by, part)).is_err() {
                break;
            }
        }
    });
    Box::pin(StreamBody::new(stream::unfold(
        parts,
        |mut parts| async move {
            let (due, part) = parts.recv().await?;
            sleep_until(due).await;
            Some((part, parts))
        },
    )))
}
