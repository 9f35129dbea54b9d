//! Section 6 on pools that change: judged on what changes, and never below an address in use.

use super::*;

fn entry(first: &str, last: &str) -> Value {
    json!({"start": first, "end": last})
}

#[test]
fn a_stored_pool_that_breaks_rules_can_be_patched_and_deleted() {
    let broken = pool(json!({
        "namePrefix": "BAD_",
        "pools": [{"start": "10.0.0.9", "end": "10.0.0.1"}, {}, {"subnet": "010.0.0.0/8"}, 5],
        "prefix": 300,
        "gateway": "::",
        "dnsServers": ["x"],
        "preAllocations": {"A_": "x", "B": "10.0.0.1", "C": "10.0.0.1"},
        "allocationStrategy": "other",
        "excludedAddresses": ["x-y"],
        "addressReuseGracePeriodSeconds": -5,
    }));
    assert!(create_pool(&broken).errors.len() >= 14);
    let old = object(&broken);
    let live = Namespace::holding(&["10.0.0.5"]);
    // Labels, finalizers, status, deletion.
    for (path, value) in [
        ("/metadata/labels", json!({"a": "b"})),
        ("/metadata/finalizers", json!(["f"])),
        ("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
        ("/status", json!({"capacity": 5})),
    ] {
        let mut new = old.clone();
        let (parent, field) = path.rsplit_once('/').unwrap();
        new.pointer_mut(parent).unwrap()[field] = value;
        accepts(&judge(METAL3, "IPPool", Some(&old), &new, &live), &[]);
    }
    assert_eq!(*live.asked.borrow(), [""; 0]);
    // A good change beside the bad parts, which stand at other places than before.
    let mut mended = broken.clone();
    mended["pools"] =
        json!([{"subnet": "10.1.0.0/24"}, 5, {"start": "10.0.0.9", "end": "10.0.0.1"}]);
    mended["preAllocations"]["d"] = json!("10.1.0.9");
    mended["clusterName"] = json!("c");
    accepts(&update_pool(&broken, &mended, &NoFacts), &[]);
    // A bad change among them is judged alone.
    mended["pools"][1] = json!({"end": "10.1.0.9"});
    mended["dnsServers"] = json!(["x", "y", "x"]);
    refuses(
        &update_pool(&broken, &mended, &NoFacts),
        &[
            "spec.dnsServers[1]: Invalid value: \"y\": must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10",
            "spec.dnsServers[2]: Invalid value: \"x\": must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10",
            "spec.pools[1].start: Required value: must be given where end (10.1.0.9) is",
        ],
    );
}

#[test]
fn immutable_fields() {
    let base = pool(json!({"pools": []}));
    let random = pool(json!({"allocationStrategy": "random"}));
    let sequential = pool(json!({"allocationStrategy": "sequential"}));
    refuses(
        &update_pool(&base, &json!({"namePrefix": "q", "pools": []}), &NoFacts),
        &[
            "spec.namePrefix: Invalid value: \"q\": cannot be modified (it is p): address objects are named by it; create another pool instead",
        ],
    );
    refuses(
        &update_pool(&base, &json!({"pools": []}), &NoFacts),
        &[
            "spec.namePrefix: Invalid value: cannot be modified (it is p): address objects are named by it; create another pool instead",
        ],
    );
    // Absent is sequential.
    accepts(&update_pool(&base, &sequential, &NoFacts), &[]);
    accepts(&update_pool(&sequential, &base, &NoFacts), &[]);
    refuses(
        &update_pool(&base, &random, &NoFacts),
        &[
            "spec.allocationStrategy: Invalid value: \"random\": cannot be modified after creation (it is sequential); create another pool instead",
        ],
    );
    refuses(
        &update_pool(&random, &base, &NoFacts),
        &[
            "spec.allocationStrategy: Invalid value: cannot be modified after creation (it is random); create another pool instead",
        ],
    );
    // P2: another Cluster replaces labels and owner reference.
    let in_cluster = |name: Value| pool(json!({"clusterName": name}));
    accepts(
        &update_pool(&in_cluster(json!("a")), &in_cluster(json!("b")), &NoFacts),
        &[],
    );
    accepts(
        &update_pool(&in_cluster(json!("a")), &in_cluster(json!(null)), &NoFacts),
        &[],
    );
}

#[test]
fn section_6_ranges_do_not_shrink_below_an_address_in_use() {
    let old =
        pool(json!({"pools": [entry("10.0.0.1", "10.0.0.99"), entry("fd00::1", "fd00::ff")]}));
    let live = Namespace::holding(&[
        "10.0.0.50",
        "fd00::5",
        "10.0.0.7",
        "10.9.9.9",
        "10.0.0.51",
        "10.0.0.52",
        "10.0.0.53",
        "10.0.0.54",
    ]);
    let narrowed =
        pool(json!({"pools": [entry("10.0.0.1", "10.0.0.20"), entry("fd00::1", "fd00::ff")]}));
    refuses(
        &update_pool(&old, &narrowed, &live),
        &[
            "spec.pools: Invalid value: \"10.0.0.50\": is in use but out of bounds of the pools given: \
           10.0.0.50 by IPAddress default/a0 (claim c0), 10.0.0.51 by IPAddress default/a4 (claim c4), \
           10.0.0.52 by IPAddress default/a5 (claim c5), 10.0.0.53 by IPAddress default/a6 (claim c6), \
           10.0.0.54 by IPAddress default/a7 (claim c7); keep it in a range or delete its claim first",
        ],
    );
    assert_eq!(
        *live.asked.borrow(),
        ["holders default/p", "pools beside default/p"]
    );
    // More than five.
    let emptied = pool(json!({"pools": []}));
    let verdict = update_pool(&old, &emptied, &live);
    let line = &lines(&verdict)[0];
    assert!(
        line.contains("10.0.0.53 by IPAddress default/a6 (claim c6) and 2 more; keep"),
        "{line}"
    );
    assert_eq!(verdict.errors.len(), 1);
    // By exclusion.
    let mut excluding = old.clone();
    excluding["excludedAddresses"] = json!(["fd00::/120", "10.0.0.8-10.0.0.9"]);
    refuses(
        &update_pool(&old, &excluding, &live),
        &[
            "spec.excludedAddresses: Invalid value: \"fd00::5\": is in use but would be excluded: fd00::5 by IPAddress default/a1 (claim c1); do not exclude it or delete its claim first",
        ],
    );
    // Both at once.
    let mut both = narrowed.clone();
    both["excludedAddresses"] = json!(["10.0.0.7"]);
    let verdict = update_pool(&old, &both, &live);
    let fields: Vec<&str> = verdict.errors.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(fields, ["spec.pools", "spec.excludedAddresses"]);
}

/// A5: an address object whose claim does not exist is external. Nothing is handed out below it.
#[test]
fn an_exclusion_takes_nothing_from_an_external_object_and_a_narrower_range_does() {
    let old = pool(json!({"pools": [entry("10.0.0.1", "10.0.0.99")]}));
    let mut live = Namespace::holding(&["10.0.0.5", "10.0.0.6"]);
    live.holders[0].by = "IPAddress default/router, whose claim r does not exist".to_owned();
    live.holders[0].is_external = true;
    let mut excluding = old.clone();
    excluding["excludedAddresses"] = json!(["10.0.0.5"]);
    accepts(&update_pool(&old, &excluding, &live), &[]);
    // Where a claim has it too, the claim counts.
    live.holders[1].address = live.holders[0].address;
    refuses(
        &update_pool(&old, &excluding, &live),
        &[
            "spec.excludedAddresses: Invalid value: \"10.0.0.5\": is in use but would be excluded: \
             10.0.0.5 by IPAddress default/a1 (claim c1); do not exclude it or delete its claim first",
        ],
    );
    live.holders.truncate(1);
    let narrowed = pool(json!({"pools": [entry("10.0.0.10", "10.0.0.99")]}));
    refuses(
        &update_pool(&old, &narrowed, &live),
        &[
            "spec.pools: Invalid value: \"10.0.0.5\": is in use but out of bounds of the pools given: \
             10.0.0.5 by IPAddress default/router, whose claim r does not exist; \
             keep it in a range or delete that IPAddress first",
        ],
    );
    live.holders
        .extend(Namespace::holding(&["10.0.0.6"]).holders);
    let verdict = update_pool(&old, &narrowed, &live);
    let end = "keep it in a range or delete its claim, or the IPAddress that has none, first";
    assert!(lines(&verdict)[0].ends_with(end), "{verdict:?}");
}

#[test]
fn ranges_shrink_where_nothing_is_in_use() {
    let old = pool(
        json!({"pools": [entry("10.0.0.1", "10.0.0.99")], "excludedAddresses": ["10.0.0.90"]}),
    );
    let live = Namespace::holding(&["10.0.0.5", "10.9.9.9", "10.0.0.90"]);
    let narrowed = pool(json!({"pools": [entry("10.0.0.1", "10.0.0.20")]}));
    accepts(&update_pool(&old, &narrowed, &live), &[]);
    assert_eq!(
        live.asked.take(),
        ["holders default/p", "pools beside default/p"]
    );
    // Nothing leaves: nobody is asked who holds what. The same range in two pieces, or in other words, is the same range.
    for pools in [
        json!([
            entry("10.0.0.1", "10.0.0.99"),
            entry("10.1.0.1", "10.1.0.9")
        ]),
        json!([
            entry("10.0.0.50", "10.0.0.99"),
            entry("10.0.0.1", "10.0.0.49")
        ]),
        json!([{"subnet": "10.0.0.0/24"}]),
    ] {
        let grown = pool(json!({"pools": pools}));
        accepts(&update_pool(&old, &grown, &live), &[]);
        assert_eq!(live.asked.take(), ["pools beside default/p"]);
    }
    // A change of something else asks nothing at all.
    let mut other = old.clone();
    other["gateway"] = json!("10.0.0.1");
    accepts(&update_pool(&old, &other, &live), &[]);
    assert_eq!(live.asked.take(), [""; 0]);
}

#[test]
fn section_6_a_pre_allocation_does_not_fall_out_of_the_ranges() {
    let old = pool(json!({
        "pools": [entry("10.0.0.1", "10.0.0.99")],
        "preAllocations": {"in": "10.0.0.50", "out": "10.7.7.7"},
    }));
    let mut narrowed = old.clone();
    narrowed["pools"] = json!([entry("10.0.0.1", "10.0.0.20")]);
    // `out` was out before: it stands.
    let fell = "spec.preAllocations[in]: Invalid value: \"10.0.0.50\": is out of bounds of the pools given; add a range with it or choose an address of one";
    refuses(&update_pool(&old, &narrowed, &NoFacts), &[fell]);
    let mut excluding = old.clone();
    excluding["excludedAddresses"] = json!(["10.0.0.50"]);
    refuses(
        &update_pool(&old, &excluding, &NoFacts),
        &[
            "spec.preAllocations[in]: Invalid value: \"10.0.0.50\": is one of excludedAddresses, which are never handed out; choose another or stop excluding it",
        ],
    );
    let mut moved = narrowed.clone();
    moved["preAllocations"] = json!({"in": "10.0.0.20", "out": "10.7.7.7"});
    accepts(&update_pool(&old, &moved, &NoFacts), &[]);
    // The new one of two is the duplicate, whichever comes first by name.
    let mut doubled = old.clone();
    doubled["preAllocations"]["a"] = json!("10.0.0.50");
    refuses(
        &update_pool(&old, &doubled, &NoFacts),
        &[
            "spec.preAllocations[a]: Duplicate value: \"10.0.0.50\": 10.0.0.50 is already pre-allocated to claim in; give each claim its own address",
        ],
    );
    accepts(
        &update_pool(
            &doubled,
            &{
                let mut grown = doubled.clone();
                grown["pools"] = json!([entry("10.0.0.1", "10.0.0.100")]);
                grown
            },
            &NoFacts,
        ),
        &[],
    );
}

#[test]
fn warnings_and_inherited_values_follow_what_changed() {
    let old = pool(json!({
        "pools": [{"subnet": "10.0.0.1/24"}, {"start": "10.0.0.9", "end": "10.0.0.10"}, {"subnet": "fd00::/64"}],
        "prefix": 24,
    }));
    let mut grown = old.clone();
    grown["pools"]
        .as_array_mut()
        .unwrap()
        .push(json!({"start": "10.0.0.10", "end": "10.0.1.10"}));
    let live = Namespace::with_pool("other", &json!([{"subnet": "10.0.0.0/16"}]));
    accepts(
        &update_pool(&old, &grown, &live),
        &[
            "spec.pools[3]: 10.0.0.10-10.0.1.10 overlaps spec.pools[0] (10.0.0.2-10.0.0.255); common addresses count once, as that one's",
            "spec.pools[3]: overlaps pool other (both have 10.0.0.10); each of them may hand out what both have",
        ],
    );
    // The pool's values are judged against every entry that inherits them.
    let mut with_gateway = old.clone();
    with_gateway["gateway"] = json!("10.0.5.1");
    let verdict = update_pool(&old, &with_gateway, &NoFacts);
    assert_eq!(
        lines(&verdict),
        [
            "spec.gateway: Invalid value: \"10.0.5.1\": must be an IPv6 address, like spec.pools[2], which inherits it; or give the entries of each family a gateway of their own"
        ]
    );
    assert_eq!(
        verdict.warnings,
        [
            "spec.pools[0]: the pool's gateway 10.0.5.1 lies outside the subnet of the entry's addresses, 10.0.0.0/24",
            "spec.pools[1]: the pool's gateway 10.0.5.1 lies outside the subnet of the entry's addresses, 10.0.0.0/24",
        ]
    );
    // That pool stored by someone else may stay; a new entry that inherits may not join.
    let mut renamed = with_gateway.clone();
    renamed["clusterName"] = json!("c");
    accepts(&update_pool(&with_gateway, &renamed, &NoFacts), &[]);
    renamed["pools"]
        .as_array_mut()
        .unwrap()
        .push(json!({"start": "fd01::1", "end": "fd01::2"}));
    assert_eq!(
        lines(&update_pool(&with_gateway, &renamed, &NoFacts)),
        [
            "spec.gateway: Invalid value: \"10.0.5.1\": must be an IPv6 address, like spec.pools[3], which inherits it; or give the entries of each family a gateway of their own"
        ]
    );
}
