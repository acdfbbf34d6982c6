//! All connections of the run, their exchanges, and where the time of these went.

mod compact;
mod connection;
mod details;
mod ends;
mod inside;
mod kept;
mod opening;
mod origin;
mod packed;
mod protocols;
mod sums;
mod table;
mod views;

use std::collections::VecDeque;

use super::event::{
    Accept, Closed, ConnectionSample, Exchange, Opened, Progress, Recognised, Role, Sample, Sign, SockId,
};
use super::exchange;
use super::histogram::{Precision, WaitHistogram};
use super::output::{Interest, Output};
use super::snapshot::{ExchangeView, Slice, SliceKind};
use super::times::Times;
pub(super) use connection::{Connection, counted_us};
use details::Details;
pub use details::{MAX_DETAILED, MAX_RECENT};
use ends::Ends;
pub use ends::MAX_ENDS;
use inside::Inside;
use origin::Origins;
pub use protocols::MAX_HELLOS;
use protocols::{Hellos, Requests};
use table::Table;
use views::connection_output;

/// Connections known at once, open or closed.
pub const MAX_CONNECTIONS: usize = 100_000;
/// Closed connections kept for the screen.
pub const MAX_CLOSED_CONNECTIONS: usize = 256;
/// Exchanges in progress that are kept with all their facts.
pub const MAX_CURRENT: usize = 4_096;
/// Connections in a snapshot.
pub const MAX_CONNECTION_VIEWS: usize = 1_000;
/// An answered exchange is reported once nothing has come after it for so long, ns: until then more of the response
/// may come, after that it would be an exchange of its own.
const QUIET_NS: u64 = 1_000_000_000;
/// Threads' exchanges are forgotten after this, ns.
const HINT_SPAN_NS: u64 = 10_000_000_000;

/// Hears of each exchange that is over: its facts, its connection if that is known, and what they come to, to which it may
/// add.
pub(super) trait Told: FnMut(&Exchange, Option<&Connection>, &mut ExchangeView) {}

impl<F: FnMut(&Exchange, Option<&Connection>, &mut ExchangeView)> Told for F {}

#[derive(Debug)]
pub(super) struct Connections {
    table: Table,
    /// In the order in which they closed.
    closed: VecDeque<SockId>,
    details: Details,
    inside: Inside,
    origins: Origins,
    ends: Ends,
    hellos: Hellos,
    requests: Requests,
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
    /// The slices of the exchange before: their memory serves the next one.
    room: Vec<Slice>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            table: Table::default(),
            closed: VecDeque::new(),
            details: Details::default(),
            inside: Inside::default(),
            origins: Origins::default(),
            ends: Ends::default(),
            hellos: Hellos::default(),
            requests: Requests::default(),
            times: Times::default(),
            totals: WaitHistogram::new(Precision::Fine),
            current: 0,
            answered: Vec::new(),
            open: None,
            known: 0,
            refused: 0,
            room: Vec::new(),
        }
    }

    pub(super) fn get(&self, sock: SockId) -> Option<&Connection> {
        self.table.get(sock)
    }

    pub(super) fn accepted(&mut self, accept: &Accept) {
        // Found otherwise a moment before and at work already, or over before its accept was told.
        if self.table.get(accept.sock).is_none_or(|known| known.exchanges() == 0 && known.is_open()) {
            let connection = Connection::accepted(accept, &mut self.origins);
            self.insert(accept.sock, connection);
        }
    }

    pub(super) fn opened(&mut self, opened: &Opened) {
        // An accept says more of the same connection.
        if !self.table.contains(opened.sock) {
            let connection = Connection::opened(opened, &mut self.origins);
            if self.insert(opened.sock, connection) && opened.role == Role::Client {
                self.ends.opened(opened.sock, opened.local, opened.peer);
            }
        }
    }

    /// True if there was room.
    fn insert(&mut self, sock: SockId, connection: Connection) -> bool {
        if self.table.len() >= MAX_CONNECTIONS && !self.table.contains(sock) {
            match self.closed.pop_front() {
                Some(oldest) => self.forget(oldest),
                None => {
                    self.refused += 1;
                    return false;
                }
            }
        }
        match self.table.insert(sock, connection) {
            Some(old) => self.current -= usize::from(old.current().is_some()),
            None => self.known += 1,
        }
        true
    }

    fn forget(&mut self, sock: SockId) {
        if let Some(old) = self.table.remove(sock) {
            self.current -= usize::from(old.current().is_some());
            self.ends.forget(sock, old.local(), old.peer());
        }
        self.details.forget(sock);
        self.hellos.forget(sock);
        self.requests.forget(sock);
    }

    /// What is spoken on a connection becomes known, or changes.
    pub(super) fn recognised(&mut self, recognised: &Recognised) {
        if let Some(connection) = self.table.get_mut(recognised.sock).filter(|connection| connection.is_open()) {
            let protocol = protocols::spoken(connection.protocol(), &recognised.sign);
            connection.speaks(protocol, recognised.sign == Sign::FastOpen, &mut self.origins);
            self.hellos.add(recognised.sock, &recognised.sign);
            self.requests.add(recognised.sock, &recognised.sign);
        }
    }

    /// An exchange ended, or facts of one that goes on came outside a sample.
    pub(super) fn exchanged(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        if exchange.progress == Progress::Open {
            self.keep_current(now_ns, exchange, told);
        } else {
            self.settle(now_ns, exchange, told);
        }
    }

    /// Reports an exchange that is over, unless it has been.
    fn settle(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        let sock = exchange.sock;
        let mut connection = self.table.get_mut(sock);
        if let Some(connection) = connection.as_mut().filter(|connection| connection.knows(exchange.seq)) {
            connection.add_late(exchange);
            self.current -= usize::from(connection.take_current(exchange.seq));
            return;
        }
        let room = std::mem::take(&mut self.room);
        let mut view = match &connection {
            Some(connection) => connection.view_in(exchange, room),
            None => exchange::view_in(exchange, None, room),
        };
        view.done = true;
        if let Some(connection) = &connection {
            prove(&self.ends, connection, &mut view);
            view.multiplexed = connection.is_multiplexed() || self.hellos.has_http2(sock);
        }
        if let Some(connection) = &mut connection {
            connection.add(exchange, &view, &mut self.origins);
            match exchange.role {
                Role::Server => self.inside.served(exchange, &mut view.inside),
                Role::Client => {
                    view.within = self.inside.called(exchange);
                    for &(served, seq) in &view.within {
                        self.details.note_inside(served, seq, (sock, exchange.seq));
                    }
                }
            }
            self.current -= usize::from(connection.take_current(exchange.seq));
        }
        view.handshake = self.hellos.exchanged(exchange, &view);
        self.times.add(now_ns, &view);
        self.totals.record(counted_us(&view));
        told(exchange, connection.as_deref(), &mut view);
        if connection.is_some() {
            self.details.add(sock, &view);
        }
        self.room = view.slices;
        self.room.clear();
    }

    fn keep_current(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        let Some(connection) = self.table.get_mut(exchange.sock).filter(|connection| connection.is_open()) else {
            return;
        };
        connection.touch(exchange, &mut self.origins);
        if connection.knows(exchange.seq) {
            connection.add_late(exchange);
            return;
        }
        let before = connection.current();
        let was_answered = before.is_some_and(exchange::is_answered);
        if before.is_none() {
            if self.current >= MAX_CURRENT {
                // The sensor does not show an answered one again: it is reported without a second's silence.
                if exchange::is_answered(exchange) {
                    self.settle(now_ns, exchange, told);
                }
                return;
            }
            self.current += 1;
        }
        connection.set_current(exchange);
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
            let current = self.table.get(sock).and_then(Connection::current);
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
    pub(super) fn closed(&mut self, closed: &Closed, interest: Interest, out: &mut Vec<Output>) -> Option<&Connection> {
        let connection = self.table.get_mut(closed.sock).filter(|connection| connection.is_open())?;
        self.current -= usize::from(connection.current().is_some());
        connection.close(closed, &mut self.origins);
        if connection.origin.role == Role::Client {
            self.ends.closed(closed.sock, connection.local(), connection.peer());
        }
        if interest.connections {
            let mut view = connection.view(closed.sock, self.details.get(closed.sock), self.hellos.view(closed.sock));
            let first = self.requests.get(closed.sock);
            (view.pipelined, view.first_request, view.streams) = (first.count, first.line, first.streams);
            out.push(connection_output(closed.ts_ns, connection, view));
        }
        self.closed.push_back(closed.sock);
        if self.closed.len() > MAX_CLOSED_CONNECTIONS
            && let Some(oldest) = self.closed.pop_front()
        {
            self.forget(oldest);
        }
        self.table.get(closed.sock)
    }

    /// These are the connections of a sample, or a part of them.
    pub(super) fn scanned(&mut self, now_ns: u64, scanned: &[ConnectionSample], told: &mut impl Told) {
        scanned.iter().for_each(|one| self.scanned_one(now_ns, one, told));
    }

    /// A sample is complete.
    pub(super) fn sampled(&mut self, sample: &Sample, told: &mut impl Told) {
        self.open = Some(sample.connections_open);
        self.inside.keep(sample.ts_ns.saturating_sub(HINT_SPAN_NS));
        self.settle_quiet(sample.ts_ns, told);
    }

    fn scanned_one(&mut self, now_ns: u64, sample: &ConnectionSample, told: &mut impl Told) {
        let Some(connection) = self.table.get_mut(sample.sock).filter(|connection| connection.is_open()) else {
            return;
        };
        connection.sampled(sample, &mut self.origins);
        match &sample.exchange {
            Some(exchange) if is_settled(exchange, now_ns) => self.settle(now_ns, exchange, told),
            Some(exchange) => self.keep_current(now_ns, exchange, told),
            None => {}
        }
    }

    /// The run ends: reports the exchanges that are done. Gives every open connection.
    pub(super) fn finish(&mut self, now_ns: u64, told: &mut impl Told) -> Vec<SockId> {
        let mut open: Vec<_> = self.table.iter().filter(|(_, connection)| connection.is_open()).collect();
        open.sort_unstable_by_key(|(sock, connection)| (connection.since_ns(), *sock));
        let open: Vec<SockId> = open.into_iter().map(|(sock, _)| sock).collect();
        for &sock in &open {
            let current = self.table.get(sock).and_then(Connection::current).cloned();
            if let Some(current) = current.filter(exchange::is_quiet) {
                self.settle(now_ns, &current, told);
            }
        }
        open
    }

    /// Changes an exchange that is over, wherever it is kept.
    pub(super) fn change(&mut self, (sock, seq): (SockId, u32), change: impl Fn(&mut ExchangeView)) {
        self.details.change(sock, seq, change);
    }

    /// Takes what an end of a connection tells of the ACKs that it delayed. True if the other end may learn from it.
    pub(super) fn acknowledged(&mut self, exchange: &Exchange) -> bool {
        let newest_ns = exchange.delayed_acks.and_then(|acks| acks.newest_ns);
        let (Role::Client, Some(newest_ns)) = (exchange.role, newest_ns) else { return false };
        let Some(connection) = self.table.get(exchange.sock) else { return false };
        self.ends.acknowledged(exchange.sock, connection.local(), connection.peer(), newest_ns)
    }

    /// Marks the delayed ACK of an exchange that has been reported as proved, if by now it is.
    pub(super) fn prove(&mut self, sock: SockId, view: &mut ExchangeView) {
        if let Some(connection) = self.table.get(sock)
            && prove(&self.ends, connection, view)
        {
            self.details.prove(sock, view.seq);
        }
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
}

/// Marks the delayed ACK at the end of an exchange as proved, if the other end recorded it. True if that is news.
fn prove(ends: &Ends, connection: &Connection, view: &mut ExchangeView) -> bool {
    let last = view.slices.last_mut().filter(|last| last.kind == SliceKind::DelayedAck && !last.proved);
    let Some(last) = last else { return false };
    let acked_ns = last.start_ns.saturating_add(last.us.saturating_mul(1_000));
    last.proved = ends.prove(connection.local(), connection.peer(), last.start_ns, acked_ns);
    last.proved
}

/// Answered so long ago that nothing more will come.
fn is_settled(exchange: &Exchange, now_ns: u64) -> bool {
    let acked_ns = exchange.outbound.as_ref().and_then(|outbound| outbound.acked_ns);
    exchange::is_answered(exchange) && acked_ns.is_some_and(|acked_ns| now_ns.saturating_sub(acked_ns) >= QUIET_NS)
}
