//! Writers wait for room in the send buffer.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{duration_us, of_last};

/// A thread that is blocked for so long on average is missed by others, µs.
const LONG_US: u64 = 100_000;

/// A tenth of all exchanges must be blocked for 20 ms or longer, without the time that the peer's
/// window held them. It is a warning when they are blocked 100 ms on average.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let blocked = &facts.stats.sent.blocked;
    if !facts.are_many(blocked.count) {
        return None;
    }
    let by_peer = facts.stats.sent.blocked_by_peer_us * 2 >= blocked.us;
    let (mean, worst) = (duration_us(blocked.mean_us()), duration_us(blocked.worst_us));
    Some(FindingVerdict {
        severity: if blocked.mean_us() >= LONG_US { Severity::Warning } else { Severity::Info },
        owner: if by_peer { Owner::Peer } else { Owner::Network },
        headline: format!("Writers wait {mean} for room in the send buffer, {worst} at worst."),
        text: Text::from(format!(
            "{} had such a wait: data was written faster than it was taken.",
            of_last(blocked.count, facts.stats.exchanges, "exchange")
        ))
        .say("by-peer", by_peer, || {
            "The peer's receive window was closed for much of these responses: the peer reads \
             slowly."
                .into()
        })
        .infer("by-network", !by_peer, || {
            "The peer's receive window was open for most of that time: the network took no more."
                .into()
        }),
        evidence: vec![
            ("exchanges", blocked.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("blocked_mean_us", blocked.mean_us() as f64),
            ("blocked_max_us", blocked.worst_us as f64),
            ("by_peer_us", facts.stats.sent.blocked_by_peer_us as f64),
        ],
        fix: "write without blocking, so that no thread waits for a slow peer or network; \
             net.ipv4.tcp_wmem bounds the buffer."
            .into(),
    })
}
