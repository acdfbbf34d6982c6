//! Findings that are gone, new, or stand in both.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Side, Verdict, side::without_pid};
use crate::{
    digest::FindingStory,
    model::snapshot::{Owner, Severity},
    text::Untrusted,
};

/// Findings that a recording without exchanges has, too (`--detail queues`).
const ON_QUEUES: [&str; 7] = [
    "accept-fails",
    "abandoned",
    "accept-queue-overflow",
    "accept-starved",
    "syn-queue-pressure",
    "backlog-clamped",
    "uneven-workers",
];

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The second recording does not have it.
    Gone,
    /// The first recording does not have it.
    New,
    /// Both have it.
    Kept,
}

/// A finding of one recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FindingFacts {
    /// Severity.
    #[serde(serialize_with = "severity")]
    #[cfg_attr(test, schemars(with = "Severity"))]
    pub severity: Severity,
    /// Holder of the time, and so whoever can change it.
    #[serde(serialize_with = "owner")]
    #[cfg_attr(test, schemars(with = "Owner"))]
    pub owner: Owner,
    /// Listener, process or address that it is on.
    pub subject: Untrusted,
    /// Sentence that names it, with its last figures.
    pub headline: Untrusted,
    /// Time from the attach until it began, µs.
    pub begun_us: u64,
    /// Time for which it stood in all, µs.
    pub stood_us: u64,
    /// Numbers by name.
    pub evidence: BTreeMap<&'static str, f64>,
}

/// A finding of either recording, or of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FindingChange {
    /// Kind of finding.
    pub kind: &'static str,
    /// What became of it.
    pub change: Change,
    /// Judgement.
    pub verdict: Verdict,
    /// Reason why it cannot be judged; `null` if it was.
    pub reason: Option<&'static str>,
    /// The finding in the first recording; `null` if it is not there.
    pub before: Option<FindingFacts>,
    /// The finding in the second recording; `null` if it is not there.
    pub after: Option<FindingFacts>,
}

fn severity<S: serde::Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    })
}

fn owner<S: serde::Serializer>(owner: &Owner, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(owner.name())
}

/// Findings of one recording by kind and subject. Of several processes of one name the gravest counts.
type Stories<'a> = BTreeMap<(&'static str, String), &'a FindingStory>;

fn stories(side: &Side) -> Stories<'_> {
    let mut stories: Stories<'_> = BTreeMap::new();
    for story in side.digest.findings.worst_first() {
        let key = (story.finding.kind, without_pid(&story.finding.subject));
        stories.entry(key).or_insert(story);
    }
    stories
}

/// Compares the findings of two recordings.
pub(super) fn compare(before: &Side, after: &Side) -> Vec<FindingChange> {
    let (mut old, mut new) = (stories(before), stories(after));
    let mut changes = Vec::new();
    let mut pairs = Vec::new();
    let keys: Vec<_> = old.keys().filter(|key| new.contains_key(*key)).cloned().collect();
    for key in keys {
        if let (Some(one), Some(other)) = (old.remove(&key), new.remove(&key)) {
            pairs.push((one, other));
        }
    }
    // A server that listens on another port has the same fault.
    let kinds: Vec<&'static str> = old.keys().map(|(kind, _)| *kind).collect();
    for kind in kinds {
        if let (Some(one), Some(other)) = (only(&old, kind), only(&new, kind))
            && let (Some(one), Some(other)) = (old.remove(&one), new.remove(&other))
        {
            pairs.push((one, other));
        }
    }
    for (one, other) in pairs {
        changes.push(kept(before, after, one, other));
    }
    for story in old.values() {
        let (verdict, reason) = judge(before, story, after, Verdict::Better);
        let facts = Some(facts(before, story));
        let kind = story.finding.kind;
        changes.push(FindingChange {
            kind,
            change: Change::Gone,
            verdict,
            reason,
            before: facts,
            after: None,
        });
    }
    for story in new.values() {
        let (verdict, reason) = judge(after, story, before, Verdict::Worse);
        let facts = Some(facts(after, story));
        let kind = story.finding.kind;
        changes.push(FindingChange {
            kind,
            change: Change::New,
            verdict,
            reason,
            before: None,
            after: facts,
        });
    }
    changes.sort_by_key(|change| (change.change as u8, change.kind));
    changes
}

/// Returns the only finding of a kind; `None` if there are more, or none.
fn only(stories: &Stories<'_>, kind: &str) -> Option<(&'static str, String)> {
    let mut of_kind = stories.keys().filter(|(known, _)| *known == kind);
    let first = of_kind.next()?;
    if of_kind.next().is_some() { None } else { Some(first.clone()) }
}

fn kept(before: &Side, after: &Side, one: &FindingStory, other: &FindingStory) -> FindingChange {
    let verdict = match other.finding.severity.cmp(&one.finding.severity) {
        std::cmp::Ordering::Less => Verdict::Better,
        std::cmp::Ordering::Equal => Verdict::Same,
        std::cmp::Ordering::Greater => Verdict::Worse,
    };
    FindingChange {
        kind: one.finding.kind,
        change: Change::Kept,
        verdict,
        reason: None,
        before: Some(facts(before, one)),
        after: Some(facts(after, other)),
    }
}

/// Judges a finding that one recording has and the other has not.
fn judge(
    with: &Side,
    story: &FindingStory,
    without: &Side,
    verdict: Verdict,
) -> (Verdict, Option<&'static str>) {
    let needs_exchanges = !ON_QUEUES.contains(&story.finding.kind);
    if needs_exchanges && !without.header.setup.exchanges {
        return (Verdict::Unknown, Some("the other recording has no exchanges (--detail queues)"));
    }
    let took_ns = story.from_ns().saturating_sub(with.header.setup.attached_ns);
    let watched_ns = match needs_exchanges {
        true => without.duration_ns().saturating_sub(without.paused_ns()),
        false => without.duration_ns(),
    };
    if watched_ns < took_ns {
        let reason = "the other recording ended before this one had found it";
        return (Verdict::Unknown, Some(reason));
    }
    if story.finding.severity == Severity::Info {
        return (Verdict::Changed, None);
    }
    (verdict, None)
}

fn facts(side: &Side, story: &FindingStory) -> FindingFacts {
    let finding = &story.finding;
    FindingFacts {
        severity: finding.severity,
        owner: finding.owner,
        subject: finding.subject.clone(),
        headline: finding.headline.clone(),
        begun_us: story.from_ns().saturating_sub(side.header.setup.attached_ns) / 1_000,
        stood_us: finding.stood.total_ns / 1_000,
        evidence: finding.evidence.iter().copied().collect(),
    }
}
