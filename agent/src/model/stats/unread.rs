//! Exchanges whose first bytes waited long to be read.

use super::slices::CpuTime;
use super::{Lack, SLOW_US, Tally};
use crate::model::event::{Exchange, ThreadUse};
use crate::model::snapshot::{ExchangeView, Slice, SliceKind};
use crate::model::waits::Stretch;

/// Wait of the first bytes of an exchange to be read, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// In the receive queue.
    pub(super) queue_us: u64,
    /// After that, without a CPU: the reader was ready.
    pub(super) delay_us: u64,
}

impl Unread {
    /// Sums the slices before the read. A wait for a CPU is the reader's if it comes before
    /// anything else that the application did.
    pub(super) fn of(view: &ExchangeView) -> Self {
        let mut unread = Self::default();
        for slice in after_response(&view.slices) {
            match slice.kind {
                SliceKind::ReceiveQueue => {
                    unread.queue_us = slice.us.saturating_add(unread.queue_us)
                }
                SliceKind::RunQueue => unread.delay_us = slice.us.saturating_add(unread.delay_us),
                SliceKind::Handshake | SliceKind::AcceptQueue | SliceKind::Request => {}
                _ => break,
            }
        }
        unread
    }

    pub(super) fn us(&self) -> u64 {
        self.queue_us.saturating_add(self.delay_us)
    }

    /// The reader's time from the arrival of the first byte to its read.
    pub(super) fn stretch(exchange: &Exchange) -> Option<Stretch> {
        let inbound = exchange.inbound.as_ref()?;
        let (from_ns, to_ns) = (inbound.first_ns, inbound.read_first_ns?);
        let ThreadUse { pid, tid, .. } = inbound.reader?;
        if from_ns == 0 || to_ns <= from_ns {
            return None;
        }
        Some(Stretch { pid, tid, sock: exchange.sock, from_ns, to_ns })
    }
}

/// Returns the slices of a call once its peer has answered; of a request, all.
fn after_response(slices: &[Slice]) -> &[Slice] {
    match slices.iter().position(|slice| slice.kind == SliceKind::Response) {
        Some(at) => &slices[at + 1..],
        None => slices,
    }
}

/// Sums over exchanges whose data waited at least [`SLOW_US`] to be read.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct UnreadStats {
    /// Waits in the queue or for a CPU.
    pub(in crate::model) waits: Tally,
    /// Time of it that the reader was on a CPU, and ready without one, µs.
    pub(in crate::model) cpu_us: u64,
    pub(in crate::model) delay_us: u64,
    /// Time of it of which that is known, µs.
    pub(in crate::model) known_us: u64,
    /// Whether other threads of their processes lacked a CPU meanwhile.
    pub(in crate::model) lack: Lack,
    /// Answers to calls that lay unread while the client that they were for did not take what it
    /// was sent.
    pub(in crate::model) held_back: Tally,
}

impl UnreadStats {
    pub(super) fn add(&mut self, view: &ExchangeView) {
        let unread = Unread::of(view);
        if unread.us() < SLOW_US {
            return;
        }
        self.waits.add(unread.us());
        let queued = CpuTime::of(view, SliceKind::ReceiveQueue);
        self.cpu_us = self.cpu_us.saturating_add(queued.cpu_us);
        self.delay_us = self.delay_us.saturating_add(unread.delay_us);
        self.known_us =
            self.known_us.saturating_add(queued.known_us.saturating_add(unread.delay_us));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.waits.merge(&other.waits);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        self.delay_us = self.delay_us.saturating_add(other.delay_us);
        self.known_us = self.known_us.saturating_add(other.known_us);
        self.lack.merge(&other.lack);
        self.held_back.merge(&other.held_back);
    }
}
