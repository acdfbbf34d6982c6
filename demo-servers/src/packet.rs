//! An IPv4 packet as its headers describe it, in a line for lessons to read.

use std::fmt;
use std::net::Ipv4Addr;

/// Protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What the headers of a packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    from: Ipv4Addr,
    to: Ipv4Addr,
    ttl: u8,
    /// Bytes of the packet, and of them the header of IP.
    length: u16,
    ip: usize,
    /// Routers may not fragment it.
    whole: bool,
    /// Place of its data in what was fragmented, in units of 8 bytes.
    fragment: u16,
    within: Within,
}

/// What the packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Segment of TCP: ports, header, flags and numbers.
    Tcp { ports: [u16; 2], header: usize, flags: u8, seq: u32, ack: u32 },
    /// Datagram of UDP.
    Udp { ports: [u16; 2] },
    /// A message of the network itself; the MTU is there if it says "too big".
    Icmp { kind: u8, code: u8, mtu: u16 },
    /// Anything else, or a fragment without the header.
    Other { protocol: u8 },
}

/// Bytes of a header of UDP, and of the part of ICMP's that all messages have.
const SHORT_HEADER: usize = 8;

impl Packet {
    /// Reads the headers; `None` if it is no IPv4 packet.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let two = |bytes: &[u8], at: usize| {
            Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
        };
        let four = |bytes: &[u8], at: usize| {
            Some(u32::from(two(bytes, at)?) << 16 | u32::from(two(bytes, at + 2)?))
        };
        let first = *packet.first()?;
        let ip = usize::from(first & 15) * 4;
        if first >> 4 != 4 || ip < 20 {
            return None;
        }
        let address = |at| Some(Ipv4Addr::from(four(packet, at)?));
        let (protocol, rest) = (*packet.get(9)?, packet.get(ip..)?);
        let fragmented = two(packet, 6)?;
        let fragment = fragmented & 0x1fff;
        let ports = || Some([two(rest, 0)?, two(rest, 2)?]);
        let within = match protocol {
            _ if fragment > 0 => Within::Other { protocol },
            TCP => Within::Tcp {
                ports: ports()?,
                header: usize::from(*rest.get(12)? >> 4) * 4,
                flags: *rest.get(13)?,
                seq: four(rest, 4)?,
                ack: four(rest, 8)?,
            },
            UDP => Within::Udp { ports: ports()? },
            ICMP => Within::Icmp { kind: *rest.first()?, code: *rest.get(1)?, mtu: two(rest, 6)? },
            _ => Within::Other { protocol },
        };
        Some(Self {
            from: address(12)?,
            to: address(16)?,
            ttl: *packet.get(8)?,
            length: two(packet, 2)?,
            ip,
            whole: fragmented & 0x4000 != 0,
            fragment,
            within,
        })
    }

    /// True of a message of ICMP.
    pub(crate) fn is_icmp(&self) -> bool {
        matches!(self.within, Within::Icmp { .. })
    }

    /// True if it is from or to this port, or ICMP, which is of a packet that may be.
    pub(crate) fn concerns(&self, port: u16) -> bool {
        match self.within {
            Within::Tcp { ports, .. } | Within::Udp { ports } => ports.contains(&port),
            Within::Icmp { .. } => true,
            Within::Other { .. } => self.fragment > 0,
        }
    }

    /// Bytes behind its headers.
    fn data(&self, header: usize) -> usize {
        usize::from(self.length).saturating_sub(self.ip + header)
    }
}

impl fmt::Display for Packet {
    /// `from=10.77.0.1 to=10.77.0.2 ttl=64 length=92 ip=20`, and what the header within says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, ttl, length, ip, .. } = self;
        write!(f, "from={from} to={to} ttl={ttl} length={length} ip={ip}")?;
        write!(f, " whole={} fragment={}", u8::from(self.whole), self.fragment)?;
        match self.within {
            Within::Tcp { ports: [source, destination], header, flags, seq, ack } => write!(
                f,
                " protocol={TCP} source={source} destination={destination} header={header} \
                 data={} flags={flags} seq={seq} ack={ack}",
                self.data(header)
            ),
            Within::Udp { ports: [source, destination] } => write!(
                f,
                " protocol={UDP} source={source} destination={destination} \
                 header={SHORT_HEADER} data={}",
                self.data(SHORT_HEADER)
            ),
            Within::Icmp { kind, code, mtu } => {
                write!(f, " protocol={ICMP} kind={kind} code={code} mtu={mtu}")
            }
            Within::Other { protocol } => write!(f, " protocol={protocol} data={}", self.data(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of this protocol with what follows the header of IP.
    fn packet(protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 20 + rest.len() as u8, 0, 0, 0x40, 0, 63, protocol, 0, 0];
        packet.extend([10, 78, 1, 2, 10, 78, 2, 2]);
        packet.extend(rest);
        packet
    }

    #[test]
    fn headers_are_told_in_a_line() {
        let mut tcp = [0; 32];
        tcp[..14].copy_from_slice(&[0x1f, 0x90, 0xc0, 0, 0, 0, 0, 9, 0, 0, 0, 7, 0x80, 0x18]);
        let segment = Packet::parse(&packet(TCP, &[&tcp[..], b"GET /"].concat())).unwrap();
        assert_eq!(
            segment.to_string(),
            "from=10.78.1.2 to=10.78.2.2 ttl=63 length=57 ip=20 whole=1 fragment=0 protocol=6 \
             source=8080 destination=49152 header=32 data=5 flags=24 seq=9 ack=7"
        );
        let udp = Packet::parse(&packet(UDP, &[0, 53, 0, 54, 0, 9, 0, 0, 1])).unwrap();
        assert!(udp.to_string().ends_with("source=53 destination=54 header=8 data=1"), "{udp}");
        let icmp = Packet::parse(&packet(ICMP, &[3, 4, 0, 0, 0, 0, 4, 0xb0])).unwrap();
        assert!(icmp.is_icmp() && icmp.to_string().ends_with("kind=3 code=4 mtu=1200"), "{icmp}");
    }

    #[test]
    fn what_is_cut_short_or_no_ipv4_is_none() {
        let whole = packet(TCP, &[0; 20]);
        assert!(Packet::parse(&whole).is_some());
        for length in 0..34 {
            assert_eq!(Packet::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(Packet::parse(&[0x60; 60]), None);
        assert_eq!(Packet::parse(&[0x40; 60]), None);
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut later = packet(UDP, &[0; 8]);
        later[6..8].copy_from_slice(&[0x20, 0x80]);
        let later = Packet::parse(&later).unwrap();
        assert!(later.to_string().ends_with("fragment=128 protocol=17 data=8"), "{later}");
    }
}
