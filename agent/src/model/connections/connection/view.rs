//! The view of one connection.

use super::Connection;
use crate::model::connections::details::Detail;
use crate::model::connections::sums::Sum;
use crate::model::event::{HoldReason, Role, SockId};
use crate::model::snapshot::{
    ConnectionView, HoldView, Holder, HolderTimes, OwnerTimes, SliceKind, TlsView, Trailing,
};

impl Connection {
    fn holds(&self) -> Vec<HoldView> {
        let mut holds = Vec::new();
        for reason in HoldReason::ALL {
            let (count, us) =
                (self.sums.get(Sum::Holds(reason)), self.sums.get(Sum::HeldUs(reason)));
            if count > 0 {
                holds.push(HoldView { reason, count, us });
            }
        }
        holds
    }

    /// Where the time of its exchanges went, of those that are over.
    pub(in crate::model::connections) fn times(&self) -> OwnerTimes {
        let mut times = OwnerTimes { exchanges: self.exchanges().into(), ..OwnerTimes::default() };
        for kind in SliceKind::ALL {
            times.add_time(kind, self.sums.get(Sum::Time(kind)));
        }
        times
    }

    pub(in crate::model::connections) fn held(&self) -> HolderTimes {
        let mut held = HolderTimes::of_exchanges(self.exchanges().into());
        for kind in SliceKind::ALL {
            // A request has failed connects to upstreams, a call is itself one.
            let is_upstream = self.origin.role == Role::Server
                && matches!(kind, SliceKind::Connect | SliceKind::ConnectRefused);
            let holder = if is_upstream { Holder::Upstream } else { kind.owner().into() };
            held.add(holder, self.sums.get(Sum::Time(kind)));
        }
        held.give_upstream(self.sums.get(Sum::Upstream));
        held
    }

    /// Adds time that its requests waited for upstreams, µs.
    pub(in crate::model::connections) fn add_upstream(&mut self, us: u64) {
        self.sums.add(Sum::Upstream, us);
    }

    /// Bytes read and written, those of the present exchange included.
    pub(in crate::model::connections) fn bytes(&self) -> (u64, u64) {
        let (read, written) = (self.bytes_in.get(), self.bytes_out.get());
        match self.current() {
            Some(current) => (
                read.saturating_add(current.bytes_in()),
                written.saturating_add(current.bytes_out()),
            ),
            None => (read, written),
        }
    }

    /// Segments sent again, those of the present exchange included.
    pub(in crate::model::connections) fn all_retransmits(&self) -> u64 {
        let outbound = self.current().and_then(|current| current.outbound.as_ref());
        let more = outbound.map_or(0, |outbound| u64::from(outbound.retransmits));
        self.retransmits().saturating_add(more).max(self.sums.get(Sum::AllRetransmits))
    }

    pub(in crate::model::connections) fn view(
        &self,
        sock: SockId,
        detail: Option<&Detail>,
        tls: Option<TlsView>,
    ) -> ConnectionView {
        let mut view = self.summary(sock, tls);
        if let Some(detail) = detail {
            view.recent = detail.recent().collect();
            view.worst = detail.worst();
        }
        if let Some(current) = self.current() {
            view.current = Some(self.view_of(current));
            (view.bytes_in, view.bytes_out) = self.bytes();
            view.unread_bytes = current.unread_bytes();
            if let Some(outbound) = &current.outbound {
                view.unsent_bytes = outbound.unsent_bytes;
            }
        }
        view
    }

    /// The view without the exchanges, of which it has only the sums of those that are over.
    fn summary(&self, sock: SockId, tls: Option<TlsView>) -> ConnectionView {
        let origin = &self.origin;
        let took_us = self.queued_for_ns().map(|ns| ns / 1_000);
        let (queued_us, connect_us) = match origin.role {
            Role::Server => (took_us, None),
            Role::Client => (None, took_us),
        };
        // The kernel does not tell how long it then waited for data.
        let handshake_us = if origin.deferred { None } else { self.handshake_us() };
        let acceptor = match origin.acceptor {
            0 => None,
            tid => Some((tid, origin.comm.clone())),
        };
        let has_http2 =
            matches!(&tls, Some(tls) if tls.alpn.as_ref().is_some_and(|chosen| chosen == "h2"));
        ConnectionView {
            sock,
            role: origin.role,
            listener: origin.listener,
            local: self.local(),
            peer: self.peer(),
            pid: origin.pid,
            comm: origin.comm.clone(),
            protocol: origin.protocol,
            tls: tls.map(|tls| self.with_handshake(tls)),
            fast_open: origin.fast_open,
            multipath: origin.multipath,
            state: self.state(),
            preexisting: origin.preexisting,
            since_ns: self.since_ns,
            closed_ns: self.closed_ns(),
            ended: self.end().and_then(|end| end.by),
            end: self.end_view(),
            handshake_us,
            queued_us,
            connect_us,
            syns_again: self.sums.get(Sum::SynsAgain),
            acceptor,
            multiplexed: has_http2 || self.is_multiplexed(),
            pipelined: 0,
            first_request: None,
            streams: None,
            exchanges: self.exchanges().into(),
            times: self.times(),
            held: self.held(),
            current: None,
            recent: Vec::new(),
            worst: None,
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            unread_bytes: 0,
            unsent_bytes: 0,
            retransmits: self.all_retransmits(),
            holds: self.holds(),
            trailing: Trailing {
                count: self.sums.get(Sum::Trailing),
                us: self.sums.get(Sum::TrailingUs),
            },
        }
    }
}
