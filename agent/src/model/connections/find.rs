//! Lists of connections: filtered and ordered over all that are known, with views of only those in
//! a window.

use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Connection, Connections, MAX_CONNECTION_VIEWS};
use crate::model::event::{Connect, Role, SockId, TcpState};
use crate::model::exchange;
use crate::model::snapshot::{
    ConnectionFilter, ConnectionKey, ConnectionOrder, ConnectionQuery, ConnectionView,
    FoundConnections, Holder, ListedConnection, Selection,
};
use crate::text::Untrusted;

/// Rows before and behind the selected one in a window: more than a screen has.
const AROUND: usize = 128;

/// A connection of the list: one that is known, or one that is asked for.
#[derive(Clone, Copy)]
enum Row<'a> {
    Known(SockId, &'a Connection),
    Connecting(&'a Connect),
}

/// A row, and what its key takes.
struct Listed<'a> {
    all: &'a Connections,
    now_ns: u64,
    row: Row<'a>,
}

/// Place of a row in the list. Rows of the same key stand by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: ConnectionKey,
    is_closed: bool,
    since_ns: u64,
    sock: SockId,
}

impl Connections {
    /// Number of connections in a list without a filter.
    pub(in crate::model) fn listed(&self) -> usize {
        self.table.len() + self.connects.pending().len()
    }

    /// Returns the worst connections first: by the time that the present exchange has taken so far
    /// or that the longest one took. Those that `wanted` names follow, if they are not among them.
    pub(in crate::model) fn views(
        &self,
        now_ns: u64,
        wanted: impl Iterator<Item = SockId>,
    ) -> Vec<ConnectionView> {
        let mut order = Vec::with_capacity(self.listed().min(2 * MAX_CONNECTION_VIEWS));
        for row in self.rows() {
            if order.len() == 2 * MAX_CONNECTION_VIEWS {
                order.select_nth_unstable_by_key(MAX_CONNECTION_VIEWS, |(place, _)| *place);
                order.truncate(MAX_CONNECTION_VIEWS);
            }
            order.push((self.place(row, ConnectionOrder::Worst, now_ns), row));
        }
        order.sort_unstable_by_key(|(place, _)| *place);
        order.truncate(MAX_CONNECTION_VIEWS);
        let mut views: Vec<_> = order.iter().map(|(_, row)| self.view_of_row(*row)).collect();
        for sock in wanted {
            if views.iter().all(|view| view.sock != sock) {
                views.extend(self.view_by_sock(sock));
            }
        }
        views
    }

    /// Answers a query over all connections. `findings` are the sockets that findings are about,
    /// worst first.
    pub(in crate::model) fn find(
        &self,
        now_ns: u64,
        query: &ConnectionQuery,
        findings: impl Iterator<Item = SockId>,
    ) -> FoundConnections {
        let mut filter = ConnectionFilter::new(&query.filter);
        let mut places = Vec::new();
        for row in self.rows() {
            if filter.matches(&Listed { all: self, now_ns, row }) {
                places.push((self.place(row, query.order, now_ns), row));
            }
        }
        let compare = |one: &(Place, Row<'_>), other: &(Place, Row<'_>)| {
            let order = one.0.cmp(&other.0);
            if query.reversed { order.reverse() } else { order }
        };
        let cursor = cursor(&places, query.selection, findings, compare);
        let first = cursor.saturating_sub(AROUND);
        let end = (cursor + AROUND + 1).min(places.len());
        // Only the window is put in order.
        if first > 0 && first < places.len() {
            places.select_nth_unstable_by(first, compare);
        }
        let behind = &mut places[first.min(end)..];
        if end - first < behind.len() {
            behind.select_nth_unstable_by(end - first, compare);
        }
        let window = &mut behind[..end - first];
        window.sort_unstable_by(compare);
        let rows = window.iter().map(|(_, row)| self.view_of_row(*row)).collect();
        let open = query.open.and_then(|sock| self.view_by_sock(sock)).map(Box::new);
        FoundConnections { query: query.clone(), rows, first, cursor, matching: places.len(), open }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let known = self.table.iter().map(|(sock, connection)| Row::Known(sock, connection));
        known.chain(self.connects.pending().map(Row::Connecting))
    }

    fn view_by_sock(&self, sock: SockId) -> Option<ConnectionView> {
        if let Some(connection) = self.table.get(sock) {
            return Some(self.view(sock, connection));
        }
        let connect = self.connects.pending().find(|connect| connect.sock == sock)?;
        Some(connecting(connect))
    }

    fn view_of_row(&self, row: Row<'_>) -> ConnectionView {
        match row {
            Row::Known(sock, connection) => self.view(sock, connection),
            Row::Connecting(connect) => connecting(connect),
        }
    }

    fn place(&self, row: Row<'_>, order: ConnectionOrder, now_ns: u64) -> Place {
        let key = order.key(&Listed { all: self, now_ns, row });
        match row {
            Row::Known(sock, connection) => Place {
                key,
                is_closed: connection.closed_ns().is_some(),
                since_ns: connection.since_ns(),
                sock,
            },
            Row::Connecting(connect) => {
                Place { key, is_closed: false, since_ns: connect.asked_ns, sock: connect.sock }
            }
        }
    }
}

/// Returns the selected row.
fn cursor(
    places: &[(Place, Row<'_>)],
    selection: Selection,
    mut findings: impl Iterator<Item = SockId>,
    compare: impl Fn(&(Place, Row<'_>), &(Place, Row<'_>)) -> Ordering,
) -> usize {
    let last = places.len().saturating_sub(1);
    let row_of = |sock: SockId| {
        let found = places.iter().find(|(place, _)| place.sock == sock)?;
        Some(places.iter().filter(|other| compare(other, found) == Ordering::Less).count())
    };
    match selection {
        Selection::Finding => findings.find_map(row_of).unwrap_or(0),
        Selection::Row(row) => row.min(last),
        Selection::Sock(sock, row) => row_of(sock).unwrap_or(row.min(last)),
    }
}

/// View of a connection that is asked for, and that nobody has answered yet.
fn connecting(connect: &Connect) -> ConnectionView {
    // The iterator that shows such a connection does not say from which address it is asked for.
    let local = match connect.peer {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let syns_again = connect.syns.saturating_sub(1).into();
    ConnectionView {
        state: TcpState::SynSent,
        pid: connect.pid,
        comm: connect.comm.clone(),
        since_ns: connect.asked_ns,
        syns_again,
        retransmits: syns_again,
        ..ConnectionView::new(connect.sock, Role::Client, local, connect.peer)
    }
}

impl ListedConnection for Listed<'_> {
    fn ends(&self) -> [SocketAddr; 2] {
        match self.row {
            Row::Known(_, connection) => [connection.local(), connection.peer()],
            // Its own end is not known.
            Row::Connecting(connect) => [connect.peer; 2],
        }
    }

    fn process(&self) -> (u32, &Untrusted) {
        match self.row {
            Row::Known(_, connection) => (connection.origin.pid, &connection.origin.comm),
            Row::Connecting(connect) => (connect.pid, &connect.comm),
        }
    }

    fn state(&self) -> TcpState {
        match self.row {
            Row::Known(_, connection) => connection.state(),
            Row::Connecting(_) => TcpState::SynSent,
        }
    }

    fn role(&self) -> Role {
        match self.row {
            Row::Known(_, connection) => connection.origin.role,
            Row::Connecting(_) => Role::Client,
        }
    }

    fn is_served_by(&self, tid: u32) -> bool {
        match self.row {
            Row::Known(_, connection) => match connection.tids() {
                (None, None) => connection.origin.acceptor == tid,
                (reader, writer) => [reader, writer].contains(&Some(tid)),
            },
            Row::Connecting(connect) => connect.tid == Some(tid),
        }
    }

    fn worst_kind(&self) -> &'static str {
        let Row::Known(sock, connection) = self.row else { return "" };
        let worst = self.all.details.get(sock).and_then(|detail| detail.worst());
        let current = connection.current().map(|current| connection.view_of(current));
        let longest = worst.into_iter().chain(current).max_by_key(|exchange| exchange.counted_us());
        match longest.and_then(|exchange| exchange.verdict) {
            Some(verdict) => verdict.kind.name(),
            None => "",
        }
    }

    fn figure(&self, order: ConnectionOrder) -> u64 {
        let (sock, connection) = match self.row {
            Row::Known(sock, connection) => (sock, connection),
            Row::Connecting(connect) => return self.figure_of_connect(connect, order),
        };
        let current = connection.current();
        match order {
            ConnectionOrder::Exchanges => connection.exchanges().into(),
            ConnectionOrder::Last => match current {
                Some(current) if exchange::is_quiet(current) => {
                    connection.view_of(current).counted_us()
                }
                Some(_) => connection.current_us(self.now_ns),
                None => {
                    match self.all.details.get(sock).and_then(|detail| detail.recent().last()) {
                        Some(last) => last.counted_us(),
                        None => 0,
                    }
                }
            },
            ConnectionOrder::Worst | ConnectionOrder::Longest => {
                connection.current_us(self.now_ns).max(connection.worst_us.into())
            }
            ConnectionOrder::App => connection.held().of(Holder::App),
            ConnectionOrder::Upstream => connection.held().of(Holder::Upstream),
            ConnectionOrder::Kernel => connection.held().of(Holder::Kernel),
            ConnectionOrder::Peer => connection.held().of(Holder::Peer),
            ConnectionOrder::In => connection.bytes().0,
            ConnectionOrder::Out => connection.bytes().1,
            ConnectionOrder::Retransmits => connection.all_retransmits(),
            ConnectionOrder::Address | ConnectionOrder::State => 0,
        }
    }
}

impl Listed<'_> {
    fn figure_of_connect(&self, connect: &Connect, order: ConnectionOrder) -> u64 {
        match order {
            ConnectionOrder::Worst => self.now_ns.saturating_sub(connect.asked_ns) / 1_000,
            ConnectionOrder::Retransmits => connect.syns.saturating_sub(1).into(),
            _ => 0,
        }
    }
}
