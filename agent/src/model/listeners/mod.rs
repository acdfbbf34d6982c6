//! All listeners of the run, and what they have in common.

mod refresh;
mod views;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::model::event::{Accept, ListenerSample, NetSettings, Overflow, Place, SockId};
use crate::model::exchange::Ignoring;
use crate::model::finding::Places;
use crate::model::histogram::{Precision, WaitHistogram};
use crate::model::ignored::Ignored;
use crate::model::listener::Listener;
use crate::model::sharing::Sharing;
use crate::model::snapshot::Totals;

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
pub(in crate::model) struct Listeners {
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
    forgotten_untold: u64,
}

impl Listeners {
    pub(in crate::model) fn new(attached_ns: u64) -> Self {
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
            forgotten_untold: 0,
        }
    }

    pub(in crate::model) fn accepted(&mut self, accept: &Accept) {
        self.ignored.accepted(accept);
        let precision =
            if self.histograms < FINE_HISTOGRAMS { Precision::Fine } else { Precision::Coarse };
        let Some(listener) = self.entry(accept.listener) else { return };
        let had_waits = listener.wait.is_some();
        listener.accepted(accept, precision);
        self.histograms += usize::from(!had_waits && listener.wait.is_some());
    }

    pub(in crate::model) fn overflowed(&mut self, overflow: &Overflow) {
        self.ignored.overflowed(overflow);
        if let Some(listener) = self.entry(overflow.listener) {
            listener.overflowed(overflow);
        }
    }

    /// Whether the peer of a connection seems to have been ignored before it was queued, where this
    /// kernel does not show that: its handshake took as long as it takes a peer to send again, and
    /// the accept queue was full.
    pub(in crate::model) fn seems_ignored(&self, accept: &Accept) -> Option<Ignoring> {
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
    pub(in crate::model) fn defers(&self, listener: SockId) -> bool {
        let Some(sample) = self.sample_of(listener) else { return false };
        matches!(sample.defer_accept, Some(1..))
    }

    /// Forgets the accepting threads of a process that ended.
    pub(in crate::model) fn exited(&mut self, pid: u32) {
        for listener in self.table.values_mut() {
            listener.acceptors.exited(pid);
        }
    }

    /// Clients of a listener whose final ACK was ignored lately, and that nobody has accepted
    /// since.
    pub(in crate::model) fn ignored(&self, sock: SockId) -> u64 {
        self.ignored.of(sock)
    }

    /// Address that a listener listens at.
    pub(in crate::model) fn local(&self, sock: SockId) -> Option<SocketAddr> {
        Some(self.sample_of(sock)?.local)
    }

    /// Process that stands for a listener.
    pub(in crate::model) fn pid(&self, sock: SockId) -> Option<u32> {
        Some(self.sample_of(sock)?.pid)
    }

    /// Port that a listener listens at.
    pub(in crate::model) fn port(&self, sock: SockId) -> Option<u16> {
        Some(self.local(sock)?.port())
    }

    pub(in crate::model) fn get(&self, sock: SockId) -> Option<&Listener> {
        self.table.get(&sock)
    }

    fn sample_of(&self, sock: SockId) -> Option<&ListenerSample> {
        self.table.get(&sock)?.sample.as_ref()
    }

    /// Listeners of one sample that found no room, at the worst.
    pub(in crate::model) fn refused(&self) -> u64 {
        self.refused
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
