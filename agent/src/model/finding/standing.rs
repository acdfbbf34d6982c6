//! The findings that stand: what is reported of them, and for how long they stay.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::ON_LISTENERS;
use super::facts::FindingVerdict;
use crate::model::output::{FindingOutput, FindingState, Output};
use crate::model::snapshot::{Finding, Owner, Severity};
use crate::model::stats::Scope;
use crate::text::{Untrusted, named};

/// A finding stands this long after its condition was last true, ns, so that it can be read.
const HOLD_NS: u64 = 3_000_000_000;
/// A change of what a finding says is reported so long after its last report at the earliest, ns:
/// a condition on the edge would fill the log.
const CHANGE_NS: u64 = 3_000_000_000;
/// Findings that stand at once. When there are more, the mildest and newest give way.
pub(in crate::model) const MAX_FINDINGS: usize = 256;

/// The thing that a finding is about.
#[derive(Clone, Debug)]
pub(in crate::model) struct Subject {
    pub(in crate::model) id: Scope,
    /// The socket's address, or the process's name and id.
    pub(in crate::model) text: Untrusted,
    /// The process, or the one that stands for the socket.
    pub(in crate::model) pid: Option<u32>,
}

impl Subject {
    /// A process.
    pub(in crate::model) fn process(pid: u32, comm: &Untrusted) -> Self {
        Self { id: Scope::Process(pid), text: named(comm, pid), pid: Some(pid) }
    }
}

#[derive(Clone, Debug)]
struct Standing {
    finding: Finding,
    last_true_ns: u64,
    /// Content and time of the newest report.
    reported: Sense,
    reported_ns: u64,
}

/// Content of a finding, apart from its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sense {
    severity: Severity,
    owner: Owner,
    claims: Vec<&'static str>,
    fix: Untrusted,
}

impl Sense {
    fn of(severity: Severity, verdict: &FindingVerdict) -> Self {
        let claims = verdict.text.claims().to_vec();
        Self { severity, owner: verdict.owner, claims, fix: verdict.fix.clone() }
    }
}

/// The findings that stand.
///
/// At each refresh the `judge` methods run the checks, one method for each kind of subject, and
/// report what begins or changes. Then [`expire`](Self::expire) ends what has not been true for a
/// while. [`view`](Self::view) lists what stands, [`made`](Self::made) counts all that ever began.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Findings {
    standing: BTreeMap<(Scope, &'static str), Standing>,
    made: u64,
}

impl Findings {
    /// Tells whether a finding of this kind stands.
    pub(super) fn stands(&self, id: Scope, kind: &'static str) -> bool {
        self.standing.contains_key(&(id, kind))
    }

    /// Takes away what has not been true for a while, and reports that it ended. In a pause what
    /// was found in exchanges stays.
    pub(in crate::model) fn expire(&mut self, now_ns: u64, in_pause: bool, out: &mut Vec<Output>) {
        let mut over = Vec::new();
        for (&key, standing) in &self.standing {
            if in_pause && !is_of_queues(key) {
                continue;
            }
            if now_ns.saturating_sub(standing.last_true_ns) >= HOLD_NS {
                over.push(key);
            }
        }
        for key in over {
            self.withdraw(now_ns, key, out);
        }
    }

    /// A pause has ended that lasted so long: for what was found in exchanges no time has passed.
    pub(in crate::model) fn skip(&mut self, lasted_ns: u64) {
        for (&key, standing) in &mut self.standing {
            if !is_of_queues(key) {
                for ts_ns in [&mut standing.last_true_ns, &mut standing.reported_ns] {
                    *ts_ns = ts_ns.saturating_add(lasted_ns);
                }
            }
        }
    }

    /// Takes away a finding, if it stands, and reports that it ended.
    pub(super) fn withdraw(
        &mut self,
        now_ns: u64,
        key: (Scope, &'static str),
        out: &mut Vec<Output>,
    ) {
        if let Some(Standing { finding, .. }) = self.standing.remove(&key) {
            let state = FindingState::Ended;
            out.push(Output::Finding(FindingOutput { ts_ns: now_ns, state, finding }));
        }
    }

    /// Lists the findings, worst first, then oldest first.
    pub(in crate::model) fn view(&self) -> Vec<Finding> {
        let mut view: Vec<_> =
            self.standing.values().map(|standing| standing.finding.clone()).collect();
        view.sort_by_key(|finding| (Reverse(finding.severity), finding.since_ns, finding.sock));
        view
    }

    /// Findings made so far.
    pub(in crate::model) fn made(&self) -> u64 {
        self.made
    }

    /// Adds a finding that is true now, or renews it, and reports it if that says anything new.
    pub(super) fn found(
        &mut self,
        now_ns: u64,
        kind: &'static str,
        subject: &Subject,
        verdict: FindingVerdict,
        out: &mut Vec<Output>,
    ) {
        debug_assert!(super::kinds().contains(&kind), "{kind} is not among the kinds");
        let key = (subject.id, kind);
        let before = self.standing.remove(&key);
        if before.is_none() && !self.make_room(verdict.severity) {
            return;
        }
        // It does not become milder while it stands: a condition that comes and goes is reported
        // once.
        let (since_ns, severity) = match &before {
            Some(Standing { finding, .. }) => {
                (finding.since_ns, verdict.severity.max(finding.severity))
            }
            None => (now_ns, verdict.severity),
        };
        let sense = Sense::of(severity, &verdict);
        let finding = Finding {
            kind,
            severity: sense.severity,
            owner: verdict.owner,
            sock: match subject.id {
                Scope::Socket(sock) => sock,
                Scope::Process(pid) => pid.into(),
            },
            subject: subject.text.clone(),
            pid: subject.pid,
            since_ns,
            headline: verdict.headline.into(),
            text: verdict.text.sentences().clone(),
            inferred: verdict.text.is_inferred(),
            claims: sense.claims.clone(),
            evidence: verdict.evidence,
            fix: verdict.fix,
        };
        self.made += u64::from(before.is_none());
        let state = state_now(now_ns, before.as_ref(), &sense);
        let (reported, reported_ns) = match (state, before) {
            (None, Some(before)) => (before.reported, before.reported_ns),
            _ => (sense, now_ns),
        };
        if let Some(state) = state {
            let finding = finding.clone();
            out.push(Output::Finding(FindingOutput { ts_ns: now_ns, state, finding }));
        }
        let standing = Standing { finding, last_true_ns: now_ns, reported, reported_ns };
        self.standing.insert(key, standing);
    }

    /// Tells whether a finding this bad fits, after the mildest and newest one gave way if need be.
    fn make_room(&mut self, severity: Severity) -> bool {
        if self.standing.len() < MAX_FINDINGS {
            return true;
        }
        let mildest = |(_, standing): &(&_, &Standing)| {
            (standing.finding.severity, Reverse(standing.finding.since_ns))
        };
        let Some((&key, standing)) = self.standing.iter().min_by_key(mildest) else { return true };
        let fits = standing.finding.severity < severity;
        if fits {
            self.standing.remove(&key);
        }
        fits
    }
}

/// Whether a finding is on a listener's queues, which are watched in pauses, too.
fn is_of_queues((scope, kind): (Scope, &'static str)) -> bool {
    let is_kind = ON_LISTENERS.iter().any(|(other, _)| *other == kind);
    is_kind && matches!(scope, Scope::Socket(_))
}

/// Returns the report to make of a finding that is true now; `None` if the newest one said as much.
fn state_now(now_ns: u64, before: Option<&Standing>, sense: &Sense) -> Option<FindingState> {
    let Some(before) = before else { return Some(FindingState::Begun) };
    if before.reported == *sense {
        return None;
    }
    let worse = sense.severity > before.reported.severity;
    let due = now_ns.saturating_sub(before.reported_ns) >= CHANGE_NS;
    if worse || due { Some(FindingState::Changed) } else { None }
}
