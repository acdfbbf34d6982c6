//! From a request to the call that it waited for, or from a call to its request, and back.

use super::app::{App, Open};
use super::view;
use crate::model::event::SockId;
use crate::model::snapshot::{ConnectionView, ExchangeView, Snapshot};

/// A connection and the exchange that was chosen on it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    open: Open,
    exchange: Option<u32>,
}

/// The other side of the exchange on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherSide {
    /// The call that it waited for longest.
    Call(SockId, u32),
    /// The request that it was made for.
    Request(SockId, u32),
}

impl OtherSide {
    /// Returns the other side of an exchange, if one is known.
    fn of(exchange: &ExchangeView) -> Option<Self> {
        let longest = exchange.longest_wait().and_then(|wait| wait.call);
        let likely = exchange.upstream.iter().find(|join| join.seq > 0);
        if let Some((sock, seq)) = longest.or(likely.map(|join| (join.sock, join.seq))) {
            return Some(Self::Call(sock, seq));
        }
        let join = exchange.downstream?;
        Some(Self::Request(join.sock, join.seq))
    }

    /// Word for the key that leads there.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Call(..) => "its call",
            Self::Request(..) => "its request",
        }
    }

    fn id(self) -> (SockId, u32) {
        match self {
            Self::Call(sock, seq) | Self::Request(sock, seq) => (sock, seq),
        }
    }
}

impl App {
    /// Returns the other side of the exchange on screen, if that is kept.
    pub(super) fn other_side(&self) -> Option<OtherSide> {
        let (Some(snapshot), Some(Open::Connection(connection))) = (&self.shown, &self.open) else {
            return None;
        };
        let exchange = view::shown_exchange(connection, self.exchange)?;
        let other = OtherSide::of(exchange)?;
        find(snapshot, other.id()).map(|_| other)
    }

    /// Opens the other side of the exchange on screen. From there the way leads back here.
    pub(super) fn jump(&mut self) {
        let Some(other) = self.other_side() else { return };
        let (sock, seq) = other.id();
        let from = |place: &Place| matches!(&place.open, Open::Connection(one) if one.sock == sock);
        if self.jumps.last().is_some_and(from) {
            self.jump_back();
            return;
        }
        let Some(connection) = self.shown.as_ref().and_then(|shown| find(shown, (sock, seq)))
        else {
            return;
        };
        let there = Open::Connection(Box::new(connection.clone()));
        if let Some(open) = self.open.replace(there) {
            self.jumps.push(Place { open, exchange: self.exchange });
        }
        (self.exchange, self.scroll) = (Some(seq), 0);
    }

    /// Goes back to where the last jump began. False if there was none.
    pub(super) fn jump_back(&mut self) -> bool {
        let Some(Place { mut open, exchange }) = self.jumps.pop() else { return false };
        if let Open::Connection(connection) = &mut open
            && let Some(shown) = &self.shown
            && let Some(newer) = shown.connections.iter().find(|one| one.sock == connection.sock)
        {
            **connection = newer.clone();
        }
        (self.open, self.exchange, self.scroll) = (Some(open), exchange, 0);
        true
    }
}

/// Returns the connection that keeps an exchange.
fn find(snapshot: &Snapshot, (sock, seq): (SockId, u32)) -> Option<&ConnectionView> {
    let connection = snapshot.connections.iter().find(|connection| connection.sock == sock)?;
    let keeps = view::exchanges(connection).iter().any(|exchange| exchange.seq == seq);
    keeps.then_some(connection)
}
