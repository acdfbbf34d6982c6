//! Responses are followed by a RST, since the request was not read to its end.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, percent, were};

/// A warning from three on, and one in ten of the connections that closed. Data that come right
/// after a close are worth knowing: the response was sent to its end before them.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    let (truncated, after) = (stats.truncated, stats.after_close);
    if truncated + after == 0 {
        return None;
    }
    let often = truncated >= 3 && truncated * 10 >= stats.closes;
    Some(FindingVerdict {
        severity: if often { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: if truncated > 0 {
            format!(
                "{} ended by a RST: the request was not read to its end.",
                count_of(truncated, "response")
            )
        } else {
            let connections = count_of(after, "connection");
            format!("{connections} {} still being sent to when this host closed.", were(after))
        },
        text: text(facts),
        evidence: vec![
            ("responses", truncated as f64),
            ("closed", stats.closes as f64),
            ("unread_bytes", stats.unread_bytes as f64),
            ("cut", stats.cut as f64),
            ("cut_bytes", stats.cut_bytes as f64),
            ("data_after_close", after as f64),
        ],
        fix: "read the request to its end before close(), or shutdown(SHUT_WR) and read until the \
             peer closes."
            .into(),
    })
}

fn text(facts: &ConnectionFacts<'_>) -> Text {
    let stats = facts.stats;
    Text::default()
        .say("unread", stats.truncated > 0, || {
            format!(
                "Of {} that closed lately {} had data unread, {} B in all: then close() sends a \
                 RST in place of a FIN.",
                count_of(stats.closes, "connection"),
                percent(stats.truncated as f64 / stats.closes.max(1) as f64),
                count(stats.unread_bytes)
            )
        })
        .infer("lost", stats.truncated > 0, || {
            "A client that is still sending may never read the response.".into()
        })
        .say("cut", stats.cut > 0, || {
            format!(
                "{} had {} B that were not acknowledged by then.",
                count_of(stats.cut, "response"),
                count(stats.cut_bytes)
            )
        })
        .say("after-close", stats.after_close > 0, || {
            format!(
                "To {} more data came right after close(), which a RST answered.",
                count_of(stats.after_close, "connection")
            )
        })
}
