//! Connections that the peer has closed are never closed here.

use super::{ConnectionFacts, FindingVerdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::stats::FORGOTTEN_NS;
use crate::text::{count_of, duration_us};

/// A connection counts after 30 s in CLOSE_WAIT with nothing going on. Three of them are a warning.
/// It is no leak while a request is worked on, or while a stream goes on to a client that has
/// closed its side.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let left = &facts.stuck.close_wait;
    if left.count == 0 {
        return None;
    }
    let before = &facts.stuck.close_wait_before;
    let (connections, worst) = (count_of(left.count, "connection"), duration_us(left.worst_us));
    // The longest may have begun before it was seen.
    let least = if before.count > 0 && before.worst_us >= left.worst_us { "at least " } else { "" };
    let longest = if left.count == 1 { "for" } else { "the longest for" };
    Some(FindingVerdict {
        severity: if left.count >= 3 { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: format!("Left in CLOSE_WAIT: {connections}, {longest} {least}{worst}."),
        text: format!(
            "The peer has closed, and nothing has happened on the connection for at least {}. Such \
             a socket stays until the application calls close(): no kernel timeout ends it, and \
             each one holds a descriptor.",
            duration_us(FORGOTTEN_NS / 1_000)
        )
        .into(),
        evidence: vec![
            ("connections", left.count as f64),
            ("longest_us", left.worst_us as f64),
            ("begun_unseen", before.count as f64),
        ],
        fix: "close the socket when read() returns 0, on error paths and in pools of idle \
             connections, too."
            .into(),
    })
}
