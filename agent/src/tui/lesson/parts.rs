//! The parts of a reveal as lines.

use ratatui::text::Line;

use super::page::Lines;
use super::reveal::{Part, Reveal};
use super::{owners, words};
use crate::learn::{Block, Lesson};
use crate::tui::theme::Theme;
use crate::tui::view::parts::{paragraph, rule, span};

/// Returns the parts that are revealed, one after the other.
pub(super) fn parts(
    theme: Theme,
    lesson: &Lesson,
    round: usize,
    reveal: &Reveal,
    width: usize,
) -> Vec<Lines> {
    let parts = reveal.parts.iter().take(reveal.shown);
    parts.map(|part| self::part(theme, lesson, round, reveal, *part, width)).collect()
}

fn part(
    theme: Theme,
    lesson: &Lesson,
    round: usize,
    reveal: &Reveal,
    part: Part,
    width: usize,
) -> Lines {
    let facts = &reveal.outcome.facts;
    match part {
        Part::Block(at) => {
            let block = &lesson.rounds[round].reveal[at];
            match (block, reveal.said[at]) {
                (Block::Item(Some(owner), _), Some(said)) => {
                    owners::answered(theme, *owner, said, block, facts, width)
                }
                _ => words::block(theme, block, Some(facts), width),
            }
        }
        Part::Jobs => {
            let title = vec![span("WHOSE JOB IS IT?", theme.dim())];
            let mut jobs = vec![Line::default(), rule(theme, title, width)];
            jobs.extend(words::blocks(theme, &lesson.jobs, Some(facts), width));
            jobs
        }
        Part::Change => {
            let change = &lesson.rounds[round + 1].change;
            let text = format!("Change one thing: {change}, and predict again.");
            let mut out = vec![Line::default()];
            out.extend(paragraph(&text, 1, theme.strong(), width));
            out
        }
    }
}

/// Returns the question whose doing the next step is, if that is asked.
pub(super) fn asked_owner(
    theme: Theme,
    lesson: &Lesson,
    round: usize,
    reveal: &Reveal,
    width: usize,
) -> Lines {
    let Some((at, _)) = reveal.asked(lesson, round) else { return Lines::new() };
    let blocks = &lesson.rounds[round].reveal;
    let with_owner = |part: &&Part| match part {
        Part::Block(at) => matches!(blocks[*at], Block::Item(Some(_), _)),
        _ => false,
    };
    let all = reveal.parts.iter().filter(with_owner).count();
    let before = reveal.parts.iter().take(reveal.shown).filter(with_owner).count();
    owners::question(theme, &blocks[at], &reveal.outcome.facts, (before + 1, all), width)
}
