//! The reveal of a run, part by part: first whose doing each step is, then its text.

use ratatui::crossterm::event::KeyCode;

use crate::learn::{Block, Lesson, Outcome, Score};
use crate::model::snapshot::Owner;

/// A part of the reveal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A paragraph or an item of the text, by its place.
    Block(usize),
    /// Whose job it is, of the whole lesson.
    Jobs,
    /// What the next round changes.
    Change,
}

/// Owners that a step can have, with the keys that name them.
pub(super) const OWNERS: [(char, Owner); 4] =
    [('k', Owner::Kernel), ('a', Owner::App), ('n', Owner::Network), ('p', Owner::Peer)];

/// Returns the owner that a key names.
pub(super) fn named(key: char) -> Option<Owner> {
    let key = key.to_ascii_lowercase();
    OWNERS.into_iter().find_map(|(letter, owner)| (letter == key).then_some(owner))
}

/// What a round's run shows, as far as it is revealed.
#[derive(Clone)]
pub(super) struct Reveal {
    pub outcome: Box<Outcome>,
    /// The parts there are.
    pub parts: Vec<Part>,
    /// Parts that are revealed, and those that were so from the beginning.
    pub shown: usize,
    pub first: usize,
    /// The owner that was named for each block of the text, where one was.
    pub said: Vec<Option<Owner>>,
}

impl Reveal {
    /// Begins the reveal of a round.
    pub(super) fn new(lesson: &Lesson, round: usize, outcome: Box<Outcome>) -> Self {
        let this = &lesson.rounds[round];
        let mut parts = Vec::new();
        for (at, block) in this.reveal.iter().enumerate() {
            if block.applies(Some(&outcome.facts)) {
                parts.push(Part::Block(at));
            }
        }
        if round == 0 {
            parts.push(Part::Jobs);
        }
        if round + 1 < lesson.rounds.len() {
            parts.push(Part::Change);
        }
        let said = vec![None; this.reveal.len()];
        let mut reveal = Self { outcome, parts, shown: 0, first: 0, said };
        if reveal.asked(lesson, round).is_none() {
            (reveal.shown, reveal.first) = (1, 1);
        }
        reveal
    }

    /// Returns the place of the block that is shown without its owner, and the owner that it has.
    pub(super) fn asked(&self, lesson: &Lesson, round: usize) -> Option<(usize, Owner)> {
        let Part::Block(at) = *self.parts.get(self.shown)? else { return None };
        match &lesson.rounds[round].reveal[at] {
            Block::Item(Some(owner), _) => Some((at, *owner)),
            _ => None,
        }
    }

    /// True once everything is revealed.
    pub(super) fn is_over(&self) -> bool {
        self.shown >= self.parts.len()
    }

    /// Takes a key; false if it has no meaning here.
    pub(super) fn on_key(&mut self, lesson: &Lesson, round: usize, code: KeyCode) -> bool {
        if self.is_over() {
            return false;
        }
        if let (Some((at, _)), KeyCode::Char(key)) = (self.asked(lesson, round), code)
            && let Some(owner) = named(key)
        {
            self.said[at] = Some(owner);
            self.shown += 1;
            return true;
        }
        match code {
            KeyCode::Enter => self.shown += 1,
            KeyCode::Char(' ') => self.shown = self.parts.len(),
            _ => return false,
        }
        true
    }

    /// Returns how many owners were named rightly, of those that were named; `None` if none was.
    pub(super) fn score(&self, lesson: &Lesson, round: usize) -> Option<Score> {
        let mut score = Score::default();
        for (block, said) in lesson.rounds[round].reveal.iter().zip(&self.said) {
            if let (Block::Item(Some(owner), _), Some(said)) = (block, said) {
                score = score.plus(Score { right: usize::from(owner == said), of: 1 });
            }
        }
        (score.of > 0).then_some(score)
    }
}
