//! Sums over exchanges and ends of connections of one stretch of time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::looks::Unread;
use super::rests::{AppTime, Rests};
use super::sent::Sent;
use super::tail::Spread;
use super::unserved::Close;
use super::{MAX_PEERS, SLOW_US, STREAM_NS};
use crate::model::connections::{Connection, counted_us, is_truncated};
use crate::model::crossings::Unanswered;
use crate::model::event::{Closed, Ending, Exchange, Role, Side};
use crate::model::exchange;
use crate::model::snapshot::{Cause, EndView, ExchangeView, Slice, SliceKind};

/// How often, how long in all, and how long at the worst, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Tally {
    pub(in crate::model) count: u64,
    pub(in crate::model) us: u64,
    pub(in crate::model) worst_us: u64,
}

impl Tally {
    pub(in crate::model) fn add(&mut self, us: u64) {
        self.merge(&Self { count: 1, us, worst_us: us });
    }

    pub(in crate::model) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.us = self.us.saturating_add(other.us);
        self.worst_us = self.worst_us.max(other.worst_us);
    }

    pub(in crate::model) fn mean_us(&self) -> u64 {
        self.us.checked_div(self.count).unwrap_or(0)
    }
}

/// Waits of which it is known whether threads of their process were ready without a CPU for as
/// long, and those of which one may have been, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Lack {
    pub(in crate::model) seen_us: u64,
    pub(in crate::model) starved_us: u64,
}

impl Lack {
    fn merge(&mut self, other: &Self) {
        self.seen_us += other.seen_us;
        self.starved_us += other.starved_us;
    }

    /// Most of them may have been for want of a CPU; `None` if that is not known.
    pub(in crate::model) fn starved(&self) -> Option<bool> {
        (self.seen_us > 0).then(|| self.starved_us * 2 >= self.seen_us)
    }
}

/// Sums over the exchanges reported and the connections closed in one stretch of time.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct ExchangeStats {
    pub(in crate::model) exchanges: u64,
    /// Their time, µs.
    pub(in crate::model) time_us: u64,
    pub(in crate::model) handshake: Tally,
    /// How long connections waited to be accepted, and how much of that the accepting thread was
    /// ready without a CPU, of those where this is known, µs.
    pub(in crate::model) accept_us: u64,
    pub(in crate::model) accept_delay_us: u64,
    /// Exchanges that spent at least [`SLOW_US`] on a kind, by kind.
    pub(in crate::model) slow: [Tally; SliceKind::ALL.len()],
    /// Exchanges whose data waited that long to be read, in the queue or for a CPU; how much of it
    /// the reader was on a CPU and without one, and of how much of it that is known, µs.
    pub(in crate::model) unread: Tally,
    pub(in crate::model) unread_cpu_us: u64,
    pub(in crate::model) unread_delay_us: u64,
    pub(in crate::model) unread_known_us: u64,
    /// The same for slow application time.
    pub(in crate::model) app_cpu_us: u64,
    pub(in crate::model) app_known_us: u64,
    /// Slow exchanges on connections on which several calls were open at a time.
    pub(in crate::model) app_several: u64,
    /// Whether other threads of their processes lacked a CPU meanwhile, of data unread and of slow
    /// application time.
    pub(in crate::model) unread_lack: Lack,
    pub(in crate::model) app_lack: Lack,
    /// Slow exchanges that an event loop had put aside.
    pub(in crate::model) app_parked: u64,
    /// Slow exchanges during which others lay unread until their thread was done; how many did, how
    /// long the longest was, µs, and the thread of the newest.
    pub(in crate::model) blocking: Tally,
    pub(in crate::model) held_up: u64,
    pub(in crate::model) held_up_us: u64,
    pub(in crate::model) blocking_tid: u32,
    /// Slow exchanges that made calls to others.
    pub(in crate::model) app_calls: u64,
    /// Those of them that are joined to calls, how long they waited for these, µs, and for whom
    /// most.
    pub(in crate::model) app_joined: u64,
    pub(in crate::model) app_upstream_us: u64,
    pub(in crate::model) app_upstreams: Upstreams,
    /// Requests that nobody answered; those of them whose connection this host ended; and those
    /// that are joined to calls.
    pub(in crate::model) unanswered: Tally,
    pub(in crate::model) unanswered_here: u64,
    pub(in crate::model) unanswered_joined: u64,
    /// Those that waited for connects that failed, for most of their time; of them those that were
    /// refused; and to whom.
    pub(in crate::model) unanswered_connects: u64,
    pub(in crate::model) unanswered_refused: u64,
    pub(in crate::model) unconnected: Upstreams,
    /// Calls that nobody answered, by peer; and those of them whose connection the peer ended.
    pub(in crate::model) unanswered_calls: Tally,
    pub(in crate::model) unanswered_there: u64,
    pub(in crate::model) unanswered_upstreams: Upstreams,
    /// Answers to calls that lay unread while the client that they were for did not take what it
    /// was sent.
    pub(in crate::model) held_back: Tally,
    /// The process of the newest exchange that waited long for a CPU.
    pub(in crate::model) ready_pid: u32,
    /// How long exchanges took, and the slowest.
    pub(in crate::model) spread: Spread,
    /// Responses whose rest came late.
    pub(in crate::model) rests: Rests,
    /// Connections on which the server spoke first and the client then; those of them on which the
    /// application took at least [`SLOW_US`] for it.
    pub(in crate::model) greeted: u64,
    pub(in crate::model) greetings: Tally,
    /// Sizes of the pair of writes of the longest hold by Nagle's algorithm.
    pub(in crate::model) nagle_sizes: [u32; 2],
    /// Exchanges written in many small pieces, these writes, and their bytes.
    pub(in crate::model) small_exchanges: u64,
    pub(in crate::model) small_writes: u64,
    pub(in crate::model) small_bytes: u64,
    /// Exchanges that had segments sent again, and these.
    pub(in crate::model) resent_exchanges: u64,
    pub(in crate::model) resent_segments: u64,
    pub(in crate::model) resent_us: u64,
    /// Accepted connections that the application closed at once, nothing read; how long after;
    /// those of them that it reset; the process of the last.
    pub(in crate::model) unserved: Tally,
    pub(in crate::model) unserved_reset: u64,
    /// Those of them to which it had written, without a read.
    pub(in crate::model) unserved_told: u64,
    pub(in crate::model) unserved_pid: u32,
    /// What became of responses on their way out.
    pub(in crate::model) sent: Sent,
    /// Of these exchanges: first calls of a connection. The server may have ignored them.
    pub(in crate::model) resent_first: u64,
    /// Accepted connections that closed; those of them with at most one exchange, and by whom.
    pub(in crate::model) closes: u64,
    pub(in crate::model) short: u64,
    /// Those of the short ones that this host closed first.
    pub(in crate::model) short_closed_here: u64,
    pub(in crate::model) peers: BTreeMap<IpAddr, u64>,
    /// Requests that came when this host had closed their idle connections, and how long these had
    /// been idle.
    pub(in crate::model) late: Tally,
    /// Those of them that came before the close, so that they are exchanges without an answer.
    pub(in crate::model) late_read: u64,
    /// Those whose connection was read from still, so that no RST answered them.
    pub(in crate::model) late_lingered: u64,
    /// Requests of this host that met connections which their server had closed.
    pub(in crate::model) late_calls: u64,
    /// Responses that a RST followed since the request was not read to its end; the bytes unread.
    pub(in crate::model) truncated: u64,
    pub(in crate::model) unread_bytes: u64,
    /// Those of them with bytes that were not acknowledged then, and these.
    pub(in crate::model) cut: u64,
    pub(in crate::model) cut_bytes: u64,
    /// Connections to which more data came right after this host had closed.
    pub(in crate::model) after_close: u64,
}

/// How much is whose, by upstream address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Upstreams(BTreeMap<SocketAddr, u64>);

impl Upstreams {
    pub(super) fn add(&mut self, peer: SocketAddr, more: u64) {
        if self.0.len() < MAX_PEERS || self.0.contains_key(&peer) {
            *self.0.entry(peer).or_default() += more;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(&peer, &more)| self.add(peer, more));
    }

    /// The one with most, and how much.
    pub(in crate::model) fn most(&self) -> Option<(SocketAddr, u64)> {
        self.0.iter().max_by_key(|&(_, &much)| much).map(|(&peer, &much)| (peer, much))
    }
}

impl ExchangeStats {
    pub(in crate::model) fn slow(&self, kind: SliceKind) -> &Tally {
        &self.slow[kind as usize]
    }

    /// What `later` says is left out of what is slow.
    pub(super) fn add(&mut self, exchange: &Exchange, view: &ExchangeView, later: Later) {
        let total_us = counted_us(view);
        self.exchanges += 1;
        self.time_us = self.time_us.saturating_add(total_us);
        if exchange.seq == 1 {
            let handshake_us = time_of(view, SliceKind::Handshake);
            if handshake_us > 0 {
                self.handshake.add(handshake_us);
            }
        }
        // A quick exchange was slow in nothing.
        if total_us >= SLOW_US {
            if time_of(view, SliceKind::Nagle) > self.slow(SliceKind::Nagle).worst_us {
                self.nagle_sizes = view.held_sizes;
            }
            self.add_slow(exchange, view, later);
            self.sent.add(exchange, view);
        }
        self.spread.add(exchange, view, total_us, later.waits);
        if view.unanswered {
            if exchange.role == Role::Server && !later.app {
                self.add_unanswered(unanswered(exchange, view));
            }
            self.add_unconnected(view);
        }
        self.add_writes(exchange, view);
    }

    /// Counts how the connection of a first exchange waited to be accepted, if it is known how the
    /// thread that did spent that time: by all its calls, or by its next one if that was its first
    /// since.
    pub(super) fn add_accept(&mut self, exchange: &Exchange, view: &ExchangeView, acceptor: u32) {
        if exchange.role == Role::Client || exchange.seq != 1 {
            return;
        }
        let mut wait = before_accept(view).peekable();
        let Some(from_ns) = wait.peek().map(|slice| slice.start_ns) else { return };
        let reader = exchange
            .inbound
            .as_ref()
            .and_then(|inbound| inbound.reader)
            .filter(|it| it.tid == acceptor);
        let mut is_known = reader
            .is_some_and(|reader| reader.since_ns.is_some_and(|since_ns| since_ns <= from_ns));
        let (mut wait_us, mut delay_us) = (0, 0);
        for slice in wait {
            is_known |= slice.cpu_us.is_some() || slice.kind == SliceKind::Throttled;
            wait_us += slice.us;
            delay_us += if slice.kind == SliceKind::AcceptQueue { 0 } else { slice.us };
        }
        if is_known {
            self.accept_us += wait_us;
            self.accept_delay_us += delay_us;
        }
    }

    /// A server had spoken first, after so long.
    pub(super) fn add_greeting(&mut self, us: Option<u64>) {
        self.greeted += u64::from(us.is_some());
        if let Some(us) = us.filter(|us| *us >= SLOW_US) {
            self.greetings.add(us);
        }
    }

    pub(super) fn add_unanswered(&mut self, unanswered: Option<Unanswered>) {
        if let Some(Unanswered { us, refused }) = unanswered {
            self.unanswered.add(us);
            self.unanswered_here += u64::from(refused);
        }
    }

    /// Of a request without an answer: whether it waited for connects that failed.
    fn add_unconnected(&mut self, view: &ExchangeView) {
        let Some(last) = view.connects.last().filter(|_| view.unanswered) else { return };
        let waited_us: u64 = view.connects.iter().map(|failure| failure.us).sum();
        if waited_us * 2 >= counted_us(view) {
            self.unanswered_connects += 1;
            self.unanswered_refused += u64::from(last.kind() == SliceKind::ConnectRefused);
            self.unconnected.add(last.peer, 1);
        }
    }

    /// A call of this peer's is over.
    pub(super) fn add_call(&mut self, peer: SocketAddr, unanswered: Option<Unanswered>) {
        if let Some(Unanswered { us, refused }) = unanswered {
            self.unanswered_calls.add(us);
            self.unanswered_there += u64::from(refused);
            self.unanswered_upstreams.add(peer, 1);
        }
    }

    fn add_slow(&mut self, exchange: &Exchange, view: &ExchangeView, later: Later) {
        let mut by_kind = [0; SliceKind::ALL.len()];
        exchange::counted(&view.slices).for_each(|(kind, us)| by_kind[kind as usize] += us);
        if by_kind[SliceKind::RunQueue as usize].max(by_kind[SliceKind::Throttled as usize])
            >= SLOW_US
        {
            self.ready_pid = user_of(exchange).unwrap_or(self.ready_pid);
        }
        let time = AppTime::of(exchange, view);
        self.app_several += u64::from(view.several && !later.waits && time.answer_us >= SLOW_US);
        by_kind[SliceKind::App as usize] =
            if later.waits || later.app || view.unanswered { 0 } else { time.answer_us };
        // Between the answers to several calls there is no rest of any.
        if !later.waits && !view.several && time.rest_us >= SLOW_US {
            self.rests.add(time.rest_us, time.rest_cpu_us);
        }
        let of = |kind: SliceKind| by_kind[kind as usize];
        if !later.unread {
            self.add_unread(view);
        }
        if of(SliceKind::App) >= SLOW_US {
            let known = cpu(view, SliceKind::App);
            self.app_cpu_us += known.0;
            self.app_known_us += known.1;
            self.app_calls += u64::from(!view.inside.is_empty());
        }
        for (tally, us) in self.slow.iter_mut().zip(by_kind).filter(|(_, us)| *us >= SLOW_US) {
            tally.add(us);
        }
    }

    fn add_unread(&mut self, view: &ExchangeView) {
        let unread = Unread::of(view);
        if unread.queue_us + unread.delay_us < SLOW_US {
            return;
        }
        self.unread.add(unread.queue_us + unread.delay_us);
        let known = cpu(view, SliceKind::ReceiveQueue);
        self.unread_cpu_us += known.0;
        self.unread_delay_us += unread.delay_us;
        self.unread_known_us += known.1 + unread.delay_us;
    }

    fn add_writes(&mut self, exchange: &Exchange, view: &ExchangeView) {
        let Some(outbound) = &exchange.outbound else { return };
        if outbound.retransmits > 0 {
            let is_call = exchange.role == Role::Client;
            if !(is_call && time_of(view, SliceKind::Ignored) > 0) {
                self.resent_exchanges += 1;
                self.resent_first += u64::from(is_call && exchange.seq == 1);
                self.resent_segments += u64::from(outbound.retransmits);
            }
            self.resent_us += time_of(view, SliceKind::Retransmit);
        }
        if outbound.small_writes >= 4 && outbound.small_writes * 2 >= outbound.writes {
            let apart_ns = outbound.last_ns.saturating_sub(outbound.first_ns)
                / u64::from(outbound.writes.max(1));
            if apart_ns < STREAM_NS {
                self.small_exchanges += 1;
                self.small_writes += u64::from(outbound.writes);
                self.small_bytes += outbound.bytes;
            }
        }
    }

    /// Counts a connection that closed.
    pub(super) fn add_close(&mut self, connection: &Connection) {
        // What it was used for was not seen.
        if connection.origin.multipath {
            return;
        }
        self.closes += 1;
        if connection.exchanges() <= 1 {
            self.short += 1;
            self.short_closed_here += u64::from(connection.ended_by() == Some(Side::Local));
            let peer = connection.peer().ip();
            if self.peers.len() < MAX_PEERS || self.peers.contains_key(&peer) {
                *self.peers.entry(peer).or_default() += 1;
            }
        }
    }

    /// Counts one that the application closed at once.
    pub(super) fn add_unserved(&mut self, close: &Close) {
        self.unserved.add(close.after_ns / 1_000);
        self.unserved_reset += u64::from(close.how == Ending::Reset);
        self.unserved_told += u64::from(close.told);
        self.unserved_pid = close.pid;
    }

    pub(super) fn add_end(&mut self, closed: &Closed, role: Role, end: &EndView) {
        match (end.cause, role) {
            // Unread data are a request that came when the server was about to close.
            (Some(Cause::LateRequest), Role::Server) if end.reset_by.is_none() => {}
            (Some(Cause::LateRequest), Role::Server) => {
                self.late.add(0);
                self.late_read += 1;
            }
            (Some(Cause::LateRequest), Role::Client) => self.late_calls += 1,
            _ if is_truncated(closed, end, role) => {
                self.truncated += 1;
                self.unread_bytes += end.unread_bytes;
                self.cut += u64::from(end.unacked_bytes > 0);
                self.cut_bytes += end.unacked_bytes;
            }
            _ => {}
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.slow(SliceKind::Nagle).worst_us > self.slow(SliceKind::Nagle).worst_us {
            self.nagle_sizes = other.nagle_sizes;
        }
        self.exchanges += other.exchanges;
        self.time_us = self.time_us.saturating_add(other.time_us);
        self.handshake.merge(&other.handshake);
        self.accept_us += other.accept_us;
        self.accept_delay_us += other.accept_delay_us;
        self.slow.iter_mut().zip(&other.slow).for_each(|(tally, more)| tally.merge(more));
        self.unread.merge(&other.unread);
        self.unread_cpu_us += other.unread_cpu_us;
        self.unread_delay_us += other.unread_delay_us;
        self.unread_known_us += other.unread_known_us;
        self.app_cpu_us += other.app_cpu_us;
        self.app_known_us += other.app_known_us;
        self.app_several += other.app_several;
        self.unread_lack.merge(&other.unread_lack);
        self.app_lack.merge(&other.app_lack);
        self.app_parked += other.app_parked;
        self.blocking.merge(&other.blocking);
        self.held_up += other.held_up;
        self.held_up_us = self.held_up_us.max(other.held_up_us);
        if other.blocking_tid != 0 {
            self.blocking_tid = other.blocking_tid;
        }
        self.app_calls += other.app_calls;
        self.spread.merge(&other.spread);
        self.rests.merge(&other.rests);
        self.greeted += other.greeted;
        self.greetings.merge(&other.greetings);
        if other.ready_pid != 0 {
            self.ready_pid = other.ready_pid;
        }
        self.app_joined += other.app_joined;
        self.app_upstream_us += other.app_upstream_us;
        self.app_upstreams.merge(&other.app_upstreams);
        self.unanswered.merge(&other.unanswered);
        self.unanswered_here += other.unanswered_here;
        self.unanswered_joined += other.unanswered_joined;
        self.unanswered_connects += other.unanswered_connects;
        self.unanswered_refused += other.unanswered_refused;
        self.unconnected.merge(&other.unconnected);
        self.unanswered_calls.merge(&other.unanswered_calls);
        self.unanswered_there += other.unanswered_there;
        self.unanswered_upstreams.merge(&other.unanswered_upstreams);
        self.held_back.merge(&other.held_back);
        self.small_exchanges += other.small_exchanges;
        self.small_writes += other.small_writes;
        self.small_bytes += other.small_bytes;
        self.resent_exchanges += other.resent_exchanges;
        self.resent_segments += other.resent_segments;
        self.resent_us += other.resent_us;
        self.unserved.merge(&other.unserved);
        self.unserved_reset += other.unserved_reset;
        self.unserved_told += other.unserved_told;
        if other.unserved_pid != 0 {
            self.unserved_pid = other.unserved_pid;
        }
        self.sent.merge(&other.sent);
        self.resent_first += other.resent_first;
        self.closes += other.closes;
        self.short += other.short;
        self.short_closed_here += other.short_closed_here;
        self.late.merge(&other.late);
        self.late_read += other.late_read;
        self.late_lingered += other.late_lingered;
        self.late_calls += other.late_calls;
        self.truncated += other.truncated;
        self.unread_bytes += other.unread_bytes;
        self.cut += other.cut;
        self.cut_bytes += other.cut_bytes;
        self.after_close += other.after_close;
        for (&peer, &count) in &other.peers {
            *self.peers.entry(peer).or_default() += count;
        }
    }
}

/// The process that wrote, or read.
fn user_of(exchange: &Exchange) -> Option<u32> {
    let writer = exchange.outbound.as_ref().and_then(|outbound| outbound.writer);
    let reader = exchange.inbound.as_ref().and_then(|inbound| inbound.reader);
    writer.or(reader).map(|thread| thread.pid)
}

/// What of an exchange is not judged with the rest of it: it waits by design, or its other side is
/// not known yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Later {
    pub(super) waits: bool,
    pub(super) app: bool,
    pub(super) unread: bool,
}

/// What there is to say of an exchange that nobody answered.
pub(super) fn unanswered(exchange: &Exchange, view: &ExchangeView) -> Option<Unanswered> {
    let refuses = if exchange.role == Role::Server { Side::Local } else { Side::Peer };
    let refused = exchange.end.is_some_and(|end| end.by == refuses);
    view.unanswered.then(|| Unanswered { us: counted_us(view), refused })
}

/// Time of a kind, µs.
pub(super) fn time_of(view: &ExchangeView, kind: SliceKind) -> u64 {
    view.slices.iter().filter(|slice| slice.kind == kind).map(|slice| slice.us).sum()
}

/// Time on a CPU in slices of a kind, and the time of those slices of which that is known, µs.
pub(super) fn cpu(view: &ExchangeView, kind: SliceKind) -> (u64, u64) {
    let of_kind = view.slices.iter().filter(|slice| slice.kind == kind);
    of_kind
        .filter_map(|slice| Some((slice.cpu_us?, slice.us)))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// How the time was spent in which a connection waited to be accepted.
fn before_accept(view: &ExchangeView) -> impl Iterator<Item = &Slice> {
    use SliceKind::{AcceptQueue, Handshake, Ignored, RunQueue, Throttled};
    let slices = view.slices.iter().skip_while(|slice| matches!(slice.kind, Handshake | Ignored));
    slices.take_while(|slice| matches!(slice.kind, AcceptQueue | RunQueue | Throttled))
}
