//! Section 6 on pools that are created.

use super::*;
use crate::admission::pool_problems;

const NO_ADDRESS: &str = "must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10";
const NO_SUBNET: &str = "must be a subnet in CIDR form, such as 192.168.0.0/24 or fd00::/64";
const ZONE: &str = "must not have a zone index (the part from % on)";
const MAPPED: &str = "must not embed an IPv4 address in IPv6; write the IPv4 address itself";
const ZEROS: &str = "must not have leading zeros in its decimal numbers";
const MASK: &str = "must have a mask of at most 32 bits for IPv4 and 128 bits for IPv6";
const WILDCARD: &str = "must be the address of one host, not the wildcard address";
const MULTICAST: &str = "must be a unicast address, not a multicast one";
const WHOLE: &str = "must not be the whole address family; write the network that is meant";

/// One refused entry: the entry, the field with the mistake (`""` the entry itself), the rest of the line.
#[test]
fn section_6_entries_that_are_refused() {
    let cases = [
        // Ranges that make no sense.
        (
            json!({"start": "10.0.0.9", "end": "10.0.0.1"}),
            ".end: Invalid value: \"10.0.0.1\": must not be below start 10.0.0.9",
        ),
        (
            json!({"start": "fd00::9", "end": "FD00::0001"}),
            ".end: Invalid value: \"FD00::0001\": must not be below start fd00::9",
        ),
        (
            json!({"start": "10.0.0.1", "end": "fd00::1"}),
            ".end: Invalid value: \"fd00::1\": must be of IPv4, like start 10.0.0.1",
        ),
        (
            json!({"start": "fd00::1", "subnet": "10.0.0.0/24"}),
            ".subnet: Invalid value: \"10.0.0.0/24\": must be of IPv6, like start fd00::1",
        ),
        (
            json!({"start": "10.0.1.1", "subnet": "10.0.0.0/24"}),
            ".start: Invalid value: \"10.0.1.1\": must lie in subnet 10.0.0.0/24",
        ),
        (
            json!({"start": "10.0.0.1", "end": "10.0.1.9", "subnet": "10.0.0.0/24"}),
            ".end: Invalid value: \"10.0.1.9\": must lie in subnet 10.0.0.0/24",
        ),
        (
            json!({"end": "10.0.0.9"}),
            ".start: Required value: must be given where end (10.0.0.9) is",
        ),
        (
            json!({"end": "10.0.0.9", "subnet": "10.0.0.0/24"}),
            ".start: Required value: must be given where end (10.0.0.9) is",
        ),
        (
            json!({}),
            ": Required value: must have start, subnet or both: start and end make a range, a subnet alone is used from the address after the written one",
        ),
        (
            json!({"start": null, "prefix": 24}),
            ": Required value: must have start, subnet or both: start and end make a range, a subnet alone is used from the address after the written one",
        ),
        (
            json!({"start": "240.0.0.1"}),
            ".start: Invalid value: \"240.0.0.1\": lies above the last unicast address, where an entry without end and subnet stops; give it an end",
        ),
        // Spelling.
        (
            json!({"start": ""}),
            &*format!(".start: Invalid value: \"\": {NO_ADDRESS}"),
        ),
        (
            json!({"start": "10.0.0"}),
            &format!(".start: Invalid value: \"10.0.0\": {NO_ADDRESS}"),
        ),
        (
            json!({"start": "10.0.0.1 "}),
            &format!(".start: Invalid value: \"10.0.0.1 \": {NO_ADDRESS}"),
        ),
        (
            json!({"start": "010.0.0.1"}),
            &format!(".start: Invalid value: \"010.0.0.1\": {ZEROS}"),
        ),
        (
            json!({"start": "fe80::1%eth0"}),
            &format!(".start: Invalid value: \"fe80::1%eth0\": {ZONE}"),
        ),
        (
            json!({"start": "::ffff:10.0.0.1"}),
            &format!(".start: Invalid value: \"::ffff:10.0.0.1\": {MAPPED}"),
        ),
        (
            json!({"start": "10.0.0.1", "end": "::ffff:a00:9"}),
            &format!(".end: Invalid value: \"::ffff:a00:9\": {MAPPED}"),
        ),
        (
            json!({"subnet": "10.0.0.0"}),
            &format!(".subnet: Invalid value: \"10.0.0.0\": {NO_SUBNET}"),
        ),
        (
            json!({"subnet": "10.0.0.0/255.255.255.0"}),
            &format!(".subnet: Invalid value: \"10.0.0.0/255.255.255.0\": {NO_SUBNET}"),
        ),
        (
            json!({"subnet": "10.0.0.0/024"}),
            &format!(".subnet: Invalid value: \"10.0.0.0/024\": {ZEROS}"),
        ),
        (
            json!({"subnet": "10.0.0.0/33"}),
            &format!(".subnet: Invalid value: \"10.0.0.0/33\": {MASK}"),
        ),
        (
            json!({"subnet": "fd00::/129"}),
            &format!(".subnet: Invalid value: \"fd00::/129\": {MASK}"),
        ),
        // Space that no host lives in.
        (
            json!({"start": "0.0.0.0"}),
            &format!(".start: Invalid value: \"0.0.0.0\": {WILDCARD}"),
        ),
        (
            json!({"start": "0:0::0"}),
            &format!(".start: Invalid value: \"0:0::0\": {WILDCARD}"),
        ),
        (
            json!({"start": "224.0.0.1"}),
            &format!(".start: Invalid value: \"224.0.0.1\": {MULTICAST}"),
        ),
        (
            json!({"start": "fd00::1", "end": "ff02::1"}),
            &format!(".end: Invalid value: \"ff02::1\": {MULTICAST}"),
        ),
        (
            json!({"start": "223.0.0.1", "end": "240.0.0.9"}),
            ".end: Invalid value: \"240.0.0.9\": must not bring multicast addresses (224.0.0.0/4) into the range, which is 223.0.0.1-240.0.0.9",
        ),
        (
            json!({"subnet": "192.0.0.0/2"}),
            ".subnet: Invalid value: \"192.0.0.0/2\": must not bring multicast addresses (224.0.0.0/4) into the range, which is 192.0.0.1-255.255.255.255",
        ),
        (
            json!({"subnet": "ff00::/8"}),
            ".subnet: Invalid value: \"ff00::/8\": must be a subnet of unicast addresses",
        ),
        (
            json!({"subnet": "0.0.0.0/0"}),
            &format!(".subnet: Invalid value: \"0.0.0.0/0\": {WHOLE}"),
        ),
        (
            json!({"start": "10.0.0.1", "subnet": "10.0.0.0/0"}),
            &format!(".subnet: Invalid value: \"10.0.0.0/0\": {WHOLE}"),
        ),
        (
            json!({"subnet": "::/0"}),
            &format!(".subnet: Invalid value: \"::/0\": {WHOLE}"),
        ),
        // What is handed out with the addresses.
        (
            json!({"subnet": "10.0.0.0/24", "prefix": 33}),
            ".prefix: Invalid value: 33: must be from 0 to 32 for IPv4",
        ),
        (
            json!({"subnet": "fd00::/64", "prefix": 129}),
            ".prefix: Invalid value: 129: must be from 0 to 128 for IPv6",
        ),
        (
            json!({"subnet": "10.0.0.0/24", "prefix": -1}),
            ".prefix: Invalid value: -1: must be from 0 to 32 for IPv4",
        ),
        (
            json!({"subnet": "10.0.0.0/24", "prefix": 24.5}),
            ".prefix: Invalid value: 24.5: must be a whole number",
        ),
        (
            json!({"subnet": "10.0.0.0/24", "prefix": u64::MAX}),
            ".prefix: Invalid value: 18446744073709551615: must be a whole number",
        ),
        (
            json!({"subnet": "10.0.0.0/24", "gateway": "fd00::1"}),
            ".gateway: Invalid value: \"fd00::1\": must be an IPv4 address, like the entry's range",
        ),
        (
            json!({"start": "fd00::5", "gateway": "10.0.0.1"}),
            ".gateway: Invalid value: \"10.0.0.1\": must be an IPv6 address, like the entry's range",
        ),
        (
            json!({"start": "fd00::5", "gateway": "fe80::1%eth0"}),
            &format!(".gateway: Invalid value: \"fe80::1%eth0\": {ZONE}"),
        ),
        (
            json!({"subnet": "10.0.0.0/24", "gateway": "0.0.0.0"}),
            &format!(".gateway: Invalid value: \"0.0.0.0\": {WILDCARD}"),
        ),
        (
            json!({"subnet": "10.0.0.0/24", "gateway": "239.0.0.1"}),
            &format!(".gateway: Invalid value: \"239.0.0.1\": {MULTICAST}"),
        ),
        (
            json!({"subnet": "10.0.0.0/24", "dnsServers": ["8.8.8.8", "8.8.8.08"]}),
            &format!(".dnsServers[1]: Invalid value: \"8.8.8.08\": {ZEROS}"),
        ),
        (
            json!({"subnet": "10.0.0.0/24", "dnsServers": ["::"]}),
            &format!(".dnsServers[0]: Invalid value: \"::\": {WILDCARD}"),
        ),
        (
            json!({"subnet": "10.0.0.0/24", "dnsServers": vec!["8.8.8.8"; 11]}),
            ".dnsServers: Invalid value: must have at most 10 items; it has 11",
        ),
        (
            json!({"subnet": "10.0.0.0/24", "dnsServers": [null]}),
            ".dnsServers[0]: Required value: must be an address",
        ),
        // Types, where no schema was asked before.
        (
            json!({"start": 5}),
            ".start: Invalid value: 5: must be a text",
        ),
        (
            json!({"subnet": "10.0.0.0/24", "dnsServers": "8.8.8.8"}),
            ".dnsServers: Invalid value: \"8.8.8.8\": must be a list",
        ),
        (
            json!("10.0.0.0/24"),
            ": Invalid value: \"10.0.0.0/24\": must be an entry with start, end or subnet",
        ),
        (
            json!(null),
            ": Invalid value: must be an entry with start, end or subnet",
        ),
    ];
    for (entry, want) in cases {
        let good = json!({"subnet": "172.16.0.0/24"});
        let verdict = create_pool(&pool(json!({"pools": [good, entry]})));
        refuses(&verdict, &[&format!("spec.pools[1]{want}")]);
    }
}

#[test]
fn section_6_pool_fields_that_are_refused() {
    let entries = json!([{"subnet": "10.0.0.0/24"}]);
    let cases = [
        (json!({"prefix": 129}), "spec.prefix: Invalid value: 129: must be from 0 to 128".to_owned()),
        (json!({"prefix": -1}), "spec.prefix: Invalid value: -1: must be from 0 to 128".to_owned()),
        (json!({"gateway": "10.0.0.256"}), format!("spec.gateway: Invalid value: \"10.0.0.256\": {NO_ADDRESS}")),
        (json!({"gateway": "::"}), format!("spec.gateway: Invalid value: \"::\": {WILDCARD}")),
        (json!({"gateway": "224.0.0.1"}), format!("spec.gateway: Invalid value: \"224.0.0.1\": {MULTICAST}")),
        (json!({"gateway": 7}), "spec.gateway: Invalid value: 7: must be a text".to_owned()),
        (json!({"dnsServers": ["1.1.1.1", "dns.example"]}), format!("spec.dnsServers[1]: Invalid value: \"dns.example\": {NO_ADDRESS}")),
        (json!({"excludedAddresses": ["10.0.0.5-"]}), "spec.excludedAddresses[0]: Invalid value: \"10.0.0.5-\": must be an address, a range first-last or a subnet, such as 192.168.0.10, 192.168.0.10-192.168.0.20 or 192.168.0.0/28".to_owned()),
        (json!({"excludedAddresses": ["10.0.0.9-10.0.0.1"]}), "spec.excludedAddresses[0]: Invalid value: \"10.0.0.9-10.0.0.1\": must not end below its beginning".to_owned()),
        (json!({"excludedAddresses": ["10.0.0.9-fd00::1"]}), "spec.excludedAddresses[0]: Invalid value: \"10.0.0.9-fd00::1\": must begin and end in one address family".to_owned()),
        (json!({"excludedAddresses": ["10.0.0.0/33"]}), format!("spec.excludedAddresses[0]: Invalid value: \"10.0.0.0/33\": {MASK} (in an address, a range first-last or a subnet)")),
        (json!({"excludedAddresses": ["10.0.0.01"]}), format!("spec.excludedAddresses[0]: Invalid value: \"10.0.0.01\": {ZEROS} (in an address, a range first-last or a subnet)")),
        (json!({"excludedAddresses": ["::/0"]}), format!("spec.excludedAddresses[0]: Invalid value: \"::/0\": {WHOLE}")),
        (json!({"excludedAddresses": [null]}), "spec.excludedAddresses[0]: Invalid value: must be an address, a range first-last or a subnet".to_owned()),
        (json!({"addressReuseGracePeriodSeconds": -1}), "spec.addressReuseGracePeriodSeconds: Invalid value: -1: must be 0 or more seconds".to_owned()),
        (json!({"allocateReservedIPAddresses": "yes"}), "spec.allocateReservedIPAddresses: Invalid value: \"yes\": must be true or false".to_owned()),
        (json!({"allocationStrategy": "lowest"}), "spec.allocationStrategy: Unsupported value: \"lowest\": supported values: \"random\", \"sequential\"".to_owned()),
        (json!({"allocationStrategy": "random", "pools": [{"start": "10.0.0.1"}, {"subnet": "10.1.0.0/24"}]}), "spec.pools[0].start: Invalid value: \"10.0.0.1\": needs an end or a subnet beside it where allocationStrategy is random: addresses are drawn from all of the range".to_owned()),
        (json!({"clusterName": 5}), "spec.clusterName: Invalid value: 5: must be a text".to_owned()),
        (json!({"namePrefix": ""}), "spec.namePrefix: Required value: cannot be empty; the names of the pool's address objects begin with it".to_owned()),
        (json!({"namePrefix": null}), "spec.namePrefix: Required value: cannot be empty; the names of the pool's address objects begin with it".to_owned()),
        (json!({"namePrefix": "Prod"}), "spec.namePrefix: Invalid value: \"Prod\": must be the beginning of a DNS-1123 subdomain: a-z, 0-9, - and ., beginning with a letter or digit, and each . between two of these".to_owned()),
        (json!({"namePrefix": "a".repeat(214)}), format!("spec.namePrefix: Invalid value: \"{}...\": must have at most 213 characters, so that an address fits behind it in a name", "a".repeat(125))),
        (json!({"preAllocations": {"c": "10.0.0.300"}}), format!("spec.preAllocations[c]: Invalid value: \"10.0.0.300\": {NO_ADDRESS}")),
        (json!({"preAllocations": {"c": null}}), "spec.preAllocations[c]: Required value: must be an address".to_owned()),
        (json!({"preAllocations": {"c": "10.0.1.1"}}), "spec.preAllocations[c]: Invalid value: \"10.0.1.1\": is out of bounds of the pools given; add a range with it or choose an address of one".to_owned()),
        (json!({"preAllocations": {"c": "10.0.0.9"}, "excludedAddresses": ["10.0.0.8/31"]}), "spec.preAllocations[c]: Invalid value: \"10.0.0.9\": is one of excludedAddresses, which are never handed out; choose another or stop excluding it".to_owned()),
        (json!({"preAllocations": {"No_Name": "10.0.0.9"}}), "spec.preAllocations[No_Name]: Invalid value: \"10.0.0.9\": its key can be no claim's name: a DNS-1123 subdomain of at most 253 characters (a-z, 0-9, -, .)".to_owned()),
        (json!({"preAllocations": {"a": "10.0.0.9", "b": "10.0.0.9"}}), "spec.preAllocations[b]: Duplicate value: \"10.0.0.9\": 10.0.0.9 is already pre-allocated to claim a; give each claim its own address".to_owned()),
        (json!({"pools": [{"start": "fd00::1"}], "preAllocations": {"a": "fd00::0005", "b": "fd00::5"}}), "spec.preAllocations[b]: Duplicate value: \"fd00::5\": fd00::5 is already pre-allocated to claim a; give each claim its own address".to_owned()),
        (json!({"pools": [], "preAllocations": {"a": "10.0.0.9"}}), "spec.preAllocations[a]: Invalid value: \"10.0.0.9\": is out of bounds of the pools given; add a range with it or choose an address of one".to_owned()),
        (json!({"pools": {}}), "spec.pools: Invalid value: {}: must be a list".to_owned()),
        (json!({"preAllocations": []}), "spec.preAllocations: Invalid value: []: must be a map".to_owned()),
        // Inherited values must fit every entry that inherits them.
        (json!({"gateway": "10.0.0.1", "pools": [{"start": "10.0.0.2"}, {"start": "fd00::2", "end": "fd00::9"}, {"start": "fd01::2", "end": "fd01::9"}]}),
         "spec.gateway: Invalid value: \"10.0.0.1\": must be an IPv6 address, like spec.pools[1] (and 1 more), which inherits it; or give the entries of each family a gateway of their own".to_owned()),
        (json!({"prefix": 64, "pools": [{"start": "fd00::2", "end": "fd00::9"}, {"start": "10.0.0.2", "end": "10.0.0.9"}]}),
         "spec.prefix: Invalid value: 64: must be from 0 to 32 for IPv4, like spec.pools[1], which inherits it; or give the entries of each family a prefix of their own".to_owned()),
    ];
    for (fields, want) in cases {
        let mut spec = pool(json!({"pools": entries}));
        spec.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let verdict = create_pool(&spec);
        assert_eq!(lines(&verdict), [want]);
    }
}

#[test]
fn a_spec_that_is_none_is_refused() {
    let bare = json!({"metadata": {"name": "p"}});
    let verdict = judge(METAL3, "IPPool", None, &bare, &NoFacts);
    refuses(&verdict, &["spec: Required value: must be given"]);
    for (spec, shown) in [(json!(5), "5"), (json!([1]), "[1]"), (json!("x"), "\"x\"")] {
        let verdict = create_pool(&spec);
        refuses(
            &verdict,
            &[&format!("spec: Invalid value: {shown}: must be an object")],
        );
    }
}

/// Every mistake of one write is named at once, those that only follow from another are not.
#[test]
fn mistakes_are_listed_together_and_not_twice() {
    let verdict = create_pool(&pool(json!({
        "pools": [{"start": "10.0.0.9", "end": "10.0.0.1", "prefix": 40}, {"end": "x"}],
        "gateway": "nowhere",
        "preAllocations": {"c": "10.0.0.5"},
    })));
    refuses(
        &verdict,
        &[
            &format!("spec.gateway: Invalid value: \"nowhere\": {NO_ADDRESS}"),
            "spec.pools[0].end: Invalid value: \"10.0.0.1\": must not be below start 10.0.0.9",
            "spec.pools[0].prefix: Invalid value: 40: must be from 0 to 32 for IPv4",
            &format!("spec.pools[1].end: Invalid value: \"x\": {NO_ADDRESS}"),
        ],
    );
    assert!(!verdict.is_allowed());
    assert!(verdict.summary().starts_with("[spec.gateway: Invalid"));
}

#[test]
fn section_6_what_is_accepted() {
    let prefix_213 = "a".repeat(213);
    let cases = [
        json!({}),
        json!({"pools": []}),
        json!({"pools": null, "preAllocations": null, "dnsServers": []}),
        json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.1"}]}),
        json!({"pools": [{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]}),
        json!({"pools": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "prefix": 24}, {"subnet": "fd00::/64", "gateway": "fe80::1", "prefix": 64}]}),
        json!({"pools": [{"start": "192.0.2.1"}], "prefix": 32}),
        json!({"pools": [{"start": "fd00::1", "end": "fdff::1"}], "allocationStrategy": "random", "prefix": 128}),
        json!({"pools": [{"subnet": "fc00::/7"}], "allocationStrategy": "random"}),
        json!({"pools": [{"start": "10.0.0.1", "subnet": "10.0.0.0/24", "end": "10.0.0.255"}], "prefix": 0}),
        json!({"pools": [{"start": "240.0.0.1", "end": "255.255.255.254"}]}),
        json!({"namePrefix": prefix_213, "clusterName": "c", "addressReuseGracePeriodSeconds": 0, "allocateReservedIPAddresses": true}),
        json!({"namePrefix": "a.b-1"}),
        json!({"namePrefix": "prov-"}),
        json!({"pools": [{"subnet": "10.0.0.0/24"}], "excludedAddresses": ["10.0.0.5", "10.0.0.9-10.0.0.12", "10.0.0.64/26", "224.0.0.0/4", "0.0.0.0"]}),
        // A pre-allocation may be a gateway, network or broadcast address (A7), and be spelled in any standard way (A8).
        json!({"pools": [{"start": "10.0.0.0", "subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}], "preAllocations": {"a": "10.0.0.0", "b": "10.0.0.1", "c.d": "10.0.0.255"}}),
        json!({"pools": [{"start": "fd00::1"}], "preAllocations": {"a": "FD00:0::5"}}),
        json!({"pools": [{"subnet": "10.0.0.0/24"}], "dnsServers": ["127.0.0.53", "fd00::53"], "unknown": {"x": []}}),
    ];
    for fields in cases {
        accepts(&create_pool(&pool(fields)), &[]);
    }
}

#[test]
fn section_6_warnings() {
    let cases: [(Value, &[&str]); 15] = [
        (
            json!({"pools": [{"subnet": "192.168.1.1/26"}]}),
            &[
                "spec.pools[0].subnet: 192.168.1.1/26 has host bits set; the entry's range is 192.168.1.2-192.168.1.63",
            ],
        ),
        (
            json!({"pools": [{"start": "10.0.0.8", "subnet": "10.0.0.7/24"}]}),
            &[
                "spec.pools[0].subnet: 10.0.0.7/24 has host bits set; the entry's range is 10.0.0.8-10.0.0.255",
            ],
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.7/32"}]}),
            &[
                "spec.pools[0].subnet: 10.0.0.7/32 alone holds no address, since a subnet begins after the address as written; give start and end for 10.0.0.7",
            ],
        ),
        (
            json!({"pools": [{"subnet": "fd00::7/128"}, {"start": "fd00::8", "subnet": "fd00::8/128"}]}),
            &[
                "spec.pools[0].subnet: fd00::7/128 alone holds no address, since a subnet begins after the address as written; give start and end for fd00::7",
            ],
        ),
        (
            json!({"pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}, {"start": "10.0.0.20", "end": "10.0.0.30"}, {"start": "10.0.0.5", "end": "10.0.0.22"}]}),
            &[
                "spec.pools[2]: 10.0.0.5-10.0.0.22 overlaps spec.pools[0] (10.0.0.1-10.0.0.9); common addresses count once, as that one's",
                "spec.pools[2]: 10.0.0.5-10.0.0.22 overlaps spec.pools[1] (10.0.0.20-10.0.0.30); common addresses count once, as that one's",
            ],
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24", "prefix": 16}]}),
            &[
                "spec.pools[0]: prefix 16 is not that of subnet 10.0.0.0/24; its addresses are handed out with 16",
            ],
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.1.0/24", "prefix": 24}], "prefix": 23}),
            &[
                "spec.pools[0]: the pool's prefix 23 is not that of subnet 10.0.0.0/24; its addresses are handed out with 23",
            ],
        ),
        (
            json!({"pools": [{"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}]}),
            &[
                "spec.pools[0]: gateway 10.0.1.1 lies outside the subnet of the entry's addresses, 10.0.0.0/24",
            ],
        ),
        (
            json!({"pools": [{"start": "10.0.0.250", "end": "10.0.1.9"}], "prefix": 24, "gateway": "10.1.0.1"}),
            &[
                "spec.pools[0]: the pool's gateway 10.1.0.1 lies outside the subnet of the entry's addresses, 10.0.0.0/24 to 10.0.1.0/24",
            ],
        ),
        // The prefix widens the subnet that hosts see: such a gateway is reachable.
        (
            json!({"pools": [{"start": "10.0.0.128", "subnet": "10.0.0.128/25", "prefix": 24, "gateway": "10.0.0.1"}]}),
            &[
                "spec.pools[0]: prefix 24 is not that of subnet 10.0.0.128/25; its addresses are handed out with 24",
            ],
        ),
        (
            json!({"pools": [{"subnet": "127.0.1.0/24"}]}),
            &[
                "spec.pools[0]: its range 127.0.1.1-127.0.1.255 contains loopback addresses (127.0.0.0/8), which no router forwards",
            ],
        ),
        (
            json!({"pools": [{"start": "169.254.0.5", "end": "169.254.0.9"}]}),
            &[
                "spec.pools[0]: its range 169.254.0.5-169.254.0.9 contains link-local addresses (169.254.0.0/16), which no router forwards",
            ],
        ),
        (
            json!({"pools": [{"subnet": "fe80::/64"}]}),
            &[
                "spec.pools[0]: its range fe80::1-fe80::ffff:ffff:ffff:ffff contains link-local addresses (fe80::/10), which no router forwards",
            ],
        ),
        (
            json!({"pools": [{"start": "::1", "end": "::5"}]}),
            &[
                "spec.pools[0]: its range ::1-::5 contains the loopback address (::1), which no router forwards",
            ],
        ),
        (
            json!({"pools": [{"start": "127.0.0.1"}]}),
            &[
                "spec.pools[0]: its range 127.0.0.1-223.255.255.255 contains loopback addresses (127.0.0.0/8), which no router forwards",
            ],
        ),
    ];
    for (fields, want) in cases {
        accepts(&create_pool(&pool(fields)), want);
    }
}

#[test]
fn section_6_overlap_with_another_pool_of_the_namespace() {
    let live = Namespace::with_pool("other", &json!([{"subnet": "10.0.0.0/24"}, {"end": "bad"}]));
    let on_create = |fields: Value| judge(METAL3, "IPPool", None, &object(&pool(fields)), &live);
    accepts(
        &on_create(
            json!({"pools": [{"start": "10.1.0.1", "end": "10.1.0.9"}, {"start": "10.0.0.200", "end": "10.0.1.9"}]}),
        ),
        &[
            "spec.pools[1]: overlaps pool other (both have 10.0.0.200); each of them may hand out what both have",
        ],
    );
    accepts(
        &on_create(
            json!({"pools": [{"subnet": "10.0.0.0/24"}], "excludedAddresses": ["10.0.0.0/24"]}),
        ),
        &[],
    );
    accepts(
        &on_create(json!({"pools": [{"subnet": "10.1.0.0/24"}]})),
        &[],
    );
    assert_eq!(live.asked.borrow().len(), 3);
    // Without a range there is nothing to compare.
    accepts(&on_create(json!({"pools": []})), &[]);
    assert_eq!(live.asked.borrow().len(), 3);
}

/// The pool of the user guide.
#[test]
fn the_quickstart_pool_is_accepted() {
    let verdict = create_pool(&json!({
        "namePrefix": "test1-prov",
        "clusterName": "cluster1",
        "pools": [
            {"start": "192.168.0.10", "end": "192.168.0.30", "prefix": 25, "gateway": "192.168.0.1"},
            {"subnet": "192.168.1.1/26"},
            {"subnet": "192.168.1.128/25"},
        ],
        "prefix": 24,
        "gateway": "192.168.1.1",
        "preAllocations": {"claim1": "192.168.0.12"},
    }));
    accepts(
        &verdict,
        &[
            "spec.pools[1].subnet: 192.168.1.1/26 has host bits set; the entry's range is 192.168.1.2-192.168.1.63",
            "spec.pools[1]: the pool's prefix 24 is not that of subnet 192.168.1.1/26; its addresses are handed out with 24",
            "spec.pools[2]: the pool's prefix 24 is not that of subnet 192.168.1.128/25; its addresses are handed out with 24",
        ],
    );
}

/// The controller asks the same of what it reads (`Ready=False, InvalidSpec`).
#[test]
fn problems_of_a_stored_spec_are_those_of_its_creation() {
    let spec = pool(json!({
        "pools": [{"start": "10.0.0.9", "end": "10.0.0.1"}],
        "allocationStrategy": "random",
        "preAllocations": {"A": "10.0.0.5"},
    }));
    let typed: IPPoolSpec = serde_json::from_value(spec.clone()).unwrap();
    let problems = pool_problems(&typed);
    assert_eq!(problems, create_pool(&spec).errors);
    assert_eq!(
        problems[0].to_string(),
        "spec.pools[0].end: Invalid value: \"10.0.0.1\": must not be below start 10.0.0.9"
    );
    assert_eq!(problems.len(), 2);
    let good: IPPoolSpec =
        serde_json::from_value(pool(json!({"pools": [{"subnet": "10.0.0.0/24"}]}))).unwrap();
    assert_eq!(pool_problems(&good), []);
}
