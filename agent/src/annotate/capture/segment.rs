//! Segments of TCP in captured packets.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// Kind of the first header of a packet (`LINKTYPE_…`, <https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(pub u16);

impl Link {
    /// BSD loopback: the family of addresses, in the order of the host that captured.
    const NULL: Self = Self(0);
    const ETHERNET: Self = Self(1);
    /// IP without a header before it, as some systems number it.
    const RAW_BSD: Self = Self(12);
    const RAW: Self = Self(101);
    /// OpenBSD loopback.
    const LOOP: Self = Self(108);
    /// Linux "any".
    const LINUX_SLL: Self = Self(113);
    const IPV4: Self = Self(228);
    const IPV6: Self = Self(229);
    /// Linux "any", as newer captures have it.
    const LINUX_SLL2: Self = Self(276);

    /// Tells whether packets of this kind are looked into.
    pub fn is_known(self) -> bool {
        matches!(
            self,
            Self::NULL
                | Self::ETHERNET
                | Self::RAW_BSD
                | Self::RAW
                | Self::LOOP
                | Self::LINUX_SLL
                | Self::IPV4
                | Self::IPV6
                | Self::LINUX_SLL2
        )
    }
}

/// A segment of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sender. IPv4 within IPv6 is IPv4.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// It carries data, captured or not.
    pub has_data: bool,
    /// SYN without ACK.
    pub is_first: bool,
}

impl Segment {
    /// Finds the segment in a packet; `None` if it has none, or only the second part of one.
    pub(super) fn of(link: Link, packet: &[u8]) -> Option<Self> {
        let sliced = match link {
            Link::ETHERNET => LaxSlicedPacket::from_ethernet(packet).ok()?,
            Link::NULL | Link::LOOP => LaxSlicedPacket::from_ip(packet.get(4..)?).ok()?,
            Link::RAW | Link::RAW_BSD | Link::IPV4 | Link::IPV6 => {
                LaxSlicedPacket::from_ip(packet).ok()?
            }
            Link::LINUX_SLL => behind(packet, 14, 16)?,
            Link::LINUX_SLL2 => behind(packet, 0, 20)?,
            _ => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { return None };
        let (source, destination, behind_ip) = match sliced.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                let behind = usize::from(header.total_len()).saturating_sub(header.slice().len());
                (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()), behind)
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                let extensions = ip.extensions().slice().len();
                let behind = usize::from(header.payload_length()).saturating_sub(extensions);
                (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()), behind)
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let address = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
        Some(Self {
            source: address(source, tcp.source_port()),
            destination: address(destination, tcp.destination_port()),
            // The length of a large segment may be left open until it is split.
            has_data: behind_ip > tcp.header_slice().len() || !tcp.payload().is_empty(),
            is_first: tcp.syn() && !tcp.ack(),
        })
    }
}

/// Slices what is behind a header that has the type of it at one place, and ends at the other.
fn behind(packet: &[u8], kind: usize, end: usize) -> Option<LaxSlicedPacket<'_>> {
    let kind: [u8; 2] = packet.get(kind..kind + 2)?.try_into().ok()?;
    let kind = EtherType(u16::from_be_bytes(kind));
    Some(LaxSlicedPacket::from_ether_type(kind, packet.get(end..)?))
}
