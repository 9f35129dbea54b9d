//! `start`, `end` and `subnet` of an entry: the range that they mean, or what is wrong with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::item::{Item, Reading};
use super::text::{host_address, subnet};
use super::verdict::{Cause, Findings};
use crate::alloc::{Family, Range, RangeError, resolve, resolve_stored};

/// The three fields that make the range.
pub(super) struct Bounds<'a> {
    start: (Item<'a>, Reading<IpAddr>),
    end: (Item<'a>, Reading<IpAddr>),
    pub(super) subnet: (Item<'a>, Reading<IpNet>),
}

impl<'a> Bounds<'a> {
    pub(super) fn read(item: &Item<'a>, out: &mut Findings) -> Self {
        let (start, end, net) = (item.child("start"), item.child("end"), item.child("subnet"));
        Self {
            start: (start, start.parsed(out, host_address)),
            end: (end, end.parsed(out, host_address)),
            subnet: (net, net.parsed(out, subnet)),
        }
    }

    pub(super) fn family(&self) -> Option<Family> {
        let (start, end, net) = (self.start.1.ok(), self.end.1.ok(), self.subnet.1.ok());
        start.or(end).or(net.map(|net| net.addr())).map(Family::of)
    }

    pub(super) fn range(&self, item: &Item<'_>, out: &mut Findings) -> Reading<Option<Range>> {
        let Self {
            start: (start_item, start),
            end: (end_item, end),
            subnet: (subnet_item, net),
        } = self;
        if *start == Reading::Bad || *end == Reading::Bad || *net == Reading::Bad {
            return Reading::Bad;
        }
        let (start, end, net) = (start.ok(), end.ok(), net.ok());
        let error = match resolve(start, end, net) {
            Ok(None) => return Reading::Is(None),
            Ok(Some(range)) => {
                let Some(space) = not_unicast_in(&range) else {
                    return Reading::Is(Some(range));
                };
                let bound = match (end, net) {
                    (Some(_), _) => end_item,
                    (None, Some(_)) => subnet_item,
                    (None, None) => start_item,
                };
                bound.invalid(
                    out,
                    format_args!("must not bring {space} into the range, which is {range}"),
                );
                return Reading::Bad;
            }
            Err(error) => error,
        };
        let known = |address: Option<IpAddr>| address.map_or_else(String::new, |a| a.to_string());
        let net_text = net.map_or_else(String::new, |net| net.to_string());
        match error {
            RangeError::Empty => item.error(
                out,
                Cause::Required,
                "must have start, subnet or both: start and end make a range, a subnet alone is used from the address after the written one",
            ),
            RangeError::EndWithoutStart => start_item.error(
                out,
                Cause::Required,
                format_args!("must be given where end ({}) is", known(end)),
            ),
            RangeError::MixedFamilies => {
                let family = self.family();
                let other = if end.is_some_and(|e| Some(Family::of(e)) != family) {
                    end_item
                } else {
                    subnet_item
                };
                let family = family.map_or("", Family::name);
                other.invalid(out, format_args!("must be of {family}, like start {}", known(start)));
            }
            RangeError::StartAfterEnd => {
                end_item.invalid(out, format_args!("must not be below start {}", known(start)));
            }
            RangeError::StartOutsideSubnet => {
                start_item.invalid(out, format_args!("must lie in subnet {net_text}"));
            }
            RangeError::EndOutsideSubnet => {
                end_item.invalid(out, format_args!("must lie in subnet {net_text}"));
            }
            RangeError::StartAboveUnicast => start_item.invalid(
                out,
                "lies above the last unicast address, where an entry without end and subnet stops; give it an end",
            ),
        }
        // What the controller serves of it where it is stored.
        resolve_stored(start, end, net).map_or(Reading::Bad, |range| Reading::Is(Some(range)))
    }

    /// `start` of an entry that has nothing beside it.
    pub(super) fn endless(&self) -> Option<Item<'a>> {
        let given = [&self.start.1, &self.end.1].map(|reading| *reading != Reading::Absent);
        let is_endless = given == [true, false] && self.subnet.1 == Reading::Absent;
        is_endless.then_some(self.start.0)
    }
}

/// What of the range's family no host can have, when the range reaches into it.
fn not_unicast_in(range: &Range) -> Option<&'static str> {
    let (lowest, highest, space) = match range.family() {
        Family::V4 => (
            IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)),
            IpAddr::V4(Ipv4Addr::new(239, 255, 255, 255)),
            "multicast addresses (224.0.0.0/4)",
        ),
        Family::V6 => (
            IpAddr::V6(Ipv6Addr::from_bits(0xff << 120)),
            IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
            "multicast addresses (ff00::/8)",
        ),
    };
    if range.first() <= highest && range.last() >= lowest {
        return Some(space);
    }
    let broadcast = range.contains(IpAddr::V4(Ipv4Addr::BROADCAST));
    broadcast.then_some("the limited broadcast address (255.255.255.255)")
}
