//! Chains of findings: which of those that stand explains which.
//!
//! A check names the kinds that its facts are explained by ([`Cause`]), best first: only it has the
//! figures. Here the first of them that stands at the right place is taken, so that each finding
//! has one cause at most and no chain is a circle. Where no such finding stands, a finding is the
//! root of its chain.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::standing::{Findings, Key, Standing};
use crate::model::event::SockId;
use crate::model::output::{FindingOutput, FindingState, Output};
use crate::model::snapshot::{FindingRef, chain};
use crate::model::stats::Scope;

/// Findings at the server that a call went to, in the order in which a call meets what they tell
/// of.
const AT_UPSTREAM: [(&str, &str); 4] = [
    ("accept-starved", "wait_mean_us"),
    ("slow-reader", "wait_mean_us"),
    ("slow-app", "app_mean_us"),
    ("cpu-starved", "wait_mean_us"),
];

/// Claims of a full accept queue whose clients are not told.
const REFUSED_SILENTLY: [&str; 3] = ["syns-dropped", "acks-ignored", "either"];

/// A finding that would explain another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// One of this kind on the same subject.
    Here(&'static str),
    /// One of this kind on a process that holds the listener, about calls to this address.
    Holder(&'static str, SocketAddr),
    /// One on the listener at this address, where calls took so long on average, µs.
    Upstream(SocketAddr, u64),
    /// The full accept queue of the listener at this address, which dropped SYNs or ignored ACKs:
    /// whoever connects there hears nothing, or believes to be connected.
    FullQueue(SocketAddr),
}

/// Whereabouts of listeners and processes, as far as links need them.
pub(in crate::model) trait Places {
    /// Returns where a listener listens, and in which network namespace.
    fn place(&self, listener: SockId) -> Option<(SocketAddr, u32)>;
    /// Returns the network namespace of a process; `None` if that is not known, or it has several.
    fn netns(&self, pid: u32) -> Option<u32>;
    /// Tells whether a process holds a listener.
    fn holds(&self, pid: u32, listener: SockId) -> bool;
}

impl Findings {
    /// Links what stands, and reports links that have changed. The reports of this refresh get
    /// their links, and come in the order of their chains.
    pub(in crate::model) fn link(
        &mut self,
        now_ns: u64,
        places: &impl Places,
        out: &mut Vec<Output>,
    ) {
        let mut causes = BTreeMap::new();
        for (&key, standing) in &self.standing {
            let cause = if standing.last_true_ns == now_ns {
                self.cause_of(key, standing, places)
            } else {
                self.known_cause(standing)
            };
            if let Some(cause) = cause {
                causes.insert(key, cause);
            }
        }
        break_circles(&mut causes);
        self.note(now_ns, &causes);
        complete(self, now_ns, out);
        self.report_new_causes(now_ns, out);
        sort_reports(now_ns, out);
    }

    fn cause_of(&self, key: Key, standing: &Standing, places: &impl Places) -> Option<Key> {
        let mut found = None;
        for cause in &standing.causes {
            found = found.or_else(|| match *cause {
                Cause::Here(kind) => self.standing_key((key.0, kind)),
                Cause::Holder(kind, peer) => self.on_holder(key.0, kind, peer, places),
                Cause::Upstream(peer, us) => self.at_upstream(key.0, peer, us, places),
                Cause::FullQueue(peer) => self.full_queue(key.0, peer, places),
            });
        }
        found.filter(|&cause| cause != key)
    }

    fn standing_key(&self, key: Key) -> Option<Key> {
        if self.standing.contains_key(&key) { Some(key) } else { None }
    }

    /// Returns the cause that was noted before, if that still stands.
    fn known_cause(&self, standing: &Standing) -> Option<Key> {
        let cause = standing.finding.explained_by.as_ref()?;
        let is_it = |(key, other): &(&Key, &Standing)| {
            key.1 == cause.kind && other.finding.sock == cause.sock
        };
        let (&key, _) = self.standing.iter().find(is_it)?;
        Some(key)
    }

    /// Finds a finding on a process that holds this listener, about calls to `peer`.
    fn on_holder(
        &self,
        scope: Scope,
        kind: &'static str,
        peer: SocketAddr,
        places: &impl Places,
    ) -> Option<Key> {
        for (&key, standing) in &self.standing {
            let (Scope::Process(pid), true) = (key.0, key.1 == kind) else { continue };
            let is_its = match scope {
                Scope::Socket(listener) => places.holds(pid, listener),
                Scope::Process(own) => own == pid,
            };
            if is_its && standing.peer == Some(peer) {
                return Some(key);
            }
        }
        None
    }

    /// Finds what holds the time of calls at the listener that they went to. Together the findings
    /// there must be as long as half of what a call took.
    fn at_upstream(
        &self,
        scope: Scope,
        peer: SocketAddr,
        us: u64,
        places: &impl Places,
    ) -> Option<Key> {
        for listener in self.listeners_at(scope, peer, places) {
            let (mut sum_us, mut longest) = (0.0, None);
            for (kind, figure) in AT_UPSTREAM {
                let key = (Scope::Socket(listener), kind);
                let Some(standing) = self.standing.get(&key) else { continue };
                let held_us = evidence(standing, figure);
                sum_us += held_us;
                if longest.is_none_or(|(_, most_us)| held_us > most_us) {
                    longest = Some((key, held_us));
                }
            }
            if let Some((key, _)) = longest
                && sum_us * 2.0 >= us as f64
            {
                return Some(key);
            }
        }
        None
    }

    fn full_queue(&self, scope: Scope, peer: SocketAddr, places: &impl Places) -> Option<Key> {
        for listener in self.listeners_at(scope, peer, places) {
            let key = (Scope::Socket(listener), "accept-queue-overflow");
            let Some(standing) = self.standing.get(&key) else { continue };
            let claims = &standing.finding.claims;
            if REFUSED_SILENTLY.iter().any(|claim| claims.contains(claim)) {
                return Some(key);
            }
        }
        None
    }

    /// Returns the listeners with findings that a call from this listener's or this process's
    /// network namespace to `peer` reaches.
    fn listeners_at(&self, from: Scope, peer: SocketAddr, places: &impl Places) -> Vec<SockId> {
        let netns = match from {
            Scope::Socket(listener) => places.place(listener).map(|(_, netns)| netns),
            Scope::Process(pid) => places.netns(pid),
        };
        let mut listeners = Vec::new();
        let Some(netns) = netns else { return listeners };
        for &(scope, _) in self.standing.keys() {
            let Scope::Socket(listener) = scope else { continue };
            if let Some(place) = places.place(listener)
                && place.1 == netns
                && reaches(peer, place.0)
                && !listeners.contains(&listener)
            {
                listeners.push(listener);
            }
        }
        listeners
    }

    /// Writes the links into the findings. What is not true any more, and stays to be read, keeps
    /// its cause, even one that has ended.
    fn note(&mut self, now_ns: u64, causes: &BTreeMap<Key, Key>) {
        let mut refs = BTreeMap::new();
        for (&key, standing) in &mut self.standing {
            standing.finding.explains.clear();
            if standing.last_true_ns == now_ns {
                standing.finding.explained_by = None;
            }
            refs.insert(key, FindingRef::to(&standing.finding));
        }
        for (effect, cause) in causes {
            if let (Some(of_effect), Some(of_cause)) = (refs.get(effect), refs.get(cause)) {
                if let Some(standing) = self.standing.get_mut(effect) {
                    standing.finding.explained_by = Some(of_cause.clone());
                }
                if let Some(standing) = self.standing.get_mut(cause) {
                    standing.finding.explains.push(of_effect.clone());
                }
            }
        }
    }

    /// Reports findings whose cause is another one than was reported, unless that was a moment ago.
    fn report_new_causes(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        for standing in self.standing.values_mut() {
            if standing.reported_cause == standing.finding.explained_by {
                continue;
            }
            if standing.reported_ns != now_ns {
                if !standing.may_be_reported(now_ns) {
                    continue;
                }
                standing.reported_ns = now_ns;
                let (state, finding) = (FindingState::Changed, standing.finding.clone());
                out.push(Output::Finding(FindingOutput { ts_ns: now_ns, state, finding }));
            }
            standing.reported_cause.clone_from(&standing.finding.explained_by);
        }
    }
}

/// Tells whether a connect to `peer` reaches a listener at `local` of the same network namespace.
/// Of an address that is not the listener's own only loopback is known to be this host's.
fn reaches(peer: SocketAddr, local: SocketAddr) -> bool {
    let (to, at) = (peer.ip().to_canonical(), local.ip().to_canonical());
    peer.port() == local.port() && (to == at || at.is_unspecified() && to.is_loopback())
}

fn evidence(standing: &Standing, name: &str) -> f64 {
    let found = standing.finding.evidence.iter().find(|(other, _)| *other == name);
    found.map_or(0.0, |&(_, value)| value)
}

/// Removes links by which a finding would explain itself.
fn break_circles(causes: &mut BTreeMap<Key, Key>) {
    let effects: Vec<Key> = causes.keys().copied().collect();
    for effect in effects {
        let mut next = causes.get(&effect).copied();
        let mut steps = causes.len();
        while let Some(cause) = next
            && steps > 0
        {
            if cause == effect {
                causes.remove(&effect);
                break;
            }
            (next, steps) = (causes.get(&cause).copied(), steps - 1);
        }
    }
}

/// Writes the links into the reports of this refresh.
fn complete(findings: &Findings, now_ns: u64, out: &mut [Output]) {
    for output in out {
        if let Output::Finding(report) = output
            && report.ts_ns == now_ns
            && report.state != FindingState::Ended
        {
            let found = findings.standing.values().find(|standing| {
                standing.finding.kind == report.finding.kind
                    && standing.finding.sock == report.finding.sock
            });
            if let Some(standing) = found {
                report.finding.explains.clone_from(&standing.finding.explains);
                report.finding.explained_by.clone_from(&standing.finding.explained_by);
            }
        }
    }
}

/// Puts the reports of this refresh into the order of their chains, causes first, at the places
/// that they have in the stream.
fn sort_reports(now_ns: u64, out: &mut [Output]) {
    let is_report = |output: &Output| {
        matches!(output, Output::Finding(report)
            if report.ts_ns == now_ns && report.state != FindingState::Ended)
    };
    let mut places = Vec::new();
    let mut reports = Vec::new();
    for (at, output) in out.iter().enumerate() {
        if let Output::Finding(report) = output
            && is_report(output)
        {
            places.push(at);
            reports.push(report.clone());
        }
    }
    let sorted = chain::in_order(
        reports,
        |report: &FindingOutput| report.finding.severity,
        |cause, effect| chain::explains(&cause.finding, &effect.finding),
        |_| (),
    );
    for (at, report) in places.into_iter().zip(sorted) {
        out[at] = Output::Finding(report);
    }
}
