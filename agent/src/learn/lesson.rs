//! A lesson as data, read from its Markdown file.
//!
//! The figures stand in TOML between two lines of `+++`, the words below them under headings;
//! `docs/learn.md` has the whole of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use serde::Deserialize;

use super::{
    check::{Check, Scenario},
    claim::{self, Claim},
    fact::{LessonFacts, Unit, Value, of_round, spec},
    lint,
    text::{Block, Piece, pieces},
};
use crate::model::snapshot::Owner;

/// A lesson.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Its name on the command line.
    pub slug: String,
    /// The lectures of the course that it goes with, at least one.
    pub lectures: Vec<u8>,
    /// Its subject.
    pub title: String,
    /// Minutes that it takes.
    pub minutes: u8,
    /// Text that leads to the question.
    pub intro: Vec<Block>,
    /// The question with its run, then the same with one thing changed.
    pub rounds: Vec<Round>,
    /// Text on which job is the kernel's and which the app's.
    pub jobs: Vec<Block>,
    /// The run in which the claims have to fail.
    pub counter: Option<Counter>,
    /// Code that runs it and measures.
    pub check: &'static Check,
}

/// A question, a run and what it shows.
#[derive(Clone, Debug)]
pub struct Round {
    /// The change from the round before; empty for the first.
    pub change: String,
    /// The question.
    pub question: Vec<Block>,
    /// Text on what the run shows, step by step.
    pub reveal: Vec<Block>,
    /// A word on a wrong answer, by the answer.
    pub why: BTreeMap<String, Block>,
    /// The figures.
    pub plan: Plan,
}

/// The figures of a round.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Settings of the run.
    #[serde(default)]
    pub knobs: Knobs,
    /// The fact that answers the question.
    pub answer: String,
    /// The answers offered.
    pub offered: Vec<String>,
    /// Claims of the text.
    pub claims: Vec<Claim>,
    /// A word on a wrong answer, by the answer.
    #[serde(default)]
    pub why: BTreeMap<String, String>,
}

/// A run with one thing changed under a round, in which its claims have to fail: so it is shown
/// that they can.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// What is changed, in a few words.
    pub change: String,
    /// The round, from 1.
    pub round: usize,
    /// Knobs that are turned otherwise.
    #[serde(default)]
    pub knobs: Knobs,
    /// Settings of the kernel that are changed in the lesson's network: name and value.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The facts whose claims fail.
    pub breaks: Vec<String>,
}

/// Settings of a run, by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Knobs(BTreeMap<String, Setting>);

/// Setting of a knob.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Setting {
    Number(u64),
    Text(String),
}

impl Knobs {
    /// Returns a setting as text, or the default.
    pub fn text(&self, name: &str, default: &str) -> String {
        match self.0.get(name) {
            Some(Setting::Number(number)) => number.to_string(),
            Some(Setting::Text(text)) => text.clone(),
            None => default.to_owned(),
        }
    }

    /// Returns a setting as a number, or the default where it is none.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        match self.0.get(name) {
            Some(Setting::Number(number)) => *number,
            _ => default,
        }
    }

    /// These with others put in their place.
    #[must_use]
    pub fn but(&self, others: &Self) -> Self {
        let mut knobs = self.clone();
        knobs.0.extend(others.0.clone());
        knobs
    }

    /// These with one set to a value, which is a number if it looks like one.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let setting = match value.parse() {
            Ok(number) => Setting::Number(number),
            Err(_) => Setting::Text(value.to_owned()),
        };
        let mut knobs = self.clone();
        knobs.0.insert(name.to_owned(), setting);
        knobs
    }

    /// The names that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.keys().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name} {}", self.text(name, ""))?;
        }
        Ok(())
    }
}

impl Round {
    fn read(
        change: String,
        question: Vec<Block>,
        reveal: Vec<Block>,
        plan: Plan,
    ) -> Result<Self, String> {
        let mut why = BTreeMap::new();
        for (offered, text) in &plan.why {
            if !plan.offered.contains(offered) {
                return Err(format!(
                    "there is a word on the answer {offered}, which is not offered"
                ));
            }
            let mut words = Vec::new();
            pieces(text, false, &mut words)?;
            why.insert(offered.clone(), Block::Paragraph(words));
        }
        Ok(Self { change, question, reveal, why, plan })
    }

    /// The parts of the reveal that are shown with these facts.
    pub fn reveal_of(&self, facts: &LessonFacts) -> impl Iterator<Item = &Block> {
        self.reveal.iter().filter(|block| block.applies(Some(facts)))
    }

    /// Returns the question as plain text.
    pub fn asked(&self) -> String {
        let paragraphs = self
            .question
            .iter()
            .map(|block| block.pieces().iter().map(|piece| piece.filled(None)).collect::<String>());
        paragraphs.collect::<Vec<_>>().join("\n")
    }

    /// Returns which of the offered answers the facts bear out: the nearest one. `None` if the
    /// answer was not observed.
    pub fn right(&self, facts: &LessonFacts) -> Option<usize> {
        let unit = facts.spec(&self.plan.answer)?.unit;
        let measured = facts.get(&self.plan.answer)?;
        let mut nearest: Option<(usize, f64)> = None;
        for (at, offered) in self.plan.offered.iter().enumerate() {
            let Some(distance) = distance(offered, unit, measured) else { continue };
            match nearest {
                Some((_, least)) if least.total_cmp(&distance).is_le() => {}
                _ => nearest = Some((at, distance)),
            }
        }
        let (at, _) = nearest?;
        Some(at)
    }
}

/// Distance between an answer offered and what was measured; `None` if they do not compare. Times
/// are told apart by their order of magnitude.
fn distance(offered: &str, unit: Unit, measured: &Value) -> Option<f64> {
    match (claim::parse(offered, unit)?, measured) {
        (Value::Number(offered), Value::Number(measured)) if unit == Unit::Time => {
            Some((offered.max(1.0).ln() - measured.max(1.0).ln()).abs())
        }
        (Value::Number(offered), Value::Number(measured)) => Some((offered - measured).abs()),
        (Value::Word(offered), Value::Word(measured)) if offered == *measured => Some(0.0),
        _ => None,
    }
}

/// A text that is no lesson, and the reason.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct LessonError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    lecture: Option<u8>,
    #[serde(default)]
    lectures: Vec<u8>,
    title: String,
    minutes: u8,
    rounds: Vec<Plan>,
    counter: Option<Counter>,
}

impl Lesson {
    /// Reads a lesson.
    ///
    /// # Errors
    /// The text is none, or names a fact or a knob that the check does not have.
    pub fn parse(slug: &str, text: &str, check: &'static Check) -> Result<Self, LessonError> {
        Self::read(slug, text, check).map_err(|flaw| LessonError(format!("lesson {slug}: {flaw}")))
    }

    fn read(slug: &str, text: &str, check: &'static Check) -> Result<Self, String> {
        let Text { front, sections } = Text::read(text)?;
        let front = toml::from_str(&front).map_err(|error| error.to_string())?;
        let Front { lecture, mut lectures, title, minutes, rounds: plans, counter } = front;
        let mut plans = plans.into_iter();
        let mut sections = sections.into_iter();
        let mut section = |wanted: &str| match sections.next() {
            Some((title, blocks)) if title == wanted => Ok((title, blocks)),
            Some((title, blocks)) if wanted == "Change" && title.starts_with("Change: ") => {
                Ok((title["Change: ".len()..].to_owned(), blocks))
            }
            Some((title, _)) => {
                Err(format!("the heading “{wanted}” is expected where “{title}” is"))
            }
            None => Err(format!("the heading “{wanted}” is missing")),
        };
        let intro = section("")?.1;
        let (question, reveal, jobs) =
            (section("Question")?.1, section("Reveal")?.1, section("Whose job")?.1);
        let plan = plans.next().ok_or("it needs a round")?;
        let mut rounds = vec![Round::read(String::new(), question, reveal, plan)?];
        for plan in plans {
            let ((change, question), (_, reveal)) = (section("Change")?, section("Reveal")?);
            rounds.push(Round::read(change, question, reveal, plan)?);
        }
        if let Some((title, _)) = sections.next() {
            return Err(format!("the heading “{title}” has no round"));
        }
        lectures.extend(lecture);
        lectures.sort_unstable();
        if lectures.is_empty() {
            return Err("it has no lecture".to_owned());
        }
        let slug = slug.to_owned();
        let lesson = Self { slug, lectures, title, minutes, intro, rounds, jobs, counter, check };
        match lesson.flaw() {
            None => Ok(lesson),
            Some(flaw) => Err(flaw),
        }
    }

    /// The numbers of its lectures: "38", "17–19", "33, 35".
    pub fn lecture(&self) -> String {
        match self.lectures.as_slice() {
            [first, .., last] if usize::from(last - first) + 1 == self.lectures.len() => {
                format!("{first}–{last}")
            }
            lectures => lectures.iter().map(u8::to_string).collect::<Vec<_>>().join(", "),
        }
    }

    /// Says which sentences tell a number or compare without a claim or a source.
    pub fn unclaimed(&self) -> Vec<String> {
        lint::flaws(self)
    }

    /// The scenario of its counter-run, and the place of the round whose claims have to fail.
    pub fn counter_scenario(&self) -> Option<(usize, Scenario)> {
        let counter = self.counter.as_ref()?;
        let at = counter.round.checked_sub(1)?;
        let knobs = self.rounds.get(at)?.plan.knobs.but(&counter.knobs);
        let mut scenario = (self.check.scenario)(&knobs);
        scenario.sysctls.extend(counter.sysctls.clone());
        Some((at, scenario))
    }

    /// The earlier rounds that a round compares itself with, by their places.
    pub fn compared(&self, round: usize) -> BTreeSet<usize> {
        let this = &self.rounds[round];
        let claimed = this.plan.claims.iter().flat_map(Claim::names);
        let shown = this.reveal.iter().chain(this.why.values()).flat_map(Block::pieces).filter_map(
            |piece| match piece {
                Piece::Fact(name) => Some(name.as_str()),
                _ => None,
            },
        );
        let rounds = claimed.chain(shown).filter_map(|name| of_round(name)?.0.checked_sub(1));
        rounds.filter(|at| *at < round).collect()
    }

    /// Says what the check does not have, or what can never be right.
    fn flaw(&self) -> Option<String> {
        for piece in self.blocks().into_iter().flat_map(Block::pieces) {
            if let Piece::Fact(name) = piece
                && spec(self.check.facts, name).is_none()
            {
                return Some(format!("the text has a place for {name}, but there is no such fact"));
            }
        }
        let mut rounds = self.rounds.iter().enumerate();
        let flaw = rounds.find_map(|(at, round)| self.flaw_of(at, &round.plan));
        flaw.or_else(|| self.flaw_of_counter())
    }

    fn flaw_of_counter(&self) -> Option<String> {
        let Counter { round, knobs, sysctls, breaks, .. } = self.counter.as_ref()?;
        let Some(at) = round.checked_sub(1).and_then(|at| self.rounds.get(at)) else {
            return Some(format!("the counter-run is of round {round}, and there is none"));
        };
        if let Some(name) = knobs.names().find(|name| !self.check.knobs.contains(name)) {
            return Some(format!("the counter-run turns {name}, and there is no such knob"));
        }
        if at.plan.knobs.but(knobs) == at.plan.knobs && sysctls.is_empty() {
            return Some("the counter-run changes nothing".to_owned());
        }
        let claimed = |name: &String| at.plan.claims.iter().any(|claim| claim.fact == *name);
        match breaks.iter().find(|name| !claimed(name)) {
            Some(name) => {
                Some(format!("the counter-run breaks {name}, of which nothing is claimed"))
            }
            None if breaks.is_empty() => Some("the counter-run breaks nothing".to_owned()),
            None => None,
        }
    }

    fn flaw_of(&self, at: usize, plan: &Plan) -> Option<String> {
        if let Some(name) = plan.knobs.names().find(|name| !self.check.knobs.contains(name)) {
            return Some(format!("there is no knob {name}"));
        }
        let later = |name: &str| matches!(of_round(name), Some((round, _)) if round > at);
        if let Some(name) = plan.claims.iter().flat_map(Claim::names).find(|name| later(name)) {
            return Some(format!("round {} is compared with {name}, which is later", at + 1));
        }
        let Some(answer) = spec(self.check.facts, &plan.answer) else {
            return Some(format!("the answer is {}, but there is no such fact", plan.answer));
        };
        let is_of_its_kind = |text: &String| claim::parse(text, answer.unit).is_some();
        if !(2..=4).contains(&plan.offered.len()) || !plan.offered.iter().all(is_of_its_kind) {
            return Some(format!(
                "the answers offered are not two to four of the kind {:?}",
                answer.unit
            ));
        }
        if !plan.claims.iter().any(|claim| claim.fact == plan.answer) {
            return Some(format!(
                "nothing is claimed of {}, which answers the question",
                plan.answer
            ));
        }
        plan.claims.iter().find_map(|claim| claim.flaw(self.check.facts))
    }

    fn blocks(&self) -> Vec<&Block> {
        let mut blocks: Vec<_> = self.intro.iter().chain(&self.jobs).collect();
        for round in &self.rounds {
            blocks.extend(&round.question);
            blocks.extend(&round.reveal);
            blocks.extend(round.why.values());
        }
        blocks
    }
}

/// A lesson's file in parts: what is between the `+++`, and what is under each heading; before the
/// first one it is "".
struct Text {
    front: String,
    sections: Vec<(String, Vec<Block>)>,
}

impl Text {
    fn read(text: &str) -> Result<Self, String> {
        let mut out = Self { front: String::new(), sections: vec![(String::new(), Vec::new())] };
        let (mut collected, mut strong, mut in_front, mut in_item) =
            (Vec::new(), false, false, false);
        for event in Parser::new_ext(text, Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS) {
            match event {
                Event::Start(Tag::MetadataBlock(MetadataBlockKind::PlusesStyle)) => in_front = true,
                Event::End(TagEnd::MetadataBlock(_)) => in_front = false,
                Event::Text(text) if in_front => out.front.push_str(&text),
                Event::Text(text) => pieces(&text, strong, &mut collected)?,
                Event::Code(text) => pieces(&text, true, &mut collected)?,
                Event::SoftBreak => collected.push(Piece::Plain(" ".to_owned())),
                Event::Start(Tag::Strong | Tag::Emphasis) => strong = true,
                Event::End(TagEnd::Strong | TagEnd::Emphasis) => strong = false,
                Event::Start(
                    Tag::Heading { level: HeadingLevel::H1, .. } | Tag::Paragraph | Tag::List(None),
                ) => {}
                Event::End(TagEnd::List(false)) => {}
                Event::Start(Tag::Item) => in_item = true,
                Event::End(TagEnd::Heading(_)) => {
                    let title =
                        collected.drain(..).map(|piece: Piece| piece.filled(None)).collect();
                    out.sections.push((title, Vec::new()));
                }
                Event::End(TagEnd::Paragraph) if in_item => {}
                Event::End(TagEnd::Paragraph) => {
                    out.push(Block::Paragraph(std::mem::take(&mut collected)))
                }
                Event::End(TagEnd::Item) => {
                    in_item = false;
                    out.push(item(std::mem::take(&mut collected)));
                }
                other => return Err(format!("a lesson has no such thing: {other:?}")),
            }
        }
        Ok(out)
    }

    fn push(&mut self, block: Block) {
        if let Some((_, blocks)) = self.sections.last_mut() {
            blocks.push(block);
        }
    }
}

/// The known owner that the letter stands for.
fn owner_of(letter: &str) -> Option<Owner> {
    let known = [Owner::Kernel, Owner::App, Owner::Network, Owner::Peer];
    known.into_iter().find(|owner| letter == owner.letter().to_string())
}

/// An item: a strong letter at its beginning says whose doing it tells of.
fn item(mut pieces: Vec<Piece>) -> Block {
    let owner = match pieces.first() {
        Some(Piece::Strong(letter)) => owner_of(letter),
        _ => None,
    };
    if owner.is_some() {
        pieces.remove(0);
        if let Some(Piece::Plain(text)) = pieces.first_mut() {
            *text = text.trim_start().to_owned();
        }
    }
    Block::Item(owner, pieces)
}
