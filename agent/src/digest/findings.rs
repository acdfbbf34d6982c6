//! Findings from beginning to end.

use crate::model::{
    event::SockId,
    output::{FindingOutput, FindingState},
    snapshot::{Finding, chain},
};

/// Findings that are kept; of further ones only the number is known.
const MAX: usize = 1_000;

/// A finding from its beginning to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingStory {
    /// As it was last told.
    pub finding: Finding,
    /// Time at which it began, ns of `CLOCK_MONOTONIC`.
    pub begun_ns: u64,
    /// Time at which it ended, or the run did.
    pub ended_ns: u64,
    /// Its condition held at the end of the run.
    pub is_standing: bool,
    /// Time at which it was last told: its text and its figures are of then.
    pub told_ns: u64,
    /// Times that it was told anew in between.
    pub changes: u64,
}

/// The findings of a run.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    stories: Vec<FindingStory>,
    /// Findings beyond those that are kept.
    left_out: u64,
}

impl Findings {
    pub(super) fn take(&mut self, output: &FindingOutput) {
        let FindingOutput { ts_ns, state, finding } = output;
        let is_full = self.stories.len() == MAX;
        let standing = self.standing(finding.kind, finding.sock);
        match (standing, state) {
            (Some(story), FindingState::Ended) => {
                // The text of an end has the last figures.
                story.finding = finding.clone();
                story.is_standing = false;
                (story.ended_ns, story.told_ns) = (*ts_ns, *ts_ns);
            }
            (Some(story), FindingState::Begun | FindingState::Changed) => {
                story.finding = finding.clone();
                story.changes += 1;
                (story.ended_ns, story.told_ns) = (*ts_ns, *ts_ns);
            }
            (None, FindingState::Ended) => {}
            (None, FindingState::Begun | FindingState::Changed) if is_full => {
                self.left_out += 1;
            }
            (None, FindingState::Begun | FindingState::Changed) => {
                self.stories.push(FindingStory {
                    finding: finding.clone(),
                    begun_ns: *ts_ns,
                    ended_ns: *ts_ns,
                    told_ns: *ts_ns,
                    is_standing: true,
                    changes: 0,
                });
            }
        }
    }

    /// The run ended.
    pub(super) fn end(&mut self, ts_ns: u64) {
        for story in &mut self.stories {
            if story.is_standing {
                story.ended_ns = ts_ns;
            }
        }
    }

    fn standing(&mut self, kind: &str, sock: SockId) -> Option<&mut FindingStory> {
        let mut newest = self.stories.iter_mut().rev();
        newest.find(|story| {
            story.is_standing && story.finding.kind == kind && story.finding.sock == sock
        })
    }

    /// Returns the findings in the order in which they began.
    pub fn stories(&self) -> &[FindingStory] {
        &self.stories
    }

    /// Returns the findings, the gravest first, and those that lasted longest first among equals.
    /// What follows from a finding is right behind it.
    pub fn worst_first(&self) -> Vec<&FindingStory> {
        let stories = self.stories.iter().collect();
        chain::in_order(
            stories,
            |story: &&FindingStory| story.finding.severity,
            |cause, effect| {
                // The same finding may come again later.
                let at_once =
                    cause.begun_ns <= effect.ended_ns && effect.begun_ns <= cause.ended_ns;
                at_once && chain::explains(&cause.finding, &effect.finding)
            },
            |story| std::cmp::Reverse(story.ended_ns.saturating_sub(story.begun_ns)),
        )
    }

    /// Returns the number of findings beyond those that are kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
