//! What one step of a pool's state machine costs, in memory: a claim is bound and released in 8 steps (the claim, three answers and
//! what is left, each way), in pools that have none, 1,000 and 60,000 others.
//!
//! ```text
//! cargo bench --bench pool
//! ```
//! The ceiling of the API server is some hundred claims a second; this says how far from that the decisions are.

#![allow(
    clippy::unwrap_used,
    reason = "a bench fails by panicking, in its helpers too"
)]

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use jiff::{SignedDuration, Timestamp};
use metal3_ipam::api::{
    Address, AddressKey, Claim, ClaimKey, ClaimKind, Meta, PoolKey, PoolObject,
};
use metal3_ipam::pool::{
    Config, Effect, Input, KindState, Kinds, Object, Outcome, Pool, Request, RequestId, Scope, Take,
};
use serde_json::json;

/// Claims that a pool has beside the one that comes and goes.
const OTHERS: [u32; 3] = [0, 1000, 60_000];

fn main() {
    let measuring = std::env::args().any(|arg| arg == "--bench");
    let sizes = if measuring { &OTHERS[..] } else { &OTHERS[..2] };
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("a claim bound and released");
    for &others in sizes {
        let mut server = Server::new();
        for n in 0..others {
            server.bind(n);
        }
        let steps = server.steps;
        server.bind(others);
        server.release(others);
        group.throughput(Throughput::Elements(server.steps - steps));
        group.bench_function(BenchmarkId::new("steps", others), |bencher| {
            bencher.iter(|| {
                server.bind(others);
                server.release(black_box(others));
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A server that carries everything out at once, and echoes it as watches do.
struct Server {
    machine: Pool,
    now: Timestamp,
    version: u64,
    steps: u64,
    inputs: VecDeque<Input>,
    pool: PoolObject,
    claims: HashMap<ClaimKey, Claim>,
    addresses: HashMap<AddressKey, Address>,
}

impl Server {
    fn new() -> Self {
        let key = PoolKey {
            namespace: "default".into(),
            name: "p".into(),
        };
        let spec = json!({"namePrefix": "p", "pools": [{"subnet": "10.0.0.0/12"}]});
        let pool = PoolObject {
            meta: meta("p", 1),
            spec: Ok(serde_json::from_value(spec).unwrap()),
            status: serde_json::from_value(json!({})).unwrap(),
        };
        let mut server = Self {
            machine: Pool::new(key, Config::default()),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            version: 1,
            steps: 0,
            inputs: VecDeque::new(),
            pool,
            claims: HashMap::new(),
            addresses: HashMap::new(),
        };
        server.step(Input::Kinds(Kinds::all(KindState::Listed)));
        server.tell_pool();
        server.settle();
        server
    }

    /// A claim comes and gets its address.
    fn bind(&mut self, n: u32) {
        let key = key(n);
        let name = key.name.to_string();
        self.version += 1;
        let object = json!({"metadata": {"name": name, "namespace": "default", "uid": format!("uid-{}", self.version),
            "resourceVersion": self.version.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"pool": {"name": "p"}}});
        let claim = Claim::read(ClaimKind::Metal3, serde_json::from_value(object).unwrap());
        self.claims.insert(key.clone(), claim);
        self.tell_claim(&key);
        self.settle();
        assert!(self.claims[&key].published.is_some(), "{name} is not bound");
    }

    /// It is deleted and loses its address.
    fn release(&mut self, n: u32) {
        let key = key(n);
        let deleted = self.now;
        self.edit_claim(&key, |claim| claim.meta.deletion_timestamp = Some(deleted));
        self.tell_claim(&key);
        self.settle();
        assert!(!self.claims.contains_key(&key), "{n} is still there");
    }

    /// Whatever is to be told, in order, with what comes of it.
    fn settle(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            self.step(input);
        }
    }

    fn step(&mut self, input: Input) {
        self.steps += 1;
        // Time passes, and the pool's status is due now and then, as in life.
        self.now = self
            .now
            .checked_add(SignedDuration::from_micros(300))
            .unwrap();
        for effect in self.machine.step(input, self.now) {
            if let Effect::Request(id, request) = effect {
                self.carry_out(id, request);
            }
        }
    }

    fn carry_out(&mut self, id: RequestId, request: Request) {
        match request {
            Request::PoolMeta { finalizers, .. } => {
                self.version += 1;
                self.pool.meta.finalizers = finalizers;
                self.pool.meta.resource_version = self.version.to_string().into();
                let pool = self.pool_object();
                self.answer(id, Outcome::Stored(pool, Take::In));
            }
            Request::PoolStatus { status, .. } => {
                self.version += 1;
                let mut stored = serde_json::to_value(&self.pool.status).unwrap();
                json_patch::merge(&mut stored, &status);
                self.pool.status = serde_json::from_value(stored).unwrap();
                self.pool.meta.resource_version = self.version.to_string().into();
                let pool = self.pool_object();
                self.answer(id, Outcome::Stored(pool, Take::In));
            }
            Request::ClaimFinalizers {
                key, finalizers, ..
            } => {
                self.edit_claim(&key, |claim| claim.meta.finalizers = finalizers);
                self.answer_claim(id, &key);
            }
            Request::ClaimStatus { key, status, .. } => {
                self.edit_claim(&key, |claim| {
                    if let Some(published) = status.published {
                        claim.published = published;
                    }
                    if let Some(conditions) = status.conditions {
                        claim.conditions = conditions;
                    }
                });
                self.answer_claim(id, &key);
            }
            Request::CreateAddress(new) => {
                self.version += 1;
                let mut meta = meta(&new.name, self.version);
                meta.finalizers = vec![new.kind.address_finalizer().to_owned()];
                let address = Address {
                    meta,
                    kind: new.kind,
                    address: Ok(new.address),
                    pool: "p".into(),
                    claim: new.claim,
                    prefix: new.prefix,
                    gateway: new.gateway,
                    dns_servers: new.dns_servers,
                };
                let key = address.key();
                self.addresses.insert(key.clone(), address);
                self.answer_address(id, &key);
            }
            Request::DeleteAddress { key, .. } => {
                let deleted = self.now;
                self.edit_address(&key, |meta| meta.deletion_timestamp = Some(deleted));
                self.answer_address(id, &key);
            }
            Request::AddressMeta {
                key, finalizers, ..
            } => {
                self.edit_address(&key, |meta| {
                    meta.finalizers = finalizers.unwrap_or_default();
                });
                self.answer_address(id, &key);
            }
            other @ (Request::ReadCluster { .. }
            | Request::ReadClaim { .. }
            | Request::ReadAddress { .. }) => panic!("nothing is read here: {other:?}"),
        }
    }

    fn edit_claim(&mut self, key: &ClaimKey, change: impl FnOnce(&mut Claim)) {
        self.version += 1;
        let claim = self.claims.get_mut(key).unwrap();
        change(claim);
        claim.meta.resource_version = self.version.to_string().into();
    }

    fn edit_address(&mut self, key: &AddressKey, change: impl FnOnce(&mut Meta)) {
        self.version += 1;
        let address = self.addresses.get_mut(key).unwrap();
        change(&mut address.meta);
        address.meta.resource_version = self.version.to_string().into();
    }

    fn answer(&mut self, id: RequestId, outcome: Outcome) {
        self.inputs.push_back(Input::Answer { id, outcome });
    }

    /// The answer about a claim. What the watch shows of it then is nothing new, so that the router leaves it out.
    fn answer_claim(&mut self, id: RequestId, key: &ClaimKey) {
        let claim = self.claims[key].clone();
        if claim.meta.is_deleting() && claim.meta.finalizers.is_empty() {
            self.claims.remove(key);
            self.answer(id, Outcome::Gone);
            return;
        }
        let stored = Object::Claim {
            claim: Box::new(claim),
            scope: Scope::Ours,
        };
        self.answer(id, Outcome::Stored(stored, Take::In));
    }

    fn answer_address(&mut self, id: RequestId, key: &AddressKey) {
        let address = self.addresses[key].clone();
        if address.meta.is_deleting() && address.meta.finalizers.is_empty() {
            self.addresses.remove(key);
            self.answer(id, Outcome::Gone);
            return;
        }
        let stored = Object::Address {
            address: Box::new(address),
            scope: Scope::Ours,
        };
        self.answer(id, Outcome::Stored(stored, Take::In));
    }

    fn tell_claim(&mut self, key: &ClaimKey) {
        if let Some(claim) = self.claims.get(key) {
            self.inputs.push_back(Input::Seen(Object::Claim {
                claim: Box::new(claim.clone()),
                scope: Scope::Ours,
            }));
        }
    }

    fn tell_pool(&mut self) {
        let pool = self.pool_object();
        self.inputs.push_back(Input::Seen(pool));
    }

    fn pool_object(&self) -> Object {
        Object::Pool {
            object: Box::new(self.pool.clone()),
            problems: Vec::new(),
            scope: Scope::Ours,
        }
    }
}

fn key(n: u32) -> ClaimKey {
    ClaimKey {
        kind: ClaimKind::Metal3,
        name: format!("claim-{n}").into(),
    }
}

fn meta(name: &str, version: u64) -> Meta {
    Meta {
        name: name.into(),
        namespace: "default".into(),
        uid: format!("uid-{version}").into(),
        resource_version: version.to_string().into(),
        generation: 1,
        creation_timestamp: Some(Timestamp::UNIX_EPOCH),
        ..Meta::default()
    }
}
