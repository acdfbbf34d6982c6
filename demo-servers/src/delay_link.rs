//! A link with a round-trip time, within one network namespace: a TUN device whose packets come
//! back after a delay with source and destination exchanged. A server listens on 10.77.0.1, its
//! client connects to 10.77.0.2.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use humantime::parse_duration;

use crate::sock::{announce, monotonic_ns};
use crate::tun;

/// The end that a server listens at.
pub const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The address at which a client reaches it.
pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The side of a connection that sends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// The one that accepted
    Server,
    /// The one that connected
    Client,
}

/// Knobs of the link.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Round-trip time
    #[arg(long, default_value = "40ms", value_name = "TIME", value_parser = parse_duration)]
    pub rtt: Duration,
    /// Drop the N-th TCP segment with data, counted from 1
    #[arg(long, value_name = "N")]
    pub drop_nth: Option<u64>,
    /// Drop every N-th TCP segment with data
    #[arg(long, value_name = "N")]
    pub drop_every: Option<u64>,
    /// Whose segments to count and drop
    #[arg(long, value_enum, default_value_t = Side::Server, value_name = "SIDE")]
    pub drop_from: Side,
    /// Drop once the N-th large packet of a burst of the server's, of TCP or UDP: packets of 500
    /// bytes or more, with less than 100 ms between them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub drop_in_burst: Option<u64>,
    /// Lose this share of all packets of either side, UDP and handshakes too: the same ones in each
    /// run
    #[arg(
        long,
        default_value_t = 0,
        value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(0..=90)
    )]
    pub loss: u8,
    /// Carry no more than this many bytes a second from the server; the packets queue without a
    /// limit
    #[arg(long, value_name = "BYTES")]
    pub rate: Option<u64>,
    /// Print a line for each TCP segment with data (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
}

impl Options {
    /// A link that loses nothing.
    pub(crate) fn with_rtt(rtt: Duration) -> Self {
        Self {
            rtt,
            drop_nth: None,
            drop_every: None,
            drop_in_burst: None,
            drop_from: Side::Server,
            loss: 0,
            rate: None,
            trace: false,
        }
    }
}

/// There is no TUN device here.
#[derive(Debug)]
pub struct Unavailable(pub(crate) io::Error);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a link with a delay needs a TUN device: /dev/net/tun: {}", self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Relays until signalled. Prints `link 10.77.0.1 10.77.0.2`, with `--drop-in-burst` a line
/// `burst-lost bytes=N` for what it dropped, and with `--trace` for each TCP segment with data
/// `relayed` or `dropped`, followed by `name=value` words: the sender's port, the sequence number,
/// when it came.
///
/// Fails with [`Unavailable`] where the kernel has no TUN device.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let device = tun::open("delay0", NEAR).map_err(Unavailable)?;
    announce(format_args!("link {NEAR} {FAR}"));
    relay(&device, options)
}

/// Relays the packets of the device, until that fails.
pub(crate) fn relay(mut device: &File, options: &Options) -> anyhow::Result<()> {
    let out = device.try_clone()?;
    let (held, due) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| deliver(out, due));
        let (mut losses, mut dice) = (Losses::new(options), Dice::new(options.loss));
        let mut burst = Burst::new(options.drop_in_burst);
        let mut wire = Rate { bytes_a_second: options.rate, free_ns: 0 };
        let mut packet = [0; 65_536];
        loop {
            let length = device.read(&mut packet)?;
            let now_ns = monotonic_ns();
            let packet = &mut packet[..length];
            if turn_round(packet)
                && !dice.lose()
                && !burst.take(packet, now_ns)
                && !losses.take(packet, now_ns)
            {
                let sent_ns = if losses.is_from_server(packet) {
                    wire.send(packet.len(), now_ns)
                } else {
                    now_ns
                };
                let due_ns = sent_ns + options.rtt.as_nanos() as u64 / 2;
                held.send((due_ns, packet.to_vec()))?;
            }
        }
    })
}

/// Writes each packet back to the device at its due time.
fn deliver(mut device: File, due: Receiver<(u64, Vec<u8>)>) {
    // SAFETY: PR_SET_TIMERSLACK takes a number and concerns this thread alone.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1u64) };
    for (due_ns, packet) in due {
        thread::sleep(Duration::from_nanos(due_ns.saturating_sub(monotonic_ns())));
        // A packet that the kernel refuses counts as lost on the way.
        let _ = device.write(&packet);
    }
}

/// Exchanges source and destination of an IPv4 packet; false if it is none. The checksums stay
/// right.
fn turn_round(packet: &mut [u8]) -> bool {
    let ipv4 = packet.len() >= 20 && packet[0] >> 4 == 4;
    if ipv4 {
        let (source, destination) = packet[12..20].split_at_mut(4);
        source.swap_with_slice(destination);
    }
    ipv4
}

/// A link that sends one packet after the other.
struct Rate {
    bytes_a_second: Option<u64>,
    free_ns: u64,
}

impl Rate {
    /// Returns when a packet that comes now has left the wire.
    fn send(&mut self, bytes: usize, now_ns: u64) -> u64 {
        let Some(rate) = self.bytes_a_second else { return now_ns };
        self.free_ns = self.free_ns.max(now_ns) + bytes as u64 * 1_000_000_000 / rate.max(1);
        self.free_ns
    }
}

/// Loses a share of the packets: by pseudo-random numbers from a fixed seed, so that each run loses
/// the same ones of the same traffic.
struct Dice {
    percent: u8,
    state: u64,
}

impl Dice {
    fn new(percent: u8) -> Self {
        Self { percent, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// Whether to lose the next packet.
    fn lose(&mut self) -> bool {
        // Marsaglia's xorshift64.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % 100 < u64::from(self.percent)
    }
}

/// Drops one packet of a burst of the server's. A handshake's flight has few large packets, a burst
/// of answers many: what is lost is part of the answers, whatever the protocol.
struct Burst {
    /// Its place in the burst, from 1; `None` once it is lost.
    place: Option<u64>,
    /// Port of the server: where the first packet goes.
    server: Option<u16>,
    seen: u64,
    last_ns: u64,
}

impl Burst {
    /// Bytes of a packet that counts.
    const LARGE: usize = 500;
    /// Silence after which another burst begins.
    const GAP_NS: u64 = 100_000_000;

    fn new(place: Option<u64>) -> Self {
        Self { place, server: None, seen: 0, last_ns: 0 }
    }

    /// Whether to drop this packet.
    fn take(&mut self, packet: &[u8], now_ns: u64) -> bool {
        let (Some(place), Some((source, destination))) = (self.place, ports(packet)) else {
            return false;
        };
        if source != *self.server.get_or_insert(destination) || packet.len() < Self::LARGE {
            return false;
        }
        if now_ns.saturating_sub(self.last_ns) >= Self::GAP_NS {
            self.seen = 0;
        }
        (self.seen, self.last_ns) = (self.seen + 1, now_ns);
        let lost = self.seen == place;
        if lost {
            self.place = None;
            announce(format_args!("burst-lost bytes={}", packet.len()));
        }
        lost
    }
}

/// Source and destination of a packet of TCP or UDP.
fn ports(packet: &[u8]) -> Option<(u16, u16)> {
    let header = usize::from(packet.first()? & 15) * 4;
    let ports = matches!(packet.get(9)?, 6 | 17).then(|| packet.get(header..header + 4))??;
    Some((u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]])))
}

/// The fields of a TCP segment that are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    source: u16,
    destination: u16,
    seq: u32,
    /// It begins a connection: SYN without ACK.
    begins: bool,
    data: usize,
}

impl Segment {
    fn parse(packet: &[u8]) -> Option<Self> {
        let header = usize::from(packet.first()? & 15) * 4;
        let tcp = (packet.get(9) == Some(&6)).then(|| packet.get(header..))??;
        let two = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
        let seq = u32::from(two(4)?) << 16 | u32::from(two(6)?);
        let data = tcp.len().checked_sub(usize::from(*tcp.get(12)? >> 4) * 4)?;
        let begins = tcp.get(13)? & 0x12 == 0x02;
        Some(Self { source: two(0)?, destination: two(2)?, seq, begins, data })
    }
}

/// Decides which packets are dropped.
struct Losses<'a> {
    options: &'a Options,
    /// Port of the server of the newest connection.
    server: u16,
    counted: u64,
}

impl<'a> Losses<'a> {
    fn new(options: &'a Options) -> Self {
        Self { options, server: 0, counted: 0 }
    }

    /// Whether the server sent this packet.
    fn is_from_server(&self, packet: &[u8]) -> bool {
        Segment::parse(packet).is_some_and(|segment| segment.source == self.server)
    }

    /// Whether to drop this packet.
    fn take(&mut self, packet: &[u8], now_ns: u64) -> bool {
        let Some(segment) = Segment::parse(packet) else { return false };
        if segment.begins {
            self.server = segment.destination;
        }
        if segment.data == 0 {
            return false;
        }
        let sender = if segment.source == self.server { Side::Server } else { Side::Client };
        self.counted += u64::from(sender == self.options.drop_from);
        let Options { drop_nth, drop_every, .. } = self.options;
        let due = *drop_nth == Some(self.counted)
            || drop_every.is_some_and(|every| self.counted.is_multiple_of(every));
        let dropped = sender == self.options.drop_from && due;
        if self.options.trace {
            let Segment { source, destination, seq, data, .. } = segment;
            let word = if dropped { "dropped" } else { "relayed" };
            announce(format_args!(
                "{word} source={source} destination={destination} seq={seq} bytes={data} \
                 at_ns={now_ns}"
            ));
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet from 10.77.0.1 to 10.77.0.2.
    fn packet(source: u16, destination: u16, flags: u8, data: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[12..20].copy_from_slice(&[10, 77, 0, 1, 10, 77, 0, 2]);
        packet[20..22].copy_from_slice(&source.to_be_bytes());
        packet[22..24].copy_from_slice(&destination.to_be_bytes());
        packet[24..28].copy_from_slice(&[0, 1, 0, 2]);
        packet[32] = 0x50;
        packet[33] = flags;
        packet.extend_from_slice(data);
        packet
    }

    #[test]
    fn packets_turn_round() {
        let mut turned = packet(1, 2, 0x10, b"");
        assert!(turn_round(&mut turned));
        assert_eq!(turned[12..20], [10, 77, 0, 2, 10, 77, 0, 1]);
        assert!(!turn_round(&mut [0x60; 40]) && !turn_round(&mut [0x45; 19]));
    }

    #[test]
    fn a_rate_sends_one_packet_after_the_other() {
        let mut wire = Rate { bytes_a_second: Some(1_000), free_ns: 0 };
        assert_eq!(wire.send(100, 5), 100_000_005);
        assert_eq!(wire.send(100, 10), 200_000_005);
        assert_eq!(wire.send(100, 300_000_000), 400_000_000);
        assert_eq!(Rate { bytes_a_second: None, free_ns: 0 }.send(100, 7), 7);
    }

    #[test]
    fn a_share_of_the_packets_is_lost_and_always_the_same_ones() {
        let lost = |percent| {
            let mut dice = Dice::new(percent);
            (0..10_000).map(|_| dice.lose()).collect::<Vec<_>>()
        };
        assert_eq!(lost(5), lost(5));
        assert!(!lost(0).contains(&true));
        for percent in [1, 5, 50] {
            let count = lost(percent).into_iter().filter(|lost| *lost).count();
            let expected = 100 * usize::from(percent);
            assert!(count.abs_diff(expected) < expected / 4, "{count} of 10 000 at {percent} %");
        }
    }

    #[test]
    fn one_packet_of_a_burst_is_dropped() {
        let mut burst = Burst::new(Some(3));
        let mut dropped = |source, destination, protocol, bytes: usize, at_ms: u64| {
            let mut packet = packet(source, destination, 0x18, &vec![0; bytes]);
            packet[9] = protocol;
            burst.take(&packet, at_ms * 1_000_000)
        };
        // Who is asked first is the server, and the client's packets do not count.
        assert!(!dropped(5000, 7000, 17, 1_200, 0));
        // Two large ones, then nothing for a while: a handshake.
        assert!(!dropped(7000, 5000, 17, 1_200, 10) && !dropped(7000, 5000, 17, 1_200, 11));
        assert!(!dropped(7000, 5000, 17, 1_200, 211));
        assert!(!dropped(7000, 5000, 17, 100, 212) && !dropped(7000, 5000, 17, 1_200, 213));
        assert!(dropped(7000, 5000, 17, 1_200, 214));
        // Once.
        assert!((0..9).all(|at| !dropped(7000, 5000, 17, 1_200, 215 + at)));
        assert!((0..9).all(|at| !dropped(7000, 5000, 6, 1_200, 500 + at)));
        assert_eq!(ports(&[0x45; 20]), None);
    }

    #[test]
    fn segments() {
        let segment = Segment::parse(&packet(7000, 5000, 0x18, b"abc")).expect("a segment");
        assert_eq!(
            segment,
            Segment { source: 7000, destination: 5000, seq: 0x1_0002, begins: false, data: 3 }
        );
        assert!(Segment::parse(&packet(5000, 7000, 0x02, b"")).expect("a SYN").begins);
        assert!(!Segment::parse(&packet(7000, 5000, 0x12, b"")).expect("a SYN-ACK").begins);
        let mut udp = packet(1, 2, 0, b"");
        udp[9] = 17;
        assert_eq!(Segment::parse(&udp), None);
        assert_eq!(Segment::parse(&[0x45; 21]), None);
        assert_eq!(Segment::parse(&[]), None);
    }

    #[test]
    fn the_nth_of_a_side_is_dropped() {
        let options = Options {
            rtt: Duration::ZERO,
            drop_nth: Some(2),
            drop_every: Some(5),
            drop_in_burst: None,
            drop_from: Side::Server,
            loss: 0,
            rate: None,
            trace: false,
        };
        let mut losses = Losses::new(&options);
        let mut dropped = |source, destination, flags, data: &[u8]| {
            losses.take(&packet(source, destination, flags, data), 0)
        };
        assert!(!dropped(5000, 7000, 0x02, b""));
        assert!(!dropped(5000, 7000, 0x18, b"ask") && !dropped(5000, 7000, 0x18, b"ask"));
        assert!(!dropped(7000, 5000, 0x18, b"one"));
        assert!(!dropped(7000, 5000, 0x10, b""));
        assert!(dropped(7000, 5000, 0x18, b"two"));
        assert!(!dropped(7000, 5000, 0x18, b"two") && !dropped(7000, 5000, 0x18, b"three"));
        assert!(dropped(7000, 5000, 0x18, b"four"));
    }
}
