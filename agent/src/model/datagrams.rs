//! UDP sockets: what came, what was read and written, how long it waited, what was dropped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use backscope_abi::MAX_DATAGRAMS;

use super::event::{DatagramFlow, DatagramSample, QuicDatagram, Recognised, Sample, Sign, SockId};
use super::histogram::{Precision, WaitHistogram};
use super::output::{DatagramOutput, Output, QuicOutput};
use super::quic::Flows;
use super::snapshot::{
    DatagramProtocol, DatagramRates, DatagramTotals, DatagramView, QuicView, WaitView,
};

/// UDP sockets in a snapshot: those with most going on.
pub const MAX_DATAGRAM_VIEWS: usize = 256;
/// Sockets of which is known what is spoken: some may be so before a sample shows them, or never be
/// shown.
const MAX_SPOKEN: usize = 2 * MAX_DATAGRAMS as usize;
/// How far back "lately" goes, ns.
const SPAN_NS: u64 = 5_000_000_000;
/// Samples closer together than this count as one, ns. With [`SPAN_NS`] it bounds their number.
const GRAIN_NS: u64 = 250_000_000;

/// The totals at one sample.
#[derive(Clone, Copy, Debug)]
struct Point {
    ts_ns: u64,
    arrived: u64,
    read: u64,
    written: u64,
    drops: u64,
    /// Longest wait since the point before, µs.
    longest_us: u64,
}

fn datagrams(flow: Option<DatagramFlow>) -> u64 {
    flow.map_or(0, |flow| flow.datagrams)
}

impl Point {
    fn of(ts_ns: u64, sample: &DatagramSample) -> Self {
        Self {
            ts_ns,
            arrived: datagrams(sample.arrived),
            read: datagrams(sample.read),
            written: datagrams(sample.written),
            drops: sample.drops,
            longest_us: sample.longest_recent_us,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Datagrams {
    pub(super) sample: DatagramSample,
    ts_ns: u64,
    history: VecDeque<Point>,
    waits: WaitHistogram,
}

impl Datagrams {
    fn new(sample: &DatagramSample) -> Self {
        Self {
            sample: sample.clone(),
            ts_ns: 0,
            history: VecDeque::new(),
            waits: WaitHistogram::new(Precision::Coarse),
        }
    }

    fn sampled(&mut self, ts_ns: u64, sample: &DatagramSample) {
        let mut point = Point::of(ts_ns, sample);
        let is_new = self.history.len() < 2
            || self.history.back().is_none_or(|last| ts_ns.saturating_sub(last.ts_ns) >= GRAIN_NS);
        if let Some(last) = if is_new { None } else { self.history.pop_back() } {
            point.longest_us = point.longest_us.max(last.longest_us);
        }
        self.history.push_back(point);
        let from_ns = ts_ns.saturating_sub(SPAN_NS);
        while self.history.len() > 2 && self.history[1].ts_ns <= from_ns {
            self.history.pop_front();
        }
        for &(wait_us, count) in &sample.waits {
            self.waits.record_many(wait_us, count.into());
        }
        self.waits.refresh();
        self.ts_ns = ts_ns;
        self.sample = sample.clone();
    }

    fn ends(&self) -> Option<(&Point, &Point)> {
        self.history.front().zip(self.history.back())
    }

    /// Dropped in the last few seconds.
    pub(super) fn dropped(&self) -> u64 {
        self.ends().map_or(0, |(first, last)| last.drops.saturating_sub(first.drops))
    }

    /// Figures a second over the last few.
    pub(super) fn rates(&self) -> DatagramRates {
        let Some((first, last)) = self.ends() else { return DatagramRates::default() };
        let elapsed_ns = last.ts_ns.saturating_sub(first.ts_ns);
        let rate =
            |of: fn(&Point) -> u64| super::rate(of(last).saturating_sub(of(first)), elapsed_ns);
        DatagramRates {
            arrived: rate(|point| point.arrived),
            read: rate(|point| point.read),
            written: rate(|point| point.written),
            drops: rate(|point| point.drops),
        }
    }

    /// Longest wait of what was read in the last few seconds, µs; `None` where reads are not
    /// observed.
    pub(super) fn longest_recent_us(&self) -> Option<u64> {
        self.sample
            .read
            .map(|_| self.history.iter().map(|point| point.longest_us).max().unwrap_or(0))
    }

    /// How long the oldest datagram in the queue has waited, µs; `None` if there is none, or not
    /// known.
    pub(super) fn unread_us(&self) -> Option<u64> {
        self.sample.oldest_ns.map(|oldest_ns| self.ts_ns.saturating_sub(oldest_ns) / 1_000)
    }

    /// How long ago the last read was, µs; `None` if none was seen.
    pub(super) fn since_read_us(&self) -> Option<u64> {
        self.sample.read_ns.map(|read_ns| self.ts_ns.saturating_sub(read_ns) / 1_000)
    }

    fn wait(&self) -> WaitView {
        let view = self.waits.view();
        // The probes count in buckets, but know the longest.
        let most = |us: u64| us.min(self.sample.longest_us);
        WaitView {
            p50: most(view.p50),
            p90: most(view.p90),
            p99: most(view.p99),
            max: self.sample.longest_us,
            ..view
        }
    }

    fn view(&self) -> DatagramView {
        let sample = &self.sample;
        DatagramView {
            sock: sample.sock,
            local: sample.local,
            peer: sample.peer,
            pid: sample.pid,
            comm: sample.comm.clone(),
            protocol: None,
            quic_connections: 0,
            quic: Vec::new(),
            closed: sample.closed,
            arrived: sample.arrived,
            read: sample.read,
            written: sample.written,
            drops: sample.drops,
            rates: self.rates(),
            waiting: sample.waiting,
            queued_bytes: sample.queued_bytes,
            peak_bytes: sample.peak_bytes,
            buffer_bytes: sample.buffer_bytes,
            wait: self.wait(),
            at_least: sample.at_least,
            unread_us: self.unread_us(),
        }
    }

    /// What is going on: more is worse, or busier.
    fn weight(&self) -> (u64, u64) {
        let point = self.history.back();
        (self.dropped(), point.map_or(0, |point| point.arrived + point.written))
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    table: BTreeMap<SockId, Datagrams>,
    /// What is spoken, also on sockets that no sample has shown yet.
    spoken: BTreeMap<SockId, DatagramProtocol>,
    flows: Flows,
    /// Of sockets that are closed.
    past: DatagramTotals,
}

impl Sockets {
    /// Takes what a sample tells, and reports each socket. Closed ones are forgotten but for their
    /// totals.
    pub(super) fn sampled(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        let mut before = std::mem::take(&mut self.table);
        for socket in sample.datagrams.iter().take(MAX_DATAGRAMS as usize) {
            let mut known = before.remove(&socket.sock).unwrap_or_else(|| Datagrams::new(socket));
            known.sampled(sample.ts_ns, socket);
            self.table.insert(socket.sock, known);
            out.extend(self.table.get(&socket.sock).map(|known| {
                Output::Datagrams(DatagramOutput {
                    ts_ns: sample.ts_ns,
                    view: self.view(socket.sock, known),
                })
            }));
        }
        self.tell_answered(sample.ts_ns, out);
    }

    fn tell_answered(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        let answered = self.flows.take_answered();
        out.extend(answered.into_iter().map(|view| self.told(ts_ns, view)));
    }

    /// Packets of QUIC were read or written.
    pub(super) fn quic(&mut self, datagram: &QuicDatagram) {
        self.flows.seen(datagram);
    }

    fn told(&self, ts_ns: u64, view: QuicView) -> Output {
        let socket = self.table.get(&view.sock).map(|socket| &socket.sample);
        Output::Quic(Box::new(QuicOutput {
            ts_ns,
            local: socket.map(|socket| socket.local),
            process: socket.map(|socket| (socket.pid, socket.comm.clone())),
            view,
        }))
    }

    fn view(&self, sock: SockId, socket: &Datagrams) -> DatagramView {
        DatagramView {
            protocol: self.spoken.get(&sock).copied(),
            quic_connections: self.flows.count(sock),
            quic: self.flows.shown(sock),
            ..socket.view()
        }
    }

    /// What is spoken on a socket becomes known. One socket may serve many connections: early data
    /// of one is told of all.
    pub(super) fn recognised(&mut self, recognised: &Recognised) {
        if self.spoken.len() >= MAX_SPOKEN && !self.spoken.contains_key(&recognised.sock) {
            return;
        }
        let before = self.spoken.get(&recognised.sock).copied();
        let spoken = match recognised.sign {
            Sign::Quic { version, early_data } => {
                let earlier =
                    matches!(before, Some(DatagramProtocol::Quic { early_data: true, .. }));
                DatagramProtocol::Quic { version, early_data: early_data || earlier }
            }
            Sign::Dtls => DatagramProtocol::Dtls,
            // WebRTC looks for its peer by STUN before and while it speaks DTLS.
            Sign::Stun => before.unwrap_or(DatagramProtocol::Stun),
            _ => return,
        };
        self.spoken.insert(recognised.sock, spoken);
    }

    /// Forgets closed sockets, after they were judged.
    pub(super) fn forget_closed(&mut self) {
        let past = &mut self.past;
        self.table.retain(|sock, socket| {
            if socket.sample.closed {
                self.spoken.remove(sock);
                self.flows.forget(*sock);
                past.add(&socket.sample);
            }
            !socket.sample.closed
        });
    }

    /// A last word on every socket that is open.
    pub(super) fn finish(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        out.extend(self.table.iter().map(|(sock, socket)| {
            let view =
                DatagramView { peak_bytes: socket.sample.queued_bytes, ..self.view(*sock, socket) };
            Output::Datagrams(DatagramOutput { ts_ns, view })
        }));
        self.tell_answered(ts_ns, out);
        out.extend(self.flows.unanswered().map(|view| self.told(ts_ns, view.clone())));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Datagrams> {
        self.table.values()
    }

    /// Those with most going on, that first.
    pub(super) fn views(&self) -> Vec<DatagramView> {
        let mut sockets: Vec<_> = self.table.iter().collect();
        sockets.sort_by_key(|(_, socket)| Reverse(socket.weight()));
        let views = sockets.iter().take(MAX_DATAGRAM_VIEWS);
        views.map(|(sock, socket)| self.view(**sock, socket)).collect()
    }

    /// How many there are.
    pub(super) fn open(&self) -> u64 {
        self.table.len() as u64
    }

    /// Totals over all sockets of the run.
    pub(super) fn totals(&self) -> DatagramTotals {
        let mut totals = self.past;
        self.table.values().for_each(|socket| totals.add(&socket.sample));
        totals
    }
}

impl DatagramTotals {
    fn add(&mut self, sample: &DatagramSample) {
        let more = |total: &mut Option<u64>, flow: Option<DatagramFlow>| {
            *total = total.zip(flow).map(|(total, flow)| total + flow.datagrams);
        };
        self.sockets += 1;
        more(&mut self.arrived, sample.arrived);
        more(&mut self.read, sample.read);
        more(&mut self.written, sample.written);
        self.drops += sample.drops.saturating_sub(sample.drops_before);
    }
}
