//! What a recording has to say on the packets of a capture.

use std::io;

use super::{
    flows::Flows,
    wall_ns,
    words::{Edge, Kind},
};
use crate::{
    model::{
        WallClock,
        event::{Accept, Event, Role},
        output::{ExchangeOutput, Output},
        snapshot::{Slice, SliceKind},
    },
    record::RecordEntry,
    run::{Parties, Visitor},
};

/// Slices and exchanges that may have a packet; further ones are counted. Some 70 MB.
pub const MAX_REMARKS: usize = 1_000_000;

/// One thing to say on a packet that is yet to be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remark {
    /// Its connection.
    pub(super) flow: u32,
    /// The packet goes from the lower address of the connection to the higher one; `None` if either
    /// will do.
    pub(super) is_forward: Option<bool>,
    /// It must carry data.
    pub(super) wants_data: bool,
    /// Time that the packet should be nearest to, ns since 1970.
    pub(super) at_ns: u64,
    /// A packet up to here will do, if there is none near `at_ns`.
    pub(super) until_ns: u64,
    pub(super) role: Role,
    pub(super) seq: u32,
    pub(super) kind: Kind,
    /// Time that is spoken of, µs.
    pub(super) us: u64,
    /// The packet, counted from 1, and how far it is; 0 for none.
    pub(super) packet: u64,
    pub(super) distance_ns: u64,
}

/// Gathers the remarks of a recording on these connections.
pub(super) struct Gatherer {
    clock: WallClock,
    min_us: u64,
    flows: Flows,
    parties: Parties,
    remarks: Remarks,
}

impl Gatherer {
    pub(super) fn new(clock: WallClock, min_us: u64, flows: Flows) -> Self {
        let (parties, remarks) = (Parties::default(), Remarks::default());
        Self { clock, min_us, flows, parties, remarks }
    }

    pub(super) fn finish(self) -> (Flows, Remarks) {
        (self.flows, self.remarks)
    }

    fn at(&self, ts_ns: u64) -> u64 {
        wall_ns(self.clock.at(ts_ns))
    }

    /// The SYN came a round trip before the connection was queued.
    fn accepted(&mut self, accept: &Accept) {
        if accept.queued_estimated || accept.late {
            return;
        }
        if let (Some(queued_ns), Some(us)) = (accept.queued_ns, accept.handshake_us) {
            let syn_ns = self.at(queued_ns.saturating_sub(us.saturating_mul(1_000)));
            self.flows.began(accept.local, accept.peer, syn_ns);
        }
    }

    fn exchange(&mut self, output: &ExchangeOutput) {
        let Some(party) = self.parties.get(output.sock) else { return };
        let (role, local, peer) = (party.role, party.local, party.peer);
        let Some((flow, local_is_forward)) = self.flows.share(local, peer) else { return };
        let view = &output.view;
        let remark = |at_ns, edge: Edge, kind, us| Remark {
            flow,
            is_forward: edge.outbound.map(|outbound| outbound == local_is_forward),
            wants_data: edge.wants_data,
            at_ns,
            until_ns: at_ns,
            role,
            seq: view.seq,
            kind,
            us,
            packet: 0,
            distance_ns: 0,
        };
        if view.total_us >= self.min_us {
            let outbound = Some(role == Role::Client);
            let edge = Edge { outbound, wants_data: true };
            let verdict = view.verdict.map(|verdict| (verdict.kind, verdict.us));
            // The first exchange has the handshake and the accept queue before its request.
            let at_ns = self.at(first_data_ns(view.start_ns, &view.slices));
            self.remarks.push(remark(at_ns, edge, Kind::Whole(verdict), view.total_us));
        }
        for (place, slice) in view.slices.iter().enumerate() {
            if slice.us < self.min_us.max(1) {
                continue;
            }
            let edge = Edge::of(slice.kind);
            let next = view.slices.get(place + 1);
            let end_ns = next.map_or(output.ts_ns, |next| next.start_ns);
            let at_ns =
                self.at(if Edge::is_at_start(slice.kind) { slice.start_ns } else { end_ns });
            let mut remark = remark(at_ns, edge, Kind::Slice(*slice), slice.us);
            if edge == Edge::SENT {
                remark.until_ns = self.at(sent_by_ns(output, place));
            }
            self.remarks.push(remark);
        }
    }
}

/// Returns the time by which what was written at the end of a slice has left: holds that follow keep
/// it.
fn sent_by_ns(output: &ExchangeOutput, place: usize) -> u64 {
    let behind = output.view.slices.get(place + 1..).unwrap_or_default();
    let sent = behind.iter().find(|slice| !Edge::is_hold(slice.kind));
    sent.map_or(output.ts_ns, |slice| slice.start_ns)
}

/// Returns the time at which the first byte of an exchange came or went.
fn first_data_ns(start_ns: u64, slices: &[Slice]) -> u64 {
    let is_before = |slice: &&Slice| {
        matches!(
            slice.kind,
            SliceKind::Handshake | SliceKind::AcceptQueue | SliceKind::Ignored | SliceKind::Connect
        )
    };
    let before = slices.iter().take_while(is_before).count();
    slices.get(before).map_or(start_ns, |slice| slice.start_ns)
}

impl Visitor for Gatherer {
    fn entry(&mut self, entry: &RecordEntry) -> io::Result<()> {
        if let RecordEntry::Event(event) = entry {
            self.parties.event(event);
            match event {
                Event::Accept(accept) => {
                    self.flows.share(accept.local, accept.peer);
                    self.accepted(accept);
                }
                Event::Opened(opened) => {
                    self.flows.share(opened.local, opened.peer);
                    if let Some(asked_ns) = opened.asked_ns.filter(|_| opened.syns_again == 0) {
                        let asked_ns = self.at(asked_ns);
                        self.flows.began(opened.local, opened.peer, asked_ns);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn outputs(&mut self, outputs: &[Output]) -> io::Result<()> {
        for output in outputs {
            match output {
                Output::Exchange(exchange) => self.exchange(exchange),
                Output::Connection(connection) => self.parties.ended(connection),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Remarks, which find their packets.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    pub(super) all: Vec<Remark>,
    pub(super) left_out: u64,
}

impl Remarks {
    fn push(&mut self, remark: Remark) {
        if self.all.len() < MAX_REMARKS {
            self.all.push(remark);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.all.len() as u64
    }

    /// Shifts all times.
    pub(super) fn shift(&mut self, by_ns: i64) {
        if by_ns != 0 {
            for remark in &mut self.all {
                remark.at_ns = remark.at_ns.saturating_add_signed(by_ns);
                remark.until_ns = remark.until_ns.saturating_add_signed(by_ns);
            }
        }
    }

    /// Keeps those in this time, and returns the number of others.
    pub(super) fn keep_within(&mut self, (first_ns, last_ns): (u64, u64)) -> u64 {
        let before = self.all.len();
        let begin_ns = first_ns.saturating_sub(super::TOLERANCE_NS);
        let end_ns = last_ns.saturating_add(super::TOLERANCE_NS);
        self.all.retain(|remark| remark.until_ns >= begin_ns && remark.at_ns <= end_ns);
        (before - self.all.len()) as u64
    }

    /// Returns the median and the longest distance to a packet that is near, ns.
    pub(super) fn distances_ns(&self) -> Option<(u64, u64)> {
        let mut distances_ns = Vec::new();
        for remark in &self.all {
            if remark.packet != 0 && remark.distance_ns <= super::TOLERANCE_NS {
                distances_ns.push(remark.distance_ns);
            }
        }
        distances_ns.sort_unstable();
        Some((*distances_ns.get(distances_ns.len() / 2)?, *distances_ns.last()?))
    }

    /// Returns those that have a packet with its number, by that and by their times.
    pub(super) fn by_packet(self) -> Vec<(u64, Remark)> {
        let mut placed: Vec<(u64, Remark)> = Vec::new();
        placed.extend(self.all.into_iter().map(|remark| (remark.packet, remark)));
        placed.retain(|(packet, _)| *packet != 0);
        placed.sort_by_key(|(packet, remark)| (*packet, remark.seq, remark.rank(), remark.at_ns));
        placed
    }
}
