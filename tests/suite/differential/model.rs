//! What a script has made so far, as the generator knows it: learnt from the embedded server's answers, in symbols.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::{Answer, Body};
use super::kinds::{KINDS, Kind, NAMESPACE};
use super::script::{Request, Step, What};
use super::symbols::symbol_at;

/// Place of namespaces, after [`KINDS`].
pub(super) const NAMESPACES: usize = KINDS.len();

/// What is there, and what was.
#[derive(Default)]
pub(super) struct Model {
    /// By place of the kind and name.
    pub(super) objects: BTreeMap<(usize, String), Value>,
    /// Earlier states, newest last.
    pub(super) past: Vec<(usize, Value)>,
    /// Pages that can be gone on with: the collection's request without its token, and the token.
    pub(super) pages: Vec<(usize, Request, String)>,
    /// Revisions of lists by kind, newest last.
    pub(super) revisions: Vec<(usize, String)>,
    /// Versions of objects since the garbage collector did something last: in which order it does that is its own affair.
    pub(super) versions: Vec<String>,
    /// Whether the server may have something to do in the background.
    pub(super) is_restless: bool,
}

/// The kind at a place.
pub(super) fn kind(at: usize) -> &'static Kind {
    KINDS.get(at).unwrap_or(&NAMESPACE)
}

/// Objects that are remembered after they changed.
const PAST: usize = 40;

impl Model {
    /// Names of what there is of a kind.
    pub(super) fn names(&self, at: usize) -> Vec<&str> {
        let found = self.objects.keys().filter(|(kind, _)| *kind == at);
        found.map(|(_, name)| name.as_str()).collect()
    }

    /// Places of the kinds that have objects.
    pub(super) fn kinds(&self) -> Vec<usize> {
        (0..KINDS.len())
            .filter(|at| !self.names(*at).is_empty())
            .collect()
    }

    fn has_family(&self) -> bool {
        self.objects
            .values()
            .any(|o| o["metadata"]["ownerReferences"].is_array())
    }

    /// Takes in what a step led to.
    pub(super) fn learn(&mut self, step: &Step, answer: &Answer) {
        match &step.what {
            What::Request(request) => self.learn_request(request, answer),
            What::Watch { open, marker, .. } => {
                if let Body::Events(events) = &answer.body
                    && let Some((_, object)) = events.last()
                    && object["spec"].is_object()
                {
                    self.put(object);
                } else if let Ok(object) = serde_json::from_str::<Value>(&marker.body) {
                    self.put(&object);
                }
                if let Some(at) = place(&open.path) {
                    self.revisions.retain(|(kind, _)| *kind != at);
                }
            }
            What::Settle { .. } => {
                if let Body::State(state) = &answer.body {
                    self.objects.clear();
                    for object in state {
                        self.put(object);
                    }
                    self.versions.clear();
                }
                self.is_restless = false;
            }
        }
    }

    fn learn_request(&mut self, request: &Request, answer: &Answer) {
        let Some(at) = place(&request.path) else {
            return;
        };
        let Some(object) = answer.object() else {
            return;
        };
        if object["kind"].as_str().is_some_and(|k| k.ends_with("List"))
            && let Some(revision) = object["metadata"]["resourceVersion"].as_str()
            && symbol_at(revision).is_some()
        {
            self.revisions.push((at, revision.to_owned()));
        }
        if let Some(token) = object["metadata"]["continue"].as_str() {
            let mut first = request.clone();
            first.query.retain(|(key, _)| *key != "continue");
            self.pages.push((at, first, token.to_owned()));
            if self.pages.len() > 8 {
                self.pages.remove(0);
            }
        }
        if request.method == "GET" || request.is_dry_run() || answer.code >= 300 {
            return;
        }
        let is_deletion = request.method == "DELETE";
        if let Some(items) = object["items"].as_array() {
            // deletecollection: what is held stays, marked.
            for item in items {
                self.take_out(at, item["metadata"]["name"].as_str().unwrap_or_default());
                let mut item = item.clone();
                item["kind"] = kind(at).kind.into();
                item["apiVersion"] = kind(at).api_version().into();
                self.put(&item);
            }
        } else if object["kind"] == "Status" {
            let name = object["details"]["name"].as_str().unwrap_or_default();
            self.take_out(at, name);
        } else if kind(at).is_of(object) {
            self.put(object);
        }
        let says = |word: &str| {
            request.body.contains(word) || request.query.iter().any(|(_, value)| value == word)
        };
        let wakes = says("ownerReferences")
            || says("Foreground")
            || says("Orphan")
            || says("orphan")
            || says("orphanDependents")
            || says("true")
            || says("foregroundDeletion")
            || self.has_family()
            || (at == NAMESPACES && is_deletion)
            || is_waiting(object)
            || (is_deletion
                && object["items"]
                    .as_array()
                    .is_some_and(|items| items.iter().any(is_collected)));
        self.is_restless |= wakes;
    }

    fn take_out(&mut self, at: usize, name: &str) {
        if let Some(gone) = self.objects.remove(&(at, name.to_owned())) {
            self.remember(at, gone);
        }
    }

    fn remember(&mut self, at: usize, object: Value) {
        self.past.push((at, object));
        if self.past.len() > PAST {
            self.past.remove(0);
        }
    }

    fn put(&mut self, object: &Value) {
        let Some(at) = (0..=NAMESPACES).find(|at| kind(*at).is_of(object)) else {
            return;
        };
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.take_out(at, &name);
        let metadata = &object["metadata"];
        if let Some(version) = metadata["resourceVersion"].as_str() {
            self.versions.push(version.to_owned());
        }
        let is_held = metadata["finalizers"].is_array() || at == NAMESPACES;
        if metadata["deletionTimestamp"].is_string() && !is_held {
            return;
        }
        self.objects.insert((at, name), object.clone());
    }
}

/// Whether one of the garbage collector's finalizers holds a deleting object.
fn is_waiting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string() && is_collected(object)
}

/// Whether an object has one of the garbage collector's finalizers.
fn is_collected(object: &Value) -> bool {
    let list = object["metadata"]["finalizers"].as_array();
    let mut list = list.into_iter().flatten();
    list.any(|f| f == "orphan" || f == "foregroundDeletion")
}

/// The kind that a path leads to.
pub(super) fn place(path: &str) -> Option<usize> {
    (0..=NAMESPACES).find(|at| {
        let kind = kind(*at);
        [kind.collection(), kind.everywhere()].iter().any(|base| {
            path.strip_prefix(base.as_str()).is_some_and(|rest| {
                rest.is_empty() || (rest.starts_with('/') && !rest.contains("/{ns}/"))
            })
        })
    })
}
