//! Lessons: a question, a prediction, a real run, and what the kernel did in it.
//!
//! The text of a lesson is data ([`Lesson`], from `lessons/*.md`), its check is code (`checks/`):
//! what runs, and which facts the [`Evidence`] yields. [`judge`] holds the claims of the text
//! against the facts. All but [`live`] is pure.

pub mod again;
mod bench;
mod between;
mod catalogue;
mod check;
mod checks;
mod claim;
mod command;
mod evidence;
mod fact;
pub mod fix;
mod knob;
mod lesson;
mod lint;
pub mod live;
mod machine;
mod naming;
mod network;
mod offers;
pub mod own;
mod packets;
mod progress;
mod recording;
mod state_folder;
#[cfg(test)]
mod tests;
mod text;
mod why;

use std::io;

pub use bench::{Bench, KnobView};
pub use catalogue::{CatalogueEntry, all, find};
pub use check::{Bar, Check, Picture, Router, Scenario};
pub use claim::{Broken, Claim};
pub use command::{CommandLine, CommandLines};
pub use evidence::{Evidence, Who};
pub use fact::{LessonFacts, Unit, Value};
pub use lesson::{Counter, Knobs, Lesson, LessonError, Plan, Round};
pub use naming::naming_owners;
pub use progress::{Asked, Done, Progress, Score};
pub use recording::Recording;
pub use text::{Block, Piece, When};

use crate::{record::Reader, run::Run};
use evidence::Collector;

/// Facts, picture and broken claims of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures.
    pub facts: LessonFacts,
    /// The picture.
    pub picture: Picture,
    /// Claims of the text that do not hold.
    pub broken: Vec<Broken>,
    /// The evidence that they were drawn from.
    pub evidence: Evidence,
    /// True if it comes from a recording.
    pub recorded: bool,
}

/// Draws facts and picture from the evidence, and holds the claims of the text against them.
/// `earlier` has the facts of the rounds before, as far as they were run.
pub fn judge(
    lesson: &Lesson,
    round: usize,
    evidence: Evidence,
    recorded: bool,
    earlier: Vec<Option<LessonFacts>>,
) -> Outcome {
    let (check, plan) = (lesson.check, &lesson.rounds[round].plan);
    let mut facts = LessonFacts::new(check.facts).after(earlier);
    facts.whole("busy", evidence.busy_percent());
    (check.gather)(&plan.knobs, &evidence, &mut facts);
    let picture = (check.picture)(&plan.knobs, &evidence, &facts);
    picture.tell(&mut facts);
    let mut broken = Vec::new();
    for claim in &plan.claims {
        broken.extend(claim.broken(&facts));
    }
    Outcome { facts, picture, broken, evidence, recorded }
}

/// Plays a recording, and returns the evidence that it holds.
///
/// # Errors
/// It is no recording, or one of another version.
pub fn recorded(recording: Recording) -> anyhow::Result<Evidence> {
    let mut reader = Reader::new(io::Cursor::new(recording.bytes()?))?;
    let (model, collector) = Collector::of(reader.header().clone());
    let mut run = Run::new(model, collector, None);
    while let Some(entry) = reader.next_entry()? {
        run.take(entry)?;
    }
    Ok(evidence::of(run))
}
