//! What is known of why an application is slow.

use crate::model::finding::ConnectionFacts;
use crate::model::snapshot::SliceKind;

/// Tells whether they were put aside, and the reason cannot be seen.
pub(super) fn is_unseen(facts: &ConnectionFacts<'_>) -> bool {
    let only_stuck = facts.stuck.unanswered.count > 0
        && facts.stats.slow(SliceKind::App).count == 0
        && !is_blocking(facts);
    !facts.sees_calls && (is_put_aside(facts) || only_stuck)
}

/// Tells whether an event loop had put aside most of them for a second or more. Those that were
/// answered together with others wait by design, and do not count. One that was answered alone may
/// wait or be slow.
pub(super) fn is_put_aside(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.put_aside * 2 >= facts.stats.slow(SliceKind::App).count.max(1)
        && !is_blocking(facts)
}

pub(super) fn is_blocking(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.is_blocking()
}

/// Tells whether most of them are on connections on which several calls may be open at a time.
pub(super) fn is_several(facts: &ConnectionFacts<'_>) -> bool {
    let slow = facts.stats.slow(SliceKind::App).count;
    slow > 0 && facts.stats.app.several * 2 >= slow
}

/// Tells whether the threads may have waited for others of their process that had no CPU: these
/// were without one for as long, and the threads are not known to have computed.
pub(super) fn lacks_cpu(facts: &ConnectionFacts<'_>) -> bool {
    let computed = has_computed(on_cpu(facts));
    !computed
        && facts.stats.slow(SliceKind::App).count > 0
        && facts.stats.app.lack.starved() == Some(true)
}

pub(super) fn calls_others(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.calls * 2 >= facts.stats.slow(SliceKind::App).count.max(1)
}

/// Share of slow application time on a CPU, if that is known of at least half.
pub(super) fn on_cpu(facts: &ConnectionFacts<'_>) -> Option<f64> {
    let app = &facts.stats.app;
    share_of_known(app.cpu_us, app.known_us, facts.stats.slow(SliceKind::App).us)
}

/// Share of late rests on a CPU, if that is known of at least half.
pub(super) fn rest_on_cpu(facts: &ConnectionFacts<'_>) -> Option<f64> {
    let rests = &facts.stats.rests;
    share_of_known(rests.cpu_us, rests.known_us, rests.late.us)
}

/// Share of a time on a CPU, if that is known of at least half of it.
fn share_of_known(cpu_us: u64, known_us: u64, us: u64) -> Option<f64> {
    if known_us == 0 || known_us * 2 < us {
        return None;
    }
    Some(cpu_us as f64 / known_us as f64)
}

/// Tells whether a thread is known to have been on a CPU for at least half of a time.
pub(super) fn has_computed(share: Option<f64>) -> bool {
    matches!(share, Some(share) if share >= 0.5)
}
