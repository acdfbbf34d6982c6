//! What a screen gets to see of the model.

use super::event;
use super::snapshot::{ConnectionQuery, FoundConnections, Snapshot, ThreadView};
use super::{MAX_CONNECTION_VIEWS, Model};

impl Model {
    /// Returns the state as a screen shows it now, whose list of connections is as the query
    /// asks. It costs most of what there is: [`find`](Self::find) gives the list alone.
    pub fn view(&self, query: &ConnectionQuery) -> Snapshot {
        Snapshot { found: self.find(query), ..self.snapshot() }
    }

    /// Returns a window of the list of connections; `None` if the snapshot holds all of them.
    pub fn find(&self, query: &ConnectionQuery) -> Option<FoundConnections> {
        if self.connections.listed() <= MAX_CONNECTION_VIEWS {
            return None;
        }
        let mut found = self.connections.find(self.now_ns, query, self.findings.socks());
        self.proxies.complete_views(&mut found.rows);
        if let Some(open) = &mut found.open {
            self.proxies.complete_views(std::slice::from_mut(open));
        }
        Some(found)
    }

    /// Returns the state as it is now, with the worst connections alone where there are many.
    pub fn snapshot(&self) -> Snapshot {
        let mut connections = self.connections.views(self.now_ns, self.findings.socks());
        self.proxies.complete_views(&mut connections);
        Snapshot {
            listeners: self.listeners.full_views(),
            connections,
            threads: self.threads(),
            patterns: self.patterns.views(),
            proxies: self.proxies.views(),
            event_log: self.event_log.entries(),
            past_findings: self.findings.past(),
            ..self.brief()
        }
    }

    /// Whether a connection is known, and has not ended.
    pub fn knows(&self, sock: event::SockId) -> bool {
        self.connections.get(sock).is_some_and(|connection| connection.closed_ns().is_none())
    }

    /// Returns the threads of the snapshot alone.
    pub fn threads(&self) -> Vec<ThreadView> {
        self.threads.views(&self.connections.by_thread())
    }

    /// Returns the snapshot without connections, threads, the event log, past findings and histories.
    /// These cost most, and text has no use for them between samples.
    pub fn brief(&self) -> Snapshot {
        let (held, recent_held) = self.proxies.times(self.pauses.since_ns().unwrap_or(self.now_ns));
        let (lost, not_kept) = self.losses();
        Snapshot {
            now_ns: self.now_ns,
            elapsed_us: self.now_ns.saturating_sub(self.setup.attached_ns) / 1_000,
            target: self.setup.target.clone(),
            tier: self.setup.tier.clone(),
            cost_share: self.cost_share,
            lost,
            not_kept,
            listeners: self.listeners.views(),
            connections: Vec::new(),
            connections_listed: self.connections.listed(),
            found: None,
            connections_open: self.connections.open(),
            pause_since_ns: self.pauses.since_ns(),
            paused_us: self.pauses.total_ns(self.now_ns).map(|ns| ns / 1_000),
            times: self.connections.times.all(),
            recent_times: self
                .connections
                .times
                .recent(self.pauses.since_ns().unwrap_or(self.now_ns)),
            held,
            recent_held,
            threads: Vec::new(),
            patterns: Vec::new(),
            proxies: Vec::new(),
            datagrams: self.datagrams.views(),
            datagrams_open: self.datagrams.open(),
            unix: self.unix.clone(),
            event_log: Vec::new(),
            events_logged: self.event_log.logged(),
            findings: self.findings.view(),
            past_findings: Vec::new(),
            notices: self.notices.clone(),
            workloads: self.workloads.clone(),
            ended: self.ended.clone(),
            recording: self.recording.clone(),
        }
    }
}
