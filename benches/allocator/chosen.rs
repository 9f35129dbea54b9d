//! The room's own `Allocator`, with everything around the structure: addresses, entries, counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use metal3_ipam::alloc::{Allocator, Entry, Range, Take};
use rand::rngs::StdRng;

use crate::patterns::Space;
use crate::subject::Subject;

const V4: u32 = 0x0a00_0000;
const V6: u128 = 0xfd00 << 112;

/// Every entry of [`Space::Scattered`] has 64 addresses, followed by as many that are in no entry.
const STRETCH: u64 = 64;

pub(crate) struct Chosen {
    pool: Allocator,
    space: Space,
}

impl Chosen {
    fn addr(&self, offset: u64) -> IpAddr {
        match self.space {
            Space::Dense(_) => Ipv4Addr::from_bits(V4 + offset as u32).into(),
            Space::Wide => Ipv6Addr::from_bits(V6 + u128::from(offset)).into(),
            Space::Scattered => {
                let gaps = offset / STRETCH * STRETCH;
                Ipv4Addr::from_bits(V4 + (offset + gaps) as u32).into()
            }
        }
    }

    fn offset(&self, addr: IpAddr) -> u64 {
        let number = match addr {
            IpAddr::V4(v4) => u64::from(v4.to_bits() - V4),
            IpAddr::V6(v6) => (v6.to_bits() - V6) as u64,
        };
        match self.space {
            Space::Dense(_) | Space::Wide => number,
            Space::Scattered => number / (2 * STRETCH) * STRETCH + number % (2 * STRETCH),
        }
    }
}

impl Subject for Chosen {
    const NAME: &str = "chosen";

    fn new(space: Space) -> Self {
        let range = |first: IpAddr, last: IpAddr| Range::new(first, last).unwrap();
        let v4 = |number: u64| Ipv4Addr::from_bits(V4 + number as u32).into();
        let ranges = match space {
            Space::Dense(size) => vec![range(v4(0), v4(size - 1))],
            Space::Wide => vec![range(
                Ipv6Addr::from_bits(V6).into(),
                Ipv6Addr::from_bits(V6 + u128::from(u64::MAX)).into(),
            )],
            Space::Scattered => (0..space.size() / STRETCH)
                .map(|entry| 2 * STRETCH * entry)
                .map(|first| range(v4(first), v4(first + STRETCH - 1)))
                .collect(),
        };
        let entry = |(index, range)| Entry {
            index,
            range,
            reserve: None,
        };
        let entries: Vec<Entry> = ranges.into_iter().enumerate().map(entry).collect();
        Self {
            pool: Allocator::new(&entries, &[]),
            space,
        }
    }

    fn take_first(&mut self) -> Option<u64> {
        let picked = self.pool.take_first()?;
        Some(self.offset(picked.addr))
    }

    fn take_random(&mut self, rng: &mut StdRng) -> Option<u64> {
        let picked = self.pool.take_random(rng)?;
        Some(self.offset(picked.addr))
    }

    fn take(&mut self, offset: u64) -> bool {
        self.pool.take(self.addr(offset)) == Take::Taken
    }

    fn release(&mut self, offset: u64) -> bool {
        self.pool.release(self.addr(offset))
    }
}
