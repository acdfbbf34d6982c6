//! Servers that speak first, and the wait of their clients for that. A feed that has no news yet
//! looks alike, but its client has nothing to say. So a greeting is what the client's first request
//! follows at once.

use super::slices::us_before;
use crate::bounded::Bounded;
use crate::model::event::{Exchange, Role, SockId};
use crate::model::snapshot::{ExchangeView, SliceKind};

/// Connections on which a server has spoken first, and nobody since. Of more the oldest gives way:
/// if it was a greeting, nobody learns how late it was.
pub const MAX_GREETED: usize = 4_096;
/// The first request follows so soon, ns.
const AT_ONCE_NS: u64 = 1_000_000_000;

/// Tells whether the server spoke first in it, on a connection that was seen from its beginning.
pub(super) fn greets(exchange: &Exchange) -> bool {
    exchange.role == Role::Server
        && exchange.seq == 1
        && !exchange.preexisting
        && exchange.inbound.is_none()
}

/// Connections on which a server has spoken first: the time of that, and the application time
/// before it, µs.
#[derive(Clone, Debug)]
pub(super) struct Greetings(Bounded<SockId, (u64, u64)>);

impl Default for Greetings {
    fn default() -> Self {
        Self(Bounded::new(MAX_GREETED))
    }
}

impl Greetings {
    /// Notes a greeting. Of an exchange that follows one at once, returns the application time of
    /// that greeting, µs.
    pub(super) fn add(&mut self, exchange: &Exchange, view: &ExchangeView) -> Option<u64> {
        if greets(exchange) {
            let outbound = exchange.outbound.as_ref()?;
            let us = app_us_before(view, outbound.first_ns);
            self.0.insert(exchange.sock, (outbound.last_ns, us));
            return None;
        }
        if self.0.is_empty() {
            return None;
        }
        let (written_ns, us) = self.0.remove(exchange.sock)?;
        let inbound = exchange.inbound.as_ref()?;
        if inbound.first_ns > written_ns.saturating_add(AT_ONCE_NS) {
            return None;
        }
        Some(us)
    }

    /// Forgets a connection that closed.
    pub(super) fn closed(&mut self, sock: SockId) {
        if !self.0.is_empty() {
            self.0.remove(sock);
        }
    }

    /// Returns how many gave way.
    pub(super) fn gave_way(&self) -> u64 {
        self.0.gave_way()
    }
}

/// Application time before a write, µs.
fn app_us_before(view: &ExchangeView, written_ns: u64) -> u64 {
    let mut sum_us: u64 = 0;
    for slice in &view.slices {
        if slice.kind == SliceKind::App {
            sum_us = sum_us.saturating_add(us_before(slice, written_ns));
        }
    }
    sum_us
}
