//! Writers wait for room in the send buffer.

use super::{Dealings, Verdict};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::text::{count, duration_us};

/// Blocked this long on average, a thread is lost to others, µs.
const LONG_US: u64 = 100_000;

/// An exchange counts from 20 ms blocked on. A tenth of all must; it is a warning when they are blocked 100 ms on average.
pub(super) fn check(dealings: &Dealings<'_>) -> Option<Verdict> {
    let blocked = dealings.work.slow(SliceKind::SendBuffer);
    if !dealings.are_many(blocked.count) {
        return None;
    }
    let (mean, worst) = (duration_us(blocked.mean_us()), duration_us(blocked.worst_us));
    Some(Verdict {
        severity: if blocked.mean_us() >= LONG_US { Severity::Warning } else { Severity::Info },
        owner: Owner::Peer,
        headline: format!("Writers wait {mean} for room in the send buffer, {worst} at the worst."),
        text: format!(
            "{} of the last {} exchanges did: more was written than the network or the peer takes in that time. \
             The peer's window was open.",
            count(blocked.count),
            count(dealings.work.exchanges)
        ),
        evidence: vec![
            ("exchanges", blocked.count as f64),
            ("of", dealings.work.exchanges as f64),
            ("blocked_mean_us", blocked.mean_us() as f64),
            ("blocked_max_us", blocked.worst_us as f64),
        ],
        fix: "write without blocking, so that no thread waits for a slow peer; net.ipv4.tcp_wmem bounds the buffer."
            .into(),
    })
}
