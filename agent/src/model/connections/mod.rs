//! All connections of the run, their exchanges, and where the time of these went.

mod census;
mod compact;
mod connection;
mod details;
mod end;
mod find;
mod held;
mod loopback_pairs;
mod nested_calls;
mod origin;
mod packed;
mod protocols;
mod scan;
mod settle;
mod stored;
mod sums;
mod table;
mod tls_setup;
mod views;

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::connects::Connects;
use super::event::{Accept, Closed, Exchange, Late, Opened, Recognised, Role, Sign, SockId};
use super::exchange::{self, Ignoring};
use super::figures::ConnectionCount;
use super::histogram::{Precision, WaitHistogram};
use super::output::{Interest, Output};
use super::processors::Processors;
use super::snapshot::{EndView, ExchangeView, Protocol, Slice};
use super::spans::Spans;
use super::times::Times;
use super::unheard::Unheard;
use crate::bounded::eldest;
use census::Counted;
pub use census::UNTOLD_NS;
pub(super) use connection::{Connection, counted_us};
use details::Details;
pub use details::{MAX_DETAILED, MAX_RECENT};
use end::Ended;
pub use end::MAX_LEFT;
pub(super) use end::{Arrival, is_truncated, mark};
pub(super) use held::{Held, HeldBy};
use loopback_pairs::LoopbackPairs;
pub use loopback_pairs::MAX_LOOPBACK_PAIRS;
use nested_calls::NestedCalls;
pub(super) use origin::Origin;
use origin::Origins;
pub use protocols::MAX_HELLOS;
use protocols::{Hellos, Requests};
pub(super) use scan::present;
pub(super) use settle::pid_of;
use table::ConnectionMap;
use views::connection_output;

/// Connections known at once, open or closed.
pub const MAX_CONNECTIONS: usize = 100_000;
/// Share of the open connections that are ordered by age at a time, once the table is full: one of
/// so many.
const OLDEST_SHARE: usize = 100;
/// Closed connections kept for the screen.
pub const MAX_CLOSED_CONNECTIONS: usize = 256;
/// Exchanges in progress that are kept with all their facts.
pub const MAX_CURRENT: usize = 4_096;
/// Connections in a snapshot, those that findings are about left out.
pub const MAX_CONNECTION_VIEWS: usize = 1_000;

/// Called for each exchange that is over, with its facts, its connection if that is known, and its
/// view, to which it may add.
pub(super) trait Told: FnMut(&Exchange, Option<&Connection>, &mut ExchangeView) {}

impl<F: FnMut(&Exchange, Option<&Connection>, &mut ExchangeView)> Told for F {}

/// The place of a side in sums that have both.
fn side(role: Role) -> usize {
    match role {
        Role::Server => 0,
        Role::Client => 1,
    }
}

/// The connections, in the order in which the model calls their methods:
///
/// - a connection begins: [`accepted`](Self::accepted), [`opened`](Self::opened), then
///   [`recognised`](Self::recognised) as its protocol becomes known;
/// - its exchanges: [`exchanged`](Self::exchanged) for each record;
///   [`scanned`](Self::scanned) and [`sampled`](Self::sampled) at a refresh. Both end in `settle`
///   for an exchange that is over, or in `keep_current` for one that goes on;
/// - later knowledge about an exchange: [`acknowledged`](Self::acknowledged),
///   [`confirm`](Self::confirm), [`change`](Self::change);
/// - a connection ends: [`closed`](Self::closed), perhaps followed by
///   [`came_late`](Self::came_late), or, if no record tells, is found by
///   [`counted`](Self::counted) to have ended ([`next_untold`](Self::next_untold)); at the end of the run [`finish`](Self::finish), and
///   [`report`](Self::report) for each that is open;
/// - to show them: [`views`](Self::views), [`find`](Self::find), [`by_thread`](Self::by_thread), [`held`](Self::held),
///   and the counts [`open`](Self::open), [`open_at`](Self::open_at), [`known`](Self::known) and
///   [`gave_way`](Self::gave_way).
#[derive(Debug)]
pub(super) struct Connections {
    table: ConnectionMap,
    /// In the order in which they closed.
    closed: VecDeque<SockId>,
    details: Details,
    nested_calls: NestedCalls,
    origins: Origins,
    loopback_pairs: LoopbackPairs,
    hellos: Hellos,
    requests: Requests,
    /// Peers that watched listeners ignored. They may be ends of connections that watched processes
    /// make.
    pub(super) unheard: Unheard,
    pub(super) spans: Spans,
    pub(super) connects: Connects,
    pub(super) ended: Ended,
    pub(super) processors: Processors,
    pub(super) times: Times,
    /// Time of exchanges, without a trailing delayed ACK, µs.
    pub(super) totals: WaitHistogram,
    /// Exchanges that were left untold, with those that no other stood for by the end.
    pub(super) untold: u64,
    /// Segments sent again, on connections that were accepted and on those that were made.
    pub(super) retransmits: [u64; 2],
    current: usize,
    /// Connections whose present exchange is answered, and not reported yet: no sample need show it
    /// again.
    answered: Vec<SockId>,
    /// Open connections by the newest sample; those in the table before the first.
    open: Option<u64>,
    /// Connections that were ever known.
    known: u64,
    /// Some of those that are open for longest, the oldest last, once the table is full. They may
    /// have gone by now.
    oldest: Vec<(u64, SockId)>,
    /// Open connections that gave way to others.
    gave_way: u64,
    census: Counted,
    /// The slices of the exchange before: their memory serves the next one.
    buf: Vec<Slice>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            table: ConnectionMap::default(),
            closed: VecDeque::new(),
            details: Details::default(),
            nested_calls: NestedCalls::default(),
            origins: Origins::default(),
            loopback_pairs: LoopbackPairs::default(),
            hellos: Hellos::default(),
            requests: Requests::default(),
            unheard: Unheard::default(),
            spans: Spans::default(),
            connects: Connects::default(),
            ended: Ended::default(),
            processors: Processors::default(),
            times: Times::default(),
            totals: WaitHistogram::new(Precision::Fine),
            untold: 0,
            retransmits: [0; 2],
            current: 0,
            answered: Vec::new(),
            open: None,
            known: 0,
            oldest: Vec::new(),
            gave_way: 0,
            census: Counted::default(),
            buf: Vec::new(),
        }
    }

    pub(super) fn get(&self, sock: SockId) -> Option<&Connection> {
        self.table.get(sock)
    }

    /// A pause begins: what goes on ends unseen, and of what comes then the beginning is not seen.
    pub(super) fn pause(&mut self) {
        for connection in self.table.open_ones_mut() {
            connection.take_current(u32::MAX);
            connection.was_left(&mut self.origins);
        }
        self.current = 0;
        self.answered.clear();
    }

    /// A pause has ended that lasted so long.
    pub(super) fn skip(&mut self, lasted_ns: u64) {
        self.times.skip(lasted_ns);
        self.connects.skip(lasted_ns);
    }

    /// Adds a connection that was accepted. Its peer may have been ignored before.
    pub(super) fn accepted(&mut self, accept: &Accept, ignored: Option<Ignoring>, deferred: bool) {
        // It may have been found otherwise a moment before and be at work already, or be over
        // before its accept was reported.
        if let Some(known) = self.table.get(accept.sock)
            && (known.exchanges() > 0 || !known.is_open())
        {
            return;
        }
        let connection = Connection::accepted(accept, ignored, deferred, &mut self.origins);
        self.insert(accept.sock, connection);
    }

    /// Adds a connection that became known otherwise.
    pub(super) fn opened(&mut self, opened: &Opened) {
        self.connects.made(opened);
        if opened.role == Role::Client {
            self.nested_calls.connected();
        }
        // If it is known by its accept, that has more facts.
        if !self.table.contains(opened.sock) {
            let connection = Connection::opened(opened, &mut self.origins);
            self.insert(opened.sock, connection);
            if opened.role == Role::Client {
                self.loopback_pairs.opened(opened.sock, opened.local, opened.peer);
            }
        }
    }

    /// Adds a connection, in the place of another if the table is full.
    fn insert(&mut self, sock: SockId, connection: Connection) {
        if self.table.len() >= MAX_CONNECTIONS && !self.table.contains(sock) {
            self.make_room();
        }
        let stands_for = connection.stands_for();
        match self.table.insert(sock, connection) {
            Some(old) => self.current -= usize::from(old.current().is_some()),
            None => self.known += stands_for,
        }
    }

    /// Forgets the connection that closed first, or else the oldest.
    fn make_room(&mut self) {
        if let Some(oldest) = self.closed.pop_front() {
            return self.forget(oldest);
        }
        if self.oldest.is_empty() {
            let mut all = Vec::with_capacity(self.table.len());
            for (sock, connection) in self.table.iter() {
                all.push((connection.since_ns(), sock));
            }
            self.oldest = eldest(all, OLDEST_SHARE);
        }
        while let Some((_, oldest)) = self.oldest.pop() {
            // Of those that closed since, none is in the table any more.
            if self.table.contains(oldest) {
                self.gave_way += 1;
                return self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, sock: SockId) {
        if let Some(old) = self.table.remove(sock) {
            self.current -= usize::from(old.current().is_some());
            self.loopback_pairs.forget(sock, old.local(), old.peer());
        }
        self.details.forget(sock);
        self.hellos.forget(sock);
        self.requests.forget(sock);
        self.ended.forget(sock);
    }

    /// Notes the protocol of a connection, which becomes known or changes.
    pub(super) fn recognised(&mut self, recognised: &Recognised) {
        if let Some(connection) = self.table.open_mut(recognised.sock) {
            let protocol = protocols::spoken(connection.protocol(), &recognised.sign);
            connection.speaks(protocol, recognised.sign == Sign::FastOpen, &mut self.origins);
            self.hellos.add(recognised.sock, &recognised.sign);
            self.requests.add(recognised.sock, &recognised.sign);
        }
    }

    /// Takes data that came to a connection which this host had closed. Returns the connection, if
    /// it is known.
    pub(super) fn came_late(&mut self, late: &Late, out: &mut [Output]) -> Option<Arrival> {
        if let Some((sock, idle_ns)) = late.lingers {
            let connection = self.table.open_mut(sock)?;
            let sealed =
                connection.is_multiplexed() || connection.protocol() == Some(Protocol::Tls);
            return self.ended.lingered(late, (sock, idle_ns), sealed, &connection.origin);
        }
        let arrival = self.ended.came(late)?;
        if let Some(connection) = self.table.get_mut(arrival.sock) {
            connection.change_end(|end| mark(end, arrival.cause));
        }
        for output in out.iter_mut().rev() {
            if let Output::Connection(report) = output
                && report.view.sock == arrival.sock
            {
                mark(&mut report.view.end, arrival.cause);
                break;
            }
        }
        Some(arrival)
    }

    /// Reports the present exchange of a connection that has ended untold, if it is done.
    pub(super) fn settle_untold(&mut self, now_ns: u64, sock: SockId, told: &mut impl Told) {
        if let Some(connection) = self.table.open_mut(sock)
            && let Some(current) = connection.current()
            && exchange::is_quiet(current)
        {
            let current = current.clone();
            self.settle(now_ns, &current, told);
        }
    }

    /// Closes a connection. Returns it, with its end.
    pub(super) fn closed(
        &mut self,
        closed: &Closed,
        interest: Interest,
        out: &mut Vec<Output>,
    ) -> Option<(&Connection, EndView)> {
        let connection = self.table.open_mut(closed.sock)?;
        self.current -= usize::from(connection.current().is_some());
        let mut end = end::view(closed, connection);
        self.ended.note(closed, connection, &mut end);
        if let Some(connect) = end::refusal(closed, connection, &end)
            && self.connects.connected(&connect)
        {
            out.push(Output::Connect(connect));
        }
        let resent_before = connection.retransmits();
        connection.close(closed, end, &mut self.origins);
        let left = connection.left_waiting();
        self.untold += left;
        self.times.add_untimed(closed.ts_ns, left);
        let resent = connection.retransmits().saturating_sub(resent_before);
        self.retransmits[side(connection.origin.role)] += resent;
        if connection.origin.role == Role::Client {
            self.loopback_pairs.closed(closed.sock, connection.local(), connection.peer());
        }
        if interest.connections {
            let mut view = connection.view(
                closed.sock,
                self.details.get(closed.sock),
                self.hellos.view(closed.sock),
            );
            let first = self.requests.get(closed.sock);
            (view.pipelined, view.first_request, view.streams) =
                (first.count, first.line, first.streams);
            let output = connection_output(closed.ts_ns, connection, view);
            if Ended::waits(closed, connection.origin.role) {
                self.ended.hold(output);
            } else {
                out.push(Output::Connection(output));
            }
        }
        self.closed.push_back(closed.sock);
        if self.closed.len() > MAX_CLOSED_CONNECTIONS
            && let Some(oldest) = self.closed.pop_front()
        {
            self.forget(oldest);
        }
        Some((self.table.get(closed.sock)?, end))
    }

    /// Reports the exchanges that are done at the end of the run. Returns every open connection, by
    /// age.
    pub(super) fn finish(&mut self, now_ns: u64, told: &mut impl Told) -> Vec<SockId> {
        let mut by_age = Vec::new();
        for (sock, connection) in self.table.iter() {
            if connection.is_open() {
                by_age.push((connection.since_ns(), sock));
            }
        }
        by_age.sort_unstable();
        let mut open = Vec::with_capacity(by_age.len());
        for (_, sock) in by_age {
            if let Some(connection) = self.table.get(sock)
                && let Some(current) = connection.current()
                && exchange::is_quiet(current)
            {
                let current = current.clone();
                self.settle(now_ns, &current, told);
            }
            let left = self.table.get(sock).map_or(0, Connection::left_waiting);
            self.untold += left;
            self.times.add_untimed(now_ns, left);
            open.push(sock);
        }
        open
    }

    /// Open connections: as the kernel counts them, or as known before the first sample.
    pub(super) fn open(&self) -> u64 {
        match self.open {
            Some(open) => open,
            None => self.table.len().saturating_sub(self.closed.len()) as u64,
        }
    }

    /// Open connections, of those known, that came from a listener there.
    pub(super) fn open_at(&self, listener: SocketAddr) -> u64 {
        let mut count = 0;
        for (_, connection) in self.table.iter() {
            let (local, is_server) = (connection.local(), connection.origin.role == Role::Server);
            let here = listener.ip().is_unspecified() || listener.ip() == local.ip();
            let is_of_it = is_server && here && local.port() == listener.port();
            count += u64::from(is_of_it && connection.is_open());
        }
        count
    }

    /// Counts the open connections that are known, by side and state.
    pub(super) fn by_state(&self) -> Vec<ConnectionCount> {
        let mut counts: Vec<ConnectionCount> = Vec::new();
        for (_, connection) in self.table.iter() {
            if !connection.is_open() {
                continue;
            }
            let (role, state) = (connection.origin.role, connection.state());
            match counts.iter_mut().find(|one| (one.role, one.state) == (role, state)) {
                Some(one) => one.count += 1,
                None => counts.push(ConnectionCount { role, state, count: 1 }),
            }
        }
        counts
    }

    /// True if a watched process has made a connection.
    pub(super) fn has_calls(&self) -> bool {
        self.nested_calls.has_calls()
    }

    /// Connections that were ever known, with those that others stand for.
    pub(super) fn known(&self) -> u64 {
        self.known
    }

    /// What gave way in each table, by its name.
    pub(super) fn gave_way(&self) -> [(&'static str, u64); 5] {
        [
            ("model_connections", self.gave_way),
            ("model_hellos", self.hellos.gave_way()),
            ("model_requests", self.requests.gave_way()),
            ("model_loopback_pairs", self.loopback_pairs.gave_way()),
            ("model_lingering", self.ended.gave_way()),
        ]
    }
}
