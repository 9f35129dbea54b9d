//! The inputs that are tried under each layer: bad ones by the numbers of the list that they come from, and good ones.

use serde_json::{Value, json};

use crate::dry::{METAL3, Write};
use crate::harness::{capi_claim_json, claim_json};

/// What shall come of it where the webhook answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    Refuse,
    Accept,
}

/// One row of the table in `docs/admission.md`.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) write: Write,
    pub(super) must: Must,
}

fn bad(what: &'static str, write: Write) -> Row {
    Row {
        what,
        write,
        must: Must::Refuse,
    }
}

fn good(what: &'static str, write: Write) -> Row {
    Row {
        what,
        write,
        must: Must::Accept,
    }
}

/// A new pool with these fields; a name prefix of its own unless they have one.
fn pool(spec: &Value) -> Write {
    let mut whole = json!({"namePrefix": "p"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    Write::Create(
        json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPPool", "metadata": {"name": "new"}, "spec": whole}),
    )
}

fn entry(entry: &Value) -> Write {
    pool(&json!({"pools": [entry]}))
}

/// A change of the pool that the scenario stored: 10.88.0.1 to 10.88.0.9, the first held by claim `bound`.
fn stored(spec: &Value) -> Write {
    Write::Patch(METAL3, "IPPool", "stored", json!({"spec": spec}))
}

fn asking(mut claim: Value, wanted: &str) -> Write {
    claim["metadata"]["annotations"] = json!({"ipAddress": wanted});
    Write::Create(claim)
}

fn claim_of(pool: Value) -> Write {
    let mut claim = claim_json("new", "stored");
    claim["spec"]["pool"] = pool;
    Write::Create(claim)
}

fn address(spec: &Value) -> Write {
    let mut whole =
        json!({"pool": {"name": "stored"}, "claim": {"name": "nobody"}, "address": "10.88.0.9"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    Write::Create(
        json!({"apiVersion": "ipam.metal3.io/v1alpha1", "kind": "IPAddress", "metadata": {"name": "new"}, "spec": whole}),
    )
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = ranges();
    rows.extend(spellings());
    rows.extend(pools());
    rows.extend(changes());
    rows.extend(claims());
    rows.extend(addresses());
    rows.extend(examples());
    rows
}

/// Every object of ours in `examples/`.
fn examples() -> Vec<Row> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let ours = |object: &Value| {
            let version = object["apiVersion"].as_str().unwrap_or_default();
            version.starts_with("ipam.")
        };
        for mut object in objects.into_iter().filter(ours) {
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("namespace");
            let name = file.file_name().unwrap().to_string_lossy();
            let what = format!(
                "{} of examples/{name}",
                object["metadata"]["name"].as_str().unwrap()
            );
            rows.push(good(what.leak(), Write::Create(object)));
        }
    }
    rows
}

fn ranges() -> Vec<Row> {
    vec![
        bad(
            "start above end",
            entry(&json!({"start": "10.0.0.9", "end": "10.0.0.1"})),
        ),
        bad(
            "start above end, IPv6",
            entry(&json!({"start": "fd00::9", "end": "FD00::1"})),
        ),
        bad(
            "start IPv4, end IPv6",
            entry(&json!({"start": "10.0.0.1", "end": "fd00::1"})),
        ),
        bad(
            "start IPv6, end IPv4",
            entry(&json!({"start": "fd00::1", "end": "10.0.0.1"})),
        ),
        bad(
            "start IPv4, subnet IPv6",
            entry(&json!({"start": "10.0.0.1", "subnet": "fd00::/64"})),
        ),
        bad(
            "start outside the subnet",
            entry(&json!({"start": "10.0.1.1", "subnet": "10.0.0.0/24"})),
        ),
        bad(
            "end outside the subnet",
            entry(&json!({"start": "10.0.0.1", "end": "10.0.1.1", "subnet": "10.0.0.0/24"})),
        ),
        good("start alone", entry(&json!({"start": "10.0.0.1"}))),
        bad(
            "start alone above unicast space",
            entry(&json!({"start": "240.0.0.1"})),
        ),
        bad("end alone", entry(&json!({"end": "10.0.0.9"}))),
        bad("empty entry", entry(&json!({}))),
        good("no entries", pool(&json!({"pools": []}))),
        bad("0.0.0.0/0", entry(&json!({"subnet": "0.0.0.0/0"}))),
        bad("::/0", entry(&json!({"subnet": "::/0"}))),
        good(
            "a /32 alone (a warning says that it holds nothing)",
            entry(&json!({"subnet": "10.0.0.1/32"})),
        ),
        good("a /31", entry(&json!({"subnet": "10.0.0.0/31"}))),
        good(
            "host bits in a subnet (a warning says which range results)",
            entry(&json!({"subnet": "192.168.1.5/24"})),
        ),
        bad("fd00::/07", entry(&json!({"subnet": "fd00::/07"}))),
        bad("10.0.0.0/33", entry(&json!({"subnet": "10.0.0.0/33"}))),
        bad("fd00::/129", entry(&json!({"subnet": "fd00::/129"}))),
        good(
            "overlapping entries (a warning)",
            pool(
                &json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}, {"start": "10.0.0.5", "end": "10.0.0.19"}]}),
            ),
        ),
        good(
            "an overlap with another pool (a warning)",
            entry(&json!({"start": "10.88.0.1", "end": "10.88.0.9"})),
        ),
        bad(
            "a range over multicast space",
            entry(&json!({"start": "223.0.0.1", "end": "240.0.0.1"})),
        ),
        bad(
            "a subnet over multicast space",
            entry(&json!({"subnet": "192.0.0.0/2"})),
        ),
        good(
            "a range beyond 2^64",
            entry(&json!({"start": "fd00::1", "end": "fdff::1"})),
        ),
        good(
            "loopback space (a warning)",
            entry(&json!({"start": "127.0.0.1", "end": "127.0.0.9"})),
        ),
    ]
}

/// Of `start`; every other field that is an address is held to the same.
fn spellings() -> Vec<Row> {
    let refused = [
        "",
        "abc",
        "1.2.3",
        "0x7f.1",
        "2130706433",
        "1.2.3.4.5",
        "010.0.0.1",
        "10.0.0.08",
        "999.1.1.1",
        "10.0.0.1 ",
        "10.0.0.1\n",
        "10.0.0.\u{ff11}",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:10.0.0.1",
        "::ffff:a00:1",
        "fe80::1%eth0",
        ":::",
    ];
    let mut rows: Vec<Row> = refused
        .into_iter()
        .map(|text| {
            let name = format!("start {text:?}").leak();
            bad(name, entry(&json!({"start": text, "end": "10.0.0.9"})))
        })
        .collect();
    rows.push(good(
        "start \"FD00::0001\"",
        entry(&json!({"start": "FD00::0001", "end": "fd00::9"})),
    ));
    rows
}

fn pools() -> Vec<Row> {
    let v4 = json!([{"start": "10.0.0.1", "end": "10.0.0.9"}]);
    vec![
        bad(
            "a gateway of the other family",
            entry(&json!({"start": "10.0.0.1", "gateway": "fd00::1"})),
        ),
        bad(
            "an inherited gateway of the other family",
            pool(&json!({"pools": v4, "gateway": "fd00::1"})),
        ),
        good(
            "a gateway outside the subnet (a warning)",
            entry(&json!({"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"})),
        ),
        bad(
            "prefix 33 for IPv4",
            entry(&json!({"start": "10.0.0.1", "prefix": 33})),
        ),
        bad(
            "an inherited prefix of 64 for IPv4",
            pool(&json!({"pools": v4, "prefix": 64})),
        ),
        bad("prefix 129", pool(&json!({"prefix": 129}))),
        bad("prefix -1", pool(&json!({"prefix": -1}))),
        good(
            "a prefix unlike the subnet's (a warning)",
            entry(&json!({"subnet": "10.0.0.0/24", "prefix": 25})),
        ),
        bad(
            "a DNS server \"0.0.0.0\"",
            pool(&json!({"dnsServers": ["0.0.0.0"]})),
        ),
        bad(
            "11 DNS servers",
            pool(&json!({"dnsServers": vec!["10.0.0.53"; 11]})),
        ),
        bad("strategy foo", pool(&json!({"allocationStrategy": "foo"}))),
        bad(
            "strategy random and an entry with only start",
            pool(&json!({"allocationStrategy": "random", "pools": [{"start": "10.0.0.1"}]})),
        ),
        bad(
            "10,001 entries",
            pool(&json!({"pools": vec![json!({"start": "10.0.0.1", "end": "10.0.0.9"}); 10_001]})),
        ),
        bad(
            "name prefix Bad_Prefix",
            pool(&json!({"namePrefix": "Bad_Prefix"})),
        ),
        bad(
            "a name prefix of 240 characters",
            pool(&json!({"namePrefix": "p".repeat(240)})),
        ),
        bad("name prefix -a", pool(&json!({"namePrefix": "-a"}))),
        bad("name prefix a.", pool(&json!({"namePrefix": "a."}))),
        good("name prefix a-", pool(&json!({"namePrefix": "a-"}))),
        bad("no name prefix", pool(&json!({"namePrefix": ""}))),
        bad(
            "a clusterName that fits no label",
            pool(&json!({"clusterName": "a_b"})),
        ),
        good(
            "a clusterName of no Cluster (a condition)",
            pool(&json!({"clusterName": "nobody"})),
        ),
        bad(
            "one address pre-allocated twice",
            pool(&json!({"pools": v4, "preAllocations": {"a": "10.0.0.1", "b": "10.0.0.1"}})),
        ),
        bad(
            "in two spellings",
            pool(
                &json!({"pools": [{"subnet": "fd00::/64"}], "preAllocations": {"a": "fd00::5", "b": "fd00:0::0005"}}),
            ),
        ),
        bad(
            "a pre-allocation outside the ranges",
            pool(&json!({"pools": v4, "preAllocations": {"a": "10.9.9.9"}})),
        ),
        bad(
            "a pre-allocation of an excluded address",
            pool(
                &json!({"pools": v4, "excludedAddresses": ["10.0.0.1"], "preAllocations": {"a": "10.0.0.1"}}),
            ),
        ),
        good(
            "a pre-allocated gateway",
            pool(&json!({"pools": v4, "gateway": "10.0.0.1", "preAllocations": {"a": "10.0.0.1"}})),
        ),
        bad(
            "a pre-allocation for a name that no claim can have",
            pool(&json!({"pools": v4, "preAllocations": {"A_b": "10.0.0.1"}})),
        ),
        bad(
            "for a name of 300 characters",
            pool(&json!({"pools": v4, "preAllocations": {"a".repeat(300): "10.0.0.1"}})),
        ),
        bad(
            "an excluded range that ends below its start",
            pool(&json!({"excludedAddresses": ["10.0.0.9-10.0.0.1"]})),
        ),
        bad(
            "an excluded range of two families",
            pool(&json!({"excludedAddresses": ["10.0.0.9-fd00::1"]})),
        ),
        bad(
            "an exclusion \"abc\"",
            pool(&json!({"excludedAddresses": ["abc"]})),
        ),
        good("an unknown field", pool(&json!({"foo": 1}))),
        bad("a number for a text", pool(&json!({"gateway": 1}))),
    ]
}

fn changes() -> Vec<Row> {
    vec![
        bad(
            "another name prefix",
            stored(&json!({"namePrefix": "other"})),
        ),
        bad(
            "another strategy",
            stored(&json!({"allocationStrategy": "random"})),
        ),
        bad(
            "ranges below an address in use",
            stored(&json!({"pools": [{"start": "10.88.0.5", "end": "10.88.0.9"}]})),
        ),
        bad(
            "no ranges, with an address in use",
            stored(&json!({"pools": null})),
        ),
        good(
            "larger ranges",
            stored(&json!({"pools": [{"start": "10.88.0.1", "end": "10.88.0.99"}]})),
        ),
        good(
            "a pre-allocation of an address in use (the named claim waits and says for whom)",
            stored(&json!({"preAllocations": {"late": "10.88.0.1"}})),
        ),
        good(
            "a label",
            Write::Patch(
                METAL3,
                "IPPool",
                "stored",
                json!({"metadata": {"labels": {"a": "b"}}}),
            ),
        ),
        bad(
            "a bound claim's pool",
            Write::Patch(
                METAL3,
                "IPClaim",
                "bound",
                json!({"spec": {"pool": {"name": "other"}}}),
            ),
        ),
        good(
            "a bound claim's request (it counts no more)",
            Write::Patch(
                METAL3,
                "IPClaim",
                "bound",
                json!({"metadata": {"annotations": {"ipAddress": "10.88.0.7"}}}),
            ),
        ),
        bad(
            "a bound claim's request to nonsense",
            Write::Patch(
                METAL3,
                "IPClaim",
                "bound",
                json!({"metadata": {"annotations": {"ipAddress": "abc"}}}),
            ),
        ),
        bad(
            "a live address",
            Write::Patch(
                METAL3,
                "IPAddress",
                "stored-10-88-0-1",
                json!({"spec": {"address": "10.88.0.2"}}),
            ),
        ),
        bad(
            "a live address' gateway",
            Write::Patch(
                METAL3,
                "IPAddress",
                "stored-10-88-0-1",
                json!({"spec": {"gateway": "10.88.0.3"}}),
            ),
        ),
        good(
            "a live address' label",
            Write::Patch(
                METAL3,
                "IPAddress",
                "stored-10-88-0-1",
                json!({"metadata": {"labels": {"a": "b"}}}),
            ),
        ),
    ]
}

fn claims() -> Vec<Row> {
    vec![
        bad("no pool name", claim_of(json!({}))),
        bad("an empty pool name", claim_of(json!({"name": ""}))),
        bad(
            "a pool of another namespace",
            claim_of(json!({"name": "stored", "namespace": "kube-system"})),
        ),
        bad(
            "a Secret for a pool",
            claim_of(json!({"name": "stored", "kind": "Secret"})),
        ),
        bad(
            "a pool of another group",
            claim_of(json!({"name": "stored", "apiVersion": "v1"})),
        ),
        good(
            "a pool that does not exist (a condition)",
            claim_of(json!({"name": "absent"})),
        ),
        bad(
            "request \"abc\"",
            asking(claim_json("new", "stored"), "abc"),
        ),
        bad(
            "request \"10.88.0.0/24\"",
            asking(claim_json("new", "stored"), "10.88.0.0/24"),
        ),
        bad(
            "request \"10.88.0.2,10.88.0.3\"",
            asking(claim_json("new", "stored"), "10.88.0.2,10.88.0.3"),
        ),
        bad(
            "request \"::ffff:10.88.0.2\"",
            asking(claim_json("new", "stored"), "::ffff:10.88.0.2"),
        ),
        bad(
            "request \"255.255.255.255\"",
            asking(claim_json("new", "stored"), "255.255.255.255"),
        ),
        bad(
            "a request of 200 KiB",
            asking(claim_json("new", "stored"), &"1".repeat(200 << 10)),
        ),
        bad(
            "an IPAddressClaim's request \"abc\"",
            asking(capi_claim_json("new", "stored"), "abc"),
        ),
        good(
            "a request outside the ranges (a condition)",
            asking(claim_json("new", "stored"), "10.9.9.9"),
        ),
        good(
            "a request for an address in use (a condition)",
            asking(claim_json("new", "stored"), "10.88.0.1"),
        ),
        good("a claim", Write::Create(claim_json("new", "stored"))),
        good(
            "an IPAddressClaim",
            Write::Create(capi_claim_json("new", "stored")),
        ),
    ]
}

fn addresses() -> Vec<Row> {
    vec![
        bad(
            "address \"010.0.0.1\"",
            address(&json!({"address": "010.0.0.1"})),
        ),
        bad(
            "address \"0.0.0.0\"",
            address(&json!({"address": "0.0.0.0"})),
        ),
        bad("no address", address(&json!({"address": ""}))),
        good(
            "a gateway of the other family (a warning)",
            address(&json!({"gateway": "fd00::1"})),
        ),
        good(
            "prefix 33 for IPv4 (a warning)",
            address(&json!({"prefix": 33})),
        ),
        bad("prefix 129", address(&json!({"prefix": 129}))),
        bad("no claim name", address(&json!({"claim": {}}))),
        bad("no pool name", address(&json!({"pool": {"name": ""}}))),
        bad(
            "a claim of another namespace",
            address(&json!({"claim": {"name": "c", "namespace": "kube-system"}})),
        ),
        good(
            "an address in use (a warning names the holder)",
            address(&json!({"address": "10.88.0.1"})),
        ),
        good(
            "an address outside the ranges, held by somebody else",
            address(&json!({"address": "10.9.9.9"})),
        ),
    ]
}
