//! The addresses of every block of one prefix length that automatic allocation skips (A7), as arithmetic.
//!
//! An IPv6 /32 handed out with prefix 64 holds 2^32 subnet-router anycast addresses: they are never listed. Instead the
//! usable addresses are numbered densely, `usable_below`, and so are the reserved ones; each numbering has its own set of
//! used numbers, and neither has holes that a search would have to step over.

use super::range::Family;

/// Which addresses of each block of `2^host_bits` are reserved: the first, and for IPv4 also the last.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    /// Every address is usable.
    Nothing,
    /// `hosts` usable addresses in a row, after the reserved all-zero host; what is left of the block is reserved too.
    Blocks {
        /// 2 to 32 (IPv4) or 2 to 128 (IPv6).
        host_bits: u32,
        /// Usable addresses of a block: two less than its size (IPv4) or one less (IPv6).
        hosts: u128,
    },
}

impl Pattern {
    /// The pattern of a prefix length. Blocks with fewer than four addresses (/31, /32, /127, /128) reserve nothing
    /// (RFC 3021, RFC 6164).
    pub(super) fn new(family: Family, reserve: Option<u8>) -> Self {
        let Some(prefix) = reserve else {
            return Self::Nothing;
        };
        let host_bits = u32::from(family.width().saturating_sub(prefix));
        if host_bits < 2 {
            return Self::Nothing;
        }
        let all_ones = u128::MAX >> (128 - host_bits);
        let hosts = match family {
            Family::V4 => all_ones - 1,
            Family::V6 => all_ones,
        };
        Self::Blocks { host_bits, hosts }
    }

    /// Whether automatic allocation skips the address with this number.
    pub(super) fn reserves(self, number: u128) -> bool {
        match self {
            Self::Nothing => false,
            Self::Blocks { host_bits, hosts } => {
                let host = number & (u128::MAX >> (128 - host_bits));
                host == 0 || host > hosts
            }
        }
    }

    /// How many usable addresses have a lower number, counted from the family's address 0.
    pub(super) fn usable_below(self, number: u128) -> u128 {
        match self {
            Self::Nothing => number,
            Self::Blocks { host_bits, hosts } => {
                // A block may be the whole family: shifting by all 128 bits leaves block 0.
                let block = number.checked_shr(host_bits).unwrap_or(0);
                let host = number & (u128::MAX >> (128 - host_bits));
                block * hosts + host.saturating_sub(1)
            }
        }
    }

    /// The usable address that has `rank` usable addresses below it: the reverse of [`Self::usable_below`].
    pub(super) fn nth_usable(self, rank: u128) -> u128 {
        match self {
            Self::Nothing => rank,
            Self::Blocks { host_bits, hosts } => {
                let start = (rank / hosts).checked_shl(host_bits).unwrap_or(0);
                start + 1 + rank % hosts
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_ipv4_keeps_its_ends() {
        let pattern = Pattern::new(Family::V4, Some(30));
        let reserved: Vec<u128> = (0..8).filter(|n| pattern.reserves(*n)).collect();
        assert_eq!(reserved, [0, 3, 4, 7]);
    }

    #[test]
    fn a_block_of_ipv6_keeps_its_first() {
        let pattern = Pattern::new(Family::V6, Some(126));
        let reserved: Vec<u128> = (0..8).filter(|n| pattern.reserves(*n)).collect();
        assert_eq!(reserved, [0, 4]);
    }

    #[test]
    fn short_blocks_and_no_prefix_reserve_nothing() {
        for (family, prefixes) in [(Family::V4, [31, 32]), (Family::V6, [127, 128])] {
            for reserve in prefixes.map(Some).into_iter().chain([None]) {
                let pattern = Pattern::new(family, reserve);
                assert!(
                    (0..9).all(|n| !pattern.reserves(n)),
                    "{family:?} {reserve:?}"
                );
            }
        }
    }

    #[test]
    fn ranks_and_numbers_are_each_others_reverse() {
        for family in [Family::V4, Family::V6] {
            for prefix in 0..=family.width() {
                let pattern = Pattern::new(family, Some(prefix));
                let top = u128::MAX >> (128 - u32::from(family.width()));
                let numbers = (0..40).chain(top - 40..=top).chain(1 << 20..(1 << 20) + 40);
                for number in numbers.filter(|n| !pattern.reserves(*n)) {
                    assert_eq!(
                        pattern.nth_usable(pattern.usable_below(number)),
                        number,
                        "{family:?}/{prefix}"
                    );
                }
            }
        }
    }

    #[test]
    fn ranks_count_the_usable_numbers_below() {
        for (family, prefix) in [(Family::V4, 29), (Family::V6, 125), (Family::V6, 126)] {
            let pattern = Pattern::new(family, Some(prefix));
            let mut below = 0;
            for number in 0..100 {
                assert_eq!(
                    pattern.usable_below(number),
                    below,
                    "{family:?}/{prefix} {number}"
                );
                below += u128::from(!pattern.reserves(number));
            }
        }
    }
}
