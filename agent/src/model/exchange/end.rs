//! Exchanges without an answer: whether somebody waited for it, and how long.

use crate::model::event::{End, Ending, Exchange, Progress, Role, Side};
use crate::model::snapshot::Protocol;

/// A peer that stays this long after the last byte of a request waits for an answer, ns. The last
/// message of one that leaves sooner may have been a farewell.
const WAITED_NS: u64 = 20_000_000;
/// An encrypted message of fewer bytes may be one that nobody answers: the end of a handshake, an
/// alert, a control frame.
pub(in crate::model) const LEAST_SEALED: u64 = 100;

/// End of the wait for an answer that did not come, ns: the end of the connection, or the client's
/// leaving. `None` for an exchange that was answered or may be yet, and where it cannot be told.
fn over_ns(exchange: &Exchange) -> Option<u64> {
    let end = exchange.end?;
    // After anything but a FIN nothing passes any more, though a process may keep its socket.
    if end.how == Ending::Fin && exchange.progress != Progress::Closed {
        return None;
    }
    let is_over = match (exchange.role, &exchange.inbound, &exchange.outbound) {
        (Role::Client, None, Some(_)) => true,
        (Role::Server, Some(inbound), None) => {
            // After a FIN right behind the request the client may still wait for the response.
            let leaves = end.by == Side::Local || end.how != Ending::Fin;
            leaves || end.ts_ns >= inbound.last_ns.saturating_add(WAITED_NS)
        }
        // The answer met a client that had closed before.
        (Role::Server, Some(_), Some(sent)) => {
            end.gone && sent.acked_ns.is_none() && end.ts_ns < sent.first_ns
        }
        _ => false,
    };
    if is_over { Some(end.ts_ns) } else { None }
}

/// The exchange as it stood when the wait for its answer was over without one; `None` of any other.
pub(super) fn at_its_end(exchange: &Exchange) -> Option<Exchange> {
    let end_ns = over_ns(exchange)?.min(exchange.ts_ns);
    let mut at_end = Exchange { ts_ns: end_ns, progress: Progress::Open, ..exchange.clone() };
    if exchange.role == Role::Server {
        // A response that nobody received is no part of what the client waited for.
        at_end.outbound = None;
    }
    Some(at_end)
}

/// The RST or timeout that ended the connection; `None` after a FIN alone.
fn cut_off(exchange: &Exchange) -> Option<End> {
    exchange.end.filter(|end| end.how != Ending::Fin)
}

/// Nobody can answer it any more, or nobody can take the answer any more.
pub(in crate::model) fn is_over(exchange: &Exchange) -> bool {
    let is_response = exchange.role == Role::Server && exchange.outbound.is_some();
    over_ns(exchange).is_some() || is_response && cut_off(exchange).is_some()
}

/// The exchange closed by the RST or timeout of its connection, whose socket its process still
/// keeps: nothing comes after that, and what was not acknowledged will not be.
pub(in crate::model) fn cut(exchange: &Exchange) -> Option<Exchange> {
    let end = cut_off(exchange)?;
    let sent = exchange.outbound.as_ref()?;
    if exchange.progress != Progress::Open || over_ns(exchange).is_some() {
        return None;
    }
    let ts_ns = end.ts_ns.max(sent.last_ns).min(exchange.ts_ns);
    Some(Exchange { ts_ns, progress: Progress::Closed, ..exchange.clone() })
}

/// Somebody asked and waited, and nobody answered. `sealed` means that the bytes do not tell one
/// request from another: several at a time, or encrypted.
pub(in crate::model) fn is_unanswered(
    exchange: &Exchange,
    protocol: Option<Protocol>,
    sealed: bool,
) -> bool {
    let (Some(over_ns), Some(end), Some((bytes, asked_ns))) =
        (over_ns(exchange), exchange.end, request(exchange))
    else {
        return false;
    };
    let waits_by_design = protocol.and_then(Protocol::waits_for).is_some();
    if waits_by_design || sealed && bytes < LEAST_SEALED {
        return false;
    }
    let http = protocol.is_some_and(Protocol::is_http1);
    let waited_ns = over_ns.saturating_sub(asked_ns);
    // A peer that paused for longer between two pieces may only have paused once more.
    let pauses_ns = match (exchange.role, &exchange.inbound, &exchange.outbound) {
        (Role::Server, Some(inbound), _) => inbound.starved_ns,
        (Role::Client, _, Some(sent)) => sent.last_ns.saturating_sub(sent.first_ns),
        _ => 0,
    };
    if waited_ns >= WAITED_NS && (http || waited_ns > pauses_ns) {
        return true;
    }
    refused(exchange, end) && (http || exchange.role == Role::Client && exchange.seq == 1)
}

/// The side that was to answer ended the connection.
fn refused(exchange: &Exchange, end: End) -> bool {
    end.by == if exchange.role == Role::Server { Side::Local } else { Side::Peer }
}

/// The bytes of the request, and when the last of them was there, or was written.
fn request(exchange: &Exchange) -> Option<(u64, u64)> {
    match exchange.role {
        Role::Server => {
            let inbound = exchange.inbound.as_ref()?;
            Some((inbound.bytes.saturating_add(inbound.unread_bytes), inbound.last_ns))
        }
        Role::Client => {
            let outbound = exchange.outbound.as_ref()?;
            Some((outbound.bytes, outbound.last_ns))
        }
    }
}
