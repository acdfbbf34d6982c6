//! The TCP connections of a capture, by their addresses.

use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::{capture::Segment, clocks::Clocks};

/// Connections that are looked for in the recording; further ones get no comment.
pub const MAX_FLOWS: usize = 500_000;

/// A connection: both addresses, the lower first.
type Pair = (SocketAddr, SocketAddr);

/// What is known of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    number: u32,
    /// Stamps of its first SYN and of its newest: a pair of addresses may come again.
    syns_ns: Option<(u64, u64)>,
    /// Distance of one of these to the SYN of the recording, ns: positive where the capture's stamp
    /// is the later one.
    offset_ns: Option<i64>,
    is_shared: bool,
}

/// The connections of a capture.
#[derive(Clone, Debug, Default)]
pub(super) struct Flows {
    table: FxHashMap<Pair, Flow>,
    leaves_out: bool,
}

/// Returns the pair of these, and true if the first is the first of it.
fn pair(one: SocketAddr, other: SocketAddr) -> (Pair, bool) {
    if one <= other { ((one, other), true) } else { ((other, one), false) }
}

impl Flows {
    pub(super) fn add(&mut self, segment: &Segment, ts_ns: u64) {
        let (pair, _) = pair(segment.source, segment.destination);
        let number = self.table.len();
        if number >= MAX_FLOWS && !self.table.contains_key(&pair) {
            self.leaves_out = true;
            return;
        }
        let flow = self.table.entry(pair).or_insert_with(|| Flow {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            ..Flow::default()
        });
        if segment.is_first {
            let (first_ns, _) = flow.syns_ns.unwrap_or((ts_ns, ts_ns));
            flow.syns_ns = Some((first_ns, ts_ns));
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.table.len() as u64
    }

    pub(super) fn leaves_out(&self) -> bool {
        self.leaves_out
    }

    /// Returns the number of a segment's connection, and true if it goes from its lower address to
    /// its higher one.
    pub(super) fn find(&self, segment: &Segment) -> Option<(u32, bool)> {
        let (pair, is_forward) = pair(segment.source, segment.destination);
        Some((self.table.get(&pair)?.number, is_forward))
    }

    /// Returns the number of a connection that the recording has, and true if what `local` sends
    /// goes forward. Takes note that it is in both.
    pub(super) fn share(&mut self, local: SocketAddr, peer: SocketAddr) -> Option<(u32, bool)> {
        let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        let (pair, is_forward) = pair(canonical(local), canonical(peer));
        let flow = self.table.get_mut(&pair)?;
        flow.is_shared = true;
        Some((flow.number, is_forward))
    }

    /// Takes note of the time of a connection's SYN in the recording, by its wall clock.
    pub(super) fn began(&mut self, local: SocketAddr, peer: SocketAddr, recorded_ns: u64) {
        let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        let (pair, _) = pair(canonical(local), canonical(peer));
        let Some(flow) = self.table.get_mut(&pair) else { return };
        let Some((first_ns, newest_ns)) = flow.syns_ns else { return };
        for syn_ns in [first_ns, newest_ns] {
            let offset_ns = syn_ns.wrapping_sub(recorded_ns) as i64;
            let known = flow.offset_ns.map_or(u64::MAX, i64::unsigned_abs);
            if offset_ns.unsigned_abs() < known {
                flow.offset_ns = Some(offset_ns);
            }
        }
    }

    pub(super) fn shared(&self) -> u64 {
        self.table.values().filter(|flow| flow.is_shared).count() as u64
    }

    /// Compares the clocks.
    pub(super) fn clocks(&self, set_back_ns: u64) -> Clocks {
        let offsets = self.table.values().filter_map(|flow| flow.offset_ns);
        Clocks::of(offsets.collect(), set_back_ns)
    }
}
