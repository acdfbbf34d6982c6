//! Findings: judgements with their evidence. Each kind has a file.
//!
//! A check sees only its facts and says whether its condition holds now: [`ListenerFacts`] on a
//! listener's queues, [`ConnectionFacts`] on what the connections of a listener or a process went
//! through, [`FamilyFacts`] on a family of processes, [`Datagrams`] on a UDP socket. The
//! [`Findings`] decide what stands and what is reported. Texts name threads and processes by
//! number only. What does come from outside, a cgroup's path, makes a text `Untrusted`.

mod abandoned;
mod accept_fails;
mod accept_queue_overflow;
mod accept_starved;
mod backlog_clamped;
mod chain;
mod close_wait_leak;
mod closed_unserved;
mod connect_fails;
mod connection_churn;
mod cork_held;
mod cpu_starved;
mod delayed_ack;
mod facts;
mod keepalive_race;
mod nagle_delayed_ack;
mod pace;
mod past;
mod remedy;
mod retransmits;
mod send_blocked;
mod slow_app;
mod slow_reader;
mod slow_start_after_idle;
mod small_writes;
mod standing;
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
mod was;
mod zero_window;

use std::net::SocketAddr;

use super::connects;
use super::datagrams::Datagrams;
use super::output::Output;
use super::pattern::Family;
use super::proxy::RecentFigures;
use super::stats::Scope;
use chain::Cause;
pub(super) use chain::Places;
pub(super) use facts::{ConnectionFacts, CpuFacts, LONG_WAIT_US, ListenerFacts, STALL_NS};
use facts::{FamilyFacts, FindingVerdict};
#[cfg(test)]
pub(super) use past::MAX_PAST;
#[cfg(test)]
pub(super) use standing::MAX_FINDINGS;
pub(super) use standing::{Findings, Subject};
use text::Text;
pub(super) use uneven_workers::{Sharers, Shares, is_uneven};

type ListenerCheck = fn(&ListenerFacts<'_>) -> Option<FindingVerdict>;
type ConnectionCheck = fn(&ConnectionFacts<'_>) -> Option<FindingVerdict>;

/// Kinds of findings on a listener's queues, with their checks.
const ON_LISTENERS: [(&str, ListenerCheck); 7] = [
    ("accept-fails", accept_fails::check),
    ("abandoned", abandoned::check),
    ("accept-queue-overflow", accept_queue_overflow::check),
    ("accept-starved", accept_starved::check),
    ("syn-queue-pressure", syn_queue_pressure::check),
    ("backlog-clamped", backlog_clamped::check),
    ("uneven-workers", uneven_workers::check),
];

/// Kinds of findings on connections, with their checks.
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

/// Kinds of findings on other things: families of processes, upstreams, connects, UDP sockets.
const ON_OTHERS: [&str; 4] =
    ["thundering-herd", "upstream-imbalance", "connect-fails", "udp-receive-overflow"];

/// Returns the name of every kind of finding.
pub(super) fn kinds() -> Vec<&'static str> {
    let on_listeners = ON_LISTENERS.map(|(kind, _)| kind);
    let on_connections = ON_CONNECTIONS.map(|(kind, _)| kind);
    [on_listeners.as_slice(), &on_connections, &ON_OTHERS].concat()
}

/// Findings that explain a tail: where one of them stands, `tail` would repeat it.
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

impl Findings {
    /// Runs every check on a listener's queues.
    pub(super) fn judge(&mut self, now_ns: u64, facts: &ListenerFacts<'_>, out: &mut Vec<Output>) {
        let subject = Subject {
            id: Scope::Socket(facts.view.sock),
            text: facts.view.local.to_string().into(),
            pid: Some(facts.view.pid),
        };
        for (kind, check) in ON_LISTENERS {
            if let Some(verdict) = check(facts) {
                let held_ns = facts.last_sign_ns(kind).unwrap_or(now_ns);
                self.found_lately(now_ns, held_ns, kind, &subject, verdict, out);
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
            let subject = Subject {
                id: Scope::Socket(facts.view.sock),
                text: facts.view.local.to_string().into(),
                pid: Some(facts.view.pid),
            };
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
            if kind == "tail" && SAY_MORE.iter().any(|other| self.stands(subject.id, other)) {
                // The finding that explains it may be newer than the tail.
                self.explain(now_ns, (subject.id, kind), out);
                continue;
            }
            if let Some(verdict) = check(connection_facts) {
                self.found(now_ns, kind, subject, verdict, out);
            }
        }
    }

    /// Runs every check on a family of processes. The subject of a finding on a thread is the root
    /// process, that of one on a listener the listener.
    pub(super) fn judge_family(
        &mut self,
        now_ns: u64,
        family: &Family<'_>,
        busy: &dyn Fn(u32) -> Option<f64>,
        out: &mut Vec<Output>,
    ) {
        let facts = FamilyFacts { family, busy };
        if let Some(verdict) = uneven_workers::check_readers(&facts) {
            let subject = Subject::process(family.view.pid, &family.view.comm);
            self.found(now_ns, "uneven-workers", &subject, verdict, out);
        }
        if let Some(herd) = family.herd
            && let Some(verdict) = thundering_herd::check(&facts)
        {
            let subject = Subject {
                id: Scope::Socket(herd.listener),
                text: family.local.to_string().into(),
                pid: Some(family.view.pid),
            };
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
                text: format!("udp {}", datagrams.sample.local).into(),
                pid: Some(datagrams.sample.pid),
            };
            self.found(now_ns, "udp-receive-overflow", &subject, verdict, out);
        }
    }
}
