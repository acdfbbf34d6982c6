//! What connections went through lately, summed by listener or process: what findings on connections judge by, so that
//! ten thousand connections make one finding.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::connections::{Connection, Connections, counted_us};
use super::event::{ConnectionSample, Exchange, Role, Sample, SockId, TcpState};
use super::exchange;
use super::snapshot::{ExchangeView, Protocol, Slice, SliceKind};
use super::waiting::{self, Answers, Parked};

/// Listeners and processes judged by their connections; further ones are not.
pub(super) const MAX_SCOPES: usize = 512;
/// An exchange is slow in one kind of time from this on, µs. It is below any delayed ACK (40 ms) and above what a busy
/// but healthy server needs.
pub(super) const SLOW_US: u64 = 20_000;
/// A connection that stays in one state of an exchange for so long is stuck, ns.
const STUCK_NS: u64 = 1_000_000_000;
/// A connection that the peer has closed and we have not, with nothing going on for so long, is forgotten, ns.
pub(super) const FORGOTTEN_NS: u64 = 30_000_000_000;
/// Writes of an exchange further apart than this on average are a stream, not one response in pieces, ns.
const STREAM_NS: u64 = 10_000_000;
/// How far back "lately" goes, and the steps in which it moves, ns.
const SPAN_NS: u64 = 5_000_000_000;
const STEP_NS: u64 = 500_000_000;
/// Addresses told apart in one step.
const MAX_PEERS: usize = 64;

/// Whose connections are summed: those of a listener's socket; for those that came from none or from an unknown one, a
/// process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Socket(SockId),
    Process(u32),
}

/// How often, how long in all, and how long at the worst, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) us: u64,
    pub(super) worst_us: u64,
}

impl Tally {
    pub(super) fn add(&mut self, us: u64) {
        self.merge(&Self { count: 1, us, worst_us: us });
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.us = self.us.saturating_add(other.us);
        self.worst_us = self.worst_us.max(other.worst_us);
    }

    pub(super) fn mean_us(&self) -> u64 {
        self.us.checked_div(self.count).unwrap_or(0)
    }
}

/// Sums over the exchanges reported and the connections closed in one stretch of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    pub(super) exchanges: u64,
    /// Their time, µs.
    pub(super) time_us: u64,
    pub(super) handshake: Tally,
    /// Exchanges that spent at least [`SLOW_US`] on a kind, by kind.
    pub(super) slow: [Tally; SliceKind::ALL.len()],
    /// Exchanges whose data waited that long to be read, in the queue or for a CPU; how much of it the reader was on a
    /// CPU and without one, and of how much of it that is known, µs.
    pub(super) unread: Tally,
    pub(super) unread_cpu_us: u64,
    pub(super) unread_delay_us: u64,
    pub(super) unread_known_us: u64,
    /// The same for slow application time.
    pub(super) app_cpu_us: u64,
    pub(super) app_known_us: u64,
    /// Slow exchanges that an event loop had put aside.
    pub(super) app_parked: u64,
    /// Slow exchanges that made calls to others.
    pub(super) app_calls: u64,
    /// Sizes of the pair of writes of the longest hold by Nagle's algorithm.
    pub(super) nagle_sizes: [u32; 2],
    /// Exchanges written in many small pieces, these writes, and their bytes.
    pub(super) small_exchanges: u64,
    pub(super) small_writes: u64,
    pub(super) small_bytes: u64,
    /// Exchanges that had segments sent again, and these.
    pub(super) resent_exchanges: u64,
    pub(super) resent_segments: u64,
    pub(super) resent_us: u64,
    /// Accepted connections that closed; those of them with at most one exchange, and by whom.
    pub(super) closes: u64,
    pub(super) short: u64,
    pub(super) peers: BTreeMap<IpAddr, u64>,
}

impl Work {
    pub(super) fn slow(&self, kind: SliceKind) -> &Tally {
        &self.slow[kind as usize]
    }

    /// With `waits` the application's time is left out of what is slow.
    fn add(&mut self, exchange: &Exchange, view: &ExchangeView, waits: bool) {
        let total_us = counted_us(view);
        self.exchanges += 1;
        self.time_us = self.time_us.saturating_add(total_us);
        let handshake_us = time_of(view, SliceKind::Handshake);
        if handshake_us > 0 {
            self.handshake.add(handshake_us);
        }
        if time_of(view, SliceKind::Nagle) > self.slow(SliceKind::Nagle).worst_us {
            self.nagle_sizes = view.held_sizes;
        }
        // A quick exchange was slow in nothing.
        if total_us >= SLOW_US {
            self.add_slow(view, waits);
        }
        self.add_writes(exchange);
        self.resent_us += time_of(view, SliceKind::Retransmit);
    }

    fn add_slow(&mut self, view: &ExchangeView, waits: bool) {
        let mut by_kind = [0; SliceKind::ALL.len()];
        exchange::counted(&view.slices).for_each(|(kind, us)| by_kind[kind as usize] += us);
        if waits {
            by_kind[SliceKind::App as usize] = 0;
        }
        let of = |kind: SliceKind| by_kind[kind as usize];
        self.add_unread(view, of(SliceKind::ReceiveQueue), of(SliceKind::RunQueue));
        if of(SliceKind::App) >= SLOW_US {
            let known = cpu(view, SliceKind::App);
            self.app_cpu_us += known.0;
            self.app_known_us += known.1;
            self.app_calls += u64::from(!view.inside.is_empty());
        }
        for (tally, us) in self.slow.iter_mut().zip(by_kind).filter(|(_, us)| *us >= SLOW_US) {
            tally.add(us);
        }
    }

    fn add_unread(&mut self, view: &ExchangeView, queue_us: u64, delay_us: u64) {
        // A run_queue slice may be of the way to the response; only one behind the queue is the reader's.
        let waited = |pair: &[Slice]| pair[0].kind == SliceKind::ReceiveQueue && pair[1].kind == SliceKind::RunQueue;
        let delay_us = if view.slices.windows(2).any(waited) { delay_us } else { 0 };
        if queue_us + delay_us < SLOW_US {
            return;
        }
        self.unread.add(queue_us + delay_us);
        let known = cpu(view, SliceKind::ReceiveQueue);
        self.unread_cpu_us += known.0;
        self.unread_delay_us += delay_us;
        self.unread_known_us += known.1 + delay_us;
    }

    fn add_writes(&mut self, exchange: &Exchange) {
        let Some(outbound) = &exchange.outbound else { return };
        if outbound.retransmits > 0 {
            self.resent_exchanges += 1;
            self.resent_segments += u64::from(outbound.retransmits);
        }
        let apart_ns = outbound.last_ns.saturating_sub(outbound.first_ns) / u64::from(outbound.writes.max(1));
        if outbound.small_writes >= 4 && outbound.small_writes * 2 >= outbound.writes && apart_ns < STREAM_NS {
            self.small_exchanges += 1;
            self.small_writes += u64::from(outbound.writes);
            self.small_bytes += outbound.bytes;
        }
    }

    fn add_close(&mut self, connection: &Connection) {
        self.closes += 1;
        if connection.exchanges() <= 1 {
            self.short += 1;
            let peer = connection.peer().ip();
            if self.peers.len() < MAX_PEERS || self.peers.contains_key(&peer) {
                *self.peers.entry(peer).or_default() += 1;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        if other.slow(SliceKind::Nagle).worst_us > self.slow(SliceKind::Nagle).worst_us {
            self.nagle_sizes = other.nagle_sizes;
        }
        self.exchanges += other.exchanges;
        self.time_us = self.time_us.saturating_add(other.time_us);
        self.handshake.merge(&other.handshake);
        self.slow.iter_mut().zip(&other.slow).for_each(|(tally, more)| tally.merge(more));
        self.unread.merge(&other.unread);
        self.unread_cpu_us += other.unread_cpu_us;
        self.unread_delay_us += other.unread_delay_us;
        self.unread_known_us += other.unread_known_us;
        self.app_cpu_us += other.app_cpu_us;
        self.app_known_us += other.app_known_us;
        self.app_parked += other.app_parked;
        self.app_calls += other.app_calls;
        self.small_exchanges += other.small_exchanges;
        self.small_writes += other.small_writes;
        self.small_bytes += other.small_bytes;
        self.resent_exchanges += other.resent_exchanges;
        self.resent_segments += other.resent_segments;
        self.resent_us += other.resent_us;
        self.closes += other.closes;
        self.short += other.short;
        for (&peer, &count) in &other.peers {
            *self.peers.entry(peer).or_default() += count;
        }
    }
}

/// Time of a kind, µs.
fn time_of(view: &ExchangeView, kind: SliceKind) -> u64 {
    view.slices.iter().filter(|slice| slice.kind == kind).map(|slice| slice.us).sum()
}

/// Time on a CPU in slices of a kind, and the time of those slices of which that is known, µs.
fn cpu(view: &ExchangeView, kind: SliceKind) -> (u64, u64) {
    let of_kind = view.slices.iter().filter(|slice| slice.kind == kind);
    of_kind.filter_map(|slice| Some((slice.cpu_us?, slice.us))).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Connections that are stuck at the newest sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stuck {
    /// Data wait to be read.
    pub(super) unread: Tally,
    /// The application has what came, and has not answered.
    pub(super) unanswered: Tally,
    /// The peer's window is shut.
    pub(super) window: Tally,
    /// The peer has closed, nothing goes on, and the socket is open still.
    pub(super) close_wait: Tally,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The listener's address, or the process's name and id.
    pub(super) name: String,
    steps: VecDeque<(u64, Work)>,
    pub(super) stuck: Stuck,
    /// The same of the next sample, as far as it is there.
    scanned: Stuck,
    /// To requests that may have waited by design.
    answers: Answers,
}

impl Entry {
    fn step(&mut self, now_ns: u64) -> &mut Work {
        let step = now_ns / STEP_NS;
        if self.steps.back().is_none_or(|(last, _)| *last < step) {
            self.steps.push_back((step, Work::default()));
            self.expire(now_ns);
        }
        let newest = self.steps.len() - 1;
        &mut self.steps[newest].1
    }

    fn expire(&mut self, now_ns: u64) {
        let from = now_ns.saturating_sub(SPAN_NS) / STEP_NS;
        while self.steps.len() > 1 && self.steps.front().is_some_and(|(step, _)| *step <= from) {
            self.steps.pop_front();
        }
    }

    /// Everything of the last few seconds.
    pub(super) fn lately(&self, now_ns: u64) -> Work {
        let from = now_ns.saturating_sub(SPAN_NS) / STEP_NS;
        let mut sum = Work::default();
        self.steps.iter().filter(|(step, _)| *step > from).for_each(|(_, work)| sum.merge(work));
        sum
    }
}

/// A figure a second of something counted lately.
pub(super) fn rate(count: u64) -> f64 {
    count as f64 * 1e9 / SPAN_NS as f64
}

#[derive(Clone, Debug, Default)]
pub(super) struct Works {
    table: BTreeMap<Scope, Entry>,
    parked: Parked,
}

impl Works {
    /// An exchange is over, of a process that `calls` others or does not.
    pub(super) fn reported(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: Option<&Connection>,
        view: &ExchangeView,
        calls: bool,
    ) {
        let was_parked = self.parked.take(exchange);
        let Some(connection) = connection else { return };
        let by_design = connection.protocol().and_then(Protocol::waits_for).is_some();
        let app_us = if was_parked { time_of(view, SliceKind::App) } else { 0 };
        let http = connection.protocol().is_some_and(Protocol::is_http1) && !calls;
        let polls = was_parked && http && app_us >= waiting::LONG_US && view.inside.is_empty();
        if let Some(entry) = self.entry(connection) {
            entry.step(now_ns).add(exchange, view, by_design || polls);
            if polls && !by_design {
                entry.answers.add(exchange, app_us);
            }
        }
    }

    pub(super) fn closed(&mut self, now_ns: u64, connection: &Connection) {
        if connection.origin.role == Role::Server
            && let Some(entry) = self.entry(connection)
        {
            entry.step(now_ns).add_close(connection);
        }
    }

    /// Sees who of these is stuck.
    pub(super) fn scanned(
        &mut self,
        ts_ns: u64,
        scanned: &[ConnectionSample],
        connections: &Connections,
        calls: impl Fn(u32) -> bool,
    ) {
        for one in scanned {
            let Some(connection) = connections.get(one.sock) else { continue };
            let idle_ns = ts_ns.saturating_sub(one.active_ns);
            let waits = one.exchange.as_ref().filter(|exchange| !exchange::is_quiet(exchange));
            let last = waits.and_then(|exchange| connection.view_of(exchange).slices.last().copied());
            let unanswered =
                last.filter(|slice| slice.kind == SliceKind::App && connection.origin.role == Role::Server);
            let by_design = match connection.protocol() {
                Some(protocol) if protocol.is_http1() && !calls(connection.origin.pid) => {
                    let exchange = waits.filter(|_| unanswered.is_some());
                    exchange.is_some_and(|exchange| self.parked.note(ts_ns, exchange))
                        && unanswered.is_some_and(|slice| slice.us < waiting::FORGOTTEN_US)
                }
                protocol => protocol.and_then(Protocol::waits_for).is_some(),
            };
            let waits = last.filter(|_| !(by_design && unanswered.is_some()));
            let forgotten = one.state == TcpState::CloseWait && idle_ns >= FORGOTTEN_NS;
            let shut = one.peer_window_zero && idle_ns >= STUCK_NS;
            if waits.is_none() && !forgotten && !shut {
                continue;
            }
            let Some(entry) = self.entry(connection) else { continue };
            let waits = waits.filter(|slice| slice.us >= STUCK_NS / 1_000);
            match waits.map(|slice| (slice.kind, slice.us)) {
                _ if shut => entry.scanned.window.add(idle_ns / 1_000),
                Some((SliceKind::ReceiveQueue, us)) => entry.scanned.unread.add(us),
                Some((SliceKind::App, us)) => entry.scanned.unanswered.add(us),
                Some((SliceKind::ReceiveWindow, us)) => entry.scanned.window.add(us),
                _ => {}
            }
            if forgotten {
                entry.scanned.close_wait.add(idle_ns / 1_000);
            }
        }
    }

    /// A sample is complete.
    pub(super) fn sampled(&mut self, sample: &Sample) {
        let ts_ns = sample.ts_ns;
        self.parked.sampled(sample);
        for entry in self.table.values_mut() {
            for app_us in entry.answers.alone(ts_ns) {
                let work = entry.step(ts_ns);
                work.slow[SliceKind::App as usize].add(app_us);
                work.app_parked += 1;
            }
        }
        self.table.values_mut().for_each(|entry| entry.stuck = std::mem::take(&mut entry.scanned));
        let from_ns = ts_ns.saturating_sub(SPAN_NS) / STEP_NS;
        self.table.retain(|_, entry| {
            entry.stuck != Stuck::default()
                || !entry.answers.is_empty()
                || entry.steps.back().is_some_and(|(step, _)| *step > from_ns)
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Scope, &Entry)> {
        self.table.iter().map(|(&scope, entry)| (scope, entry))
    }

    fn entry(&mut self, connection: &Connection) -> Option<&mut Entry> {
        let scope = match connection.origin.listener.filter(|_| connection.origin.role == Role::Server) {
            Some(listener) => Scope::Socket(listener),
            None => Scope::Process(connection.origin.pid),
        };
        if self.table.len() >= MAX_SCOPES && !self.table.contains_key(&scope) {
            return None;
        }
        Some(self.table.entry(scope).or_insert_with(|| Entry {
            name: match scope {
                Scope::Socket(_) => connection.local().to_string(),
                Scope::Process(pid) => format!("{} {pid}", connection.origin.comm),
            },
            ..Entry::default()
        }))
    }
}
