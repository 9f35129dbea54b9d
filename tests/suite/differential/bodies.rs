//! Objects to send: good ones of every kind, and the words that metadata is made of.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::kinds::Kind;

/// One of these.
pub(super) fn pick<T: Clone>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())].clone()
}

/// True in so many of a hundred cases.
pub(super) fn chance(rng: &mut StdRng, percent: u32) -> bool {
    rng.random_range(0..100) < percent
}

const LABEL_KEYS: [&str; 4] = ["app", "tier", "test.io/x", "cluster.x-k8s.io/cluster-name"];
const LABEL_VALUES: [&str; 4] = ["a", "b", "c-1", ""];
const BAD_KEYS: [&str; 8] = [
    "-bad",
    "a b",
    "/x",
    "x/",
    "a/b/c",
    "UPPER.io/x",
    "",
    "ünder",
];
const BAD_VALUES: [&str; 4] = ["b c", "-", "x!", "ü"];
const FINALIZERS: [&str; 2] = ["test.io/hold", "test.io/other"];

/// A map of labels; with so many bad ones of a hundred.
pub(super) fn labels(rng: &mut StdRng, bad: u32) -> Value {
    let mut map = Map::new();
    for _ in 0..rng.random_range(0..3) {
        let key = pick(rng, &LABEL_KEYS);
        map.insert(key.into(), (pick(rng, &LABEL_VALUES)).into());
    }
    if chance(rng, bad) {
        let (mut key, mut value) = (pick(rng, &LABEL_KEYS), (pick(rng, &LABEL_VALUES)).into());
        match rng.random_range(0..4) {
            0 => key = pick(rng, &BAD_KEYS),
            1 => value = Value::from(pick(rng, &BAD_VALUES)),
            2 => value = "x".repeat(64).into(),
            _ => {
                map.insert("x".repeat(64), "".into());
            }
        }
        map.insert(key.to_owned(), value);
    }
    map.into()
}

/// A map of annotations.
pub(super) fn annotations(rng: &mut StdRng, bad: u32) -> Value {
    let mut map = Map::new();
    for _ in 0..rng.random_range(0..3) {
        let key = pick(rng, &["note", "test.io/Note", "ipAddress"]);
        let value = pick(rng, &["", "free text, \"quoted\"", "10.0.0.7"]);
        map.insert(key.into(), value.into());
    }
    if chance(rng, bad) {
        map.insert((pick(rng, &BAD_KEYS)).to_owned(), "x".into());
    }
    map.into()
}

/// A list of finalizers.
pub(super) fn finalizers(rng: &mut StdRng, bad: u32) -> Value {
    let mut list: Vec<Value> = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        list.push((pick(rng, &FINALIZERS)).into());
    }
    if chance(rng, bad) {
        list.push(
            (pick(
                rng,
                &[
                    "unqualified",
                    "a b/c",
                    "test.io/",
                    "foregroundDeletion",
                    "orphan",
                    "",
                ],
            ))
            .into(),
        );
    }
    list.into()
}

/// A good object of a kind; its name is put in by the caller.
pub(super) fn object(rng: &mut StdRng, kind: &Kind) -> Value {
    let mut object = match (kind.group, kind.kind) {
        ("ipam.metal3.io", "IPPool") => json!({"spec": pool_spec(rng)}),
        ("ipam.metal3.io", "IPClaim") => json!({"spec": {"pool": reference(rng)}}),
        ("ipam.metal3.io", _) => json!({"spec": address_spec(rng)}),
        ("ipam.cluster.x-k8s.io", "IPAddressClaim") => {
            let mut spec = json!({"poolRef": pool_ref(rng)});
            if chance(rng, 30) {
                spec["clusterName"] = "cluster".into();
            }
            json!({ "spec": spec })
        }
        ("ipam.cluster.x-k8s.io", _) => {
            let mut spec = json!({
                "claimRef": {"name": pick(rng, &["a", "b"])}, "poolRef": pool_ref(rng),
                "address": pick(rng, &ADDRESSES), "prefix": rng.random_range(0..33),
            });
            if chance(rng, 30) {
                spec["gateway"] = "10.0.0.1".into();
            }
            json!({ "spec": spec })
        }
        ("cluster.x-k8s.io", _) => {
            // What the embedded server's definition has too.
            json!({"spec": {"paused": chance(rng, 50)}})
        }
        (_, "ConfigMap") => config_map(rng),
        (_, "Secret") => secret(rng),
        (_, "Event") => event(rng),
        (_, "Lease") => json!({"spec": lease_spec(rng)}),
        _ => json!({}),
    };
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    object
}

const ADDRESSES: [&str; 4] = ["10.0.0.7", "10.0.0.8", "fd00::5", "192.168.1.2"];

fn pool_spec(rng: &mut StdRng) -> Value {
    let mut spec = json!({"namePrefix": pick(rng, &["p", "prefix"])});
    let mut pools = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        let is_v4 = chance(rng, 66);
        let mut entry = match (is_v4, rng.random_range(0..2)) {
            (true, 0) => json!({"subnet": "10.0.0.0/24"}),
            (true, _) => json!({"start": "10.0.1.1", "end": "10.0.1.9"}),
            (false, _) => json!({"start": "fd00::1"}),
        };
        if chance(rng, 30) {
            entry["prefix"] = prefix(rng, is_v4);
        }
        if chance(rng, 30) {
            entry["gateway"] = gateway(rng, is_v4);
        }
        if chance(rng, 4) {
            entry = bad_entry(rng);
        }
        if chance(rng, 20) {
            entry["dnsServers"] = json!(["8.8.8.8", "fd00::53"]);
        }
        pools.push(entry);
    }
    if chance(rng, 80) {
        spec["pools"] = pools.into();
    }
    if chance(rng, 40) {
        // What an entry inherits must fit its family.
        let is_v4 = chance(rng, 95);
        spec["prefix"] = prefix(rng, is_v4);
    }
    if chance(rng, 4) {
        spec["gateway"] = pick(rng, &["10.0.0.1", "fd00::1", "0.0.0.0", "abc"]).into();
    }
    if chance(rng, 30) {
        spec["allocationStrategy"] = (pick(rng, &["sequential", "random"])).into();
    }
    if chance(rng, 30) {
        spec["preAllocations"] = json!({"claim-1": "10.0.0.9"});
    }
    if chance(rng, 20) {
        spec["excludedAddresses"] = json!(["10.0.0.1-10.0.0.4", "10.0.0.64/28"]);
    }
    if chance(rng, 20) {
        spec["addressReuseGracePeriodSeconds"] = rng.random_range(0..100).into();
    }
    if chance(rng, 20) {
        spec["allocateReservedIPAddresses"] = chance(rng, 50).into();
    }
    spec
}

fn reference(rng: &mut StdRng) -> Value {
    let mut reference = json!({"name": pick(rng, &["a", "b"])});
    if chance(rng, 40) {
        reference["namespace"] = "{ns}".into();
    }
    if chance(rng, 30) {
        reference["apiVersion"] = "ipam.metal3.io/v1alpha1".into();
        reference["kind"] = "IPPool".into();
    }
    reference
}

fn pool_ref(rng: &mut StdRng) -> Value {
    json!({"apiGroup": "ipam.metal3.io", "kind": "IPPool", "name": pick(rng, &["a", "b"])})
}

fn address_spec(rng: &mut StdRng) -> Value {
    let address = pick(rng, &ADDRESSES);
    let is_v4 = address.contains('.');
    let mut spec = json!({
        "address": address, "pool": reference(rng), "claim": reference(rng),
    });
    if chance(rng, 40) {
        spec["prefix"] = prefix(rng, is_v4);
    }
    if chance(rng, 30) {
        spec["gateway"] = gateway(rng, is_v4);
    }
    spec
}

/// A mask that the family has.
fn prefix(rng: &mut StdRng, is_v4: bool) -> Value {
    let most = if is_v4 { 32 } else { 128 };
    rng.random_range(0..=most).into()
}

/// A gateway of the family.
fn gateway(rng: &mut StdRng, is_v4: bool) -> Value {
    let address = if is_v4 { "10.0.0.1" } else { "fd00::1" };
    match rng.random_range(0..40) {
        0 => pick(rng, &ADDRESSES).into(),
        _ => address.into(),
    }
}

/// An entry that a rule of the definition refuses.
fn bad_entry(rng: &mut StdRng) -> Value {
    match rng.random_range(0..8) {
        0 => json!({}),
        1 => json!({"end": "10.0.0.1"}),
        2 => json!({"start": "10.0.0.9", "end": "10.0.0.1"}),
        3 => json!({"start": "fd00::9", "end": "FD00:0::0001"}),
        4 => json!({"start": "10.0.0.9", "end": "fd00::1"}),
        5 => json!({"start": "10.0.0.9", "subnet": "10.0.1.0/24"}),
        6 => json!({"subnet": "10.0.0.0/24", "prefix": 33, "gateway": "fd00::1"}),
        _ => json!({"start": "010.0.0.1", "subnet": "0.0.0.0/0"}),
    }
}

fn config_map(rng: &mut StdRng) -> Value {
    let mut object = json!({});
    if chance(rng, 80) {
        object["data"] =
            json!({(pick(rng, &["a", "b", "file.txt"])): pick(rng, &["1", "", "two\nlines"])});
    }
    if chance(rng, 20) {
        object["binaryData"] = json!({"bin": "AAEC"});
    }
    if chance(rng, 5) {
        object["immutable"] = chance(rng, 70).into();
    }
    if chance(rng, 4) {
        object["data"] = json!({(pick(rng, &["a b", "..", "", "bin"])): "x"});
    }
    object
}

fn secret(rng: &mut StdRng) -> Value {
    let mut object = json!({});
    if chance(rng, 50) {
        object["type"] = (pick(rng, &["Opaque", "test.io/kind"])).into();
    }
    if chance(rng, 60) {
        object["data"] =
            json!({(pick(rng, &["a", "b"])): pick(rng, &["c2VjcmV0", "", "bm90aGVy"])});
    }
    if chance(rng, 30) {
        object["stringData"] = json!({(pick(rng, &["a", "c"])): "plain"});
    }
    if chance(rng, 4) {
        object["data"] = json!({"a": "no base64!"});
    }
    if chance(rng, 5) {
        object["immutable"] = chance(rng, 70).into();
    }
    object
}

fn event(rng: &mut StdRng) -> Value {
    let mut object = json!({
        "involvedObject": {"kind": "IPPool", "namespace": "{ns}", "name": pick(rng, &["a", "b"]), "apiVersion": "ipam.metal3.io/v1alpha1"},
        "reason": pick(rng, &["Made", "Gone"]), "message": "something happened",
        "type": pick(rng, &["Normal", "Warning"]),
        "source": {"component": "test"},
    });
    if chance(rng, 60) {
        object["firstTimestamp"] = "2021-01-01T00:00:00Z".into();
        object["lastTimestamp"] = "2021-01-01T00:00:05Z".into();
        object["count"] = rng.random_range(1..9).into();
    }
    if chance(rng, 15) {
        // As events.k8s.io has them.
        object["eventTime"] = "2021-01-01T00:00:00.123456Z".into();
        object["reportingComponent"] = "test.io/reporter".into();
        object["reportingInstance"] = "one".into();
        object["action"] = "Making".into();
    }
    if chance(rng, 4) {
        object["involvedObject"]["namespace"] = "elsewhere".into();
    }
    object
}

fn lease_spec(rng: &mut StdRng) -> Value {
    let mut spec = json!({});
    if chance(rng, 80) {
        spec["holderIdentity"] = (pick(rng, &["one", "two"])).into();
    }
    if chance(rng, 70) {
        spec["leaseDurationSeconds"] = rng.random_range(1..60).into();
    }
    if chance(rng, 50) {
        spec["acquireTime"] = "2021-01-01T00:00:00.000001Z".into();
        spec["renewTime"] = "2021-01-01T00:01:00.500000Z".into();
        spec["leaseTransitions"] = rng.random_range(0..5).into();
    }
    if chance(rng, 4) {
        spec["leaseDurationSeconds"] = (-1).into();
    }
    spec
}

/// A good status of a kind that has one.
pub(super) fn status(rng: &mut StdRng, kind: &Kind) -> Value {
    let mut status = json!({});
    if chance(rng, 70) || kind.is_minimal() {
        let most = if kind.is_minimal() { 2 } else { 3 };
        status["conditions"] = conditions(rng, most);
    }
    match (kind.group, kind.kind) {
        (_, "IPPool") => {
            if chance(rng, 60) {
                status["indexes"] = json!({(pick(rng, &["a", "b"])): pick(rng, &ADDRESSES)});
            }
            if chance(rng, 50) {
                status["capacity"] = rng.random_range(0..1000).into();
                status["lastUpdated"] = "2021-02-03T04:05:06Z".into();
            }
        }
        (_, "IPClaim") => {
            if chance(rng, 60) {
                status["address"] = reference(rng);
            }
            if chance(rng, 30) {
                status["errorMessage"] = "no address".into();
            }
        }
        (_, "IPAddressClaim") => {
            if chance(rng, 60) {
                status["addressRef"] = json!({"name": "p-10-0-0-7"});
            }
        }
        _ => {
            if chance(rng, 60) {
                status["phase"] = (pick(rng, &["Pending", "Provisioned"])).into();
            }
        }
    }
    status
}

fn conditions(rng: &mut StdRng, most: usize) -> Value {
    let mut list = Vec::new();
    for _ in 0..rng.random_range(1..most) {
        list.push(json!({
            "type": pick(rng, &["Ready", "Paused"]), "status": pick(rng, &["True", "False"]),
            "reason": pick(rng, &["Because", "Other"]), "message": pick(rng, &["", "told"]),
            "lastTransitionTime": "2021-02-03T04:05:06Z",
        }));
    }
    list.into()
}
