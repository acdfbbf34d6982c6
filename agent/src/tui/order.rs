//! Sorting and filtering of the rows of each list.

use std::cmp::Reverse;

use super::list::Item;
use super::text::total;
use crate::model::event::TcpState;
use crate::model::snapshot::{
    ConnectionFilter, ConnectionKey, ConnectionOrder, ConnectionView, ExchangeView, Finding,
    FoundConnections, ListenerView, Snapshot, ThreadView,
};
use crate::model::timeline::counted;

/// A column to sort a list by: figures in descending order, text in ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The order of the snapshot.
    Known,
    /// Accept-queue depth.
    Depth,
    /// Overflows.
    Overflow,
    /// 99th percentile of the wait.
    Wait,
    /// Accepts a second.
    Accepts,
    /// Address of the connection.
    Address,
    /// State of the connection.
    State,
    /// Exchanges so far.
    Exchanges,
    /// Time of the last exchange.
    Last,
    /// Time of the longest exchange.
    Worst,
    /// Time that the app held.
    App,
    /// Time that upstreams held.
    Upstream,
    /// Time that the kernel held.
    Kernel,
    /// Time that the peer held.
    Peer,
    /// Bytes read.
    In,
    /// Bytes written.
    Out,
    /// Segments sent again.
    Retransmits,
    /// Name of the thread.
    Thread,
    /// Reads a second.
    Reads,
    /// Writes a second.
    Writes,
    /// Share of the time on a CPU.
    Busy,
    /// Share of the time waiting for a CPU.
    Waits,
    /// Share of the time asleep.
    Asleep,
    /// Connections served.
    Connections,
}

impl By {
    /// Returns the name in the footer; the order of the snapshot has a name in each list.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Known => "",
            Self::Depth => "depth",
            Self::Overflow => "overflow",
            Self::Wait => "wait p99",
            Self::Accepts => "accepts/s",
            Self::Address => "address",
            Self::State => "state",
            Self::Exchanges => "exchanges",
            Self::Last => "last time",
            Self::Worst => "worst time",
            Self::App => "app's time",
            Self::Upstream => "upstreams' time",
            Self::Kernel => "kernel's time",
            Self::Peer => "peer's time",
            Self::In => "bytes in",
            Self::Out => "bytes out",
            Self::Retransmits => "resent",
            Self::Thread => "name",
            Self::Reads => "reads/s",
            Self::Writes => "writes/s",
            Self::Busy => "busy",
            Self::Waits => "waits for CPU",
            Self::Asleep => "asleep",
            Self::Connections => "connections",
        }
    }
}

impl By {
    /// Returns the order of connections by this column.
    pub(super) fn connection_order(self) -> ConnectionOrder {
        match self {
            Self::Address => ConnectionOrder::Address,
            Self::State => ConnectionOrder::State,
            Self::Exchanges => ConnectionOrder::Exchanges,
            Self::Last => ConnectionOrder::Last,
            Self::Worst => ConnectionOrder::Longest,
            Self::App => ConnectionOrder::App,
            Self::Upstream => ConnectionOrder::Upstream,
            Self::Kernel => ConnectionOrder::Kernel,
            Self::Peer => ConnectionOrder::Peer,
            Self::In => ConnectionOrder::In,
            Self::Out => ConnectionOrder::Out,
            Self::Retransmits => ConnectionOrder::Retransmits,
            _ => ConnectionOrder::Worst,
        }
    }
}

/// The value of a row in the column that the list is sorted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A figure, the highest first.
    Figure(Reverse<u64>),
    /// Text.
    Text(String),
    /// The value of a connection.
    Connection(ConnectionKey),
}

fn figure(value: u64) -> Key {
    Key::Figure(Reverse(value))
}

/// Returns the value of a rate or share.
fn fraction(value: f64) -> Key {
    figure((value.max(0.0) * 1e6) as u64)
}

impl Item for ListenerView {
    const ORDERS: &'static [By] = &[By::Known, By::Depth, By::Overflow, By::Wait, By::Accepts];

    const AS_GIVEN: &'static str = "as found";

    fn all(snapshot: &Snapshot) -> &[Self] {
        &snapshot.listeners
    }

    fn id(&self) -> u64 {
        self.sock
    }

    fn key(&self, by: By) -> Key {
        match by {
            By::Overflow => figure(self.totals.overflows()),
            By::Wait => figure(self.wait.p99),
            By::Accepts => fraction(self.rates.accepts),
            _ => figure(self.depth.into()),
        }
    }

    /// Looks at the address, the process and the holders' pids.
    fn matches(&self, needle: &str) -> bool {
        self.local.to_string().contains(needle)
            || self.comm.as_came().to_lowercase().contains(needle)
            || self.holders.iter().chain([&self.pid]).any(|pid| pid.to_string() == needle)
    }
}

impl Item for ConnectionView {
    const ORDERS: &'static [By] = &[
        By::Known,
        By::Address,
        By::State,
        By::Exchanges,
        By::Last,
        By::App,
        By::Upstream,
        By::Kernel,
        By::Peer,
        By::Worst,
        By::In,
        By::Out,
        By::Retransmits,
    ];

    const AS_GIVEN: &'static str = "worst first";

    fn all(snapshot: &Snapshot) -> &[Self] {
        &snapshot.connections
    }

    fn id(&self) -> u64 {
        self.sock
    }

    fn key(&self, by: By) -> Key {
        Key::Connection(by.connection_order().key(self))
    }

    fn count(snapshot: &Snapshot) -> usize {
        match &snapshot.found {
            Some(_) => snapshot.connections_listed,
            None => snapshot.connections.len(),
        }
    }

    fn found(snapshot: &Snapshot) -> Option<&FoundConnections> {
        snapshot.found.as_ref()
    }

    fn rows_of(found: &FoundConnections) -> &[Self] {
        &found.rows
    }

    /// As [`ConnectionFilter::matches`].
    fn matches(&self, needle: &str) -> bool {
        ConnectionFilter::new(needle).matches(self)
    }
}

impl Item for ThreadView {
    const ORDERS: &'static [By] = &[
        By::Known,
        By::Thread,
        By::Accepts,
        By::Reads,
        By::Writes,
        By::Busy,
        By::Waits,
        By::Asleep,
        By::Connections,
    ];

    const AS_GIVEN: &'static str = "busiest first";

    fn all(snapshot: &Snapshot) -> &[Self] {
        &snapshot.threads
    }

    fn id(&self) -> u64 {
        self.tid.into()
    }

    fn subject(_: &Finding) -> Option<u64> {
        None
    }

    fn key(&self, by: By) -> Key {
        match by {
            By::Thread => Key::Text(self.comm.as_came().to_owned()),
            By::Accepts => fraction(self.accepts),
            By::Reads => fraction(self.reads),
            By::Writes => fraction(self.writes),
            By::Waits => fraction(self.waits.unwrap_or(0.0)),
            By::Asleep => fraction(self.asleep.unwrap_or(0.0)),
            By::Connections => figure(self.connections.into()),
            _ => fraction(self.busy.unwrap_or(0.0)),
        }
    }

    fn matches(&self, needle: &str) -> bool {
        self.comm.as_came().to_lowercase().contains(needle)
            || [self.pid, self.tid].iter().any(|id| id.to_string() == needle)
    }
}

/// Returns the exchange that a connection is in, or that was its last.
pub(super) fn last(connection: &ConnectionView) -> Option<&ExchangeView> {
    connection.last()
}

/// Returns the longest exchange of a connection, be it over or not.
pub(super) fn worst(connection: &ConnectionView) -> Option<&ExchangeView> {
    connection.longest()
}

/// Returns the time of an exchange without a delayed ACK at its end, µs.
pub(super) fn counted_us(exchange: &ExchangeView) -> u64 {
    exchange.counted_us()
}

/// Returns for how long the peer delayed the ACK that nobody waited for, µs.
pub(super) fn trailing_us(exchange: &ExchangeView) -> u64 {
    total(exchange.slices[counted(exchange).len()..].iter().map(|slice| slice.us))
}

/// Returns the name of a state: the kernel's, but for the one in which all is well.
pub(super) fn state(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "open",
        _ => state.name(),
    }
}
