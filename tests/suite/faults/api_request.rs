//! A request of the controller as the layer sees it.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use kube::client::Body;
use metal3_ipam::api::Kind;
use serde_json::Value;

/// A request with its body read.
#[derive(Debug, Clone)]
pub(crate) struct ApiRequest {
    /// Method, path, query and headers.
    parts: Parts,
    /// The body.
    pub(crate) body: Bytes,
    /// What it is about.
    pub(crate) about: About,
    /// Of one object.
    pub(crate) name: Option<String>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// A watched kind.
    Kind(Kind),
    /// The lease.
    Lease,
    /// Discovery.
    Documents,
}

impl ApiRequest {
    pub(crate) fn new(parts: Parts, body: Bytes) -> Self {
        let path = parts.uri.path().to_owned();
        // /apis/GROUP/VERSION[/namespaces/NS]/PLURAL[/NAME[/status]]
        let mut words: Vec<&str> = path.trim_matches('/').split('/').collect();
        if words.get(3) == Some(&"namespaces") {
            words.drain(3..5);
        }
        let about = match (words.get(1), words.get(3)) {
            (Some(&"coordination.k8s.io"), Some(&"leases")) => About::Lease,
            (Some(group), Some(plural)) => Kind::ALL
                .into_iter()
                .find(|kind| kind.group() == *group && kind.plural() == *plural)
                .map_or(About::Documents, About::Kind),
            _ => About::Documents,
        };
        Self {
            name: words.get(4).map(|name| (*name).to_owned()),
            about,
            parts,
            body,
        }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Path and query.
    pub(crate) fn target(&self) -> String {
        let target = self.parts.uri.path_and_query();
        target.map_or_else(String::new, ToString::to_string)
    }

    pub(crate) fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    pub(crate) fn is_read(&self) -> bool {
        self.parts.method == Method::GET
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.is_read() && self.query().contains("watch=1")
    }

    /// A page of a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.about, About::Kind(_))
            && self.is_read()
            && !self.is_watch()
            && self.name.is_none()
    }

    pub(crate) fn is_create(&self) -> bool {
        self.parts.method == Method::POST
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The same request to another place, without a body.
    pub(crate) fn redirected(&self, target: &str) -> Self {
        let mut parts = self.parts.clone();
        parts.uri = target.parse().unwrap();
        Self::new(parts, self.body.clone())
    }

    /// The request as it goes on to the server.
    pub(crate) fn to_http(&self) -> Request<Body> {
        Request::from_parts(self.parts.clone(), Body::from(self.body.to_vec()))
    }
}
