//! Numbers and addresses in as few bytes as they need.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A count of bytes, up to 256 TiB.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes([u8; 6]);

impl Bytes {
    pub(super) fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    pub(super) fn set(&mut self, bytes: u64) {
        let [a, b, c, d, e, f, ..] = bytes.min((1 << 48) - 1).to_le_bytes();
        self.0 = [a, b, c, d, e, f];
    }

    pub(super) fn add(&mut self, more: u64) {
        self.set(self.get().saturating_add(more));
    }
}

/// An address in 6 bytes, where `SocketAddr` takes 32; one of IPv6 needs 16 more elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    ip: [u8; 4],
    port: [u8; 2],
}

impl Endpoint {
    /// Splits an address into the part for here and the part to be kept elsewhere.
    pub(super) fn new(address: SocketAddr) -> (Self, Option<Ipv6Addr>) {
        let port = address.port().to_le_bytes();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => (Self { ip: ip.octets(), port }, None),
            IpAddr::V6(ip) => (Self { ip: [0; 4], port }, Some(ip)),
        }
    }

    pub(super) fn address(self, stored: Option<Ipv6Addr>) -> SocketAddr {
        let ip = match stored {
            Some(ip) => IpAddr::V6(ip),
            None => IpAddr::V4(Ipv4Addr::from(self.ip)),
        };
        SocketAddr::new(ip, u16::from_le_bytes(self.port))
    }
}

/// A thread's id, which is below 2^22 on every kernel (`PID_MAX_LIMIT`); or that it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tid([u8; 3]);

impl Tid {
    pub(super) fn new(tid: u32) -> Self {
        let [a, b, c, d] = tid.to_le_bytes();
        if d == 0 { Self([a, b, c]) } else { Self::default() }
    }

    pub(super) fn get(self) -> Option<u32> {
        let [a, b, c] = self.0;
        let tid = u32::from_le_bytes([a, b, c, 0]);
        if tid == 0 { None } else { Some(tid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was() {
        for text in ["10.0.0.9:40122", "[2001:db8::1]:8080", "[::1]:0", "0.0.0.0:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let (end, stored) = Endpoint::new(address);
            assert_eq!(end.address(stored), address);
        }
    }

    #[test]
    fn a_thread_comes_back_or_is_not_known() {
        for (tid, known) in [(0, None), (1, Some(1)), (1 << 22, Some(1 << 22)), (1 << 24, None)] {
            assert_eq!(Tid::new(tid).get(), known);
        }
    }

    #[test]
    fn bytes_are_counted_up_to_the_bound() {
        let mut bytes = Bytes::default();
        bytes.add(u64::from(u32::MAX));
        bytes.add(1);
        assert_eq!(bytes.get(), 1 << 32);
        bytes.add(u64::MAX);
        assert_eq!(bytes.get(), (1 << 48) - 1);
    }
}
