//! A cgroup's quota keeps threads off the CPU though they are ready.

use super::text::Text;
use super::{ConnectionFacts, FindingVerdict};
use crate::model::processors::Quota;
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::text::{Untrusted, count, count_of, duration_us, of_last};

/// A tenth of all exchanges must be held by a quota for 20 ms or longer.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let held = facts.stats.slow(SliceKind::Throttled);
    let quota = facts.cpu.quota.as_ref()?;
    if !facts.are_many(held.count) {
        return None;
    }
    let (mean, worst) = (duration_us(held.mean_us()), duration_us(held.worst_us));
    let waited = || {
        format!(
            "In {}, a thread was ready to run and was kept off the CPU for that long.",
            of_last(held.count, facts.stats.exchanges, "exchange")
        )
    };
    let used_up = || {
        compose!(
            "Cgroup {} may use {} of CPU time in each {}, and used it up in {} of {}.",
            quota.path,
            duration_us(quota.quota_us),
            duration_us(quota.period_us),
            count(quota.throttled),
            count_of(quota.periods, "period")
        )
    };
    let share = || {
        "How much of a wait was due to the quota is inferred from the cgroup's statistics."
            .to_owned()
    };
    Some(FindingVerdict {
        severity: Severity::Warning,
        owner: Owner::Kernel,
        headline: format!("A CPU quota holds exchanges for {mean}, {worst} at worst."),
        text: Text::from(waited())
            .quote("quota-used-up", quota.throttled > 0, used_up)
            .infer("share", true, share),
        evidence: vec![
            ("exchanges", held.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("throttled_mean_us", held.mean_us() as f64),
            ("throttled_max_us", held.worst_us as f64),
            ("nr_throttled", quota.throttled as f64),
            ("nr_periods", quota.periods as f64),
            ("quota_us", quota.quota_us as f64),
            ("period_us", quota.period_us as f64),
        ],
        fix: fix(quota),
    })
}

fn fix(quota: &Quota) -> Untrusted {
    compose!(
        "raise the quota of {} (cpu.max, cpu.cfs_quota_us; a container's --cpus, a pod's \
         limits.cpu), or let fewer threads compute at once in it.",
        quota.path
    )
}
