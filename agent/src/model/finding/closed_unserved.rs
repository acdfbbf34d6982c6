//! Connections are accepted and closed at once, with nothing read.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::model::stats::ExchangeStats;
use crate::text::{count, count_of, duration_us, percent};

/// Several connections in five seconds are no accident.
const SEVERAL: u64 = 3;

/// One connection is enough, several are a warning. Three cases do not count: a server that speaks
/// first leaves nothing unread, a client that only checks health closes first, and an idle
/// connection is closed later.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    let unserved = &stats.unserved.closed;
    if unserved.count == 0 {
        return None;
    }
    let with_data = stats.unserved.reset;
    Some(FindingVerdict {
        severity: if unserved.count >= SEVERAL { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: format!(
            "{} accepted and closed at once, with nothing read.",
            count_of(unserved.count, "connection")
        ),
        text: text(stats),
        evidence: vec![
            ("connections", unserved.count as f64),
            ("of", stats.ends.closed as f64),
            ("reset", with_data as f64),
            ("written_to", stats.unserved.written_to as f64),
            ("longest_us", unserved.worst_us as f64),
            ("pid", f64::from(stats.unserved.pid)),
        ],
        fix: "check the application's own limits: connections in total or per client (Node: \
             server.maxConnections, Redis: maxclients), rates, address lists. An answer that \
             clients can read serves them better, and so does a wait in the queue."
            .into(),
    })
}

fn text(stats: &ExchangeStats) -> Text {
    let (unserved, reset) = (&stats.unserved.closed, stats.unserved.reset);
    let part = unserved.count as f64 / stats.ends.closed.max(1) as f64;
    let begin = format!(
        "Process {} closed them within {} of accept, having read nothing: {} of the connections \
         that ended recently. An application at a limit of its own does this; which limit was not \
         observed.",
        stats.unserved.pid,
        duration_us(unserved.worst_us),
        percent(part)
    );
    let why = "as happens when a socket is closed with unread data";
    let written_to = stats.unserved.written_to;
    Text::from(begin)
        .say("not-written", written_to == 0, || "It had not written anything, either.".to_owned())
        .say("written", written_to > 0, || {
            format!(
                "It had written to {} of them, as applications do that say why.",
                count(written_to)
            )
        })
        .say("fins", reset == 0, || "Their peers got a FIN.".to_owned())
        .say("resets", reset == unserved.count, || format!("Their peers got a reset, {why}."))
        .say("some-resets", reset > 0 && reset < unserved.count, || {
            format!("{} of their peers got a reset, {why}.", count(reset))
        })
}
