//! All listeners of the run, and what they have in common.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::event::{
    Accept, InAccept, LeftQueue, ListenerSample, NetSettings, Overflow, Place, Sample, SockId,
    Stage,
};
use super::exchange::Ignoring;
use super::finding::{Places, Sharers, Shares};
use super::histogram::{Precision, WaitHistogram};
use super::ignored::Ignored;
use super::listener::Listener;
use super::output::OverflowOutput;
use super::sharing::Sharing;
use super::snapshot::{ListenerView, LogEntry, StreamKind, Totals, WaitView};

/// Listeners known at once, open or closed.
pub const MAX_LISTENERS: usize = 16_384;
/// Closed listeners kept.
pub const MAX_CLOSED: usize = 64;
/// Refreshes that a listener's histories go back, at most.
pub const MAX_HISTORY: usize = 512;
/// Points of all histories together, with the least that every listener gets.
const HISTORY_POINTS: usize = 65_536;
const LEAST_HISTORY: usize = 16;
/// A peer sends again what was not acknowledged after this at the earliest, less what timers are
/// early, µs (`TCP_RTO_MIN`, 200 ms).
const AGAIN_US: u64 = 150_000;
/// Wait histograms that are precise.
const FINE_HISTOGRAMS: usize = 128;

#[derive(Debug)]
pub(super) struct Listeners {
    table: BTreeMap<SockId, Listener>,
    /// In the order in which they closed.
    closed: VecDeque<SockId>,
    groups: BTreeMap<Place, Sharing<SockId>>,
    /// Number of open listeners in each group.
    sizes: BTreeMap<Place, u64>,
    somaxconn: BTreeMap<u32, u32>,
    settings: BTreeMap<u32, NetSettings>,
    ignored: Ignored,
    period_ns: u64,
    next_order: u64,
    histograms: usize,
    /// Listeners that had a sample, over the whole run.
    known: u64,
    refused: u64,
    forgotten: Totals,
    forgotten_wait: WaitHistogram,
}

impl Listeners {
    pub(super) fn new(attached_ns: u64) -> Self {
        Self {
            table: BTreeMap::new(),
            closed: VecDeque::new(),
            groups: BTreeMap::new(),
            sizes: BTreeMap::new(),
            somaxconn: BTreeMap::new(),
            settings: BTreeMap::new(),
            ignored: Ignored::default(),
            period_ns: attached_ns,
            next_order: 0,
            histograms: 0,
            known: 0,
            refused: 0,
            forgotten: Totals::default(),
            forgotten_wait: WaitHistogram::new(Precision::Fine),
        }
    }

    pub(super) fn accepted(&mut self, accept: &Accept) {
        self.ignored.accepted(accept);
        let precision =
            if self.histograms < FINE_HISTOGRAMS { Precision::Fine } else { Precision::Coarse };
        let Some(listener) = self.entry(accept.listener) else { return };
        let had_waits = listener.wait.is_some();
        listener.accepted(accept, precision);
        self.histograms += usize::from(!had_waits && listener.wait.is_some());
    }

    pub(super) fn overflowed(&mut self, overflow: &Overflow) {
        self.ignored.overflowed(overflow);
        if let Some(listener) = self.entry(overflow.listener) {
            listener.overflowed(overflow);
        }
    }

    /// Whether the peer of a connection seems to have been ignored before it was queued, where this
    /// kernel does not show that: its handshake took as long as it takes a peer to send again, and
    /// the accept queue was full.
    pub(super) fn seems_ignored(&self, accept: &Accept) -> Option<Ignoring> {
        let handshake_us = accept.handshake_us?;
        let sample = self.sample_of(accept.listener)?;
        if handshake_us < AGAIN_US || sample.overflow_ack.is_some() {
            return None;
        }
        let queued_ns = accept.queued_ns.unwrap_or(accept.ts_ns);
        let sampled =
            self.period_ns >= queued_ns.saturating_sub(handshake_us.saturating_mul(1_000));
        let was_full = sampled && sample.peak.max(sample.depth) > sample.limit;
        if !was_full && accept.depth < sample.limit {
            return None;
        }
        Some(Ignoring { since_ns: None, data: None })
    }

    /// Whether a listener has TCP_DEFER_ACCEPT, as far as is known.
    pub(super) fn defers(&self, listener: SockId) -> bool {
        let Some(sample) = self.sample_of(listener) else { return false };
        matches!(sample.defer_accept, Some(1..))
    }

    /// Forgets the accepting threads of a process that ended.
    pub(super) fn exited(&mut self, pid: u32) {
        for listener in self.table.values_mut() {
            listener.acceptors.exited(pid);
        }
    }

    /// Takes a sample; returns the listeners that appeared or closed. `delays_ns` returns the time
    /// that a thread was ready without a CPU since the sample before.
    pub(super) fn sampled(
        &mut self,
        sample: &Sample,
        delays_ns: impl Fn(u32) -> Option<u64>,
    ) -> Vec<LogEntry> {
        self.somaxconn = sample.somaxconn.iter().copied().collect();
        self.settings.clear();
        for settings in &sample.settings {
            self.settings.insert(settings.netns, *settings);
        }
        self.ignored.expire(sample.ts_ns);
        let mut inside: BTreeMap<SockId, Vec<&InAccept>> = BTreeMap::new();
        for call in &sample.in_accept {
            inside.entry(call.listener).or_default().push(call);
        }
        let mut changes = Vec::new();
        let mut refused = 0;
        for waiting in &sample.waiting {
            if let Some(listener) = self.table.get_mut(&waiting.listener) {
                listener.awaited(sample.ts_ns, waiting.exclusive);
            }
        }
        for listener in &sample.listeners {
            let calls = inside.remove(&listener.sock).unwrap_or_default();
            if !self.sample_one(sample.ts_ns, listener, &calls, &delays_ns, &mut changes) {
                refused += 1;
            }
        }
        self.refused = self.refused.max(refused);
        let present: BTreeSet<SockId> =
            sample.listeners.iter().map(|listener| listener.sock).collect();
        self.close_absent(sample.ts_ns, &present, &mut changes);
        self.share_in_groups(sample.ts_ns);
        self.period_ns = sample.ts_ns;
        changes
    }

    /// Takes the refusals that nothing named, of all listeners.
    pub(super) fn unnamed(
        &mut self,
        now_ns: u64,
        patient: impl Fn(Stage) -> bool,
    ) -> Vec<OverflowOutput> {
        let mut unnamed = Vec::new();
        for listener in self.table.values_mut() {
            unnamed.extend(listener.unnamed(now_ns, &patient));
        }
        unnamed
    }

    /// Returns the listeners that are open, or closed since the last report, in the order they
    /// became known. Each comes with its figures, and with how accepts were shared.
    pub(super) fn reportable(
        &self,
    ) -> impl Iterator<Item = (&Listener, ListenerView, Option<Shares>)> {
        self.ordered().filter_map(|listener| {
            if listener.closed && listener.close_reported {
                return None;
            }
            Some((listener, self.view(listener)?, self.shares(listener)))
        })
    }

    /// Counts the other open listeners of its SO_REUSEPORT group.
    pub(super) fn siblings(&self, of: &Listener) -> u64 {
        let Some(sample) = &of.sample else { return 0 };
        let open = self.sizes.get(&sample.place()).copied().unwrap_or(0);
        open.saturating_sub(u64::from(!of.closed))
    }

    /// Notes that everything reportable has been reported; forgets the oldest closed listeners.
    pub(super) fn reported(&mut self) {
        for listener in self.table.values_mut() {
            listener.close_reported = listener.closed;
        }
        while self.closed.len() > MAX_CLOSED
            && let Some(sock) = self.closed.pop_front()
        {
            let Some(old) = self.table.remove(&sock) else { continue };
            self.forgotten = add(&self.forgotten, &old.totals());
            if let Some(wait) = old.wait {
                self.histograms -= 1;
                self.forgotten_wait.merge(&wait);
            }
        }
    }

    /// Returns every listener without histories, in the order they became known.
    pub(super) fn views(&self) -> Vec<ListenerView> {
        self.ordered().filter_map(|listener| self.view(listener)).collect()
    }

    /// Returns every listener with histories, in the order they became known.
    pub(super) fn full_views(&self) -> Vec<ListenerView> {
        let full_view = |listener: &Listener| listener.full_view(self.somaxconn_of(listener));
        self.ordered().filter_map(full_view).collect()
    }

    /// Returns the number of listeners that were ever known, their totals and their waits.
    pub(super) fn totals(&self) -> (u64, Totals, WaitView) {
        let (mut totals, mut wait) = (self.forgotten, self.forgotten_wait.clone());
        for listener in self.table.values() {
            if let Some(other) = &listener.wait {
                wait.merge(other);
            }
            if listener.sample.is_some() {
                totals = add(&totals, &listener.totals());
            }
        }
        wait.refresh();
        (self.known, totals, wait.view())
    }

    /// Settings of a listener's network namespace.
    pub(super) fn settings(&self, listener: &Listener) -> Option<NetSettings> {
        let sample = listener.sample.as_ref()?;
        self.settings.get(&sample.netns).copied()
    }

    /// Clients of a listener whose final ACK was ignored lately, and that nobody has accepted
    /// since.
    pub(super) fn ignored(&self, sock: SockId) -> u64 {
        self.ignored.of(sock)
    }

    /// Address that a listener listens at.
    pub(super) fn local(&self, sock: SockId) -> Option<SocketAddr> {
        Some(self.sample_of(sock)?.local)
    }

    /// Process that stands for a listener.
    pub(super) fn pid(&self, sock: SockId) -> Option<u32> {
        Some(self.sample_of(sock)?.pid)
    }

    /// Port that a listener listens at.
    pub(super) fn port(&self, sock: SockId) -> Option<u16> {
        Some(self.local(sock)?.port())
    }

    pub(super) fn get(&self, sock: SockId) -> Option<&Listener> {
        self.table.get(&sock)
    }

    fn sample_of(&self, sock: SockId) -> Option<&ListenerSample> {
        self.table.get(&sock)?.sample.as_ref()
    }

    /// Listeners of one sample that found no room, at the worst.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    fn ordered(&self) -> impl Iterator<Item = &Listener> {
        let mut all: Vec<_> = self.table.values().collect();
        all.sort_by_key(|listener| listener.order);
        all.into_iter()
    }

    fn entry(&mut self, sock: SockId) -> Option<&mut Listener> {
        if self.table.len() >= MAX_LISTENERS && !self.table.contains_key(&sock) {
            return None;
        }
        let (next_order, period_ns) = (&mut self.next_order, self.period_ns);
        Some(self.table.entry(sock).or_insert_with(|| {
            *next_order += 1;
            Listener::new(*next_order, period_ns)
        }))
    }

    /// Takes a listener's sample. False when there is no room for it.
    fn sample_one(
        &mut self,
        now_ns: u64,
        sample: &ListenerSample,
        inside: &[&InAccept],
        delays_ns: impl Fn(u32) -> Option<u64>,
        changes: &mut Vec<LogEntry>,
    ) -> bool {
        let history = (HISTORY_POINTS / self.table.len().max(1)).clamp(LEAST_HISTORY, MAX_HISTORY);
        let Some(listener) = self.entry(sample.sock) else { return false };
        let (is_new, was_closed) = (listener.sample.is_none(), listener.closed);
        listener.sampled(now_ns, sample, inside.iter().copied(), delays_ns, history);
        // The backlog is known only of listeners whose call of `listen` was seen.
        if is_new && sample.backlog.is_some() {
            let what = StreamKind::Listening { local: sample.local };
            changes.push(LogEntry { ts_ns: sample.since_ns, listener: sample.sock, what });
        }
        self.known += u64::from(is_new);
        match sample.closed_ns {
            Some(closed_ns) if !was_closed => self.close(sample.sock, closed_ns, changes),
            None if was_closed => self.closed.retain(|&sock| sock != sample.sock),
            _ => {}
        }
        true
    }

    fn close(&mut self, sock: SockId, closed_ns: u64, changes: &mut Vec<LogEntry>) {
        let Some(listener) = self.table.get_mut(&sock) else { return };
        listener.close();
        self.ignored.closed(sock);
        self.closed.push_back(sock);
        if let Some(sample) = &listener.sample {
            let what = StreamKind::Closed { local: sample.local };
            changes.push(LogEntry { ts_ns: closed_ns, listener: sock, what });
        }
    }

    /// Closes the listeners that the kernel no longer lists. Those that only events named get one
    /// more sample to appear in.
    fn close_absent(
        &mut self,
        now_ns: u64,
        present: &BTreeSet<SockId>,
        changes: &mut Vec<LogEntry>,
    ) {
        let mut gone = Vec::new();
        for (&sock, listener) in &mut self.table {
            if present.contains(&sock) {
                continue;
            }
            listener.missed += 1;
            if !listener.closed && (listener.sample.is_some() || listener.missed > 1) {
                gone.push(sock);
            }
        }
        for sock in gone {
            self.close(sock, now_ns, changes);
        }
    }

    fn share_in_groups(&mut self, now_ns: u64) {
        let mut members: BTreeMap<Place, Vec<(SockId, u64)>> = BTreeMap::new();
        for (&sock, listener) in &self.table {
            if let Some(sample) = &listener.sample
                && !listener.closed
            {
                let group = members.entry(sample.place()).or_default();
                group.push((sock, sample.accepted));
            }
        }
        self.sizes =
            members.iter().map(|(group, sockets)| (*group, sockets.len() as u64)).collect();
        members.retain(|_, sockets| sockets.len() > 1);
        self.groups.retain(|group, _| members.contains_key(group));
        for (group, sockets) in members {
            let sharing = self.groups.entry(group).or_insert_with(|| Sharing::new(now_ns));
            sharing.update(now_ns, sockets.into_iter());
        }
    }

    /// Returns how accepts were shared: at the busiest listener of a group among its listeners, so
    /// that the group is judged once, and else among the listener's threads.
    fn shares(&self, listener: &Listener) -> Option<Shares> {
        let sample = listener.sample.as_ref()?;
        match self.groups.get(&sample.place()).and_then(Sharing::last) {
            Some(stretch) if stretch.busiest == sample.sock => Some(Shares {
                sharers: Sharers::Listeners,
                parties: stretch.parties,
                accepts: stretch.accepts,
                most: stretch.most,
                found_queued: 0,
                exclusive: None,
            }),
            _ => listener.shares(),
        }
    }

    fn view(&self, listener: &Listener) -> Option<ListenerView> {
        listener.view(self.somaxconn_of(listener))
    }

    fn somaxconn_of(&self, listener: &Listener) -> Option<u32> {
        let sample = listener.sample.as_ref()?;
        self.somaxconn.get(&sample.netns).copied()
    }
}

impl Places for Listeners {
    fn place(&self, listener: SockId) -> Option<(SocketAddr, u32)> {
        let sample = self.sample_of(listener)?;
        Some((sample.local, sample.netns))
    }

    fn netns(&self, pid: u32) -> Option<u32> {
        let mut found = None;
        for listener in self.table.values() {
            let Some(sample) = &listener.sample else { continue };
            if listener.closed || !sample.holders.contains(&pid) {
                continue;
            }
            // A process may have moved, or got a listener from elsewhere.
            if matches!(found, Some(netns) if netns != sample.netns) {
                return None;
            }
            found = Some(sample.netns);
        }
        found
    }

    fn holds(&self, pid: u32, listener: SockId) -> bool {
        matches!(self.sample_of(listener), Some(sample) if sample.holders.contains(&pid))
    }
}

/// Adds totals, where a figure that neither knows stays unknown.
fn add(one: &Totals, other: &Totals) -> Totals {
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    };
    Totals {
        syns: sum(one.syns, other.syns),
        queued: one.queued.saturating_add(other.queued),
        accepted: one.accepted.saturating_add(other.accepted),
        overflow_syn: one.overflow_syn.saturating_add(other.overflow_syn),
        overflow_ack: sum(one.overflow_ack, other.overflow_ack),
        syn_dropped: sum(one.syn_dropped, other.syn_dropped),
        cookies_sent: sum(one.cookies_sent, other.cookies_sent),
        synack_retransmits: one.synack_retransmits.saturating_add(other.synack_retransmits),
        synack_acked: sum(one.synack_acked, other.synack_acked),
        eagain: one.eagain.saturating_add(other.eagain),
        abandoned: one.abandoned.saturating_add(other.abandoned),
        accept_fails: sum(one.accept_fails, other.accept_fails),
        left: match (one.left, other.left) {
            (Some(one), Some(other)) => Some(LeftQueue {
                closed: one.closed.saturating_add(other.closed),
                reset: one.reset.saturating_add(other.reset),
                late: one.late.saturating_add(other.late),
                late_us: one.late_us.saturating_add(other.late_us),
                cut: one.cut.saturating_add(other.cut),
            }),
            (one, other) => one.or(other),
        },
    }
}
