//! One connection, kept small: there may be a hundred thousand.

mod exchanges;
mod ignored;
mod view;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::compact::{Bytes, Endpoint, Tid};
use super::origin::{Origin, Origins};
use super::sums::{Sum, Sums};
use crate::model::event::{
    Accept, Closed, ClosingSocket, ConnectionSample, Ending, Exchange, Opened, Role, Side, TcpState,
};
use crate::model::exchange::Ignoring;
use crate::model::output::Ends;
use crate::model::snapshot::{EndView, Protocol, SliceKind, TlsView};
pub(in crate::model) use exchanges::counted_us;
use ignored::packed;

/// Everything the model keeps of one connection, but its exchanges in detail.
///
/// It begins by `accepted` or `opened`, `speaks` once its protocol is known, and ends by `close`.
/// In between, `exchanges.rs` has its exchanges: `set_current`, `touch` and `take_current` for the
/// present one; `view_of` or `view_in`, then `add`, for one that is over; `add_late` for what comes
/// after that. `view.rs` shows it.
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

/// State of only those connections that are at work, have just ended, or come from an IPv6 address.
#[derive(Clone, Debug, Default)]
struct Rare {
    far_ip: Option<Ipv6Addr>,
    /// The exchange that it is in, while that is not reported.
    exchange: Option<Box<Exchange>>,
    end: Option<End>,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug)]
struct End {
    closed_ns: u64,
    /// Exchanges, as the probes count them: also those that they dropped.
    exchanges: u32,
    by: Option<(Side, Ending)>,
    /// Time at which the first FIN or RST was seen or sent; 0 if none was.
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
            preexisting: false,
            protocol: None,
            deferred,
            fast_open: false,
            sees_delayed_acks: origins.sees_delayed_acks,
            multipath: false,
            state: TcpState::Established,
        });
        let mut connection = Self::new(origin, accept.peer, accept.ts_ns, accept.handshake_us);
        connection.sums.add(Sum::Others, accept.stands_for - 1);
        // Without the time of queueing nothing is known of the wait.
        if let Some(queued_ns) = accept.queued_ns {
            let queued_for_ns = accept.ts_ns.saturating_sub(queued_ns);
            connection.sums.add(Sum::Queued, queued_for_ns.saturating_add(1));
            if let Some(ignored) = ignored {
                connection.sums.add(Sum::Ignored, packed(ignored, queued_ns));
            }
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
            comm: opened.comm.clone(),
            acceptor: 0,
            preexisting: opened.preexisting,
            protocol: None,
            deferred: false,
            fast_open: false,
            sees_delayed_acks: origins.sees_delayed_acks,
            multipath: false,
            state: TcpState::Established,
        });
        let mut connection = Self::new(origin, far, opened.ts_ns, opened.handshake_us);
        if let Some(asked_ns) = opened.asked_ns {
            let took_ns = opened.ts_ns.saturating_sub(asked_ns);
            connection.sums.add(Sum::Queued, took_ns.saturating_add(1));
        }
        connection.sums.add(Sum::SynsAgain, opened.syns_again.into());
        connection
    }

    fn new(origin: Arc<Origin>, far: SocketAddr, since_ns: u64, handshake_us: Option<u64>) -> Self {
        let (far, far_ip) = Endpoint::new(far);
        let mut sums = Sums::default();
        if let Some(us) = handshake_us {
            sums.add(Sum::Handshake, us.saturating_add(1));
        }
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
        let ip = match &self.rare {
            Some(rare) => rare.far_ip,
            None => None,
        };
        self.far.address(ip)
    }

    pub(in crate::model) fn local(&self) -> SocketAddr {
        if self.origin.role == Role::Server { self.origin.near } else { self.far() }
    }

    pub(in crate::model) fn peer(&self) -> SocketAddr {
        if self.origin.role == Role::Server { self.far() } else { self.origin.near }
    }

    pub(in crate::model) fn exchanges(&self) -> u32 {
        match self.end() {
            Some(end) => end.exchanges,
            None => self.exchanges_reported(),
        }
    }

    /// Exchanges that the probes reported, and those that these stand for.
    fn exchanges_reported(&self) -> u32 {
        let stood_for = self.sums.get(Sum::Untold) - self.sums.get(Sum::Waiting);
        self.reported - self.sums.get(Sum::Missed).saturating_sub(stood_for) as u32
    }

    /// Segments that this host sent again.
    pub(super) fn retransmits(&self) -> u64 {
        self.sums.get(Sum::Retransmits)
    }

    /// Its ends, for reports on its exchanges.
    pub(in crate::model) fn ends(&self) -> Ends {
        let Origin { listener, pid, comm, .. } = &*self.origin;
        Ends {
            listener: *listener,
            local: self.local(),
            peer: self.peer(),
            pid: *pid,
            comm: comm.clone(),
        }
    }

    pub(super) fn state(&self) -> TcpState {
        if self.is_open() { self.origin.state } else { TcpState::Closed }
    }

    /// Time of the call of `connect` for a connection that was made, if that was seen.
    pub(in crate::model) fn asked_ns(&self) -> Option<u64> {
        if self.origin.preexisting {
            return None;
        }
        let took_ns = match self.queued_for_ns() {
            Some(took_ns) => took_ns,
            None => self.handshake_us().unwrap_or(0).saturating_mul(1_000),
        };
        Some(self.since_ns.saturating_sub(took_ns))
    }

    pub(super) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    pub(in crate::model) fn protocol(&self) -> Option<Protocol> {
        self.origin.protocol
    }

    /// It was not watched for a while: it counts as one that was open at the attach.
    pub(in crate::model::connections) fn was_left(&mut self, origins: &mut Origins) {
        if !self.origin.preexisting {
            origins.change(&mut self.origin, |origin| origin.preexisting = true);
        }
    }

    /// Several requests may be under way on it at a time.
    pub(in crate::model) fn is_multiplexed(&self) -> bool {
        self.protocol().is_some_and(Protocol::is_multiplexed)
    }

    /// Notes its protocol; and that its SYN carried data, if `fast_open` is set.
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
        self.rare.as_ref()?.end
    }

    /// Side that ended it first, if that was seen.
    pub(in crate::model) fn ended_by(&self) -> Option<Side> {
        let (side, _) = self.end()?.by?;
        Some(side)
    }

    /// View of its end; without any figure while it is open.
    pub(super) fn end_view(&self) -> EndView {
        match self.end() {
            Some(end) => end.more,
            None => EndView::default(),
        }
    }

    /// Changes the view of its end, if it has ended.
    pub(super) fn change_end(&mut self, change: impl FnOnce(&mut EndView)) {
        if let Some(rare) = &mut self.rare
            && let Some(end) = &mut rare.end
        {
            change(&mut end.more);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.end().is_none()
    }

    pub(in crate::model) fn closed_ns(&self) -> Option<u64> {
        Some(self.end()?.closed_ns)
    }

    /// End of an accepted connection that the application closed with nothing read: the way it did,
    /// and the time since accept, ns.
    pub(in crate::model) fn closed_unread(&self) -> Option<(Ending, u64)> {
        let end = self.end()?;
        let (side, how) = end.by?;
        let unread = side == Side::Local && self.bytes_in.get() == 0;
        let seen = !self.origin.preexisting && end.since_ns > 0;
        if !unread || !seen {
            return None;
        }
        Some((how, end.since_ns.saturating_sub(self.since_ns)))
    }

    /// Nothing was written, either, or data had come.
    pub(in crate::model) fn is_unserved(&self) -> bool {
        !self.has_written() || self.end_view().unread_bytes > 0
    }

    /// This side wrote something on it.
    pub(in crate::model) fn has_written(&self) -> bool {
        self.bytes_out.get() > 0
    }

    fn handshake_us(&self) -> Option<u64> {
        self.sums.get(Sum::Handshake).checked_sub(1)
    }

    /// Adds the handshake of a client to the time of its first answer: its first exchange begins
    /// only once it is connected.
    fn with_handshake(&self, mut tls: TlsView) -> TlsView {
        if let (Role::Client, Some(answer), Some(us)) =
            (self.origin.role, &mut tls.first_answer, self.handshake_us())
        {
            answer.us = answer.us.saturating_add(us);
        }
        tls
    }

    /// Its wait in the accept queue, or the time that its connect took, ns, if that is known.
    fn queued_for_ns(&self) -> Option<u64> {
        self.sums.get(Sum::Queued).checked_sub(1)
    }

    pub(super) fn sampled(&mut self, sample: &ConnectionSample, origins: &mut Origins) {
        self.is_in(sample.state, origins);
    }

    /// Notes what the kernel says of it while it is closing.
    pub(super) fn is_closing(&mut self, closing: &ClosingSocket, origins: &mut Origins) {
        self.is_in(closing.state, origins);
        if let Some(retransmits) = closing.retransmits {
            self.sums.raise(Sum::AllRetransmits, retransmits.into());
        }
    }

    fn is_in(&mut self, state: TcpState, origins: &mut Origins) {
        if self.origin.state != state {
            origins.change(&mut self.origin, |origin| origin.state = state);
        }
    }

    pub(super) fn close(&mut self, closed: &Closed, more: EndView, origins: &mut Origins) {
        if closed.multipath {
            origins.change(&mut self.origin, |origin| origin.multipath = true);
        }
        let exchanges = if self.only_took_leave(closed) {
            0
        } else {
            self.exchanges_reported().max(closed.exchanges)
        };
        let rare = self.rare.get_or_insert_default();
        rare.exchange = None;
        let (by, since_ns) = (closed.by.zip(closed.how), closed.since_ns.unwrap_or(0));
        rare.end = Some(End { closed_ns: closed.ts_ns, exchanges, by, since_ns, more });
        // These have the exchanges that were dropped under pressure, too, and of those that were left
        // untold the bytes are reckoned.
        if self.sums.get(Sum::Untold) > 0 && !closed.untold {
            self.bytes_in.set(closed.bytes_in);
            self.bytes_out.set(closed.bytes_out);
        } else {
            self.bytes_in.set(self.bytes_in.get().max(closed.bytes_in));
            self.bytes_out.set(self.bytes_out.get().max(closed.bytes_out));
        }
        self.sums.raise(Sum::Retransmits, closed.retransmits.into());
        if let Some(sent) = closed.delayed_acks {
            self.note_delayed_acks(sent, closed.delayed_ack_us, origins);
        }
    }

    /// Nothing was asked on it, and what its server wrote was no answer
    /// ([`is_farewell`](crate::model::exchange::is_farewell)).
    fn only_took_leave(&self, closed: &Closed) -> bool {
        let came = closed.bytes_in > 0 || closed.unread_bytes > 0 || closed.unseen;
        let asked = came || self.exchanges_reported() > 0;
        let http = self.protocol().is_some_and(Protocol::is_http1);
        http && !asked && self.origin.role == Role::Server && !self.origin.preexisting
    }

    /// Time by kind over all exchanges: those that took any, in order.
    pub(super) fn phases_us(&self) -> Vec<(SliceKind, u64)> {
        let mut times = Vec::new();
        for kind in SliceKind::ALL {
            let mut us = self.sums.get(Sum::Time(kind));
            if kind == SliceKind::DelayedAck {
                us = us.saturating_add(self.sums.get(Sum::TrailingUs));
            }
            if us > 0 {
                times.push((kind, us));
            }
        }
        times
    }

    /// Delayed ACKs that this host sent so far, and the sum of their waits, µs.
    pub(super) fn delayed_acks_sent(&self) -> Option<(u64, u64)> {
        if !self.origin.sees_delayed_acks {
            return None;
        }
        Some((self.sums.get(Sum::DelayedAcks), self.sums.get(Sum::DelayedAckUs)))
    }
}
