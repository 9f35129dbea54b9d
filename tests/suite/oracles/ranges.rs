//! The addresses of a pool, listed one by one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

/// A pool's ranges and exclusions.
pub(super) struct Ranges {
    entries: Vec<(IpAddr, IpAddr)>,
    excluded: Vec<(IpAddr, IpAddr)>,
}

impl Ranges {
    pub(super) fn read(pool: &Value) -> Self {
        let entries = pool.pointer("/spec/pools").and_then(Value::as_array);
        let entries = entries.into_iter().flatten().filter_map(|entry| {
            let part = |name: &str| entry[name].as_str();
            let subnet: Option<IpNet> = part("subnet").and_then(|s| s.parse().ok());
            let start = match part("start") {
                Some(start) => start.parse().ok()?,
                None => next(subnet?.addr()),
            };
            let end = match part("end") {
                Some(end) => end.parse().ok()?,
                None => subnet?.broadcast(),
            };
            Some((start, end))
        });
        let excluded = pool.pointer("/spec/excludedAddresses");
        let excluded = excluded.and_then(Value::as_array).into_iter().flatten();
        let excluded = excluded.filter_map(|text| {
            let text = text.as_str()?;
            if let Some((from, to)) = text.split_once('-') {
                return Some((from.parse().ok()?, to.parse().ok()?));
            }
            if let Ok(net) = text.parse::<IpNet>() {
                return Some((net.network(), net.broadcast()));
            }
            let one = text.parse().ok()?;
            Some((one, one))
        });
        Self {
            entries: entries.collect(),
            excluded: excluded.collect(),
        }
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let within = |(from, to): &(IpAddr, IpAddr)| {
            from.is_ipv4() == address.is_ipv4() && *from <= address && address <= *to
        };
        self.entries.iter().any(within) && !self.excluded.iter().any(within)
    }

    /// By counting one by one; pools too large for that are not counted.
    pub(super) fn capacity(&self) -> Option<u128> {
        let mut all = BTreeSet::new();
        for (from, to) in &self.entries {
            let mut address = *from;
            while address <= *to {
                if self.contain(address) {
                    all.insert(address);
                }
                if all.len() > 2_000 {
                    return None;
                }
                address = next(address);
            }
        }
        Some(all.len() as u128)
    }
}

fn next(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(a) => (u32::from(a) + 1).to_be_bytes().into(),
        IpAddr::V6(a) => (u128::from(a) + 1).to_be_bytes().into(),
    }
}
