//! Sums over requests and calls that nobody answered.

use std::net::SocketAddr;

use super::slices::time_of;
use super::{Tally, Upstreams};
use crate::model::connections::counted_us;
use crate::model::crossings::Unanswered;
use crate::model::event::{Exchange, Role, Side};
use crate::model::snapshot::{ExchangeView, SliceKind};

/// Returns the wait for an answer that did not come; `None` for an exchange with one.
pub(super) fn unanswered(exchange: &Exchange, view: &ExchangeView) -> Option<Unanswered> {
    if !view.unanswered {
        return None;
    }
    let answerer = if exchange.role == Role::Server { Side::Local } else { Side::Peer };
    let refused = matches!(exchange.end, Some(end) if end.by == answerer);
    Some(Unanswered { us: counted_us(view), refused })
}

/// Sums over exchanges without an answer, and what they waited for.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct UnansweredStats {
    /// Requests that nobody answered.
    pub(in crate::model) requests: Tally,
    /// Those of them whose connection this host ended, and those that are joined to calls.
    pub(in crate::model) here: u64,
    pub(in crate::model) joined: u64,
    /// Time of requests in the accept queue, or ignored as that was full, and with the application,
    /// µs.
    pub(in crate::model) queue_us: u64,
    pub(in crate::model) app_us: u64,
    /// Those that waited for connects that failed, for most of their time; of them those that were
    /// refused; and to whom.
    pub(in crate::model) connects: u64,
    pub(in crate::model) refused: u64,
    pub(in crate::model) unconnected: Upstreams,
    /// Calls that nobody answered; those of them whose connection the peer ended; and to whom.
    pub(in crate::model) calls: Tally,
    pub(in crate::model) there: u64,
    pub(in crate::model) upstreams: Upstreams,
}

impl UnansweredStats {
    pub(super) fn add_request(&mut self, Unanswered { us, refused }: Unanswered) {
        self.requests.add(us);
        self.here += u64::from(refused);
    }

    pub(super) fn add_call(&mut self, peer: SocketAddr, Unanswered { us, refused }: Unanswered) {
        self.calls.add(us);
        self.there += u64::from(refused);
        self.upstreams.add(peer, 1);
    }

    /// Adds where the time of a request without an answer went.
    pub(super) fn add_waits(&mut self, view: &ExchangeView) {
        for kind in [SliceKind::AcceptQueue, SliceKind::Ignored] {
            self.queue_us = self.queue_us.saturating_add(time_of(view, kind));
        }
        self.app_us = self.app_us.saturating_add(time_of(view, SliceKind::App));
    }

    /// Counts a request without an answer that waited for connects that failed.
    pub(super) fn add_connects(&mut self, view: &ExchangeView) {
        let Some(last) = view.connects.last() else { return };
        let mut waited_us = 0_u64;
        for failure in &view.connects {
            waited_us = waited_us.saturating_add(failure.us);
        }
        if waited_us * 2 >= counted_us(view) {
            self.connects += 1;
            self.refused += u64::from(last.kind() == SliceKind::ConnectRefused);
            self.unconnected.add(last.peer, 1);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.requests.merge(&other.requests);
        self.here += other.here;
        self.joined += other.joined;
        self.queue_us = self.queue_us.saturating_add(other.queue_us);
        self.app_us = self.app_us.saturating_add(other.app_us);
        self.connects += other.connects;
        self.refused += other.refused;
        self.unconnected.merge(&other.unconnected);
        self.calls.merge(&other.calls);
        self.there += other.there;
        self.upstreams.merge(&other.upstreams);
    }
}
