//! Findings: judgements with their evidence. One file a kind.
//!
//! A check sees only its facts and says whether its condition holds now: [`ListenerFacts`] on a
//! listener's queues, [`ConnectionFacts`] on what the connections of a listener or a process went
//! through, [`FamilyFacts`] on a family of processes, [`Datagrams`] on a UDP socket. The
//! [`Findings`] decides what stands and what is reported. Texts name threads and processes by
//! number only, so that nothing in them came from outside.

mod abandoned;
mod accept_fails;
mod accept_queue_overflow;
mod accept_starved;
mod backlog_clamped;
mod close_wait_leak;
mod closed_unserved;
mod connect_fails;
mod connection_churn;
mod cork_held;
mod cpu_starved;
mod delayed_ack;
mod keepalive_race;
mod nagle_delayed_ack;
mod pace;
mod retransmits;
mod send_blocked;
mod slow_app;
mod slow_reader;
mod slow_start_after_idle;
mod small_writes;
mod syn_queue_pressure;
mod tail;
mod text;
mod throttled;
mod thundering_herd;
mod truncated_responses;
mod udp_receive_overflow;
mod unanswered;
mod uneven_workers;
mod upstream_imbalance;
mod zero_window;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::connections::Held;
use super::connects;
use super::datagrams::Datagrams;
use super::event::NetSettings;
use super::listener::{Clients, Failing};
use super::output::{FindingOutput, FindingState, Output};
use super::pattern::Family;
use super::processors::Quota;
use super::proxy::RecentFigures;
use super::recent::{Figures, Recent};
use super::snapshot::{Finding, ListenerView, Owner, Severity};
use super::stats::{ExchangeStats, Scope, Stuck};
use text::Text;
pub(super) use uneven_workers::{Sharers, Shares, is_uneven};

/// A finding stands this long after its condition was last true, ns, so that it can be read.
const HOLD_NS: u64 = 3_000_000_000;
/// A change of what a finding says is reported so long after its last report at the earliest, ns:
/// a condition on the edge would fill the log.
const CHANGE_NS: u64 = 3_000_000_000;
/// Findings that stand at once. When there are more, the mildest and newest give way.
pub(super) const MAX_FINDINGS: usize = 256;
/// Nothing accepted for so long while connections wait is a stall, ns.
pub(super) const STALL_NS: u64 = 1_000_000_000;
/// A wait in the accept queue from this on is long, µs.
pub(super) const LONG_WAIT_US: u64 = 50_000;

/// Facts of a listener that checks judge by.
pub(super) struct ListenerFacts<'a> {
    /// The listener, its wait quantiles up to date.
    pub(super) view: &'a ListenerView,
    /// The last few seconds.
    pub(super) recent: &'a Recent,
    /// Their sums.
    pub(super) figures: Figures,
    /// Time since connections began to wait with none accepted, ns.
    pub(super) stalled_ns: u64,
    /// Distribution of the last few hundred accepts among threads or listeners.
    pub(super) shares: Option<Shares>,
    /// The failures of `accept` of late.
    pub(super) failing: Option<&'a Failing>,
    /// Other open listeners in its SO_REUSEPORT group.
    pub(super) siblings: u64,
    pub(super) now_ns: u64,
    /// Settings of the listener's network namespace, where known.
    pub(super) settings: Option<NetSettings>,
    /// Where its clients are.
    pub(super) clients: Clients,
    /// At least so many clients believe to be connected, and are not.
    pub(super) unaware: u64,
    /// No epoll instance of the application has the listener in it now, though they have others.
    pub(super) unwatched: bool,
    /// That was so of late while connections waited, or its limit was 0.
    pub(super) was_at_limit: bool,
    /// The client whom a thread waits for that should accept.
    pub(super) held: Option<Held>,
    /// Open connections that came from it; `None` where connections are not followed.
    pub(super) open: Option<u64>,
    /// Share of the time in which connections waited that the accepting thread is known to have
    /// been ready, without a CPU.
    pub(super) denied_share: Option<f64>,
    /// It may have been so, and exchanges that will tell are not over yet.
    pub(super) undecided: bool,
}

impl ListenerFacts<'_> {
    /// Tells whether at least half of the recent waits were long.
    fn waits_are_long(&self) -> bool {
        self.figures.long_waits >= 3 && self.figures.long_waits * 2 >= self.figures.waits
    }

    /// Tells whether nothing was accepted for long though connections waited.
    fn is_stalled(&self) -> bool {
        self.stalled_ns >= STALL_NS
    }

    /// Tells whether a thread was inside `accept` for most of the time in which connections waited.
    fn is_attended(&self) -> bool {
        matches!(self.figures.attended_share(), Some(share) if share >= 0.5)
    }

    /// Tells whether the application could have run, and had no CPU, for most of the time in which
    /// connections waited.
    fn is_denied(&self) -> bool {
        matches!(self.denied_share, Some(share) if share >= 0.5)
    }

    /// Tells whether `listen(2)` asked for more than it got.
    fn is_clamped(&self) -> bool {
        matches!(self.view.backlog, Some(asked) if asked > self.view.limit)
    }
}

/// The answer of a check whose condition holds.
pub(super) struct FindingVerdict {
    severity: Severity,
    owner: Owner,
    headline: String,
    text: Text,
    evidence: Vec<(&'static str, f64)>,
    fix: String,
}

/// Facts of the connections of a listener or a process that checks judge by.
pub(super) struct ConnectionFacts<'a> {
    /// The last few seconds of the exchanges that are over.
    pub(super) stats: &'a ExchangeStats,
    /// Connections that are stuck now.
    pub(super) stuck: &'a Stuck,
    /// The processors that their process may have.
    pub(super) cpu: CpuFacts,
    pub(super) now_ns: u64,
    /// The calls of the watched processes are watched, too.
    pub(super) sees_calls: bool,
}

/// Facts of the processors that checks judge by.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuFacts {
    /// The quota that the process reached most often.
    pub(super) quota: Option<Quota>,
    /// Processors of the machine, and the most threads that wanted one at a refresh lately, where
    /// that was read.
    pub(super) crowd: Option<(u32, u32)>,
    /// Watched processes that were stopped, and at which refreshes lately.
    pub(super) stopped: Vec<(u64, u32)>,
}

impl CpuFacts {
    /// Tells whether a process was stopped at a refresh in this stretch.
    fn was_stopped(&self, pid: u32, from_ns: u64, to_ns: u64) -> bool {
        let stretch = from_ns..=to_ns;
        self.stopped.iter().any(|&(ts_ns, stopped)| stopped == pid && stretch.contains(&ts_ns))
    }

    /// Returns a process that was stopped at the newest refresh that saw any, if it may be so still.
    fn stopped_lately(&self, now_ns: u64) -> Option<u32> {
        let &(ts_ns, pid) = self.stopped.last()?;
        if ts_ns.saturating_add(STOPPED_NS) < now_ns {
            return None;
        }
        Some(pid)
    }
}

/// A process that was stopped at a refresh so long ago may be so still, ns.
const STOPPED_NS: u64 = 2_000_000_000;

impl ConnectionFacts<'_> {
    /// Tells whether so many exchanges are at least a tenth of all, and no single ones.
    fn are_many(&self, count: u64) -> bool {
        count >= 3 && count * 10 >= self.stats.exchanges
    }
}

/// Facts of a family of processes that checks judge by.
pub(super) struct FamilyFacts<'a> {
    family: &'a Family<'a>,
    /// The share of the last period that a thread was on a CPU.
    busy: &'a dyn Fn(u32) -> Option<f64>,
}

type ListenerCheck = fn(&ListenerFacts<'_>) -> Option<FindingVerdict>;
type ConnectionCheck = fn(&ConnectionFacts<'_>) -> Option<FindingVerdict>;

/// Every kind on a listener's queues with its check.
const ON_LISTENERS: [(&str, ListenerCheck); 7] = [
    ("accept-fails", accept_fails::check),
    ("abandoned", abandoned::check),
    ("accept-queue-overflow", accept_queue_overflow::check),
    ("accept-starved", accept_starved::check),
    ("syn-queue-pressure", syn_queue_pressure::check),
    ("backlog-clamped", backlog_clamped::check),
    ("uneven-workers", uneven_workers::check),
];

/// Every kind on connections with its check.
const ON_CONNECTIONS: [(&str, ConnectionCheck); 19] = [
    ("closed-unserved", closed_unserved::check),
    ("nagle-delayed-ack", nagle_delayed_ack::check),
    ("small-writes", small_writes::check),
    ("slow-reader", slow_reader::check),
    ("slow-app", slow_app::check),
    ("throttled", throttled::check),
    ("cpu-starved", cpu_starved::check),
    ("unanswered", unanswered::check),
    ("send-blocked", send_blocked::check),
    ("zero-window", zero_window::check),
    ("cork-held", cork_held::check),
    ("slow-start-after-idle", slow_start_after_idle::check),
    ("delayed-ack", delayed_ack::check),
    ("retransmits", retransmits::check),
    ("close-wait-leak", close_wait_leak::check),
    ("connection-churn", connection_churn::check),
    ("keepalive-race", keepalive_race::check),
    ("truncated-responses", truncated_responses::check),
    ("tail", tail::check),
];

/// Findings that say as much as a tail would.
const SAY_MORE: [&str; 12] = [
    "accept-starved",
    "delayed-ack",
    "slow-start-after-idle",
    "nagle-delayed-ack",
    "slow-reader",
    "slow-app",
    "throttled",
    "cpu-starved",
    "send-blocked",
    "zero-window",
    "retransmits",
    "cork-held",
];

/// The thing that a finding is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) id: Scope,
    /// The socket's address, or the process's name and id.
    pub(super) text: String,
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
    fix: String,
}

impl Sense {
    fn of(severity: Severity, verdict: &FindingVerdict) -> Self {
        let claims = verdict.text.claims().to_vec();
        Self { severity, owner: verdict.owner, claims, fix: verdict.fix.clone() }
    }
}

/// The findings that stand.
///
/// At each refresh the `judge` methods run the checks, one method a kind of subject, and report what
/// begins or changes. Then [`expire`](Self::expire) ends what has not been true for a while.
/// [`view`](Self::view) lists what stands, [`made`](Self::made) counts what ever began.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    standing: BTreeMap<(Scope, &'static str), Standing>,
    made: u64,
}

impl Findings {
    /// Runs every check on one listener's queues, and reports what is new or became worse.
    pub(super) fn judge(&mut self, now_ns: u64, facts: &ListenerFacts<'_>, out: &mut Vec<Output>) {
        let subject =
            Subject { id: Scope::Socket(facts.view.sock), text: facts.view.local.to_string() };
        for (kind, check) in ON_LISTENERS {
            if let Some(verdict) = check(facts) {
                self.found(now_ns, kind, &subject, verdict, out);
            }
        }
    }

    /// Checks what the close of a listener did to its queue.
    pub(super) fn judge_closed(
        &mut self,
        now_ns: u64,
        facts: &ListenerFacts<'_>,
        out: &mut Vec<Output>,
    ) {
        if let Some(verdict) = abandoned::check(facts) {
            let subject =
                Subject { id: Scope::Socket(facts.view.sock), text: facts.view.local.to_string() };
            self.found(now_ns, "abandoned", &subject, verdict, out);
        }
    }

    /// Runs every check on the connections of a listener or a process.
    pub(super) fn judge_connections(
        &mut self,
        now_ns: u64,
        subject: &Subject,
        connection_facts: &ConnectionFacts<'_>,
        out: &mut Vec<Output>,
    ) {
        for (kind, check) in ON_CONNECTIONS {
            let said = |&other: &&'static str| self.standing.contains_key(&(subject.id, other));
            if kind == "tail" && SAY_MORE.iter().any(said) {
                // What it was part of may have become known only now.
                self.withdraw(now_ns, (subject.id, kind), out);
                continue;
            }
            if let Some(verdict) = check(connection_facts) {
                self.found(now_ns, kind, subject, verdict, out);
            }
        }
    }

    /// Runs every check on a family of processes. A finding on a thread is its root process's, one
    /// on a listener the listener's.
    pub(super) fn judge_family(
        &mut self,
        now_ns: u64,
        family: &Family<'_>,
        busy: &dyn Fn(u32) -> Option<f64>,
        out: &mut Vec<Output>,
    ) {
        let facts = FamilyFacts { family, busy };
        if let Some(verdict) = uneven_workers::check_readers(&facts) {
            let pid = family.view.pid;
            let subject =
                Subject { id: Scope::Process(pid), text: format!("{} {pid}", family.view.comm) };
            self.found(now_ns, "uneven-workers", &subject, verdict, out);
        }
        if let Some(herd) = family.herd
            && let Some(verdict) = thundering_herd::check(&facts)
        {
            let subject =
                Subject { id: Scope::Socket(herd.listener), text: family.local.to_string() };
            self.found(now_ns, "thundering-herd", &subject, verdict, out);
        }
    }

    /// Runs the check on the upstreams of a process. Returns the slow one, if there is one.
    pub(super) fn judge_upstreams(
        &mut self,
        now_ns: u64,
        subject: &Subject,
        recent_figures: &[RecentFigures],
        out: &mut Vec<Output>,
    ) -> Vec<SocketAddr> {
        if let Some(verdict) = upstream_imbalance::check(recent_figures) {
            self.found(now_ns, "upstream-imbalance", subject, verdict, out);
        }
        match upstream_imbalance::slow(recent_figures) {
            Some(slow) => vec![slow.peer],
            None => Vec::new(),
        }
    }

    /// Runs the check on the connects of a process.
    pub(super) fn judge_connects(
        &mut self,
        now_ns: u64,
        subject: &Subject,
        recent_figures: &[connects::RecentFigures],
        out: &mut Vec<Output>,
    ) {
        if let Some(verdict) = connect_fails::check(recent_figures) {
            self.found(now_ns, "connect-fails", subject, verdict, out);
        }
    }

    /// Runs the check on a UDP socket.
    pub(super) fn judge_datagrams(
        &mut self,
        now_ns: u64,
        datagrams: &Datagrams,
        out: &mut Vec<Output>,
    ) {
        if let Some(verdict) = udp_receive_overflow::check(datagrams) {
            let subject = Subject {
                id: Scope::Socket(datagrams.sample.sock),
                text: format!("udp {}", datagrams.sample.local),
            };
            self.found(now_ns, "udp-receive-overflow", &subject, verdict, out);
        }
    }

    /// Takes away what has not been true for a while, and reports that it ended.
    pub(super) fn expire(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let mut over = Vec::new();
        for (&key, standing) in &self.standing {
            if now_ns.saturating_sub(standing.last_true_ns) >= HOLD_NS {
                over.push(key);
            }
        }
        for key in over {
            self.withdraw(now_ns, key, out);
        }
    }

    fn withdraw(&mut self, now_ns: u64, key: (Scope, &'static str), out: &mut Vec<Output>) {
        if let Some(Standing { finding, .. }) = self.standing.remove(&key) {
            out.push(Output::Finding(FindingOutput {
                ts_ns: now_ns,
                state: FindingState::Ended,
                finding,
            }));
        }
    }

    /// Lists the findings, worst first, then oldest first.
    pub(super) fn view(&self) -> Vec<Finding> {
        let mut view: Vec<_> =
            self.standing.values().map(|standing| standing.finding.clone()).collect();
        view.sort_by_key(|finding| (Reverse(finding.severity), finding.since_ns, finding.sock));
        view
    }

    /// Findings made so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    fn found(
        &mut self,
        now_ns: u64,
        kind: &'static str,
        subject: &Subject,
        verdict: FindingVerdict,
        out: &mut Vec<Output>,
    ) {
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
            since_ns,
            headline: verdict.headline,
            text: verdict.text.sentences().to_owned(),
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
