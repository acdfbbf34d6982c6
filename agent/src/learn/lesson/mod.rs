//! A lesson as data, read from its Markdown file.
//!
//! The figures stand in TOML between two lines of `+++`, the words below them under headings;
//! `docs/learn.md` has the whole of it.

mod flaws;
mod knobs;
mod round;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    check::{Check, Scenario},
    claim::Claim,
    fact::of_round,
    lint,
    text::{Block, Piece},
};
pub use knobs::Knobs;
pub use round::{Plan, Round};
use words::Text;

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
