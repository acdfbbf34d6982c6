//! UDP sockets: datagrams that came, were read, written or dropped, and how long they waited.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backscope_abi::MAX_DATAGRAMS;

use super::event::{DatagramFlow, DatagramSample, QuicDatagram, Recognised, Sample, Sign, SockId};
use super::histogram::{Precision, WaitHistogram};
use super::output::{DatagramOutput, Output, QuicOutput};
use super::quic::Flows;
use super::snapshot::{
    DatagramHistory, DatagramProtocol, DatagramRates, DatagramTotals, DatagramView, QuicView,
    WaitView,
};

/// UDP sockets in a snapshot: the worst and the busiest.
pub const MAX_DATAGRAM_VIEWS: usize = 256;
/// Refreshes that a socket's histories go back.
const MAX_PERIODS: usize = 128;
/// Sockets of which the protocol is known: some before a sample shows them, some never shown.
const MAX_SPOKEN: usize = 2 * MAX_DATAGRAMS as usize;
/// Length of the window that rates are taken over, ns.
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

/// Figures of one refresh in the histories.
#[derive(Clone, Copy, Debug)]
struct Period {
    from_ns: u64,
    peak_bytes: u64,
    arrived: u32,
    drops: u32,
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

/// One UDP socket.
#[derive(Clone, Debug)]
pub(super) struct Datagrams {
    pub(super) sample: DatagramSample,
    ts_ns: u64,
    history: VecDeque<Point>,
    periods: VecDeque<Period>,
    waits: WaitHistogram,
}

impl Datagrams {
    fn new(sample: &DatagramSample) -> Self {
        Self {
            sample: sample.clone(),
            ts_ns: 0,
            history: VecDeque::new(),
            periods: VecDeque::new(),
            waits: WaitHistogram::new(Precision::Coarse),
        }
    }

    fn sampled(&mut self, ts_ns: u64, sample: &DatagramSample) {
        let mut point = Point::of(ts_ns, sample);
        if self.history.len() >= 2
            && let Some(last) = self.history.back()
            && ts_ns.saturating_sub(last.ts_ns) < GRAIN_NS
        {
            point.longest_us = point.longest_us.max(last.longest_us);
            self.history.pop_back();
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
        self.remember(sample);
        self.ts_ns = ts_ns;
        self.sample = sample.clone();
    }

    /// Adds the period since the sample before; the first sample begins none.
    fn remember(&mut self, sample: &DatagramSample) {
        if self.ts_ns == 0 {
            return;
        }
        let since =
            |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        self.periods.push_back(Period {
            from_ns: self.ts_ns,
            peak_bytes: sample.peak_bytes.max(sample.queued_bytes),
            arrived: since(datagrams(sample.arrived), datagrams(self.sample.arrived)),
            drops: since(sample.drops, self.sample.drops),
        });
        while self.periods.len() > MAX_PERIODS {
            self.periods.pop_front();
        }
    }

    /// Returns the oldest and the newest point.
    fn ends(&self) -> Option<(&Point, &Point)> {
        Some((self.history.front()?, self.history.back()?))
    }

    /// Counts the datagrams that were dropped in the last few seconds.
    pub(super) fn dropped(&self) -> u64 {
        let Some((first, last)) = self.ends() else { return 0 };
        last.drops.saturating_sub(first.drops)
    }

    /// Returns datagrams a second over the last few seconds.
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
        self.sample.read?;
        let mut longest_us = 0;
        for point in &self.history {
            longest_us = longest_us.max(point.longest_us);
        }
        Some(longest_us)
    }

    /// Wait of the oldest datagram in the queue until now, µs; `None` if there is none, or not
    /// known.
    pub(super) fn unread_us(&self) -> Option<u64> {
        Some(self.ts_ns.saturating_sub(self.sample.oldest_ns?) / 1_000)
    }

    /// Time since the last read, µs; `None` if none was seen.
    pub(super) fn since_read_us(&self) -> Option<u64> {
        Some(self.ts_ns.saturating_sub(self.sample.read_ns?) / 1_000)
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
            history: DatagramHistory::default(),
        }
    }

    fn past(&self) -> DatagramHistory {
        DatagramHistory {
            from_ns: self.periods.iter().map(|period| period.from_ns).collect(),
            peak_bytes: self.periods.iter().map(|period| period.peak_bytes).collect(),
            arrived: self.periods.iter().map(|period| period.arrived).collect(),
            drops: self.periods.iter().map(|period| period.drops).collect(),
        }
    }

    /// Order in a snapshot: greater is worse, or busier.
    fn weight(&self) -> (u64, u64) {
        let Some(last) = self.history.back() else { return (self.dropped(), 0) };
        (self.dropped(), last.arrived.saturating_add(last.written))
    }
}

/// All UDP sockets, and the QUIC connections on them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    table: BTreeMap<SockId, Datagrams>,
    /// Protocols, also of sockets that no sample has shown yet.
    spoken: BTreeMap<SockId, DatagramProtocol>,
    flows: Flows,
    /// Sockets of which something is known, and that the newest sample did not show.
    unshown: BTreeSet<SockId>,
    /// Sockets of which the protocol was known, that gave way to others.
    gave_way: u64,
    /// Of sockets that are closed.
    past: DatagramTotals,
}

impl Sockets {
    /// Takes a sample, and reports each socket.
    pub(super) fn sampled(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        let mut before = std::mem::take(&mut self.table);
        for socket in sample.datagrams.iter().take(MAX_DATAGRAMS as usize) {
            let mut known = before.remove(&socket.sock).unwrap_or_else(|| Datagrams::new(socket));
            known.sampled(sample.ts_ns, socket);
            let view = self.view(socket.sock, &known);
            out.push(Output::Datagrams(DatagramOutput { ts_ns: sample.ts_ns, view }));
            self.table.insert(socket.sock, known);
        }
        self.report_answered(sample.ts_ns, out);
        self.forget_unshown();
    }

    /// Forgets the sockets that two samples in a row did not show: they have closed, and no sample
    /// told.
    fn forget_unshown(&mut self) {
        let mut unshown = BTreeSet::new();
        for sock in self.spoken.keys().copied().chain(self.flows.sockets()) {
            if !self.table.contains_key(&sock) {
                unshown.insert(sock);
            }
        }
        for gone in unshown.intersection(&self.unshown) {
            self.spoken.remove(gone);
            self.flows.forget(*gone);
        }
        self.unshown = unshown;
    }

    /// Reports the QUIC connections that got their first answer.
    fn report_answered(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for view in self.flows.take_answered() {
            out.push(self.quic_output(ts_ns, view));
        }
    }

    /// Takes packets of QUIC that were read or written.
    pub(super) fn quic(&mut self, datagram: &QuicDatagram) {
        self.flows.seen(datagram);
    }

    fn quic_output(&self, ts_ns: u64, view: QuicView) -> Output {
        let (local, process) = match self.table.get(&view.sock) {
            Some(Datagrams { sample, .. }) => {
                (Some(sample.local), Some((sample.pid, sample.comm.clone())))
            }
            None => (None, None),
        };
        Output::Quic(Box::new(QuicOutput { ts_ns, local, process, view }))
    }

    fn view(&self, sock: SockId, socket: &Datagrams) -> DatagramView {
        DatagramView {
            protocol: self.spoken.get(&sock).copied(),
            quic_connections: self.flows.count(sock),
            quic: self.flows.shown(sock),
            ..socket.view()
        }
    }

    /// Takes the protocol of a socket. One socket may serve many connections: early data of one
    /// counts for all.
    pub(super) fn recognised(&mut self, recognised: &Recognised) {
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
        if self.spoken.len() >= MAX_SPOKEN && before.is_none() {
            // The kernel gives ids in order.
            self.spoken.pop_first();
            self.gave_way += 1;
        }
        self.spoken.insert(recognised.sock, spoken);
    }

    /// Sockets whose protocol, or whose QUIC connections, gave way to those of others.
    pub(super) fn gave_way(&self) -> u64 {
        self.gave_way + self.flows.gave_way()
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

    /// Reports every open socket for the last time.
    pub(super) fn finish(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for (sock, socket) in &self.table {
            let view =
                DatagramView { peak_bytes: socket.sample.queued_bytes, ..self.view(*sock, socket) };
            out.push(Output::Datagrams(DatagramOutput { ts_ns, view }));
        }
        self.report_answered(ts_ns, out);
        for view in self.flows.unanswered() {
            out.push(self.quic_output(ts_ns, view.clone()));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Datagrams> {
        self.table.values()
    }

    /// Returns the sockets as a snapshot shows them, the worst and the busiest first.
    pub(super) fn views(&self) -> Vec<DatagramView> {
        let mut sockets: Vec<_> = self.table.iter().collect();
        sockets.sort_by_key(|(_, socket)| Reverse(socket.weight()));
        sockets.truncate(MAX_DATAGRAM_VIEWS);
        let full = |(&sock, socket): (&SockId, &Datagrams)| DatagramView {
            history: socket.past(),
            ..self.view(sock, socket)
        };
        sockets.into_iter().map(full).collect()
    }

    /// Number of open sockets.
    pub(super) fn open(&self) -> u64 {
        self.table.len() as u64
    }

    /// Totals over all sockets of the run.
    pub(super) fn totals(&self) -> DatagramTotals {
        let mut totals = self.past;
        for socket in self.table.values() {
            totals.add(&socket.sample);
        }
        totals
    }
}

impl DatagramTotals {
    fn add(&mut self, sample: &DatagramSample) {
        // A flow that one socket does not show is not known of all.
        let sum = |total: Option<u64>, flow: Option<DatagramFlow>| {
            Some(total?.saturating_add(flow?.datagrams))
        };
        self.sockets += 1;
        self.arrived = sum(self.arrived, sample.arrived);
        self.read = sum(self.read, sample.read);
        self.written = sum(self.written, sample.written);
        self.drops = self.drops.saturating_add(sample.drops.saturating_sub(sample.drops_before));
    }
}
