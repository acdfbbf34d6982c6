//! Segments have to be sent again.

use super::{Dealings, Verdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, duration_us, rate};
use crate::model::work;

/// Time lost in five seconds from which on it hurts, µs.
const LOST_US: u64 = 500_000;

/// Three exchanges in five seconds must have segments sent again, and one in a hundred. It is a warning when at least half a
/// second was spent waiting for them.
pub(super) fn check(dealings: &Dealings<'_>) -> Option<Verdict> {
    let work = dealings.work;
    if work.resent_exchanges < 3 || work.resent_exchanges * 100 < work.exchanges {
        return None;
    }
    let per_second = work::rate(work.resent_segments);
    Some(Verdict {
        severity: if work.resent_us >= LOST_US { Severity::Warning } else { Severity::Info },
        owner: Owner::Peer,
        headline: format!(
            "{} segments a second are sent again, in {} exchanges.",
            rate(per_second),
            count(work.resent_exchanges)
        ),
        text: format!(
            "Segments or their ACKs were lost on the path, or came out of order. Of the last {} exchanges {} had that; \
             they waited {} for it.",
            count(work.exchanges),
            count(work.resent_exchanges),
            duration_us(work.resent_us)
        ),
        evidence: vec![
            ("exchanges", work.resent_exchanges as f64),
            ("of", work.exchanges as f64),
            ("segments", work.resent_segments as f64),
            ("segments_per_second", per_second),
            ("waited_us", work.resent_us as f64),
        ],
        fix: "look for loss on the path to these peers (ethtool -S, tc -s qdisc, nstat TcpRetransSegs).".into(),
    })
}
