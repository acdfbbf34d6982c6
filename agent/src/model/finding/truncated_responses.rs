//! Responses are followed by a RST, since the request was not read to its end.

use super::{Dealings, Text, Verdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, count_of, percent, were};

/// A warning from three on, and one in ten of the connections that closed. Data that come right after a close are worth knowing:
/// the response was sent to its end before them.
pub(super) fn check(dealings: &Dealings<'_>) -> Option<Verdict> {
    let work = dealings.work;
    let (truncated, after) = (work.truncated, work.after_close);
    if truncated + after == 0 {
        return None;
    }
    let often = truncated >= 3 && truncated * 10 >= work.closes;
    Some(Verdict {
        severity: if often { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: if truncated > 0 {
            format!("{} ended by a RST: the request was not read to its end.", count_of(truncated, "response"))
        } else {
            let connections = count_of(after, "connection");
            format!("{connections} {} still being sent to when this host closed.", were(after))
        },
        text: text(dealings),
        evidence: vec![
            ("responses", truncated as f64),
            ("closed", work.closes as f64),
            ("unread_bytes", work.unread_bytes as f64),
            ("cut", work.cut as f64),
            ("cut_bytes", work.cut_bytes as f64),
            ("data_after_close", after as f64),
        ],
        fix: "read the request to its end before close(), or shutdown(SHUT_WR) and read until the peer closes.".into(),
    })
}

fn text(dealings: &Dealings<'_>) -> Text {
    let work = dealings.work;
    Text::default()
        .say("unread", work.truncated > 0, || {
            format!(
                "Of {} that closed lately {} had data unread, {} B in all: then close() sends a RST in place of a FIN.",
                count_of(work.closes, "connection"),
                percent(work.truncated as f64 / work.closes.max(1) as f64),
                count(work.unread_bytes)
            )
        })
        .infer("lost", work.truncated > 0, || "A client that is still sending may never read the response.".into())
        .say("cut", work.cut > 0, || {
            format!(
                "{} had {} B that were not acknowledged by then.",
                count_of(work.cut, "response"),
                count(work.cut_bytes)
            )
        })
        .say("after-close", work.after_close > 0, || {
            format!(
                "To {} more data came right after close(), which a RST answered.",
                count_of(work.after_close, "connection")
            )
        })
}
