//! Connections wait in the accept queue because nobody accepts them.

use super::{Cause, FindingVerdict, ListenerFacts, Text, pace, remedy};
use crate::model::snapshot::Severity;
use crate::text::{count_of, duration_us};

pub(super) fn check(facts: &ListenerFacts<'_>) -> Option<FindingVerdict> {
    let stalled = facts.is_stalled();
    if !stalled && (!facts.waits_are_long() || facts.undecided) {
        return None;
    }
    let view = facts.view;
    let mut evidence =
        vec![("depth", f64::from(view.depth)), ("accepted", view.totals.accepted as f64)];
    if stalled {
        evidence.push(("stalled_us", (facts.stalled_ns / 1_000) as f64));
    }
    if let Some(mean_us) = facts.figures.wait_mean_us() {
        evidence.extend([
            ("wait_mean_us", mean_us as f64),
            ("wait_max_us", facts.figures.wait_max_us as f64),
        ]);
    }
    if let Some(share) = facts.figures.inside_share() {
        evidence.push(("accept_share", share));
    }
    if let Some(share) = facts.figures.attended_share() {
        evidence.push(("accept_share_of_waits", share));
    }
    if let Some(share) = facts.denied_share {
        evidence.push(("without_cpu_share", share));
    }
    if let Some(load) = &facts.load {
        evidence.extend([
            ("workers", load.workers.count as f64),
            ("workers_busy", load.workers.busy as f64),
            ("hold_mean_us", (load.workers.hold_ns / 1_000) as f64),
            ("answer_mean_us", (load.workers.answer_ns / 1_000) as f64),
            ("capacity_per_second", load.workers.capacity()),
        ]);
    }
    evidence.push(("accepts_per_second", facts.recent.rate(facts.figures.accepts)));
    evidence.push(("arrivals_per_second", facts.recent.rate(facts.figures.arrivals)));
    Some(FindingVerdict {
        severity: Severity::Warning,
        owner: pace::owner_of_waits(facts),
        headline: headline(facts),
        text: link(
            pace::say_what_it_did(
                "The kernel has completed their handshakes.".to_owned().into(),
                facts,
            ),
            facts,
        ),
        evidence,
        fix: remedy::remedy(facts).into(),
    })
}

/// Names what explains the waits: `accept` that fails, a quota or a lack of CPUs, or answers that
/// hold the threads which accept.
fn link(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let denied = facts.is_denied();
    text.follows_from(facts.failing.is_some(), Cause::Here("accept-fails"))
        .follows_from(denied, Cause::Here("throttled"))
        .follows_from(denied, Cause::Here("cpu-starved"))
        .follows_from(pace::answers_hold_it(facts), Cause::Here("slow-app"))
}

fn headline(facts: &ListenerFacts<'_>) -> String {
    let established = count_of(facts.view.depth.into(), "established connection");
    let verb = if facts.view.depth == 1 { "is" } else { "are" };
    if !facts.is_stalled() {
        let (mean, longest) =
            (facts.figures.wait_mean_us().unwrap_or(0), facts.figures.wait_max_us);
        format!(
            "Connections wait {} to be accepted, {} at worst.",
            duration_us(mean),
            duration_us(longest)
        )
    } else if facts.view.totals.accepted == 0 {
        format!("Nobody accepts: {established} {verb} waiting.")
    } else {
        let stalled = duration_us(facts.stalled_ns / 1_000);
        format!("Nothing accepted for {stalled}: {}.", pace::waiting(facts.view.depth))
    }
}
