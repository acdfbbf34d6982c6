//! The connects to one address in the last few seconds, by outcome.

use std::net::SocketAddr;

use crate::model::event::{Connect, Outcome};
use crate::model::stats::Tally;
use crate::model::window::Window;

/// Connects in one stretch of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub(super) made: u64,
    /// Failures by [`Outcome`].
    failed: [Tally; OUTCOMES],
    syns: u64,
    /// Requests that waited for one that failed.
    pub(super) requests: u64,
    /// Of the newest failure.
    error: Option<u32>,
    inferred: bool,
    ports: Option<(u16, u16)>,
    time_wait: Option<u64>,
}

const OUTCOMES: usize = 9;

impl Step {
    /// Counts one that failed.
    pub(super) fn add(&mut self, connect: &Connect) {
        let took_ns = connect.ts_ns.saturating_sub(connect.asked_ns);
        self.failed[connect.outcome as usize].add(took_ns / 1_000);
        self.syns += u64::from(connect.syns);
        if connect.error.is_some() {
            (self.error, self.inferred) = (connect.error, connect.inferred);
        }
        if connect.ports.is_some() {
            (self.ports, self.time_wait) = (connect.ports, connect.time_wait);
        }
    }
}

/// The recent connects to an address.
pub(super) type Steps = Window<Step, 10>;

/// The connects to one address, of the last few seconds and those that hang now.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::model) struct RecentFigures {
    pub(in crate::model) peer: SocketAddr,
    pub(in crate::model) made: u64,
    failed: [Tally; OUTCOMES],
    /// SYNs that were sent for those that failed or hang.
    pub(in crate::model) syns: u64,
    /// Requests that waited for one that failed.
    pub(in crate::model) requests: u64,
    /// Of the newest failure; whether it is inferred.
    pub(in crate::model) error: Option<u32>,
    pub(in crate::model) inferred: bool,
    pub(in crate::model) ports: Option<(u16, u16)>,
    pub(in crate::model) time_wait: Option<u64>,
}

impl RecentFigures {
    pub(super) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            made: 0,
            failed: [Tally::default(); OUTCOMES],
            syns: 0,
            requests: 0,
            error: None,
            inferred: false,
            ports: None,
            time_wait: None,
        }
    }

    /// Sums up the steps of an address.
    pub(super) fn of_steps(peer: SocketAddr, steps: &Steps, now_ns: u64) -> Self {
        let mut sum = Self::new(peer);
        for step in steps.recent(now_ns) {
            sum.made = sum.made.saturating_add(step.made);
            for (tally, more) in sum.failed.iter_mut().zip(&step.failed) {
                tally.merge(more);
            }
            sum.syns = sum.syns.saturating_add(step.syns);
            sum.requests = sum.requests.saturating_add(step.requests);
            if step.error.is_some() {
                (sum.error, sum.inferred) = (step.error, step.inferred);
            }
            if step.ports.is_some() {
                (sum.ports, sum.time_wait) = (step.ports, step.time_wait);
            }
        }
        sum
    }

    /// Adds one that hangs now.
    pub(super) fn hangs(&mut self, connect: &Connect, now_ns: u64) {
        self.failed[Outcome::Pending as usize].add(now_ns.saturating_sub(connect.asked_ns) / 1_000);
        self.syns += u64::from(connect.syns);
    }

    /// Those that ended so, or hang.
    pub(in crate::model) fn of(&self, outcome: Outcome) -> &Tally {
        &self.failed[outcome as usize]
    }

    /// Those of any of these outcomes.
    pub(in crate::model) fn any_of(&self, outcomes: &[Outcome]) -> Tally {
        let mut sum = Tally::default();
        for &outcome in outcomes {
            sum.merge(self.of(outcome));
        }
        sum
    }

    /// All that failed or hang.
    pub(in crate::model) fn all(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in &self.failed {
            sum.merge(tally);
        }
        sum
    }
}
