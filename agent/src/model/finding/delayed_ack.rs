//! This host's delayed ACKs hold the rest of requests.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count_of, duration_us, of_last};

/// A tenth of all exchanges must have such a request: at least 20 ms passed between its parts, a
/// delayed ACK of this host went out in that time, and the rest followed it at once.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let held = &facts.stats.sent.own_delayed;
    if !facts.are_many(held.count) {
        return None;
    }
    Some(FindingVerdict {
        severity: Severity::Warning,
        owner: Owner::Kernel,
        headline: format!(
            "The rest of {} came only after a delayed ACK, {} late.",
            count_of(held.count, "request"),
            duration_us(held.mean_us())
        ),
        text: Text::from(format!(
            "The clients sent {} in parts. This host had nothing to answer yet and delayed its ACK \
             of the first part. The rest followed that ACK at once.",
            of_last(held.count, facts.stats.exchanges, "request")
        ))
        .infer("nagle-there", true, || "So Nagle's algorithm held the rest at the client.".into()),
        evidence: vec![
            ("requests", held.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("held_mean_us", held.mean_us() as f64),
            ("held_max_us", held.worst_us as f64),
        ],
        fix: "let the client write its request in one piece, or set TCP_NODELAY there; here, \
             TCP_QUICKACK after a read that got part of a request sends the ACK at once."
            .into(),
    })
}
