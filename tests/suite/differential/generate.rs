//! Random requests that mean something: about what is there, with versions that are right or wrong in a chosen way.
//!
//! Everything is drawn from one seed and from what the embedded server answered, so a seed names a script.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::bodies::{self, chance, pick};
use super::kinds::{KINDS, Kind};
use super::model::{Model, NAMESPACES, kind};
use super::script::{Request, Step, What};
use super::spoil::{self, written};
use super::{odd_requests, patches, reads};

/// Names of objects: few, so that they meet.
pub(super) const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Makes the steps of one stream.
pub(super) struct Generator {
    pub(super) rng: StdRng,
    pub(super) model: Model,
    /// Whether objects have owners here, which makes every write wait for the garbage collector.
    pub(super) has_family: bool,
    pub(super) next: u32,
    ahead: VecDeque<What>,
}

impl Generator {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(stream)),
            model: Model::default(),
            has_family: stream % 3 == 2,
            next: 0,
            ahead: VecDeque::new(),
        }
    }

    /// The next step.
    pub(super) fn step(&mut self) -> Step {
        let what = if self.model.is_restless {
            What::Settle {
                kinds: self.model.kinds(),
            }
        } else if let Some(what) = self.ahead.pop_front() {
            what
        } else {
            self.what()
        };
        let id = self.next;
        self.next += 1;
        Step { id, what }
    }

    fn what(&mut self) -> What {
        let one = match self.rng.random_range(0..1000) {
            0..220 => self.create(),
            220..280 => reads::get(self),
            280..420 => self.update(),
            420..610 => patches::patch(self),
            610..690 => self.status(),
            690..790 => self.delete(),
            790..805 => self.delete_collection(),
            805..865 => reads::list(self),
            865..885 => reads::next_page(self),
            885..915 => return reads::watch(self),
            915..935 => reads::bad_watch(self),
            935..985 => odd_requests::request(self),
            985..1000 => self.namespace(),
            _ => unreachable!("the range ends there"),
        };
        What::Request(one)
    }

    /// Sends this next.
    pub(super) fn afterwards(&mut self, what: What) {
        self.ahead.push_back(what);
    }

    // --- what it is about

    pub(super) fn kind(&mut self) -> usize {
        self.rng.random_range(0..KINDS.len())
    }

    /// Something that is there, mostly.
    pub(super) fn target(&mut self) -> (usize, String, Option<Value>) {
        // Namespaces have requests of their own.
        let there: Vec<&(usize, String)> = self
            .model
            .objects
            .keys()
            .filter(|(at, _)| *at != NAMESPACES)
            .collect();
        if !there.is_empty() && chance(&mut self.rng, 93) {
            let (at, name) = (pick(&mut self.rng, &there)).clone();
            let object = self.model.objects.get(&(at, name.clone())).cloned();
            return (at, name, object);
        }
        let at = self.kind();
        let name = pick(&mut self.rng, &NAMES);
        let object = self.model.objects.get(&(at, name.to_owned())).cloned();
        (at, name.to_owned(), object)
    }

    /// As [`Self::target`], of those kinds that satisfy `fits`.
    pub(super) fn target_where(
        &mut self,
        fits: impl Fn(&Kind) -> bool,
    ) -> (usize, String, Option<Value>) {
        for _ in 0..20 {
            let found = self.target();
            if fits(kind(found.0)) {
                return found;
            }
        }
        let at = (0..KINDS.len()).find(|at| fits(kind(*at))).unwrap_or(0);
        (at, "a".to_owned(), None)
    }

    // --- queries

    /// Options that every write takes.
    pub(super) fn write_options(&mut self, mut request: Request) -> Request {
        let rng = &mut self.rng;
        if chance(rng, 40) {
            let value = pick(rng, &["Strict", "Strict", "Warn", "Ignore", "Ignore", ""]);
            request = request.with("fieldValidation", value);
        } else if chance(rng, 2) {
            request = request.with("fieldValidation", "Loose");
        }
        if chance(rng, 8) {
            request = request.with("dryRun", "All");
        } else if chance(rng, 1) {
            request = request.with("dryRun", pick(rng, &["Some", ""]));
        }
        if chance(rng, 10) {
            request = request.with("fieldManager", "someone");
        } else if chance(rng, 1) {
            request = request.with("fieldManager", "x".repeat(129));
        }
        request
    }

    // --- writes

    fn create(&mut self) -> Request {
        let at = self.kind();
        let kind = kind(at);
        let mut object = self.new_object(kind);
        let rng = &mut self.rng;
        let name = pick(rng, &NAMES);
        if chance(rng, 8) {
            object["metadata"]["generateName"] = format!("gen-{}-", self.next).into();
        } else {
            object["metadata"]["name"] = name.into();
        }
        if kind.status && chance(rng, 15) {
            object["status"] = bodies::status(rng, kind);
        }
        match rng.random_range(0..100) {
            0..14 if !kind.is_minimal() => spoil::one_place(rng, &mut object),
            14..22 if kind.custom && !kind.is_minimal() => spoil::part(rng, &mut object, "spec"),
            22..30 => spoil::metadata(rng, &mut object["metadata"]),
            _ => {}
        }
        let body = written(&object);
        let request = Request::new("POST", kind.collection()).json(body);
        self.write_options(request)
    }

    /// A new object of a kind with metadata, less its name.
    pub(super) fn new_object(&mut self, kind: &Kind) -> Value {
        let rng = &mut self.rng;
        let mut object = bodies::object(rng, kind);
        object["metadata"] = json!({});
        if chance(rng, 45) {
            object["metadata"]["labels"] = bodies::labels(rng, 6);
        }
        if chance(rng, 25) {
            object["metadata"]["annotations"] = bodies::annotations(rng, 6);
        }
        if chance(rng, 20) {
            object["metadata"]["finalizers"] = bodies::finalizers(rng, 8);
        }
        if self.has_family && chance(&mut self.rng, 45) {
            object["metadata"]["ownerReferences"] = self.owners();
        }
        object
    }

    /// Owner references: to what is there, and now and then wrong ones.
    pub(super) fn owners(&mut self) -> Value {
        let mut list = Vec::new();
        for _ in 0..self.rng.random_range(1..3) {
            let (at, name, object) = self.target();
            let kind = kind(at);
            let rng = &mut self.rng;
            let uid = object.map_or(json!("12345678-0000-0000-0000-000000000000"), |o| {
                o["metadata"]["uid"].clone()
            });
            let mut owner = json!({
                "apiVersion": kind.api_version(), "kind": kind.kind, "name": name, "uid": uid,
            });
            if chance(rng, 40) {
                owner["blockOwnerDeletion"] = chance(rng, 80).into();
            }
            if chance(rng, 30) {
                owner["controller"] = chance(rng, 80).into();
            }
            if chance(rng, 10) {
                match rng.random_range(0..6) {
                    0 => owner["uid"] = "".into(),
                    1 => owner["kind"] = "Nothing".into(),
                    2 => owner["name"] = "".into(),
                    3 => owner["apiVersion"] = (pick(rng, &["", "a/b/c"])).into(),
                    4 => owner["uid"] = "12345678-1111-0000-0000-000000000000".into(),
                    _ => owner["unknown"] = 1.into(),
                }
            }
            list.push(owner);
        }
        list.into()
    }

    /// The object as it is there, changed, or a new one.
    pub(super) fn changed(&mut self, at: usize, name: &str, object: Option<Value>) -> Value {
        let kind = kind(at);
        let mut new = object.unwrap_or_else(|| self.new_object(kind));
        let fresh = self.new_object(kind);
        let rng = &mut self.rng;
        new["metadata"]["name"] = name.into();
        for field in ["creationTimestamp", "deletionTimestamp"] {
            if let Some(metadata) = new["metadata"].as_object_mut() {
                metadata.remove(field);
            }
        }
        if kind.is_minimal() || chance(rng, 70) {
            new["metadata"]
                .as_object_mut()
                .map(|metadata| metadata.remove("managedFields"));
        }
        for entry in new["metadata"]["managedFields"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            entry["time"] = "2021-01-01T00:00:00Z".into();
        }
        for field in [
            "spec",
            "data",
            "binaryData",
            "stringData",
            "type",
            "message",
            "count",
            "reason",
        ] {
            if !fresh[field].is_null() && chance(rng, 40) {
                new[field] = fresh[field].clone();
            }
        }
        for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
            if !fresh["metadata"][field].is_null() && chance(rng, 50) {
                new["metadata"][field] = fresh["metadata"][field].clone();
            } else if chance(rng, 12)
                && let Some(metadata) = new["metadata"].as_object_mut()
            {
                metadata.remove(field);
            }
        }
        if kind.status && chance(rng, 20) {
            new["status"] = bodies::status(rng, kind);
        }
        new
    }

    /// Another resourceVersion or UID than the newest.
    pub(super) fn misname(&mut self, at: usize, metadata: &mut Value) {
        let older: Vec<Value> = self
            .model
            .past
            .iter()
            .filter(|(kind, object)| *kind == at && object["metadata"]["name"] == metadata["name"])
            .map(|(_, object)| object["metadata"].clone())
            .collect();
        let rng = &mut self.rng;
        let older = (!older.is_empty()).then(|| pick(rng, &older).clone());
        match rng.random_range(0..100) {
            0..8 => metadata["resourceVersion"] = Value::Null,
            8..16 => {
                if let Some(older) = older {
                    metadata["resourceVersion"] = older["resourceVersion"].clone();
                    if chance(rng, 50) {
                        metadata["uid"] = older["uid"].clone();
                    }
                }
            }
            16..18 => metadata["resourceVersion"] = "1".into(),
            18..20 => metadata["resourceVersion"] = (pick(rng, &["", "0"])).into(),
            20..22 => {
                metadata["resourceVersion"] =
                    (pick(rng, &["abc", "-1", "99999999999", "1.5"])).into();
            }
            22..26 => metadata["uid"] = Value::Null,
            26..29 => {
                metadata["uid"] = older
                    .map_or("12345678-2222-0000-0000-000000000000".into(), |o| {
                        o["uid"].clone()
                    });
            }
            _ => {}
        }
    }

    fn update(&mut self) -> Request {
        let (at, name, object) = self.target();
        let kind = kind(at);
        let mut new = self.changed(at, &name, object);
        self.misname(at, &mut new["metadata"]);
        let rng = &mut self.rng;
        match rng.random_range(0..100) {
            0..10 if !kind.is_minimal() => spoil::one_place(rng, &mut new),
            10..16 if kind.custom && !kind.is_minimal() => spoil::part(rng, &mut new, "spec"),
            16..24 => spoil::metadata(rng, &mut new["metadata"]),
            _ => {}
        }
        let request = Request::new("PUT", kind.object(&name)).json(written(&new));
        self.write_options(request)
    }

    fn status(&mut self) -> Request {
        let (at, name, object) = self.target_where(|k| k.status);
        let kind = kind(at);
        let path = format!("{}/status", kind.object(&name));
        if chance(&mut self.rng, 12) {
            return Request::new("GET", path);
        }
        if chance(&mut self.rng, 45) {
            return patches::status(self, at, path);
        }
        let mut new = self.changed(at, &name, object);
        self.misname(at, &mut new["metadata"]);
        let rng = &mut self.rng;
        new["status"] = bodies::status(rng, kind);
        match rng.random_range(0..100) {
            0..32 | 36..44 if kind.is_minimal() => {}
            0..25 => spoil::part(rng, &mut new, "status"),
            25..32 => spoil::one_place(rng, &mut new),
            32..36 => spoil::metadata(rng, &mut new["metadata"]),
            36..40 => new["status"] = Value::Null,
            40..44 => new["status"] = json!({}),
            _ => {}
        }
        let request = Request::new("PUT", path).json(written(&new));
        self.write_options(request)
    }

    fn delete(&mut self) -> Request {
        let (at, name, object) = self.target();
        let mut request = Request::new("DELETE", kind(at).object(&name));
        let mut body = json!({});
        self.delete_options(&mut request, &mut body);
        if chance(&mut self.rng, 25) {
            let mut metadata = object.map_or(json!({}), |o| o["metadata"].clone());
            self.misname(at, &mut metadata);
            let rng = &mut self.rng;
            let mut preconditions = json!({});
            for field in ["uid", "resourceVersion"] {
                if chance(rng, 60) && metadata[field].is_string() {
                    preconditions[field] = metadata[field].clone();
                }
            }
            body["preconditions"] = preconditions;
        }
        finish_delete(&mut self.rng, request, body)
    }

    fn delete_options(&mut self, request: &mut Request, body: &mut Value) {
        let rng = &mut self.rng;
        let policy = match rng.random_range(0..100) {
            0..12 => "Background",
            12..22 => "Foreground",
            22..30 => "Orphan",
            30..32 => "Nonsense",
            _ => "",
        };
        if !policy.is_empty() {
            if chance(rng, 60) {
                body["propagationPolicy"] = policy.into();
            } else {
                request.query.push(("propagationPolicy", policy.to_owned()));
            }
        }
        if chance(rng, 5) {
            body["orphanDependents"] = chance(rng, 50).into();
        }
        if chance(rng, 15) {
            let seconds = pick(rng, &[0, 1, 30, -1]);
            if chance(rng, 60) {
                body["gracePeriodSeconds"] = seconds.into();
            } else {
                request
                    .query
                    .push(("gracePeriodSeconds", seconds.to_string()));
            }
        }
        if chance(rng, 6) {
            if chance(rng, 50) {
                body["dryRun"] = json!(["All"]);
            } else {
                request.query.push(("dryRun", "All".to_owned()));
            }
        }
    }

    fn delete_collection(&mut self) -> Request {
        let at = self.kind();
        let mut request = Request::new("DELETE", kind(at).collection());
        if chance(&mut self.rng, 75) {
            let selector = reads::label_selector(&mut self.rng);
            request = request.with("labelSelector", selector);
        }
        if chance(&mut self.rng, 20) {
            let selector = reads::field_selector(&mut self.rng, kind(at));
            request = request.with("fieldSelector", selector);
        }
        let mut body = json!({});
        self.delete_options(&mut request, &mut body);
        finish_delete(&mut self.rng, request, body)
    }

    /// Namespaces of their own, made and deleted.
    fn namespace(&mut self) -> Request {
        let there = self.model.names(NAMESPACES).len();
        let name = format!("{{ns}}-x{}", self.rng.random_range(1..4));
        let namespaces = kind(NAMESPACES);
        let rng = &mut self.rng;
        if there == 0 || chance(rng, 40) {
            let mut labels = bodies::labels(rng, 10);
            labels["of"] = "{ns}".into();
            let mut body = json!({"metadata": {"name": name, "labels": labels}});
            if chance(rng, 20) {
                spoil::metadata(rng, &mut body["metadata"]);
                // Those that are not of this stream would never be tidied up.
                body["metadata"]["labels"]["of"] = "{ns}".into();
                if body["metadata"]["name"]
                    .as_str()
                    .is_none_or(|n| !n.starts_with("{ns}"))
                {
                    body["metadata"]["name"] = "Not.A_name".into();
                }
            }
            return Request::new("POST", namespaces.collection()).json(written(&body));
        }
        let path = namespaces.object(&name);
        match rng.random_range(0..5) {
            0 => Request::new("GET", path),
            1 => Request::new("PATCH", path).typed(
                "application/merge-patch+json",
                json!({"metadata": {"labels": {"app": "a"}, "annotations": bodies::annotations(rng, 0)}})
                    .to_string(),
            ),
            _ => Request::new("DELETE", path),
        }
    }
}

fn finish_delete(rng: &mut StdRng, request: Request, mut body: Value) -> Request {
    if body.as_object().is_some_and(serde_json::Map::is_empty) && chance(rng, 80) {
        return request;
    }
    if chance(rng, 50) {
        body["kind"] = "DeleteOptions".into();
        body["apiVersion"] = (pick(rng, &["v1", "meta.k8s.io/v1"])).into();
    }
    if chance(rng, 4) {
        spoil::one_place(rng, &mut body);
    }
    request.json(written(&body))
}
