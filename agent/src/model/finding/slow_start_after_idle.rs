//! The congestion window begins anew after idle time.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count_of, duration_us, of_last, were};

/// A hold this long on average hurts, µs.
const LONG_US: u64 = 100_000;

/// A tenth of all exchanges must be held for 20 ms or longer after the kernel had reset the window.
/// It is a warning when they are held 100 ms on average.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let held = &facts.stats.sent.restarted;
    if !facts.are_many(held.count) {
        return None;
    }
    Some(FindingVerdict {
        severity: if held.mean_us() >= LONG_US { Severity::Warning } else { Severity::Info },
        owner: Owner::Kernel,
        headline: format!(
            "After idling, {} waited {} for the congestion window to grow.",
            count_of(held.count, "exchange"),
            duration_us(held.mean_us())
        ),
        text: Text::from(
            "Nothing had been sent for longer than the retransmission timeout, so the kernel reset \
             the congestion window (net.ipv4.tcp_slow_start_after_idle). The window then doubles \
             with each round trip."
                .to_owned(),
        )
        .say("held", true, || {
            format!(
                "{} {} held by this, {} at worst.",
                of_last(held.count, facts.stats.exchanges, "exchange"),
                were(held.count),
                duration_us(held.worst_us)
            )
        }),
        evidence: vec![
            ("exchanges", held.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("held_mean_us", held.mean_us() as f64),
            ("held_max_us", held.worst_us as f64),
        ],
        fix: "set net.ipv4.tcp_slow_start_after_idle=0 in the server's network namespace.".into(),
    })
}
