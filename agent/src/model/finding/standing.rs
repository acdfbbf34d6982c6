//! The findings that stand: what is reported of them, for how long they stay, and what becomes of
//! them then.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::ON_LISTENERS;
use super::chain::Cause;
use super::facts::FindingVerdict;
use super::past::Past;
use crate::model::event::SockId;
use crate::model::output::{FindingOutput, FindingState, Output};
use crate::model::snapshot::{Finding, FindingRef, Owner, Severity, Stretch, chain};
use crate::model::stats::Scope;
use crate::text::{Untrusted, named};

/// A finding stands this long after its condition was last true, ns, so that it can be read.
const HOLD_NS: u64 = 3_000_000_000;
/// A change of what a finding says is reported so long after its last report at the earliest, ns:
/// a condition on the edge would fill the log.
const CHANGE_NS: u64 = 3_000_000_000;
/// Exchanges that a finding judges by are at most so old, ns: what explains another finding explains
/// what it found in this time.
const WINDOW_NS: u64 = 5_000_000_000;
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

/// A finding's place in the table.
pub(super) type Key = (Scope, &'static str);

#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) finding: Finding,
    /// The finding as it was when it last ended, if it has come back.
    earlier: Option<Box<Finding>>,
    pub(super) last_true_ns: u64,
    /// Time since it began in which nobody could tell, ns.
    unwatched_ns: u64,
    /// Findings that would explain it, and the address that it is about.
    pub(super) causes: Vec<Cause>,
    pub(super) peer: Option<SocketAddr>,
    /// Content and time of the newest report, and the cause that it named.
    reported: Sense,
    pub(super) reported_ns: u64,
    pub(super) reported_cause: Option<FindingRef>,
}

impl Standing {
    /// Tells whether its newest report was long enough ago for another one.
    pub(super) fn may_be_reported(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.reported_ns) >= CHANGE_NS
    }
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

/// The findings of the run.
///
/// At each refresh the `judge` methods run the checks, one method for each kind of subject, and
/// report what begins or changes. Then [`expire`](Self::expire) ends what has not been true for a
/// while, and [`link`](Self::link) finds which explains which. [`view`](Self::view) lists what
/// stands, [`past`](Self::past) what has ended and has not come back, [`made`](Self::made) counts
/// all that ever began.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Findings {
    pub(super) standing: BTreeMap<Key, Standing>,
    past: Past,
    made: u64,
    /// Findings that gave way while they stood.
    gave_way: u64,
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
                standing.unwatched_ns = standing.unwatched_ns.saturating_add(lasted_ns);
            }
        }
    }

    /// Takes away a finding, if it stands, reports that it ended, and keeps it as a past one.
    fn withdraw(&mut self, now_ns: u64, key: (Scope, &'static str), out: &mut Vec<Output>) {
        if let Some(standing) = self.end(now_ns, key, out) {
            self.past.keep(key, standing.finding);
        }
    }

    /// Takes away a finding that another one explains, if it stands, and reports that it ended.
    ///
    /// That is no past finding: the other says the same of the same exchanges, and stands. But what
    /// it found before those exchanges, nothing explains: if it stood longer, it is kept.
    pub(super) fn explain(
        &mut self,
        now_ns: u64,
        key: (Scope, &'static str),
        out: &mut Vec<Output>,
    ) {
        let Some(standing) = self.end(now_ns, key, out) else { return };
        let stood_ns = standing.last_true_ns.saturating_sub(standing.finding.since_ns);
        if stood_ns.saturating_sub(standing.unwatched_ns) > WINDOW_NS {
            self.past.keep(key, standing.finding);
        } else if let Some(earlier) = standing.earlier {
            self.past.keep(key, *earlier);
        }
    }

    fn end(
        &mut self,
        now_ns: u64,
        key: (Scope, &'static str),
        out: &mut Vec<Output>,
    ) -> Option<Standing> {
        let standing = self.standing.remove(&key)?;
        let finding = standing.finding.clone();
        out.push(Output::Finding(FindingOutput {
            ts_ns: now_ns,
            state: FindingState::Ended,
            finding,
        }));
        Some(standing)
    }

    /// Lists the findings, worst first, then oldest first; what follows from one is right behind
    /// it.
    pub(in crate::model) fn view(&self) -> Vec<Finding> {
        let view = self.standing.values().map(|standing| standing.finding.clone()).collect();
        chain::in_order(
            view,
            |finding: &Finding| finding.severity,
            chain::explains,
            |finding| (finding.since_ns, finding.sock),
        )
    }

    /// Lists the findings that have ended and do not stand, worst first, then the one that ended
    /// last.
    pub(in crate::model) fn past(&self) -> Vec<Finding> {
        self.past.view()
    }

    /// Findings that were made, and that neither [`view`](Self::view) nor [`past`](Self::past) has
    /// since there were too many.
    pub(in crate::model) fn left_out(&self) -> u64 {
        self.gave_way.saturating_add(self.past.gave_way())
    }

    /// Returns the sockets that findings are about, worst first.
    pub(in crate::model) fn socks(&self) -> impl Iterator<Item = SockId> {
        let findings = self.standing.values().map(|standing| &standing.finding);
        let mut order: Vec<_> = findings
            .map(|finding| (Reverse(finding.severity), finding.since_ns, finding.sock))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, sock)| sock)
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
        self.found_lately(now_ns, now_ns, kind, subject, verdict, out);
    }

    /// Does so where the last sign of it was seen before now, at `held_ns`. Without a new sign it
    /// stays as it was at the last one, for as long as other findings do: the check looks back over
    /// a while, in which rates fall and whose doing it was is seen less and less.
    pub(super) fn found_lately(
        &mut self,
        now_ns: u64,
        held_ns: u64,
        kind: &'static str,
        subject: &Subject,
        verdict: FindingVerdict,
        out: &mut Vec<Output>,
    ) {
        debug_assert!(super::kinds().contains(&kind), "{kind} is not among the kinds");
        let key = (subject.id, kind);
        if held_ns < now_ns && self.has_sign(key, held_ns) {
            return;
        }
        let mut before = self.standing.remove(&key);
        if before.is_none() && !self.make_room(verdict.severity) {
            return;
        }
        let (earlier, unwatched_ns) = match &mut before {
            Some(before) => (before.earlier.take(), before.unwatched_ns),
            None => (self.past.take(key).map(Box::new), 0),
        };
        // It does not become milder while it stands: a condition that comes and goes is reported
        // once.
        let (since_ns, severity) = match &before {
            Some(Standing { finding, .. }) => {
                (finding.since_ns, verdict.severity.max(finding.severity))
            }
            None => (now_ns, verdict.severity),
        };
        let stretch = Stretch { from_ns: since_ns, until_ns: held_ns.max(since_ns) };
        let stood = earlier.as_ref().map(|earlier| earlier.stood.clone()).unwrap_or_default();
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
            stood: stood.and(stretch, unwatched_ns),
            headline: verdict.headline.into(),
            text: verdict.text.sentences().clone(),
            inferred: verdict.text.is_inferred(),
            claims: sense.claims.clone(),
            evidence: verdict.evidence,
            fix: verdict.fix,
            explained_by: before.as_ref().and_then(|before| before.finding.explained_by.clone()),
            explains: Vec::new(),
        };
        let reported_cause = before.as_ref().and_then(|before| before.reported_cause.clone());
        let (causes, peer) = verdict.text.causes();
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
        let standing = Standing {
            finding,
            earlier,
            last_true_ns: now_ns,
            unwatched_ns,
            causes,
            peer,
            reported,
            reported_ns,
            reported_cause,
        };
        self.standing.insert(key, standing);
    }

    /// Tells whether a finding that stands, or did, knows of this sign of it.
    fn has_sign(&self, key: Key, held_ns: u64) -> bool {
        let known = match self.standing.get(&key) {
            Some(standing) => Some(&standing.finding),
            None => self.past.get(key),
        };
        known.is_some_and(|finding| held_ns <= finding.stood.until_ns())
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
            self.gave_way += 1;
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
    let due = before.may_be_reported(now_ns);
    if worse || due { Some(FindingState::Changed) } else { None }
}
