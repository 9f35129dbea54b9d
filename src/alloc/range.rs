//! Ranges of addresses, and what one entry of `IPPool.spec.pools` means as a range (spec, section 1).
//!
//! Inside, an address is its number in its family (`u128`), so that both families share all arithmetic. Ends are
//! inclusive: the number of addresses of all of IPv6 does not fit `u128`, its last address does.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// One of the two address families. IPv4-mapped IPv6 addresses count as IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// 32-bit addresses.
    V4,
    /// 128-bit addresses.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// As Kubernetes writes it: `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Bits of an address: 32 or 128. A prefix length is at most this.
    pub fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The last unicast address, where an entry with only `start` ends: multicast begins right after it (for IPv4
    /// at 224.0.0.0, for IPv6 at ff00::).
    pub fn unicast_top(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(223, 255, 255, 255)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits((0xff << 120) - 1)),
        }
    }

    /// The address with this number. For IPv4 the number is below 2^32, as every number that came from an address is.
    pub(super) fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }
}

/// The number of an address within its family.
pub(super) fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An inclusive, never empty range of addresses of one family. Ordered by family, first address, last address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    family: Family,
    first: u128,
    last: u128,
}

impl Range {
    /// The range from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`RangeError::MixedFamilies`] or [`RangeError::StartAfterEnd`].
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        let family = Family::of(first);
        if family != Family::of(last) {
            return Err(RangeError::MixedFamilies);
        }
        let (first, last) = (number(first), number(last));
        if first > last {
            return Err(RangeError::StartAfterEnd);
        }
        Ok(Self {
            family,
            first,
            last,
        })
    }

    /// The range of one address.
    pub fn single(addr: IpAddr) -> Self {
        Self::of_numbers(Family::of(addr), number(addr), number(addr))
    }

    /// The whole CIDR, its network and broadcast address included; host bits are ignored.
    pub fn of_net(net: &IpNet) -> Self {
        Self::of_numbers(
            Family::of(net.addr()),
            number(net.network()),
            number(net.broadcast()),
        )
    }

    /// The caller knows that `first <= last` and that both fit the family.
    pub(super) fn of_numbers(family: Family, first: u128, last: u128) -> Self {
        debug_assert!(first <= last);
        Self {
            family,
            first,
            last,
        }
    }

    /// The family of every address in it.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.family.address(self.first)
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.family.address(self.last)
    }

    /// Whether the address lies in the range; one of the other family never does.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.family == Family::of(addr) && (self.first..=self.last).contains(&number(addr))
    }

    /// How many addresses it has. All of IPv6 (2^128) saturates.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether some address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }

    /// Number of the lowest address.
    pub(super) fn low(&self) -> u128 {
        self.first
    }

    /// Number of the highest address.
    pub(super) fn high(&self) -> u128 {
        self.last
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first(), self.last())
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why the fields of an entry make no range. Who reports it adds the field's path and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// `start` is greater than `end`.
    #[error("start is after end")]
    StartAfterEnd,
    /// Two of the fields are of different families.
    #[error("start, end and subnet must be of one address family")]
    MixedFamilies,
    /// `start` is no address of `subnet`.
    #[error("start lies outside the subnet")]
    StartOutsideSubnet,
    /// `end` is no address of `subnet`.
    #[error("end lies outside the subnet")]
    EndOutsideSubnet,
    /// `end` without `start`, with or without a subnet.
    #[error("end needs a start")]
    EndWithoutStart,
    /// `start` alone, in the multicast or reserved space above the last unicast address: nothing bounds it.
    #[error("start lies above the last unicast address and has no end")]
    StartAboveUnicast,
    /// None of the three fields is there.
    #[error("one of start and subnet is required")]
    Empty,
}

/// The range of one entry of `IPPool.spec.pools`. `Ok(None)` is a valid entry without any address: a /32 or /128
/// subnet alone, or a subnet alone that is written as its last address.
///
/// | fields | range |
/// | --- | --- |
/// | `start`, `end` | both included |
/// | `start`, `end`, `subnet` | the same; both must lie in the subnet |
/// | `start`, `subnet` | to the last address of the subnet |
/// | `subnet` | from the address **as written** plus one to the last address of the subnet; of a /31 or /127 both addresses |
/// | `start` | to [`Family::unicast_top`] |
///
/// # Errors
/// Of several mistakes the one that the reader should mend first: missing fields, families, the subnet, the order.
pub fn resolve(
    start: Option<IpAddr>,
    end: Option<IpAddr>,
    subnet: Option<IpNet>,
) -> Result<Option<Range>, RangeError> {
    match (start, end, subnet) {
        (None, None, None) => Err(RangeError::Empty),
        (None, Some(_), _) => Err(RangeError::EndWithoutStart),
        (None, None, Some(subnet)) => Ok(hosts_after(&subnet)),
        (Some(start), None, None) => {
            let top = Family::of(start).unicast_top();
            Range::new(start, top)
                .map(Some)
                .map_err(|_| RangeError::StartAboveUnicast)
        }
        (Some(start), Some(end), None) => Range::new(start, end).map(Some),
        (Some(start), end, Some(subnet)) => {
            let whole = Range::of_net(&subnet);
            let end = end.unwrap_or(whole.last());
            if [start, end]
                .iter()
                .any(|addr| Family::of(*addr) != whole.family())
            {
                return Err(RangeError::MixedFamilies);
            }
            if !whole.contains(start) {
                return Err(RangeError::StartOutsideSubnet);
            }
            if !whole.contains(end) {
                return Err(RangeError::EndOutsideSubnet);
            }
            Range::new(start, end).map(Some)
        }
    }
}

/// The range of an entry that was stored though [`resolve`] refuses it, as far as its fields agree: where `end` lies behind the
/// subnet, to the subnet's last address; where `start` is missing, from the subnet's first address to `end`. `None`: no address.
pub fn resolve_stored(
    start: Option<IpAddr>,
    end: Option<IpAddr>,
    subnet: Option<IpNet>,
) -> Option<Range> {
    match resolve(start, end, subnet) {
        Ok(range) => range,
        Err(RangeError::EndOutsideSubnet | RangeError::EndWithoutStart) => {
            let (end, subnet) = (end?, subnet?);
            let range = match start {
                Some(start) => Range::new(start, Range::of_net(&subnet).last()).ok()?,
                None => hosts_after(&subnet)?,
            };
            let is_one_family = Family::of(end) == range.family();
            let cut = is_one_family.then(|| Range::new(range.first(), range.last().min(end)));
            cut?.ok()
        }
        Err(
            RangeError::MixedFamilies
            | RangeError::StartAfterEnd
            | RangeError::StartOutsideSubnet
            | RangeError::StartAboveUnicast
            | RangeError::Empty,
        ) => None,
    }
}

/// From the address as written plus one, host bits and all: `192.168.1.1/26` begins at `192.168.1.2`. A subnet of two addresses
/// has both: it is a link of two hosts without a network or a broadcast address (RFC 3021, RFC 6164).
fn hosts_after(subnet: &IpNet) -> Option<Range> {
    if subnet.prefix_len() + 1 == subnet.max_prefix_len() {
        return Some(Range::of_net(subnet));
    }
    let written = number(subnet.addr());
    let last = number(subnet.broadcast());
    (written < last).then(|| Range::of_numbers(Family::of(subnet.addr()), written + 1, last))
}
