//! What was injected, and what is told of it.

use std::ops::RangeInclusive;

use crate::client::Seen;

/// An owner and a kind of time, as JSON spells them.
pub(crate) type Label = (&'static str, &'static str);

/// Time below this is nobody's fault, µs: an exchange that takes no longer on anything is told as
/// [`NONE`].
pub(crate) const SMALL_US: u64 = 10_000;
/// Nothing was injected, or nothing is told.
pub(crate) const NONE: Label = ("none", "none");

/// One exchange with a known fault.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// The client's port.
    pub(crate) port: u16,
    /// When the client asked, and when it was done with it; `CLOCK_MONOTONIC`, ns.
    pub(crate) from_ns: u64,
    pub(crate) until_ns: u64,
    /// When its first request's connection began; else as `from_ns`.
    pub(crate) begun_ns: u64,
    /// What was injected, and how long it took, µs.
    pub(crate) injected: (Label, RangeInclusive<u64>),
    /// What may be told as well: other words for it, and what a busy machine added.
    pub(crate) also: Vec<(Label, RangeInclusive<u64>)>,
}

impl Truth {
    /// An exchange in which this took so long.
    pub(crate) fn of(seen: &Seen, label: Label, us: RangeInclusive<u64>) -> Self {
        let (from_ns, until_ns) = (seen.sent_ns, seen.last_ns);
        // What a busy machine may have added or taken.
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

    /// The same, where other words are right as well.
    pub(crate) fn or(mut self, label: Label) -> Self {
        self.also.push((label, self.injected.1.clone()));
        self
    }

    /// An exchange in which nothing was injected. On a busy machine its server may have been late
    /// all the same.
    pub(crate) fn healthy(seen: &Seen) -> Self {
        let us = seen.connect_us + seen.silent_us + seen.total_us() + seen.starved_us;
        let mut truth = Self::of(seen, NONE, 0..=0);
        if us >= SMALL_US {
            // A link of ours is a process that may wait, too.
            let late = ["app", "accept_queue", "receive_queue"].map(|kind| ("app", kind));
            let all = [STARVED, ("network", "*")].into_iter().chain(late);
            truth.also = all.map(|label| (label, 0..=us)).collect();
        }
        if seen.connect_us + seen.silent_us >= SMALL_US / 2 {
            truth.also.push((("peer", "request"), 0..=seen.connect_us + seen.silent_us));
        }
        truth
    }

    /// One which took what the client measured from the request to the first byte of the answer.
    pub(crate) fn until_first(seen: &Seen, label: Label) -> Self {
        let us = seen.first_us();
        // By the server's clock it is a little less: the way there and back, and what the server
        // does besides.
        let took_us = seen.took_us.unwrap_or(us).min(us);
        let mut truth = Self::of(seen, label, took_us..=us);
        // It came late to the application.
        if us - took_us > took_us / 2 {
            truth.also.extend(
                ["accept_queue", "receive_queue"].map(|kind| (("app", kind), 0..=us - took_us)),
            );
        }
        truth
    }

    /// One in which a thread computed for so long by its own clock. On a busy machine it waited for
    /// a processor longer.
    pub(crate) fn computed(seen: &Seen, ms: u64) -> Self {
        Self::computed_us(seen, ms * 1_000)
    }

    /// The same in µs.
    pub(crate) fn computed_us(seen: &Seen, us: u64) -> Self {
        let mut truth = Self::of(seen, ("app", "app"), us..=us);
        let waited = seen.first_us().saturating_sub(us);
        if waited > us * 7 / 10 {
            truth.also.push((STARVED, waited..=waited));
        }
        truth
    }

    /// The same where something else was injected, if that took most of the time: what was computed
    /// is right, too, if the two took about as long.
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

    /// One that a quota kept from the processors for so long, as the kernel counted it: by
    /// processor, so that it cannot have been longer than the request. Where it was the lesser part
    /// there is the computing. That the server waited for a processor is no other word for it.
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

    /// The same, which goes on for so long after the client has the answer.
    pub(crate) fn later(self, ns: u64) -> Self {
        Self { until_ns: self.until_ns + ns, ..self }
    }

    /// Whether this is told rightly: owner and kind, for about the time that it took.
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
