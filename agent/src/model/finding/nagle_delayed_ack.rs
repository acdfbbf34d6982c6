//! Small writes are held by Nagle's algorithm until the peer acknowledges the one before.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::stats::{BEYOND_DELAYED_ACK_US, SLOW_US};
use crate::text::{count, count_of, duration_us};

/// One exchange that was held for 20 ms or longer is enough. Three in five seconds are a warning.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let held = facts.stats.slow(SliceKind::Nagle);
    if held.count == 0 {
        return None;
    }
    let [in_flight, waiting] = facts.stats.nagle_sizes;
    let pair = match waiting {
        0 => "A write had to wait for the one before it".to_owned(),
        _ => format!(
            "A write of {} B had to wait for one of {} B before it",
            count(waiting.into()),
            count(in_flight.into())
        ),
    };
    let round_trip_us = facts.stats.sent.nagle_round_trip_us / held.count;
    let beyond_us = held.mean_us().saturating_sub(round_trip_us);
    let is_long = beyond_us >= BEYOND_DELAYED_ACK_US;
    let is_delayed = beyond_us >= SLOW_US && !is_long;
    let resent = facts.stats.sent.nagle_resent * 2 >= held.count;
    Some(FindingVerdict {
        severity: if held.count >= 3 { Severity::Warning } else { Severity::Info },
        owner: Owner::Kernel,
        headline: format!(
            "Nagle's algorithm held {} for {} on average.",
            count_of(held.count, "exchange"),
            duration_us(held.mean_us())
        ),
        text: Text::from(format!(
            "{pair}: the kernel does not send less than a full segment while small data is \
             unacknowledged."
        ))
        .infer("delayed-ack", is_delayed, || {
            "The peer delays its ACK, typically by 40 ms, since it has nothing to send.".into()
        })
        .say("far", !is_delayed && !is_long, || {
            format!("The peer's ACK takes a round trip of {}.", duration_us(round_trip_us))
        })
        .infer("beyond", is_long, || {
            "No ACK is delayed that long (200 ms at most): either the ACK or the data that it \
             acknowledges was late or lost."
                .into()
        })
        .say("resent", resent, || "In most of them, segments were retransmitted.".into()),
        evidence: vec![
            ("exchanges", held.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("held_mean_us", held.mean_us() as f64),
            ("held_max_us", held.worst_us as f64),
            ("round_trip_us", round_trip_us as f64),
            ("resent", facts.stats.sent.nagle_resent as f64),
            ("in_flight_bytes", f64::from(in_flight)),
            ("held_bytes", f64::from(waiting)),
        ],
        fix: "write the response at once (one writev(), or a buffer), or set TCP_NODELAY.".into(),
    })
}
