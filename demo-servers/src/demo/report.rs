//! Collects the results of a client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Most workers that are told apart. Requests of others are counted together.
const MOST_WORKERS: usize = 10_000;
/// Most workers that are printed by name.
const FEW_WORKERS: usize = 16;

/// Counts of a client. Its text is for people; the fields are for tests and lessons.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests sent.
    pub asked: u64,
    /// Requests answered.
    pub answered: u64,
    /// Connections made.
    pub connections: u64,
    /// The number of failures of each kind.
    pub errors: BTreeMap<String, u64>,
    /// Time from the first byte of a request to the last of its answer, µs. For a message that came
    /// unasked, its age.
    pub latency_us: Histogram<u64>,
    /// Requests by the thread or process that answered them.
    pub workers: BTreeMap<String, u64>,
    /// Counts that only this demo has.
    pub facts: Vec<(&'static str, u64)>,
    /// Time that it ran.
    pub took: Duration,
}

impl Default for Report {
    fn default() -> Self {
        // Grows as needed, so that no value is refused.
        let latency_us =
            Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"));
        Self {
            asked: 0,
            answered: 0,
            connections: 0,
            errors: BTreeMap::new(),
            latency_us,
            workers: BTreeMap::new(),
            facts: Vec::new(),
            took: Duration::ZERO,
        }
    }
}

impl Report {
    /// Counts an answer, and the worker if the answer names it.
    pub(crate) fn answer(&mut self, worker: Option<&str>, took: Duration) {
        self.answered += 1;
        self.latency(took);
        let Some(worker) = worker else { return };
        let known = self.workers.contains_key(worker) || self.workers.len() < MOST_WORKERS;
        *self.workers.entry(if known { worker } else { "others" }.to_owned()).or_default() += 1;
    }

    /// Counts a latency alone.
    pub(crate) fn latency(&mut self, took: Duration) {
        // Fails only for a histogram that may not grow.
        let _ = self.latency_us.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds the fact `late`: answers that took this much longer than the quickest one. On a busy
    /// machine all are slower, and only what was held back is late.
    pub(crate) fn late(&mut self, limit: Option<Duration>) {
        let Some(limit) = limit else { return };
        let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let from = self.latency_us.min().saturating_add(limit_us);
        self.facts.push(("late", self.latency_us.count_between(from, u64::MAX)));
    }

    /// Counts an error.
    pub(crate) fn error(&mut self, what: String) {
        *self.errors.entry(what).or_default() += 1;
    }

    /// Value of one of the facts.
    pub fn fact(&self, name: &str) -> Option<u64> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn workers(&self) -> String {
        let counts = || self.workers.values();
        if self.workers.len() > FEW_WORKERS {
            let (least, most) = (counts().min().unwrap_or(&0), counts().max().unwrap_or(&0));
            return format!("{} of them, each {least} to {most} requests", self.workers.len());
        }
        self.workers
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let rate = if seconds > 0.0 { self.answered as f64 / seconds } else { 0.0 };
        writeln!(
            f,
            "  requests     {} asked, {} answered, {rate:.0} a second",
            self.asked, self.answered
        )?;
        writeln!(f, "  connections  {} made", self.connections)?;
        let errors: Vec<_> =
            self.errors.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        writeln!(
            f,
            "  errors       {}",
            if errors.is_empty() { "none".to_owned() } else { errors.join(", ") }
        )?;
        if !self.latency_us.is_empty() {
            let ms = |us: u64| us as f64 / 1e3;
            let at = |quantile| ms(self.latency_us.value_at_quantile(quantile));
            let max = ms(self.latency_us.max());
            writeln!(
                f,
                "  latency      p50 {:.2} ms, p99 {:.2} ms, max {max:.2} ms",
                at(0.5),
                at(0.99)
            )?;
        }
        if !self.workers.is_empty() {
            writeln!(f, "  answered by  {}", self.workers())?;
        }
        self.facts.iter().try_for_each(|(name, value)| writeln!(f, "  {name:<12} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told() {
        let mut report =
            Report { asked: 4, connections: 2, took: Duration::from_secs(2), ..Report::default() };
        for (worker, ms) in [(Some("worker-1"), 1), (Some("worker-2"), 2), (None, 40)] {
            report.answer(worker, Duration::from_millis(ms));
        }
        report.error("no answer in time".to_owned());
        report.late(Some(Duration::from_millis(30)));
        report.facts.push(("delivered", 5));
        let text = report.to_string();
        for part in [
            "4 asked, 3 answered, 2 a second",
            "2 made",
            "1 × no answer in time",
            "p50 2.00 ms",
            "worker-1 1, worker-2 1\n",
            "  late         1\n",
            "  delivered    5\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(report.fact("delivered"), Some(5));
    }

    #[test]
    fn many_workers_are_summed_up() {
        let mut report = Report::default();
        (0..MOST_WORKERS + 5)
            .for_each(|worker| report.answer(Some(&format!("conn-{worker}")), Duration::ZERO));
        assert_eq!(report.workers.get("others"), Some(&5));
        assert_eq!(report.workers.values().sum::<u64>(), report.answered);
        assert!(report.to_string().contains("10001 of them, each 1 to 5"), "{report}");
    }
}
