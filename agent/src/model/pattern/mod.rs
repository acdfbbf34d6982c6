//! How a server shares its connections among threads and processes: told from who listens, accepts,
//! reads and writes.
//!
//! Each connection leaves a [`ServiceHistory`]. The newest of a listener's, with those of its SO_REUSEPORT
//! siblings, add up to [`facts::Facts`], which `judge` names. Processes that hold one listener are
//! a family, under its eldest; of several listeners of a family the busiest tells.

mod facts;
mod group;
mod herd;
mod judge;
mod line;
mod service_history;
mod standing;
#[cfg(test)]
mod tests;
mod thread_starts;
mod waits;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::event::{
    Accept, Closed, Exchange, ListenerSample, Opened, Process, Role, Sample, SockId,
};
use super::histogram::{Precision, WaitHistogram};
use super::output::{Output, PatternOutput};
use super::snapshot::PatternView;
use group::{Group, Now};
pub(super) use herd::HerdFacts;
use herd::Totals;
use line::{Doings, Key, Line};
use service_history::{Id, ServiceHistory};
use standing::Standing;
use thread_starts::ThreadStarts;

/// Listeners whose connections are followed; beyond it a closed one gives way.
pub(super) const MAX_LINES: usize = 256;
/// Connections found open at the attach that wait for their listener to be known.
const MAX_ORPHANS: usize = 1_024;

/// How the last reads of a family were shared among its readers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReadsShared {
    pub(super) readers: u64,
    pub(super) reads: u64,
    pub(super) most: u64,
    /// The one with most.
    pub(super) busiest: u32,
}

/// What findings judge a group of listeners of a family by.
pub(super) struct Family<'a> {
    pub(super) view: &'a PatternView,
    pub(super) herd: Option<&'a HerdFacts>,
    pub(super) local: SocketAddr,
    pub(super) reads: Option<ReadsShared>,
}

/// All families.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    trails: FxHashMap<SockId, ServiceHistory>,
    lines: BTreeMap<SockId, Line>,
    orphans: Vec<(SockId, SocketAddr, u32)>,
    groups: BTreeMap<Key, Group>,
    thread_starts: ThreadStarts,
    /// Times that threads had been put on a CPU at the newest sample, and how often since the one
    /// before.
    runs: HashMap<Id, u64>,
    recent_figures: HashMap<Id, u64>,
    standing: BTreeMap<u32, Standing>,
}

impl Patterns {
    pub(super) fn accepted(&mut self, accept: &Accept) {
        let known = self
            .trails
            .get(&accept.sock)
            .is_some_and(|service_history| service_history.listener.is_some());
        if known {
            return;
        }
        let Some(line) = self.line(accept.listener, accept.ts_ns) else { return };
        line.accepted((accept.pid, accept.tid), accept.ts_ns);
        let gone = line.push(accept.sock);
        self.trails.insert(accept.sock, ServiceHistory::accepted(accept));
        self.forget(gone);
    }

    pub(super) fn opened(&mut self, opened: &Opened) {
        let wanted = opened.role == Role::Server && !self.trails.contains_key(&opened.sock);
        if wanted && self.orphans.len() < MAX_ORPHANS {
            self.trails.insert(opened.sock, ServiceHistory::midway(opened.ts_ns));
            self.orphans.push((opened.sock, opened.local, opened.pid));
        }
    }

    /// Takes the facts of an exchange, over or not.
    pub(super) fn exchanged(&mut self, exchange: &Exchange) {
        let Some(service_history) = self.trails.get_mut(&exchange.sock) else { return };
        let added = service_history.note(exchange);
        if let Some(line) =
            service_history.listener.and_then(|listener| self.lines.get_mut(&listener))
        {
            line.noted(&added, exchange.ts_ns);
        }
    }

    pub(super) fn closed(&mut self, closed: &Closed) {
        if let Some(service_history) = self.trails.get_mut(&closed.sock) {
            service_history.closed(closed);
        }
    }

    pub(super) fn process(&mut self, process: &Process) {
        self.thread_starts.process(process);
    }

    pub(super) fn sampled(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        self.thread_starts.sampled(sample);
        self.count_runs(sample);
        self.adopt(sample);
        self.take_listeners(sample);
        for service_history in self
            .trails
            .values_mut()
            .filter(|service_history| service_history.begun_for_it.is_none())
        {
            if let (Some(server), Some(acceptor)) =
                (service_history.server(), service_history.acceptor)
            {
                let began = || self.thread_starts.began_after(server, service_history.accepted_ns);
                service_history.begun_for_it =
                    if server == acceptor { Some(false) } else { began() };
            }
        }
        self.judge(sample);
        self.report(sample.ts_ns, out);
    }

    /// The families' patterns as they stand, by process id.
    pub(super) fn views(&self) -> Vec<PatternView> {
        self.standing.values().map(|standing| standing.view.clone()).collect()
    }

    /// What findings judge by.
    pub(super) fn families(&self) -> impl Iterator<Item = Family<'_>> {
        self.groups.iter().filter_map(|(key, group)| {
            let reads = group.reads_shared().map(|stretch| ReadsShared {
                readers: stretch.parties,
                reads: stretch.accepts,
                most: stretch.most,
                busiest: stretch.busiest.1,
            });
            Some(Family {
                view: group.view.as_ref()?,
                herd: group.herd.last(),
                local: key.0,
                reads,
            })
        })
    }

    /// The run ends: each family's pattern once more.
    pub(super) fn finish(&self, now_ns: u64, out: &mut Vec<Output>) {
        out.extend(self.standing.values().map(|standing| output(now_ns, &standing.view)));
    }

    /// The line of a listener; `None` when there is no room for a new one.
    fn line(&mut self, listener: SockId, now_ns: u64) -> Option<&mut Line> {
        if self.lines.len() >= MAX_LINES && !self.lines.contains_key(&listener) {
            let closed = self
                .lines
                .iter()
                .filter(|(_, line)| !line.open)
                .min_by_key(|(_, line)| line.last_ns);
            let oldest = closed.map(|(&sock, _)| sock)?;
            let trails = self.lines.remove(&oldest).map(|line| line.trails).unwrap_or_default();
            trails.into_iter().for_each(|sock| self.forget(Some(sock)));
        }
        Some(self.lines.entry(listener).or_insert_with(|| Line::new(now_ns)))
    }

    fn forget(&mut self, sock: Option<SockId>) {
        sock.and_then(|sock| self.trails.remove(&sock));
    }

    fn count_runs(&mut self, sample: &Sample) {
        let runs: HashMap<Id, u64> =
            sample.threads.iter().map(|thread| ((thread.pid, thread.tid), thread.runs)).collect();
        let since = |(id, now): (&Id, &u64)| Some((*id, now.saturating_sub(*self.runs.get(id)?)));
        self.recent_figures = runs.iter().filter_map(since).collect();
        self.runs = runs;
    }

    /// Finds the listeners of connections that were open at the attach.
    fn adopt(&mut self, sample: &Sample) {
        for (sock, local, pid) in std::mem::take(&mut self.orphans) {
            let fits = |at: &SocketAddr| {
                at.port() == local.port() && (at.ip().is_unspecified() || at.ip() == local.ip())
            };
            let mut homes: Vec<_> =
                sample.listeners.iter().filter(|listener| fits(&listener.local)).collect();
            homes.sort_by_key(|listener| (!listener.holders.contains(&pid), listener.sock));
            let home = homes.first().map(|home| home.sock);
            let Some(service_history) = self
                .trails
                .get_mut(&sock)
                .filter(|service_history| service_history.listener.is_none())
            else {
                continue;
            };
            service_history.listener = home;
            let gone = match home.and_then(|home| self.line(home, sample.ts_ns)) {
                Some(line) => line.push(sock),
                None => Some(sock),
            };
            self.forget(gone);
        }
    }

    fn take_listeners(&mut self, sample: &Sample) {
        let present: BTreeSet<SockId> =
            sample.listeners.iter().map(|listener| listener.sock).collect();
        for listener in &sample.listeners {
            if let Some(line) = self.lines.get_mut(&listener.sock) {
                line.sampled(listener);
            }
        }
        self.lines
            .iter_mut()
            .filter(|(sock, _)| !present.contains(sock))
            .for_each(|(_, line)| line.open = false);
        let keys: BTreeSet<Key> = self.lines.values().filter_map(|line| line.key).collect();
        self.groups.retain(|key, _| keys.contains(key));
        for key in keys {
            self.groups.entry(key).or_insert_with(|| Group::new(sample.ts_ns));
        }
    }

    fn judge(&mut self, sample: &Sample) {
        let mut open: BTreeMap<Key, Vec<&ListenerSample>> = BTreeMap::new();
        for listener in sample.listeners.iter().filter(|listener| listener.closed_ns.is_none()) {
            let key = (listener.local, listener.netns);
            if self.groups.contains_key(&key) {
                open.entry(key).or_default().push(listener);
            }
        }
        let mut groups = std::mem::take(&mut self.groups);
        let now: Vec<Now<'_>> =
            open.iter().filter_map(|(&key, listeners)| self.now(sample, key, listeners)).collect();
        for one in &now {
            let elsewhere = now.iter().filter(|other| other.root == one.root).count() - 1;
            if let Some(group) = groups.get_mut(&one.key) {
                group.sampled(one, &self.thread_starts, elsewhere);
            }
        }
        self.groups = groups;
    }

    /// Tells processes that have ended.
    fn gone(&self) -> impl Fn(u32) -> bool {
        let alive = self.thread_starts.processes();
        move |pid| alive.as_ref().is_some_and(|alive| !alive.contains(&pid))
    }

    /// What a group of listeners has now.
    fn now<'a>(
        &'a self,
        sample: &'a Sample,
        key: Key,
        listeners: &[&ListenerSample],
    ) -> Option<Now<'a>> {
        let first = listeners.first()?;
        let ids: BTreeSet<SockId> = listeners.iter().map(|listener| listener.sock).collect();
        let holders: BTreeSet<u32> =
            listeners.iter().flat_map(|listener| &listener.holders).copied().collect();
        let (mut trails, mut doers, mut reads) = (Vec::new(), BTreeMap::<Id, Doings>::new(), 0);
        let mut handoff = WaitHistogram::new(Precision::Coarse);
        let is_gone = self.gone();
        // A listener of the group that has closed, and a process that has ended, say nothing of who
        // accepts now.
        for line in self.lines.iter().filter(|(sock, _)| ids.contains(sock)).map(|(_, line)| line) {
            let known = line.trails.iter().filter_map(|sock| self.trails.get(sock));
            trails.extend(known.filter(|service_history| {
                !service_history.acceptor.is_some_and(|(pid, _)| is_gone(pid))
            }));
            let present = line.doers.iter().filter(|(id, _)| !is_gone(id.0));
            present.for_each(|(&id, doings)| doers.entry(id).or_default().add(doings));
            handoff.merge(&line.handoff);
            reads += line.reads;
        }
        handoff.refresh();
        let inside = sample.in_accept.iter().filter(|call| ids.contains(&call.listener));
        Some(Now {
            sample,
            key,
            trails,
            doers,
            handoff: handoff.view(),
            listeners: ids.len() as u64,
            listener: first.sock,
            root: root(&holders, &self.thread_starts).unwrap_or(first.pid),
            comm: first.comm.clone(),
            totals: Totals {
                accepts: listeners.iter().map(|listener| listener.accepted).sum(),
                eagains: listeners.iter().map(|listener| listener.eagain).sum(),
                reads,
            },
            in_accept: inside.map(|call| ((call.pid, call.tid), call.listener)).collect(),
            waiting: sample
                .waiting
                .iter()
                .filter(|waiting| ids.contains(&waiting.listener))
                .collect(),
            runs: &self.recent_figures,
        })
    }

    /// A family whose eldest has ended goes on under the next.
    fn rename(&mut self) {
        let names: BTreeSet<u32> =
            self.groups.values().filter_map(|group| Some(group.view.as_ref()?.pid)).collect();
        for group in self.groups.values_mut() {
            let Some(pid) = group.view.as_ref().map(|view| view.pid) else { continue };
            let before = group
                .told_as
                .replace(pid)
                .filter(|before| *before != pid && !names.contains(before));
            if let Some(standing) = before.and_then(|before| self.standing.remove(&before)) {
                self.standing.entry(pid).or_insert(standing);
            }
        }
    }

    /// Takes the busiest group of each family over into what stands.
    fn report(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        self.rename();
        let mut busiest: BTreeMap<u32, &Group> = BTreeMap::new();
        for group in self.groups.values() {
            let Some(view) = &group.view else { continue };
            let best = busiest.entry(view.pid).or_insert(group);
            if group.weight > best.weight {
                *best = group;
            }
        }
        for (pid, group) in busiest {
            let Some(view) = &group.view else { continue };
            let standing = self.standing.entry(pid).or_insert_with(|| Standing::new(view));
            if standing.take(now_ns, view) {
                out.push(output(now_ns, &standing.view));
            }
        }
        // What has ended is told at the end of the run, unless there is too much of it.
        while self.standing.len() > MAX_LINES {
            let oldest = self
                .standing
                .iter()
                .min_by_key(|(_, standing)| standing.seen_ns)
                .map(|(&pid, _)| pid);
            oldest.and_then(|pid| self.standing.remove(&pid));
        }
    }
}

fn output(ts_ns: u64, view: &PatternView) -> Output {
    Output::Pattern(Box::new(PatternOutput { ts_ns, view: view.clone() }))
}

/// The eldest of the processes that hold a listener: the one whose parent does not.
fn root(holders: &BTreeSet<u32>, thread_starts: &ThreadStarts) -> Option<u32> {
    let is_child =
        |pid: u32| thread_starts.parent(pid).is_some_and(|parent| holders.contains(&parent));
    holders.iter().copied().find(|&pid| !is_child(pid)).or_else(|| holders.first().copied())
}
