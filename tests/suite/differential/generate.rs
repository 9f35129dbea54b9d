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
use super::{applies, deletes, odd_requests, patches, reads};

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
            0..200 => self.create(),
            200..260 => reads::get(self),
            260..380 => self.update(),
            380..540 => patches::patch(self),
            540..630 => applies::apply(self),
            630..710 => self.status(),
            710..800 => deletes::one(self),
            800..815 => deletes::collection(self),
            815..870 => reads::list(self),
            870..890 => reads::next_page(self),
            890..920 => return reads::watch(self),
            920..935 => reads::bad_watch(self),
            935..985 => odd_requests::request(self),
            985..1000 => deletes::namespace(self),
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
        match self.rng.random_range(0..100) {
            0..40 => return patches::status(self, at, path),
            40..55 => return applies::status(self, at, &name, path),
            _ => {}
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
}
