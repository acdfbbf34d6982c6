//! Sums over exchanges that waited long for the application.

use super::slices::CpuTime;
use super::{Lack, Tally, Upstreams};
use crate::model::snapshot::{ExchangeView, SliceKind};
use crate::model::waits::HeldUp;

/// Use of slow application time. Its length is in `ExchangeStats::slow`.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct AppStats {
    /// Time on a CPU, and of how much of the slow time that is known, µs.
    pub(in crate::model) cpu_us: u64,
    pub(in crate::model) known_us: u64,
    /// Slow exchanges on connections on which several calls were open at a time.
    pub(in crate::model) several: u64,
    /// Whether other threads of their processes lacked a CPU meanwhile.
    pub(in crate::model) lack: Lack,
    /// Slow exchanges that an event loop had put aside.
    pub(in crate::model) put_aside: u64,
    /// Slow exchanges during which others lay unread until their thread was done.
    pub(in crate::model) blocking: Tally,
    /// Exchanges that lay unread so, the longest such wait, µs, and the newest such thread.
    pub(in crate::model) held_up: u64,
    pub(in crate::model) held_up_us: u64,
    pub(in crate::model) blocking_tid: u32,
    /// Slow exchanges that made calls to others.
    pub(in crate::model) calls: u64,
    /// Those of them that are joined to calls, how long they waited for these, µs, and for whom.
    pub(in crate::model) joined: u64,
    pub(in crate::model) upstream_us: u64,
    pub(in crate::model) upstreams: Upstreams,
}

impl AppStats {
    /// Counts an exchange that is judged as soon as it is over.
    pub(super) fn add(&mut self, view: &ExchangeView) {
        self.add_cpu(CpuTime::of(view, SliceKind::App));
        self.calls += u64::from(!view.inside.is_empty());
    }

    pub(super) fn add_cpu(&mut self, time: CpuTime) {
        self.cpu_us = self.cpu_us.saturating_add(time.cpu_us);
        self.known_us = self.known_us.saturating_add(time.known_us);
    }

    /// Counts the requests that waited until a thread was done with an exchange of so long.
    pub(super) fn add_held_up(&mut self, us: u64, held: HeldUp, tid: u32) {
        if held.count > 0 {
            self.blocking.add(us);
            self.held_up += held.count;
            self.held_up_us = self.held_up_us.max(held.worst_us);
            self.blocking_tid = tid;
        }
    }

    /// Tells whether other requests lay unread until a thread was done with one of these. Such a
    /// thread was at work, whatever it waited for.
    pub(in crate::model) fn is_blocking(&self) -> bool {
        self.blocking.count >= 2 && self.held_up >= 3
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        self.known_us = self.known_us.saturating_add(other.known_us);
        self.several += other.several;
        self.lack.merge(&other.lack);
        self.put_aside += other.put_aside;
        self.blocking.merge(&other.blocking);
        self.held_up += other.held_up;
        self.held_up_us = self.held_up_us.max(other.held_up_us);
        if other.blocking_tid != 0 {
            self.blocking_tid = other.blocking_tid;
        }
        self.calls += other.calls;
        self.joined += other.joined;
        self.upstream_us = self.upstream_us.saturating_add(other.upstream_us);
        self.upstreams.merge(&other.upstreams);
    }
}
