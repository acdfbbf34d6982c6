//! Lessons: a question, a prediction, a real run, and what the kernel did in it.
//!
//! The text of a lesson is data ([`Lesson`], from `lessons/*.md`), its check is code (`checks/`):
//! what runs, and which facts the [`Evidence`] yields. [`judge`] holds the claims of the text
//! against the facts. All but [`live`] is pure.

mod catalogue;
mod check;
mod checks;
mod claim;
mod evidence;
mod fact;
mod lesson;
pub mod live;
mod progress;
#[cfg(test)]
mod tests;
mod text;

use std::io;

pub use catalogue::{Entry, all, find};
pub use check::{Bar, Cast, Check, Picture};
pub use claim::{Broken, Claim};
pub use evidence::{Evidence, Who};
pub use fact::{Facts, Unit, Value};
pub use lesson::{Knobs, Lesson, LessonError, Plan, Round};
pub use progress::{Done, Progress};
pub use text::{Block, Piece};

use crate::record::{ReadError, Reader};

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures.
    pub facts: Facts,
    /// The picture.
    pub picture: Picture,
    /// Claims of the text that do not hold.
    pub broken: Vec<Broken>,
    /// What it was drawn from.
    pub evidence: Evidence,
    /// It was not measured just now.
    pub recorded: bool,
}

/// Draws facts and picture from the evidence, and holds the claims of the text against them.
pub fn judge(lesson: &Lesson, round: usize, evidence: Evidence, recorded: bool) -> Outcome {
    let (check, plan) = (lesson.check, &lesson.rounds[round].plan);
    let mut facts = Facts::new(check.facts);
    (check.gather)(&plan.knobs, &evidence, &mut facts);
    let picture = (check.picture)(&plan.knobs, &evidence, &facts);
    let broken = plan.claims.iter().filter_map(|claim| claim.broken(&facts)).collect();
    Outcome { facts, picture, broken, evidence, recorded }
}

/// The evidence that a recording holds.
///
/// # Errors
/// It is none, or of another version.
pub fn recorded(recording: &[u8]) -> Result<Evidence, ReadError> {
    let mut reader = Reader::new(io::Cursor::new(recording))?;
    let mut collector = evidence::Collector::new(reader.header().clone());
    while let Some(entry) = reader.next_entry().map_err(ReadError::from)? {
        collector.take(&entry);
    }
    Ok(collector.evidence())
}
