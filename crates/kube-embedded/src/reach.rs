//! How others reach a server that listens on every address of its machine: the machine's name, the addresses from which it
//! talks to others, and which of its addresses answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Longest wait for one of this machine's own addresses.
const PATIENCE: Duration = Duration::from_millis(500);

/// The names and addresses of this machine, for a certificate.
pub(super) fn names() -> Vec<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let fit = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let host = (!host.is_empty() && host.chars().all(fit)).then(|| host.to_owned());
    host.into_iter()
        .chain(outward().map(|ip| ip.to_string()))
        .collect()
}

/// The address for clients: the one listened on, or where that is every address, the first one that answers of those that other
/// machines can reach, and of loopback. (`::1` is missing in many containers.)
pub(super) fn address(listening: SocketAddr) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let answers = |ip: &IpAddr| {
        let addr = SocketAddr::new(*ip, listening.port());
        TcpStream::connect_timeout(&addr, PATIENCE).is_ok()
    };
    let ip = outward().chain(loopback).find(answers);
    SocketAddr::new(ip.unwrap_or(loopback[0]), listening.port())
}

/// The source addresses of this machine for other networks, by its routes. Nothing is sent.
fn outward() -> impl Iterator<Item = IpAddr> {
    // Addresses for documentation, which no machine has: only a default route leads to them.
    let v4 = (
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::from([192, 0, 2, 1]),
    );
    let v6 = (
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    );
    [v4, v6].into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    })
}
