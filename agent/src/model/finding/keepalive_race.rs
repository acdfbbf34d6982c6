//! Requests meet connections that their server has just closed.

use super::{ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, duration_us};

/// One request in five seconds is enough: it has failed. Three are a warning, or one in ten of all
/// exchanges.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    let (came, went) = (stats.ends.late.count, stats.ends.late_calls);
    let all = came + went;
    if all == 0 {
        return None;
    }
    Some(FindingVerdict {
        severity: if all >= 3 || all * 10 >= stats.exchanges {
            Severity::Warning
        } else {
            Severity::Info
        },
        owner: Owner::App,
        headline: if came > 0 { closed_here(facts) } else { closed_there(went) },
        text: text(facts),
        evidence: vec![
            ("late_requests", came as f64),
            ("late_calls", went as f64),
            ("of", stats.exchanges as f64),
            ("idle_mean_us", idle_us(facts) as f64),
            ("idle_max_us", stats.ends.late.worst_us as f64),
        ],
        fix: if came > 0 {
            "make the client's idle timeout shorter than this server's, or raise this server's \
             above it."
                .into()
        } else {
            "make the pool's idle timeout shorter than the server's, and retry such a request."
                .into()
        },
    })
}

/// Mean idle time of the connections, µs; 0 if it is not known.
fn idle_us(facts: &ConnectionFacts<'_>) -> u64 {
    facts.stats.ends.late.mean_us()
}

fn closed_here(facts: &ConnectionFacts<'_>) -> String {
    let requests = count_of(facts.stats.ends.late.count, "request");
    match idle_us(facts) {
        0 => format!("{requests} came as this host closed the connection."),
        us => format!(
            "{requests} came after this host closed connections idle for {}.",
            duration_us(us)
        ),
    }
}

fn closed_there(calls: u64) -> String {
    format!("{} went to connections that the server had closed.", count_of(calls, "request"))
}

fn text(facts: &ConnectionFacts<'_>) -> Text {
    let stats = facts.stats;
    let (came, went) = (stats.ends.late.count, stats.ends.late_calls);
    Text::default()
        .say("came-late", came > 0, || {
            "The client reused a connection that was being closed here: the request failed.".into()
        })
        .say("reset", came > stats.ends.late_lingered, || {
            let by_reset = came - stats.ends.late_lingered;
            if by_reset == came {
                "The kernel answered with a RST.".into()
            } else {
                format!("The kernel answered {} of them with a RST.", count(by_reset))
            }
        })
        .say("lingered", stats.ends.late_lingered > 0, || {
            format!(
                "{} came to a socket that this host still read from after its FIN: no answer can \
                 be sent there.",
                count_of(stats.ends.late_lingered, "request")
            )
        })
        .say("met-a-close", went > 0, || {
            format!(
                "{} went out on a connection that had been used before, and its end came instead \
                 of an answer.",
                count_of(went, "request")
            )
        })
        .say("answered", stats.exchanges > 0, || {
            format!("Exchanges in the last few seconds: {}.", count(stats.exchanges))
        })
}
