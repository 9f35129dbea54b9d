//! A client for an API server that cannot answer yet. For some seconds after definitions were installed, a kube-apiserver answers
//! requests for their objects with 429 and Retry-After ("storage is (re)initializing").

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, sleep};
use tower::service_fn;

/// For how long a request is sent again.
const PATIENCE: Duration = Duration::from_mins(1);

/// The same client, which sends a request again that is answered 429 with Retry-After: after that time, for a minute at most. Every
/// other answer is returned, and so is 429 to a body that is a stream.
pub(super) fn patient(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| send(client.clone(), request));
    Client::new(service, namespace)
}

async fn send(client: Client, mut request: Request<Body>) -> kube::Result<Response<Body>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let again = copy(&request);
        let answer = client.send(request).await?;
        match (again, pause(&answer)) {
            (Some(again), Some(pause)) if Instant::now() + pause <= until => {
                sleep(pause).await;
                request = again;
            }
            (_, _) => return Ok(answer),
        }
    }
}

/// The request once more, unless its body is a stream.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    request.extensions().clone_into(copy.extensions_mut());
    Some(copy)
}

/// How long to wait before the request is sent again. `None` when the answer is to be returned.
fn pause(answer: &Response<Body>) -> Option<Duration> {
    if answer.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;

    /// What a request comes to on a server that refuses the first ones with this code and header, and how often it is asked.
    async fn asked(refused: usize, code: u16, header: Option<&str>) -> (Result<Value, u16>, usize) {
        let (count, header) = (Arc::new(AtomicUsize::new(0)), header.map(str::to_owned));
        let counted = Arc::clone(&count);
        let service = service_fn(move |request: Request<Body>| {
            let (nth, header) = (counted.fetch_add(1, Ordering::Relaxed), header.clone());
            async move {
                assert_eq!(request.uri().path(), "/api/v1/namespaces");
                let body = request.into_body().collect_bytes().await?;
                let (code, body) = if nth < refused {
                    let status = json!({"status": "Failure", "code": code, "message": "storage is (re)initializing"});
                    (code, status)
                } else {
                    (201, serde_json::from_slice(&body).unwrap())
                };
                let mut answer = Response::builder().status(code);
                if let Some(header) = header {
                    answer = answer.header("retry-after", header);
                }
                let answer = answer.body(Body::from(body.to_string().into_bytes()));
                Ok::<_, kube::Error>(answer.unwrap())
            }
        });
        let client = patient(Client::new(service, "default"));
        let request = Request::post("/api/v1/namespaces").body(br#"{"a": 1}"#.to_vec());
        let made = client.request::<Value>(request.unwrap()).await;
        let made = made.map_err(|error| match error {
            kube::Error::Api(status) => status.code,
            other => panic!("{other}"),
        });
        (made, count.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_sent_again_when_the_server_says_when() {
        let made = json!({"a": 1});
        assert_eq!(asked(0, 429, Some("1")).await, (Ok(made.clone()), 1));
        assert_eq!(asked(3, 429, Some("1")).await, (Ok(made), 4));
        assert_eq!(asked(1, 429, None).await, (Err(429), 1));
        assert_eq!(asked(1, 429, Some("Wed, 21 Oct 2026")).await, (Err(429), 1));
        assert_eq!(asked(1, 503, Some("1")).await, (Err(503), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_for_ever_ends_the_bench_after_a_minute() {
        let before = Instant::now();
        assert_eq!(asked(usize::MAX, 429, Some("7")).await, (Err(429), 9));
        assert!(before.elapsed() <= PATIENCE);
        assert_eq!(asked(usize::MAX, 429, Some("3600")).await, (Err(429), 1));
    }
}
