//! What a slice of time was, in plain words.

use super::connection_table::name as connection_name;
use crate::model::snapshot::{ConnectionView, ExchangeView, Protocol, Slice, SliceKind, Snapshot};
use crate::tui::text::{bytes, escape, fine};

/// A kind of slice in twelve characters at most.
pub(super) fn name(kind: SliceKind) -> &'static str {
    match kind {
        SliceKind::Handshake => "handshake",
        SliceKind::AcceptQueue => "accept queue",
        SliceKind::ReceiveQueue => "recv queue",
        SliceKind::RunQueue => "run queue",
        SliceKind::Request => "request",
        SliceKind::App => "app",
        SliceKind::SendBuffer => "send buffer",
        SliceKind::Nagle => "Nagle",
        SliceKind::Cork => "cork",
        SliceKind::Congestion => "congestion",
        SliceKind::ReceiveWindow => "recv window",
        SliceKind::Pacing => "pacing",
        SliceKind::AckWait => "ACK wait",
        SliceKind::DelayedAck => "delayed ACK",
        SliceKind::Retransmit => "retransmit",
        SliceKind::Response => "response",
        SliceKind::Connect | SliceKind::ConnectRefused => "connect",
        SliceKind::Ignored => "ignored",
        SliceKind::Throttled => "throttled",
        SliceKind::Streaming => "streaming",
        SliceKind::Unknown => "unknown",
    }
}

/// A thread's name and id, where the name is known.
pub(super) fn thread(snapshot: &Snapshot, connection: &ConnectionView, tid: u32) -> String {
    match comm(snapshot, connection, tid) {
        Some(comm) => format!("{} {tid}", escape(comm)),
        None => format!("thread {tid}"),
    }
}

/// A thread's name alone, where it is known.
pub(super) fn thread_name(snapshot: &Snapshot, connection: &ConnectionView, tid: u32) -> String {
    comm(snapshot, connection, tid).map_or_else(|| format!("thread {tid}"), escape)
}

fn comm<'a>(snapshot: &'a Snapshot, connection: &'a ConnectionView, tid: u32) -> Option<&'a str> {
    let known = snapshot.threads.iter().find(|thread| thread.tid == tid).map(|thread| &thread.comm);
    let acceptor =
        connection.acceptor.as_ref().filter(|(acceptor, _)| *acceptor == tid).map(|(_, comm)| comm);
    known.or(acceptor).map(String::as_str)
}

/// A sentence on a slice of an exchange.
pub(super) fn sentence(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    slice: &Slice,
) -> String {
    let who = |tid: Option<u32>| {
        tid.map_or("the app".to_owned(), |tid| thread_name(snapshot, connection, tid))
    };
    let held = match exchange.held_sizes {
        [_, 0] => exchange.last_sizes,
        sizes => sizes,
    };
    match slice.kind {
        SliceKind::Handshake => "until the peer completed the handshake".to_owned(),
        SliceKind::AcceptQueue => {
            let acceptor =
                connection.acceptor.as_ref().map_or(who(None), |(tid, _)| who(Some(*tid)));
            let used =
                slice.cpu_us.map(|cpu| format!(", {}", on_cpu(cpu, slice.us))).unwrap_or_default();
            format!("connected, in the accept queue, until {acceptor} called accept(){used}")
        }
        SliceKind::ReceiveQueue => {
            let reader = who(exchange.read_tid);
            match slice.cpu_us {
                None => format!("unread: {reader} was elsewhere"),
                Some(cpu) if cpu >= slice.us / 2 => {
                    format!("unread: {reader} was busy, {}", on_cpu(cpu, slice.us))
                }
                Some(cpu) => format!("unread: {reader} was asleep, {}", on_cpu(cpu, slice.us)),
            }
        }
        SliceKind::RunQueue => {
            format!("{} could run, but got no CPU", who(exchange.read_tid.or(exchange.write_tid)))
        }
        SliceKind::Request => "until the peer sent the rest".to_owned(),
        SliceKind::App => {
            let text =
                app(snapshot, exchange, slice, &who(exchange.write_tid.or(exchange.read_tid)));
            match connection.protocol.and_then(Protocol::waits_for) {
                Some(news) => format!("waiting by design ({news}); {text}"),
                None => text,
            }
        }
        SliceKind::SendBuffer => "write() waited for room: the send buffer was full".to_owned(),
        SliceKind::Nagle if held[1] > 0 => {
            format!(
                "Nagle: {} not yet acknowledged held {}",
                bytes(held[0].into()),
                bytes(held[1].into())
            )
        }
        SliceKind::Nagle => "Nagle: small data not yet acknowledged held the rest".to_owned(),
        SliceKind::Cork if held[1] > 0 => {
            format!("TCP_CORK or MSG_MORE held {}", bytes(held[1].into()))
        }
        SliceKind::Cork => "held by TCP_CORK or MSG_MORE".to_owned(),
        SliceKind::Congestion => "the network took no more".to_owned(),
        SliceKind::ReceiveWindow => {
            "the peer's receive window was full: it did not read".to_owned()
        }
        SliceKind::Pacing => "the kernel spaced the segments out".to_owned(),
        SliceKind::AckWait => "a round trip, until the peer's ACK".to_owned(),
        SliceKind::DelayedAck if slice.proved => {
            "the peer delayed its ACK: its end is here, and shows it".to_owned()
        }
        SliceKind::DelayedAck => "the peer delayed its ACK".to_owned(),
        SliceKind::Retransmit => "a segment was lost, until it was sent again".to_owned(),
        SliceKind::Response => match exchange.downstream {
            Some(join) => {
                format!("until the upstream answered, for exchange {} of {}", join.seq, join.peer)
            }
            None => "until the peer answered".to_owned(),
        },
        SliceKind::Connect => "SYN sent, nobody answered it".to_owned(),
        SliceKind::ConnectRefused => "SYN sent, until the peer refused the connection".to_owned(),
        SliceKind::Ignored => {
            "the kernel ignored the peer's packets: the accept queue was full".to_owned()
        }
        SliceKind::Throttled => {
            let who = who(exchange.read_tid.or(exchange.write_tid));
            format!("{who} could run, but its cgroup's CPU quota was used up")
        }
        SliceKind::Streaming if slice.proved => {
            "between the pieces of a stream: it waits by design".to_owned()
        }
        SliceKind::Streaming => {
            "between pieces, as a stream has them: if it is one, it waits by design".to_owned()
        }
        SliceKind::Unknown => "nobody can vouch for this time".to_owned(),
    }
}

fn app(snapshot: &Snapshot, exchange: &ExchangeView, slice: &Slice, who: &str) -> String {
    let mut text = match slice.cpu_us {
        None => format!("{who} had it"),
        Some(cpu) if cpu >= slice.us / 2 => format!("{who} worked, {}", on_cpu(cpu, slice.us)),
        Some(cpu) => format!("{who} was asleep, {}", on_cpu(cpu, slice.us)),
    };
    if let Some(us) = slice.upstream_us {
        let peers: Vec<String> =
            exchange.upstream.iter().map(|join| join.peer.to_string()).collect();
        let others =
            if peers.len() > 1 { format!(" and {} more", peers.len() - 1) } else { String::new() };
        let first = peers.first().cloned().unwrap_or_default();
        return format!("of it {} waiting for upstream {first}{others}; {text}", fine(us));
    }
    let Some((sock, seq)) = exchange.inside.first() else { return text };
    let callee = snapshot.connections.iter().find(|connection| connection.sock == *sock);
    let callee =
        callee.map_or("another service".to_owned(), |callee| connection_name(callee, usize::MAX));
    text.push_str(&format!("; meanwhile it called {callee} (exchange {seq})"));
    match exchange.inside.len() {
        1 => {}
        n => text.push_str(&format!(" and {} more", n - 1)),
    }
    text
}

/// "on a CPU 28.0 ms of 30.0 ms".
fn on_cpu(cpu: u64, all: u64) -> String {
    format!("on a CPU {} of {}", fine(cpu), fine(all))
}
