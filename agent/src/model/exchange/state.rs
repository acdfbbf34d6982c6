//! States of an exchange: silent, answered, quiet; and the request that follows it.

use backscope_abi::{ORDINARY_ACKED_SHIFT, ORDINARY_SHIFT};

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

/// It is such that it may stand for exchanges that were left untold: as short as these are.
pub(in crate::model) fn is_ordinary(exchange: &Exchange) -> bool {
    let (Some(inbound), Some(outbound)) = (&exchange.inbound, &exchange.outbound) else {
        return false;
    };
    let begun_ns = inbound.first_ns.min(outbound.first_ns);
    let (read_ns, sent_ns) = (inbound.read_last_ns.unwrap_or(0), outbound.sent_ns.unwrap_or(0));
    let last_ns = inbound.last_ns.max(read_ns).max(outbound.last_ns).max(sent_ns);
    let acked_ns = outbound.acked_ns.unwrap_or(0);
    exchange.role == Role::Server
        && last_ns.saturating_sub(begun_ns) >> ORDINARY_SHIFT == 0
        && acked_ns.saturating_sub(begun_ns) >> ORDINARY_ACKED_SHIFT == 0
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
