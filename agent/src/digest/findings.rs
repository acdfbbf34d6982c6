//! The findings of a run, as the model kept them.

use std::cmp::Reverse;

use crate::model::{
    output::Summary,
    snapshot::{Finding, chain},
};

/// A finding of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingStory {
    /// As it last was, with the times at which it stood.
    pub finding: Finding,
    /// It stood at the end of the run.
    pub is_standing: bool,
}

impl FindingStory {
    /// Returns when it was first found, ns of `CLOCK_MONOTONIC`.
    pub fn from_ns(&self) -> u64 {
        self.finding.stood.from_ns()
    }

    /// Returns when its condition last held, ns of `CLOCK_MONOTONIC`. Its text and its figures are of
    /// then.
    pub fn until_ns(&self) -> u64 {
        self.finding.stood.until_ns()
    }
}

/// The findings of a run; none before it is over. The model keeps so many of them as it says in its
/// own documentation.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    stories: Vec<FindingStory>,
    left_out: u64,
}

impl Findings {
    pub(super) fn of(summary: &Summary) -> Self {
        let story = |finding: &Finding, is_standing: bool| FindingStory {
            finding: finding.clone(),
            is_standing,
        };
        let standing = summary.standing_findings.iter().map(|finding| story(finding, true));
        let past = summary.past_findings.iter().map(|finding| story(finding, false));
        let mut stories: Vec<FindingStory> = standing.chain(past).collect();
        stories.sort_by_key(FindingStory::from_ns);
        Self { stories, left_out: summary.findings_left_out }
    }

    /// Returns the findings in the order in which they began.
    pub fn stories(&self) -> &[FindingStory] {
        &self.stories
    }

    /// Returns the findings, the gravest first, and those that stood longest first among equals.
    /// What follows from a finding is right behind it.
    pub fn worst_first(&self) -> Vec<&FindingStory> {
        chain::in_order(
            self.stories.iter().collect(),
            |story: &&FindingStory| story.finding.severity,
            |cause, effect| {
                // The same finding may come again later.
                let at_once =
                    cause.from_ns() <= effect.until_ns() && effect.from_ns() <= cause.until_ns();
                at_once && chain::explains(&cause.finding, &effect.finding)
            },
            |story| Reverse(story.finding.stood.total_ns),
        )
    }

    /// Returns the number of findings beyond those that are kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
