//! Findings: judgements with their evidence. One file a kind.
//!
//! A check sees only its facts and says whether its condition holds now: [`Facts`] on a listener's queues, [`Dealings`]
//! on what the connections of a listener or a process went through, [`FamilyFacts`] on a family of processes,
//! [`Datagrams`] on a UDP socket. The [`Board`] decides
//! what stands and what is reported. Texts name threads and processes by number only, so that nothing in them came from
//! outside.

mod accept_queue_overflow;
mod accept_starved;
mod backlog_clamped;
mod close_wait_leak;
mod connection_churn;
mod nagle_delayed_ack;
mod retransmits;
mod send_blocked;
mod slow_app;
mod slow_reader;
mod small_writes;
mod syn_queue_pressure;
mod thundering_herd;
mod udp_receive_overflow;
mod uneven_workers;
mod upstream_imbalance;
mod zero_window;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::datagrams::Datagrams;
use super::output::{FindingOutput, Output};
use super::pattern::Family;
use super::proxy::Lately;
use super::recent::{Figures, Recent};
use super::snapshot::{Finding, ListenerView, Owner, Severity};
use super::work::{Scope, Stuck, Work};
pub(super) use uneven_workers::{Sharers, Shares, is_uneven};

/// A finding stands this long after its condition was last true, ns, so that it can be read.
const HOLD_NS: u64 = 3_000_000_000;
/// Findings that stand at once. When there are more, the mildest and newest give way.
pub(super) const MAX_FINDINGS: usize = 256;
/// A wait in the accept queue from this on is long, µs.
pub(super) const LONG_WAIT_US: u64 = 50_000;

/// What checks judge by.
pub(super) struct Facts<'a> {
    /// The listener, its wait quantiles up to date.
    pub(super) view: &'a ListenerView,
    /// The last few seconds.
    pub(super) recent: &'a Recent,
    /// The same, summed.
    pub(super) figures: Figures,
    /// Since when connections have waited with none accepted, ns ago.
    pub(super) stalled_ns: u64,
    /// How the last few hundred accepts were shared among threads or listeners.
    pub(super) shares: Option<Shares>,
}

impl Facts<'_> {
    /// At least half of the recent waits were long.
    fn waits_are_long(&self) -> bool {
        self.figures.long_waits >= 3 && self.figures.long_waits * 2 >= self.figures.waits
    }

    /// Nothing was accepted for a second though connections waited.
    fn is_stalled(&self) -> bool {
        self.stalled_ns >= 1_000_000_000
    }

    /// Some thread spent most of the time inside `accept`.
    fn is_attended(&self) -> bool {
        self.figures.inside_share().is_some_and(|share| share >= 0.5)
    }

    /// `listen(2)` asked for more than it got.
    fn is_clamped(&self) -> bool {
        self.view.backlog.is_some_and(|asked| asked > self.view.limit)
    }

    /// Connections a second that were accepted and that arrived, queued or refused.
    fn accept_and_arrival_rates(&self) -> (f64, f64) {
        let arrived = self.figures.arrivals + self.figures.overflows;
        (self.recent.rate(self.figures.accepts), self.recent.rate(arrived))
    }
}

/// What a check says when its condition holds.
pub(super) struct Verdict {
    severity: Severity,
    owner: Owner,
    headline: String,
    text: String,
    evidence: Vec<(&'static str, f64)>,
    fix: String,
}

/// What checks on connections judge by.
pub(super) struct Dealings<'a> {
    /// The last few seconds of the exchanges that are over.
    pub(super) work: &'a Work,
    /// Connections that are stuck now.
    pub(super) stuck: &'a Stuck,
}

impl Dealings<'_> {
    /// Whether so many exchanges are at least a tenth of all, and no single ones.
    fn are_many(&self, count: u64) -> bool {
        count >= 3 && count * 10 >= self.work.exchanges
    }
}

/// What checks on a family judge by.
pub(super) struct FamilyFacts<'a> {
    family: &'a Family<'a>,
    /// The share of the last period that a thread was on a CPU.
    busy: &'a dyn Fn(u32) -> Option<f64>,
}

type ListenerCheck = fn(&Facts<'_>) -> Option<Verdict>;
type ConnectionCheck = fn(&Dealings<'_>) -> Option<Verdict>;

/// Every kind on a listener's queues with its check.
const ON_LISTENERS: [(&str, ListenerCheck); 5] = [
    ("accept-queue-overflow", accept_queue_overflow::check),
    ("accept-starved", accept_starved::check),
    ("syn-queue-pressure", syn_queue_pressure::check),
    ("backlog-clamped", backlog_clamped::check),
    ("uneven-workers", uneven_workers::check),
];

/// Every kind on connections with its check.
const ON_CONNECTIONS: [(&str, ConnectionCheck); 9] = [
    ("nagle-delayed-ack", nagle_delayed_ack::check),
    ("small-writes", small_writes::check),
    ("slow-reader", slow_reader::check),
    ("slow-app", slow_app::check),
    ("send-blocked", send_blocked::check),
    ("zero-window", zero_window::check),
    ("retransmits", retransmits::check),
    ("close-wait-leak", close_wait_leak::check),
    ("connection-churn", connection_churn::check),
];

/// What a finding is about.
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
}

/// The findings that stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    standing: BTreeMap<(Scope, &'static str), Standing>,
    made: u64,
}

impl Board {
    /// Runs every check on one listener's queues, and reports what is new or became worse.
    pub(super) fn judge(&mut self, now_ns: u64, facts: &Facts<'_>, out: &mut Vec<Output>) {
        let subject = Subject { id: Scope::Socket(facts.view.sock), text: facts.view.local.to_string() };
        for (kind, check) in ON_LISTENERS {
            if let Some(verdict) = check(facts) {
                self.found(now_ns, kind, &subject, verdict, out);
            }
        }
    }

    /// The same on the connections of a listener or a process.
    pub(super) fn judge_dealings(
        &mut self,
        now_ns: u64,
        subject: &Subject,
        dealings: &Dealings<'_>,
        out: &mut Vec<Output>,
    ) {
        for (kind, check) in ON_CONNECTIONS {
            if let Some(verdict) = check(dealings) {
                self.found(now_ns, kind, subject, verdict, out);
            }
        }
    }

    /// The same on a family of processes: what one thread does is its root's, what a listener suffers the listener's.
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
            let subject = Subject { id: Scope::Process(pid), text: format!("{} {pid}", family.view.comm) };
            self.found(now_ns, "uneven-workers", &subject, verdict, out);
        }
        if let Some((herd, verdict)) = family.herd.zip(thundering_herd::check(&facts)) {
            let subject = Subject { id: Scope::Socket(herd.listener), text: family.local.to_string() };
            self.found(now_ns, "thundering-herd", &subject, verdict, out);
        }
    }

    /// The same on the upstreams of a process. Gives those that are slow.
    pub(super) fn judge_upstreams(
        &mut self,
        now_ns: u64,
        subject: &Subject,
        lately: &[Lately],
        out: &mut Vec<Output>,
    ) -> Vec<SocketAddr> {
        if let Some(verdict) = upstream_imbalance::check(lately) {
            self.found(now_ns, "upstream-imbalance", subject, verdict, out);
        }
        upstream_imbalance::slow(lately).map(|slow| slow.peer).into_iter().collect()
    }

    /// The same on a UDP socket.
    pub(super) fn judge_datagrams(&mut self, now_ns: u64, datagrams: &Datagrams, out: &mut Vec<Output>) {
        if let Some(verdict) = udp_receive_overflow::check(datagrams) {
            let subject =
                Subject { id: Scope::Socket(datagrams.sample.sock), text: format!("udp {}", datagrams.sample.local) };
            self.found(now_ns, "udp-receive-overflow", &subject, verdict, out);
        }
    }

    /// Takes away what has not been true for a while.
    pub(super) fn expire(&mut self, now_ns: u64) {
        self.standing.retain(|_, standing| now_ns.saturating_sub(standing.last_true_ns) < HOLD_NS);
    }

    /// Worst first, then oldest first.
    pub(super) fn view(&self) -> Vec<Finding> {
        let mut view: Vec<_> = self.standing.values().map(|standing| standing.finding.clone()).collect();
        view.sort_by_key(|finding| (Reverse(finding.severity), finding.since_ns, finding.sock));
        view
    }

    /// Findings made so far.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    fn found(&mut self, now_ns: u64, kind: &'static str, subject: &Subject, verdict: Verdict, out: &mut Vec<Output>) {
        let key = (subject.id, kind);
        let before = self.standing.get(&key).map(|standing| (standing.finding.since_ns, standing.finding.severity));
        if before.is_none() && !self.make_room(verdict.severity) {
            return;
        }
        let (since_ns, worst) = before.unwrap_or((now_ns, verdict.severity));
        let finding = Finding {
            kind,
            // It does not become milder while it stands: a condition that comes and goes is reported once.
            severity: verdict.severity.max(worst),
            owner: verdict.owner,
            sock: match subject.id {
                Scope::Socket(sock) => sock,
                Scope::Process(pid) => pid.into(),
            },
            subject: subject.text.clone(),
            since_ns,
            headline: verdict.headline,
            text: verdict.text,
            evidence: verdict.evidence,
            fix: verdict.fix,
        };
        self.made += u64::from(before.is_none());
        if before.is_none() || verdict.severity > worst {
            out.push(Output::Finding(FindingOutput { ts_ns: now_ns, finding: finding.clone() }));
        }
        self.standing.insert(key, Standing { finding, last_true_ns: now_ns });
    }

    /// Whether a finding this bad fits, after the mildest and newest one gave way if need be.
    fn make_room(&mut self, severity: Severity) -> bool {
        if self.standing.len() < MAX_FINDINGS {
            return true;
        }
        let mildest = |(_, standing): &(&_, &Standing)| (standing.finding.severity, Reverse(standing.finding.since_ns));
        let Some((&key, standing)) = self.standing.iter().min_by_key(mildest) else { return true };
        let fits = standing.finding.severity < severity;
        if fits {
            self.standing.remove(&key);
        }
        fits
    }
}
