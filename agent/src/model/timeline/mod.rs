//! Timelines: the life of a connection and of an exchange as steps between three lanes.
//!
//! [`opening`] has the steps until the accept, [`exchange`] those of one exchange. Both are made
//! of what a snapshot holds. Front-ends draw the steps, and lessons put their own beside them.
//! Names of threads stand in the texts as they came from outside: escape before printing.

mod sentence;

pub(crate) use sentence::comm;
pub use sentence::{part_sentence, sentence, thread_name};

use super::event::{Ending, Role, Side};
use super::snapshot::{ConnectionView, ExchangeView, Holder, Part, Slice, SliceKind, Snapshot};
use crate::text::Untrusted;
use crate::text::bytes;

/// Where something is or happens, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The other side.
    Peer,
    /// This host's kernel.
    Kernel,
    /// The watched process.
    App,
}

/// One step of a timeline. It begins `at` µs since the exchange began; `None` is before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something goes from one lane to the next.
    Arrow {
        /// Beginning, µs.
        at: Option<u64>,
        /// Lane that it leaves.
        from: Lane,
        /// Lane beside it that it reaches.
        to: Lane,
        /// Words for it.
        text: Untrusted,
    },
    /// Somebody holds the exchange.
    Held {
        /// Beginning, µs.
        at: Option<u64>,
        /// Duration, µs.
        us: u64,
        /// Holder.
        owner: Holder,
        /// Somebody waited for it.
        counts: bool,
        /// Words for it.
        text: Untrusted,
    },
    /// Time of no interest.
    Gap {
        /// Words for it.
        text: Untrusted,
    },
}

impl Step {
    /// Moves the step to so many µs later.
    #[must_use]
    pub fn later(mut self, by: u64) -> Self {
        if let Self::Arrow { at: Some(at), .. } | Self::Held { at: Some(at), .. } = &mut self {
            *at = at.saturating_add(by);
        }
        self
    }
}

/// Returns the slices that somebody waited for: all but a delayed ACK at the end.
pub fn counted(exchange: &ExchangeView) -> &[Slice] {
    match exchange.slices.split_last() {
        Some((last, before)) if last.kind == SliceKind::DelayedAck => before,
        _ => &exchange.slices,
    }
}

/// Returns the steps by which a connection came about, up to the accept.
pub fn opening(snapshot: &Snapshot, connection: &ConnectionView) -> Vec<Step> {
    if connection.preexisting {
        return vec![Step::Gap { text: "open before the watch began".into() }];
    }
    match connection.role {
        Role::Client => client_opening(connection),
        Role::Server => server_opening(snapshot, connection),
    }
}

fn client_opening(connection: &ConnectionView) -> Vec<Step> {
    let mut out = vec![early_arrow(Lane::Kernel, Lane::Peer, "SYN")];
    if let Some(us) = connection.handshake_us {
        out.push(early_hold(SliceKind::Handshake, us, "until the peer answered"));
        out.push(early_arrow(Lane::Peer, Lane::Kernel, "SYN-ACK: connected"));
    }
    out
}

fn server_opening(snapshot: &Snapshot, connection: &ConnectionView) -> Vec<Step> {
    let mut out = vec![early_arrow(Lane::Peer, Lane::Kernel, "SYN; SYN-ACK sent back")];
    if let Some(us) = connection.handshake_us {
        out.push(early_hold(SliceKind::Handshake, us, "until the peer completed the handshake"));
    }
    out.push(early_arrow(Lane::Peer, Lane::Kernel, "ACK: into the accept queue"));
    if let Some(us) = connection.queued_us {
        out.push(early_hold(SliceKind::AcceptQueue, us, "in the accept queue"));
    }
    if let Some((tid, _)) = connection.acceptor {
        let who = thread_name(snapshot, connection, tid);
        out.push(early_arrow(Lane::Kernel, Lane::App, compose!("accept() by {}", who)));
    }
    out
}

/// An arrow from before the exchange.
fn early_arrow(from: Lane, to: Lane, text: impl Into<Untrusted>) -> Step {
    Step::Arrow { at: None, from, to, text: text.into() }
}

/// A hold from before the exchange.
fn early_hold(kind: SliceKind, us: u64, text: &str) -> Step {
    Step::Held { at: None, us, owner: kind.owner().into(), counts: true, text: text.into() }
}

/// Returns the steps of an exchange: its slices, and between them what passed from lane to lane.
pub fn exchange(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
) -> Vec<Step> {
    let mut path = Path::new(snapshot, connection, exchange);
    let counted = counted(exchange).len();
    for (index, slice) in exchange.slices.iter().enumerate() {
        path.before(slice.kind);
        let counts = index < counted;
        for part in exchange.parts_of(slice) {
            let mut text = part_sentence(snapshot, connection, exchange, &part);
            if !counts {
                text.push("; nobody waited for it");
            }
            let Part { holder: owner, slice: Slice { us, .. } } = part;
            path.out.push(Step::Held { at: Some(path.at), us, owner, counts, text });
            path.at = path.at.saturating_add(us);
        }
        path.after(slice.kind);
    }
    if exchange.done {
        path.end();
    }
    path.out
}

/// Progress of the bytes of both directions while the slices are walked through.
///
/// For each slice [`Path::before`] draws the arrows without which it could not have begun, and
/// [`Path::after`] those that its end stands for. [`Path::end`] draws what is left. Each arrow of
/// a message is drawn once: `arrive`, `read`, `write` and `send` do nothing the second time.
struct Path<'a> {
    snapshot: &'a Snapshot,
    connection: &'a ConnectionView,
    exchange: &'a ExchangeView,
    /// µs since the exchange began.
    at: u64,
    arrived: bool,
    read: bool,
    written: bool,
    sent: bool,
    acked: bool,
    out: Vec<Step>,
}

impl<'a> Path<'a> {
    fn new(
        snapshot: &'a Snapshot,
        connection: &'a ConnectionView,
        exchange: &'a ExchangeView,
    ) -> Self {
        let (arrived, written) = match connection.role {
            Role::Server => (exchange.request_bytes == 0, exchange.response_bytes == 0),
            Role::Client => (exchange.response_bytes == 0, exchange.request_bytes == 0),
        };
        Self {
            snapshot,
            connection,
            exchange,
            at: 0,
            arrived,
            read: arrived,
            written,
            sent: written,
            acked: written,
            out: Vec::new(),
        }
    }

    /// Draws the arrows without which such a slice could not have begun.
    fn before(&mut self, kind: SliceKind) {
        let server = self.connection.role == Role::Server;
        match kind {
            SliceKind::Handshake => {
                self.arrow(Lane::Peer, Lane::Kernel, "SYN; SYN-ACK sent back");
            }
            SliceKind::AcceptQueue => {
                self.arrow(Lane::Peer, Lane::Kernel, "ACK: into the accept queue");
            }
            SliceKind::Request => {
                if !server {
                    self.send();
                }
                if !std::mem::replace(&mut self.arrived, true) {
                    self.arrow(Lane::Peer, Lane::Kernel, "its first bytes");
                }
            }
            SliceKind::ReceiveQueue | SliceKind::RunQueue => {
                if !server {
                    self.send();
                }
                self.arrive();
            }
            SliceKind::App if server => self.read(),
            SliceKind::Ignored => {
                let text = "ACK, ignored: the accept queue is full";
                self.arrow(Lane::Peer, Lane::Kernel, text);
            }
            SliceKind::Connect | SliceKind::ConnectRefused => {
                self.arrow(Lane::Kernel, Lane::Peer, "SYN");
            }
            SliceKind::Streaming => self.write(),
            SliceKind::SendBuffer
            | SliceKind::Nagle
            | SliceKind::Cork
            | SliceKind::Congestion
            | SliceKind::ReceiveWindow
            | SliceKind::Pacing => {
                if server {
                    self.read();
                }
                self.write();
            }
            SliceKind::AckWait
            | SliceKind::DelayedAck
            | SliceKind::Retransmit
            | SliceKind::Response => {
                if server {
                    self.read();
                }
                self.send();
            }
            SliceKind::App | SliceKind::Throttled | SliceKind::Unknown => {}
        }
    }

    /// Draws the arrows that the end of such a slice stands for.
    fn after(&mut self, kind: SliceKind) {
        match kind {
            SliceKind::AcceptQueue => {
                let acceptor = self.connection.acceptor.as_ref();
                let text = self.call("accept()", 1, acceptor.map(|(tid, _)| *tid));
                self.arrow(Lane::Kernel, Lane::App, text);
            }
            SliceKind::AckWait | SliceKind::DelayedAck => self.acked = false,
            _ => {}
        }
    }

    /// Draws what is left once the exchange is over.
    fn end(&mut self) {
        if self.exchange.unanswered {
            self.without_answer();
        } else if self.connection.role == Role::Client {
            self.send();
            self.read();
        } else {
            self.read();
            self.send();
            if !self.acked {
                self.arrow(Lane::Peer, Lane::Kernel, "ACK of everything");
            }
        }
    }

    /// Draws the end of an exchange without an answer. If no other exchange followed, it ended
    /// with its connection.
    fn without_answer(&mut self) {
        let is_last = u64::from(self.exchange.seq) == self.connection.exchanges;
        let end = if is_last { self.connection.ended } else { None };
        match end {
            Some((Side::Peer, Ending::Fin)) => {
                self.arrow(Lane::Peer, Lane::Kernel, "FIN, without an answer");
            }
            Some((Side::Peer, Ending::Reset)) => {
                self.arrow(Lane::Peer, Lane::Kernel, "RST, without an answer");
            }
            Some((Side::Local, Ending::Fin | Ending::Reset)) => {
                self.arrow(Lane::App, Lane::Kernel, "closed without an answer");
            }
            Some((_, Ending::Timeout)) => {
                let text = "the kernel gave up, without an answer".into();
                self.out.push(Step::Gap { text });
            }
            None => self.out.push(Step::Gap { text: "no answer".into() }),
        }
    }

    fn arrive(&mut self) {
        if !std::mem::replace(&mut self.arrived, true) {
            let (incoming, _) = self.messages();
            self.arrow(Lane::Peer, Lane::Kernel, incoming);
        }
    }

    fn read(&mut self) {
        self.arrive();
        if !std::mem::replace(&mut self.read, true) {
            let text = self.call("read()", self.exchange.reads, self.exchange.read_tid);
            self.arrow(Lane::Kernel, Lane::App, text);
        }
    }

    fn write(&mut self) {
        if !std::mem::replace(&mut self.written, true) {
            let text = self.call("write()", self.exchange.writes, self.exchange.write_tid);
            self.arrow(Lane::App, Lane::Kernel, text);
        }
    }

    fn send(&mut self) {
        self.write();
        if !std::mem::replace(&mut self.sent, true) {
            let (_, outgoing) = self.messages();
            self.arrow(Lane::Kernel, Lane::Peer, outgoing);
        }
    }

    fn arrow(&mut self, from: Lane, to: Lane, text: impl Into<Untrusted>) {
        self.out.push(Step::Arrow { at: Some(self.at), from, to, text: text.into() });
    }

    /// Names of the incoming and of the outgoing message, with their bytes.
    fn messages(&self) -> (String, String) {
        let request = format!("request, {}", bytes(self.exchange.request_bytes));
        let response = format!("response, {}", bytes(self.exchange.response_bytes));
        match self.connection.role {
            Role::Server => (request, response),
            Role::Client => (response, request),
        }
    }

    /// A call with its count and its thread: "read() ×3 by worker-1".
    fn call(&self, name: &str, count: u32, tid: Option<u32>) -> Untrusted {
        let mut text = Untrusted::from(name);
        if count > 1 {
            text.push(format!(" ×{count}"));
        }
        if let Some(tid) = tid {
            text.push(" by ");
            text.push(thread_name(self.snapshot, self.connection, tid));
        }
        text
    }
}
