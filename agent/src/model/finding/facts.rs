//! Facts that checks judge by, and the answer that they give.

use super::text::Text;
use super::uneven_workers::Shares;
use crate::model::connections::Held;
use crate::model::event::NetSettings;
use crate::model::listener::{Clients, Failing};
use crate::model::pattern::{Family, Load, Shape};
use crate::model::processors::Quota;
use crate::model::recent::{Figures, Recent};
use crate::model::snapshot::{ListenerView, Owner, Severity};
use crate::model::stats::{ExchangeStats, Stuck};
use crate::text::Untrusted;

/// Nothing accepted for so long while connections wait is a stall, ns.
pub(in crate::model) const STALL_NS: u64 = 1_000_000_000;
/// A wait in the accept queue from this on is long, µs.
pub(in crate::model) const LONG_WAIT_US: u64 = 50_000;
/// A process that was stopped at a refresh so long ago may be so still, ns.
const STOPPED_NS: u64 = 2_000_000_000;

/// Facts of a listener that checks judge by.
pub(in crate::model) struct ListenerFacts<'a> {
    /// The listener, its wait quantiles up to date.
    pub(in crate::model) view: &'a ListenerView,
    /// The last few seconds.
    pub(in crate::model) recent: &'a Recent,
    /// Their sums.
    pub(in crate::model) figures: Figures,
    /// Time since connections began to wait with none accepted, ns.
    pub(in crate::model) stalled_ns: u64,
    /// Distribution of the last few hundred accepts among threads or listeners.
    pub(in crate::model) shares: Option<Shares>,
    /// The failures of `accept` of late.
    pub(in crate::model) failing: Option<&'a Failing>,
    /// Other open listeners in its SO_REUSEPORT group.
    pub(in crate::model) siblings: u64,
    pub(in crate::model) now_ns: u64,
    /// Settings of the listener's network namespace, where known.
    pub(in crate::model) settings: Option<NetSettings>,
    /// Where its clients are.
    pub(in crate::model) clients: Clients,
    /// At least so many clients believe to be connected, and are not.
    pub(in crate::model) unaware: u64,
    /// No epoll instance of the application has the listener in it now, though they have others.
    pub(in crate::model) unwatched: bool,
    /// No epoll instance had it of late while connections waited, or its limit was 0.
    pub(in crate::model) was_at_limit: bool,
    /// The client whom a thread waits for that should accept.
    pub(in crate::model) held: Option<Held>,
    /// Open connections that came from it; `None` where connections are not followed.
    pub(in crate::model) open: Option<u64>,
    /// Share of the time in which connections waited that the accepting thread is known to have
    /// been ready, without a CPU.
    pub(in crate::model) denied_share: Option<f64>,
    /// The thread may have been without a CPU, and exchanges that will tell are not over yet.
    pub(in crate::model) undecided: bool,
    /// How those who accept share and serve the connections, where that is known.
    pub(in crate::model) shape: Option<Shape>,
    /// Workers that each serve one connection at a time, if more came than they could serve.
    pub(in crate::model) load: Option<Load>,
    /// Share of the last second for which workers that serve one connection at a time held any, in
    /// hundredths; `None` where it is not known.
    pub(in crate::model) held_percent: Option<u64>,
    /// A thread that accepts, and that handlers held lately while others waited for it.
    pub(in crate::model) held_up_by: Option<u32>,
}

impl ListenerFacts<'_> {
    /// Tells whether at least half of the recent waits were long.
    pub(super) fn waits_are_long(&self) -> bool {
        self.figures.long_waits >= 3 && self.figures.long_waits * 2 >= self.figures.waits
    }

    /// Tells whether nothing was accepted for long though connections waited.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_ns >= STALL_NS
    }

    /// Tells whether a thread was inside `accept` for most of the time in which connections waited.
    pub(super) fn is_attended(&self) -> bool {
        matches!(self.figures.attended_share(), Some(share) if share >= 0.5)
    }

    /// Tells whether the application could have run, and had no CPU, for most of the time in which
    /// connections waited.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self.denied_share, Some(share) if share >= 0.5)
    }

    /// Returns when the last sign of this kind of finding was seen, where that is known better than
    /// by the refresh: ns of `CLOCK_MONOTONIC`, to the end of its period.
    pub(super) fn last_sign_ns(&self, kind: &str) -> Option<u64> {
        let is_sign = match kind {
            "abandoned" => |figures: &Figures| figures.left_late > 0 || figures.cut > 0,
            "accept-fails" => |figures: &Figures| figures.fails > 0,
            "accept-queue-overflow" => |figures: &Figures| figures.overflows > 0,
            _ => return None,
        };
        self.recent.last_ns(is_sign)
    }

    /// Tells whether `listen(2)` asked for more than it got.
    pub(super) fn is_clamped(&self) -> bool {
        matches!(self.view.backlog, Some(asked) if asked > self.view.limit)
    }
}

/// The answer of a check whose condition holds.
pub(in crate::model) struct FindingVerdict {
    pub(super) severity: Severity,
    pub(super) owner: Owner,
    pub(super) headline: String,
    pub(super) text: Text,
    pub(super) evidence: Vec<(&'static str, f64)>,
    pub(super) fix: Untrusted,
}

/// Facts of the connections of a listener or a process that checks judge by.
pub(in crate::model) struct ConnectionFacts<'a> {
    /// The last few seconds of the exchanges that are over.
    pub(in crate::model) stats: &'a ExchangeStats,
    /// Connections that are stuck now.
    pub(in crate::model) stuck: &'a Stuck,
    /// The processors that their process may have.
    pub(in crate::model) cpu: CpuFacts,
    pub(in crate::model) now_ns: u64,
    /// The calls of the watched processes are watched, too.
    pub(in crate::model) sees_calls: bool,
    /// As [`ListenerFacts::shape`] and [`ListenerFacts::load`].
    pub(in crate::model) shape: Option<Shape>,
    pub(in crate::model) load: Option<Load>,
}

/// Facts of the processors that checks judge by.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct CpuFacts {
    /// The quota that the process reached most often.
    pub(in crate::model) quota: Option<Quota>,
    /// Processors of the machine, and the most threads that wanted one at a refresh lately, where
    /// that was read.
    pub(in crate::model) crowd: Option<(u32, u32)>,
    /// Watched processes that were stopped, and at which refreshes lately.
    pub(in crate::model) stopped: Vec<(u64, u32)>,
}

impl CpuFacts {
    /// Tells whether a process was stopped at a refresh in this stretch.
    pub(super) fn was_stopped(&self, pid: u32, from_ns: u64, to_ns: u64) -> bool {
        let stretch = from_ns..=to_ns;
        self.stopped.iter().any(|&(ts_ns, stopped)| stopped == pid && stretch.contains(&ts_ns))
    }

    /// Returns a process that was stopped at the newest refresh that saw one, if it may be so now.
    pub(super) fn stopped_lately(&self, now_ns: u64) -> Option<u32> {
        let &(ts_ns, pid) = self.stopped.last()?;
        if ts_ns.saturating_add(STOPPED_NS) < now_ns {
            return None;
        }
        Some(pid)
    }
}

impl ConnectionFacts<'_> {
    /// Tells whether so many exchanges are at least a tenth of all, and no single ones.
    pub(super) fn are_many(&self, count: u64) -> bool {
        count >= 3 && count * 10 >= self.stats.exchanges
    }
}

/// Facts of a family of processes that checks judge by.
pub(in crate::model) struct FamilyFacts<'a> {
    pub(super) family: &'a Family<'a>,
    /// The share of the last period that a thread was on a CPU.
    pub(super) busy: &'a dyn Fn(u32) -> Option<f64>,
}
