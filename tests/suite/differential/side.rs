//! One of the two servers: sends what a script says and reads the answers.

use std::time::Duration;

use form_urlencoded::Serializer;
use futures::StreamExt;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http_body_util::{BodyExt, BodyStream};
use kube::Client;
use kube::client::Body as ClientBody;
use serde_json::Value;
use tokio::time::{Instant, interval, timeout};

use super::answer::{Answer, Body, canonical, text, warning};
use super::kinds::{KINDS, NAMESPACE};
use super::quiet;
use super::script::{Request, Step, What};
use super::symbols::Symbols;

/// How long an answer, or quiet, may take before the step has failed.
const DEADLINE: Duration = Duration::from_mins(1);

/// One server, as one run of a script sees it.
pub(super) struct Side {
    client: Client,
    pub(super) symbols: Symbols,
}

impl Side {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            symbols: Symbols::new(namespace),
        }
    }

    /// Does a step.
    pub(super) async fn run(&mut self, step: &Step) -> Answer {
        self.symbols.begin(step.id);
        match &step.what {
            What::Request(request) => self.whole(request).await,
            What::Watch {
                open,
                marker,
                until,
            } => self.watch(open, marker, until).await,
            What::Settle { kinds } => self.settle(kinds).await,
        }
    }

    /// Makes the namespace, which is no part of what is compared.
    pub(super) async fn prepare(&mut self) {
        let body = r#"{"metadata": {"name": "{ns}"}}"#;
        let request = Request::new("POST", NAMESPACE.everywhere()).json(body);
        let made = self.whole(&request).await;
        assert_eq!(made.code, 201, "{made:?}");
    }

    fn http(&self, request: &Request) -> http::Request<ClientBody> {
        let mut uri = self.symbols.resolve(&request.path);
        if !request.query.is_empty() {
            let mut query = Serializer::new(String::new());
            for (key, value) in &request.query {
                query.append_pair(key, &self.symbols.resolve(value));
            }
            uri = format!("{uri}?{}", query.finish());
        }
        let mut builder = http::Request::builder()
            .method(request.method)
            .uri(uri)
            .header(USER_AGENT, "differential/1");
        if let Some(accept) = request.accept {
            builder = builder.header(ACCEPT, accept);
        }
        if let Some(content_type) = request.content_type {
            builder = builder.header(CONTENT_TYPE, content_type);
        }
        let body = self.symbols.resolve(&request.body).into_bytes();
        builder
            .body(ClientBody::from(body))
            .unwrap_or_else(|e| panic!("{request} is no request: {e}"))
    }

    async fn whole(&mut self, request: &Request) -> Answer {
        let sent = async {
            let response = self.client.send(self.http(request)).await?;
            let (head, body) = response.into_parts();
            Ok::<_, kube::Error>((head, body.collect().await?.to_bytes()))
        };
        let (head, bytes) = match timeout(DEADLINE, sent).await {
            Err(_) => return no_answer("not within the deadline"),
            Ok(Err(error)) => return no_answer(&error.to_string()),
            Ok(Ok(answer)) => answer,
        };
        let mut answer = self.head(&head);
        answer.body = match serde_json::from_slice::<Value>(&bytes) {
            Ok(document) => Body::Json(canonical(&mut self.symbols, document)),
            Err(_) => Body::Text(text(&mut self.symbols, &String::from_utf8_lossy(&bytes))),
        };
        answer
    }

    fn head(&mut self, head: &http::response::Parts) -> Answer {
        let texts = |name: &str| -> Vec<String> {
            let found = head.headers.get_all(name).iter();
            found
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
                .collect()
        };
        Answer {
            code: head.status.as_u16(),
            content_type: texts("content-type").join(", "),
            warnings: texts("warning")
                .iter()
                .map(|found| warning(&mut self.symbols, found))
                .collect(),
            body: Body::Text(String::new()),
        }
    }

    async fn watch(&mut self, open: &Request, marker: &Request, until: &str) -> Answer {
        let response = match timeout(DEADLINE, self.client.send(self.http(open))).await {
            Err(_) => return no_answer("not within the deadline"),
            Ok(Err(error)) => return no_answer(&error.to_string()),
            Ok(Ok(response)) => response,
        };
        let (head, body) = response.into_parts();
        let mut answer = self.head(&head);
        if !head.status.is_success() {
            let bytes = match body.collect().await {
                Ok(collected) => collected.to_bytes(),
                Err(error) => return no_answer(&error.to_string()),
            };
            answer.body = match serde_json::from_slice::<Value>(&bytes) {
                Ok(document) => Body::Json(canonical(&mut self.symbols, document)),
                Err(_) => Body::Text(String::from_utf8_lossy(&bytes).into_owned()),
            };
            // The model counts on the marker, watched or not.
            self.whole(marker).await;
            return answer;
        }
        // Its answer says nothing that the event does not.
        self.client.send(self.http(marker)).await.ok();
        let mut events = Vec::new();
        let read = self.read_events(body, until, &mut events);
        if timeout(DEADLINE, read).await.is_err() {
            events.push(("NOTHING MORE within the deadline".to_owned(), Value::Null));
        }
        answer.body = Body::Events(events);
        answer
    }

    async fn read_events(
        &mut self,
        body: ClientBody,
        until: &str,
        events: &mut Vec<(String, Value)>,
    ) {
        let mut frames = BodyStream::new(body);
        let mut left = Vec::new();
        while let Some(Ok(frame)) = frames.next().await {
            left.extend(frame.into_data().unwrap_or_default());
            while let Some(end) = left.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = left.drain(..=end).collect();
                let Ok(mut event) = serde_json::from_slice::<Value>(&line) else {
                    events.push((
                        "NO JSON".to_owned(),
                        String::from_utf8_lossy(&line).into_owned().into(),
                    ));
                    continue;
                };
                let kind = event["type"].as_str().unwrap_or("NO EVENT").to_owned();
                if kind == "BOOKMARK" {
                    // Each server sends them when it sees fit.
                    continue;
                }
                let object = event.get_mut("object").map(Value::take);
                let object = canonical(&mut self.symbols, object.unwrap_or_default());
                let is_last = is_about(&object, until);
                events.push((kind, object));
                if is_last {
                    return;
                }
            }
        }
        events.push(("END".to_owned(), Value::Null));
    }

    async fn settle(&mut self, kinds: &[usize]) -> Answer {
        let begun = Instant::now();
        let mut tick = interval(Duration::from_millis(25));
        loop {
            tick.tick().await;
            let mut state = Vec::new();
            for kind in kinds.iter().map(|n| &KINDS[*n]).chain([&NAMESPACE]) {
                let mut request = Request::new("GET", kind.collection());
                if kind.is_namespace() {
                    request = request.with("labelSelector", "of={ns}");
                }
                match self.everything(&request).await {
                    Ok(items) => state.extend(items),
                    Err(why) => return no_answer(&why),
                }
            }
            let why = quiet::still_to_do(&state);
            if why.is_none() || begun.elapsed() > DEADLINE {
                let mut state: Vec<Value> = state
                    .into_iter()
                    .map(|object| canonical(&mut self.symbols, object))
                    .collect();
                if let Some(why) = why {
                    state.push(format!("not at rest: {why}").into());
                }
                return Answer {
                    code: 200,
                    content_type: String::new(),
                    warnings: Vec::new(),
                    body: Body::State(state),
                };
            }
        }
    }

    /// The items of a list, as they come, with kind and apiVersion.
    async fn everything(&self, request: &Request) -> Result<Vec<Value>, String> {
        let text = async {
            let response = self.client.send(self.http(request)).await?;
            let bytes = response.into_body().collect().await?.to_bytes();
            Ok::<_, kube::Error>(bytes)
        };
        let bytes = timeout(DEADLINE, text)
            .await
            .map_err(|_| "not within the deadline".to_owned())?
            .map_err(|error| error.to_string())?;
        let mut list: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let kind = list["kind"]
            .as_str()
            .unwrap_or_default()
            .trim_end_matches("List")
            .to_owned();
        let api_version = list["apiVersion"].clone();
        let Value::Array(mut items) = list["items"].take() else {
            return Err(format!("{request} gave no list: {list}"));
        };
        for item in &mut items {
            item["kind"] = kind.as_str().into();
            item["apiVersion"] = api_version.clone();
        }
        Ok(items)
    }
}

/// Whether an event's object, in whatever form, has this name.
fn is_about(object: &Value, name: &str) -> bool {
    object["metadata"]["name"] == name
        || object["rows"][0]["object"]["metadata"]["name"] == name
        || object["rows"][0]["cells"][0] == name
}

fn no_answer(why: &str) -> Answer {
    Answer {
        code: 0,
        content_type: String::new(),
        warnings: Vec::new(),
        body: Body::Text(format!("no answer: {why}")),
    }
}
