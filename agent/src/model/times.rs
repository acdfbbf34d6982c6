//! Where the time of exchanges went: over the run, and over the last few seconds.

use std::collections::VecDeque;

use super::exchange;
use super::snapshot::{ExchangeView, Owner, OwnerTimes, Slice, SliceKind};

/// How far back "recent" goes, ns.
const SPAN_NS: u64 = 5_000_000_000;
/// The window moves in such steps, ns. With [`SPAN_NS`] it bounds the number of them.
const STEP_NS: u64 = 500_000_000;

/// Time by kind, µs, in the order of [`SliceKind::ALL`].
pub(super) type KindTimes = [u64; SliceKind::ALL.len()];

impl OwnerTimes {
    /// Adds one exchange, without a trailing delayed ACK.
    pub(super) fn add(&mut self, slices: &[Slice]) {
        self.exchanges += 1;
        exchange::counted(slices).for_each(|(kind, us)| self.add_time(kind, us));
    }

    /// Adds time of one kind.
    pub(super) fn add_time(&mut self, kind: SliceKind, us: u64) {
        let sum = match kind.owner() {
            Owner::Kernel => &mut self.kernel_us,
            Owner::App => &mut self.app_us,
            Owner::Peer => &mut self.peer_us,
            Owner::Unknown => &mut self.unknown_us,
        };
        *sum = sum.saturating_add(us);
    }

    /// Adds what another sum has.
    pub(super) fn merge(&mut self, other: &Self) {
        self.exchanges += other.exchanges;
        self.kernel_us = self.kernel_us.saturating_add(other.kernel_us);
        self.app_us = self.app_us.saturating_add(other.app_us);
        self.peer_us = self.peer_us.saturating_add(other.peer_us);
        self.unknown_us = self.unknown_us.saturating_add(other.unknown_us);
    }
}

/// Sums over every exchange reported.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) all: OwnerTimes,
    /// A trailing delayed ACK is in it.
    pub(super) by_kind: KindTimes,
    steps: VecDeque<(u64, OwnerTimes)>,
}

impl Times {
    pub(super) fn add(&mut self, now_ns: u64, view: &ExchangeView) {
        let mut one = OwnerTimes::default();
        one.add(&view.slices);
        self.all.merge(&one);
        for slice in &view.slices {
            let sum = &mut self.by_kind[slice.kind as usize];
            *sum = sum.saturating_add(slice.us);
        }
        let step = now_ns / STEP_NS;
        match self.steps.back_mut().filter(|(last, _)| *last >= step) {
            Some((_, times)) => times.merge(&one),
            None => self.steps.push_back((step, one)),
        }
        while self.steps.len() as u64 > SPAN_NS / STEP_NS {
            self.steps.pop_front();
        }
    }

    /// What was reported in the last few seconds.
    pub(super) fn recent(&self, now_ns: u64) -> OwnerTimes {
        let from = now_ns.saturating_sub(SPAN_NS) / STEP_NS;
        let mut sum = OwnerTimes::default();
        self.steps.iter().filter(|(step, _)| *step > from).for_each(|(_, times)| sum.merge(times));
        sum
    }

    /// Kinds that took any time, in order.
    pub(super) fn kinds(&self) -> Vec<(SliceKind, u64)> {
        SliceKind::ALL.into_iter().map(|kind| (kind, self.by_kind[kind as usize])).filter(|&(_, us)| us > 0).collect()
    }
}
