//! One second of an exercise, as seen by the customers and by the sensor.

use crate::model::snapshot::{Owner, Severity};
use crate::text::Untrusted;

/// Figures of the customers for one second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tick {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Median of the time until the answer, µs; `None` without an answer.
    pub p50_us: Option<u64>,
    /// Time that 99 of 100 answers took at most, µs.
    pub p99_us: Option<u64>,
    /// Kinds of failures, the first few; with their numbers if there are several.
    pub failures: Vec<Untrusted>,
}

impl Tick {
    /// Reads what the customers print each second; `None` for another line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("tick ")?.split("; ");
        let mut tick = Self::default();
        for word in parts.next()?.split(' ') {
            let (name, value) = word.split_once('=')?;
            let value = value.parse().ok()?;
            match name {
                "answered" => tick.answered = value,
                "failed" => tick.failed = value,
                "p50_us" => tick.p50_us = Some(value),
                "p99_us" => tick.p99_us = Some(value),
                _ => {}
            }
        }
        let failures: Vec<&str> = parts.collect();
        tick.failures = match failures.as_slice() {
            // Its count is that of all.
            [one] => one.split_once(' ').map(|(_, what)| what.into()).into_iter().collect(),
            several => several.iter().map(|one| Untrusted::from(*one)).collect(),
        };
        Some(tick)
    }
}

/// A finding that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNow {
    /// Its kind.
    pub kind: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// Whose doing.
    pub owner: Owner,
    /// Its sentence.
    pub headline: Untrusted,
    /// What it says to do.
    pub fix: Untrusted,
}

/// One second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    /// The customers'.
    pub tick: Tick,
    /// Findings that stand.
    pub findings: Vec<FoundNow>,
    /// The process that listens; `None` if there is none.
    pub server: Option<u32>,
    /// The sensor saw exchanges end in this second.
    pub seen: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read() {
        let line = "tick answered=3 failed=2 p50_us=50 p99_us=90; 1 nobody listens; 1 reset";
        let tick = Tick::parse(line).unwrap();
        assert_eq!(
            (tick.answered, tick.failed, tick.p50_us, tick.p99_us),
            (3, 2, Some(50), Some(90))
        );
        assert_eq!(tick.failures, ["1 nobody listens", "1 reset"].map(Untrusted::from));
        let alone = Tick::parse("tick answered=0 failed=2; 2 no answer in time").unwrap();
        assert_eq!(alone.failures, ["no answer in time"].map(Untrusted::from));
        assert_eq!(Tick::parse("tick answered=0 failed=0"), Some(Tick::default()));
        assert_eq!(Tick::parse("listening on 127.0.0.1:8080"), None);
        assert_eq!(Tick::parse("tick answered=many"), None);
    }
}
