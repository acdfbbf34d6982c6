//! A round: what is changed, asked, and revealed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Knobs;
use crate::learn::{
    claim::{self, Claim},
    fact::{LessonFacts, Unit, Value},
    text::{Block, pieces},
};

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

impl Round {
    pub(super) fn read(
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
