//! One connection, kept small: there may be a hundred thousand.

use std::net::SocketAddr;
use std::sync::Arc;

use super::details::Detail;
use super::names::Names;
use crate::model::event::{
    Accept, Closed, ConnectionSample, Ending, Exchange, HoldReason, Opened, Role, Side, SockId, TcpState,
};
use crate::model::exchange::{self, First};
use crate::model::snapshot::{ConnectionView, ExchangeView, HoldView, OwnerTimes, SliceKind, Trailing};

/// Everything the model keeps of one connection, but its exchanges in detail.
#[derive(Clone, Debug)]
pub(in crate::model) struct Connection {
    pub(in crate::model) role: Role,
    pub(in crate::model) listener: Option<SockId>,
    local: SocketAddr,
    pub(in crate::model) peer: SocketAddr,
    pub(in crate::model) pid: u32,
    comm: Arc<str>,
    pub(in crate::model) state: TcpState,
    midway: bool,
    pub(in crate::model) since_ns: u64,
    end: Option<Box<End>>,
    handshake_us: Option<u32>,
    queued_us: Option<u32>,
    /// The thread that accepted it; its name is `comm`.
    acceptor: Option<u32>,
    /// How it was accepted, until its first exchange is over.
    first: Option<Box<First>>,
    pub(in crate::model) exchanges: u64,
    /// Number of the newest exchange reported, and the bytes counted of it.
    reported: u32,
    reported_bytes: (u64, u64),
    /// Only kinds that took time.
    phases_us: Box<[(SliceKind, u64)]>,
    troubles: Option<Box<Troubles>>,
    bytes_in: u64,
    bytes_out: u64,
    pub(in crate::model) worst_us: u64,
    /// Threads that read and wrote last.
    pub(in crate::model) tids: (Option<u32>, Option<u32>),
    pub(in crate::model) active_ns: u64,
    /// The exchange that it is in, while that is not reported.
    pub(super) current: Option<Box<Exchange>>,
}

/// How it ended.
#[derive(Clone, Debug)]
struct End {
    closed_ns: u64,
    by: Option<(Side, Ending)>,
    delayed_acks_sent: Option<(u64, u64)>,
}

/// What many connections never see.
#[derive(Clone, Debug, Default)]
struct Troubles {
    trailing: Trailing,
    holds: Vec<HoldView>,
    retransmits: u64,
}

impl Connection {
    pub(super) fn accepted(accept: &Accept, names: &mut Names) -> Self {
        let comm = names.get(&accept.comm);
        Self {
            listener: Some(accept.listener),
            handshake_us: accept.handshake_us.map(saturated),
            queued_us: accept.queued_us().map(saturated),
            acceptor: Some(accept.tid),
            // Without the moment of queueing, that of accept is a guess.
            first: accept.queued_ns.map(|queued_ns| {
                Box::new(First { handshake_us: accept.handshake_us, queued_ns, accepted_ns: accept.ts_ns })
            }),
            ..Self::new(Role::Server, accept.local, accept.peer, accept.pid, comm, accept.ts_ns)
        }
    }

    pub(super) fn opened(opened: &Opened, names: &mut Names) -> Self {
        let comm = names.get(&opened.comm);
        Self {
            listener: opened.listener,
            handshake_us: opened.handshake_us.map(saturated),
            midway: opened.midway,
            ..Self::new(opened.role, opened.local, opened.peer, opened.pid, comm, opened.ts_ns)
        }
    }

    fn new(role: Role, local: SocketAddr, peer: SocketAddr, pid: u32, comm: Arc<str>, since_ns: u64) -> Self {
        Self {
            role,
            listener: None,
            local,
            peer,
            pid,
            comm,
            state: TcpState::Established,
            midway: false,
            since_ns,
            end: None,
            handshake_us: None,
            queued_us: None,
            acceptor: None,
            first: None,
            exchanges: 0,
            reported: 0,
            reported_bytes: (0, 0),
            phases_us: Box::default(),
            troubles: None,
            bytes_in: 0,
            bytes_out: 0,
            worst_us: 0,
            tids: (None, None),
            active_ns: since_ns,
            current: None,
        }
    }

    pub(in crate::model) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(in crate::model) fn comm(&self) -> &str {
        &self.comm
    }

    pub(super) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// This exchange is reported already.
    pub(super) fn knows(&self, seq: u32) -> bool {
        seq <= self.reported
    }

    /// What the facts come to on this connection.
    pub(in crate::model) fn view_of(&self, exchange: &Exchange) -> ExchangeView {
        exchange::view(exchange, self.first.as_deref())
    }

    /// Bytes that came after the exchange was reported.
    pub(super) fn add_late(&mut self, exchange: &Exchange) {
        if exchange.seq == self.reported {
            let (bytes_in, bytes_out) = bytes(exchange);
            self.bytes_in += bytes_in.saturating_sub(self.reported_bytes.0);
            self.bytes_out += bytes_out.saturating_sub(self.reported_bytes.1);
            self.reported_bytes = (self.reported_bytes.0.max(bytes_in), self.reported_bytes.1.max(bytes_out));
        }
    }

    /// Counts an exchange that is over.
    pub(super) fn add(&mut self, exchange: &Exchange, view: &ExchangeView) {
        self.exchanges += 1;
        self.reported = exchange.seq;
        self.reported_bytes = bytes(exchange);
        self.bytes_in += self.reported_bytes.0;
        self.bytes_out += self.reported_bytes.1;
        self.worst_us = self.worst_us.max(counted_us(view));
        self.first = None;
        for slice in &view.slices {
            add_phase(&mut self.phases_us, slice.kind, slice.us);
        }
        if let Some(us) = exchange::trailing_us(&view.slices) {
            let trailing = &mut self.troubles().trailing;
            trailing.count += 1;
            trailing.us = trailing.us.saturating_add(us);
        }
        if let Some(outbound) = exchange.outbound.as_ref().filter(|sent| sent.retransmits > 0 || !sent.holds.is_empty())
        {
            let troubles = self.troubles();
            troubles.retransmits += u64::from(outbound.retransmits);
            for hold in &outbound.holds {
                add_hold(&mut troubles.holds, hold.reason, hold.count.into(), hold.held_ns / 1_000);
            }
        }
        self.touch(exchange);
    }

    fn troubles(&mut self) -> &mut Troubles {
        self.troubles.get_or_insert_with(Box::default)
    }

    /// Notes who read and wrote.
    pub(super) fn touch(&mut self, exchange: &Exchange) {
        let reader = exchange.inbound.as_ref().and_then(|inbound| inbound.reader);
        let writer = exchange.outbound.as_ref().and_then(|outbound| outbound.writer);
        self.tids = (reader.map(|thread| thread.tid).or(self.tids.0), writer.map(|thread| thread.tid).or(self.tids.1));
    }

    pub(super) fn sampled(&mut self, sample: &ConnectionSample) {
        self.state = sample.state;
        self.active_ns = sample.active_ns;
    }

    pub(super) fn close(&mut self, closed: &Closed) {
        self.state = TcpState::Closed;
        self.end = Some(Box::new(End {
            closed_ns: closed.ts_ns,
            by: closed.by.zip(closed.how),
            delayed_acks_sent: closed.delayed_acks.map(|count| (count.into(), closed.delayed_ack_us)),
        }));
        // What was left away under pressure is in these.
        self.bytes_in = self.bytes_in.max(closed.bytes_in);
        self.bytes_out = self.bytes_out.max(closed.bytes_out);
        self.exchanges = self.exchanges.max(closed.exchanges.into());
        if closed.retransmits > 0 {
            let troubles = self.troubles();
            troubles.retransmits = troubles.retransmits.max(closed.retransmits.into());
        }
        self.current = None;
        self.first = None;
    }

    pub(super) fn phases_us(&self) -> Vec<(SliceKind, u64)> {
        let mut phases = self.phases_us.to_vec();
        phases.sort();
        phases
    }

    pub(super) fn delayed_acks_sent(&self) -> Option<(u64, u64)> {
        self.end.as_ref().and_then(|end| end.delayed_acks_sent)
    }

    pub(in crate::model) fn closed_ns(&self) -> Option<u64> {
        self.end.as_ref().map(|end| end.closed_ns)
    }

    /// How long the present exchange has taken, µs, up to `now_ns`; 0 without one that goes on.
    pub(super) fn current_us(&self, now_ns: u64) -> u64 {
        let current = self.current.as_ref().filter(|current| !exchange::is_quiet(current));
        let begun_ns = |current: &Exchange| {
            let inbound = current.inbound.as_ref().map(|inbound| inbound.first_ns).filter(|&ns| ns > 0);
            let outbound = current.outbound.as_ref().map(|outbound| outbound.first_ns);
            inbound.into_iter().chain(outbound).min().unwrap_or(now_ns)
        };
        current.map_or(0, |current| now_ns.saturating_sub(begun_ns(current)) / 1_000)
    }

    pub(super) fn view(&self, sock: SockId, detail: Option<&Detail>) -> ConnectionView {
        let current = self.current.as_deref();
        let inbound = current.and_then(|current| current.inbound.as_ref());
        let outbound = current.and_then(|current| current.outbound.as_ref());
        let troubles = self.troubles.as_deref();
        let trailing = troubles.map_or_else(Trailing::default, |troubles| troubles.trailing);
        let mut times = OwnerTimes { exchanges: self.exchanges, ..OwnerTimes::default() };
        for &(kind, us) in self.phases_us.iter() {
            let trailing_us = if kind == SliceKind::DelayedAck { trailing.us } else { 0 };
            times.add_time(kind, us.saturating_sub(trailing_us));
        }
        ConnectionView {
            sock,
            role: self.role,
            listener: self.listener,
            local: self.local,
            peer: self.peer,
            pid: self.pid,
            comm: self.comm.to_string(),
            state: self.state,
            midway: self.midway,
            since_ns: self.since_ns,
            closed_ns: self.closed_ns(),
            ended: self.end.as_ref().and_then(|end| end.by),
            handshake_us: self.handshake_us.map(u64::from),
            queued_us: self.queued_us.map(u64::from),
            acceptor: self.acceptor.map(|tid| (tid, self.comm.to_string())),
            exchanges: self.exchanges,
            times,
            current: current.map(|current| self.view_of(current)),
            recent: detail.map_or_else(Vec::new, |detail| detail.recent.iter().cloned().collect()),
            worst: detail.and_then(|detail| detail.worst.clone()),
            bytes_in: self.bytes_in + inbound.map_or(0, |inbound| inbound.bytes),
            bytes_out: self.bytes_out + outbound.map_or(0, |outbound| outbound.bytes),
            unread_bytes: inbound.map_or(0, |inbound| inbound.unread_bytes),
            unsent_bytes: outbound.map_or(0, |outbound| outbound.unsent_bytes),
            retransmits: troubles.map_or(0, |troubles| troubles.retransmits)
                + outbound.map_or(0, |outbound| outbound.retransmits.into()),
            holds: troubles.map_or_else(Vec::new, |troubles| troubles.holds.clone()),
            trailing,
        }
    }
}

/// The time of an exchange that counts: without a trailing delayed ACK, µs.
pub(in crate::model) fn counted_us(view: &ExchangeView) -> u64 {
    view.total_us - exchange::trailing_us(&view.slices).unwrap_or(0)
}

fn bytes(exchange: &Exchange) -> (u64, u64) {
    let inbound = exchange.inbound.as_ref().map_or(0, |inbound| inbound.bytes);
    (inbound, exchange.outbound.as_ref().map_or(0, |outbound| outbound.bytes))
}

/// A wait of more than an hour is an hour and a bit.
fn saturated(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}

/// A new kind is rare, room for it dear: there is a list for each connection.
fn add_phase(phases: &mut Box<[(SliceKind, u64)]>, kind: SliceKind, us: u64) {
    match phases.iter_mut().find(|(other, _)| *other == kind) {
        Some((_, sum)) => *sum = sum.saturating_add(us),
        None => *phases = phases.iter().copied().chain([(kind, us)]).collect(),
    }
}

fn add_hold(holds: &mut Vec<HoldView>, reason: HoldReason, count: u64, us: u64) {
    match holds.iter_mut().find(|hold| hold.reason == reason) {
        Some(hold) => {
            hold.count += count;
            hold.us = hold.us.saturating_add(us);
        }
        None => holds.push(HoldView { reason, count, us }),
    }
}
