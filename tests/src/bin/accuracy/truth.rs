//! Injected faults, and the check of what is told of them.

use std::ops::RangeInclusive;

use crate::client::Seen;

/// An owner and a kind of time, as JSON spells them.
pub(crate) type Label = (&'static str, &'static str);

/// Times below this are nobody's fault, µs. An exchange without a longer one is told as [`NONE`].
pub(crate) const SMALL_US: u64 = 10_000;
/// Nothing was injected, or nothing is told.
pub(crate) const NONE: Label = ("none", "none");

/// One exchange with a known fault.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// The client's port.
    pub(crate) port: u16,
    /// Times of the request and of the end of the exchange for the client; `CLOCK_MONOTONIC`, ns.
    pub(crate) from_ns: u64,
    pub(crate) until_ns: u64,
    /// Begin of the connection for its first request; else as `from_ns`.
    pub(crate) begun_ns: u64,
    /// The injected fault, and the time that it took, µs.
    pub(crate) injected: (Label, RangeInclusive<u64>),
    /// Other answers that are right: other words for it, and the delays of a busy machine.
    pub(crate) also: Vec<(Label, RangeInclusive<u64>)>,
}

impl Truth {
    /// Returns the truth of an exchange in which this took so long.
    pub(crate) fn of(seen: &Seen, label: Label, us: RangeInclusive<u64>) -> Self {
        let (from_ns, until_ns) = (seen.sent_ns, seen.last_ns);
        // A busy machine may have added or taken so much.
        let busy = seen.starved_us;
        let us = us.start().saturating_sub(busy).max(us.start() / 2)..=us.end() + busy;
        let also = if label != NONE && busy > us.end() / 3 {
            vec![(STARVED, 0..=busy)]
        } else {
            Vec::new()
        };
        let begun_ns = from_ns.saturating_sub((seen.connect_us + seen.silent_us) * 1_000);
        Self { port: seen.port, from_ns, until_ns, begun_ns, injected: (label, us), also }
    }

    /// Accepts other words as right as well.
    pub(crate) fn or(mut self, label: Label) -> Self {
        self.also.push((label, self.injected.1.clone()));
        self
    }

    /// Returns the truth of an exchange without a fault. On a busy machine its server may still
    /// have been late.
    pub(crate) fn healthy(seen: &Seen) -> Self {
        let us = seen.connect_us + seen.silent_us + seen.total_us() + seen.starved_us;
        let mut truth = Self::of(seen, NONE, 0..=0);
        if us >= SMALL_US {
            // The link is a process of ours, which may have waited for a processor, too.
            let late = ["app", "accept_queue", "receive_queue"].map(|kind| ("app", kind));
            let all = [STARVED, ("network", "*")].into_iter().chain(late);
            truth.also = all.map(|label| (label, 0..=us)).collect();
        }
        if seen.connect_us + seen.silent_us >= SMALL_US / 2 {
            truth.also.push((("peer", "request"), 0..=seen.connect_us + seen.silent_us));
        }
        truth
    }

    /// Returns the truth of an exchange in which this took all of the client's time from the
    /// request to the first byte of the answer.
    pub(crate) fn until_first(seen: &Seen, label: Label) -> Self {
        let us = seen.first_us();
        // The server's clock shows a little less: without the way there and back, and the server's
        // other work.
        let took_us = seen.took_us.unwrap_or(us).min(us);
        let mut truth = Self::of(seen, label, took_us..=us);
        // The request came late to the application.
        if us - took_us > took_us / 2 {
            truth.also.extend(
                ["accept_queue", "receive_queue"].map(|kind| (("app", kind), 0..=us - took_us)),
            );
        }
        truth
    }

    /// Returns the truth of an exchange in which a thread computed for so long by its own clock. On
    /// a busy machine it may have waited longer for a processor.
    pub(crate) fn computed(seen: &Seen, ms: u64) -> Self {
        Self::computed_us(seen, ms * 1_000)
    }

    /// [`Self::computed`] with a time in µs.
    pub(crate) fn computed_us(seen: &Seen, us: u64) -> Self {
        let mut truth = Self::of(seen, ("app", "app"), us..=us);
        let waited = seen.first_us().saturating_sub(us);
        if waited > us * 7 / 10 {
            truth.also.push((STARVED, waited..=waited));
        }
        truth
    }

    /// Puts another injected fault first, which took most of the time. The computing is right, too,
    /// if the two took about as long.
    pub(crate) fn mostly(mut self, label: Label) -> Self {
        if let Some(at) = self.also.iter().position(|(also, _)| *also == label) {
            let told = self.also.swap_remove(at);
            let computed = std::mem::replace(&mut self.injected, told);
            if *computed.1.end() * 2 > *self.injected.1.start() {
                self.also.push(computed);
            }
        }
        self
    }

    /// Returns the truth of an exchange that a quota kept from the processors for so long. The
    /// kernel counts this for each processor, so it is cut at the length of the request. If it was
    /// less than half of the request, the computing is right, too, and so is waiting for a
    /// processor; otherwise neither is.
    pub(crate) fn throttled(seen: &Seen, label: Label, us: u64) -> Self {
        let us = us.min(seen.first_us());
        let mut truth = Self::of(seen, label, us..=seen.first_us());
        truth.also.clear();
        if us * 2 < seen.first_us() {
            let rest = 0..=seen.first_us();
            truth.also = vec![(("app", "app"), rest.clone()), (STARVED, rest)];
        }
        truth
    }

    /// Extends the exchange by so long after the client has the answer.
    pub(crate) fn later(self, ns: u64) -> Self {
        Self { until_ns: self.until_ns + ns, ..self }
    }

    /// Returns whether the verdict is right: owner and kind, for about the time that it took.
    pub(crate) fn agrees(&self, told: (&str, &str), told_us: u64) -> bool {
        let mut likely = std::iter::once(&self.injected).chain(&self.also);
        likely.any(|(label, us)| {
            let band = (us.start() * 7 / 10).saturating_sub(5_000)..=us.end() * 13 / 10 + 15_000;
            let same = label.0 == told.0 && (label.1 == told.1 || label.1 == "*");
            same && (*label == NONE || band.contains(&told_us))
        })
    }
}

/// A thread waited for a processor.
const STARVED: Label = ("kernel", "run_queue");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Outcome;

    const APP: Label = ("app", "app");

    fn seen(first_us: u64) -> Seen {
        let (first_ns, last_ns) = (Some(first_us * 1_000), first_us * 1_000);
        Seen {
            port: 1,
            sent_ns: 0,
            first_ns,
            last_ns,
            outcome: Outcome::Answered,
            connect_us: 0,
            silent_us: 0,
            starved_us: 0,
            reads: 1,
            took_us: None,
            closes: false,
        }
    }

    #[test]
    fn right_is_the_label_for_about_the_time() {
        let truth = Truth::of(&seen(110_000), APP, 100_000..=110_000);
        assert!(truth.agrees(APP, 105_000) && truth.agrees(APP, 70_000));
        assert!(!truth.agrees(APP, 60_000) && !truth.agrees(APP, 180_000));
        assert!(!truth.agrees(("kernel", "app"), 105_000) && !truth.agrees(NONE, 3));
        assert!(truth.or(("peer", "request")).agrees(("peer", "request"), 105_000));
    }

    #[test]
    fn a_busy_machine_may_be_told() {
        assert!(!Truth::computed(&seen(45_000), 40).agrees(STARVED, 5_000));
        let starved = Truth::computed(&seen(120_000), 40);
        assert!(
            starved.agrees(STARVED, 80_000)
                && starved.agrees(APP, 40_000)
                && !starved.agrees(APP, 120_000)
        );
        assert!(
            Truth::healthy(&seen(2_000)).agrees(NONE, 2_000)
                && !Truth::healthy(&seen(2_000)).agrees(STARVED, 1)
        );
        assert!(Truth::healthy(&seen(30_000)).agrees(STARVED, 29_000));
    }
}
