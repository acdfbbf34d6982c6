//! Metrics, kept from what the model reports.

mod home;
mod minute;
mod servers;

use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    family,
    histogram::Exemplar,
    labels::{Labels, Value, labels},
    page::Page,
};
use crate::{
    model::{
        Attached, Figures, WallClock,
        event::{Accept, Role, SockId, TcpState},
        output::{Ends, ExchangeOutput, FindingState, ListenerOutput, Output},
        snapshot::{Finding, Severity, Totals},
        workload::Workloads,
    },
    text::Untrusted,
};
use home::Home;
pub(crate) use servers::MAX_SERVERS;
use servers::{Place, SERVER_BYTES, Server, Servers};

/// Series of standing findings.
pub(crate) const MAX_FINDINGS: usize = 64;
/// Listeners whose totals are known: as many as the model knows.
const MAX_LISTENERS: usize = crate::model::MAX_LISTENERS;

/// Waits at listeners that are not known yet.
const MAX_EARLY: usize = 4_096;

/// Counts that others keep: what happened at the exporter's own ends, by labels.
pub(crate) type Tally = BTreeMap<(&'static str, &'static str), u64>;

/// Keeps metrics.
///
/// [`take`](Self::take) takes what the model reports, [`refresh`](Self::refresh) its sums after a
/// sample, and [`page`](Self::page) shows all of it.
#[derive(Debug)]
pub(crate) struct Collector {
    clock: WallClock,
    since_ns: u64,
    info: Labels,
    servers: Servers,
    workloads: Workloads,
    /// Of processes that were met since the last refresh.
    homes: FxHashMap<u32, Arc<Home>>,
    listeners: FxHashMap<SockId, Known>,
    /// Waits, µs, at listeners that no sample has shown yet, and how many like them there were.
    early: Vec<(SockId, u64, u64)>,
    /// Time of the newest listeners' figures.
    sampled_ns: u64,
    figures: Figures,
    findings: BTreeMap<FindingLabels, u64>,
    findings_made: BTreeMap<(&'static str, &'static str), u64>,
}

/// A listener whose totals are in the series of its server.
#[derive(Debug)]
struct Known {
    server: Server,
    /// Its place, while that is good.
    place: Option<Place>,
    totals: Totals,
}

/// Kind, severity, owner and subject of a finding.
type FindingLabels = (&'static str, &'static str, &'static str, Option<Untrusted>);

impl Collector {
    /// Largest size of everything that it keeps, bytes.
    pub(crate) const MAX_BYTES: usize = MAX_SERVERS * SERVER_BYTES
        + MAX_LISTENERS * (size_of::<Known>() + size_of::<SockId>() + 8)
        + MAX_EARLY * 16
        // Findings have texts of some kilobytes.
        + 256 * 8_192;

    pub(crate) fn new(attached: &Attached, clock: WallClock) -> Self {
        let info = labels([
            ("version", Value::Word(env!("CARGO_PKG_VERSION"))),
            ("kernel", Value::Text(attached.kernel.clone())),
            ("tier", Value::Text(attached.tier.clone())),
        ]);
        Self {
            clock,
            since_ns: attached.ts_ns,
            info,
            servers: Servers::default(),
            workloads: Workloads::default(),
            homes: FxHashMap::default(),
            listeners: FxHashMap::default(),
            early: Vec::new(),
            sampled_ns: 0,
            figures: Figures::default(),
            findings: BTreeMap::new(),
            findings_made: BTreeMap::new(),
        }
    }

    /// Learns where processes are at home, before it takes what is reported of them.
    pub(crate) fn know(&mut self, workloads: Workloads) {
        self.workloads = workloads;
    }

    fn home_of(&mut self, pid: u32) -> Arc<Home> {
        let workloads = &self.workloads;
        let home = || workloads.of(pid).map(Home::of).unwrap_or_default();
        Arc::clone(self.homes.entry(pid).or_insert_with(|| Arc::new(home())))
    }

    /// Takes one thing that the model reports.
    pub(crate) fn take(&mut self, output: &Output) {
        match output {
            Output::Listener(listener) => self.listener(listener),
            Output::Accept(accept) => self.accept(accept),
            Output::Exchange(exchange) => self.exchange(exchange),
            Output::Finding(finding) if finding.state == FindingState::Begun => {
                let labels = (finding.finding.kind, severity_name(finding.finding.severity));
                *self.findings_made.entry(labels).or_default() += 1;
            }
            _ => {}
        }
    }

    fn listener(&mut self, output: &ListenerOutput) {
        let view = &output.view;
        let mut known = match self.listeners.remove(&view.sock) {
            Some(known) => known,
            None => Known {
                server: Server {
                    role: Role::Server,
                    address: Some(view.local),
                    comm: view.comm.clone(),
                    home: self.home_of(view.pid),
                },
                place: None,
                totals: Totals::default(),
            },
        };
        let place = self.servers.place(known.server.clone(), output.ts_ns);
        self.servers.listener(place, output.ts_ns, view, &known.totals);
        self.sampled_ns = output.ts_ns;
        if !view.closed && self.listeners.len() < MAX_LISTENERS {
            known.place = Some(place);
            known.totals = view.totals;
            self.listeners.insert(view.sock, known);
        }
    }

    fn accept(&mut self, accept: &Accept) {
        let Some(us) = accept.queued_us() else { return };
        let count = accept.stands_for;
        match self.listeners.get(&accept.listener) {
            Some(Known { place: Some(place), .. }) => self.servers.waited(*place, us, count),
            _ => self.early.push((accept.listener, us, count)),
        }
        if self.early.len() > MAX_EARLY {
            self.settle_early(accept.ts_ns);
        }
    }

    /// Counts waits at listeners that no sample had shown yet.
    fn settle_early(&mut self, now_ns: u64) {
        for (sock, us, count) in std::mem::take(&mut self.early) {
            let server = match self.listeners.get(&sock) {
                Some(known) => known.server.clone(),
                None => Server::other(Role::Server),
            };
            let place = self.servers.place(server, now_ns);
            self.servers.waited(place, us, count);
        }
    }

    fn exchange(&mut self, output: &ExchangeOutput) {
        let place = self.place_of(output);
        self.servers.exchanged(place, &output.view);
    }

    /// Links an exchange that was counted with its span.
    pub(crate) fn link(&mut self, output: &ExchangeOutput, trace_id: &[u8], span_id: &[u8]) {
        let place = self.place_of(output);
        let mut us: u64 = 0;
        for (_, part_us) in output.view.counted() {
            us = us.saturating_add(part_us);
        }
        let (trace_id, span_id) = (trace_id.to_vec(), span_id.to_vec());
        let at = self.clock.at(output.ts_ns);
        self.servers.link(place, Exemplar { us, at, trace_id, span_id });
    }

    fn place_of(&mut self, output: &ExchangeOutput) -> Place {
        let server = match &output.ends {
            None => Server::other(output.role),
            Some(Ends { peer, comm, pid, .. }) if output.role == Role::Client => {
                let home = self.home_of(*pid);
                Server { role: Role::Client, address: Some(*peer), comm: comm.clone(), home }
            }
            Some(ends) => match ends.listener.and_then(|sock| self.listeners.get(&sock)) {
                Some(Known { place: Some(place), .. }) => return *place,
                Some(known) => known.server.clone(),
                None => match self.servers.listening_at(ends.local) {
                    Some(server) => server,
                    None => Server {
                        role: Role::Server,
                        address: Some(ends.local),
                        comm: ends.comm.clone(),
                        home: self.home_of(ends.pid),
                    },
                },
            },
        };
        self.servers.place(server, output.ts_ns)
    }

    /// Takes the sums after a sample.
    pub(crate) fn refresh(&mut self, figures: Figures) {
        self.homes.clear();
        self.settle_early(figures.now_ns);
        self.servers.sampled(self.sampled_ns);
        if self.servers.make_room(figures.now_ns) {
            for known in self.listeners.values_mut() {
                known.place = None;
            }
        }
        self.findings = BTreeMap::new();
        for finding in &figures.findings {
            let mut labels = finding_labels(finding);
            if self.findings.len() >= MAX_FINDINGS && !self.findings.contains_key(&labels) {
                labels.3 = None;
            }
            *self.findings.entry(labels).or_default() += 1;
        }
        self.figures = figures;
    }

    /// Shows everything, with what happened at the exporter's own ends.
    pub(crate) fn page(&self, tallies: &[(family::Family, [&'static str; 2], &Tally)]) -> Page<'_> {
        let (since, at) = (self.clock.at(self.since_ns), self.clock.at(self.figures.now_ns));
        let mut page = Page::new(since, at);
        page.add(family::INFO, self.info.clone(), 1.0);
        self.servers.show(self.sampled_ns, &mut page);
        self.show_connections(&mut page);
        self.show_findings(&mut page);
        self.show_own(&mut page);
        for (family, names, tally) in tallies {
            for ((first, second), count) in *tally {
                let mut labels = labels([(names[0], Value::Word(first))]);
                if !names[1].is_empty() {
                    labels.push((names[1], Value::Word(second)));
                }
                page.add(*family, labels, *count as f64);
            }
        }
        page
    }

    fn show_connections(&self, page: &mut Page<'_>) {
        let figures = &self.figures;
        for count in figures.connections.iter().flatten() {
            let labels = labels([
                ("role", Value::Word(role_name(count.role))),
                ("network.connection.state", Value::Word(state_name(count.state))),
            ]);
            page.add(family::CONNECTIONS, labels, count.count as f64);
        }
        if let Some([accepted, made]) = figures.retransmits {
            for (role, count) in [(Role::Server, accepted), (Role::Client, made)] {
                let labels = labels([("role", Value::Word(role_name(role)))]);
                page.add(family::RETRANSMITS, labels, count as f64);
            }
        }
        if let Some(resets) = figures.resets {
            let by =
                [("local", resets.sent), ("peer", resets.received), ("timeout", resets.timeouts)];
            for (by, count) in by {
                page.add(family::RESETS, labels([("by", Value::Word(by))]), count as f64);
            }
            page.add(family::LATE_REQUESTS, Labels::new(), resets.late_requests as f64);
            page.add(family::TRUNCATED, Labels::new(), resets.truncated as f64);
        }
        if let Some(connects) = figures.connects {
            let made = [("made", connects.made)];
            let failed = connects.each().map(|(outcome, count)| (outcome.name(), count));
            for (outcome, count) in made.into_iter().chain(failed) {
                let labels = labels([("outcome", Value::Word(outcome))]);
                page.add(family::CONNECTS, labels, count as f64);
            }
            page.add(family::CONNECTS_PENDING, Labels::new(), connects.pending as f64);
        }
    }

    fn show_findings(&self, page: &mut Page<'_>) {
        for ((kind, severity, owner, subject), count) in &self.findings {
            let subject = match subject {
                Some(subject) => Value::Text(subject.clone()),
                None => Value::Word("other"),
            };
            let labels = labels([
                ("kind", Value::Word(kind)),
                ("severity", Value::Word(severity)),
                ("owner", Value::Word(owner)),
                ("subject", subject),
            ]);
            page.add(family::FINDING, labels, *count as f64);
        }
        for ((kind, severity), count) in &self.findings_made {
            let labels = labels([("kind", Value::Word(kind)), ("severity", Value::Word(severity))]);
            page.add(family::FINDINGS, labels, *count as f64);
        }
    }

    fn show_own(&self, page: &mut Page<'_>) {
        let (figures, none) = (&self.figures, Labels::new());
        if figures.retransmits.is_some() {
            let watched = if figures.watches_exchanges { 1.0 } else { 0.0 };
            page.add(family::WATCHED, none.clone(), watched);
            page.add(family::PAUSED, none.clone(), figures.paused_us.unwrap_or(0) as f64 / 1e6);
        }
        page.add(family::RECORDS, none.clone(), figures.seen as f64);
        for (probe, count) in &figures.lost {
            let labels = labels([("probe", Value::Text(probe.clone()))]);
            page.add(family::LOST, labels, *count as f64);
        }
        if let Some(cost) = &figures.cost {
            page.add_known(family::PROBE_RUNS, &none, cost.probe_runs);
            if let Some(ns) = cost.probe_ns {
                page.add(family::PROBE_TIME, none.clone(), ns as f64 / 1e9);
            }
            page.add(family::CPU_TIME, none.clone(), cost.agent_cpu_us as f64 / 1e6);
            page.add(family::MEMORY, none.clone(), cost.agent_rss_bytes as f64);
        }
        page.add(family::FOLDED, none, self.servers.folded as f64);
    }
}

fn finding_labels(finding: &Finding) -> FindingLabels {
    let severity = severity_name(finding.severity);
    (finding.kind, severity, finding.owner.name(), Some(finding.subject.clone()))
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Client => "client",
    }
}

/// As the semantic conventions spell it, where they have it.
fn state_name(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "established",
        TcpState::SynSent => "syn_sent",
        // One value for all of them since the first version.
        TcpState::Closing | TcpState::FinWait1 | TcpState::FinWait2 | TcpState::LastAck => {
            "closing"
        }
        TcpState::CloseWait => "close_wait",
        TcpState::Closed => "closed",
    }
}
