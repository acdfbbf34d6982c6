//! Pauses: times in which exchanges are not watched, to keep to a budget. What is known of exchanges
//! stands still meanwhile, as if no time passed; listeners are judged all the time.

use super::Model;
use super::event::{Accept, Pause};
use super::output::Output;

/// An estimated time in a queue may be wrong by so much, ns: a tick of the slowest clock.
const TICK_NS: u64 = 10_000_000;

/// The pauses so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pauses {
    /// The present one began.
    since_ns: Option<u64>,
    /// The newest one ended; 0 before the first.
    ended_ns: u64,
    /// Time of those that are over.
    over_ns: u64,
    begun: u64,
}

impl Pauses {
    /// The present one began, if there is one.
    pub(super) fn since_ns(&self) -> Option<u64> {
        self.since_ns
    }

    /// Time of all until now; `None` if there was none.
    pub(super) fn total_ns(&self, now_ns: u64) -> Option<u64> {
        if self.begun == 0 {
            return None;
        }
        let present_ns = self.since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns));
        Some(self.over_ns.saturating_add(present_ns))
    }

    /// Whether nothing was to be seen of exchanges at this time, which is near.
    pub(super) fn hides(&self, ts_ns: u64) -> bool {
        self.since_ns.is_some_and(|since_ns| ts_ns > since_ns)
    }

    /// Whether the probes have followed an accepted connection from its beginning: none that began in
    /// a pause.
    pub(super) fn follows(&self, accept: &Accept) -> bool {
        if self.begun == 0 {
            return true;
        }
        let slack_ns = if accept.queued_estimated { TICK_NS } else { 0 };
        let began_ns = accept.queued_ns.unwrap_or(0);
        self.since_ns.is_none() && began_ns > self.ended_ns.saturating_add(slack_ns)
    }
}

impl Model {
    /// Whether exchanges are watched now.
    pub(super) fn watches_exchanges(&self) -> bool {
        self.setup.exchanges && self.pauses.since_ns.is_none()
    }

    /// A pause begins, or ends.
    pub(super) fn pause(&mut self, pause: &Pause, out: &mut Vec<Output>) {
        self.advance(pause.ts_ns);
        match (pause.begins, self.pauses.since_ns) {
            (true, None) => {
                self.pauses.since_ns = Some(pause.ts_ns);
                self.pauses.begun += 1;
                self.connections.pause();
                self.stats.pause();
            }
            (false, Some(since_ns)) => {
                let lasted_ns = pause.ts_ns.saturating_sub(since_ns);
                self.pauses.since_ns = None;
                self.pauses.ended_ns = pause.ts_ns;
                self.pauses.over_ns = self.pauses.over_ns.saturating_add(lasted_ns);
                self.connections.skip(lasted_ns);
                self.proxies.skip(lasted_ns);
                self.stats.skip(lasted_ns);
                self.findings.skip(lasted_ns);
            }
            // Told twice.
            _ => return,
        }
        out.push(Output::Pause(*pause));
    }
}
