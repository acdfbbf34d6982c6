//! The lessons there are: texts, checks and recordings belong together.

use std::collections::BTreeSet;

use super::*;
use crate::model::output::Output;
use crate::model::snapshot::{ConnectionView, ExchangeView};

fn lessons() -> impl Iterator<Item = (&'static CatalogueEntry, Lesson)> {
    all().iter().map(|entry| (entry, entry.lesson().unwrap_or_else(|error| panic!("{error}"))))
}

#[test]
fn every_lesson_can_be_read() {
    let first: Vec<_> = lessons().map(|(_, lesson)| lesson.lectures[0]).collect();
    assert!(first.is_sorted(), "{first:?}");
    let lectures: BTreeSet<_> = lessons().flat_map(|(_, lesson)| lesson.lectures).collect();
    assert!((37..=47).all(|lecture| lectures.contains(&lecture)), "{lectures:?}");
    let names: BTreeSet<_> = all().iter().map(|entry| entry.slug).collect();
    assert_eq!(names.len(), all().len());
    for (_, lesson) in lessons() {
        assert!(lesson.rounds.len() >= 2, "{}: there is nothing to change", lesson.slug);
        let told = |blocks: &[Block], what: &str| {
            assert!(!blocks.is_empty(), "{}: no {what}", lesson.slug)
        };
        told(&lesson.intro, "beginning");
        told(&lesson.jobs, "word on whose job it is");
        for round in &lesson.rounds {
            told(&round.question, "question");
            told(&round.reveal, "reveal");
        }
    }
}

#[test]
fn lectures_on_protocols_have_lessons_of_their_own() {
    let found = ["16", "17", "18", "19", "20", "21", "22"]
        .map(|lecture| find(lecture).map(|entry| entry.slug));
    let expected = ["promises", "properties", "layers", "routes", "udp", "tcp", "tls"];
    assert_eq!(found, expected.map(Some));
}

#[test]
fn what_changes_between_rounds_is_a_knob() {
    for (_, lesson) in lessons() {
        for pair in lesson.rounds.windows(2) {
            assert_ne!(
                pair[0].plan.knobs, pair[1].plan.knobs,
                "{}: {}",
                lesson.slug, pair[1].change
            );
            let scenario = |round: &Round| (lesson.check.scenario)(&round.plan.knobs);
            assert_ne!(
                scenario(&pair[0]),
                scenario(&pair[1]),
                "{}: the knob turns nothing",
                lesson.slug
            );
        }
    }
}

#[test]
fn every_recording_bears_its_lesson_out() {
    for (entry, lesson) in lessons() {
        let mut earlier = Vec::new();
        assert_eq!(
            entry.recordings.len(),
            lesson.rounds.len(),
            "{}: a recording for each round",
            entry.slug
        );
        for (round, recording) in entry.recordings.iter().enumerate() {
            let evidence = recorded(*recording).unwrap_or_else(|error| {
                panic!(
                    "{}, round {}: {error}; docs/learn.md says how to record anew",
                    entry.slug,
                    round + 1
                )
            });
            let outcome = judge(&lesson, round, evidence, true, earlier.clone());
            assert_eq!(outcome.broken, [], "{}, round {}", entry.slug, round + 1);
            earlier.push(Some(outcome.facts.clone()));
            assert!(
                lesson.rounds[round].right(&outcome.facts).is_some(),
                "{}: no answer is right",
                entry.slug
            );
            assert!(
                recording.bytes().expect("it unpacks").len() < 80_000,
                "{}: {} bytes are too many",
                entry.slug,
                recording.bytes().expect("it unpacks").len()
            );
        }
    }
}

/// True unless the tests of texts are asked for other lessons: `LESSONS=nagle,cpu`.
fn asked_for(slug: &str) -> bool {
    match std::env::var("LESSONS") {
        Ok(wanted) => wanted.split(',').any(|wanted| wanted == slug),
        Err(_) => true,
    }
}

#[test]
fn no_sentence_tells_what_is_neither_claimed_nor_known() {
    let mut flaws = Vec::new();
    for (entry, lesson) in lessons().filter(|(entry, _)| asked_for(entry.slug)) {
        flaws.extend(lesson.unclaimed().into_iter().map(|flaw| format!("{}, {flaw}", entry.slug)));
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

#[test]
fn what_is_drawn_is_what_is_told() {
    let mut flaws = Vec::new();
    for (entry, lesson) in lessons().filter(|(entry, _)| asked_for(entry.slug)) {
        for (at, round) in lesson.rounds.iter().enumerate() {
            let evidence = recorded(entry.recordings[at]).expect("a recording");
            let picture = judge(&lesson, at, evidence, true, Vec::new()).picture;
            let claimed = |fact: &str| round.plan.claims.iter().any(|claim| claim.fact == fact);
            let told = match &picture {
                Picture::Bars { bars, .. } | Picture::Nested { shells: bars, .. }
                    if picture.is_of_facts() =>
                {
                    bars.iter().filter_map(|bar| bar.fact).all(claimed)
                }
                _ => round.plan.claims.iter().any(|claim| claim.fact.starts_with("drawn_")),
            };
            if !told {
                flaws.push(format!("{}, round {}", entry.slug, at + 1));
            }
        }
    }
    assert!(flaws.is_empty(), "no claim ties the picture to the text:\n{}", flaws.join("\n"));
}

#[test]
fn every_lesson_has_a_counter_run() {
    for (entry, lesson) in lessons().filter(|(entry, _)| asked_for(entry.slug)) {
        let (at, changed) = lesson
            .counter_scenario()
            .unwrap_or_else(|| panic!("{}: nothing shows that its claims can fail", entry.slug));
        let unchanged = (lesson.check.scenario)(&lesson.rounds[at].plan.knobs);
        assert_ne!(changed, unchanged, "{}: the counter-run changes nothing", entry.slug);
    }
}

/// An answer offered is near to what was measured, and the next one is not.
#[test]
fn one_of_the_answers_is_right() {
    let mut flaws = Vec::new();
    for (entry, lesson) in lessons().filter(|(entry, _)| asked_for(entry.slug)) {
        for (at, round) in lesson.rounds.iter().enumerate() {
            let evidence = recorded(entry.recordings[at]).expect("a recording");
            let facts = judge(&lesson, at, evidence, true, Vec::new()).facts;
            let Some(measured) = facts.figure(&round.plan.answer) else { continue };
            let unit = facts.spec(&round.plan.answer).expect("a fact").unit;
            let offered = round.plan.offered.iter();
            let offered = offered.filter_map(|offered| match claim::parse(offered, unit)? {
                Value::Number(offered) => Some(offered),
                Value::Word(_) => None,
            });
            let offered: Vec<f64> = offered.collect();
            // What takes less than a millisecond takes as long as the machine is fast.
            let least = if unit == Unit::Time { 1_000.0 } else { 0.5 };
            let times = |offered: f64| {
                let (one, other) = (offered.max(least), measured.max(least));
                one.max(other) / one.min(other)
            };
            let mut off: Vec<f64> = offered.iter().map(|offered| times(*offered)).collect();
            off.sort_by(f64::total_cmp);
            let is_near = off[0] <= if unit == Unit::Time { 1.6 } else { 1.35 };
            if !(offered.contains(&measured) || is_near && off[1] >= 1.3 * off[0]) {
                flaws.push(format!(
                    "{}, round {}: {} of {:?}",
                    entry.slug,
                    at + 1,
                    facts.shown(&round.plan.answer),
                    round.plan.offered
                ));
            }
        }
    }
    assert!(flaws.is_empty(), "no answer offered is near, or two are:\n{}", flaws.join("\n"));
}

/// An evidence in which every figure that checks use is the largest of its type.
fn exaggerated(mut evidence: Evidence) -> Evidence {
    for output in &mut evidence.outputs {
        match output {
            Output::Connection(connection) => exaggerate_connection(&mut connection.view),
            Output::Exchange(exchange) => exaggerate_exchange(&mut exchange.view),
            Output::Datagrams(datagrams) => {
                let view = &mut datagrams.view;
                (view.drops, view.quic_connections) = (u64::MAX, u64::MAX);
                for flow in [&mut view.read, &mut view.written].into_iter().flatten() {
                    flow.datagrams = u64::MAX;
                }
            }
            _ => {}
        }
    }
    for connection in &mut evidence.snapshot.connections {
        exaggerate_connection(connection);
    }
    for listener in &mut evidence.snapshot.listeners {
        (listener.depth, listener.totals.eagain) = (u32::MAX, u64::MAX);
    }
    for report in &mut evidence.reports {
        let largest = |word: &str| match word.trim_end_matches(',').parse::<u64>() {
            Ok(_) => u64::MAX.to_string(),
            Err(_) => word.to_owned(),
        };
        let words: Vec<_> = report.as_came().split(' ').map(largest).collect();
        *report = words.join(" ").into();
    }
    evidence
}

fn exaggerate_connection(view: &mut ConnectionView) {
    (view.bytes_in, view.bytes_out, view.exchanges) = (u64::MAX, u64::MAX, u64::MAX);
    (view.retransmits, view.handshake_us) = (u64::MAX, Some(u64::MAX));
}

fn exaggerate_exchange(view: &mut ExchangeView) {
    (view.total_us, view.reads, view.writes) = (u64::MAX, u32::MAX, u32::MAX);
    for slice in &mut view.slices {
        slice.us = u64::MAX;
    }
}

#[test]
fn the_largest_figures_of_a_run_overflow_nothing() {
    for (entry, lesson) in lessons() {
        for (round, recording) in entry.recordings.iter().enumerate() {
            let evidence = recorded(*recording).expect("a recording");
            judge(&lesson, round, exaggerated(evidence), true, Vec::new());
        }
    }
    let figures = [u64::MAX, 1, u64::MAX];
    assert_eq!(evidence::sum(figures.into_iter()), u64::MAX);
}

#[test]
fn a_wrong_claim_is_found_out() {
    let entry = find("accept-queue").expect("it is there");
    let wrong = entry.text.replace("{ fact = \"limit\", is = 2 }", "{ fact = \"limit\", is = 3 }");
    assert_ne!(wrong, entry.text);
    let lesson = Lesson::parse(entry.slug, &wrong, entry.check).expect("it can be read");
    let outcome =
        judge(&lesson, 0, recorded(entry.recordings[0]).expect("a recording"), true, Vec::new());
    let said: Vec<_> = outcome.broken.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["limit (the kernel's limit of the accept queue): the lesson says 3, measured 2"]
    );
}

#[test]
fn flawed_texts_are_refused() {
    let entry = find("38").expect("by its lecture");
    assert_eq!(entry.slug, "accept-queue");
    for (old, new, word) in [
        ("{believing}", "{beleiving}", "beleiving"),
        ("{believing} clients", "{believing clients", "brace"),
        ("knobs = { backlog = 2 }", "knobs = { backlock = 2 }", "backlock"),
        ("answer = \"believing\"", "answer = \"faithful\"", "faithful"),
        ("offered = [\"0\", \"2\", \"3\", \"10\"]", "offered = [\"3\"]", "offered"),
        ("offered = [\"0\",", "offered = [\"none\",", "offered"),
        ("{ fact = \"limit\", is = 2 }", "{ fact = \"limes\", is = 2 }", "limes"),
        ("  { fact = \"believing\", is = \"room\" },\n", "", "believing"),
        ("minutes = 3", "minutes = \"three\"", "minutes"),
        ("offered = [", "why = { \"7\" = \"No.\" }\noffered = [", "answer 7"),
        ("offered = [", "why = { \"2\" = \"Not {dephts}.\" }\noffered = [", "dephts"),
        ("# Whose job", "# Jobs", "Whose job"),
        ("# Change: listen", "# Then: listen", "Change"),
        ("# Reveal", "# Reveal\n\n| a | table |\n\n```\ncode\n```\n", "no such thing"),
    ] {
        let text = entry.text.replacen(old, new, 1);
        assert_ne!(text, entry.text, "{old}");
        let error = Lesson::parse("x", &text, entry.check).expect_err(new).to_string();
        assert!(error.contains(word), "{new}: {error}");
    }
}

#[test]
fn a_wrong_answer_gets_the_lessons_own_word_if_there_is_one() {
    let entry = find("accept-queue").expect("it is there");
    let why = "why = { \"2\" = \"The queue has room for {room}.\" }\noffered = [";
    let text = entry.text.replacen("offered = [", why, 1);
    let lesson = Lesson::parse("x", &text, entry.check).expect("a lesson");
    let evidence = recorded(entry.recordings[0]).expect("a recording");
    let facts = judge(&lesson, 0, evidence, true, Vec::new()).facts;
    let word = |guess| {
        let block = lesson.rounds[0].on_wrong(guess, &facts)?;
        Some(block.pieces().iter().map(|piece| piece.filled(Some(&facts))).collect::<String>())
    };
    assert_eq!(word(1).as_deref(), Some("The queue has room for 3."));
    assert_eq!(word(2), None, "it is right");
    assert_eq!(word(3).as_deref(), Some("10 is about 3.3 times what was measured."));
    assert_eq!(lesson.rounds[0].on_wrong(0, &LessonFacts::new(lesson.check.facts)), None);
}

#[test]
fn the_nearest_answer_is_right() {
    let (_, lesson) = lessons().find(|(entry, _)| entry.slug == "nagle").expect("it is there");
    let right = |us: u64| {
        let mut facts = LessonFacts::new(lesson.check.facts);
        facts.whole("took", us);
        lesson.rounds[0].right(&facts).map(|at| lesson.rounds[0].plan.offered[at].as_str())
    };
    assert_eq!(
        [right(30), right(3_000), right(52_000)],
        [Some("0.1 ms"), Some("4 ms"), Some("44 ms")]
    );
    assert_eq!(lesson.rounds[0].right(&LessonFacts::new(lesson.check.facts)), None);
}
