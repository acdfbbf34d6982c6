//! Handshakes that never end: SYNs from addresses at which nobody answers, as in a SYN flood. Only
//! to loopback, and only in a network namespace of one's own.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::tun;

/// The network of the senders, which is reserved for benchmarks (RFC 2544): 198.18.0.0/15.
const NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 254, 0, 0);
/// Most SYNs, whatever was asked for.
const MOST: u32 = 100_000;

/// Sends so many SYNs, and prints `half-open N`.
///
/// # Errors
/// The target is not an IPv4 loopback address, routes lead out of this network, or raw sockets are
/// not allowed.
pub(crate) fn run(target: SocketAddr, count: u32) -> anyhow::Result<()> {
    let IpAddr::V4(address) = target.ip() else { anyhow::bail!("a flood needs an IPv4 target") };
    ensure!(address.is_loopback(), "a flood goes to 127.0.0.0/8 only");
    ensure!(
        is_own_network()?,
        "half-open handshakes are made only in a network from which no route leads out, as in a new \
         network namespace"
    );
    // Answers to the senders go to the loopback device, where nobody has their addresses.
    tun::route_to_lo(NETWORK, MASK).context("a route to the senders")?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))
        .context("a raw socket")?;
    let count = count.min(MOST);
    for number in 0..count {
        // A sender has 40 of the ports, so that the address of one is not all that differs.
        let sender = u32::from(NETWORK) + 257 + number / 40;
        let port = 20_000 + (number % 40) as u16;
        let source = SocketAddrV4::new(Ipv4Addr::from(sender), port);
        let packet = syn(source, SocketAddrV4::new(address, target.port()), number);
        socket.send_to(&packet, &target.into())?;
    }
    crate::sock::announce(format_args!("half-open {count}"));
    Ok(())
}

/// True if no route leads out of this network: it is a namespace with nothing but a loopback.
fn is_own_network() -> io::Result<bool> {
    let routes = fs::read_to_string("/proc/self/net/route")?;
    let mut devices = routes.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    Ok(devices.all(|device| device == "lo"))
}

/// A SYN with the usual MSS of the loopback device. The kernel fills in length and checksum of the
/// IP header.
fn syn(from: SocketAddrV4, to: SocketAddrV4, seq: u32) -> [u8; 44] {
    let mut packet = [0; 44];
    packet[0] = 0x45;
    packet[8] = 64;
    packet[9] = libc::IPPROTO_TCP as u8;
    packet[12..16].copy_from_slice(&from.ip().octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[20..22].copy_from_slice(&from.port().to_be_bytes());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    packet[24..28].copy_from_slice(&seq.to_be_bytes());
    // Six words of header, the flag SYN, the window, and the option MSS.
    packet[32..36].copy_from_slice(&[0x60, 0x02, 0xff, 0xff]);
    packet[40..44].copy_from_slice(&[2, 4, 0xff, 0xd7]);
    let checksum = checksum(&packet);
    packet[36..38].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// The checksum of a TCP segment of 24 bytes, with the addresses of its packet.
fn checksum(packet: &[u8; 44]) -> u16 {
    let words =
        packet[12..].chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum = words.sum::<u32>() + libc::IPPROTO_TCP as u32 + 24;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Prints what the kernel has counted in this network: `counted cookies_sent=N …`.
pub(crate) fn announce_counters() -> io::Result<()> {
    let text = fs::read_to_string("/proc/self/net/netstat")?;
    let [sent, received, dropped] = [
        counter(&text, "SyncookiesSent"),
        counter(&text, "SyncookiesRecv"),
        counter(&text, "TCPReqQFullDrop"),
    ];
    crate::sock::announce(format_args!(
        "counted cookies_sent={sent} cookies_received={received} queue_full_drops={dropped}"
    ));
    Ok(())
}

/// A counter of netstat, where the names stand in one line and the values in the next; 0 on a
/// kernel that does not count it.
fn counter(netstat: &str, name: &str) -> u64 {
    let mut lines = netstat.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        if let Some((_, value)) = pairs.find(|(found, _)| *found == name) {
            return value.parse().unwrap_or(0);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters() {
        let text =
            "TcpExt: SyncookiesSent SyncookiesRecv\nTcpExt: 7 5\nIpExt: InOctets\nIpExt: 9\n";
        assert_eq!(counter(text, "SyncookiesRecv"), 5);
        assert_eq!(counter(text, "InOctets"), 9);
        assert_eq!(counter(text, "TCPReqQFullDrop"), 0);
    }

    #[test]
    fn the_checksum_is_right() {
        let from = SocketAddrV4::new(Ipv4Addr::new(198, 18, 1, 1), 20_000);
        let packet = syn(from, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080), 7);
        // A receiver sums all of it up, the checksum too, and gets 0.
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn the_network_of_the_machine_is_spared() {
        let outside: SocketAddr = "192.0.2.1:80".parse().unwrap();
        assert!(run(outside, 1).unwrap_err().to_string().contains("127.0.0.0/8"));
        if !is_own_network().unwrap() {
            let loopback = "127.0.0.1:80".parse().unwrap();
            assert!(run(loopback, 1).unwrap_err().to_string().contains("namespace"));
        }
    }
}
