//! Connections as every front-end renders them.

use std::net::SocketAddr;

use super::{
    ConnectionOrder, EndView, ExchangeView, Holder, HolderTimes, ListedConnection, OwnerTimes,
    Protocol, TlsView,
};
use crate::model::event::{
    Ending, HoldReason, Http2Streams, RequestLine, Role, Side, SockId, TcpState,
};
use crate::text::Untrusted;

/// Written bytes were held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldView {
    /// Why.
    pub reason: HoldReason,
    /// Number of times.
    pub count: u64,
    /// Sum of their durations, µs.
    pub us: u64,
}

/// The wait after the last byte was sent that held nobody: the peer's delayed ACK, µs. It is a
/// slice like any other, but is left out of verdicts and of the owners' sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trailing {
    /// Number of times.
    pub count: u64,
    /// Sum of their durations, µs.
    pub us: u64,
}

/// One connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionView {
    /// The connection.
    pub sock: SockId,
    /// On which side the process is.
    pub role: Role,
    /// The listener it came from.
    pub listener: Option<SockId>,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name: escape before printing.
    pub comm: Untrusted,
    /// Its protocol; `None` if its first bytes told nothing.
    pub protocol: Option<Protocol>,
    /// Facts from its hellos, if it is TLS.
    pub tls: Option<TlsView>,
    /// Its SYN carried data that was taken (TCP Fast Open).
    pub fast_open: bool,
    /// Its bytes pass through Multipath TCP, where reads and writes are not seen: neither exchanges
    /// nor bytes are known.
    pub multipath: bool,
    /// State; `Closed` once it has ended.
    pub state: TcpState,
    /// It was open at the attach.
    pub preexisting: bool,
    /// Time at which it was accepted, made, or found.
    pub since_ns: u64,
    /// Its end.
    pub closed_ns: Option<u64>,
    /// Side that ended it, and the way it did.
    pub ended: Option<(Side, Ending)>,
    /// More on its end.
    pub end: EndView,
    /// SYN-ACK → final ACK, µs.
    pub handshake_us: Option<u64>,
    /// Wait in the accept queue, µs.
    pub queued_us: Option<u64>,
    /// Of one that was made: asked for → established, µs.
    pub connect_us: Option<u64>,
    /// Of one that was made: SYNs that were sent again.
    pub syns_again: u64,
    /// Thread that accepted it, and its name: escape before printing.
    pub acceptor: Option<(u32, Untrusted)>,
    /// It carries several requests at a time.
    pub multiplexed: bool,
    /// Lower bound of the requests of HTTP/1 that began it at once, if they were several; else 0 or
    /// 1.
    pub pipelined: u8,
    /// The first request of HTTP/1, if it was asked for: escape before printing.
    pub first_request: Option<RequestLine>,
    /// Streams of HTTP/2 in the clear: each is a request.
    pub streams: Option<Http2Streams>,
    /// Exchanges so far.
    pub exchanges: u64,
    /// Where their time went.
    pub times: OwnerTimes,
    /// The same time by holder: waits for upstreams are told apart.
    pub held: HolderTimes,
    /// Exchange that it is in now, if any, with its time so far.
    pub current: Option<ExchangeView>,
    /// The last ones that are over, oldest first; bounded.
    pub recent: Vec<ExchangeView>,
    /// The longest of all that are over.
    pub worst: Option<ExchangeView>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes that are there and not read.
    pub unread_bytes: u64,
    /// Bytes written and not sent.
    pub unsent_bytes: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Holds by reason.
    pub holds: Vec<HoldView>,
    /// ACKs that the peer delayed and that held nobody.
    pub trailing: Trailing,
}

impl ConnectionView {
    /// A connection of which nothing is known but its ends.
    pub fn new(sock: SockId, role: Role, local: SocketAddr, peer: SocketAddr) -> Self {
        Self {
            sock,
            role,
            listener: None,
            local,
            peer,
            pid: 0,
            comm: Untrusted::default(),
            protocol: None,
            tls: None,
            fast_open: false,
            multipath: false,
            state: TcpState::Established,
            preexisting: false,
            since_ns: 0,
            closed_ns: None,
            ended: None,
            end: EndView::default(),
            handshake_us: None,
            queued_us: None,
            connect_us: None,
            syns_again: 0,
            acceptor: None,
            multiplexed: false,
            pipelined: 0,
            first_request: None,
            streams: None,
            exchanges: 0,
            times: OwnerTimes::default(),
            held: HolderTimes::default(),
            current: None,
            recent: Vec::new(),
            worst: None,
            bytes_in: 0,
            bytes_out: 0,
            unread_bytes: 0,
            unsent_bytes: 0,
            retransmits: 0,
            holds: Vec::new(),
            trailing: Trailing::default(),
        }
    }

    /// Returns the exchange that it is in, or that was its last.
    pub fn last(&self) -> Option<&ExchangeView> {
        self.current.as_ref().or(self.recent.last())
    }

    /// Returns its longest exchange, be it over or not.
    pub fn longest(&self) -> Option<&ExchangeView> {
        self.worst.iter().chain(&self.current).max_by_key(|exchange| exchange.counted_us())
    }
}

impl ListedConnection for ConnectionView {
    fn ends(&self) -> [SocketAddr; 2] {
        [self.local, self.peer]
    }

    fn process(&self) -> (u32, &Untrusted) {
        (self.pid, &self.comm)
    }

    fn state(&self) -> TcpState {
        self.state
    }

    fn role(&self) -> Role {
        self.role
    }

    fn is_served_by(&self, tid: u32) -> bool {
        match self.last() {
            Some(exchange) => [exchange.read_tid, exchange.write_tid].contains(&Some(tid)),
            None => matches!(&self.acceptor, Some((acceptor, _)) if *acceptor == tid),
        }
    }

    fn worst_kind(&self) -> &'static str {
        match self.longest().and_then(|exchange| exchange.verdict) {
            Some(verdict) => verdict.kind.name(),
            None => "",
        }
    }

    fn figure(&self, order: ConnectionOrder) -> u64 {
        match order {
            ConnectionOrder::Exchanges => self.exchanges,
            ConnectionOrder::Last => self.last().map_or(0, ExchangeView::counted_us),
            ConnectionOrder::Worst | ConnectionOrder::Longest => {
                self.longest().map_or(0, ExchangeView::counted_us)
            }
            ConnectionOrder::App => self.held.of(Holder::App),
            ConnectionOrder::Upstream => self.held.of(Holder::Upstream),
            ConnectionOrder::Kernel => self.held.of(Holder::Kernel),
            ConnectionOrder::Peer => self.held.of(Holder::Peer),
            ConnectionOrder::In => self.bytes_in,
            ConnectionOrder::Out => self.bytes_out,
            ConnectionOrder::Retransmits => self.retransmits,
            ConnectionOrder::Address | ConnectionOrder::State => 0,
        }
    }
}
