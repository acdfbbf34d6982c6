//! What is shown of all listeners, and their sums.

use super::Listeners;
use crate::model::event::{LeftQueue, NetSettings};
use crate::model::finding::{Sharers, Shares};
use crate::model::listener::Listener;
use crate::model::sharing::Sharing;
use crate::model::snapshot::{ListenerView, Totals, WaitView};

impl Listeners {
    /// Returns the listeners that are open, or closed since the last report, in the order they
    /// became known. Each comes with its figures, and with how accepts were shared.
    pub(in crate::model) fn reportable(
        &self,
    ) -> impl Iterator<Item = (&Listener, ListenerView, Option<Shares>)> {
        self.ordered().filter_map(|listener| {
            if listener.closed && listener.close_reported {
                return None;
            }
            Some((listener, self.view(listener)?, self.shares(listener)))
        })
    }

    /// Returns every listener without histories, in the order they became known.
    pub(in crate::model) fn views(&self) -> Vec<ListenerView> {
        self.ordered().filter_map(|listener| self.view(listener)).collect()
    }

    /// Returns every listener with histories, in the order they became known.
    pub(in crate::model) fn full_views(&self) -> Vec<ListenerView> {
        let full_view = |listener: &Listener| listener.full_view(self.somaxconn_of(listener));
        self.ordered().filter_map(full_view).collect()
    }

    /// Returns the number of listeners that were ever known, their totals and their waits.
    pub(in crate::model) fn totals(&self) -> (u64, Totals, WaitView) {
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

    /// Connections that were left untold, and that none stands for yet.
    pub(in crate::model) fn left_untold(&self) -> u64 {
        self.forgotten_untold + self.table.values().map(Listener::left_untold).sum::<u64>()
    }

    /// Counts the other open listeners of its SO_REUSEPORT group.
    pub(in crate::model) fn siblings(&self, of: &Listener) -> u64 {
        let Some(sample) = &of.sample else { return 0 };
        let open = self.sizes.get(&sample.place()).copied().unwrap_or(0);
        open.saturating_sub(u64::from(!of.closed))
    }

    /// Settings of a listener's network namespace.
    pub(in crate::model) fn settings(&self, listener: &Listener) -> Option<NetSettings> {
        let sample = listener.sample.as_ref()?;
        self.settings.get(&sample.netns).copied()
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

    fn ordered(&self) -> impl Iterator<Item = &Listener> {
        let mut all: Vec<_> = self.table.values().collect();
        all.sort_by_key(|listener| listener.order);
        all.into_iter()
    }
}

/// Adds totals, where a figure that neither knows stays unknown.
pub(super) fn add(one: &Totals, other: &Totals) -> Totals {
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
