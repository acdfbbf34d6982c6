//! `learn --json`: a lesson of the list, or a round that `--auto` ran, one object a line.

use std::{collections::BTreeMap, io, io::Write, time::Duration};

use serde::Serialize;

use super::LessonRun;
use crate::{
    learn::{Claim, Done, Lesson, LessonFacts, Outcome, Unit, Value},
    text::{Untrusted, to_json},
};

/// A lesson, with `--list`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LessonRow<'a> {
    /// Type of the object.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(extend("const" = "lesson")))]
    kind: &'static str,
    /// Its name.
    name: &'a str,
    /// The first of the lectures that it goes with.
    lecture: u8,
    /// The lectures that it goes with.
    lectures: &'a [u8],
    /// Its subject.
    title: &'a str,
    /// Minutes that it takes.
    minutes: u8,
    /// Its questions.
    questions: usize,
    /// Questions that were seen to their ends.
    done: usize,
    /// Questions of these that were answered rightly, at the first try or a later one.
    right: usize,
    /// Questions that were answered rightly at the first try, of those of which that is known:
    /// progress of older versions does not tell.
    first_right: usize,
    /// Steps whose owner was asked, in the best tries.
    owners: usize,
    /// Steps of these whose owner was named rightly.
    owners_right: usize,
}

impl<'a> LessonRow<'a> {
    pub(super) fn new(lesson: &'a Lesson, done: &Done) -> Self {
        let owners = done.owners();
        Self {
            kind: "lesson",
            name: &lesson.slug,
            lecture: lesson.lectures[0],
            lectures: &lesson.lectures,
            title: &lesson.title,
            minutes: lesson.minutes,
            questions: lesson.rounds.len(),
            done: done.rounds,
            right: done.predictions().right,
            first_right: done.first_tries().right,
            owners: owners.of,
            owners_right: owners.right,
        }
    }
}

/// A round of a lesson that was run, with `--auto`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RoundRow<'a> {
    /// Type of the object.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(extend("const" = "round")))]
    kind: &'static str,
    /// Name of the lesson.
    lesson: &'a str,
    /// The lectures that it goes with.
    lectures: &'a [u8],
    /// The round, from 1.
    round: usize,
    /// Rounds that the lesson has.
    rounds: usize,
    /// The question.
    question: String,
    /// Settings of the run, by name.
    knobs: BTreeMap<String, String>,
    /// The answers offered.
    offered: &'a [String],
    /// Name of the fact that answers the question.
    answer: &'a str,
    /// The answer of those offered that is right by what was measured; `null` if nothing was.
    right_answer: Option<&'a str>,
    /// `true` if a recording was played.
    recorded: bool,
    /// Release of the kernel.
    kernel: &'a Untrusted,
    /// Tier of the hooks.
    tier: &'a Untrusted,
    /// Time that the run took, ms; `null` if a recording was played.
    took_ms: Option<u64>,
    /// What was measured.
    facts: Vec<FactRow>,
    /// What the text claims of it.
    claims: Vec<ClaimRow>,
    /// Claims that do not hold.
    broken: usize,
}

/// A measured figure.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FactRow {
    /// Its name.
    name: &'static str,
    /// The fact in a few words.
    about: &'static str,
    /// Unit of its value.
    #[cfg_attr(test, schemars(extend("enum" = ["count", "us", "bytes", "word", "drawn"])))]
    unit: &'static str,
    /// The figure, or the word; `null` if it was not observed.
    #[cfg_attr(test, schemars(schema_with = "figure"))]
    value: Option<Figure>,
    /// The value as the lesson shows it, `"?"` if it was not observed.
    shown: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Figure {
    Number(f64),
    Word(String),
}

/// Returns the schema of a figure.
#[cfg(test)]
fn figure(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["number", "string", "null"] })
}

/// A claim of the text.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ClaimRow {
    /// Name of the fact.
    fact: String,
    /// What is claimed of it.
    expected: String,
    /// `true` if it holds.
    holds: bool,
}

impl FactRow {
    fn all(facts: &LessonFacts) -> Vec<Self> {
        let mut out = Vec::new();
        for spec in facts.specs() {
            let value = match facts.get(spec.name) {
                Some(Value::Number(number)) => Some(Figure::Number(*number)),
                Some(Value::Word(word)) => Some(Figure::Word(word.clone())),
                None => None,
            };
            let (name, about, unit) = (spec.name, spec.about, unit(spec.unit));
            out.push(Self { name, about, unit, value, shown: facts.shown(name) });
        }
        out
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "count",
        Unit::Time => "us",
        Unit::Bytes => "bytes",
        Unit::Word => "word",
        Unit::Drawn => "drawn",
    }
}

impl ClaimRow {
    fn new(claim: &Claim, outcome: &Outcome) -> Self {
        let expected = claim.expected(&outcome.facts);
        let is_it = |fact: &str, told: &str| fact == claim.fact && told == expected;
        let holds = !outcome.broken.iter().any(|broken| is_it(&broken.fact, &broken.expected));
        Self { fact: claim.fact.clone(), expected, holds }
    }
}

/// Writes a round that was run.
pub(super) fn write_round(
    out: &mut dyn Write,
    run: &LessonRun,
    round: usize,
    outcome: &Outcome,
    took: Duration,
) -> io::Result<()> {
    let lesson = &run.lesson;
    let this = &lesson.rounds[round];
    let plan = &this.plan;
    let knobs = plan.knobs.names().map(|name| (name.to_owned(), plan.knobs.text(name, "")));
    let right = this.right(&outcome.facts).map(|at| plan.offered[at].as_str());
    let row = RoundRow {
        kind: "round",
        lesson: &lesson.slug,
        lectures: &lesson.lectures,
        round: round + 1,
        rounds: lesson.rounds.len(),
        question: this.asked(),
        knobs: knobs.collect(),
        offered: &plan.offered,
        answer: &plan.answer,
        right_answer: right,
        recorded: run.recorded,
        kernel: &outcome.evidence.kernel,
        tier: &outcome.evidence.tier,
        took_ms: if run.recorded { None } else { Some(took.as_millis() as u64) },
        facts: FactRow::all(&outcome.facts),
        claims: plan.claims.iter().map(|claim| ClaimRow::new(claim, outcome)).collect(),
        broken: outcome.broken.len(),
    };
    write(out, &row)
}

/// Writes an object in a line of its own.
pub(super) fn write(out: &mut dyn Write, row: &impl Serialize) -> io::Result<()> {
    out.write_all(&to_json(row)?)?;
    writeln!(out)
}
