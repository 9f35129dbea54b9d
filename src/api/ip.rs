//! Text to addresses, strictly.
//!
//! One spelling rule for the whole program: what Kubernetes calls a standard address. Refused are leading zeros
//! (`010.0.0.1` is octal to some readers), zones (`fe80::1%eth0`), IPv4 inside IPv6 (`::ffff:10.0.0.1`, `::10.0.0.1`)
//! and masks such as `/08` or `/255.255.255.0`. Every parser is bounded: nothing longer than [`MAX_TEXT`] is looked at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The longest text that can be an address with a mask: 39 characters of IPv6, `/`, three digits.
pub const MAX_TEXT: usize = 43;

/// Why a text is no address or subnet. Display is a phrase that completes "…: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpTextError {
    /// Nothing that any reader takes for an address.
    NotAnAddress,
    /// Nothing that any reader takes for a subnet.
    NotASubnet,
    /// A zone index, `%eth0`.
    Zone,
    /// IPv4 in IPv6 clothes.
    MappedIpv4,
    /// An octet or mask with leading zeros.
    LeadingZero,
    /// A mask that is wider than its family.
    MaskTooLong,
}

impl fmt::Display for IpTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAddress => {
                "must be an IPv4 or IPv6 address, such as 192.168.0.10 or fd00::10"
            }
            Self::NotASubnet => {
                "must be a subnet in CIDR form, such as 192.168.0.0/24 or fd00::/64"
            }
            Self::Zone => "must not have a zone index (the part from % on)",
            Self::MappedIpv4 => {
                "must not embed an IPv4 address in IPv6; write the IPv4 address itself"
            }
            Self::LeadingZero => "must not have leading zeros in its decimal numbers",
            Self::MaskTooLong => {
                "must have a mask of at most 32 bits for IPv4 and 128 bits for IPv6"
            }
        })
    }
}

impl std::error::Error for IpTextError {}

/// Whether one host can have this address: it is no wildcard, no multicast and no limited broadcast address.
pub fn is_host(address: IpAddr) -> bool {
    !address.is_unspecified()
        && !address.is_multicast()
        && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Reads one address.
///
/// # Errors
/// [`IpTextError`] when the text is not the standard spelling of one address. Upper case and uncompressed IPv6 are fine.
pub fn parse_ip(text: &str) -> Result<IpAddr, IpTextError> {
    if text.len() > MAX_TEXT {
        return Err(IpTextError::NotAnAddress);
    }
    if text.contains('%') {
        return Err(IpTextError::Zone);
    }
    if text.contains(':') {
        let v6: Ipv6Addr = text.parse().map_err(|_| IpTextError::NotAnAddress)?;
        if text.contains('.') || v6.to_ipv4_mapped().is_some() {
            return Err(IpTextError::MappedIpv4);
        }
        return Ok(IpAddr::V6(v6));
    }
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Ok(IpAddr::V4(v4));
    }
    let octets: Vec<&str> = text.split('.').collect();
    let zero_led = |o: &&str| o.len() > 1 && o.starts_with('0');
    let numeric = |o: &&str| !o.is_empty() && o.bytes().all(|b| b.is_ascii_digit());
    if octets.len() == 4 && octets.iter().all(numeric) && octets.iter().any(zero_led) {
        return Err(IpTextError::LeadingZero);
    }
    Err(IpTextError::NotAnAddress)
}

/// Reads the address that an object is stored with: a machine uses it, so it is held in spellings that nobody may write any
/// more too. IPv4 inside IPv6 is the address that it stands for, and an octet of two digits one digit with a zero before it.
/// A longer one, `010`, stays unread: it is octal to some readers.
///
/// # Errors
/// [`IpTextError`] when the text is no address, or not the same one to every reader.
pub fn parse_stored_ip(text: &str) -> Result<IpAddr, IpTextError> {
    parse_ip(text).or_else(|refused| match refused {
        IpTextError::MappedIpv4 => {
            let v6: Ipv6Addr = text.parse().map_err(|_| refused)?;
            Ok(IpAddr::V6(v6).to_canonical())
        }
        IpTextError::LeadingZero => {
            let octets = text.split('.').map(|octet| match octet.strip_prefix('0') {
                Some(digit) if octet.len() == 2 => digit,
                _ => octet,
            });
            let octets: Vec<&str> = octets.collect();
            parse_ip(&octets.join("."))
        }
        _ => Err(refused),
    })
}

/// Reads a subnet; the address is kept as written, host bits too (`192.168.1.1/26`).
///
/// # Errors
/// [`IpTextError`] when the text is not an address, a slash and a mask length in their standard spelling.
pub fn parse_net(text: &str) -> Result<IpNet, IpTextError> {
    let (address, mask) = text.split_once('/').ok_or(IpTextError::NotASubnet)?;
    let address = parse_ip(address).map_err(|e| match e {
        IpTextError::NotAnAddress => IpTextError::NotASubnet,
        other => other,
    })?;
    if mask.is_empty() || mask.len() > 3 || !mask.bytes().all(|b| b.is_ascii_digit()) {
        return Err(IpTextError::NotASubnet);
    }
    if mask.len() > 1 && mask.starts_with('0') {
        return Err(IpTextError::LeadingZero);
    }
    let mask: u8 = mask.parse().map_err(|_| IpTextError::MaskTooLong)?;
    IpNet::new(address, mask).map_err(|_| IpTextError::MaskTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_their_standard_spelling_only() {
        for good in [
            "192.168.0.10",
            "0.0.0.0",
            "fd00::5",
            "FD00::0005",
            "::",
            "1:2:3:4:5:6:7:8",
        ] {
            parse_ip(good).unwrap_or_else(|e| panic!("{good}: {e}"));
        }
        assert_eq!(parse_ip("FD00::0005").unwrap().to_string(), "fd00::5");
        let cases = [
            ("", IpTextError::NotAnAddress),
            ("1.2.3", IpTextError::NotAnAddress),
            ("1.2.3.256", IpTextError::NotAnAddress),
            (" 1.2.3.4", IpTextError::NotAnAddress),
            ("010.0.0.1", IpTextError::LeadingZero),
            ("1.2.3.04", IpTextError::LeadingZero),
            ("fe80::1%eth0", IpTextError::Zone),
            ("::ffff:10.0.0.1", IpTextError::MappedIpv4),
            ("::ffff:a00:1", IpTextError::MappedIpv4),
            ("::10.0.0.1", IpTextError::MappedIpv4),
            ("1:2:3:4:5:6:7:8:9", IpTextError::NotAnAddress),
        ];
        for (text, want) in cases {
            assert_eq!(parse_ip(text), Err(want), "{text}");
        }
        assert_eq!(
            parse_ip(&"1".repeat(1 << 20)),
            Err(IpTextError::NotAnAddress)
        );
    }

    #[test]
    fn stored_addresses_are_read_in_every_spelling_that_is_one_address_to_all() {
        let cases = [
            ("10.0.0.5", Ok("10.0.0.5")),
            ("::ffff:10.0.0.5", Ok("10.0.0.5")),
            ("::FFFF:a00:5", Ok("10.0.0.5")),
            ("64:ff9b::192.0.2.1", Ok("64:ff9b::c000:201")),
            ("10.0.01.09", Ok("10.0.1.9")),
            ("10.00.0.5", Ok("10.0.0.5")),
            ("10.0.0.010", Err(IpTextError::LeadingZero)),
            ("10.0.0.000", Err(IpTextError::LeadingZero)),
            ("10.0.0.05x", Err(IpTextError::NotAnAddress)),
            ("fe80::1%eth0", Err(IpTextError::Zone)),
            ("", Err(IpTextError::NotAnAddress)),
        ];
        for (text, want) in cases {
            let want = want.map(|text| text.parse().unwrap());
            assert_eq!(parse_stored_ip(text), want, "{text}");
        }
    }

    #[test]
    fn subnets_keep_the_address_as_written() {
        let net = parse_net("192.168.1.1/26").unwrap();
        assert_eq!(
            (net.addr().to_string(), net.prefix_len()),
            ("192.168.1.1".into(), 26)
        );
        let cases = [
            ("192.168.1.1", IpTextError::NotASubnet),
            ("192.168.1.1/", IpTextError::NotASubnet),
            ("192.168.1.1/33", IpTextError::MaskTooLong),
            ("fd00::/129", IpTextError::MaskTooLong),
            ("192.168.1.0/08", IpTextError::LeadingZero),
            ("192.168.1.0/255.255.255.0", IpTextError::NotASubnet),
            ("192.168.01.0/24", IpTextError::LeadingZero),
            ("192.168.1.0/+8", IpTextError::NotASubnet),
            ("::ffff:0:0/96", IpTextError::MappedIpv4),
        ];
        for (text, want) in cases {
            assert_eq!(parse_net(text), Err(want), "{text}");
        }
    }
}
