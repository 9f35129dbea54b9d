//! How values of flags are written: Go's spellings of durations, booleans and listen addresses, since operators come with
//! command lines of upstream's manager, which is a Go program.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::api::names;

/// Reads a duration as Go writes it: `10m0s`, `1h30m`, `500ms`, `1.5s`; `0` needs no unit. Negative ones are refused: no flag
/// here has a use for them.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a duration such as 500ms, 10s or 1h30m, not {text:?}");
    let rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err("a negative duration makes no sense here".to_owned());
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut rest = rest;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (digits, tail) = rest.split_at(number);
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(wrong()),
        };
        nanos = nanos
            .checked_add(scaled(digits, unit).ok_or_else(wrong)?)
            .ok_or_else(wrong)?;
        rest = tail;
    }
    // Go's durations end at 2^63 - 1 ns, about 292 years.
    match i64::try_from(nanos) {
        Ok(nanos) => Ok(Duration::from_nanos(nanos.unsigned_abs())),
        Err(_) => Err(format!("{text:?} is longer than 292 years")),
    }
}

/// `digits` (with at most one point) times `unit` nanoseconds, without rounding errors of floats.
fn scaled(digits: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 20 || fraction.contains('.') {
        return None;
    }
    let parse = |s: &str| -> Option<u128> {
        if s.is_empty() {
            Some(0)
        } else {
            s.parse().ok()
        }
    };
    // Beyond 18 digits a fraction of an hour is far below a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let part =
        parse(fraction)?.checked_mul(unit)? / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    parse(whole)?.checked_mul(unit)?.checked_add(part)
}

/// Reads a boolean as Go does.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Reads a name or address by which clients reach a server: no port, no scheme.
pub(super) fn host(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let is_label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!(
            "expected a host name or an IP address, without a port, not {text:?}"
        ))
    }
}

/// Reads the name of an object.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    if names::is_object_name(text) {
        Ok(text.to_owned())
    } else {
        let longest = names::MAX_OBJECT_NAME;
        Err(format!(
            "expected a DNS-1123 subdomain, the name of an object: at most {longest} characters of a-z, 0-9, - and ., where each \
             part between dots begins and ends with a letter or digit"
        ))
    }
}

/// Reads the name of a namespace.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    if names::is_namespace_name(text) {
        Ok(text.to_owned())
    } else {
        let longest = names::MAX_LABEL_VALUE;
        Err(format!(
            "expected a DNS-1123 label, the name of a namespace: at most {longest} characters of a-z, 0-9 and -, of which the first \
             and the last are letters or digits"
        ))
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listen {
    /// Nowhere: `0` or nothing.
    Off,
    /// `:port`: on every interface.
    Everywhere(u16),
    /// `host:port`.
    At(String, u16),
}

impl Listen {
    /// Reads `host:port`, `:port`, or `0` for nowhere.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text == "0" {
            return Ok(Self::Off);
        }
        let wrong = || format!("expected host:port, :port or 0 (off), not {text:?}");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        if host.is_empty() {
            return Ok(Self::Everywhere(port));
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        // An IPv6 address without brackets: which colon parts the port off is a guess.
        if bare.is_empty() || host == bare && host.contains(':') {
            return Err(wrong());
        }
        Ok(Self::At(bare.to_owned(), port))
    }

    /// Reads what upstream writes as a port alone, and `host:port` too.
    pub(super) fn parse_port(text: &str) -> Result<Self, String> {
        match text.parse::<u16>() {
            Ok(0) => Ok(Self::Off),
            Ok(port) => Ok(Self::Everywhere(port)),
            Err(_) => Self::parse(text)
                .map_err(|_| format!("expected a port, host:port or 0 (off), not {text:?}")),
        }
    }

    /// The addresses to try in turn until one can be bound.
    pub(super) async fn candidates(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self {
            Self::Off => Ok(Vec::new()),
            // The IPv6 wildcard takes IPv4 too; a machine without IPv6 has only the other.
            Self::Everywhere(port) => Ok([
                IpAddr::from(Ipv6Addr::UNSPECIFIED),
                IpAddr::from(Ipv4Addr::UNSPECIFIED),
            ]
            .map(|ip| SocketAddr::new(ip, *port))
            .to_vec()),
            Self::At(host, port) => Ok(tokio::net::lookup_host((host.as_str(), *port))
                .await?
                .collect()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("0"),
            Self::Everywhere(port) => write!(f, ":{port}"),
            Self::At(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::At(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        let good = [
            ("0", 0),
            ("10s", 10_000_000_000),
            ("10m0s", 600_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+5s", 5_000_000_000),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("7ns", 7),
            ("0.1h", 360_000_000_000),
            ("2562047h47m16.854775807s", i64::MAX.unsigned_abs()),
        ];
        for (text, nanos) in good {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        let bad = [
            "",
            "10",
            "s",
            ".s",
            "1.2.3s",
            "1d",
            "-5s",
            "10 s",
            "1h30",
            "1e3s",
            "2562048h",
            "99999999999999999999999999999s",
            "\u{661}s",
        ];
        for text in bad {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_as_go_reads_them() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(boolean(text), Ok(true));
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(boolean(text), Ok(false));
        }
        for text in ["", "yes", "tRUE", "2"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_by_which_a_server_is_reached() {
        for (text, want) in [
            ("edge.example", "edge.example"),
            ("Edge-1", "edge-1"),
            ("10.0.0.1", "10.0.0.1"),
            ("fd00::1", "fd00::1"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(want));
        }
        for text in ["", "a..b", "a:80", "[::1]", "https://a", "-a", "a b", "a_b"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn where_to_listen() {
        let good = [
            ("", Listen::Off),
            ("0", Listen::Off),
            (":9440", Listen::Everywhere(9440)),
            ("127.0.0.1:0", Listen::At("127.0.0.1".to_owned(), 0)),
            ("localhost:80", Listen::At("localhost".to_owned(), 80)),
            ("[::1]:80", Listen::At("::1".to_owned(), 80)),
        ];
        for (text, want) in good {
            assert_eq!(Listen::parse(text), Ok(want), "{text}");
        }
        for text in ["9440", "a:b", "::1:80", "[]:80", "a:70000", ":"] {
            assert!(Listen::parse(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn every_interface_means_both_families() {
        let all = Listen::Everywhere(1).candidates().await.unwrap();
        assert_eq!(
            all.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["[::]:1", "0.0.0.0:1"]
        );
        let one = Listen::parse("[::1]:5").unwrap();
        assert_eq!(one.to_string(), "[::1]:5");
        assert_eq!(
            one.candidates().await.unwrap(),
            ["[::1]:5".parse().unwrap()]
        );
    }
}
