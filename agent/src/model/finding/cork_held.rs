//! TCP_CORK or MSG_MORE holds the end of responses.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::text::{count_of, duration_us, of_last};

/// The kernel's timer sends corked data after 200 ms (`TCP_RTO_MIN`, `tcp_check_probe_timer`). A
/// hold of this mean length ended by it, µs.
const TIMER_US: u64 = 150_000;

/// A tenth of all exchanges must be held for 20 ms or longer.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let held = facts.stats.slow(SliceKind::Cork);
    if !facts.are_many(held.count) {
        return None;
    }
    let by_timer = held.mean_us() >= TIMER_US;
    Some(FindingVerdict {
        severity: Severity::Warning,
        owner: Owner::App,
        headline: format!(
            "TCP_CORK or MSG_MORE held {} for {} on average.",
            count_of(held.count, "exchange"),
            duration_us(held.mean_us())
        ),
        text: Text::from(format!(
            "{} ended with less than a full segment, written under TCP_CORK or with MSG_MORE: the \
             application had said that more would follow.",
            of_last(held.count, facts.stats.exchanges, "exchange")
        ))
        .infer("by-timer", by_timer, || {
            "Nothing followed, and the kernel's 200 ms timer sent it.".into()
        }),
        evidence: vec![
            ("exchanges", held.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("held_mean_us", held.mean_us() as f64),
            ("held_max_us", held.worst_us as f64),
        ],
        fix: "clear TCP_CORK when the response is complete, and write its last piece without \
             MSG_MORE (sendfile() sets it by itself when asked for more than the file has)."
            .into(),
    })
}
