//! Connections end in the accept queue: their peers gave up waiting, or the listener closed and the
//! kernel reset them.

use super::{Cause, FindingVerdict, ListenerFacts, Text, remedy};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, duration_us};

/// Several connections in five seconds are no accident.
const SEVERAL: u64 = 3;

/// One connection is enough, several are a warning. A peer that leaves within 50 ms does not count:
/// health checks, port scanners and clients that half-close do so.
pub(super) fn check(facts: &ListenerFacts<'_>) -> Option<FindingVerdict> {
    let (late, cut) = (facts.figures.left_late, facts.figures.cut);
    if late == 0 && cut == 0 {
        return None;
    }
    let mean_us = facts.figures.left_late_us.checked_div(late);
    let mut evidence = vec![("gave_up", late as f64), ("reset_by_close", cut as f64)];
    if let Some(us) = mean_us {
        evidence.push(("gave_up_after_us", us as f64));
    }
    evidence.push(("depth", f64::from(facts.view.depth)));
    evidence.push(("other_listeners", facts.siblings as f64));
    Some(FindingVerdict {
        severity: if late.saturating_add(cut) >= SEVERAL {
            Severity::Warning
        } else {
            Severity::Info
        },
        owner: Owner::App,
        headline: headline(late, cut),
        text: Text::default()
            .say("gave-up", late > 0, || gave_up(facts))
            .say("cut", cut > 0, || cut_off(facts))
            .rest_on("siblings", cut > 0 && facts.siblings > 0)
            .follows_from(late > cut, Cause::Here("accept-starved"))
            .follows_from(late > cut && facts.failing.is_some(), Cause::Here("accept-fails")),
        evidence,
        fix: fix(facts).into(),
    })
}

fn headline(late: u64, cut: u64) -> String {
    match (late, cut) {
        (_, 0) => format!("{} gave up waiting to be accepted.", count_of(late, "client")),
        (0, _) => {
            format!("Closing the listener reset {} in its queue.", count_of(cut, "connection"))
        }
        _ => format!(
            "{} gave up in the accept queue; the listener's close reset {}.",
            count_of(late, "client"),
            count(cut)
        ),
    }
}

fn gave_up(facts: &ListenerFacts<'_>) -> String {
    let mean_us = facts.figures.left_late_us.checked_div(facts.figures.left_late).unwrap_or(0);
    let part = if facts.figures.left_late == 1 {
        "It closed or reset its connection"
    } else {
        "Each closed or reset its connection"
    };
    let after = if facts.figures.left_late == 1 { "after" } else { "after a mean of" };
    format!(
        "{part} {after} {} in the accept queue, before the application accepted it.",
        duration_us(mean_us)
    )
}

fn cut_off(facts: &ListenerFacts<'_>) -> String {
    let cut = facts.figures.cut;
    let others = match facts.siblings {
        0 => String::new(),
        1 => {
            " Another listener at this address (SO_REUSEPORT) is still open and could have served \
             them."
                .to_owned()
        }
        n => format!(
            " {} other listeners at this address (SO_REUSEPORT) are still open and could have \
             served them.",
            count(n)
        ),
    };
    format!(
        "{} had completed the handshake and not yet been accepted when the listener closed: each \
         peer got a reset.{others}",
        count_of(cut, "connection")
    )
}

fn fix(facts: &ListenerFacts<'_>) -> String {
    let gave_up = if facts.failing.is_some() {
        "fix accept() first: the finding accept-fails says why it fails.".to_owned()
    } else if facts.was_at_limit || facts.held.is_some() {
        remedy::remedy(facts)
    } else {
        remedy::accept_faster(facts)
    };
    let cut = if facts.siblings > 0 {
        "before closing a listener, take it out of the group and accept what is in its queue; or \
         set net.ipv4.tcp_migrate_req=1 (Linux 5.14 and later), which moves its queue to the \
         others."
    } else {
        "accept what is in the queue before closing the listener, or pass the listening socket on \
         to the new process."
    };
    match (facts.figures.left_late, facts.figures.cut) {
        (_, 0) => gave_up,
        (0, _) => cut.to_owned(),
        _ => format!("{gave_up} Then {cut}"),
    }
}
