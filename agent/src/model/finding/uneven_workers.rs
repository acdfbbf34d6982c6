//! Several threads, processes or listeners share the accepts, and one gets far more than its part.

use super::{Facts, Verdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, percent};

/// Who shares the accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharers {
    /// Threads or processes that accept on one listener.
    Threads,
    /// Listeners of one SO_REUSEPORT group.
    Listeners,
}

/// How the accepts of a recent stretch were shared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shares {
    /// Among whom.
    pub(crate) sharers: Sharers,
    /// How many of them.
    pub(crate) parties: u64,
    /// Accepts in all.
    pub(crate) accepts: u64,
    /// Accepts of the one with most.
    pub(crate) most: u64,
    /// Accepts that found the connection already queued when the call began, as an event loop's do.
    pub(crate) found_queued: u64,
}

impl Shares {
    /// Times its fair part that the busiest one got.
    fn skew(&self) -> f64 {
        self.most as f64 * self.parties as f64 / self.accepts.max(1) as f64
    }

    /// Two parties can't be further apart than 2, so less is asked of them.
    fn is_uneven(&self) -> bool {
        self.parties >= 2 && self.skew() >= if self.parties == 2 { 1.6 } else { 2.0 }
    }
}

pub(super) fn check(facts: &Facts<'_>) -> Option<Verdict> {
    let shares = facts.shares.filter(Shares::is_uneven)?;
    // Uneven sharing alone costs nothing. It does when connections wait while others are idle.
    let hurts = facts.waits_are_long() || facts.figures.overflows > 0;
    let part = shares.most as f64 / shares.accepts.max(1) as f64;
    let fair = 1.0 / shares.parties as f64;
    let (who, owner, fix) = match shares.sharers {
        Sharers::Listeners => ("listeners", Owner::Kernel, SHARDS_FIX),
        Sharers::Threads if shares.found_queued * 2 >= shares.accepts => ("acceptors", Owner::Kernel, LOOPS_FIX),
        Sharers::Threads => ("acceptors", Owner::Unknown, THREADS_FIX),
    };
    let why = match (shares.sharers, owner) {
        (Sharers::Listeners, _) => {
            "SO_REUSEPORT picks a listener by a hash of addresses and ports: with few clients or few ports some get little."
        }
        (_, Owner::Kernel) => {
            "They accept from event loops: epoll with EPOLLEXCLUSIVE always wakes the same one first, as long as it is free."
        }
        _ => "Why the kernel handed them to the one was not observed.",
    };
    Some(Verdict {
        severity: if hurts { Severity::Warning } else { Severity::Info },
        owner,
        headline: format!("One of {} {who} takes {} of the accepts.", count(shares.parties), percent(part)),
        text: format!("Of the last {} accepts a fair part is {}. {why}", count(shares.accepts), percent(fair)),
        evidence: vec![
            ("max_share", part),
            ("fair_share", fair),
            ("parties", shares.parties as f64),
            ("accepts", shares.accepts as f64),
        ],
        fix: fix.into(),
    })
}

const SHARDS_FIX: &str = "accept on one shared listener, or steer with SO_ATTACH_REUSEPORT_EBPF.";
const LOOPS_FIX: &str = "a listener for each worker with SO_REUSEPORT (nginx: listen … reuseport).";
const THREADS_FIX: &str =
    "let every worker block in accept() (the kernel wakes them in turn), or a listener for each with SO_REUSEPORT.";
