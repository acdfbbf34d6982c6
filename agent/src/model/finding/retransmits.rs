//! Segments have to be sent again.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::stats;
use crate::text::{count_of, duration_us, of_last, rate_of};

/// Time lost in five seconds that hurts, µs.
const LOST_US: u64 = 500_000;

/// Three exchanges in five seconds, and one in a hundred, must have segments sent again. It is a
/// warning when at least three waited 20 ms or longer for that, half a second in all. Less is often
/// a tail loss probe: a peer delays its ACKs, and the kernel sends the last segment again within
/// milliseconds. That costs no time.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    if stats.sent.resent_exchanges < 3 || stats.sent.resent_exchanges * 100 < stats.exchanges {
        return None;
    }
    let long = stats.slow(SliceKind::Retransmit);
    let hurts = long.count >= 3 && long.us >= LOST_US;
    let per_second = stats::rate(stats.sent.resent_segments);
    // On these connections nothing had been acknowledged before.
    let first = stats.sent.resent_first * 2 >= stats.sent.resent_exchanges;
    Some(FindingVerdict {
        severity: if hurts { Severity::Warning } else { Severity::Info },
        owner: if first { Owner::Unknown } else { Owner::Network },
        headline: format!(
            "Retransmitted: {}, in {}.",
            rate_of(per_second, "segment"),
            count_of(stats.sent.resent_exchanges, "exchange")
        ),
        text: Text::default()
            .rest_on("hurts", hurts)
            .infer("lost-or-late", !first, || {
                "Segments or their ACKs were lost on the path, or came late or out of order.".into()
            })
            .infer("lost-or-ignored", first, || {
                "The first requests on new connections were retransmitted: they were lost on the \
                 path, or the server ignored them because its accept queue was full."
                    .into()
            })
            .say("waited", true, || {
                format!(
                    "{} had retransmissions, and waited {} for them.",
                    of_last(stats.sent.resent_exchanges, stats.exchanges, "exchange"),
                    duration_us(stats.sent.resent_us)
                )
            }),
        evidence: vec![
            ("exchanges", stats.sent.resent_exchanges as f64),
            ("of", stats.exchanges as f64),
            ("first_requests", stats.sent.resent_first as f64),
            ("segments", stats.sent.resent_segments as f64),
            ("segments_per_second", per_second),
            ("waited_us", stats.sent.resent_us as f64),
            ("long_waits", long.count as f64),
            ("wait_max_us", long.worst_us as f64),
        ],
        fix: if first {
            "check the servers' accept queues (ss -ltn there: Recv-Q above Send-Q), and look for \
             loss on the path."
        } else {
            "look for loss on the path to these peers (ethtool -S, tc -s qdisc, nstat \
             TcpRetransSegs)."
        }
        .into(),
    })
}
