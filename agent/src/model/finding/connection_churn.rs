//! Many short connections where a few long ones would do.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::model::stats::{self, ExchangeStats};
use crate::text::{count, duration_us, percent, rate};

/// Short connections a second from which on they are many.
const MANY_A_SECOND: f64 = 50.0;
/// A handshake this long on average is worth saving, µs.
const LONG_HANDSHAKE_US: u64 = 1_000;

/// At least 50 connections a second must end after one exchange or none. They must be four in five
/// of all, and half of them of one peer. The owner is who closed most of them first. It is a
/// warning when their handshakes take a quarter of the time and a millisecond each.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    let ends = &stats.ends;
    let per_second = stats::rate(ends.short);
    let most = ends.peers.values().copied().max().unwrap_or(0);
    if per_second < MANY_A_SECOND || ends.short * 5 < ends.closed * 4 || most * 2 < ends.short {
        return None;
    }
    let handshake = &stats.handshake;
    let part = handshake_share(stats);
    let hurts = handshake.mean_us() >= LONG_HANDSHAKE_US && part >= 0.25;
    let here = ends.short_closed_here * 2 > ends.short;
    Some(FindingVerdict {
        severity: if hurts { Severity::Warning } else { Severity::Info },
        owner: if here { Owner::App } else { Owner::Peer },
        headline: format!(
            "{} connections a second serve at most one exchange each.",
            rate(per_second)
        ),
        text: text(stats, most, here, hurts),
        evidence: vec![
            ("connections", ends.short as f64),
            ("of", ends.closed as f64),
            ("connections_per_second", per_second),
            ("closed_by_this_host", ends.short_closed_here as f64),
            ("most_of_one_peer", most as f64),
            ("peers", ends.peers.len() as f64),
            ("handshake_mean_us", handshake.mean_us() as f64),
            ("handshake_share", part),
        ],
        fix: if here {
            "let this server keep connections open (HTTP keep-alive, a longer idle timeout).".into()
        } else {
            "let the peer keep connections open: a pool, HTTP keep-alive.".into()
        },
    })
}

/// Share of the exchanges' time that handshakes took.
fn handshake_share(stats: &ExchangeStats) -> f64 {
    stats.handshake.us as f64 / stats.time_us.max(1) as f64
}

fn text(stats: &ExchangeStats, most: u64, here: bool, hurts: bool) -> Text {
    let (ends, handshake) = (&stats.ends, &stats.handshake);
    Text::default()
        .rest_on("hurts", hurts)
        .say("one-peer", true, || {
            let share = percent(most as f64 / ends.short.max(1) as f64);
            format!(
                "One peer accounts for {share} of them. Each costs a handshake, an accept and a \
                 close."
            )
        })
        .say("closed-here", here, || {
            let closed = count(ends.short_closed_here);
            format!("This host was first to close {closed} of {}.", count(ends.short))
        })
        .say("closed-there", !here, || {
            let closed = count(ends.short - ends.short_closed_here);
            format!("The peers were first to close {closed} of {}.", count(ends.short))
        })
        .say("handshakes", handshake.count > 0, || {
            let mean = duration_us(handshake.mean_us());
            let share = percent(handshake_share(stats));
            format!("Handshakes took {mean} on average, {share} of the exchanges' time.")
        })
}
