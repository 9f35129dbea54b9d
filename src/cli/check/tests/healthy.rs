//! Random clusters in which all is sound, as the server would store them.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::super::super::objects::{Fed, Objects};
use crate::api::{Claim, ClaimKind, ClusterFacts, Kind, PoolObject, WireObject, names};
use crate::pool::{Effect, Input, KindState, Kinds, Request};

pub(super) fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn wire(object: &Value) -> WireObject {
    serde_json::from_value(object.clone()).unwrap()
}

/// The field of an address object's spec that names its claim.
pub(super) fn claim_field(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Metal3 => "claim",
        ClaimKind::Capi => "claimRef",
    }
}

/// A cluster's objects, as they are stored.
pub(super) struct Cluster {
    pub(super) pools: Vec<Value>,
    pub(super) claims: Vec<(ClaimKind, Value)>,
    pub(super) addresses: Vec<(ClaimKind, Value)>,
    clusters: Vec<(String, Value)>,
}

impl Cluster {
    /// Several pools in two namespaces, claims of both kinds in every phase, address objects that were made by hand.
    pub(super) fn new(rng: &mut StdRng) -> Self {
        let mut cluster = Self::empty();
        for number in 0..rng.random_range(2..=4_u8) {
            let namespace = if number % 2 == 0 { "a" } else { "b" };
            cluster.add_pool(namespace, number, rng.random_ratio(1, 3));
            for claim in 0..rng.random_range(1..=5_u8) {
                let kind = ClaimKind::ALL[rng.random_range(0..2)];
                // The first is bound and settled: there is something to corrupt.
                let phase = if claim == 0 {
                    0
                } else {
                    rng.random_range(0..9)
                };
                cluster.add_case(kind, claim, phase);
            }
        }
        cluster.show_counts();
        cluster
    }

    /// One Cluster with its pool, paused for a move.
    pub(super) fn in_a_move(rng: &mut StdRng) -> Self {
        let mut cluster = Self::empty();
        cluster.add_pool("a", 0, rng.random());
        if rng.random() {
            cluster.pools[0]["spec"]["clusterName"] = json!("c");
        }
        for claim in 0..rng.random_range(1..=5_u8) {
            cluster.add_case(ClaimKind::ALL[rng.random_range(0..2)], claim, 0);
        }
        let paused = json!({"metadata": {"namespace": "a", "name": "c", "uid": "uid-c"}, "spec": {"paused": true}});
        cluster.clusters.push(("a".to_owned(), paused));
        cluster
    }

    pub(super) fn with_one_claim(group: &str) -> Self {
        let mut cluster = Self::empty();
        cluster.add_pool("a", 0, false);
        let kind = ClaimKind::ALL
            .into_iter()
            .find(|kind| kind.group() == group);
        cluster.add_case(kind.unwrap(), 0, 0);
        cluster
    }

    fn empty() -> Self {
        Self {
            pools: Vec::new(),
            claims: Vec::new(),
            addresses: Vec::new(),
            clusters: Vec::new(),
        }
    }

    fn add_pool(&mut self, namespace: &str, number: u8, six: bool) {
        let name = format!("p{number}");
        let entry = if six {
            json!({"start": format!("fd00:{number}::1"), "end": format!("fd00:{number}::ff")})
        } else {
            json!({"start": format!("10.{number}.0.1"), "end": format!("10.{number}.0.200")})
        };
        let meta = meta(namespace, &name, names::POOL_FINALIZER);
        self.pools.push(
            json!({"metadata": meta, "spec": {"namePrefix": name, "pools": [entry]}, "status": {}}),
        );
    }

    /// Of the last pool: a claim with its address object, somewhere on their way.
    fn add_case(&mut self, kind: ClaimKind, number: u8, phase: u8) {
        let pool = self.pools.last().unwrap().clone();
        let namespace = pool["metadata"]["namespace"].as_str().unwrap().to_owned();
        let pool_name = pool["metadata"]["name"].as_str().unwrap().to_owned();
        let first: IpAddr = pool["spec"]["pools"][0]["start"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let ip = match first {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) + u32::from(number)).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) + u128::from(number)).into()),
        };
        let claim = format!("{pool_name}-claim-{number}");
        let address = names::address_name(&pool_name, ip);
        let mut claim_object = claim_of(kind, &namespace, &claim, &pool_name, &address);
        let mut object = address_of(kind, &namespace, &address, &pool_name, &claim, ip);
        let young = json!((now() - SignedDuration::from_secs(20)).to_string());
        match phase {
            // Not yet served.
            1 => {
                claim_object["metadata"]["creationTimestamp"] = young;
                claim_object["status"] = json!({});
                claim_object["metadata"]["finalizers"] = json!([]);
                return self.claims.push((kind, claim_object));
            }
            // Its address object exists, and its status does not show it yet.
            2 => {
                claim_object["metadata"]["creationTimestamp"] = young.clone();
                object["metadata"]["creationTimestamp"] = young;
                claim_object["status"] = json!({});
            }
            // In release: before, between and after the address object's deletion.
            3 => claim_object["metadata"]["deletionTimestamp"] = young,
            4 => {
                claim_object["metadata"]["deletionTimestamp"] = young.clone();
                object["metadata"]["deletionTimestamp"] = young;
            }
            5 => {
                claim_object["metadata"]["deletionTimestamp"] = young;
                return self.claims.push((kind, claim_object));
            }
            // Made by hand for no claim.
            6 => {
                object["metadata"]["name"] = json!(format!("by-hand-{pool_name}-{number}"));
                object["metadata"]["finalizers"] = json!([]);
                object["metadata"]["ownerReferences"] = json!([]);
                object["metadata"]["managedFields"] = json!([written("kubectl-create", "f:spec")]);
                return self.addresses.push((kind, object));
            }
            // Just created, and its claim came after the claims were listed.
            7 => {
                object["metadata"]["creationTimestamp"] = young;
                return self.addresses.push((kind, object));
            }
            _ => {}
        }
        self.claims.push((kind, claim_object));
        self.addresses.push((kind, object));
    }

    /// Writes the status of pools as their state machines would, some of them as upstream would: without counts.
    fn show_counts(&mut self) {
        let objects = self.objects();
        for mut fed in Fed::all(&objects, None, now()) {
            let later = now() + SignedDuration::from_mins(1);
            fed.effects.extend(fed.pool.step(Input::Tick, later));
            let of = |pool: &&mut Value| pool["metadata"]["name"] == json!(fed.key.name);
            let Some(pool) = self.pools.iter_mut().find(of) else {
                continue;
            };
            for effect in &fed.effects {
                if let Effect::Request(_, Request::PoolStatus { status, .. }) = effect {
                    json_patch::merge(&mut pool["status"], status);
                    pool["status"]["lastUpdated"] =
                        json!((now() - SignedDuration::from_hours(2)).to_string());
                }
            }
        }
    }

    pub(super) fn objects(&self) -> Objects {
        let mut objects = Objects {
            kinds: Kinds::all(KindState::Listed),
            ..Objects::default()
        };
        objects.pools = self
            .pools
            .iter()
            .map(|pool| PoolObject::read(wire(pool)))
            .collect();
        let claims = self.claims.iter();
        objects.claims = claims
            .map(|(kind, claim)| Claim::read(*kind, wire(claim)))
            .collect();
        for (kind, address) in &self.addresses {
            objects.add_address(*kind, wire(address));
        }
        let clusters = self.clusters.iter();
        let facts = |(namespace, cluster): &(String, Value)| {
            let facts = ClusterFacts::read("cluster.x-k8s.io/v1beta2", &wire(cluster));
            (namespace.clone(), facts.into())
        };
        objects.clusters = clusters.map(facts).collect();
        for kind in ClaimKind::ALL {
            let of = |all: &[(ClaimKind, Value)]| {
                let all = all.iter().filter(|(of, _)| *of == kind);
                all.map(|(_, object)| object.clone()).collect::<Vec<_>>()
            };
            add_writers(&mut objects, Kind::Claims(kind), &of(&self.claims));
            add_writers(&mut objects, Kind::Addresses(kind), &of(&self.addresses));
        }
        add_writers(&mut objects, Kind::Pools, &self.pools);
        objects
    }

    /// Places of settled claims and their address objects.
    pub(super) fn pairs(&self) -> Vec<(usize, usize)> {
        let settled = |object: &Value| {
            object["metadata"]["creationTimestamp"] == created()
                && object["metadata"]["deletionTimestamp"].is_null()
        };
        let mut pairs = Vec::new();
        for (at, (kind, claim)) in self.claims.iter().enumerate() {
            let of = |(of, address): &(ClaimKind, Value)| {
                of == kind
                    && address["metadata"]["namespace"] == claim["metadata"]["namespace"]
                    && address["spec"][claim_field(*kind)]["name"] == claim["metadata"]["name"]
                    && settled(address)
            };
            let address = self.addresses.iter().position(of);
            if let Some(address) = address.filter(|_| settled(claim)) {
                pairs.push((at, address));
            }
        }
        pairs
    }

    pub(super) fn pool_of(&self, address: usize) -> usize {
        let (kind, object) = &self.addresses[address];
        let field = match kind {
            ClaimKind::Metal3 => "pool",
            ClaimKind::Capi => "poolRef",
        };
        let of = |pool: &Value| {
            pool["metadata"]["name"] == object["spec"][field]["name"]
                && pool["metadata"]["namespace"] == object["metadata"]["namespace"]
        };
        self.pools.iter().position(of).unwrap()
    }

    /// A pool of which every claim is settled, so that its status is to be right.
    pub(super) fn shows_counts(&mut self, rng: &mut StdRng) -> usize {
        let number = u8::try_from(self.pools.len()).unwrap();
        self.add_pool("a", number, rng.random());
        for claim in 0..rng.random_range(1..=4) {
            self.add_case(ClaimKind::ALL[rng.random_range(0..2)], claim, 0);
        }
        self.show_counts();
        usize::from(number)
    }

    /// Another address object of this kind with the same address, for another claim; its name.
    pub(super) fn twin(&mut self, address: usize, group: &str) -> String {
        let kind = ClaimKind::ALL
            .into_iter()
            .find(|kind| kind.group() == group)
            .unwrap();
        let pool = self.pool_of(address);
        let object = &self.addresses[address].1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let namespace = text(&object["metadata"]["namespace"]);
        let ip: IpAddr = text(&object["spec"]["address"]).parse().unwrap();
        let pool = text(&self.pools[pool]["metadata"]["name"]);
        self.claims
            .push((kind, claim_of(kind, &namespace, "twin", &pool, "twin")));
        let twin = address_of(kind, &namespace, "twin", &pool, "twin", ip);
        self.addresses.push((kind, twin));
        self.address_name(self.addresses.len() - 1)
    }

    /// Another address object of the same claim.
    pub(super) fn second(&mut self, address: usize) {
        let (kind, mut object) = self.addresses[address].clone();
        let ip: IpAddr = object["spec"]["address"].as_str().unwrap().parse().unwrap();
        let ip = match ip {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) + 50).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) + 50).into()),
        };
        let pool = &self.pools[self.pool_of(address)]["metadata"]["name"];
        let name = names::address_name(pool.as_str().unwrap(), ip);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!("uid-second");
        object["spec"]["address"] = json!(ip.to_string());
        self.addresses.push((kind, object));
    }

    pub(super) fn pool_name(&self, pool: usize) -> String {
        format!("IPPool {}", name(&self.pools[pool]))
    }

    pub(super) fn claim_name(&self, claim: usize) -> String {
        let (kind, object) = &self.claims[claim];
        format!("{} {}", kind.claim(), name(object))
    }

    pub(super) fn address_name(&self, address: usize) -> String {
        let (kind, object) = &self.addresses[address];
        format!("IPAddress.{} {}", kind.group(), name(object))
    }
}

fn add_writers(objects: &mut Objects, kind: Kind, items: &[Value]) {
    let page = json!({"metadata": {}, "items": items}).to_string();
    objects.add_writers(kind, page.as_bytes());
}

fn name(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap();
    format!("{}/{}", text("namespace"), text("name"))
}

fn created() -> Value {
    json!("2026-11-01T12:00:00Z")
}

fn meta(namespace: &str, name: &str, finalizer: &str) -> Value {
    // As a server notes who wrote: people the spec of pools and claims, a manager the status.
    let managed = json!([
        written("kubectl-create", "f:spec"),
        written("metal3-ipam", "f:status")
    ]);
    json!({"namespace": namespace, "name": name, "uid": format!("uid-{namespace}-{name}"), "resourceVersion": "1",
        "generation": 1, "creationTimestamp": created(), "finalizers": [finalizer], "managedFields": managed})
}

/// An entry of managedFields: who has written something in a part of an object.
pub(super) fn written(manager: &str, part: &str) -> Value {
    json!({"manager": manager, "operation": "Update", "time": created(), "fieldsType": "FieldsV1", "fieldsV1": {part: {".": {}}}})
}

fn claim_of(kind: ClaimKind, namespace: &str, name: &str, pool: &str, address: &str) -> Value {
    let meta = meta(namespace, name, kind.claim_finalizer());
    match kind {
        ClaimKind::Metal3 => json!({"metadata": meta, "spec": {"pool": {"name": pool}},
            "status": {"address": {"name": address, "namespace": namespace}}}),
        ClaimKind::Capi => {
            json!({"metadata": meta, "spec": {"poolRef": pool_ref(pool)}, "status": {"addressRef": {"name": address}}})
        }
    }
}

fn address_of(
    kind: ClaimKind,
    namespace: &str,
    name: &str,
    pool: &str,
    claim: &str,
    ip: IpAddr,
) -> Value {
    let mut meta = meta(namespace, name, kind.address_finalizer());
    let managers = ["manager", "metal3-ipam", "clusterctl"];
    meta["managedFields"] = json!(managers.map(|manager| written(manager, "f:spec")));
    let uid = |name: &str| format!("uid-{namespace}-{name}");
    meta["ownerReferences"] = json!([
        {"apiVersion": kind.group(), "kind": kind.claim(), "name": claim, "uid": uid(claim)},
        {"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "name": pool, "uid": uid(pool)},
    ]);
    let spec = match kind {
        ClaimKind::Metal3 => {
            json!({"address": ip, "pool": {"name": pool}, "claim": {"name": claim}})
        }
        ClaimKind::Capi => {
            json!({"address": ip, "prefix": 24, "poolRef": pool_ref(pool), "claimRef": {"name": claim}})
        }
    };
    json!({"metadata": meta, "spec": spec})
}

fn pool_ref(pool: &str) -> Value {
    json!({"name": pool, "kind": "IPPool", "apiGroup": "ipam.metal3.io"})
}
