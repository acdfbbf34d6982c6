//! Connections wait in the accept queue since nobody fetches them.

use super::{Facts, Verdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, duration_us, percent, rate};

pub(super) fn check(facts: &Facts<'_>) -> Option<Verdict> {
    let stalled = facts.is_stalled();
    if !stalled && !facts.waits_are_long() {
        return None;
    }
    let (view, share) = (facts.view, facts.figures.inside_share());
    // A thread that is inside accept and yet does not take what waits: something else holds it, and we can't say what.
    let owner = if facts.is_attended() { Owner::Unknown } else { Owner::App };
    let mut evidence = vec![("depth", f64::from(view.depth)), ("accepted", view.totals.accepted as f64)];
    if stalled {
        evidence.push(("stalled_us", (facts.stalled_ns / 1_000) as f64));
    }
    if let Some(mean_us) = facts.figures.wait_mean_us() {
        evidence.extend([("wait_mean_us", mean_us as f64), ("wait_max_us", facts.figures.wait_max_us as f64)]);
    }
    evidence.extend(share.map(|share| ("accept_share", share)));
    let (accepts, arrivals) = facts.accept_and_arrival_rates();
    evidence.extend([("accepts_per_second", accepts), ("arrivals_per_second", arrivals)]);
    Some(Verdict {
        severity: Severity::Warning,
        owner,
        headline: headline(facts),
        text: text(facts),
        evidence,
        fix: fix(facts).into(),
    })
}

fn headline(facts: &Facts<'_>) -> String {
    let waiting = count(facts.view.depth.into());
    if facts.view.totals.accepted == 0 {
        format!("Nobody accepts: {waiting} finished connections wait.")
    } else if facts.is_stalled() {
        format!("Nothing accepted for {}: {waiting} connections wait.", duration_us(facts.stalled_ns / 1_000))
    } else {
        let (mean, longest) = (facts.figures.wait_mean_us().unwrap_or(0), facts.figures.wait_max_us);
        format!("Connections wait {} to be accepted, {} at the worst.", duration_us(mean), duration_us(longest))
    }
}

fn text(facts: &Facts<'_>) -> String {
    let kernel = "The kernel finished their handshakes at once.";
    let (accepts, arrivals) = facts.accept_and_arrival_rates();
    let app = if facts.view.totals.accepted == 0 {
        "The application has not accepted one connection since it is watched.".to_owned()
    } else if facts.is_stalled() {
        "The application takes none of them.".to_owned()
    } else {
        format!("The application accepted {} a second of {} that came.", rate(accepts), rate(arrivals))
    };
    let inside = match facts.figures.inside_share() {
        Some(share) if facts.is_attended() => {
            format!(" A thread was inside accept() {} of the time, and still they waited.", percent(share))
        }
        Some(share) => format!(" No thread was inside accept() more than {} of the time.", percent(share)),
        None => String::new(),
    };
    format!("{kernel} {app}{inside}")
}

fn fix(facts: &Facts<'_>) -> &'static str {
    if facts.view.totals.accepted == 0 {
        "call accept() on this socket, or close it; check that the accepting thread is alive."
    } else if facts.is_attended() {
        "look at what holds the accepting thread: too little CPU, or a lock around accept()."
    } else {
        "give accept() a thread of its own, or accept until EAGAIN on each wakeup; move slow work off that thread."
    }
}
