//! Which connections a list shows: the question that a screen asks, and the answer.

use std::cmp::Reverse;
use std::fmt::Write;
use std::net::SocketAddr;

use super::ConnectionView;
use crate::model::event::{Role, SockId, TcpState};
use crate::text::Untrusted;

/// Order of the connections in a list: figures in descending order, names and addresses in
/// ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionOrder {
    /// By the time that the present exchange has taken so far, or that the longest one took.
    #[default]
    Worst,
    /// By the peer's address.
    Address,
    /// By the name of the state.
    State,
    /// By the number of exchanges.
    Exchanges,
    /// By the time of the last exchange.
    Last,
    /// By the time of the longest exchange.
    Longest,
    /// By the time that the application held.
    App,
    /// By the time that its requests waited for upstreams.
    Upstream,
    /// By the time that the kernel held.
    Kernel,
    /// By the time that the peer held.
    Peer,
    /// By the bytes read.
    In,
    /// By the bytes written.
    Out,
    /// By the segments sent again.
    Retransmits,
}

/// The row that a list stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The connection that the worst finding is about; without one the first row.
    #[default]
    Finding,
    /// A row, whichever connection that is; beyond the last means the last.
    Row(usize),
    /// A connection; once it is gone, the row where it was.
    Sock(SockId, usize),
}

/// The question of a list of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionQuery {
    /// Text that a connection must contain, as typed; everything matches an empty one.
    pub filter: String,
    /// The order of the rows.
    pub order: ConnectionOrder,
    /// From the end.
    pub reversed: bool,
    /// The row to stand on.
    pub selection: Selection,
    /// A connection that is wanted whether it is in the window or not: the one that is open.
    pub open: Option<SockId>,
}

/// A window of the list of connections. Filter and order were applied to all connections that the
/// model knows.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundConnections {
    /// The question that it answers.
    pub query: ConnectionQuery,
    /// Connections around the selected one, in order.
    pub rows: Vec<ConnectionView>,
    /// Row of the first of them in the whole list, from 0.
    pub first: usize,
    /// Row of the selected one in the whole list; 0 if the list is empty.
    pub cursor: usize,
    /// Connections that match the filter: the length of the list.
    pub matching: usize,
    /// The connection that was wanted besides, if it is known.
    pub open: Option<Box<ConnectionView>>,
}

/// The value of a row in the column that a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionKey {
    /// A figure, the highest first.
    Figure(Reverse<u64>),
    /// An address.
    Address(SocketAddr),
    /// A name.
    Name(&'static str),
}

/// A connection as filters and orders see it, be it a view or the model's own.
pub trait ListedConnection {
    /// Local and remote address.
    fn ends(&self) -> [SocketAddr; 2];

    /// Process, and its command name.
    fn process(&self) -> (u32, &Untrusted);

    /// State.
    fn state(&self) -> TcpState;

    /// Side on which the process is.
    fn role(&self) -> Role;

    /// True if the thread read or wrote last; where none did, if it accepted the connection.
    fn is_served_by(&self, tid: u32) -> bool;

    /// Name of what most of the longest exchange's time went on; "" where it is not known.
    fn worst_kind(&self) -> &'static str;

    /// Figure of an order; 0 of one that has none.
    fn figure(&self, order: ConnectionOrder) -> u64;
}

/// The beginning of a filter for the connections of a thread; its id follows.
pub const TID: &str = "tid ";

/// A filter, ready to look at many connections.
#[derive(Debug)]
pub struct ConnectionFilter {
    /// In lower case.
    needle: String,
    /// The number that it is, if it is one.
    number: Option<u32>,
    tid: Option<u32>,
    /// An address is written here before it is looked at.
    text: String,
}

impl ConnectionFilter {
    /// Makes a filter of a text as typed.
    pub fn new(text: &str) -> Self {
        let needle = text.to_lowercase();
        let tid = needle.strip_prefix(TID).and_then(|tid| tid.trim().parse().ok());
        Self { number: needle.parse().ok(), tid, needle, text: String::new() }
    }

    /// Looks at the addresses, the process, its pid, the state, what the worst exchange's time went
    /// on, and whether its requests waited for upstreams; for "tid N" at the thread that serves the connection.
    pub fn matches(&mut self, connection: &impl ListedConnection) -> bool {
        if self.needle.is_empty() {
            return true;
        }
        if let Some(tid) = self.tid {
            return connection.is_served_by(tid);
        }
        let needle = self.needle.as_str();
        let (pid, comm) = connection.process();
        let is_client = connection.role() == Role::Client && needle == "client";
        if is_client
            || self.number == Some(pid)
            || names_state(connection.state(), needle)
            || connection.worst_kind().contains(needle)
            || "upstream".starts_with(needle) && connection.figure(ConnectionOrder::Upstream) > 0
            || contains_ignoring_case(comm.as_came(), needle)
        {
            return true;
        }
        // Writing addresses costs most.
        connection.ends().into_iter().any(|end| {
            self.text.clear();
            write!(self.text, "{end}").is_ok() && self.text.contains(needle)
        })
    }
}

/// Screens call an established connection "open".
fn names_state(state: TcpState, needle: &str) -> bool {
    let is_open = state == TcpState::Established && "open".starts_with(needle);
    is_open || state.name().starts_with(needle)
}

/// `needle` is in lower case.
fn contains_ignoring_case(text: &str, needle: &str) -> bool {
    if text.is_ascii() && needle.is_ascii() {
        let (text, needle) = (text.as_bytes(), needle.as_bytes());
        return text.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle));
    }
    text.to_lowercase().contains(needle)
}

impl ConnectionOrder {
    /// Returns the value of a connection in this order.
    pub fn key(self, connection: &impl ListedConnection) -> ConnectionKey {
        match self {
            Self::Address => {
                let [_, peer] = connection.ends();
                ConnectionKey::Address(peer)
            }
            Self::State => ConnectionKey::Name(connection.state().name()),
            _ => ConnectionKey::Figure(Reverse(connection.figure(self))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Listed(&'static str, Role, TcpState);

    impl ListedConnection for Listed {
        fn ends(&self) -> [SocketAddr; 2] {
            ["10.0.0.1:8080".parse().unwrap(), "[2001:db8::7]:40122".parse().unwrap()]
        }

        fn process(&self) -> (u32, &Untrusted) {
            static COMM: std::sync::OnceLock<Untrusted> = std::sync::OnceLock::new();
            (4_242, COMM.get_or_init(|| "API-Server".into()))
        }

        fn state(&self) -> TcpState {
            self.2
        }

        fn role(&self) -> Role {
            self.1
        }

        fn is_served_by(&self, tid: u32) -> bool {
            tid == 4_244
        }

        fn worst_kind(&self) -> &'static str {
            self.0
        }

        fn figure(&self, _: ConnectionOrder) -> u64 {
            7
        }
    }

    #[test]
    fn a_filter_looks_at_each_thing_that_one_would_type() {
        let one = Listed("nagle", Role::Client, TcpState::CloseWait);
        let found = |text: &str| ConnectionFilter::new(text).matches(&one);
        for text in
            ["", "10.0.0.1", ":401", "2001:DB8", "api-s", "4242", "close", "NAGLE", "client"]
        {
            assert!(found(text), "{text}");
        }
        for text in ["424", "wait-", "tid 4242", "server-", "syn"] {
            assert!(!found(text), "{text}");
        }
        assert!(found("tid 4244"));
        assert!(found("TID 4244"));
        let server = Listed("", Role::Server, TcpState::Established);
        assert!(!ConnectionFilter::new("client").matches(&server));
        assert!(ConnectionFilter::new("established").matches(&server));
    }

    #[test]
    fn addresses_are_ordered_as_numbers() {
        let key = |text: &str| ConnectionKey::Address(text.parse().unwrap());
        assert!(key("10.0.0.9:1") < key("10.0.0.10:1"));
        assert!(key("10.0.0.9:900") < key("10.0.0.9:1000"));
        let figure = |value| ConnectionKey::Figure(Reverse(value));
        assert!(figure(10) < figure(9), "the highest first");
    }
}
