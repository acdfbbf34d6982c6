//! Evidence: what a model made of a run, live or recorded, and what server and clients said of it.

use std::{collections::BTreeMap, time::SystemTime};

use super::check::Cast;
use crate::{
    model::{
        Model,
        event::{Accept, Event, Role, SockId},
        output::Output,
        snapshot::{
            ConnectionView, DatagramView, ExchangeView, ListenerView, QuicView, SliceKind,
            Snapshot, ThreadView,
        },
        timeline::{self, Step},
    },
    record::{Entry, Header},
};

/// Who a line of a report is from.
const SERVER: &str = "server";
const CLIENT: &str = "client";
const LINK: &str = "link";

/// The evidence of one run.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Kernel release.
    pub kernel: String,
    /// "full" or "tracepoint".
    pub tier: String,
    /// When it was.
    pub when: SystemTime,
    /// The state at the end.
    pub snapshot: Snapshot,
    /// Everything that was reported.
    pub outputs: Vec<Output>,
    /// What server and clients printed, "client: connected 3 failed 7".
    pub reports: Vec<String>,
}

/// Gives a model the entries of a run, and keeps what it makes of them.
pub(super) struct Collector {
    model: Model,
    header: Header,
    outputs: Vec<Output>,
    reports: Vec<String>,
    /// Threads that were there at one refresh or another: who has ended has still a name.
    threads: BTreeMap<u32, ThreadView>,
    end: Option<Snapshot>,
}

impl Collector {
    pub(super) fn new(header: Header) -> Self {
        let model = Model::new(header.setup.clone());
        Self {
            model,
            header,
            outputs: Vec::new(),
            reports: Vec::new(),
            threads: BTreeMap::new(),
            end: None,
        }
    }

    pub(super) fn take(&mut self, entry: &Entry) {
        match entry {
            // A lesson's run has nothing else to be said of it.
            Entry::Notices(reports) => self.reports.clone_from(reports),
            Entry::Finish(_) => self.end = Some(self.model.snapshot()),
            _ => {}
        }
        entry.give(&mut self.model, &mut self.outputs);
        if let Entry::Event(Event::Sample(_)) = entry {
            let threads = self.model.snapshot().threads;
            self.threads.extend(threads.into_iter().map(|thread| (thread.tid, thread)));
        }
    }

    pub(super) fn connections_open(&self) -> u64 {
        self.model.brief().connections_open
    }

    pub(super) fn accepted(&self) -> u64 {
        self.model.brief().listeners.iter().map(|listener| listener.totals.accepted).sum()
    }

    /// Connections in accept queues.
    pub(super) fn waiting(&self) -> u64 {
        self.model.brief().listeners.iter().map(|listener| u64::from(listener.depth)).sum()
    }

    /// Threads of the processes watched.
    pub(super) fn threads(&self) -> Vec<(u32, u32)> {
        self.model.snapshot().threads.iter().map(|thread| (thread.pid, thread.tid)).collect()
    }

    pub(super) fn evidence(self) -> Evidence {
        let mut snapshot = self.end.unwrap_or_else(|| self.model.snapshot());
        snapshot.threads = self.threads.into_values().collect();
        let Header { attached, clock, .. } = self.header;
        let when = clock.at(attached.ts_ns);
        let (outputs, reports) = (self.outputs, self.reports);
        Evidence { kernel: attached.kernel, tier: attached.tier, when, snapshot, outputs, reports }
    }
}

/// A line as it stands among the reports.
pub(super) fn report(who: Who, line: &str) -> String {
    format!("{}: {line}", who.name())
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The server.
    Server,
    /// One of the clients.
    Client,
    /// The link between them.
    Link,
}

impl Who {
    /// In a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => SERVER,
            Self::Client => CLIENT,
            Self::Link => LINK,
        }
    }
}

impl Evidence {
    /// The lines of one side that begin with a word, without it.
    pub fn lines<'a>(&'a self, who: Who, word: &'a str) -> impl Iterator<Item = &'a str> {
        let begin = report(who, word);
        self.reports
            .iter()
            .filter_map(move |line| line.strip_prefix(begin.as_str())?.strip_prefix(' '))
    }

    /// The first number that follows a word in the reports of the clients: "connected 3 failed 7".
    pub fn number_after(&self, who: Who, word: &str) -> Option<u64> {
        let words = self
            .reports
            .iter()
            .filter_map(|line| line.strip_prefix(&report(who, "")))
            .map(str::split_whitespace);
        words
            .flat_map(|mut words| {
                words.find(|found| *found == word).and_then(|_| words.next()?.parse().ok())
            })
            .next()
    }

    /// The first number before a word in the reports: "310 asked, 310 answered".
    pub fn number_before(&self, who: Who, word: &str) -> Option<u64> {
        self.reports.iter().filter_map(|line| line.strip_prefix(&report(who, ""))).find_map(
            |line| {
                let words: Vec<_> =
                    line.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
                words.windows(2).find(|pair| pair[1] == word)?[0].parse().ok()
            },
        )
    }

    /// What was said as `name=value` in lines that begin with a word, summed or not by the caller.
    pub fn named<'a>(
        &'a self,
        who: Who,
        word: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = u64> + 'a {
        self.lines(who, word).filter_map(move |line| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        })
    }

    /// How long the link takes for a round trip, µs; 0 without a link.
    pub fn link_us(&self) -> u64 {
        self.named(Who::Link, "round-trip", "us").next().unwrap_or(0)
    }

    /// The listeners, in the order they became known.
    pub fn listeners(&self) -> &[ListenerView] {
        &self.snapshot.listeners
    }

    /// The exchanges of one side, in the order they ended, with their sockets.
    pub fn exchanges(&self, role: Role) -> impl Iterator<Item = (SockId, &ExchangeView)> {
        self.outputs.iter().filter_map(move |output| match output {
            Output::Exchange(exchange) if exchange.role == role => {
                Some((exchange.sock, &exchange.view))
            }
            _ => None,
        })
    }

    /// The accepts, in their order.
    pub fn accepts(&self) -> impl Iterator<Item = &Accept> {
        self.outputs.iter().filter_map(|output| match output {
            Output::Accept(accept) => Some(accept),
            _ => None,
        })
    }

    /// The connections of one side as they were at their ends, in the order they began.
    pub fn connections(&self, role: Role) -> Vec<&ConnectionView> {
        let mut found: Vec<_> = self
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Connection(connection) if connection.view.role == role => {
                    Some(&connection.view)
                }
                _ => None,
            })
            .collect();
        found.sort_by_key(|connection| connection.since_ns);
        found
    }

    /// The QUIC connections of one side, in the order they began.
    pub fn quic(&self, role: Role) -> Vec<&QuicView> {
        let mut found: Vec<_> = self
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Quic(quic) if quic.view.role == role => Some(&quic.view),
                _ => None,
            })
            .collect();
        found.sort_by_key(|quic| quic.since_ns);
        found
    }

    /// The UDP sockets of one side with their last figures. The server's are at the port it was
    /// told to listen on.
    pub fn datagrams(&self, who: Who) -> Vec<&DatagramView> {
        let mut last = BTreeMap::new();
        for output in &self.outputs {
            if let Output::Datagrams(datagrams) = output
                && (datagrams.view.local.port() == Cast::PORT) == (who == Who::Server)
            {
                last.insert(datagrams.view.sock, &datagrams.view);
            }
        }
        last.into_values().collect()
    }

    /// A thread's name; its number where that is not known.
    pub fn thread_name(&self, tid: u32) -> String {
        let known = self
            .snapshot
            .threads
            .iter()
            .find(|thread| thread.tid == tid)
            .map(|thread| thread.comm.clone());
        known.unwrap_or_else(|| format!("thread {tid}"))
    }

    /// An exchange step by step, once its request is there.
    pub(super) fn request_steps(&self, sock: SockId, exchange: &ExchangeView) -> Vec<Step> {
        let opening = [SliceKind::Handshake, SliceKind::AcceptQueue, SliceKind::Request];
        // A client has its request from the beginning: what comes in pieces is the answer.
        let client =
            self.connection(sock).is_some_and(|connection| connection.role == Role::Client);
        self.steps_but(if client { &opening[..1] } else { &opening }, sock, exchange)
    }

    /// An exchange step by step, without slices of some kinds.
    pub(super) fn steps_but(
        &self,
        hidden: &[SliceKind],
        sock: SockId,
        exchange: &ExchangeView,
    ) -> Vec<Step> {
        let seen = Step::Gap { text: "seen by the client: peer = server".to_owned() };
        let client =
            self.connection(sock).is_some_and(|connection| connection.role == Role::Client);
        client.then_some(seen).into_iter().chain(self.bare_steps(hidden, sock, exchange)).collect()
    }

    /// The same without a word on who has seen it.
    pub(super) fn bare_steps(
        &self,
        hidden: &[SliceKind],
        sock: SockId,
        exchange: &ExchangeView,
    ) -> Vec<Step> {
        let Some(connection) = self.connection(sock) else { return Vec::new() };
        let mut exchange = exchange.clone();
        exchange.slices.retain(|slice| !hidden.contains(&slice.kind));
        timeline::exchange(&self.snapshot, connection, &exchange)
    }

    /// A connection, as it was at its end.
    pub fn connection(&self, sock: SockId) -> Option<&ConnectionView> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Connection(connection) if connection.view.sock == sock => {
                Some(&connection.view)
            }
            _ => None,
        })
    }
}

/// The time that an exchange spent on something, µs.
pub(super) fn time(exchange: &ExchangeView, kind: SliceKind) -> u64 {
    exchange.slices.iter().filter(|slice| slice.kind == kind).map(|slice| slice.us).sum()
}

/// The one in the middle, the lower of two.
pub(super) fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}
