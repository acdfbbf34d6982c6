//! The page of a lesson.

use maud::{Markup, html};

use super::{
    DEMOS, INDEX, Told, evidence,
    links::{self, Neighbours, file},
    picture, round, words,
};
use crate::{
    learn::{CommandLines, Lesson},
    text::{count_of, noun},
};

/// Returns what is on the page.
pub(super) fn body(told: &Told<'_>, neighbours: &Neighbours<'_>) -> Markup {
    let lesson = told.lesson;
    html! {
        (header(told, neighbours))
        (way(lesson))
        main id="main" data-lesson=(lesson.slug) data-rounds=(lesson.rounds.len()) tabindex="-1" {
            div.intro { (words::blocks(&lesson.intro, None)) }
            @for at in 0..lesson.rounds.len() { (round::section(told, at)) }
            (jobs(told))
            (summary(told, neighbours))
        }
        (super::footer())
        (round::pick())
        (picture::rails())
    }
}

fn header(told: &Told<'_>, neighbours: &Neighbours<'_>) -> Markup {
    let lesson = told.lesson;
    html! {
        header.top {
            p.brand {
                @if neighbours.course { a href=(file(INDEX)) { "All lessons" } " · " }
                strong { "backscope" } " lecture " (lesson.lecture())
            }
            h1 { (lesson.title) }
            p.facts {
                span { (count_of(lesson.minutes.into(), "minute")) }
                span { (count_of(lesson.rounds.len() as u64, "question")) }
                @if let Some(outcome) = told.outcomes.first() {
                    span {
                        "recorded on " (evidence::day(outcome.evidence.when)) ", kernel "
                        (outcome.evidence.kernel)
                    }
                }
            }
            p.needs-script hidden {
                button.link type="button" data-do="show-everything" { "Show everything" }
            }
        }
    }
}

/// The way through the lesson, which stays in sight.
fn way(lesson: &Lesson) -> Markup {
    html! {
        nav.way aria-label="This lesson" {
            ol {
                @for at in 1..=lesson.rounds.len() {
                    li { a href={ "#round-" (at) } {
                        span.vh[at > 1] { "Question " } (at)
                    } }
                }
                li { a href="#jobs" { "Whose job" } }
                li { a href="#summary" { "Summary" } }
            }
        }
    }
}

fn jobs(told: &Told<'_>) -> Markup {
    // It tells of the first run, as on the screen.
    let facts = told.outcomes.first().map(|outcome| &outcome.facts);
    html! {
        section.part.later id="jobs" aria-labelledby="jobs-h" {
            h2 id="jobs-h" tabindex="-1" { "Whose job is it?" }
            (words::blocks(&told.lesson.jobs, facts))
            p.onward.needs-script hidden {
                button.go type="button" data-do="onward" { "Summary" }
            }
        }
    }
}

fn summary(told: &Told<'_>, neighbours: &Neighbours<'_>) -> Markup {
    let lesson = told.lesson;
    html! {
        section.part.later id="summary" aria-labelledby="summary-h" {
            h2 id="summary-h" tabindex="-1" { "Summary" }
            p.score.needs-script hidden aria-live="polite" {}
            ol.told {
                @for (at, outcome) in told.outcomes.iter().enumerate() {
                    (told_in_short(lesson, at, outcome))
                }
            }
            (yourself(lesson, neighbours))
            nav.beside aria-label="Other lessons" {
                @if let Some(before) = neighbours.before {
                    a.before href=(file(&before.slug)) rel="prev" {
                        span { "← Lecture " (before.lecture()) } " " (before.title)
                    }
                }
                @if let Some(after) = neighbours.after {
                    a.after href=(file(&after.slug)) rel="next" {
                        span { "Lecture " (after.lecture()) " →" } " " (after.title)
                    }
                }
            }
            p.needs-script hidden { button.plain type="button" data-do="again" { "Start over" } }
        }
    }
}

/// A round in one line: what was changed, and what was measured.
fn told_in_short(lesson: &Lesson, at: usize, outcome: &crate::learn::Outcome) -> Markup {
    let round = &lesson.rounds[at];
    html! {
        li data-summary=(at + 1) {
            b { (outcome.facts.shown(&round.plan.answer)) } " "
            @if let Some(spec) = outcome.facts.spec(&round.plan.answer) { (spec.about) }
            @if at > 0 { span.at { " (" (round.change) ")" } }
            span.predicted {}
        }
    }
}

/// How to see the same on one's own machine, and where to read on.
fn yourself(lesson: &Lesson, neighbours: &Neighbours<'_>) -> Markup {
    let runs = lesson.rounds.iter().enumerate().map(|(at, round)| {
        let scenario = (lesson.check.scenario)(&round.plan.knobs);
        (at, scenario.command_lines())
    });
    let demos: Vec<_> = links::demos_of(lesson).collect();
    let manual: Vec<_> = links::manual_of(lesson).collect();
    html! {
        h3 { "On a Linux machine of your own" }
        ul.commands {
            li {
                "The lesson, measured on your kernel:"
                (command(&format!("sudo backscope learn {}", lesson.slug)))
            }
            @for (at, lines) in runs { (ran(at, &lines)) }
            @for demo in &demos {
                li {
                    (demo.title)
                    @if neighbours.course {
                        " (" a href={ (file(DEMOS)) "#" (demo.name) } { "what to try" } ")"
                    }
                    ":" (command(&format!("backscope demo {}", demo.name)))
                }
            }
        }
        @if !manual.is_empty() {
            p.note {
                (noun(manual.len() as u64, "Page")) " of the manual, in the repository: "
                @for (place, (path, about)) in manual.iter().enumerate() {
                    @if place > 0 { ", " }
                    code { (path) } " (" (about) ")"
                }
                "."
            }
        }
    }
}

/// What ran for a question: a demo, or all that it takes at a shell.
fn ran(at: usize, lines: &CommandLines) -> Markup {
    html! {
        @match &lines.demo {
            Some(demo) => {
                li { "What ran for question " (at + 1) ", " (demo.about) ":" (command(&demo.text)) }
            }
            None => {
                li {
                    details.quiet {
                        summary { "What ran for question " (at + 1) ", at a shell" }
                        ul.commands {
                            @for line in &lines.shell { li { (line.about) ":" (command(&line.text)) } }
                        }
                    }
                }
            }
        }
    }
}

/// A command, with a button that copies it.
pub(super) fn command(text: &str) -> Markup {
    html! {
        span.command {
            // Broken between words alone, and not within an option.
            code { @for word in text.split_inclusive(' ') { span { (word) } } }
            button.copy.needs-script type="button" hidden data-do="copy"
                aria-label={ "Copy: " (text) } { "Copy" }
        }
    }
}
