//! All connections of the run, their exchanges, and where the time of these went.

mod connection;
mod details;
mod inside;
mod names;

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use super::event::{Accept, Closed, ConnectionSample, Exchange, Opened, Progress, Role, Sample, SockId};
use super::exchange;
use super::histogram::{Precision, WaitHistogram};
use super::output::{ConnectionOutput, ExchangeOutput, Output};
use super::snapshot::ConnectionView;
use super::times::Times;
pub(super) use connection::{Connection, counted_us};
use details::Details;
pub use details::{MAX_DETAILED, MAX_RECENT};
use inside::Inside;
use names::Names;

/// Connections known at once, open or closed.
pub const MAX_CONNECTIONS: usize = 100_000;
/// Closed connections kept for the screen.
pub const MAX_CLOSED_CONNECTIONS: usize = 256;
/// Exchanges in progress that are kept with all their facts.
pub const MAX_CURRENT: usize = 16_384;
/// Connections in a snapshot.
pub const MAX_CONNECTION_VIEWS: usize = 1_000;
/// An answered exchange is reported once nothing has come after it for so long, ns: until then more of the response
/// may come, after that it would be an exchange of its own.
const QUIET_NS: u64 = 1_000_000_000;
/// Threads' exchanges are forgotten after this, ns.
const HINT_SPAN_NS: u64 = 10_000_000_000;

/// Hears of each exchange reported: its facts, its connection if that is known, and the report.
pub(super) trait Told: FnMut(&Exchange, Option<&Connection>, ExchangeOutput) {}

impl<F: FnMut(&Exchange, Option<&Connection>, ExchangeOutput)> Told for F {}

#[derive(Debug)]
pub(super) struct Connections {
    table: HashMap<SockId, Box<Connection>>,
    /// In the order in which they closed.
    closed: VecDeque<SockId>,
    details: Details,
    inside: Inside,
    names: Names,
    pub(super) times: Times,
    /// Time of exchanges, without a trailing delayed ACK, µs.
    pub(super) totals: WaitHistogram,
    current: usize,
    /// Connections whose present exchange is answered, and not reported yet: no sample need show it again.
    answered: Vec<SockId>,
    /// Open connections by the newest sample; those in the table before the first.
    open: Option<u64>,
    /// Connections that were ever known.
    known: u64,
    refused: u64,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            table: HashMap::new(),
            closed: VecDeque::new(),
            details: Details::default(),
            inside: Inside::default(),
            names: Names::default(),
            times: Times::default(),
            totals: WaitHistogram::new(Precision::Fine),
            current: 0,
            answered: Vec::new(),
            open: None,
            known: 0,
            refused: 0,
        }
    }

    pub(super) fn get(&self, sock: SockId) -> Option<&Connection> {
        self.table.get(&sock).map(Box::as_ref)
    }

    pub(super) fn accepted(&mut self, accept: &Accept) {
        // Found otherwise a moment before and at work already, or over before its accept was told.
        if self.table.get(&accept.sock).is_none_or(|known| known.exchanges == 0 && known.is_open()) {
            let connection = Connection::accepted(accept, &mut self.names);
            self.insert(accept.sock, connection);
        }
    }

    pub(super) fn opened(&mut self, opened: &Opened) {
        // An accept says more of the same connection.
        if !self.table.contains_key(&opened.sock) {
            let connection = Connection::opened(opened, &mut self.names);
            self.insert(opened.sock, connection);
        }
    }

    fn insert(&mut self, sock: SockId, connection: Connection) {
        if self.table.len() >= MAX_CONNECTIONS && !self.table.contains_key(&sock) {
            match self.closed.pop_front() {
                Some(oldest) => self.forget(oldest),
                None => {
                    self.refused += 1;
                    return;
                }
            }
        }
        match self.table.insert(sock, Box::new(connection)) {
            Some(old) => self.current -= usize::from(old.current.is_some()),
            None => self.known += 1,
        }
    }

    fn forget(&mut self, sock: SockId) {
        if let Some(old) = self.table.remove(&sock) {
            self.current -= usize::from(old.current.is_some());
        }
        self.details.forget(sock);
    }

    /// An exchange ended, or facts of one that goes on came outside a sample.
    pub(super) fn exchanged(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        if exchange.progress == Progress::Open {
            self.keep_current(exchange);
        } else {
            self.settle(now_ns, exchange, told);
        }
    }

    /// Reports an exchange that is over, unless it has been.
    fn settle(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        let sock = exchange.sock;
        let connection = self.table.get_mut(&sock).map(Box::as_mut);
        if let Some(connection) = &connection
            && connection.knows(exchange.seq)
        {
            self.take_current(sock, exchange.seq);
            self.table.entry(sock).and_modify(|connection| connection.add_late(exchange));
            return;
        }
        let mut view = match &connection {
            Some(connection) => connection.view_of(exchange),
            None => exchange::view(exchange, None),
        };
        view.done = true;
        if let Some(connection) = connection {
            connection.add(exchange, &view);
            match exchange.role {
                Role::Server => view.inside = self.inside.served(exchange),
                Role::Client => {
                    view.within = self.inside.called(exchange);
                    for &(served, seq) in &view.within {
                        self.details.note_inside(served, seq, (sock, exchange.seq));
                    }
                }
            }
            self.details.add(sock, &view);
        }
        self.take_current(sock, exchange.seq);
        self.times.add(now_ns, &view);
        self.totals.record(counted_us(&view));
        let output = ExchangeOutput {
            ts_ns: view.start_ns.saturating_add(view.total_us.saturating_mul(1_000)),
            sock,
            role: exchange.role,
            midway: exchange.midway,
            view,
        };
        told(exchange, self.table.get(&sock).map(Box::as_ref), output);
    }

    /// The facts of the present exchange, unless they are of one up to `seq`, are kept no longer.
    fn take_current(&mut self, sock: SockId, seq: u32) {
        let Some(connection) = self.table.get_mut(&sock) else { return };
        if connection.current.as_ref().is_some_and(|current| current.seq <= seq) {
            connection.current = None;
            self.current -= 1;
        }
    }

    fn keep_current(&mut self, exchange: &Exchange) {
        let Some(connection) = self.table.get_mut(&exchange.sock).filter(|connection| connection.is_open()) else {
            return;
        };
        if connection.knows(exchange.seq) {
            connection.add_late(exchange);
            return;
        }
        connection.touch(exchange);
        let was_answered = connection.current.as_ref().is_some_and(|current| exchange::is_answered(current));
        match &mut connection.current {
            Some(current) => exchange.clone_into(current),
            None if self.current < MAX_CURRENT => {
                connection.current = Some(Box::new(exchange.clone()));
                self.current += 1;
            }
            None => return,
        }
        if exchange::is_answered(exchange) && !was_answered {
            self.answered.push(exchange.sock);
        }
    }

    /// Reports answered exchanges that nothing has come after.
    fn settle_quiet(&mut self, now_ns: u64, told: &mut impl Told) {
        let mut waiting = std::mem::take(&mut self.answered);
        waiting.sort_unstable();
        waiting.dedup();
        for sock in waiting {
            let current = self.table.get(&sock).and_then(|connection| connection.current.as_ref());
            let Some(current) = current.filter(|current| exchange::is_answered(current)) else { continue };
            if is_settled(current, now_ns) {
                let current = current.clone();
                self.settle(now_ns, &current, told);
            } else {
                self.answered.push(sock);
            }
        }
    }

    /// A connection ended.
    pub(super) fn closed(&mut self, closed: &Closed, out: &mut Vec<Output>) -> Option<&Connection> {
        let connection = self.table.get_mut(&closed.sock).filter(|connection| connection.is_open())?;
        self.current -= usize::from(connection.current.is_some());
        connection.close(closed);
        out.push(connection_output(closed.ts_ns, closed.sock, connection, &self.details));
        self.closed.push_back(closed.sock);
        if self.closed.len() > MAX_CLOSED_CONNECTIONS
            && let Some(oldest) = self.closed.pop_front()
        {
            self.forget(oldest);
        }
        self.table.get(&closed.sock).map(Box::as_ref)
    }

    pub(super) fn sampled(&mut self, sample: &Sample, told: &mut impl Told) {
        self.open = Some(sample.connections_open);
        self.inside.keep(sample.ts_ns.saturating_sub(HINT_SPAN_NS));
        for one in &sample.connections {
            self.sampled_one(sample.ts_ns, one, told);
        }
        self.settle_quiet(sample.ts_ns, told);
    }

    fn sampled_one(&mut self, now_ns: u64, sample: &ConnectionSample, told: &mut impl Told) {
        let Some(connection) = self.table.get_mut(&sample.sock).filter(|connection| connection.is_open()) else {
            return;
        };
        connection.sampled(sample);
        match &sample.exchange {
            Some(exchange) if is_settled(exchange, now_ns) => self.settle(now_ns, exchange, told),
            Some(exchange) => self.keep_current(exchange),
            None => {}
        }
    }

    /// The run ends: reports the exchanges that are done, and every open connection.
    pub(super) fn finish(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let mut open: Vec<_> = self.table.iter().filter(|(_, connection)| connection.is_open()).collect();
        open.sort_unstable_by_key(|(sock, connection)| (connection.since_ns, **sock));
        let open: Vec<SockId> = open.into_iter().map(|(&sock, _)| sock).collect();
        for &sock in &open {
            let current = self.table.get(&sock).and_then(|connection| connection.current.clone());
            if let Some(current) = current.filter(|current| exchange::is_quiet(current)) {
                self.settle(now_ns, &current, &mut |_, _, output| out.push(Output::Exchange(output)));
            }
        }
        for sock in open {
            let connection = self.table.get(&sock);
            out.extend(connection.map(|connection| connection_output(now_ns, sock, connection, &self.details)));
        }
    }

    /// Worst first: by the time that the present exchange has taken so far or that the longest one took.
    pub(super) fn views(&self, now_ns: u64) -> Vec<ConnectionView> {
        let rank = |sock: SockId, connection: &Connection| {
            let us = connection.current_us(now_ns).max(connection.worst_us);
            (Reverse(us), connection.closed_ns().is_some(), connection.since_ns, sock)
        };
        let mut order: Vec<_> =
            self.table.iter().map(|(&sock, connection)| (rank(sock, connection), connection)).collect();
        if order.len() > MAX_CONNECTION_VIEWS {
            order.select_nth_unstable_by_key(MAX_CONNECTION_VIEWS, |(rank, _)| *rank);
            order.truncate(MAX_CONNECTION_VIEWS);
        }
        order.sort_unstable_by_key(|(rank, _)| *rank);
        order.iter().map(|((_, _, _, sock), connection)| connection.view(*sock, self.details.get(*sock))).collect()
    }

    /// Open connections: as the kernel counts them, or as known before the first sample.
    pub(super) fn open(&self) -> u64 {
        self.open.unwrap_or_else(|| self.table.len().saturating_sub(self.closed.len()) as u64)
    }

    /// Connections that were ever known.
    pub(super) fn known(&self) -> u64 {
        self.known
    }

    /// Connections that found no room.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Open connections by the threads that read or wrote last.
    pub(super) fn by_thread(&self) -> HashMap<u32, u32> {
        let mut counts = HashMap::new();
        for connection in self.table.values().filter(|connection| connection.is_open()) {
            let (read, written) = connection.tids;
            for tid in read.into_iter().chain(written.filter(|_| written != read)) {
                *counts.entry(tid).or_default() += 1;
            }
        }
        counts
    }
}

/// Answered so long ago that nothing more will come.
fn is_settled(exchange: &Exchange, now_ns: u64) -> bool {
    let acked_ns = exchange.outbound.as_ref().and_then(|outbound| outbound.acked_ns);
    exchange::is_answered(exchange) && acked_ns.is_some_and(|acked_ns| now_ns.saturating_sub(acked_ns) >= QUIET_NS)
}

fn connection_output(ts_ns: u64, sock: SockId, connection: &Connection, details: &Details) -> Output {
    Output::Connection(Box::new(ConnectionOutput {
        ts_ns,
        view: connection.view(sock, details.get(sock)),
        phases_us: connection.phases_us(),
        delayed_acks_sent: connection.delayed_acks_sent(),
        tids: connection.tids,
    }))
}
