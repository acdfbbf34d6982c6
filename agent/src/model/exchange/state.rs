//! States of an exchange: silent, answered, quiet; and the request that follows it.

use crate::model::event::{Exchange, Inbound, Role};
use crate::model::snapshot::Protocol;

/// No byte came and none was written: this is a spare connection or one that was only sampled, and
/// no exchange.
pub(in crate::model) fn is_silent(exchange: &Exchange) -> bool {
    let came = match &exchange.inbound {
        Some(inbound) => {
            inbound.bytes > 0 || inbound.unread_bytes > 0 || inbound.read_first_ns.is_some()
        }
        None => false,
    };
    exchange.outbound.is_none() && !came
}

/// An error that a server of HTTP/1 writes before anything was asked: that nothing was (400, 408).
/// It answers no request, and the time before it was the client's. Servers of other protocols may
/// have to speak first.
pub(in crate::model) fn is_farewell(exchange: &Exchange, protocol: Option<Protocol>) -> bool {
    exchange.role == Role::Server
        && exchange.inbound.is_none()
        && exchange.seq == 1
        && !exchange.preexisting
        && protocol.is_some_and(Protocol::is_http1)
}

/// A server's exchange whose response has been written, sent and acknowledged. More of it may come
/// still.
pub(in crate::model) fn is_answered(exchange: &Exchange) -> bool {
    let Some(sent) = &exchange.outbound else { return false };
    let settled = sent.unsent_bytes == 0 && sent.unacked_bytes == 0 && sent.acked_ns.is_some();
    exchange.role == Role::Server && exchange.unread_bytes() == 0 && settled
}

/// An answered exchange without the next request, which lies unread behind it.
pub(in crate::model) fn without_next(exchange: &Exchange) -> Exchange {
    let mut answered = exchange.clone();
    if let Some(inbound) = &mut answered.inbound {
        inbound.unread_bytes = 0;
    }
    answered
}

/// The request that lies unread behind an answered exchange. Its bytes came from the first of these
/// times to the other.
pub(in crate::model) fn next(exchange: &Exchange, (first_ns, last_ns): (u64, u64)) -> Exchange {
    let unread_bytes = exchange.unread_bytes();
    let inbound = Inbound { first_ns, last_ns, unread_bytes, ..Inbound::default() };
    let seq = exchange.seq.saturating_add(1);
    Exchange { seq, preexisting: false, inbound: Some(inbound), outbound: None, ..exchange.clone() }
}

/// Nothing of it is on the way or waits to be read: it is over unless more comes.
pub(in crate::model) fn is_quiet(exchange: &Exchange) -> bool {
    match exchange.role {
        Role::Server => is_answered(exchange),
        Role::Client => {
            let Some(inbound) = &exchange.inbound else { return false };
            let is_read = inbound.unread_bytes == 0 && inbound.reads > 0;
            let is_sent = match &exchange.outbound {
                Some(outbound) => outbound.unsent_bytes == 0,
                None => true,
            };
            is_read && is_sent
        }
    }
}
