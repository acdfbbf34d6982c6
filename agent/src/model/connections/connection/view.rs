//! What is shown of one connection.

use super::Connection;
use crate::model::connections::details::Detail;
use crate::model::connections::sums::Sum;
use crate::model::event::{HoldReason, Role, SockId};
use crate::model::snapshot::{ConnectionView, HoldView, OwnerTimes, SliceKind, TlsView, Trailing};

impl Connection {
    fn holds(&self) -> Vec<HoldView> {
        let hold = |reason| {
            let (count, us) =
                (self.sums.get(Sum::Holds(reason)), self.sums.get(Sum::HeldUs(reason)));
            (count > 0).then_some(HoldView { reason, count, us })
        };
        HoldReason::ALL.into_iter().filter_map(hold).collect()
    }

    pub(in crate::model::connections) fn view(
        &self,
        sock: SockId,
        detail: Option<&Detail>,
        tls: Option<TlsView>,
    ) -> ConnectionView {
        let current = self.current();
        let inbound = current.and_then(|current| current.inbound.as_ref());
        let outbound = current.and_then(|current| current.outbound.as_ref());
        let trailing =
            Trailing { count: self.sums.get(Sum::Trailing), us: self.sums.get(Sum::TrailingUs) };
        let mut times = OwnerTimes { exchanges: self.exchanges().into(), ..OwnerTimes::default() };
        for kind in SliceKind::ALL {
            times.add_time(kind, self.sums.get(Sum::Time(kind)));
        }
        let has_http2 = tls.as_ref().and_then(|tls| tls.alpn.as_deref()) == Some("h2");
        ConnectionView {
            sock,
            role: self.origin.role,
            listener: self.origin.listener,
            local: self.local(),
            peer: self.peer(),
            pid: self.origin.pid,
            comm: self.origin.comm.to_string(),
            protocol: self.origin.protocol,
            tls: tls.map(|tls| self.with_handshake(tls)),
            fast_open: self.origin.fast_open,
            multipath: self.origin.multipath,
            state: self.state(),
            midway: self.origin.midway,
            since_ns: self.since_ns,
            closed_ns: self.closed_ns(),
            ended: self.end().and_then(|end| end.by),
            end: self.end_view(),
            // How long the kernel then waited for data is not told apart.
            handshake_us: self.handshake_us().filter(|_| !self.origin.deferred),
            queued_us: self
                .queued_for_ns()
                .filter(|_| self.origin.role == Role::Server)
                .map(|ns| ns / 1_000),
            connect_us: self
                .queued_for_ns()
                .filter(|_| self.origin.role == Role::Client)
                .map(|ns| ns / 1_000),
            syns_again: self.sums.get(Sum::SynsAgain),
            acceptor: Some(self.origin.acceptor)
                .filter(|tid| *tid != 0)
                .map(|tid| (tid, self.origin.comm.to_string())),
            multiplexed: has_http2 || self.is_multiplexed(),
            pipelined: 0,
            first_request: None,
            streams: None,
            exchanges: self.exchanges().into(),
            times,
            current: current.map(|current| self.view_of(current)),
            recent: detail.map_or_else(Vec::new, |detail| detail.recent().collect()),
            worst: detail.and_then(Detail::worst),
            bytes_in: self
                .bytes_in
                .get()
                .saturating_add(inbound.map_or(0, |inbound| inbound.bytes)),
            bytes_out: self
                .bytes_out
                .get()
                .saturating_add(outbound.map_or(0, |outbound| outbound.bytes)),
            unread_bytes: inbound.map_or(0, |inbound| inbound.unread_bytes),
            unsent_bytes: outbound.map_or(0, |outbound| outbound.unsent_bytes),
            retransmits: self
                .sums
                .get(Sum::Retransmits)
                .saturating_add(outbound.map_or(0, |outbound| outbound.retransmits.into())),
            holds: self.holds(),
            trailing,
        }
    }
}
