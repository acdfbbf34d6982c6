//! What the text of a round rests on: the facts, the claims, and what ran and said.

use std::{collections::BTreeSet, time::SystemTime};

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    html::table,
    learn::{Block, Lesson, Outcome, Piece, Scenario},
};

/// Returns when something was, to the day: "2026-12-01".
pub(super) fn day(when: SystemTime) -> String {
    match Timestamp::try_from(when) {
        Ok(time) => time.strftime("%Y-%m-%d").to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// Returns the evidence of a round, closed.
pub(super) fn of(lesson: &Lesson, round: usize, outcome: &Outcome) -> Markup {
    let evidence = &outcome.evidence;
    html! {
        details.evidence {
            summary { "Evidence: facts, claims, and what ran" }
            div.inside {
                p.note {
                    "Measured on " (day(evidence.when)) ", kernel " (evidence.kernel) ", "
                    (evidence.tier) " tier. What the text says of the run is guarded by these claims."
                }
                h4 { "Facts" }
                (facts(round, outcome))
                h4 { "Claims of the text" }
                (claims(lesson, round, outcome))
                (sources(lesson, round, outcome))
                h4 { "What ran, and what it printed" }
                (ran(lesson, round, outcome))
                (findings(outcome))
            }
        }
    }
}

fn facts(round: usize, outcome: &Outcome) -> Markup {
    let rows = html! {
        @for spec in outcome.facts.specs() {
            tr {
                th scope="row" { code { (spec.name) } }
                td.n {
                    @if outcome.facts.get(spec.name).is_some() { b { (outcome.facts.shown(spec.name)) } }
                    @else { span.unknown { "not observed" } }
                }
                td.wide { (spec.about) }
            }
        }
    };
    table(&format!("Facts of question {}", round + 1), &["fact", "measured", "what it is"], &rows)
}

fn claims(lesson: &Lesson, round: usize, outcome: &Outcome) -> Markup {
    let rows = html! {
        @for claim in &lesson.rounds[round].plan.claims {
            @let holds = !outcome.broken.iter().any(|broken| broken.fact == claim.fact);
            tr {
                th scope="row" { code { (claim.fact) } }
                td { (claim.expected(&outcome.facts)) }
                td.n {
                    @if outcome.facts.get(&claim.fact).is_some() { (outcome.facts.shown(&claim.fact)) }
                    @else { span.unknown { "not observed" } }
                }
                td { @if holds { "✓ holds" } @else { b.loss { "✗ does not hold" } } }
            }
        }
    };
    table(
        &format!("Claims on question {}", round + 1),
        &["fact", "the text says", "measured", "claim"],
        &rows,
    )
}

/// Where the text has what the run does not measure.
fn sources(lesson: &Lesson, round: usize, outcome: &Outcome) -> Markup {
    let pieces = lesson.rounds[round].reveal_of(&outcome.facts).flat_map(Block::pieces);
    let sources: BTreeSet<&str> = pieces
        .filter_map(|piece| match piece {
            Piece::Source(source) => Some(source.as_str()),
            _ => None,
        })
        .collect();
    html! {
        @if !sources.is_empty() {
            h4 { "Where the rest is from, which this run does not measure" }
            ul { @for source in sources { li { (source) } } }
        }
    }
}

fn ran(lesson: &Lesson, round: usize, outcome: &Outcome) -> Markup {
    let Scenario { server, clients, .. } =
        (lesson.check.scenario)(&lesson.rounds[round].plan.knobs);
    html! {
        div.scroll role="region" aria-label={ "What ran for question " (round + 1) } tabindex="0" {
            pre {
                "$ " (server.join(" ")) "\n"
                @if let Some(client) = clients.first() { "$ " (client.join(" ")) "\n" }
                @for line in &outcome.evidence.reports { (line) "\n" }
            }
        }
    }
}

fn findings(outcome: &Outcome) -> Markup {
    let findings = &outcome.evidence.snapshot.findings;
    html! {
        @if !findings.is_empty() {
            h4 { "Findings that watch would have reported" }
            ul { @for finding in findings { li { code { (finding.kind) } ": " (finding.headline) } } }
        }
    }
}
