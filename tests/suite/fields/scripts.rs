//! The scripts of requests.

use serde_json::{Map, Value, json};

use super::Step;

const POOL: &str = "ipam.metal3.io/v1alpha1/ippools";
const CLAIM: &str = "ipam.metal3.io/v1alpha1/ipclaims";
const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// All of them, by name.
pub(super) fn all() -> [(&'static str, Vec<Step>); 10] {
    [
        ("writes", writes()),
        ("many writers", many_writers()),
        ("sent entries", sent_entries()),
        ("applies", applies()),
        ("emptied", emptied()),
        ("lists", lists()),
        ("status", status_applies()),
        ("refusals", refusals()),
        ("migration", migration()),
        ("built-in", built_in()),
    ]
}

fn pool(name: &str, metadata: Value, spec: Value) -> Value {
    let spec = Map::from_iter([("spec".to_owned(), spec)]);
    object("IPPool", name, metadata, spec.into())
}

fn object(kind: &str, name: &str, metadata: Value, rest: Value) -> Value {
    let version = match kind {
        "ConfigMap" | "Secret" | "Namespace" | "Event" => "v1",
        "Lease" => "coordination.k8s.io/v1",
        _ => "ipam.metal3.io/v1alpha1",
    };
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    let (Value::Object(metadata), Value::Object(rest)) = (metadata, rest) else {
        panic!("an object is made of maps")
    };
    object["metadata"].as_object_mut().unwrap().extend(metadata);
    object.as_object_mut().unwrap().extend(rest);
    object
}

fn owner(uid: &str, name: &str) -> Value {
    // Of a kind that no garbage collector finds.
    json!({"apiVersion": "example.com/v1", "kind": "Rack", "name": name, "uid": uid})
}

const RANGE: &str = r#"[{"start": "10.0.0.10", "end": "10.0.0.20"}]"#;

fn spec(prefix: &str) -> Value {
    json!({"namePrefix": prefix, "pools": serde_json::from_str::<Value>(RANGE).unwrap()})
}

fn writes() -> Vec<Step> {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    vec![
        Step::create(POOL, pool("w", json!({"labels": {"a": "1"}, "finalizers": ["example.com/x", "example.com/y"],
            "ownerReferences": [owner("u1", "r1"), owner("u2", "r2")], "annotations": {"note": "n"}}), spec("w"))).by("maker"),
        // Nothing changes, nobody gets anything.
        Step::patch(POOL, "w", MERGE, json!({"metadata": {"labels": {"a": "1"}}})).by("idle"),
        Step::patch(POOL, "w", MERGE, json!({"metadata": {"labels": {"a": "2", "b": "1"}}})).by("labeller"),
        Step::patch(POOL, "w", MERGE, json!({"metadata": {"labels": {"b": "2"}}})).from("agent/1.0 (linux) x"),
        Step::patch(POOL, "w", MERGE, json!({"metadata": {"labels": {"c": "2"}}})),
        Step::patch(POOL, "w", MERGE, json!({"metadata": {"labels": {"a": null}}})).by("taker"),
        Step::patch(POOL, "w", PATCH, json!([{"op": "add", "path": "/spec/gateway", "value": "10.0.0.1"}, {"op": "add", "path": "/spec/preAllocations", "value": {"one": "10.0.0.10"}}])).by("json"),
        Step::patch(POOL, "w", PATCH, json!([{"op": "add", "path": "/spec/pools/-", "value": {"start": "10.0.1.1", "end": "10.0.1.9", "dnsServers": ["1.1.1.1"]}}])).by("ranges"),
        Step::patch(POOL, "w", MERGE, json!({"metadata": {"finalizers": ["example.com/y", "example.com/z"]}})).by("finalizer"),
        Step::patch(POOL, "w", MERGE, json!({"metadata": {"ownerReferences": [owner("u2", "other"), owner("u3", "r3")]}})).by("owner"),
        Step::update(POOL, "w", pool("w", json!({"resourceVersion": "$RV", "labels": {"b": "2"}}), spec("w"))).by("putter"),
        Step::update(POOL, "w", pool("w", json!({"resourceVersion": "$RV", "labels": {"b": "2"}}), spec("w"))).by("putter"),
        Step::patch(POOL, "w/status", MERGE, json!({"metadata": {"labels": {"no": "no"}}, "spec": {"gateway": "10.0.0.2"}, "status": {"capacity": 11, "conditions": [condition("Ready", "True"), condition("Paused", "False")]}})).by("status"),
        Step::patch(POOL, "w/status", MERGE, json!({"status": {"conditions": [condition("Ready", "False"), condition("Paused", "False")]}})).by("status2"),
        Step::patch(POOL, "w/status", MERGE, json!({"status": {"conditions": [condition("Ready", "False")], "indexes": {"c": "10.0.0.10"}}})).by("status"),
        Step::patch(POOL, "w", MERGE, json!({"status": {"capacity": 12}, "spec": {"prefix": 24}})).by("status"),
        Step::update(POOL, "w/status", pool("w", json!({"resourceVersion": "$RV"}), json!({"namePrefix": "other"}))).by("status"),
        Step::patch(POOL, "w", MERGE, json!({"spec": {"gateway": null, "prefix": 25}})).by("dry").dry(),
        Step::get(POOL, "w"),
    ]
}

fn many_writers() -> Vec<Step> {
    let mut steps = vec![Step::create(POOL, pool("m", json!({}), spec("m"))).by("m00")];
    for number in 1..=14 {
        let label = json!({"metadata": {"labels": {format!("l{number}"): "x"}}});
        steps.push(Step::patch(POOL, "m", MERGE, label).by(&format!("m{number:02}")));
    }
    steps.push(Step::apply(
        POOL,
        "m",
        "z",
        pool("m", json!({"labels": {"l1": "x"}}), json!({})),
    ));
    steps
}

/// Entries that clients send: to reset them, or bad ones.
fn sent_entries() -> Vec<Step> {
    let entry = |fields: Value| json!({"manager": "mine", "operation": "Update", "apiVersion": "ipam.metal3.io/v1alpha1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields});
    let managed = |entries: Value| json!({"metadata": {"managedFields": entries}});
    let with = |key: &str, value: Value| {
        let mut entry = entry(json!({"f:spec": {"f:gateway": {}}}));
        entry[key] = value;
        managed(json!([entry]))
    };
    let map = "v1/configmaps";
    vec![
        Step::create(POOL, pool("e", json!({"managedFields": [entry(json!({"f:spec": {"f:prefix": {}}}))]}), spec("e"))).by("maker"),
        Step::patch(POOL, "e", MERGE, managed(json!([entry(json!({"f:spec": {"f:prefix": {}, "f:gateway": {}}, "x:unknown": {}}))]))).by("editor"),
        Step::patch(POOL, "e", MERGE, managed(json!([entry(json!({"f:spec": {".": {}, "f:gateway": {}}}))]))).by("editor"),
        Step::patch(POOL, "e", MERGE, managed(json!([]))).by("editor"),
        Step::patch(POOL, "e", MERGE, managed(Value::Null)).by("editor"),
        Step::patch(POOL, "e", MERGE, with("operation", json!("Steal"))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("fieldsType", json!("FieldsV2"))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("apiVersion", json!(""))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("fieldsV1", json!({"bad": {}}))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("manager", json!("x".repeat(129)))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("manager", json!("tab\there"))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("subresource", json!("s".repeat(257)))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("time", Value::Null)).by("editor"),
        Step::patch(POOL, "e/status", MERGE, managed(json!([{}]))).by("editor"),
        Step::patch(POOL, "e", MERGE, with("apiVersion", json!("ipam.metal3.io/v9"))).by("editor"),
        Step::patch(POOL, "e", MERGE, json!({"metadata": {"labels": {"after": "v9"}}})).by("editor"),
        Step::patch(POOL, "e", MERGE, managed(json!([{}]))).by("editor"),
        Step::patch(POOL, "e", MERGE, json!({"metadata": {"labels": {"x": "1"}}})).by("unseen"),
        Step::apply(POOL, "e", "first", pool("e", json!({"labels": {"y": "1"}}), json!({}))),
        Step::create(map, object("ConfigMap", "e", json!({}), json!({"data": {"a": "1"}}))).by("maker"),
        Step::patch(map, "e", MERGE, json!({"metadata": {"managedFields": [{"manager": "old", "operation": "Update", "apiVersion": "v9", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}]}})).by("editor"),
        Step::patch(map, "e", MERGE, json!({"data": {"b": "1"}})).by("editor"),
        Step::patch(map, "e", MERGE, managed(json!([]))).by("editor"),
        Step::patch(map, "e", STRATEGIC, json!({"data": {"b": "2"}})).by("unseen"),
    ]
}

fn applies() -> Vec<Step> {
    let labels = |labels: Value| json!({ "labels": labels });
    vec![
        Step::apply(POOL, "a", "one", pool("a", labels(json!({"a": "1", "b": "1"})), spec("a"))),
        // The same once more changes nothing.
        Step::apply(POOL, "a", "one", pool("a", labels(json!({"a": "1", "b": "1"})), spec("a"))),
        // Someone wants the same: both have it then.
        Step::apply(POOL, "a", "two", pool("a", labels(json!({"b": "1"})), json!({}))),
        Step::apply(POOL, "a", "one", pool("a", labels(json!({"a": "1"})), spec("a"))),
        Step::apply(POOL, "a", "three", pool("a", labels(json!({"a": "3", "b": "3"})), json!({}))),
        Step::apply(POOL, "a", "three", pool("a", labels(json!({"a": "3"})), json!({}))),
        Step::apply(POOL, "a", "three", pool("a", labels(json!({"a": "3", "b": "3"})), json!({}))).force().dry(),
        Step::apply(POOL, "a", "three", pool("a", labels(json!({"a": "3", "b": "3"})), json!({}))).force(),
        // Fields of updates: conflicts, taken over, and left to those who wrote them.
        Step::patch(POOL, "a", MERGE, json!({"spec": {"gateway": "10.0.0.1", "prefix": 24}, "metadata": {"labels": {"d": "1"}}})).by("hand"),
        Step::apply(POOL, "a", "one", pool("a", labels(json!({"a": "3"})), json!({"namePrefix": "a", "pools": [{"start": "10.0.0.10", "end": "10.0.0.20"}], "gateway": "10.0.0.2"}))),
        Step::apply(POOL, "a", "one", pool("a", labels(json!({"a": "3"})), json!({"namePrefix": "a", "pools": [{"start": "10.0.0.10", "end": "10.0.0.20"}], "gateway": "10.0.0.2"}))).force(),
        Step::patch(POOL, "a", MERGE, json!({"spec": {"gateway": "10.0.0.3"}})).by("hand"),
        Step::apply(POOL, "a", "one", pool("a", labels(json!({"a": "3"})), spec("a"))),
        // An atomic list is one value.
        Step::apply(POOL, "a", "list", pool("a", json!({}), json!({"pools": [{"start": "10.0.0.10", "end": "10.0.0.20"}]}))),
        Step::apply(POOL, "a", "list", pool("a", json!({}), json!({"pools": [{"start": "10.0.0.10", "end": "10.0.0.21"}]}))),
        Step::apply(POOL, "a", "map", pool("a", json!({}), json!({"preAllocations": {"x": "10.0.0.11", "y": "10.0.0.12"}}))),
        Step::apply(POOL, "a", "map2", pool("a", json!({}), json!({"preAllocations": {"y": "10.0.0.12", "z": "10.0.0.13"}}))),
        Step::apply(POOL, "a", "map", pool("a", json!({}), json!({"preAllocations": {"x": "10.0.0.11"}}))),
        Step::apply(POOL, "a", "map", pool("a", json!({}), json!({}))),
        Step::apply(POOL, "a", "map2", pool("a", json!({}), json!({"preAllocations": {}}))),
        Step::apply(POOL, "a", "map2", pool("a", json!({}), json!({}))),
        // Nothing is applied any more: what nobody else has goes.
        Step::apply(POOL, "a", "three", pool("a", json!({}), json!({}))),
        Step::apply(POOL, "a", "two", object("IPPool", "a", json!({}), json!({}))),
        Step::get(POOL, "a"),
    ]
}

/// What an apply makes empty: a list, and then the map around it.
fn emptied() -> Vec<Step> {
    let entry = |prefix: &str, more: Value| {
        let mut spec = json!({"namePrefix": prefix});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        pool("e", json!({}), spec)
    };
    let apply = |config: Value| Step::apply(POOL, "e", "one", config);
    let map = |data: Value| {
        let rest = json!({"data": data});
        Step::apply(
            "v1/configmaps",
            "e",
            "one",
            object("ConfigMap", "e", json!({"labels": {"a": "b"}}), rest),
        )
    };
    vec![
        apply(entry(
            "e",
            json!({"pools": [], "preAllocations": {"a": "10.0.0.1"}}),
        )),
        apply(entry("e", json!({"pools": [{}], "preAllocations": {}}))),
        apply(entry("e", json!({"pools": [], "dnsServers": ["10.0.0.2"]}))),
        apply(entry("e", json!({"dnsServers": []}))),
        apply(pool("e", json!({}), json!({}))),
        map(json!({"a": "b"})),
        map(json!({})),
        Step::apply(
            "v1/configmaps",
            "e",
            "one",
            object("ConfigMap", "e", json!({"labels": {}}), json!({})),
        ),
    ]
}

fn lists() -> Vec<Step> {
    vec![
        Step::apply(POOL, "l", "one", pool("l", json!({"finalizers": ["example.com/a", "example.com/b"], "ownerReferences": [owner("u1", "r1"), owner("u2", "r2")]}), spec("l"))),
        Step::apply(POOL, "l", "two", pool("l", json!({"finalizers": ["example.com/c", "example.com/b"], "ownerReferences": [owner("u3", "r3"), owner("u2", "r2")]}), json!({}))),
        Step::apply(POOL, "l", "two", pool("l", json!({"ownerReferences": [owner("u2", "other")]}), json!({}))),
        Step::apply(POOL, "l", "one", pool("l", json!({"finalizers": ["example.com/a"], "ownerReferences": [owner("u1", "r1")]}), spec("l"))),
        Step::apply(POOL, "l", "two", pool("l", json!({"finalizers": ["example.com/d", "example.com/a", "example.com/e"]}), json!({}))),
        Step::patch(POOL, "l", MERGE, json!({"metadata": {"finalizers": ["example.com/a", "example.com/f", "example.com/d"]}})).by("hand"),
        Step::apply(POOL, "l", "one", pool("l", json!({}), spec("l"))),
        Step::apply(POOL, "l", "two", pool("l", json!({"finalizers": ["example.com/d", "example.com/f"]}), json!({}))),
        Step::apply(POOL, "l", "two", pool("l", json!({}), json!({}))),
        Step::apply(POOL, "l", "two", pool("l", json!({"finalizers": ["example.com/d", "example.com/d"]}), json!({}))),
        Step::apply(POOL, "l", "two", pool("l", json!({"ownerReferences": [owner("u9", "a"), owner("u9", "b")]}), json!({}))),
    ]
}

fn status_applies() -> Vec<Step> {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = |status: Value| object("IPPool", "s", json!({}), json!({ "status": status }));
    vec![
        Step::apply(POOL, "s/status", "c", status(json!({"capacity": 1}))),
        Step::apply(POOL, "s", "c", {
            let mut pool = pool("s", json!({}), spec("s"));
            pool["status"] = json!({"capacity": 3});
            pool
        }),
        Step::apply(
            POOL,
            "s/status",
            "c",
            status(json!({"capacity": 1, "conditions": [condition("Ready", "True")]})),
        ),
        Step::apply(
            POOL,
            "s/status",
            "d",
            status(json!({"conditions": [condition("Paused", "True")]})),
        ),
        Step::apply(
            POOL,
            "s/status",
            "d",
            status(json!({"conditions": [condition("Ready", "False")]})),
        ),
        Step::apply(
            POOL,
            "s/status",
            "d",
            status(json!({"conditions": [condition("Ready", "False")]})),
        )
        .force(),
        Step::apply(
            POOL,
            "s/status",
            "c",
            object(
                "IPPool",
                "s",
                json!({"labels": {"no": "no"}}),
                json!({"spec": {"gateway": "10.0.0.1"}, "status": {"capacity": 2}}),
            ),
        ),
        Step::patch(
            POOL,
            "s/status",
            MERGE,
            json!({"status": {"capacity": 5, "allocated": 1}}),
        )
        .by("hand"),
        Step::apply(POOL, "s/status", "c", status(json!({"capacity": 2}))),
        Step::apply(POOL, "s/status", "c", status(json!({}))),
        Step::apply(
            POOL,
            "s/status",
            "d",
            object("IPPool", "s", json!({}), json!({})),
        ),
        Step::apply(POOL, "s", "c", object("IPPool", "s", json!({}), json!({}))),
        Step::get(POOL, "s"),
    ]
}

fn refusals() -> Vec<Step> {
    let good = pool("r", json!({}), spec("r"));
    let changed = |key: &str, value: Value| {
        let mut pool = good.clone();
        pool[key] = value;
        pool
    };
    let with_spec = |key: &str, value: Value| {
        let mut pool = good.clone();
        pool["spec"][key] = value;
        pool
    };
    vec![
        Step::apply(POOL, "r", "", &good),
        Step::apply(POOL, "r", "one", &good)
            .with("force", "maybe")
            .dry(),
        Step::patch(POOL, "r", MERGE, json!({})).force(),
        Step::patch(POOL, "r", "application/apply-patch+cbor", json!({})).by("one"),
        Step::patch(POOL, "r", STRATEGIC, json!({})).by("one"),
        Step::patch(
            "v1/configmaps",
            "r",
            "application/apply-patch+cbor",
            json!({}),
        )
        .by("one"),
        Step::apply(POOL, "r", &"x".repeat(129), &good),
        Step::apply(POOL, "r", "bad\tname", &good),
        Step::create(POOL, good.clone()).by("bad\nname"),
        Step::apply(POOL, "r", "one", "[1]"),
        Step::apply(POOL, "r", "one", "kind: IPPool"),
        Step::apply(
            POOL,
            "r",
            "one",
            changed("apiVersion", json!("ipam.metal3.io/v1")),
        ),
        Step::apply(POOL, "r", "one", changed("kind", json!("IPClaim"))),
        Step::apply(
            "v1/configmaps",
            "r",
            "one",
            changed("kind", json!("IPClaim")),
        ),
        Step::apply(
            "v1/configmaps",
            "r",
            "one",
            object("ConfigMap", "other", json!({}), json!({})),
        ),
        Step::apply(POOL, "r", "one", pool("other", json!({}), spec("r"))),
        Step::apply(
            POOL,
            "r",
            "one",
            pool("r", json!({"namespace": "elsewhere"}), spec("r")),
        ),
        Step::apply(POOL, "r", "one", changed("metadata", json!({}))),
        Step::apply(
            POOL,
            "r",
            "one",
            pool("r", json!({"managedFields": []}), spec("r")),
        ),
        Step::apply(
            POOL,
            "r",
            "one",
            pool("r", json!({"managedFields": null}), spec("r")),
        )
        .dry(),
        Step::apply(
            POOL,
            "r",
            "one",
            pool(
                "r",
                json!({"uid": "11111111-1111-1111-1111-111111111111"}),
                spec("r"),
            ),
        ),
        Step::apply(
            POOL,
            "r",
            "one",
            pool("r", json!({"resourceVersion": "1"}), spec("r")),
        ),
        Step::apply(POOL, "r", "one", with_spec("gatway", json!("10.0.0.1"))),
        Step::apply(POOL, "r", "one", with_spec("gateway", json!(1))),
        Step::apply(POOL, "r", "one", with_spec("prefix", json!("24"))),
        Step::apply(POOL, "r", "one", with_spec("pools", json!({"a": 1}))),
        Step::apply(POOL, "r", "one", changed("spec", json!([]))),
        Step::apply(POOL, "r", "one", changed("spec", json!({"pools": []}))),
        Step::apply(
            POOL,
            "r",
            "one",
            with_spec("allocationStrategy", json!("best")),
        ),
        Step::apply(POOL, "r", "one", &good),
        Step::apply(
            POOL,
            "r",
            "one",
            pool(
                "r",
                json!({"uid": "11111111-1111-1111-1111-111111111111"}),
                spec("r"),
            ),
        ),
        Step::apply(
            POOL,
            "r",
            "one",
            pool(
                "r",
                json!({"uid": "$UID", "resourceVersion": "$RV"}),
                spec("r"),
            ),
        ),
        Step::apply(
            POOL,
            "r",
            "one",
            pool("r", json!({"resourceVersion": "1"}), spec("r")),
        ),
        Step::apply(
            POOL,
            "r",
            "one",
            pool(
                "r",
                json!({"resourceVersion": "1"}),
                json!({"namePrefix": "r", "pools": [], "prefix": 24}),
            ),
        ),
        Step::apply(
            POOL,
            "r",
            "one",
            pool(
                "r",
                json!({"creationTimestamp": null, "generation": 7}),
                spec("r"),
            ),
        ),
        Step::apply(
            POOL,
            "r",
            "one",
            pool("r", json!({"labels": {"a": "b c"}}), spec("r")),
        ),
        Step::apply(POOL, "r", "two", with_spec("gateway", Value::Null)),
        Step::apply(
            POOL,
            "r",
            "two",
            pool("r", json!({"labels": null}), json!({})),
        ),
        Step::get(POOL, "r"),
    ]
}

/// kubectl goes over from its own apply to the server's.
fn migration() -> Vec<Step> {
    let plain = pool("k", json!({"labels": {"a": "1"}}), spec("k"));
    let annotated = |pool: &Value| {
        let mut annotated = pool.clone();
        annotated["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{pool}\n")});
        annotated
    };
    let mut more = plain.clone();
    more["spec"]["gateway"] = json!("10.0.0.1");
    more["metadata"]["labels"]["a"] = json!("2");
    vec![
        Step::create(POOL, annotated(&plain)).by("kubectl-client-side-apply"),
        Step::apply(POOL, "k", "kubectl", &more),
        Step::apply(POOL, "k", "kubectl", &plain),
        Step::patch(
            POOL,
            "k",
            MERGE,
            json!({"metadata": {"labels": {"a": "9"}}}),
        )
        .by("hand"),
        Step::apply(POOL, "k", "kubectl", &more),
        Step::apply(POOL, "k", "other", &more),
        Step::apply(POOL, "k", "kubectl", &more).force(),
        Step::get(POOL, "k"),
    ]
}

fn built_in() -> Vec<Step> {
    let map =
        |metadata: Value, data: Value| object("ConfigMap", "b", metadata, json!({ "data": data }));
    vec![
        Step::create("v1/configmaps", map(json!({"labels": {"a": "1"}}), json!({"x": "1", "y": "1"}))).by("maker"),
        Step::patch("v1/configmaps", "b", STRATEGIC, json!({"data": {"x": "2"}, "metadata": {"finalizers": ["example.com/x"], "ownerReferences": [owner("u1", "r1")]}})).by("smp"),
        Step::update("v1/configmaps", "b", map(json!({}), json!({"x": "2"}))).by("putter"),
        Step::apply("v1/configmaps", "b", "one", map(json!({}), json!({"x": "3"}))),
        Step::apply("v1/configmaps", "b", "one", map(json!({}), json!({"x": "3"}))).force(),
        Step::apply("v1/configmaps", "b", "one", object("ConfigMap", "b", json!({}), json!({"extra": 1}))),
        Step::apply("v1/configmaps", "b", "one", map(json!({}), json!({"x": 3}))),
        Step::apply("v1/configmaps", "b", "one", object("ConfigMap", "b", json!({}), json!({}))),
        Step::apply("v1/configmaps", "b2", "one", object("ConfigMap", "b2", json!({"labels": {"a": "1"}}), json!({"data": {"k": "v"}}))),
        Step::apply("v1/secrets", "b", "one", object("Secret", "b", json!({}), json!({"data": {"k": "dg=="}}))),
        Step::create("v1/secrets", object("Secret", "b3", json!({}), json!({"stringData": {"k": "v"}}))).by("maker"),
        Step::patch("v1/secrets", "b3", MERGE, json!({"stringData": {"l": "w"}})).by("hand"),
        Step::create("coordination.k8s.io/v1/leases", object("Lease", "b", json!({}), json!({"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}))).by("elector"),
        Step::patch("coordination.k8s.io/v1/leases", "b", MERGE, json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}})).by("elector"),
        Step::apply("coordination.k8s.io/v1/leases", "b", "one", object("Lease", "b", json!({}), json!({"spec": {"leaseTransitions": 1}}))),
        Step::create("v1/events", object("Event", "b", json!({}), json!({"involvedObject": {"kind": "IPPool", "name": "p", "namespace": "$NS"}, "reason": "R", "message": "m",
            "type": "Normal", "source": {"component": "c"}, "lastTimestamp": "2026-01-01T00:00:00Z", "firstTimestamp": "2026-01-01T00:00:00Z", "count": 1,
            "reportingComponent": "", "reportingInstance": "", "eventTime": null}))).by("recorder"),
        Step::patch("v1/events", "b", MERGE, json!({"count": 2, "message": "n"})).by("recorder2"),
        Step::patch("v1/namespaces", "$NS", MERGE, json!({"metadata": {"labels": {"a": "1"}}})).by("hand"),
        Step::apply("v1/namespaces", "$NS", "one", object("Namespace", "$NS", json!({"labels": {"b": "1"}}), json!({}))),
        Step::apply("v1/namespaces", "$NS", "one", object("Namespace", "$NS", json!({}), json!({}))),
        Step::create(CLAIM, object("IPClaim", "c", json!({}), json!({"spec": {"pool": {"name": "p"}}}))).by("maker"),
        Step::patch(CLAIM, "c/status", MERGE, json!({"status": {"address": {"name": "x", "namespace": "$NS"}}})).by("controller"),
        Step::apply(CLAIM, "c/status", "one", object("IPClaim", "c", json!({}), json!({"status": {"address": {"name": "x", "namespace": "$NS"}}}))),
        Step::apply(CLAIM, "c/status", "one", object("IPClaim", "c", json!({}), json!({"status": {"address": {"name": "y"}}}))),
    ]
}
