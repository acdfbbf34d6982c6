//! Calls that a thread made to others while it worked on a request: only a hint, from time and
//! thread.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::model::event::{Exchange, Role, SockId};

/// Threads followed; further ones have no hints.
const MAX_THREADS: usize = 1_024;
/// Exchanges of each kind remembered for each thread.
const MAX_SPANS: usize = 8;

/// A stretch of a thread's time: from the first to the last moment, on a connection, in an
/// exchange.
#[derive(Clone, Copy, Debug)]
struct Span {
    from_ns: u64,
    to_ns: u64,
    id: (SockId, u32),
}

#[derive(Clone, Debug, Default)]
struct CallingThread {
    /// From the last read to the first write of requests served.
    served: VecDeque<Span>,
    /// Calls to others.
    called: VecDeque<Span>,
}

/// Recent exchanges by thread.
#[derive(Clone, Debug, Default)]
pub(super) struct NestedCalls {
    threads: FxHashMap<u32, CallingThread>,
    /// A watched process has made a connection. Before that no request can have a nested call.
    calls: bool,
}

impl NestedCalls {
    pub(super) fn has_calls(&self) -> bool {
        self.calls
    }

    /// Notes that a watched process has made a connection.
    pub(super) fn connected(&mut self) {
        self.calls = true;
    }

    /// Notes a served request. Adds to `called` the calls that were nested in it and are reported
    /// already.
    pub(super) fn served(&mut self, exchange: &Exchange, called: &mut Vec<(SockId, u32)>) {
        if !self.calls {
            return;
        }
        let Some((tid, span)) = working(exchange) else { return };
        let Some(thread) = self.thread(tid) else { return };
        for call in &thread.called {
            if overlap(&span, call) {
                called.push(call.id);
            }
        }
        push(&mut thread.served, span);
    }

    /// Notes a call. Returns the served requests that enclose it and are reported already.
    pub(super) fn called(&mut self, exchange: &Exchange) -> Vec<(SockId, u32)> {
        self.calls = true;
        let Some((tid, span)) = calling(exchange) else { return Vec::new() };
        let Some(thread) = self.thread(tid) else { return Vec::new() };
        let mut enclosing = Vec::new();
        for served in &thread.served {
            if overlap(served, &span) {
                enclosing.push(served.id);
            }
        }
        push(&mut thread.called, span);
        enclosing
    }

    fn thread(&mut self, tid: u32) -> Option<&mut CallingThread> {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&tid) {
            return None;
        }
        Some(self.threads.entry(tid).or_default())
    }

    /// Forgets threads that did nothing since then: they end, and their ids are used again.
    pub(super) fn keep(&mut self, since_ns: u64) {
        let lives =
            |spans: &VecDeque<Span>| matches!(spans.back(), Some(last) if last.to_ns >= since_ns);
        self.threads.retain(|_, thread| lives(&thread.served) || lives(&thread.called));
    }
}

/// The thread that served a request, and its time from the last read to the first write.
fn working(exchange: &Exchange) -> Option<(u32, Span)> {
    if exchange.role != Role::Server {
        return None;
    }
    let (inbound, outbound) = (exchange.inbound.as_ref()?, exchange.outbound.as_ref()?);
    let tid = outbound.writer?.tid;
    let from_ns = inbound.read_last_ns?;
    Some((tid, Span { from_ns, to_ns: outbound.first_ns, id: (exchange.sock, exchange.seq) }))
}

/// The thread that made a call, and its time from the first write to the last read.
fn calling(exchange: &Exchange) -> Option<(u32, Span)> {
    if exchange.role != Role::Client {
        return None;
    }
    let outbound = exchange.outbound.as_ref()?;
    let tid = outbound.writer?.tid;
    let read_ns = exchange.inbound.as_ref().and_then(|inbound| inbound.read_last_ns);
    let span = Span {
        from_ns: outbound.first_ns,
        to_ns: read_ns.unwrap_or(outbound.last_ns),
        id: (exchange.sock, exchange.seq),
    };
    Some((tid, span))
}

fn overlap(one: &Span, other: &Span) -> bool {
    one.from_ns < other.to_ns && other.from_ns < one.to_ns
}

fn push(spans: &mut VecDeque<Span>, span: Span) {
    if spans.len() == MAX_SPANS {
        spans.pop_front();
    }
    spans.push_back(span);
}
