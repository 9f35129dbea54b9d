//! One entry of `spec.pools`: the range that it means, and what is handed out with its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;

use super::bounds::Bounds;
use super::item::{Item, Reading};
use super::text::host_address;
use super::verdict::{Cause, Findings};
use crate::alloc::{Family, Range};
use crate::api::rules::MAX_NAME_SERVERS;

/// An entry as read. What is new and wrong in it has been reported.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) item: Item<'a>,
    /// Its addresses; `Is(None)`: a valid entry without any.
    pub(super) range: Reading<Option<Range>>,
    /// Family of its addresses, as far as it can be told.
    pub(super) family: Option<Family>,
    /// Its `start`, where it has neither `end` nor `subnet`.
    pub(super) endless: Option<Item<'a>>,
    subnet: Option<IpNet>,
    prefix: Reading<u8>,
    gateway: Reading<IpAddr>,
}

/// What entries inherit from the pool, and whether this write changed it.
#[derive(Debug, Clone)]
pub(super) struct Inherited<'a> {
    pub(super) prefix: Option<u8>,
    pub(super) prefix_item: Item<'a>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) gateway_item: Item<'a>,
}

/// A mask in bits; 0 and absent both mean "inherit" (A7).
pub(super) fn check_prefix(
    item: &Item<'_>,
    family: Option<Family>,
    out: &mut Findings,
) -> Reading<u8> {
    let bits = match item.whole(out) {
        Reading::Absent | Reading::Is(0) => return Reading::Absent,
        Reading::Bad => return Reading::Bad,
        Reading::Is(bits) => bits,
    };
    let width = family.map_or(128, Family::width);
    match u8::try_from(bits) {
        Ok(bits) if bits <= width => Reading::Is(bits),
        Ok(_) | Err(_) => {
            let of = family.map_or_else(String::new, |f| format!(" for {}", f.name()));
            item.invalid(out, format_args!("must be from 0 to {width}{of}"));
            Reading::Bad
        }
    }
}

/// A gateway, of the family of what it serves (`like`), where that is known.
pub(super) fn check_gateway(
    item: &Item<'_>,
    family: Option<Family>,
    like: &str,
    out: &mut Findings,
) -> Reading<IpAddr> {
    let gateway = item.parsed(out, host_address);
    match (gateway, family) {
        (Reading::Is(address), Some(family)) if Family::of(address) != family => {
            let family = family.name();
            item.invalid(
                out,
                format_args!("must be an {family} address, like {like}"),
            );
            Reading::Bad
        }
        (gateway, _) => gateway,
    }
}

/// DNS servers: any unicast address of either family.
pub(super) fn check_name_servers<'a>(servers: impl Iterator<Item = Item<'a>>, out: &mut Findings) {
    for server in servers {
        match server.value {
            None => server.error(out, Cause::Required, "must be an address"),
            Some(_) => drop(server.parsed(out, host_address)),
        }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn read(item: Item<'a>, out: &mut Findings) -> Self {
        if !matches!(item.value, Some(Value::Object(_))) {
            item.invalid(out, "must be an entry with start, end or subnet");
            return Self {
                item,
                range: Reading::Bad,
                family: None,
                endless: None,
                subnet: None,
                prefix: Reading::Bad,
                gateway: Reading::Bad,
            };
        }
        let fields = Bounds::read(&item, out);
        let family = fields.family();
        let range = fields.range(&item, out);
        let prefix = check_prefix(&item.child("prefix"), family, out);
        let gateway = check_gateway(&item.child("gateway"), family, "the entry's range", out);
        check_name_servers(item.children("dnsServers", MAX_NAME_SERVERS, out), out);
        Self {
            endless: fields.endless(),
            range,
            family,
            subnet: fields.subnet.1.ok(),
            prefix,
            gateway,
            item,
        }
    }

    /// The range, when it is valid and holds an address.
    pub(super) fn addresses(&self) -> Option<Range> {
        self.range.ok().flatten()
    }

    pub(super) fn inherits_prefix(&self) -> bool {
        self.prefix == Reading::Absent
    }

    pub(super) fn inherits_gateway(&self) -> bool {
        self.gateway == Reading::Absent
    }

    /// What is accepted but probably not meant.
    pub(super) fn warn(&self, pool: &Inherited<'_>, out: &mut Findings) {
        if self.range == Reading::Bad {
            return;
        }
        if self.item.fresh {
            self.warn_of_subnet(out);
            self.warn_of_space(out);
        }
        let (prefix, prefix_fresh) = match self.prefix {
            Reading::Is(own) => (Some(own), false),
            Reading::Absent => (
                pool.prefix
                    .filter(|p| self.family.is_some_and(|f| *p <= f.width())),
                pool.prefix_item.fresh,
            ),
            Reading::Bad => (None, false),
        };
        let (gateway, gateway_fresh) = match self.gateway {
            Reading::Is(own) => (Some(own), false),
            Reading::Absent => (pool.gateway, pool.gateway_item.fresh),
            Reading::Bad => (None, false),
        };
        if let (Some(prefix), Some(net)) = (prefix, self.subnet)
            && prefix != net.prefix_len()
            && (self.item.fresh || prefix_fresh)
        {
            let whose = if self.inherits_prefix() {
                "the pool's prefix"
            } else {
                "prefix"
            };
            out.warn(
                self.item.path,
                format_args!(
                    "{whose} {prefix} is not that of subnet {net}; its addresses are handed out with {prefix}"
                ),
            );
        }
        if let Some(gateway) = gateway
            && (self.item.fresh || prefix_fresh || gateway_fresh)
        {
            self.warn_of_gateway(prefix, gateway, out);
        }
    }

    fn warn_of_subnet(&self, out: &mut Findings) {
        let Some(net) = self.subnet else {
            return;
        };
        let path = self.item.child("subnet").path;
        match self.addresses() {
            None => out.warn(
                path,
                format_args!(
                    "{net} alone holds no address, since a subnet begins after the address as written; give start and end for {}",
                    net.addr()
                ),
            ),
            Some(range) if net.addr() != net.network() => out.warn(
                path,
                format_args!("{net} has host bits set; the entry's range is {range}"),
            ),
            Some(_) => {}
        }
    }

    fn warn_of_space(&self, out: &mut Findings) {
        let Some(range) = self.addresses() else {
            return;
        };
        // An entry that only begins somewhere passes by these spaces long after all that was meant; only where it begins
        // was chosen.
        let is_bounded = ["end", "subnet"]
            .iter()
            .any(|f| self.item.child(f).value.is_some());
        let chosen = if is_bounded {
            range
        } else {
            Range::single(range.first())
        };
        let v6 = |first: Ipv6Addr, last: Ipv6Addr| (IpAddr::V6(first), IpAddr::V6(last));
        let v4 = |first: [u8; 4], last: [u8; 4]| {
            (
                IpAddr::V4(Ipv4Addr::from(first)),
                IpAddr::V4(Ipv4Addr::from(last)),
            )
        };
        let spaces = [
            (
                "loopback addresses (127.0.0.0/8)",
                v4([127, 0, 0, 0], [127, 255, 255, 255]),
            ),
            (
                "link-local addresses (169.254.0.0/16)",
                v4([169, 254, 0, 0], [169, 254, 255, 255]),
            ),
            (
                "the loopback address (::1)",
                v6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            ),
            (
                "link-local addresses (fe80::/10)",
                v6(
                    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
                    Ipv6Addr::from_bits((0xfec0 << 112) - 1),
                ),
            ),
        ];
        for (what, (first, last)) in spaces {
            let reaches_in = chosen.contains(first) || chosen.contains(last);
            if reaches_in || (first <= chosen.first() && chosen.last() <= last) {
                out.warn(
                    self.item.path,
                    format_args!("its range {range} contains {what}, which no router forwards"),
                );
            }
        }
    }

    /// The gateway must be reachable from the addresses: in the network that they are handed out with.
    fn warn_of_gateway(&self, prefix: Option<u8>, gateway: IpAddr, out: &mut Findings) {
        let mask = prefix.or(self.subnet.map(|net| net.prefix_len()));
        let ends = self
            .addresses()
            .map(|range| (range.first(), range.last()))
            .or(self.subnet.map(|net| (net.addr(), net.addr())));
        let (Some(mask), Some((first, last))) = (mask, ends) else {
            return;
        };
        let (Ok(lowest), Ok(highest)) = (IpNet::new(first, mask), IpNet::new(last, mask)) else {
            return;
        };
        // A router's link-local address is on every IPv6 link.
        let on_link = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if Family::of(gateway) != Family::of(first)
            || on_link
            || (lowest.network()..=highest.broadcast()).contains(&gateway)
        {
            return;
        }
        let networks = if lowest.trunc() == highest.trunc() {
            lowest.trunc().to_string()
        } else {
            format!("{} to {}", lowest.trunc(), highest.trunc())
        };
        let whose = if self.inherits_gateway() {
            "the pool's gateway"
        } else {
            "gateway"
        };
        out.warn(
            self.item.path,
            format_args!(
                "{whose} {gateway} lies outside the subnet of the entry's addresses, {networks}"
            ),
        );
    }
}
