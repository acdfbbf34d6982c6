//! Sharing of a server's connections among threads and processes, judged by the threads that
//! listen, accept, read and write.
//!
//! Each connection leaves a [`ServiceHistory`]. The newest histories of a listener and of its
//! SO_REUSEPORT siblings add up to [`facts::PatternFacts`], which `judge` names. Processes that hold one
//! listener are a family, under its eldest. A family with several listeners is judged by the
//! busiest one.

mod facts;
mod group;
mod herd;
mod judge;
mod listener_history;
mod service_history;
mod standing;
#[cfg(test)]
mod tests;
mod thread_starts;
mod waits;
mod words;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::event::{
    Accept, Closed, Exchange, ListenerSample, Opened, Place, Process, Role, Sample, SockId,
};
use super::histogram::{Precision, WaitHistogram};
use super::output::{Output, PatternOutput};
use super::snapshot::{PatternView, WaitView};
use group::{Group, Now};
pub(super) use herd::HerdFacts;
use herd::Totals;
use listener_history::ListenerHistory;
use service_history::{Id, ServiceHistory};
use standing::Standing;
use thread_starts::ThreadStarts;
pub(super) use workers::{Load, Shape, Workers};

/// Listeners whose connections are followed; beyond it a closed one gives way.
pub(super) const MAX_LISTENERS: usize = 256;
/// Connections found open at the attach that wait for their listener to be known.
const MAX_ORPHANS: usize = 1_024;

/// Shares of the last reads of a family among its readers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReadsShared {
    pub(super) readers: u64,
    pub(super) reads: u64,
    pub(super) most: u64,
    /// The one with most.
    pub(super) busiest: u32,
}

/// Facts of a group of listeners of a family, for findings.
pub(super) struct Family<'a> {
    pub(super) view: &'a PatternView,
    pub(super) herd: Option<&'a HerdFacts>,
    pub(super) local: SocketAddr,
    pub(super) reads: Option<ReadsShared>,
}

/// All families.
///
/// Between samples, `accepted`, `opened`, `exchanged` and `closed` write the histories of
/// connections, and `process` takes forks. `sampled` then adopts connections that were open at the
/// attach (`adopt`), takes the listeners (`take_listeners`), judges each group (`now`, `judge`) and
/// reports patterns that have changed (`rename`, `report`). `views`, `families`, `shape` and
/// `workers` read the result; `finish` reports it once more.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    histories: FxHashMap<SockId, ServiceHistory>,
    listeners: BTreeMap<SockId, ListenerHistory>,
    orphans: Vec<(SockId, SocketAddr, u32)>,
    groups: BTreeMap<Place, Group>,
    thread_starts: ThreadStarts,
    /// Times that threads had been put on a CPU at the newest sample, and how often since the one
    /// before.
    runs: HashMap<Id, u64>,
    recent_runs: HashMap<Id, u64>,
    standing: BTreeMap<u32, Standing>,
}

impl Patterns {
    pub(super) fn accepted(&mut self, accept: &Accept) {
        if let Some(history) = self.histories.get(&accept.sock)
            && history.listener.is_some()
        {
            return;
        }
        let Some(listener) = self.listener(accept.listener, accept.ts_ns) else { return };
        listener.accepted((accept.pid, accept.tid), accept.ts_ns, accept.stands_for);
        let gone = listener.push(accept.sock);
        self.histories.insert(accept.sock, ServiceHistory::accepted(accept));
        self.forget(gone);
    }

    pub(super) fn opened(&mut self, opened: &Opened) {
        let wanted = opened.role == Role::Server && !self.histories.contains_key(&opened.sock);
        if wanted && self.orphans.len() < MAX_ORPHANS {
            self.histories.insert(opened.sock, ServiceHistory::found_open(opened.ts_ns));
            self.orphans.push((opened.sock, opened.local, opened.pid));
        }
    }

    /// Takes the facts of an exchange, over or not.
    pub(super) fn exchanged(&mut self, exchange: &Exchange) {
        let Some(history) = self.histories.get_mut(&exchange.sock) else { return };
        let added = history.note(exchange);
        if let Some(sock) = history.listener
            && let Some(listener) = self.listeners.get_mut(&sock)
        {
            listener.noted(&added, exchange.ts_ns);
        }
    }

    pub(super) fn closed(&mut self, closed: &Closed) {
        if let Some(history) = self.histories.get_mut(&closed.sock) {
            history.closed(closed);
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
        self.find_threads_begun_for_one();
        self.judge(sample);
        self.report(sample.ts_ns, out);
    }

    /// Finds the connections whose thread began for them.
    fn find_threads_begun_for_one(&mut self) {
        for history in self.histories.values_mut() {
            if history.begun_for_it.is_none()
                && let (Some(server), Some(acceptor)) = (history.server(), history.acceptor)
            {
                history.begun_for_it = if server == acceptor {
                    Some(false)
                } else {
                    self.thread_starts.began_after(server, history.accepted_ns)
                };
            }
        }
    }

    /// Returns the families' patterns as they stand, by process id.
    pub(super) fn views(&self) -> Vec<PatternView> {
        self.standing.values().map(|standing| standing.view.clone()).collect()
    }

    /// Returns the facts that findings judge families by.
    pub(super) fn families(&self) -> impl Iterator<Item = Family<'_>> {
        self.groups.iter().filter_map(|(place, group)| {
            Some(Family {
                view: group.view.as_ref()?,
                herd: group.herd.last(),
                local: place.0,
                reads: group.reads_shared(),
            })
        })
    }

    /// Returns how those who accept on a listener share and serve its connections, if that is
    /// known.
    pub(super) fn shape(&self, sock: SockId) -> Option<Shape> {
        let place = self.listeners.get(&sock)?.place?;
        Shape::of(self.groups.get(&place)?.view.as_ref()?)
    }

    /// Measures the workers of a listener, if each serves one connection at a time.
    pub(super) fn workers(&self, now_ns: u64, sock: SockId) -> Option<Workers> {
        if !self.shape(sock)?.is_one_at_a_time() {
            return None;
        }
        let listener = self.listeners.get(&sock)?;
        let group = self.groups.get(&listener.place?)?;
        let histories =
            listener.connections.iter().filter_map(|connection| self.histories.get(connection));
        // Who takes turns with connections that were left untold is not known.
        if histories.clone().any(|history| history.stands_for > 1) {
            return None;
        }
        let is_alive = |id: Id| self.thread_starts.is_alive(id);
        let since_ns = match listener.connections.front().and_then(|of| self.histories.get(of)) {
            Some(oldest) if listener.is_full() => oldest.accepted_ns,
            _ => 0,
        };
        Workers::of(now_ns, since_ns, histories, group.waiting_for(sock), is_alive)
    }

    /// Reports each family's pattern once more, at the end of the run.
    pub(super) fn finish(&self, now_ns: u64, out: &mut Vec<Output>) {
        for standing in self.standing.values() {
            out.push(output(now_ns, &standing.view));
        }
    }

    /// Returns the history of a listener; `None` when there is no room for a new one.
    fn listener(&mut self, sock: SockId, now_ns: u64) -> Option<&mut ListenerHistory> {
        if self.listeners.len() >= MAX_LISTENERS && !self.listeners.contains_key(&sock) {
            let closed = self.listeners.iter().filter(|(_, listener)| !listener.open);
            let (&oldest, _) = closed.min_by_key(|(_, listener)| listener.last_ns)?;
            if let Some(listener) = self.listeners.remove(&oldest) {
                for connection in listener.connections {
                    self.histories.remove(&connection);
                }
            }
        }
        Some(self.listeners.entry(sock).or_insert_with(|| ListenerHistory::new(now_ns)))
    }

    fn forget(&mut self, sock: Option<SockId>) {
        if let Some(sock) = sock {
            self.histories.remove(&sock);
        }
    }

    /// Counts how often each thread ran since the sample before.
    fn count_runs(&mut self, sample: &Sample) {
        let mut runs = HashMap::new();
        self.recent_runs.clear();
        for thread in &sample.threads {
            let id = (thread.pid, thread.tid);
            runs.insert(id, thread.runs);
            if let Some(before) = self.runs.get(&id) {
                self.recent_runs.insert(id, thread.runs.saturating_sub(*before));
            }
        }
        self.runs = runs;
    }

    /// Finds the listeners of connections that were open at the attach.
    fn adopt(&mut self, sample: &Sample) {
        for (sock, local, pid) in std::mem::take(&mut self.orphans) {
            let home = listener_of(sample, local, pid);
            let Some(history) = self.histories.get_mut(&sock) else { continue };
            if history.listener.is_some() {
                continue;
            }
            history.listener = home;
            let mut gone = Some(sock);
            if let Some(home) = home
                && let Some(listener) = self.listener(home, sample.ts_ns)
            {
                gone = listener.push(sock);
            }
            self.forget(gone);
        }
    }

    fn take_listeners(&mut self, sample: &Sample) {
        let present: BTreeSet<SockId> =
            sample.listeners.iter().map(|listener| listener.sock).collect();
        for current in &sample.listeners {
            if let Some(listener) = self.listeners.get_mut(&current.sock) {
                listener.sampled(current);
            }
        }
        for (sock, listener) in &mut self.listeners {
            if !present.contains(sock) {
                listener.open = false;
            }
        }
        let places: BTreeSet<Place> =
            self.listeners.values().filter_map(|listener| listener.place).collect();
        self.groups.retain(|place, _| places.contains(place));
        for place in places {
            self.groups.entry(place).or_insert_with(|| Group::new(sample.ts_ns));
        }
    }

    fn judge(&mut self, sample: &Sample) {
        let mut open: BTreeMap<Place, Vec<&ListenerSample>> = BTreeMap::new();
        for listener in &sample.listeners {
            let place = listener.place();
            if listener.closed_ns.is_none() && self.groups.contains_key(&place) {
                open.entry(place).or_default().push(listener);
            }
        }
        let mut groups = std::mem::take(&mut self.groups);
        let mut now = Vec::new();
        for (&place, listeners) in &open {
            now.extend(self.now(sample, place, listeners));
        }
        for one in &now {
            let elsewhere = now.iter().filter(|other| other.root == one.root).count() - 1;
            if let Some(group) = groups.get_mut(&one.place) {
                group.sampled(one, &self.thread_starts, elsewhere);
            }
        }
        self.groups = groups;
    }

    /// Returns whether a process has ended.
    fn gone(&self) -> impl Fn(u32) -> bool {
        let alive = self.thread_starts.processes();
        move |pid| matches!(&alive, Some(alive) if !alive.contains(&pid))
    }

    /// Returns the state of a group of listeners at this sample.
    fn now<'a>(
        &'a self,
        sample: &'a Sample,
        place: Place,
        listeners: &[&ListenerSample],
    ) -> Option<Now<'a>> {
        let first = listeners.first()?;
        let (mut ids, mut holders, mut totals) =
            (BTreeSet::new(), BTreeSet::new(), Totals::default());
        for listener in listeners {
            ids.insert(listener.sock);
            holders.extend(&listener.holders);
            totals.accepts = totals.accepts.saturating_add(listener.accepted);
            totals.eagains = totals.eagains.saturating_add(listener.eagain);
        }
        let (mut in_accept, mut waiting) = (Vec::new(), Vec::new());
        for call in &sample.in_accept {
            if ids.contains(&call.listener) {
                in_accept.push(((call.pid, call.tid), call.listener));
            }
        }
        for thread in &sample.waiting {
            if ids.contains(&thread.listener) {
                waiting.push(thread);
            }
        }
        let mut now = Now {
            sample,
            place,
            histories: Vec::new(),
            threads: BTreeMap::new(),
            handoff: WaitView::default(),
            listeners: ids.len() as u64,
            listener: first.sock,
            root: root(&holders, &self.thread_starts).unwrap_or(first.pid),
            comm: first.comm.clone(),
            totals,
            waiting,
            in_accept,
            runs: &self.recent_runs,
        };
        self.add_histories(&mut now, &ids);
        Some(now)
    }

    /// Adds the connections of the group's listeners, and the calls of threads on them. A listener
    /// that has closed, and a process that has ended, say nothing of who accepts now.
    fn add_histories<'a>(&'a self, now: &mut Now<'a>, ids: &BTreeSet<SockId>) {
        let mut handoff = WaitHistogram::new(Precision::Coarse);
        let is_gone = self.gone();
        for sock in ids {
            let Some(listener) = self.listeners.get(sock) else { continue };
            for connection in &listener.connections {
                if let Some(history) = self.histories.get(connection)
                    && !matches!(history.acceptor, Some((pid, _)) if is_gone(pid))
                {
                    now.histories.push(history);
                }
            }
            for (&id, calls) in &listener.threads {
                if !is_gone(id.0) {
                    now.threads.entry(id).or_default().add(calls);
                }
            }
            handoff.merge(&listener.handoff);
            now.totals.reads = now.totals.reads.saturating_add(listener.reads);
        }
        handoff.refresh();
        now.handoff = handoff.view();
    }

    /// Renames each family whose eldest has ended: it goes on under the next.
    fn rename(&mut self) {
        let names: BTreeSet<u32> =
            self.groups.values().filter_map(|group| Some(group.view.as_ref()?.pid)).collect();
        for group in self.groups.values_mut() {
            let Some(PatternView { pid, .. }) = group.view else { continue };
            let Some(before) = group.reported_as.replace(pid) else { continue };
            if before != pid
                && !names.contains(&before)
                && let Some(standing) = self.standing.remove(&before)
            {
                self.standing.entry(pid).or_insert(standing);
            }
        }
    }

    /// Takes the busiest group of each family for the family's pattern, and reports those that have
    /// changed.
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
        // A family that has ended is reported at the end of the run, unless there are too many.
        while self.standing.len() > MAX_LISTENERS {
            let oldest = self.standing.iter().min_by_key(|(_, standing)| standing.seen_ns);
            let Some((&pid, _)) = oldest else { break };
            self.standing.remove(&pid);
        }
    }
}

fn output(ts_ns: u64, view: &PatternView) -> Output {
    Output::Pattern(Box::new(PatternOutput { ts_ns, view: view.clone() }))
}

/// Returns the listener that a connection of a process belongs to, by its local address.
fn listener_of(sample: &Sample, local: SocketAddr, pid: u32) -> Option<SockId> {
    let fits = |at: SocketAddr| {
        at.port() == local.port() && (at.ip().is_unspecified() || at.ip() == local.ip())
    };
    let listeners = sample.listeners.iter().filter(|listener| fits(listener.local));
    let best =
        listeners.min_by_key(|listener| (!listener.holders.contains(&pid), listener.sock))?;
    Some(best.sock)
}

/// Returns the eldest of the processes that hold a listener: the one whose parent does not.
fn root(holders: &BTreeSet<u32>, thread_starts: &ThreadStarts) -> Option<u32> {
    for &pid in holders {
        let is_child =
            matches!(thread_starts.parent(pid), Some(parent) if holders.contains(&parent));
        if !is_child {
            return Some(pid);
        }
    }
    holders.first().copied()
}
