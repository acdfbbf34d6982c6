//! Evidence: what a model made of a run, live or recorded, and what server and clients said of it.

use std::{collections::BTreeMap, io, time::SystemTime};

use super::check::{Picture, Scenario};
use crate::{
    model::{
        Model,
        event::{Accept, Role, SockId},
        output::{Interest, Output},
        snapshot::{
            ConnectionView, DatagramView, ExchangeView, ListenerView, QuicView, SliceKind,
            Snapshot, ThreadView,
        },
        timeline::{self, Step},
    },
    record::Header,
    run::{Consumer, Run},
    text::Untrusted,
};

/// Names of those a line of a report is from.
const SERVER: &str = "server";
const CLIENT: &str = "client";
const LINK: &str = "link";
const WIRE: &str = "wire";
const MACHINE: &str = "machine";

/// The evidence of one run.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Kernel release.
    pub kernel: Untrusted,
    /// "full" or "tracepoint".
    pub tier: Untrusted,
    /// Time of the attach.
    pub when: SystemTime,
    /// The state at the end.
    pub snapshot: Snapshot,
    /// Everything that was reported.
    pub outputs: Vec<Output>,
    /// Lines that server and clients printed, "client: connected 3 failed 7".
    pub reports: Vec<Untrusted>,
}

/// Keeps what a lesson is judged by. The outputs stay with the run.
pub(super) struct Collector {
    header: Header,
    reports: Vec<Untrusted>,
    /// Threads that were there at one refresh or another: who has ended has still a name.
    threads: BTreeMap<u32, ThreadView>,
    end: Option<Snapshot>,
}

impl Collector {
    /// Makes a collector, and the model to go with it.
    pub(super) fn of(header: Header) -> (Model, Self) {
        let model = Model::new(header.setup.clone());
        (model, Self { header, reports: Vec::new(), threads: BTreeMap::new(), end: None })
    }
}

impl Consumer for Collector {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    /// A lesson's run has nothing to be said of it but what server and clients printed.
    fn notices(&mut self, notices: &[Untrusted]) {
        self.reports = notices.to_vec();
    }

    fn report(&mut self, _: &mut Vec<Output>, _: &Model) -> io::Result<()> {
        Ok(())
    }

    fn refresh(&mut self, model: &Model) -> io::Result<()> {
        for thread in model.snapshot().threads {
            self.threads.insert(thread.tid, thread);
        }
        Ok(())
    }

    fn before_summary(&mut self, model: &Model) -> io::Result<()> {
        self.end = Some(model.snapshot());
        Ok(())
    }
}

/// The evidence that a run holds at its end.
pub(super) fn of(run: Run<Collector>) -> Evidence {
    let Run { model, consumer, outputs, .. } = run;
    let Collector { header: Header { attached, clock, .. }, reports, mut threads, end } = consumer;
    name_threads(&outputs, &mut threads);
    let mut snapshot = match end {
        Some(end) => end,
        None => model.snapshot(),
    };
    snapshot.threads = threads.into_values().collect();
    let when = clock.at(attached.ts_ns);
    Evidence { kernel: attached.kernel, tier: attached.tier, when, snapshot, outputs, reports }
}

/// Names those threads after their processes ("client") that read, wrote or accepted and were there
/// at no refresh.
fn name_threads(outputs: &[Output], threads: &mut BTreeMap<u32, ThreadView>) {
    let mut holders = BTreeMap::new();
    for output in outputs {
        if let Output::Connection(connection) = output {
            holders.insert(connection.view.sock, (connection.view.pid, &connection.view.comm));
        }
    }
    for output in outputs {
        let (sock, tids) = match output {
            Output::Exchange(exchange) => {
                (exchange.sock, [exchange.view.read_tid, exchange.view.write_tid])
            }
            Output::Accept(accept) => (accept.sock, [Some(accept.tid), None]),
            _ => continue,
        };
        let Some((pid, comm)) = holders.get(&sock) else { continue };
        for tid in tids.into_iter().flatten() {
            threads.entry(tid).or_insert_with(|| ThreadView {
                pid: *pid,
                tid,
                comm: (*comm).clone(),
                accepts: 0.0,
                reads: 0.0,
                writes: 0.0,
                busy: None,
                waits: None,
                asleep: None,
                connections: 0,
            });
        }
    }
}

/// A line as it stands among the reports.
pub(super) fn report(who: Who, line: &str) -> String {
    format!("{}: {line}", who.name())
}

/// A process that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The server.
    Server,
    /// One of the clients.
    Client,
    /// The link between them.
    Link,
    /// What tells of each packet.
    Wire,
    /// The machine that all run on.
    Machine,
}

impl Who {
    /// Returns its name among the reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => SERVER,
            Self::Client => CLIENT,
            Self::Link => LINK,
            Self::Wire => WIRE,
            Self::Machine => MACHINE,
        }
    }
}

impl Evidence {
    /// Returns the lines of one side that begin with a word, without it.
    pub fn lines<'a>(&'a self, who: Who, word: &'a str) -> impl Iterator<Item = &'a str> {
        let begin = report(who, word);
        self.reports
            .iter()
            .filter_map(move |line| line.as_came().strip_prefix(begin.as_str())?.strip_prefix(' '))
    }

    /// Returns the first number that follows a word in the reports of one side: "connected 3 failed
    /// 7".
    pub fn number_after(&self, who: Who, word: &str) -> Option<u64> {
        self.lines_of(who).find_map(|line| {
            let mut words = line.split_whitespace();
            words.find(|found| *found == word)?;
            words.next()?.parse().ok()
        })
    }

    /// Returns the first number before a word in the reports of one side: "310 asked, 310
    /// answered".
    pub fn number_before(&self, who: Who, word: &str) -> Option<u64> {
        self.lines_of(who).find_map(|line| {
            let mut words = line.split_whitespace();
            let mut before = words.next()?;
            for found in words {
                if found.trim_end_matches(',') == word {
                    return before.trim_end_matches(',').parse().ok();
                }
                before = found;
            }
            None
        })
    }

    fn lines_of(&self, who: Who) -> impl Iterator<Item = &str> {
        let begin = report(who, "");
        self.reports.iter().filter_map(move |line| line.as_came().strip_prefix(begin.as_str()))
    }

    /// Returns what was said as `name=value` in lines that begin with a word, summed or not by the
    /// caller.
    pub fn named<'a>(
        &'a self,
        who: Who,
        word: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = u64> + 'a {
        self.lines(who, word).filter_map(move |line| named_in(line, name))
    }

    /// Returns how long the link takes for a round trip, µs; 0 without a link.
    pub fn link_us(&self) -> u64 {
        self.named(Who::Link, "round-trip", "us").next().unwrap_or(0)
    }

    /// Returns the listeners, in the order they became known.
    pub fn listeners(&self) -> &[ListenerView] {
        &self.snapshot.listeners
    }

    /// Returns the exchanges of one side, in the order they ended, with their sockets.
    pub fn exchanges(&self, role: Role) -> impl Iterator<Item = (SockId, &ExchangeView)> {
        self.outputs.iter().filter_map(move |output| match output {
            Output::Exchange(exchange) if exchange.role == role => {
                Some((exchange.sock, &exchange.view))
            }
            _ => None,
        })
    }

    /// Returns the exchanges of one side, in the order they ended.
    pub fn views(&self, role: Role) -> impl Iterator<Item = &ExchangeView> {
        self.exchanges(role).map(|(_, exchange)| exchange)
    }

    /// Returns the accepts, in their order.
    pub fn accepts(&self) -> impl Iterator<Item = &Accept> {
        self.outputs.iter().filter_map(|output| match output {
            Output::Accept(accept) => Some(accept),
            _ => None,
        })
    }

    /// Returns the connections of one side as they were at their ends, in the order they began.
    pub fn connections(&self, role: Role) -> Vec<&ConnectionView> {
        let mut found = Vec::new();
        for output in &self.outputs {
            if let Output::Connection(connection) = output
                && connection.view.role == role
            {
                found.push(&connection.view);
            }
        }
        found.sort_by_key(|connection| connection.since_ns);
        found
    }

    /// Returns the QUIC connections of one side, in the order they began.
    pub fn quic(&self, role: Role) -> Vec<&QuicView> {
        let mut found = Vec::new();
        for output in &self.outputs {
            if let Output::Quic(quic) = output
                && quic.view.role == role
            {
                found.push(&quic.view);
            }
        }
        found.sort_by_key(|quic| quic.since_ns);
        found
    }

    /// Returns the UDP sockets of one side with their last figures. The server's are at the port it
    /// was told to listen on.
    pub fn datagrams(&self, who: Who) -> Vec<&DatagramView> {
        let mut last = BTreeMap::new();
        for output in &self.outputs {
            if let Output::Datagrams(datagrams) = output
                && (datagrams.view.local.port() == Scenario::PORT) == (who == Who::Server)
            {
                last.insert(datagrams.view.sock, &datagrams.view);
            }
        }
        last.into_values().collect()
    }

    /// Returns a thread's name; its number where that is not known.
    pub fn thread_name(&self, tid: u32) -> Untrusted {
        match self.snapshot.threads.iter().find(|thread| thread.tid == tid) {
            Some(thread) => thread.comm.clone(),
            None => format!("thread {tid}").into(),
        }
    }

    /// Returns the share of the processors that others took right before or after the run,
    /// percent; `None` if it was not looked at.
    pub fn busy_percent(&self) -> Option<u64> {
        self.named(Who::Machine, "others", "percent").max()
    }

    /// Draws an exchange step by step, once its request is there.
    pub(super) fn request_steps(&self, sock: SockId, exchange: &ExchangeView) -> Picture {
        let opening = [SliceKind::Handshake, SliceKind::AcceptQueue, SliceKind::Request];
        // A client has its request from the beginning: what comes in pieces is the answer.
        let hidden = if self.is_client(sock) { &opening[..1] } else { &opening };
        self.steps_but(hidden, sock, exchange)
    }

    /// Draws an exchange step by step, without slices of some kinds.
    pub(super) fn steps_but(
        &self,
        hidden: &[SliceKind],
        sock: SockId,
        exchange: &ExchangeView,
    ) -> Picture {
        Picture::Lanes {
            app: if self.is_client(sock) { Who::Client } else { Who::Server },
            steps: self.bare_steps(hidden, sock, exchange),
        }
    }

    /// Returns an exchange step by step.
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

    fn is_client(&self, sock: SockId) -> bool {
        matches!(self.connection(sock), Some(connection) if connection.role == Role::Client)
    }

    /// Returns a connection, as it was at its end.
    pub fn connection(&self, sock: SockId) -> Option<&ConnectionView> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Connection(connection) if connection.view.sock == sock => {
                Some(&connection.view)
            }
            _ => None,
        })
    }
}

/// The value of `name=value` in a line.
fn named_in(line: &str, name: &str) -> Option<u64> {
    let named = |word: &str| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    line.split_whitespace().find_map(named)
}

/// The time that an exchange spent on something, µs.
pub(super) fn time(exchange: &ExchangeView, kind: SliceKind) -> u64 {
    let of_kind = exchange.slices.iter().filter(|slice| slice.kind == kind);
    sum(of_kind.map(|slice| slice.us))
}

/// The sum of figures, which may come from a recording; the largest number if it is larger.
pub(super) fn sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}

/// The one in the middle, the lower of two.
pub(super) fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}
