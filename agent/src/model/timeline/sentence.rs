//! Sentences on slices of time.

use crate::model::event::Outcome;
use crate::model::event::Role;
use crate::model::snapshot::{
    CallFault, ConnectionView, ExchangeView, Holder, Part, Protocol, Slice, SliceKind, Snapshot,
    UpstreamWait,
};
use crate::text::{Untrusted, bytes, count_of, duration_fine as fine};

/// Returns the name of a thread of a connection; "thread 4243" where it is not known.
pub fn thread_name(snapshot: &Snapshot, connection: &ConnectionView, tid: u32) -> Untrusted {
    match comm(snapshot, connection, tid) {
        Some(comm) => comm.clone(),
        None => format!("thread {tid}").into(),
    }
}

/// Returns the command name of a thread, by the threads of the snapshot or as the connection's
/// acceptor.
pub(crate) fn comm<'a>(
    snapshot: &'a Snapshot,
    connection: &'a ConnectionView,
    tid: u32,
) -> Option<&'a Untrusted> {
    if let Some(thread) = snapshot.threads.iter().find(|thread| thread.tid == tid) {
        return Some(&thread.comm);
    }
    match &connection.acceptor {
        Some((acceptor, comm)) if *acceptor == tid => Some(comm),
        _ => None,
    }
}

/// Returns a sentence on a slice of an exchange.
pub fn sentence(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    slice: &Slice,
) -> Untrusted {
    let who = |tid: Option<u32>| match tid {
        Some(tid) => thread_name(snapshot, connection, tid),
        None => "the app".into(),
    };
    let fixed = match slice.kind {
        SliceKind::AcceptQueue => {
            let acceptor = who(connection.acceptor.as_ref().map(|(tid, _)| *tid));
            return accept_queue(slice, &acceptor);
        }
        SliceKind::ReceiveQueue => return unread(slice, &who(exchange.read_tid)),
        SliceKind::RunQueue => {
            let who = who(exchange.read_tid.or(exchange.write_tid));
            return compose!("{} could run, but got no CPU", who);
        }
        SliceKind::Throttled => {
            let who = who(exchange.read_tid.or(exchange.write_tid));
            return compose!("{} could run, but its cgroup's CPU quota was used up", who);
        }
        SliceKind::App => {
            let who = who(exchange.write_tid.or(exchange.read_tid));
            return app(snapshot, connection, exchange, slice, &who);
        }
        SliceKind::Nagle => return nagle(exchange).into(),
        SliceKind::Cork => return cork(exchange).into(),
        SliceKind::Response => return response(exchange).into(),
        SliceKind::Handshake => "until the peer completed the handshake",
        SliceKind::Request => "until the peer sent the rest",
        SliceKind::SendBuffer => "write() waited for room: the send buffer was full",
        SliceKind::Congestion => "the network took no more",
        SliceKind::ReceiveWindow => "the peer's receive window was full: it did not read",
        SliceKind::Pacing => "the kernel spaced the segments out",
        SliceKind::AckWait => "a round trip, until the peer's ACK",
        SliceKind::DelayedAck if slice.proved => {
            "the peer delayed its ACK, as its end on this host shows"
        }
        SliceKind::DelayedAck => "the peer delayed its ACK",
        SliceKind::Retransmit => "a segment was lost, until it was retransmitted",
        // The first exchange of a call begins with its SYN. Others have connects that failed.
        SliceKind::Connect if connection.role == Role::Client => "SYN sent, until it was answered",
        SliceKind::Connect => "SYN sent, no answer came",
        SliceKind::ConnectRefused => "SYN sent, until the peer refused the connection",
        SliceKind::Ignored => "the kernel ignored the peer's packets: the accept queue was full",
        SliceKind::Streaming if slice.proved => {
            "between the pieces of a stream: it waits by design"
        }
        SliceKind::Streaming => "between pieces, as in a stream: if it is one, it waits by design",
        SliceKind::Unknown => "nothing shows who held this time",
    };
    fixed.into()
}

/// Returns a sentence on a part of an exchange.
pub fn part_sentence(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    part: &Part,
) -> Untrusted {
    if part.holder != Holder::Upstream {
        return sentence(snapshot, connection, exchange, &part.slice);
    }
    let tid = exchange.write_tid.or(exchange.read_tid);
    let who = match tid {
        Some(tid) => thread_name(snapshot, connection, tid),
        None => "the app".into(),
    };
    let waits = exchange.waits_in(&part.slice);
    let Some(longest) = waits.iter().max_by_key(|wait| wait.us) else {
        return compose!("{} waited for an upstream", who);
    };
    let more = match waits.iter().filter(|wait| wait.peer != longest.peer).count() {
        0 => String::new(),
        others => format!(", and {} beside it", count_of(others as u64, "call")),
    };
    compose!("{} {}{}", who, waited_for(longest), more)
}

/// "waited for 127.0.0.1:9000 to answer".
fn waited_for(wait: &UpstreamWait) -> String {
    let peer = wait.peer;
    match wait.fault {
        Some(CallFault::Connect(outcome)) => {
            format!("waited for a connection to upstream {peer}: {}", connect_words(outcome))
        }
        Some(fault) => format!("waited for upstream {peer}, which {}", fault.words()),
        None if wait.open && wait.call.is_none() => {
            format!("waits for a connection to upstream {peer}: SYN sent, no answer yet")
        }
        None if wait.open => format!("waits for upstream {peer}, which has not answered yet"),
        None => format!("waited until upstream {peer} answered"),
    }
}

fn connect_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused => "it refused",
        outcome => outcome.words(),
    }
}

fn accept_queue(slice: &Slice, acceptor: &Untrusted) -> Untrusted {
    let mut text = compose!("connected, in the accept queue, until {} called accept()", acceptor);
    if let Some(cpu) = slice.cpu_us {
        text.push(", ");
        text.push(on_cpu(cpu, slice.us));
    }
    text
}

fn unread(slice: &Slice, reader: &Untrusted) -> Untrusted {
    match slice.cpu_us {
        None => compose!("unread, waiting for {}", reader),
        Some(cpu) if cpu >= slice.us / 2 => {
            compose!("unread: {} was busy, {}", reader, on_cpu(cpu, slice.us))
        }
        Some(cpu) => compose!("unread: {} was asleep, {}", reader, on_cpu(cpu, slice.us)),
    }
}

fn nagle(exchange: &ExchangeView) -> String {
    match held_sizes(exchange) {
        [_, 0] => "Nagle: small data not yet acknowledged held the rest".to_owned(),
        [unacked, held] => format!(
            "Nagle: {} not yet acknowledged held {}",
            bytes(unacked.into()),
            bytes(held.into())
        ),
    }
}

fn cork(exchange: &ExchangeView) -> String {
    match held_sizes(exchange) {
        [_, 0] => "held by TCP_CORK or MSG_MORE".to_owned(),
        [_, held] => format!("TCP_CORK or MSG_MORE held {}", bytes(held.into())),
    }
}

/// Bytes that were not yet acknowledged, and bytes that were held because of them.
fn held_sizes(exchange: &ExchangeView) -> [u32; 2] {
    match exchange.held_sizes {
        [_, 0] => exchange.last_sizes,
        sizes => sizes,
    }
}

fn response(exchange: &ExchangeView) -> String {
    match exchange.downstream {
        Some(join) => {
            format!("until the upstream answered, for exchange {} of {}", join.seq, join.peer)
        }
        None => "until the peer answered".to_owned(),
    }
}

fn app(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    slice: &Slice,
    who: &Untrusted,
) -> Untrusted {
    let worked = match slice.cpu_us {
        None => compose!("with {}", who),
        Some(cpu) if cpu >= slice.us / 2 => compose!("{} worked, {}", who, on_cpu(cpu, slice.us)),
        Some(cpu) => compose!("{} was asleep, {}", who, on_cpu(cpu, slice.us)),
    };
    let text = match slice.upstream_us {
        Some(us) => compose!("{} of it {}; {}", fine(us), upstream(exchange), worked),
        // Waits for calls that are known stand beside it.
        None if !exchange.upstream.is_empty() => worked,
        None => compose!("{}{}", worked, nested_call(snapshot, exchange)),
    };
    match connection.protocol.and_then(Protocol::waits_for) {
        Some(news) => compose!("waiting by design ({news}); {}", text),
        None => text,
    }
}

fn upstream(exchange: &ExchangeView) -> String {
    match exchange.upstream.as_slice() {
        [] => "waiting for an upstream".to_owned(),
        [one] => format!("waiting for upstream {}", one.peer),
        [first, others @ ..] => {
            format!("waiting for upstream {} and {} more", first.peer, others.len())
        }
    }
}

/// The calls that the app made meanwhile, as the end of a sentence.
fn nested_call(snapshot: &Snapshot, exchange: &ExchangeView) -> String {
    let Some((sock, seq)) = exchange.inside.first() else { return String::new() };
    let callee = match snapshot.connection(*sock) {
        Some(callee) => connection_name(callee),
        None => "another service".to_owned(),
    };
    let mut text = format!("; meanwhile it called {callee} (exchange {seq})");
    let others = exchange.inside.len() - 1;
    if others > 0 {
        text.push_str(&format!(" and {others} more"));
    }
    text
}

/// "10.0.0.9:40122 → :8080": from the client to the server, this host's side by its port alone.
fn connection_name(connection: &ConnectionView) -> String {
    let (peer, port) = (connection.peer, connection.local.port());
    match connection.role {
        Role::Server => format!("{peer} → :{port}"),
        Role::Client => format!(":{port} → {peer}"),
    }
}

/// "on a CPU 28.0 ms of 30.0 ms".
fn on_cpu(cpu: u64, all: u64) -> String {
    format!("on a CPU {} of {}", fine(cpu), fine(all))
}
