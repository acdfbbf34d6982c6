//! Threads are ready to read or to answer, and have no CPU.

use super::text::Text;
use super::{ConnectionFacts, FindingVerdict};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::text::{count_of, duration_us, of_last};

/// A wait this long on average hurts, µs. A busy machine that shares its CPUs well waits less.
const LONG_US: u64 = 50_000;

/// A tenth of all exchanges must wait 20 ms or longer for a CPU. It is a warning when these wait
/// 50 ms on average. Time that a quota took is not in it.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let waited = facts.stats.slow(SliceKind::RunQueue);
    if !facts.are_many(waited.count) {
        return None;
    }
    let (mean, worst) = (duration_us(waited.mean_us()), duration_us(waited.worst_us));
    let crowd = facts.cpu.crowd.filter(|(cpus, runnable)| runnable > cpus);
    let ready = || {
        format!(
            "In {}, a thread was ready to run and had no CPU for that long.",
            of_last(waited.count, facts.stats.exchanges, "exchange")
        )
    };
    let crowded = || {
        let (cpus, runnable) = crowd.unwrap_or_default();
        format!(
            "On the whole machine, up to {} wanted to run on {} at a refresh.",
            count_of(runnable.into(), "thread"),
            count_of(cpus.into(), "processor")
        )
    };
    let mut evidence = vec![
        ("exchanges", waited.count as f64),
        ("of", facts.stats.exchanges as f64),
        ("wait_mean_us", waited.mean_us() as f64),
        ("wait_max_us", waited.worst_us as f64),
    ];
    if let Some((cpus, runnable)) = facts.cpu.crowd {
        evidence.extend([("processors", f64::from(cpus)), ("runnable_max", f64::from(runnable))]);
    }
    Some(FindingVerdict {
        severity: if waited.mean_us() >= LONG_US { Severity::Warning } else { Severity::Info },
        owner: Owner::Kernel,
        headline: format!("Threads wait {mean} for a CPU, {worst} at worst."),
        text: Text::from(ready()).say("crowded", crowd.is_some(), crowded),
        evidence,
        fix: "add CPUs, let fewer threads compute at once, or raise the priority (nice, \
             cpu.weight)."
            .into(),
    })
}
