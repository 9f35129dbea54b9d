//! Addresses, subnets and exclusions as text, with the refusals that hold for every field of their sort.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::alloc::{Range, RangeError};
use crate::api::ip::{IpTextError, parse_ip, parse_net};

/// Why a text is no address that a host, a gateway or a name server can have. Display completes "…: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error(transparent)]
    Spelling(#[from] IpTextError),
    #[error("must be the address of one host, not the wildcard address")]
    Wildcard,
    #[error("must be a unicast address, not a multicast one")]
    Multicast,
    #[error("must be the address of one host, not the limited broadcast address")]
    Broadcast,
}

/// Reads the address of one host.
pub(super) fn host_address(text: &str) -> Result<IpAddr, AddressError> {
    let address = parse_ip(text)?;
    if address.is_unspecified() {
        return Err(AddressError::Wildcard);
    }
    if address.is_multicast() {
        return Err(AddressError::Multicast);
    }
    if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(AddressError::Broadcast);
    }
    Ok(address)
}

/// Why a text is no subnet that can hold addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SubnetError {
    #[error(transparent)]
    Spelling(#[from] IpTextError),
    #[error("must not be the whole address family; write the network that is meant")]
    WholeFamily,
    #[error("must be a subnet of unicast addresses")]
    NotUnicast,
}

/// Reads a subnet that can hold addresses, the address kept as written.
pub(super) fn subnet(text: &str) -> Result<IpNet, SubnetError> {
    let net = any_subnet(text)?;
    if net.addr().is_multicast() || net.addr() == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(SubnetError::NotUnicast);
    }
    Ok(net)
}

/// Reads a subnet, the address kept as written.
fn any_subnet(text: &str) -> Result<IpNet, SubnetError> {
    let net = parse_net(text)?;
    if net.prefix_len() == 0 {
        return Err(SubnetError::WholeFamily);
    }
    Ok(net)
}

/// Why a text excludes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExclusionError {
    #[error(
        "must be an address, a range first-last or a subnet, such as 192.168.0.10, 192.168.0.10-192.168.0.20 or 192.168.0.0/28"
    )]
    NotOne,
    #[error("{0} (in an address, a range first-last or a subnet)")]
    Spelling(IpTextError),
    #[error(transparent)]
    Subnet(SubnetError),
    #[error("must begin and end in one address family")]
    MixedFamilies,
    #[error("must not end below its beginning")]
    Backwards,
}

impl From<IpTextError> for ExclusionError {
    fn from(error: IpTextError) -> Self {
        match error {
            IpTextError::NotAnAddress | IpTextError::NotASubnet => Self::NotOne,
            IpTextError::Zone
            | IpTextError::MappedIpv4
            | IpTextError::LeadingZero
            | IpTextError::MaskTooLong => Self::Spelling(error),
        }
    }
}

/// Reads an element of `excludedAddresses`. Wildcard and multicast addresses may be in it: nobody gets those anyway.
pub(super) fn exclusion(text: &str) -> Result<Range, ExclusionError> {
    if text.contains('/') {
        return match any_subnet(text) {
            Ok(net) => Ok(Range::of_net(&net)),
            Err(SubnetError::Spelling(e)) => Err(e.into()),
            Err(e @ (SubnetError::WholeFamily | SubnetError::NotUnicast)) => {
                Err(ExclusionError::Subnet(e))
            }
        };
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Range::new(parse_ip(first)?, parse_ip(last)?).map_err(|e| match e {
        RangeError::MixedFamilies => ExclusionError::MixedFamilies,
        RangeError::StartAfterEnd
        | RangeError::StartOutsideSubnet
        | RangeError::EndOutsideSubnet
        | RangeError::EndWithoutStart
        | RangeError::StartAboveUnicast
        | RangeError::Empty => ExclusionError::Backwards,
    })
}
