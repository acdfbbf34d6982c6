//! One round of a lesson: the question, the answers offered, and what the run has shown.

use maud::{Markup, html};

use super::{Told, evidence, picture, words};
use crate::{
    html::{badge, owner_class},
    learn::{Block, Evidence, LessonFacts, Outcome, Round, Scenario, Who},
    model::snapshot::Owner,
    report::page::queue_film,
};

/// Those whose doing something may be, in the order of the lessons' letters.
const OWNERS: [Owner; 4] = [Owner::Kernel, Owner::App, Owner::Peer, Owner::Network];

/// Returns the buttons that ask whose doing a step is, for the script to put below each.
pub(super) fn pick() -> Markup {
    html! {
        template id="pick" {
            div.pick role="group" aria-label="Whose doing is this?" {
                @for owner in OWNERS {
                    button type="button" data-owner=(owner_class(owner))
                        aria-keyshortcuts=(owner.letter()) { (badge(owner)) }
                }
            }
        }
    }
}

/// Returns the section of a round.
pub(super) fn section(told: &Told<'_>, at: usize) -> Markup {
    let round = &told.lesson.rounds[at];
    let id = format!("round-{}", at + 1);
    html! {
        section.part.later[at > 0] id=(id) aria-labelledby={ (id) "-h" } data-round=(at + 1) {
            h2 id={ (id) "-h" } tabindex="-1" {
                @if at == 0 { "Question" } @else { "Change one thing: " (round.change) }
            }
            div.question { (words::blocks(&round.question, None)) }
            @if let Some(outcome) = told.outcomes.get(at) {
                (predict(round, at, outcome))
                (runs(told, at))
                (reveal(told, at, outcome))
            }
        }
    }
}

/// The answers offered, to choose one.
fn predict(round: &Round, at: usize, outcome: &Outcome) -> Markup {
    let right = round.right(&outcome.facts);
    html! {
        form.predict autocomplete="off" data-right=[right] {
            fieldset.answers {
                legend { "What do you predict?" }
                div.choices {
                    @for (answer, offered) in round.plan.offered.iter().enumerate() {
                        label.choice {
                            input type="radio" name={ "answer-" (at + 1) } value=(answer);
                            span.mark aria-hidden="true" {}
                            span.offered { (offered) }
                        }
                    }
                }
            }
            button.go.needs-script type="submit" hidden { "Show what was measured" }
        }
    }
}

/// What runs, for who wants to know before.
fn runs(told: &Told<'_>, at: usize) -> Markup {
    let lesson = told.lesson;
    let Scenario { server, clients, .. } = (lesson.check.scenario)(&lesson.rounds[at].plan.knobs);
    html! {
        details.quiet {
            summary { "What runs, and what is measured" }
            dl.pairs {
                dt { "server" } dd { code { (server.join(" ")) } }
                @if let Some(client) = clients.first() {
                    dt { @if clients.len() > 1 { (clients.len()) " clients" } @else { "client" } }
                    dd { code { (client.join(" ")) } }
                }
                dt { "measured" }
                dd { ul.measured { @for spec in lesson.check.facts { li { (spec.about) } } } }
            }
        }
    }
}

fn reveal(told: &Told<'_>, at: usize, outcome: &Outcome) -> Markup {
    let round = &told.lesson.rounds[at];
    html! {
        details.reveal {
            summary { "What was measured" }
            (verdict(round, outcome))
            h3.needs-script hidden { "Whose doing is it?" }
            p.note.needs-script hidden {
                "Say of each step whose doing it is, before you are told: the kernel's, the app's, the "
                "peer's or the network's."
            }
            ol.steps { @for block in round.reveal_of(&outcome.facts) { (step(block, &outcome.facts)) } }
            p.needs-script hidden {
                button.link type="button" data-do="show-all" { "Show all steps" }
            }
            p.vh aria-live="polite" {}
            div.seen {
                h3 { "Who did what" }
                @if let Some(run) = told.runs.get(at) {
                    (queue_film(run, &format!("film-{}", at + 1), &came(&outcome.evidence)))
                }
                (picture::svg(&outcome.picture))
                (evidence::of(told.lesson, at, outcome))
                p.onward.needs-script hidden {
                    button.go type="button" data-do="onward" { (onward(told, at)) }
                }
            }
        }
    }
}

/// The times at which connections came that nobody took, as the clients noted them: "connected PORT
/// BEGUN DONE", ns of `CLOCK_MONOTONIC`.
fn came(evidence: &Evidence) -> Vec<u64> {
    if evidence.accepts().next().is_some() {
        // Those that were taken are in the run itself.
        return Vec::new();
    }
    let mut came = Vec::new();
    for line in evidence.lines(Who::Client, "connected") {
        let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        if let [_port, _begun, done] = numbers[..] {
            came.push(done);
        }
    }
    came
}

fn onward(told: &Told<'_>, at: usize) -> Markup {
    html! {
        @match told.lesson.rounds.get(at + 1) {
            Some(next) => { "Change one thing: " (next.change) },
            None => "Whose job is it?",
        }
    }
}

/// What was measured, against what was predicted.
fn verdict(round: &Round, outcome: &Outcome) -> Markup {
    html! {
        div.measured-value tabindex="-1" {
            p.big {
                b { (outcome.facts.shown(&round.plan.answer)) }
                @if let Some(spec) = outcome.facts.spec(&round.plan.answer) { " " span { (spec.about) } }
            }
            @for (answer, offered) in round.plan.offered.iter().enumerate() {
                (word(round, answer, offered, outcome))
            }
            @if !outcome.broken.is_empty() {
                p.loss { "▲ This run does not match the lesson's text:" }
                ul { @for broken in &outcome.broken { li { (broken.to_string()) } } }
            }
        }
    }
}

/// A word on an answer, for who predicted it; a lesson's own is for all where there is no script.
fn word(round: &Round, answer: usize, offered: &str, outcome: &Outcome) -> Markup {
    let facts = &outcome.facts;
    html! {
        @match round.on_wrong(answer, facts) {
            Some(why) => {
                p.word data-answer=(answer) hidden[!round.why.contains_key(offered)] {
                    b.bad { "✗ " (offered) } ". " (words::pieces(why.pieces(), Some(facts)))
                }
            }
            None if round.right(facts) == Some(answer) => {
                p.word hidden data-answer=(answer) { b.good { "✓ " (offered) } ", as you predicted." }
            }
            None => {
                p.word hidden data-answer=(answer) { b { (offered) } ": what is right was not measured." }
            }
        }
    }
}

/// A step of the reveal: whose doing it is shows once the reader has said so, or wants to be told.
fn step(block: &Block, facts: &LessonFacts) -> Markup {
    let owner = match block {
        Block::Item(owner, _) => *owner,
        Block::Paragraph(_) => None,
    };
    html! {
        li.reveal-step data-owner=[owner.map(owner_class)] {
            @if let Some(owner) = owner { p.who { (badge(owner)) span.said {} } }
            p.text {
                @if owner.is_some() { (words::guessable(block.pieces(), Some(facts))) }
                @else { (words::pieces(block.pieces(), Some(facts))) }
            }
        }
    }
}
