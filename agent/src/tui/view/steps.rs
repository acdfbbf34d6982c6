//! The life of a connection and of an exchange as steps between three lanes.

use super::words;
use crate::model::event::{Ending, Role, Side};
use crate::model::snapshot::{ConnectionView, ExchangeView, Owner, SliceKind, Snapshot};
use crate::tui::order::counted;
use crate::tui::text::bytes;

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

/// A step, with its beginning in µs since the exchange began; `None` where that is before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something goes from one lane to the next.
    Arrow {
        /// When.
        at: Option<u64>,
        /// From where.
        from: Lane,
        /// To the lane beside it.
        to: Lane,
        /// What it is.
        text: String,
    },
    /// Somebody holds the exchange for so many µs.
    Held {
        /// When it begins.
        at: Option<u64>,
        /// How long it takes, µs.
        us: u64,
        /// Who.
        owner: Owner,
        /// With false it held nobody.
        counts: bool,
        /// What it is.
        text: String,
    },
    /// Time of no interest.
    Gap {
        /// What it is.
        text: String,
    },
}

impl Step {
    /// The same, so many µs later.
    #[cfg(feature = "lessons")]
    pub(crate) fn later(mut self, by: u64) -> Self {
        if let Self::Arrow { at: Some(at), .. } | Self::Held { at: Some(at), .. } = &mut self {
            *at = at.saturating_add(by);
        }
        self
    }
}

/// How the connection came about, up to the accept.
pub(super) fn opening(snapshot: &Snapshot, connection: &ConnectionView) -> Vec<Step> {
    let mut out = Vec::new();
    let arrow = |from, to, text: &str| Step::Arrow { at: None, from, to, text: text.to_owned() };
    if connection.midway {
        out.push(Step::Gap { text: "open before the watch began".to_owned() });
        return out;
    }
    let held = |kind: SliceKind, us, text: String| Step::Held {
        at: None,
        us,
        owner: kind.owner(),
        counts: true,
        text,
    };
    if connection.role == Role::Client {
        out.push(arrow(Lane::Kernel, Lane::Peer, "SYN"));
        if let Some(us) = connection.handshake_us {
            out.push(held(SliceKind::Handshake, us, "until the peer answered".to_owned()));
            out.push(arrow(Lane::Peer, Lane::Kernel, "SYN-ACK: connected"));
        }
        return out;
    }
    out.push(arrow(Lane::Peer, Lane::Kernel, "SYN; SYN-ACK goes back"));
    if let Some(us) = connection.handshake_us {
        out.push(held(
            SliceKind::Handshake,
            us,
            "until the peer completed the handshake".to_owned(),
        ));
    }
    out.push(arrow(Lane::Peer, Lane::Kernel, "ACK: into the accept queue"));
    if let Some(us) = connection.queued_us {
        out.push(held(SliceKind::AcceptQueue, us, "in the accept queue".to_owned()));
    }
    if let Some((tid, _)) = connection.acceptor {
        let who = words::thread_name(snapshot, connection, tid);
        out.push(arrow(Lane::Kernel, Lane::App, &format!("accept() by {who}")));
    }
    out
}

/// What happened in an exchange: its slices, and between them what passed from lane to lane.
pub(crate) fn exchange(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
) -> Vec<Step> {
    let mut path = Path::new(snapshot, connection, exchange);
    let counted = counted(exchange).len();
    for (at, slice) in exchange.slices.iter().enumerate() {
        path.before(slice.kind);
        let counts = at < counted;
        let text = match counts {
            true => words::sentence(snapshot, connection, exchange, slice),
            false => {
                words::sentence(snapshot, connection, exchange, slice) + "; nobody waited for it"
            }
        };
        path.out.push(Step::Held {
            at: Some(path.at),
            us: slice.us,
            owner: slice.kind.owner(),
            counts,
            text,
        });
        path.at = path.at.saturating_add(slice.us);
        path.after(slice.kind);
    }
    if exchange.done {
        path.end();
    }
    path.out
}

/// How far the bytes of both directions have got while the slices are walked through.
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

    /// How it ended for want of an answer: the end of the connection is its own if no other
    /// exchange followed.
    fn without_answer(&mut self) {
        let is_last = u64::from(self.exchange.seq) == self.connection.exchanges;
        let end = self.connection.ended.filter(|_| is_last);
        match end {
            Some((Side::Peer, Ending::Fin)) => {
                self.arrow(Lane::Peer, Lane::Kernel, "FIN, without an answer".to_owned())
            }
            Some((Side::Peer, Ending::Reset)) => {
                self.arrow(Lane::Peer, Lane::Kernel, "RST, without an answer".to_owned());
            }
            Some((Side::Local, Ending::Fin | Ending::Reset)) => {
                self.arrow(Lane::App, Lane::Kernel, "closed without an answer".to_owned());
            }
            Some((_, Ending::Timeout)) => {
                self.out.push(Step::Gap {
                    text: "given up by the kernel, without an answer".to_owned(),
                });
            }
            None => self.out.push(Step::Gap { text: "no answer".to_owned() }),
        }
    }

    /// The names of what comes in and what goes out, with their bytes.
    fn messages(&self) -> (String, String) {
        let request = format!("request, {}", bytes(self.exchange.request_bytes));
        let response = format!("response, {}", bytes(self.exchange.response_bytes));
        if self.connection.role == Role::Server { (request, response) } else { (response, request) }
    }

    fn arrow(&mut self, from: Lane, to: Lane, text: String) {
        self.out.push(Step::Arrow { at: Some(self.at), from, to, text });
    }

    fn arrive(&mut self) {
        if !std::mem::replace(&mut self.arrived, true) {
            self.arrow(Lane::Peer, Lane::Kernel, self.messages().0);
        }
    }

    fn read(&mut self) {
        self.arrive();
        if !std::mem::replace(&mut self.read, true) {
            let text = call("read()", self.exchange.reads, self.thread(self.exchange.read_tid));
            self.arrow(Lane::Kernel, Lane::App, text);
        }
    }

    fn write(&mut self) {
        if !std::mem::replace(&mut self.written, true) {
            let text = call("write()", self.exchange.writes, self.thread(self.exchange.write_tid));
            self.arrow(Lane::App, Lane::Kernel, text);
        }
    }

    fn send(&mut self) {
        self.write();
        if !std::mem::replace(&mut self.sent, true) {
            self.arrow(Lane::Kernel, Lane::Peer, self.messages().1);
        }
    }

    fn thread(&self, tid: Option<u32>) -> Option<String> {
        tid.map(|tid| words::thread_name(self.snapshot, self.connection, tid))
    }

    /// What must have happened for such a slice to begin.
    fn before(&mut self, kind: SliceKind) {
        let server = self.connection.role == Role::Server;
        match kind {
            SliceKind::Handshake => {
                self.arrow(Lane::Peer, Lane::Kernel, "SYN; SYN-ACK goes back".to_owned())
            }
            SliceKind::AcceptQueue => {
                self.arrow(Lane::Peer, Lane::Kernel, "ACK: into the accept queue".to_owned())
            }
            SliceKind::Request => {
                if !server {
                    self.send();
                }
                if !std::mem::replace(&mut self.arrived, true) {
                    self.arrow(Lane::Peer, Lane::Kernel, "its first bytes".to_owned());
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
                self.arrow(
                    Lane::Peer,
                    Lane::Kernel,
                    "ACK, ignored: the accept queue is full".to_owned(),
                );
            }
            SliceKind::Connect | SliceKind::ConnectRefused => {
                self.arrow(Lane::Kernel, Lane::Peer, "SYN".to_owned());
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

    /// What the end of such a slice came of.
    fn after(&mut self, kind: SliceKind) {
        match kind {
            SliceKind::AcceptQueue => {
                let who = self.thread(self.connection.acceptor.as_ref().map(|(tid, _)| *tid));
                self.arrow(Lane::Kernel, Lane::App, call("accept()", 1, who));
            }
            SliceKind::AckWait | SliceKind::DelayedAck => self.acked = false,
            _ => {}
        }
    }

    /// What is left once the exchange is over.
    fn end(&mut self) {
        if self.exchange.unanswered {
            return self.without_answer();
        }
        if self.connection.role == Role::Client {
            self.send();
            self.read();
            return;
        }
        self.read();
        self.send();
        if !self.acked {
            self.arrow(Lane::Peer, Lane::Kernel, "ACK of it all".to_owned());
        }
    }
}

/// "read() ×3 by worker-1 4243".
fn call(name: &str, count: u32, who: Option<String>) -> String {
    let times = if count > 1 { format!(" ×{count}") } else { String::new() };
    let who = who.map(|who| format!(" by {who}")).unwrap_or_default();
    format!("{name}{times}{who}")
}
