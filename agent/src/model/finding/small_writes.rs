//! Responses are written in many small pieces.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::stats;
use crate::text::{count, of_last, rate_of, were};

/// So many small writes a second are a load by their system calls alone.
const MANY_A_SECOND: f64 = 20_000.0;

/// A tenth of all exchanges must have at least four writes of less than 256 bytes, which are at
/// least half of their writes and come less than 10 ms apart. It is a warning when such writes were
/// held, or are a load.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    if !facts.are_many(stats.sent.small_exchanges) {
        return None;
    }
    let held = stats.slow(SliceKind::Nagle).count >= 3;
    let hurts = held || stats::rate(stats.sent.small_writes) >= MANY_A_SECOND;
    let writes = stats.sent.small_writes / stats.sent.small_exchanges.max(1);
    let bytes = stats.sent.small_bytes / stats.sent.small_writes.max(1);
    Some(FindingVerdict {
        severity: if hurts { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: format!(
            "Responses are written in {} pieces of {} B on average.",
            count(writes),
            count(bytes)
        ),
        text: Text::default()
            .rest_on("hurts", hurts)
            .say("small", true, || {
                let small = of_last(stats.sent.small_exchanges, stats.exchanges, "exchange");
                let a_second = rate_of(stats::rate(stats.sent.small_writes), "write");
                format!(
                    "{small} {} written like this, at {a_second}.",
                    were(stats.sent.small_exchanges)
                )
            })
            .say("held", held, || {
                "Nagle's algorithm held some of them (see nagle-delayed-ack).".into()
            })
            .say("not-held", !held, || {
                "Each piece is a system call, and may be a packet of its own.".into()
            }),
        evidence: vec![
            ("exchanges", stats.sent.small_exchanges as f64),
            ("of", stats.exchanges as f64),
            ("writes_per_exchange", writes as f64),
            ("bytes_per_write", bytes as f64),
            ("writes_per_second", stats::rate(stats.sent.small_writes)),
        ],
        fix: "collect the response in a buffer, or write it with one writev().".into(),
    })
}
