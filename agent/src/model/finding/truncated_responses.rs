//! A RST follows responses because the request was not read to its end.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, percent, were};

/// Three such responses are a warning if they are one in ten of the connections that closed. Data
/// that come right after a close are only worth knowing: the response was complete before them.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    let (truncated, after) = (stats.ends.truncated, stats.ends.after_close);
    if truncated + after == 0 {
        return None;
    }
    let often = truncated >= 3 && truncated * 10 >= stats.ends.closed;
    Some(FindingVerdict {
        severity: if often { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: if truncated > 0 {
            format!(
                "{} ended with a RST: the request was not read to its end.",
                count_of(truncated, "response")
            )
        } else {
            let connections = count_of(after, "connection");
            format!("{connections} {} still receiving data when this host closed.", were(after))
        },
        text: text(facts),
        evidence: vec![
            ("responses", truncated as f64),
            ("closed", stats.ends.closed as f64),
            ("unread_bytes", stats.ends.unread_bytes as f64),
            ("cut", stats.ends.cut as f64),
            ("cut_bytes", stats.ends.cut_bytes as f64),
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
        .say("unread", stats.ends.truncated > 0, || {
            format!(
                "Of {} that closed recently, {} had unread data, {} B in all: in that case close() \
                 sends a RST instead of a FIN.",
                count_of(stats.ends.closed, "connection"),
                percent(stats.ends.truncated as f64 / stats.ends.closed.max(1) as f64),
                count(stats.ends.unread_bytes)
            )
        })
        .infer("lost", stats.ends.truncated > 0, || {
            "A client that is still sending may never read the response.".into()
        })
        .say("cut", stats.ends.cut > 0, || {
            format!(
                "{} had {} B not acknowledged by then.",
                count_of(stats.ends.cut, "response"),
                count(stats.ends.cut_bytes)
            )
        })
        .say("after-close", stats.ends.after_close > 0, || {
            format!(
                "More data came to {} right after close(), and was answered with a RST.",
                count_of(stats.ends.after_close, "connection")
            )
        })
}
