//! One connection, kept small: there may be a hundred thousand.

mod view;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::compact::{Bytes, Endpoint, Tid};
use super::origin::{Origin, Origins};
use super::sums::{Sum, Sums};
use crate::model::event::{
    Accept, Closed, ConnectionSample, DelayedAcks, Ending, Exchange, Opened, Role, Side, TcpState,
};
use crate::model::exchange::{self, Beginning, First, Ignoring, Resent};
use crate::model::snapshot::{EndView, ExchangeView, Protocol, Slice, SliceKind, TlsView};

/// Everything the model keeps of one connection, but its exchanges in detail.
#[derive(Clone, Debug)]
pub(in crate::model) struct Connection {
    pub(in crate::model) origin: Arc<Origin>,
    since_ns: u64,
    bytes_in: Bytes,
    bytes_out: Bytes,
    /// The end that is not its origin's.
    far: Endpoint,
    /// Number of the newest exchange reported, and the low bits of the bytes counted of it: for
    /// what comes late.
    reported: u32,
    reported_bytes: (u32, u32),
    pub(super) worst_us: u32,
    /// Threads that read and wrote last.
    tids: (Tid, Tid),
    sums: Sums,
    rare: Option<Box<Rare>>,
}

const _: () = assert!(size_of::<Connection>() <= 88, "there may be a hundred thousand");

/// What only connections have that are at work, have just ended, or come from an IPv6 address.
#[derive(Clone, Debug, Default)]
struct Rare {
    far_ip: Option<Ipv6Addr>,
    /// The exchange that it is in, while that is not reported.
    exchange: Option<Box<Exchange>>,
    end: Option<End>,
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
struct End {
    closed_ns: u64,
    /// The probes count them also where they leave them away.
    exchanges: u32,
    by: Option<(Side, Ending)>,
    /// When the first FIN or RST was seen or sent; 0 if that was not.
    since_ns: u64,
    more: EndView,
}

impl Connection {
    pub(super) fn accepted(
        accept: &Accept,
        ignored: Option<Ignoring>,
        deferred: bool,
        origins: &mut Origins,
    ) -> Self {
        let origin = origins.share(Origin {
            role: Role::Server,
            listener: Some(accept.listener),
            near: accept.local,
            pid: accept.pid,
            comm: accept.comm.clone(),
            acceptor: accept.tid,
            midway: false,
            protocol: None,
            deferred,
            fast_open: false,
            sees_delayed_acks: origins.sees_delayed_acks,
            multipath: false,
            state: TcpState::Established,
        });
        let mut connection = Self::new(origin, accept.peer, accept.ts_ns, accept.handshake_us);
        // Without the moment of queueing, that of accept is a guess.
        if let Some(queued_ns) = accept.queued_ns {
            connection
                .sums
                .add(Sum::Queued, accept.ts_ns.saturating_sub(queued_ns).saturating_add(1));
            connection
                .sums
                .add(Sum::Ignored, ignored.map_or(0, |ignored| packed(ignored, queued_ns)));
        }
        connection
    }

    pub(super) fn opened(opened: &Opened, origins: &mut Origins) -> Self {
        let (near, far) = match opened.role {
            Role::Server => (opened.local, opened.peer),
            Role::Client => (opened.peer, opened.local),
        };
        let origin = origins.share(Origin {
            role: opened.role,
            listener: opened.listener,
            near,
            pid: opened.pid,
            comm: opened.comm.as_str().into(),
            acceptor: 0,
            midway: opened.midway,
            protocol: None,
            deferred: false,
            fast_open: false,
            sees_delayed_acks: origins.sees_delayed_acks,
            multipath: false,
            state: TcpState::Established,
        });
        let mut connection = Self::new(origin, far, opened.ts_ns, opened.handshake_us);
        if let Some(asked_ns) = opened.asked_ns {
            connection
                .sums
                .add(Sum::Queued, opened.ts_ns.saturating_sub(asked_ns).saturating_add(1));
        }
        connection.sums.add(Sum::SynsAgain, opened.syns_again.into());
        connection
    }

    fn new(origin: Arc<Origin>, far: SocketAddr, since_ns: u64, handshake_us: Option<u64>) -> Self {
        let (far, far_ip) = Endpoint::new(far);
        let mut sums = Sums::default();
        sums.add(Sum::Handshake, handshake_us.map_or(0, |us| us.saturating_add(1)));
        Self {
            origin,
            since_ns,
            bytes_in: Bytes::default(),
            bytes_out: Bytes::default(),
            far,
            reported: 0,
            reported_bytes: (0, 0),
            worst_us: 0,
            tids: (Tid::default(), Tid::default()),
            sums,
            rare: far_ip.map(|ip| Box::new(Rare { far_ip: Some(ip), ..Rare::default() })),
        }
    }

    fn far(&self) -> SocketAddr {
        self.far.address(self.rare.as_ref().and_then(|rare| rare.far_ip))
    }

    pub(in crate::model) fn local(&self) -> SocketAddr {
        if self.origin.role == Role::Server { self.origin.near } else { self.far() }
    }

    pub(in crate::model) fn peer(&self) -> SocketAddr {
        if self.origin.role == Role::Server { self.far() } else { self.origin.near }
    }

    pub(in crate::model) fn exchanges(&self) -> u32 {
        self.end().map_or_else(|| self.told(), |end| end.exchanges)
    }

    /// Exchanges that were told of.
    fn told(&self) -> u32 {
        self.reported - self.sums.get(Sum::Missed) as u32
    }

    fn state(&self) -> TcpState {
        if self.is_open() { self.origin.state } else { TcpState::Closed }
    }

    /// When a connection that was made was asked for, if that was seen.
    pub(in crate::model) fn asked_ns(&self) -> Option<u64> {
        let took_ns = self
            .queued_for_ns()
            .unwrap_or_else(|| self.handshake_us().unwrap_or(0).saturating_mul(1_000));
        (!self.origin.midway).then(|| self.since_ns.saturating_sub(took_ns))
    }

    pub(super) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    pub(in crate::model) fn protocol(&self) -> Option<Protocol> {
        self.origin.protocol
    }

    /// Several requests may be under way on it at a time.
    pub(in crate::model) fn is_multiplexed(&self) -> bool {
        self.protocol().is_some_and(Protocol::is_multiplexed)
    }

    /// This is spoken on it; and, if `fast_open` says so, its SYN carried data.
    pub(super) fn speaks(
        &mut self,
        protocol: Option<Protocol>,
        fast_open: bool,
        origins: &mut Origins,
    ) {
        let fast_open = fast_open || self.origin.fast_open;
        if (self.origin.protocol, self.origin.fast_open) != (protocol, fast_open) {
            origins.change(&mut self.origin, |origin| {
                (origin.protocol, origin.fast_open) = (protocol, fast_open)
            });
        }
    }

    /// Threads that read and wrote last.
    pub(super) fn tids(&self) -> (Option<u32>, Option<u32>) {
        (self.tids.0.get(), self.tids.1.get())
    }

    fn end(&self) -> Option<End> {
        self.rare.as_ref().and_then(|rare| rare.end)
    }

    /// Who ended it first, if that was seen.
    pub(in crate::model) fn ended_by(&self) -> Option<Side> {
        let (side, _) = self.end()?.by?;
        Some(side)
    }

    /// More on its end.
    pub(super) fn end_view(&self) -> EndView {
        self.end().map(|end| end.more).unwrap_or_default()
    }

    /// Changes that.
    pub(super) fn change_end(&mut self, change: impl FnOnce(&mut EndView)) {
        if let Some(end) = self.rare.as_mut().and_then(|rare| rare.end.as_mut()) {
            change(&mut end.more);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.end().is_none()
    }

    pub(in crate::model) fn closed_ns(&self) -> Option<u64> {
        self.end().map(|end| end.closed_ns)
    }

    /// An accepted connection that the application ended with nothing read: how, and how long after
    /// accept, ns.
    pub(in crate::model) fn closed_unread(&self) -> Option<(Ending, u64)> {
        let end = self.end()?;
        let (side, how) = end.by?;
        let unread = side == Side::Local && self.bytes_in.get() == 0;
        let seen = !self.origin.midway && end.since_ns > 0;
        (unread && seen).then(|| (how, end.since_ns.saturating_sub(self.since_ns)))
    }

    /// Nothing was written, either, or data had come.
    pub(in crate::model) fn is_unserved(&self) -> bool {
        !self.has_written() || self.end_view().unread_bytes > 0
    }

    /// This side wrote something on it.
    pub(in crate::model) fn has_written(&self) -> bool {
        self.bytes_out.get() > 0
    }

    /// The exchange that it is in, while that is not reported.
    pub(super) fn current(&self) -> Option<&Exchange> {
        self.rare.as_ref().and_then(|rare| rare.exchange.as_deref())
    }

    /// Keeps what an open connection is in.
    pub(super) fn set_current(&mut self, current: &Exchange) {
        let rare = self.rare.get_or_insert_default();
        match &mut rare.exchange {
            _ if rare.end.is_some() => {}
            Some(known) => current.clone_into(known),
            none => *none = Some(Box::new(current.clone())),
        }
    }

    /// Lets go of the facts of its present exchange, if they are of one up to `seq`. True if there
    /// were such.
    pub(super) fn take_current(&mut self, seq: u32) -> bool {
        let taken = self.current().is_some_and(|current| current.seq <= seq);
        if taken {
            self.rare = self.rare.take().filter(|rare| rare.far_ip.is_some());
            self.rare.iter_mut().for_each(|rare| rare.exchange = None);
        }
        taken
    }

    /// This exchange is reported already.
    pub(super) fn knows(&self, seq: u32) -> bool {
        seq <= self.reported
    }

    fn handshake_us(&self) -> Option<u64> {
        self.sums.get(Sum::Handshake).checked_sub(1)
    }

    /// A client's first exchange begins once it is connected: until then it waited for the first
    /// answer, too.
    fn with_handshake(&self, mut tls: TlsView) -> TlsView {
        if let (Role::Client, Some(answer), Some(us)) =
            (self.origin.role, &mut tls.first_answer, self.handshake_us())
        {
            answer.us = answer.us.saturating_add(us);
        }
        tls
    }

    /// How long it waited in the accept queue, or of one that was made, how long connect took, if
    /// that is known.
    fn queued_for_ns(&self) -> Option<u64> {
        self.sums.get(Sum::Queued).checked_sub(1)
    }

    /// How it was accepted or made, if that is known. Nothing but its first exchange begins with
    /// that.
    fn first(&self, exchange: &Exchange) -> Option<First> {
        let queued_for_ns = if exchange.seq == 1 { self.queued_for_ns() } else { None }?;
        let queued_ns = self.since_ns.saturating_sub(queued_for_ns);
        let ignored = unpacked(self.sums.get(Sum::Ignored), queued_ns);
        let acceptor = self.origin.acceptor;
        let (handshake_us, deferred) = (self.handshake_us(), self.origin.deferred);
        Some(First {
            handshake_us,
            deferred,
            queued_ns,
            accepted_ns: self.since_ns,
            ignored,
            acceptor,
        })
    }

    /// Whether it is not known why the request of this exchange was sent again: it is the first on
    /// a connection that was made, so that nothing was acknowledged before.
    pub(super) fn was_sent_in_vain(&self, exchange: &Exchange) -> bool {
        let resent = || exchange.outbound.as_ref().is_some_and(|outbound| outbound.retransmits > 0);
        self.origin.role == Role::Client && exchange.seq == 1 && !exchange.midway && resent()
    }

    /// The server ignored what was sent: its accept queue was full.
    pub(super) fn was_ignored(&mut self) {
        self.sums.raise(Sum::Ignored, 1);
    }

    fn resent(&self, exchange: &Exchange) -> Resent {
        if !self.was_sent_in_vain(exchange) {
            Resent::Lost
        } else if self.sums.get(Sum::Ignored) > 0 {
            Resent::Ignored
        } else if self.is_local() {
            Resent::LostOrIgnored
        } else {
            Resent::Lost
        }
    }

    /// Both ends are on this host, as far as the addresses tell.
    fn is_local(&self) -> bool {
        let (local, peer) = (self.local().ip(), self.peer().ip());
        local == peer || local.is_loopback() && peer.is_loopback()
    }

    /// What the facts come to on this connection.
    pub(in crate::model) fn view_of(&self, exchange: &Exchange) -> ExchangeView {
        let first = self.first(exchange);
        exchange::view(exchange, Beginning { first: first.as_ref(), resent: self.resent(exchange) })
    }

    /// The same without a verdict, with its slices laid into `room`.
    pub(super) fn view_in(&self, exchange: &Exchange, buf: Vec<Slice>) -> ExchangeView {
        let first = self.first(exchange);
        let beginning = Beginning { first: first.as_ref(), resent: self.resent(exchange) };
        exchange::view_in(exchange, beginning, buf)
    }

    /// Bytes that came after the exchange was reported.
    pub(super) fn add_late(&mut self, exchange: &Exchange) {
        if exchange.seq == self.reported {
            let (bytes_in, bytes_out) = bytes(exchange);
            self.bytes_in.add(late(&mut self.reported_bytes.0, bytes_in));
            self.bytes_out.add(late(&mut self.reported_bytes.1, bytes_out));
        }
    }

    /// Counts an exchange that is over.
    pub(super) fn add(&mut self, exchange: &Exchange, view: &ExchangeView, origins: &mut Origins) {
        let (bytes_in, bytes_out) = bytes(exchange);
        if let Some(end) = self.rare.as_mut().and_then(|rare| rare.end.as_mut()) {
            end.exchanges = end.exchanges.saturating_add(1);
        }
        let missed = exchange.seq - self.reported - 1;
        if missed > 0 {
            self.sums.add(Sum::Missed, missed.into());
        }
        self.reported = exchange.seq;
        self.reported_bytes = (bytes_in as u32, bytes_out as u32);
        self.bytes_in.add(bytes_in);
        self.bytes_out.add(bytes_out);
        self.worst_us = self.worst_us.max(saturated(counted_us(view)));
        let times = exchange::counted(&view.slices).map(|(kind, us)| (Sum::Time(kind), us));
        self.sums.add_all(times);
        if let Some(us) = exchange::trailing_us(&view.slices) {
            self.sums.add(Sum::Trailing, 1);
            self.sums.add(Sum::TrailingUs, us);
        }
        if let Some(outbound) = &exchange.outbound {
            self.sums.add(Sum::Retransmits, outbound.retransmits.into());
            for hold in &outbound.holds {
                self.sums.add(Sum::Holds(hold.reason), hold.count.into());
                self.sums.add(Sum::HeldUs(hold.reason), hold.held_ns / 1_000);
            }
        }
        self.touch(exchange, origins);
    }

    /// Notes who read and wrote, and the ACKs that this host delayed.
    pub(super) fn touch(&mut self, exchange: &Exchange, origins: &mut Origins) {
        let reader = exchange.inbound.as_ref().and_then(|inbound| inbound.reader);
        let writer = exchange.outbound.as_ref().and_then(|outbound| outbound.writer);
        let (read, wrote) = self.tids;
        self.tids = (
            reader.map_or(read, |thread| Tid::new(thread.tid)),
            writer.map_or(wrote, |thread| Tid::new(thread.tid)),
        );
        if let Some(DelayedAcks { sent, waited_us, .. }) = exchange.delayed_acks {
            self.note_delayed_acks(sent, waited_us, origins);
        }
    }

    fn note_delayed_acks(&mut self, sent: u32, waited_us: u64, origins: &mut Origins) {
        if !self.origin.sees_delayed_acks {
            origins.sees_delayed_acks = true;
            origins.change(&mut self.origin, |origin| origin.sees_delayed_acks = true);
        }
        self.sums.raise(Sum::DelayedAcks, sent.into());
        self.sums.raise(Sum::DelayedAckUs, waited_us);
    }

    pub(super) fn sampled(&mut self, sample: &ConnectionSample, origins: &mut Origins) {
        if self.origin.state != sample.state {
            origins.change(&mut self.origin, |origin| origin.state = sample.state);
        }
    }

    pub(super) fn close(&mut self, closed: &Closed, more: EndView, origins: &mut Origins) {
        if closed.multipath {
            origins.change(&mut self.origin, |origin| origin.multipath = true);
        }
        let exchanges =
            if self.only_took_leave(closed) { 0 } else { self.told().max(closed.exchanges) };
        let rare = self.rare.get_or_insert_default();
        rare.exchange = None;
        let (by, since_ns) = (closed.by.zip(closed.how), closed.since_ns.unwrap_or(0));
        rare.end = Some(End { closed_ns: closed.ts_ns, exchanges, by, since_ns, more });
        // What was left away under pressure is in these.
        self.bytes_in.set(self.bytes_in.get().max(closed.bytes_in));
        self.bytes_out.set(self.bytes_out.get().max(closed.bytes_out));
        self.sums.raise(Sum::Retransmits, closed.retransmits.into());
        if let Some(sent) = closed.delayed_acks {
            self.note_delayed_acks(sent, closed.delayed_ack_us, origins);
        }
    }

    /// Nothing was asked on it, and what its server wrote was no answer
    /// ([`exchange::is_farewell`]).
    fn only_took_leave(&self, closed: &Closed) -> bool {
        let asked = closed.bytes_in + closed.unread_bytes > 0 || closed.unseen || self.told() > 0;
        let http = self.protocol().is_some_and(Protocol::is_http1);
        http && !asked && self.origin.role == Role::Server && !self.origin.midway
    }

    /// Time by kind over all exchanges: those that took any, in order.
    pub(super) fn phases_us(&self) -> Vec<(SliceKind, u64)> {
        let time = |kind| {
            let trailing_us =
                if kind == SliceKind::DelayedAck { self.sums.get(Sum::TrailingUs) } else { 0 };
            (kind, self.sums.get(Sum::Time(kind)).saturating_add(trailing_us))
        };
        SliceKind::ALL.into_iter().map(time).filter(|&(_, us)| us > 0).collect()
    }

    /// Delayed ACKs that this host sent so far, and how long they waited, µs.
    pub(super) fn delayed_acks_sent(&self) -> Option<(u64, u64)> {
        self.origin
            .sees_delayed_acks
            .then(|| (self.sums.get(Sum::DelayedAcks), self.sums.get(Sum::DelayedAckUs)))
    }

    /// How long the present exchange has taken, µs, up to `now_ns`; 0 without one that goes on.
    pub(super) fn current_us(&self, now_ns: u64) -> u64 {
        let current = self.current().filter(|current| !exchange::is_quiet(current));
        let begun_ns = |current: &Exchange| {
            let inbound =
                current.inbound.as_ref().map(|inbound| inbound.first_ns).filter(|&ns| ns > 0);
            let outbound = current.outbound.as_ref().map(|outbound| outbound.first_ns);
            inbound.into_iter().chain(outbound).min().unwrap_or(now_ns)
        };
        current.map_or(0, |current| now_ns.saturating_sub(begun_ns(current)) / 1_000)
    }
}

/// The time of an exchange that counts: without a trailing delayed ACK, µs.
pub(in crate::model) fn counted_us(view: &ExchangeView) -> u64 {
    view.total_us - exchange::trailing_us(&view.slices).unwrap_or(0)
}

/// How a peer was ignored as one number, which is not 0: the time up to the queue, and two bits on
/// its data.
fn packed(ignored: Ignoring, queued_ns: u64) -> u64 {
    let data = match ignored.data {
        None => 1,
        Some(false) => 2,
        Some(true) => 3,
    };
    let span_ns =
        ignored.since_ns.map_or(0, |since_ns| queued_ns.saturating_sub(since_ns).saturating_add(1));
    span_ns << 2 | data
}

/// The reverse of it.
fn unpacked(number: u64, queued_ns: u64) -> Option<Ignoring> {
    let data = match number & 3 {
        0 => return None,
        1 => None,
        2 => Some(false),
        _ => Some(true),
    };
    let since_ns = (number >> 2).checked_sub(1).map(|span_ns| queued_ns.saturating_sub(span_ns));
    Some(Ignoring { since_ns, data })
}

fn bytes(exchange: &Exchange) -> (u64, u64) {
    let inbound = exchange.inbound.as_ref().map_or(0, |inbound| inbound.bytes);
    (inbound, exchange.outbound.as_ref().map_or(0, |outbound| outbound.bytes))
}

/// How many bytes there are beyond those counted, of which the low bits are known: less than half
/// of what these can tell.
fn late(counted: &mut u32, bytes: u64) -> u64 {
    let more = (bytes as u32).wrapping_sub(*counted);
    if more > u32::MAX / 2 {
        return 0;
    }
    *counted = bytes as u32;
    more.into()
}

fn saturated(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}
