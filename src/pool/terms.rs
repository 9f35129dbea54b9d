//! A pool's spec, read once per change: what is handed out, on which terms, and what is kept back. Reading is lenient:
//! an entry that makes no sense is left out, so that the good ones stay served (spec, section 6).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::SignedDuration;

use crate::alloc::{Entry, Family, Range, resolve_stored};
use crate::api::ip::{is_host, parse_ip, parse_net};
use crate::api::metal3::{AllocationStrategy, IPPoolSpec, IpText, PoolEntry};
use crate::api::names::is_cluster_name;
use crate::api::rules::MAX_NAME_SERVERS;

/// The longest grace period; a longer one is cut to it.
const LONGEST_GRACE: i64 = 100 * 365 * 24 * 3600;

/// What comes along with an address (A13).
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Values {
    pub(super) prefix: Option<u8>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) dns_servers: Vec<IpAddr>,
}

/// A pre-allocation (A8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreAllocation {
    /// `None`: the text is no address.
    pub(super) address: Option<IpAddr>,
}

/// A pool's spec, read into ranges and values.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) name_prefix: Arc<str>,
    pub(super) entries: Vec<Entry>,
    pub(super) excluded: Vec<Range>,
    /// Gateways of the pool and of its entries: kept back from automatic allocation (A7).
    pub(super) gateways: BTreeSet<IpAddr>,
    /// By claim name.
    pub(super) pre_allocations: BTreeMap<Arc<str>, PreAllocation>,
    pub(super) strategy: AllocationStrategy,
    /// How long a deleted claim keeps its address (R3).
    pub(super) grace: SignedDuration,
    pub(super) cluster: Option<Arc<str>>,
    /// Whether that is a name which no label can hold: nothing of the Cluster is written to the pool then.
    pub(super) is_cluster_impossible: bool,
    /// By [`Entry::index`], each already filled up from `pool`'s.
    values: Vec<Values>,
    pool: Values,
}

fn address(text: Option<&IpText>) -> Option<IpAddr> {
    text.and_then(|t| parse_ip(t).ok())
}

/// The address of one host, as the definition of IPAddress wants it. A pool that was stored without these rules may have others.
fn host(text: Option<&IpText>) -> Option<IpAddr> {
    address(text).filter(|addr| is_host(*addr))
}

/// As many as an IPAddress can have.
fn name_servers(texts: &[IpText]) -> Vec<IpAddr> {
    let hosts = texts.iter().filter_map(|text| host(Some(text)));
    hosts.take(MAX_NAME_SERVERS).collect()
}

/// 0 and absent are the same: inherit (A7).
fn prefix(number: Option<i64>) -> Option<u8> {
    let bits = number.and_then(|n| u8::try_from(n).ok());
    bits.filter(|n| (1..=128).contains(n))
}

/// Reads one of `excludedAddresses`: an address, `a-b` or a subnet.
fn exclusion(text: &str) -> Option<Range> {
    if let Some((first, last)) = text.split_once('-') {
        return Range::new(parse_ip(first).ok()?, parse_ip(last).ok()?).ok();
    }
    if text.contains('/') {
        return parse_net(text).ok().map(|net| Range::of_net(&net));
    }
    parse_ip(text).ok().map(Range::single)
}

impl Values {
    fn of_pool(spec: &IPPoolSpec) -> Self {
        Self {
            prefix: prefix(spec.prefix),
            gateway: host(spec.gateway.as_ref()),
            dns_servers: name_servers(&spec.dns_servers),
        }
    }

    /// An entry's own values over the pool's.
    fn of_entry(entry: &PoolEntry, pool: &Self) -> Self {
        let dns_servers = name_servers(&entry.dns_servers);
        Self {
            prefix: prefix(entry.prefix).or(pool.prefix),
            gateway: host(entry.gateway.as_ref()).or(pool.gateway),
            dns_servers: if dns_servers.is_empty() {
                pool.dns_servers.clone()
            } else {
                dns_servers
            },
        }
    }

    /// What of them fits an address of this family: a pool of both families has one gateway and one prefix of its own.
    fn fitting(&self, family: Family) -> Self {
        Self {
            prefix: self.prefix.filter(|p| *p <= family.width()),
            gateway: self.gateway.filter(|g| Family::of(*g) == family),
            dns_servers: self.dns_servers.clone(),
        }
    }
}

impl Terms {
    pub(super) fn read(spec: &IPPoolSpec) -> Self {
        let pool = Values::of_pool(spec);
        let mut gateways: BTreeSet<IpAddr> = pool.gateway.into_iter().collect();
        let mut entries = Vec::new();
        let mut values = Vec::new();
        for entry in &spec.pools {
            let own = Values::of_entry(entry, &pool);
            gateways.extend(address(entry.gateway.as_ref()));
            // At random an entry that nothing bounds would give any address of its family.
            let is_drawable = spec.allocation_strategy != AllocationStrategy::Random
                || entry.end.is_some()
                || entry.subnet.is_some();
            if let Some(range) = range(entry).filter(|_| is_drawable) {
                entries.push(Entry {
                    index: values.len(),
                    range,
                    reserve: reserve(spec, entry, &own, range.family()),
                });
            }
            values.push(own);
        }
        let excluded = spec.excluded_addresses.iter();
        let is_needed = |range: &Range| entries.iter().any(|entry| entry.range.overlaps(range));
        let excluded = excluded
            .filter_map(|text| exclusion(&text.0))
            .chain(for_no_host().filter(is_needed))
            .collect();
        let pre_allocations = spec.pre_allocations.iter();
        let grace = spec.address_reuse_grace_period_seconds.unwrap_or(0);
        Self {
            name_prefix: spec.name_prefix.as_str().into(),
            entries,
            excluded,
            gateways,
            pre_allocations: pre_allocations
                .map(|(name, ip)| {
                    let address = parse_ip(ip).ok();
                    (name.as_str().into(), PreAllocation { address })
                })
                .collect(),
            strategy: spec.allocation_strategy,
            grace: SignedDuration::from_secs(grace.clamp(0, LONGEST_GRACE)),
            cluster: spec
                .cluster_name
                .as_deref()
                .filter(|c| !c.is_empty())
                .map(Arc::from),
            is_cluster_impossible: spec
                .cluster_name
                .as_deref()
                .is_some_and(|name| !name.is_empty() && !is_cluster_name(name)),
            values,
            pool,
        }
    }

    /// What an address of this entry is handed out with; `None`: of no entry.
    pub(super) fn values(&self, entry: Option<usize>, address: IpAddr) -> Values {
        let values = entry.and_then(|index| self.values.get(index));
        values.unwrap_or(&self.pool).fitting(Family::of(address))
    }

    /// Whether the spec has entries, with addresses or without.
    pub(super) fn has_entries(&self) -> bool {
        !self.values.is_empty()
    }

    /// `sequential` or `random`.
    pub(super) fn strategy_name(&self) -> &'static str {
        match self.strategy {
            AllocationStrategy::Sequential => "sequential",
            AllocationStrategy::Random => "random",
        }
    }

    /// `IPv4`, `IPv6`, `dual` or `none`.
    pub(super) fn family_name(&self) -> &'static str {
        let has = |family| self.entries.iter().any(|e| e.range.family() == family);
        match (has(Family::V4), has(Family::V6)) {
            (true, false) => Family::V4.name(),
            (false, true) => Family::V6.name(),
            (true, true) => "dual",
            (false, false) => "none",
        }
    }
}

/// The entry's range; `None` when it is empty or its fields contradict each other. A pool that was stored without the rules may
/// have an entry that they refuse, and is served what it means.
fn range(entry: &PoolEntry) -> Option<Range> {
    let read = |text: Option<&IpText>| text.map(|t| parse_ip(t)).transpose().ok();
    let subnet = entry.subnet.as_deref().map(parse_net).transpose().ok()?;
    resolve_stored(
        read(entry.start.as_ref())?,
        read(entry.end.as_ref())?,
        subnet,
    )
}

/// Addresses that no host can have. The rules keep them out of a pool, but one that was stored before them may have some in a
/// range, and its other addresses are served all the same.
fn for_no_host() -> impl Iterator<Item = Range> {
    let ends = |first: IpAddr, last: IpAddr| Range::new(first, last).ok();
    [
        ends(
            Ipv4Addr::new(224, 0, 0, 0).into(),
            Ipv4Addr::new(239, 255, 255, 255).into(),
        ),
        ends(
            Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(),
            Ipv6Addr::from_bits(u128::MAX).into(),
        ),
        Some(Range::single(Ipv4Addr::BROADCAST.into())),
        Some(Range::single(Ipv4Addr::UNSPECIFIED.into())),
        Some(Range::single(Ipv6Addr::UNSPECIFIED.into())),
    ]
    .into_iter()
    .flatten()
}

/// Prefix whose network and broadcast or anycast addresses are skipped: the one that addresses are handed out with, else
/// that of the subnet (A7).
fn reserve(spec: &IPPoolSpec, entry: &PoolEntry, own: &Values, family: Family) -> Option<u8> {
    if spec.allocate_reserved_ip_addresses {
        return None;
    }
    let subnet = entry.subnet.as_deref().and_then(|s| parse_net(s).ok());
    let given = own.prefix.filter(|p| *p <= family.width());
    given.or_else(|| subnet.map(|s| s.prefix_len()))
}
