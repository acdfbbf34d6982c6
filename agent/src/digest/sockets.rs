//! Sockets other than TCP's: UDP, QUIC over it, and Unix-domain sockets that listen.

use std::collections::{BTreeMap, VecDeque};

use super::series::{Point, Series};
use crate::model::{
    event::{SockId, UnixListener},
    output::{DatagramOutput, QuicOutput, UnixOutput},
    snapshot::DatagramView,
};

/// UDP sockets whose last figures are kept; of further ones only that there were some.
const MAX_UDP: usize = 256;
/// QUIC connections that are kept, the newest.
const MAX_QUIC: usize = 200;
/// Unix-domain sockets whose story is kept.
const MAX_UNIX: usize = 64;

/// Figures of a Unix-domain socket that listens over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPoint {
    /// End of the stretch, ns of `CLOCK_MONOTONIC`.
    pub ts_ns: u64,
    /// Deepest accept queue among its samples.
    pub depth: u32,
    /// Limit of the accept queue at its end.
    pub limit: u32,
}

impl Point for UnixPoint {
    fn merge(&mut self, later: &Self) {
        self.ts_ns = later.ts_ns;
        self.depth = self.depth.max(later.depth);
        self.limit = later.limit;
    }
}

/// The story of a Unix-domain socket that listens.
#[derive(Clone, Debug)]
pub struct UnixStory {
    /// Its figures at the last sample.
    pub last: UnixListener,
    /// Its figures over time.
    pub points: Series<UnixPoint>,
}

/// UDP sockets, QUIC connections and Unix-domain listeners of a run.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    udp: BTreeMap<SockId, DatagramView>,
    quic: VecDeque<QuicOutput>,
    quic_count: u64,
    unix: BTreeMap<SockId, UnixStory>,
    leaves_out: bool,
}

impl Sockets {
    pub(super) fn datagrams(&mut self, output: &DatagramOutput) {
        let sock = output.view.sock;
        if self.udp.len() < MAX_UDP || self.udp.contains_key(&sock) {
            self.udp.insert(sock, output.view.clone());
        } else {
            self.leaves_out = true;
        }
    }

    pub(super) fn quic(&mut self, output: &QuicOutput) {
        self.quic_count += 1;
        if self.quic.len() == MAX_QUIC {
            self.quic.pop_front();
        }
        self.quic.push_back(output.clone());
    }

    pub(super) fn unix(&mut self, output: &UnixOutput) {
        let UnixOutput { ts_ns, view } = output;
        if self.unix.len() == MAX_UNIX && !self.unix.contains_key(&view.sock) {
            self.leaves_out = true;
            return;
        }
        let story = self
            .unix
            .entry(view.sock)
            .or_insert_with(|| UnixStory { last: view.clone(), points: Series::default() });
        story.last.clone_from(view);
        story.points.push(UnixPoint { ts_ns: *ts_ns, depth: view.depth, limit: view.limit });
    }

    /// Returns the last figures of each UDP socket.
    pub fn udp(&self) -> &BTreeMap<SockId, DatagramView> {
        &self.udp
    }

    /// Returns the newest QUIC connections, oldest first.
    pub fn newest_quic(&self) -> &VecDeque<QuicOutput> {
        &self.quic
    }

    /// Returns the number of QUIC connections that were reported.
    pub fn quic_count(&self) -> u64 {
        self.quic_count
    }

    /// Returns the stories of Unix-domain sockets by socket.
    pub fn unix_stories(&self) -> &BTreeMap<SockId, UnixStory> {
        &self.unix
    }

    /// True if there were more sockets than are kept.
    pub fn leaves_out(&self) -> bool {
        self.leaves_out
    }
}
