//! Peers do not read: their receive window is shut.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::text::{count_of, duration_us, of_last, were};

/// A window that is shut for so long on average is more than a short jam, µs.
const LONG_US: u64 = 200_000;

/// A tenth of all exchanges must be held by the window for 20 ms or longer, or a connection must
/// have been stuck with a shut window for a second. It is a warning when exchanges are held 200 ms
/// on average, or a connection is stuck.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let (held, stuck) = (facts.stats.slow(SliceKind::ReceiveWindow), &facts.stuck.window);
    let many = facts.are_many(held.count);
    if !many && stuck.count == 0 {
        return None;
    }
    let headline = if stuck.count > 0 {
        let (connections, worst) =
            (count_of(stuck.count, "connection"), duration_us(stuck.worst_us));
        format!("The peer is not reading on {connections}, for up to {worst} so far.")
    } else {
        let (mean, worst) = (duration_us(held.mean_us()), duration_us(held.worst_us));
        format!("Peers hold responses for {mean} with a closed window, {worst} at worst.")
    };
    Some(FindingVerdict {
        severity: if stuck.count > 0 || held.mean_us() >= LONG_US {
            Severity::Warning
        } else {
            Severity::Info
        },
        owner: Owner::Peer,
        headline,
        text: Text::from(
            "The peer's receive buffer is full, and TCP sends nothing more until the peer's \
             application reads."
                .to_owned(),
        )
        .say("held", held.count > 0, || {
            let held_up = of_last(held.count, facts.stats.exchanges, "exchange");
            format!("{held_up} {} held like this.", were(held.count))
        }),
        evidence: vec![
            ("stuck_now", stuck.count as f64),
            ("stuck_max_us", stuck.worst_us as f64),
            ("exchanges", held.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("held_mean_us", held.mean_us() as f64),
            ("held_max_us", held.worst_us as f64),
        ],
        fix: "look at the peer; here, limit how long a response may take (nginx: send_timeout; \
             TCP_USER_TIMEOUT)."
            .into(),
    })
}
