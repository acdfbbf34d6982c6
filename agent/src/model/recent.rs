//! The last few seconds of a listener, by which findings judge, whatever the refresh period is.

use std::collections::VecDeque;

use super::attendance::Attended;

/// Length of the window, ns.
const SPAN_NS: u64 = 5_000_000_000;
/// Refreshes closer together than this are counted as one, ns. With [`SPAN_NS`] it bounds the
/// number of periods.
const GRAIN_NS: u64 = 250_000_000;
/// Rates are never taken over less than this, ns: one event in the first millisecond is not a
/// thousand a second.
const LEAST_RATE_SPAN_NS: u64 = 1_000_000_000;

/// Figures of one period, or summed over several. Peaks are maxima.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) accepts: u64,
    pub(super) arrivals: u64,
    pub(super) overflows: u64,
    /// Those of them that are known to be final ACKs.
    pub(super) overflow_ack: u64,
    pub(super) cookies: u64,
    pub(super) syn_dropped: u64,
    pub(super) synack_retransmits: u64,
    /// Those of them whose final ACK had come.
    pub(super) synack_acked: u64,
    /// Accepts with a known wait, those of them that waited long, and how long they waited.
    pub(super) waits: u64,
    pub(super) long_waits: u64,
    pub(super) wait_sum_us: u64,
    pub(super) wait_max_us: u64,
    /// Calls of `accept` that failed.
    pub(super) fails: u64,
    /// Connections whose peer left after a long wait in the queue, and how long they had waited,
    /// µs.
    pub(super) left_late: u64,
    pub(super) left_late_us: u64,
    /// Connections that the listener had in its queue when it closed.
    pub(super) cut: u64,
    pub(super) depth_peak: u32,
    /// The limit of the accept queue when it overflowed; the least and the most that it may have
    /// been.
    pub(super) full_at: Option<(u32, u32)>,
    pub(super) syn_peak: u32,
    /// Time that the thread which was inside `accept` longest spent there, out of the time for
    /// which that is known.
    pub(super) inside_ns: u64,
    pub(super) inside_known_ns: u64,
    /// Of the time in which connections waited, the most that a thread which accepts them may have
    /// been ready without a CPU. And the part of that time for which this is known.
    pub(super) delay_ns: u64,
    pub(super) delay_known_ns: u64,
    /// Time in which connections waited, and in which a thread was inside `accept` besides.
    pub(super) attended: Attended,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.accepts = self.accepts.saturating_add(other.accepts);
        self.arrivals = self.arrivals.saturating_add(other.arrivals);
        self.overflows = self.overflows.saturating_add(other.overflows);
        self.overflow_ack = self.overflow_ack.saturating_add(other.overflow_ack);
        self.cookies = self.cookies.saturating_add(other.cookies);
        self.syn_dropped = self.syn_dropped.saturating_add(other.syn_dropped);
        self.synack_retransmits = self.synack_retransmits.saturating_add(other.synack_retransmits);
        self.synack_acked = self.synack_acked.saturating_add(other.synack_acked);
        self.waits = self.waits.saturating_add(other.waits);
        self.long_waits = self.long_waits.saturating_add(other.long_waits);
        self.wait_sum_us = self.wait_sum_us.saturating_add(other.wait_sum_us);
        self.wait_max_us = self.wait_max_us.max(other.wait_max_us);
        self.fails = self.fails.saturating_add(other.fails);
        self.left_late = self.left_late.saturating_add(other.left_late);
        self.left_late_us = self.left_late_us.saturating_add(other.left_late_us);
        self.cut = self.cut.saturating_add(other.cut);
        self.depth_peak = self.depth_peak.max(other.depth_peak);
        let span = |(least, most): (u32, u32), (other_least, other_most): (u32, u32)| {
            (least.min(other_least), most.max(other_most))
        };
        self.full_at = match (self.full_at, other.full_at) {
            (Some(one), Some(other)) => Some(span(one, other)),
            (one, other) => one.or(other),
        };
        self.syn_peak = self.syn_peak.max(other.syn_peak);
        self.inside_ns = self.inside_ns.saturating_add(other.inside_ns);
        self.inside_known_ns = self.inside_known_ns.saturating_add(other.inside_known_ns);
        self.delay_ns = self.delay_ns.saturating_add(other.delay_ns);
        self.delay_known_ns = self.delay_known_ns.saturating_add(other.delay_known_ns);
        self.attended.all_ns = self.attended.all_ns.saturating_add(other.attended.all_ns);
        self.attended.waited_ns = self.attended.waited_ns.saturating_add(other.attended.waited_ns);
        self.attended.inside_ns = self.attended.inside_ns.saturating_add(other.attended.inside_ns);
    }

    /// Mean of the known waits, µs; `None` when none is known.
    pub(super) fn wait_mean_us(&self) -> Option<u64> {
        self.wait_sum_us.checked_div(self.waits)
    }

    /// Share of the time that some thread was inside `accept`; `None` when not known.
    pub(super) fn inside_share(&self) -> Option<f64> {
        share(self.inside_ns, self.inside_known_ns)
    }

    /// Share of the time in which connections waited that the accepting thread may have been ready,
    /// without a CPU, if that is known of half of it.
    pub(super) fn delayed_share(&self) -> Option<f64> {
        if self.delay_known_ns.saturating_mul(2) < self.attended.all_ns {
            return None;
        }
        share(self.delay_ns, self.delay_known_ns)
    }

    /// Share of the time in which connections waited that some thread was inside `accept`; `None`
    /// when not known.
    pub(super) fn attended_share(&self) -> Option<f64> {
        share(self.attended.inside_ns, self.attended.waited_ns)
    }
}

/// Returns a part of the time that is known; `None` when none is.
fn share(part_ns: u64, known_ns: u64) -> Option<f64> {
    if known_ns == 0 { None } else { Some(part_ns as f64 / known_ns as f64) }
}

#[derive(Clone, Debug)]
struct Period {
    start_ns: u64,
    end_ns: u64,
    figures: Figures,
}

/// A sliding window over the last periods.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    periods: VecDeque<Period>,
}

impl Recent {
    /// Adds the figures of a period, and forgets what is older than the window.
    pub(super) fn push(&mut self, start_ns: u64, end_ns: u64, figures: Figures) {
        match self.periods.back_mut() {
            // Idle periods become one, so that ten thousand idle listeners cost little.
            Some(last)
                if end_ns.saturating_sub(last.start_ns) <= GRAIN_NS
                    || last.figures == figures && is_idle(&figures) =>
            {
                last.end_ns = end_ns;
                last.figures.add(&figures);
            }
            _ => self.periods.push_back(Period { start_ns, end_ns, figures }),
        }
        let from_ns = end_ns.saturating_sub(SPAN_NS);
        while self.periods.len() > 1 && self.periods[0].end_ns <= from_ns {
            self.periods.pop_front();
        }
        if let Some(first) = self.periods.front_mut()
            && is_idle(&first.figures)
        {
            first.start_ns = first.start_ns.max(from_ns);
        }
    }

    /// Sums the window.
    pub(super) fn figures(&self) -> Figures {
        let mut sum = Figures::default();
        for period in &self.periods {
            sum.add(&period.figures);
        }
        sum
    }

    /// Returns the end of the last period in the window whose figures are so.
    pub(super) fn last_ns(&self, are_so: impl Fn(&Figures) -> bool) -> Option<u64> {
        let mut newest_first = self.periods.iter().rev();
        newest_first.find(|period| are_so(&period.figures)).map(|period| period.end_ns)
    }

    /// Returns `count` as events a second over the window.
    pub(super) fn rate(&self, count: u64) -> f64 {
        let span_ns = match (self.periods.front(), self.periods.back()) {
            (Some(first), Some(last)) => last.end_ns.saturating_sub(first.start_ns),
            _ => 0,
        };
        count as f64 * 1e9 / span_ns.max(LEAST_RATE_SPAN_NS) as f64
    }
}

fn is_idle(figures: &Figures) -> bool {
    *figures == Figures::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn accepts(accepts: u64) -> Figures {
        Figures { accepts, ..Figures::default() }
    }

    #[test]
    fn rates_do_not_depend_on_the_refresh_period() {
        for period in [SECOND / 100, SECOND / 4, SECOND, 10 * SECOND] {
            let mut recent = Recent::default();
            for step in 0..(20 * SECOND / period) {
                recent.push(step * period, (step + 1) * period, accepts(period / (SECOND / 100)));
            }
            let rate = recent.rate(recent.figures().accepts);
            assert!((rate - 100.0).abs() < 1e-6, "{rate} with a period of {period} ns");
            assert!(recent.periods.len() <= 21);
        }
    }

    #[test]
    fn the_past_is_forgotten_and_idleness_is_cheap() {
        let mut recent = Recent::default();
        recent.push(0, SECOND, accepts(7));
        for second in 1..100 {
            recent.push(second * SECOND, (second + 1) * SECOND, Figures::default());
        }
        assert_eq!((recent.figures().accepts, recent.periods.len()), (0, 1));
    }
}
