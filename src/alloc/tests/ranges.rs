//! What the fields of an entry mean (spec, section 1), and how entries are cut.

use super::{entries, ip, plain, range};
use crate::alloc::{Allocator, Family, Location, Range, RangeError, Take, resolve, resolve_stored};

/// `start`, `end`, `subnet`; `-` is absent.
fn resolve_text(fields: [&str; 3]) -> Result<Option<Range>, RangeError> {
    let [start, end, subnet] = fields.map(|text| (text != "-").then_some(text));
    resolve(
        start.map(ip),
        end.map(ip),
        subnet.map(|text| text.parse().unwrap()),
    )
}

const V6_TOP: &str = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
const V6_UNICAST: &str = "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

#[test]
fn entries_become_ranges() {
    let cases = [
        (
            ["192.168.0.10", "192.168.0.30", "-"],
            ("192.168.0.10", "192.168.0.30"),
        ),
        (
            ["192.168.0.10", "192.168.0.10", "-"],
            ("192.168.0.10", "192.168.0.10"),
        ),
        // A subnet alone begins one after the address as written.
        (
            ["-", "-", "192.168.1.1/26"],
            ("192.168.1.2", "192.168.1.63"),
        ),
        (["-", "-", "10.0.0.0/24"], ("10.0.0.1", "10.0.0.255")),
        (
            ["-", "-", "192.168.1.128/25"],
            ("192.168.1.129", "192.168.1.255"),
        ),
        (["-", "-", "10.0.0.254/24"], ("10.0.0.255", "10.0.0.255")),
        // A link of two hosts (RFC 3021, RFC 6164), however it is written.
        (["-", "-", "10.0.0.0/31"], ("10.0.0.0", "10.0.0.1")),
        (["-", "-", "10.0.0.1/31"], ("10.0.0.0", "10.0.0.1")),
        (["-", "-", "fd00::2/127"], ("fd00::2", "fd00::3")),
        (
            ["-", "-", "fd00::/64"],
            ("fd00::1", "fd00::ffff:ffff:ffff:ffff"),
        ),
        (["-", "-", "fd00::7/126"], ("-", "-")),
        // A start in a subnet begins where it says, the network address included.
        (["10.0.0.0", "-", "10.0.0.0/24"], ("10.0.0.0", "10.0.0.255")),
        (
            ["10.0.0.9", "-", "10.0.0.77/24"],
            ("10.0.0.9", "10.0.0.255"),
        ),
        (
            ["10.0.0.9", "10.0.0.20", "10.0.0.0/24"],
            ("10.0.0.9", "10.0.0.20"),
        ),
        (["fd00::5", "-", "fd00::/120"], ("fd00::5", "fd00::ff")),
        // Unbounded entries stop at the top of unicast space.
        (
            ["192.168.0.10", "-", "-"],
            ("192.168.0.10", "223.255.255.255"),
        ),
        (
            ["223.255.255.255", "-", "-"],
            ("223.255.255.255", "223.255.255.255"),
        ),
        (["fd00::", "-", "-"], ("fd00::", V6_UNICAST)),
        // Ends at the top of the address space.
        (
            ["255.255.255.255", "255.255.255.255", "-"],
            ("255.255.255.255", "255.255.255.255"),
        ),
        (
            ["-", "-", "255.255.255.254/31"],
            ("255.255.255.254", "255.255.255.255"),
        ),
        (
            ["255.255.255.0", "-", "255.255.255.0/24"],
            ("255.255.255.0", "255.255.255.255"),
        ),
        (["-", "-", "0.0.0.0/0"], ("0.0.0.1", "255.255.255.255")),
        (["::", V6_TOP, "-"], ("::", V6_TOP)),
        (["-", "-", "::/0"], ("::1", V6_TOP)),
        ([V6_TOP, V6_TOP, "-"], (V6_TOP, V6_TOP)),
        // Valid, and without an address.
        (["-", "-", "10.0.0.1/32"], ("-", "-")),
        (["-", "-", "fd00::1/128"], ("-", "-")),
        (["-", "-", "255.255.255.255/32"], ("-", "-")),
        (["-", "-", "10.0.0.255/24"], ("-", "-")),
    ];
    for (fields, (first, last)) in cases {
        let expected = (first != "-").then(|| range(first, last));
        assert_eq!(resolve_text(fields), Ok(expected), "{fields:?}");
    }
}

#[test]
fn entries_that_make_no_range() {
    let cases = [
        (["-", "-", "-"], RangeError::Empty),
        (["-", "10.0.0.9", "-"], RangeError::EndWithoutStart),
        (
            ["-", "10.0.0.9", "10.0.0.0/24"],
            RangeError::EndWithoutStart,
        ),
        (["10.0.0.9", "10.0.0.8", "-"], RangeError::StartAfterEnd),
        (
            ["10.0.0.9", "10.0.0.8", "10.0.0.0/24"],
            RangeError::StartAfterEnd,
        ),
        (["10.0.0.9", "fd00::9", "-"], RangeError::MixedFamilies),
        (["10.0.0.9", "-", "fd00::/64"], RangeError::MixedFamilies),
        (
            ["10.0.0.9", "fd00::9", "10.0.0.0/24"],
            RangeError::MixedFamilies,
        ),
        (
            ["10.0.1.0", "-", "10.0.0.0/24"],
            RangeError::StartOutsideSubnet,
        ),
        (
            ["10.0.1.0", "10.0.0.1", "10.0.0.0/24"],
            RangeError::StartOutsideSubnet,
        ),
        (
            ["10.0.0.1", "10.0.1.0", "10.0.0.0/24"],
            RangeError::EndOutsideSubnet,
        ),
        (["224.0.0.0", "-", "-"], RangeError::StartAboveUnicast),
        (["ff00::", "-", "-"], RangeError::StartAboveUnicast),
    ];
    for (fields, error) in cases {
        assert_eq!(resolve_text(fields), Err(error), "{fields:?}");
    }
}

#[test]
fn a_stored_entry_is_served_as_far_as_its_fields_agree() {
    let cases = [
        (["10.0.0.9", "10.0.0.20", "-"], ("10.0.0.9", "10.0.0.20")),
        (
            ["10.4.0.10", "10.4.1.4", "10.4.0.0/24"],
            ("10.4.0.10", "10.4.0.255"),
        ),
        (["-", "10.3.0.4", "10.3.0.0/24"], ("10.3.0.1", "10.3.0.4")),
        (["-", "10.3.9.9", "10.3.0.0/24"], ("10.3.0.1", "10.3.0.255")),
        (["-", "fd00::4", "fd00::/64"], ("fd00::1", "fd00::4")),
        (["-", "10.0.0.9", "-"], ("-", "-")),
        (["-", "10.0.0.9", "fd00::/64"], ("-", "-")),
        (["-", "10.2.0.9", "10.3.0.0/24"], ("-", "-")),
        (["10.3.0.9", "10.2.0.9", "10.3.0.0/24"], ("-", "-")),
        (["10.0.1.0", "10.0.1.9", "10.0.0.0/24"], ("-", "-")),
        (["10.0.0.9", "10.0.0.8", "-"], ("-", "-")),
        (["-", "-", "-"], ("-", "-")),
    ];
    for (fields, (first, last)) in cases {
        let expected = (first != "-").then(|| range(first, last));
        let [start, end] = [fields[0], fields[1]].map(|text| (text != "-").then(|| ip(text)));
        let subnet = (fields[2] != "-").then(|| fields[2].parse().unwrap());
        assert_eq!(resolve_stored(start, end, subnet), expected, "{fields:?}");
    }
}

#[test]
fn ranges_at_their_borders() {
    let whole = range("::", V6_TOP);
    assert_eq!(whole.len(), u128::MAX);
    assert!(whole.contains(ip(V6_TOP)) && whole.contains(ip("::")));
    assert!(!whole.contains(ip("10.0.0.1")));
    assert_eq!(range("0.0.0.0", "255.255.255.255").len(), 1 << 32);
    assert_eq!(Range::single(ip("10.0.0.1")), range("10.0.0.1", "10.0.0.1"));
    assert_eq!(
        Range::of_net(&"10.0.0.77/24".parse().unwrap()),
        range("10.0.0.0", "10.0.0.255")
    );
    let middle = range("10.0.0.5", "10.0.0.9");
    for (first, last, expected) in [
        ("10.0.0.0", "10.0.0.4", false),
        ("10.0.0.0", "10.0.0.5", true),
        ("10.0.0.6", "10.0.0.7", true),
        ("10.0.0.9", "10.0.0.12", true),
        ("10.0.0.10", "10.0.0.12", false),
        ("::", V6_TOP, false),
    ] {
        assert_eq!(middle.overlaps(&range(first, last)), expected, "{first}");
        assert_eq!(range(first, last).overlaps(&middle), expected, "{first}");
    }
    assert_eq!(Family::V6.unicast_top(), ip(V6_UNICAST));
    assert_eq!(middle.to_string(), "10.0.0.5-10.0.0.9");
}

#[test]
fn an_address_of_two_entries_belongs_to_the_first() {
    let pool = plain(&[
        range("10.0.0.10", "10.0.0.19"),
        range("10.0.0.0", "10.0.0.29"),
        range("10.0.0.5", "10.0.0.39"),
    ]);
    for (addr, entry) in [
        (0, 1),
        (9, 1),
        (10, 0),
        (19, 0),
        (20, 1),
        (29, 1),
        (30, 2),
        (39, 2),
    ] {
        assert_eq!(
            pool.locate(ip(&format!("10.0.0.{addr}"))),
            Location::Inside { entry },
            "{addr}"
        );
    }
    assert_eq!(pool.locate(ip("10.0.0.40")), Location::Outside);
    assert_eq!(pool.locate(ip("::10")), Location::Outside);
    assert_eq!(pool.counts().capacity, 40);
}

#[test]
fn excluded_addresses_are_no_part_of_the_pool() {
    let mut pool = Allocator::new(
        &entries(&[
            range("10.0.0.0", "10.0.0.9"),
            range("10.0.0.10", "10.0.0.19"),
        ]),
        // Across both entries, one within another, overlapping each other, and in no entry at all.
        &[
            range("10.0.0.8", "10.0.0.11"),
            range("10.0.0.9", "10.0.0.9"),
            range("10.0.0.11", "10.0.0.12"),
            range("10.0.0.200", "10.0.0.201"),
            range("fd00::", "fd00::1"),
        ],
    );
    assert_eq!(pool.counts().capacity, 15);
    assert_eq!(pool.locate(ip("10.0.0.12")), Location::Excluded);
    assert_eq!(pool.locate(ip("10.0.0.200")), Location::Outside);
    assert_eq!(pool.take(ip("10.0.0.8")), Take::Excluded);
    assert_eq!(pool.take(ip("10.0.0.200")), Take::Outside);
    let picked: Vec<_> = std::iter::from_fn(|| pool.take_first()).collect();
    assert_eq!(picked.len(), 15);
    assert_eq!((picked[8].addr, picked[8].entry), (ip("10.0.0.13"), 1));
}

#[test]
fn an_empty_pool_is_full() {
    let mut pool = plain(&[]);
    assert!(pool.is_full());
    assert_eq!(pool.take_first(), None);
    assert_eq!(pool.take(ip("10.0.0.1")), Take::Outside);
    assert!(!pool.release(ip("10.0.0.1")));
    assert_eq!(pool.counts().capacity, 0);
}
