//! The exchanges of connections: those that are over are settled, the others kept.
//!
//! [`Connections::settle`] is called for each exchange. It lays the slices, completes them by what
//! the model knows beyond the record, judges them with their connection, and adds them to all sums.

use super::details::Details;
use super::nested_calls::NestedCalls;
use super::protocols::{Hellos, Requests, Turns};
use super::{Connection, Connections, LoopbackPairs, MAX_CURRENT, Told, counted_us, side};
use crate::model::event::{Exchange, Progress, Role, SockId};
use crate::model::exchange::{self, Beginning};
use crate::model::snapshot::{ExchangeView, Protocol, SliceKind};
use crate::model::unheard::Unheard;

impl Connections {
    /// Takes an exchange that ended, or facts of one that goes on from outside a sample.
    pub(in crate::model) fn exchanged(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        told: &mut impl Told,
    ) {
        if exchange.progress == Progress::Open {
            self.keep_current(now_ns, exchange, told);
        } else {
            self.settle(now_ns, exchange, told);
        }
    }

    /// Reports an exchange that is over, unless it has been reported.
    pub(super) fn settle(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        if exchange::is_silent(exchange) {
            return;
        }
        let sock = exchange.sock;
        let mut connection = self.table.get_mut(sock);
        if let Some(connection) = &mut connection {
            connection.note_untold(exchange);
            let is_farewell = exchange::is_farewell(exchange, connection.protocol());
            if is_farewell || connection.knows(exchange.seq) {
                if !is_farewell {
                    connection.add_late(exchange);
                }
                self.current -= usize::from(connection.take_current(exchange.seq));
                return;
            }
            note_ignored(&self.unheard, connection, exchange);
        }
        let buf = std::mem::take(&mut self.buf);
        let mut view = match &connection {
            Some(connection) => connection.view_in(exchange, buf),
            None => exchange::view_in(exchange, Beginning::default(), buf),
        };
        view.done = true;
        if let Some(connection) = &mut connection {
            view.stands_for = connection.take_untold(exchange);
        }
        if let Some(connection) = &connection
            && view.slices.iter().any(|slice| slice.kind == SliceKind::Streaming)
        {
            let earlier = self.details.get(sock);
            judge_stream(&mut view, self.requests.turns(exchange, connection.protocol(), earlier));
        }
        view.pushed_after_us = pushed_after_us(exchange, &self.details);
        self.spans.note(exchange);
        view.put_aside = self.spans.were_others_served(exchange);
        let acceptor = match &connection {
            Some(connection) if connection.origin.acceptor != 0 => Some(connection.origin.acceptor),
            _ => None,
        };
        exchange::complete(&mut view, acceptor, &self.spans);
        if let Some(after_us) = view.pushed_after_us {
            exchange::prepend_work(&mut view, after_us, &self.spans);
        }
        self.processors.attribute(exchange, &mut view);
        if let Some(connection) = &mut connection {
            view.connects = self.connects.claim(pid_of(exchange, connection), exchange);
            exchange::take_out(&mut view.slices, &view.connects);
            confirm(&self.loopback_pairs, connection, &mut view);
            judge_answer(&mut view, exchange, connection, &self.hellos, &self.requests);
            connection.add(exchange, &view, &mut self.origins);
            if exchange.seq == 1 {
                view.stands_for += connection.stands_for() - 1;
            }
            if let Some(outbound) = &exchange.outbound {
                self.retransmits[side(connection.origin.role)] += u64::from(outbound.retransmits);
            }
            note_nested_calls(&mut view, exchange, &mut self.nested_calls, &mut self.details);
            self.current -= usize::from(connection.take_current(exchange.seq));
        }
        view.handshake = self.hellos.exchanged(exchange, &view);
        self.times.add(now_ns, &view);
        self.totals.record_many(counted_us(&view), view.stands_for);
        self.untold += view.stands_for - 1;
        told(exchange, connection.as_deref(), &mut view);
        if connection.is_some() {
            self.details.add(sock, &view);
        }
        self.buf = view.slices;
        self.buf.clear();
    }

    /// Keeps the facts of an exchange that goes on, or is answered and may go on.
    pub(super) fn keep_current(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        if exchange::is_silent(exchange) {
            return;
        }
        let Some(connection) = self.table.open_mut(exchange.sock) else { return };
        if exchange::is_farewell(exchange, connection.protocol()) {
            return;
        }
        connection.touch(exchange, &mut self.origins);
        note_ignored(&self.unheard, connection, exchange);
        if connection.knows(exchange.seq) {
            connection.add_late(exchange);
            return;
        }
        let before = connection.current();
        let was_answered = before.is_some_and(exchange::is_answered);
        if before.is_none() {
            if self.current >= MAX_CURRENT {
                // The sensor does not show an answered one again. So it is reported now, without
                // the second of silence.
                if exchange::is_answered(exchange) {
                    self.settle(now_ns, exchange, told);
                }
                return;
            }
            self.current += 1;
        }
        connection.note_untold(exchange);
        connection.set_current(exchange);
        if exchange::is_answered(exchange) && !was_answered {
            self.answered.push(exchange.sock);
        }
    }

    /// Changes an exchange that is over, wherever it is kept.
    pub(in crate::model) fn change(
        &mut self,
        (sock, seq): (SockId, u32),
        change: impl Fn(&mut ExchangeView),
    ) {
        self.details.change(sock, seq, change);
    }

    /// Adds time that requests of a connection waited for upstreams, µs.
    pub(in crate::model) fn add_upstream(&mut self, sock: SockId, us: u64) {
        if us > 0
            && let Some(connection) = self.table.get_mut(sock)
        {
            connection.add_upstream(us);
        }
    }

    /// Notes the newest delayed ACK that an end of a connection sent. True if the other end may
    /// learn from it.
    pub(in crate::model) fn acknowledged(&mut self, exchange: &Exchange) -> bool {
        let (Role::Client, Some(acks)) = (exchange.role, exchange.delayed_acks) else {
            return false;
        };
        let Some(newest_ns) = acks.newest_ns else { return false };
        let Some(connection) = self.table.get(exchange.sock) else { return false };
        self.loopback_pairs.acknowledged(
            exchange.sock,
            connection.local(),
            connection.peer(),
            newest_ns,
        )
    }

    /// Marks the delayed ACK of an exchange that has been reported as proved, if by now it is.
    pub(in crate::model) fn confirm(&mut self, sock: SockId, view: &mut ExchangeView) {
        if let Some(connection) = self.table.get(sock)
            && confirm(&self.loopback_pairs, connection, view)
        {
            self.details.confirm(sock, view.seq);
        }
    }
}

/// The process that worked on an exchange: of several that hold the connection, the one that was
/// seen.
pub(in crate::model) fn pid_of(exchange: &Exchange, connection: &Connection) -> u32 {
    match exchange.writer().or(exchange.reader()) {
        Some(thread) => thread.pid,
        None => connection.origin.pid,
    }
}

/// Time since a server had written before, µs, if it wrote unasked on a connection on which there
/// was an exchange before.
fn pushed_after_us(exchange: &Exchange, details: &Details) -> Option<u64> {
    let is_pushed = exchange.role == Role::Server
        && exchange.inbound.is_none()
        && !exchange.preexisting
        && exchange.seq > 1;
    if !is_pushed {
        return None;
    }
    let outbound = exchange.outbound.as_ref()?;
    let before_ns = details.written_ns(exchange.sock, exchange.seq - 1)?;
    Some(outbound.first_ns.saturating_sub(before_ns) / 1_000)
}

/// Marks the delayed ACK at the end of an exchange as proved, if the other end recorded it. True if
/// that is news.
fn confirm(pairs: &LoopbackPairs, connection: &Connection, view: &mut ExchangeView) -> bool {
    let Some(last) = view.slices.last_mut() else { return false };
    if last.kind != SliceKind::DelayedAck || last.proved {
        return false;
    }
    let acked_ns = last.start_ns.saturating_add(last.us.saturating_mul(1_000));
    last.proved = pairs.confirm(connection.local(), connection.peer(), last.start_ns, acked_ns);
    last.proved
}

/// Notes that the server of a call ignored its request, if the request was sent again and the
/// server is watched.
fn note_ignored(unheard: &Unheard, connection: &mut Connection, exchange: &Exchange) {
    if connection.was_first_resent(exchange) {
        let since_ns = connection.asked_ns().unwrap_or(0);
        if unheard.at(connection.local(), connection.peer().port(), since_ns) {
            connection.was_ignored();
        }
    }
}

/// Says whether requests may share the exchange, and whether it was left without an answer.
fn judge_answer(
    view: &mut ExchangeView,
    exchange: &Exchange,
    connection: &Connection,
    hellos: &Hellos,
    requests: &Requests,
) {
    view.multiplexed = connection.is_multiplexed() || hellos.has_http2(exchange.sock);
    view.several = view.multiplexed && requests.calls_at_once(exchange.sock) != Some(1);
    let protocol = connection.protocol();
    let sealed = view.multiplexed || protocol == Some(Protocol::Tls);
    view.unanswered = exchange::is_unanswered(exchange, protocol, sealed);
}

/// Links a served request with the calls that its thread made meanwhile, from either side.
fn note_nested_calls(
    view: &mut ExchangeView,
    exchange: &Exchange,
    nested_calls: &mut NestedCalls,
    details: &mut Details,
) {
    match exchange.role {
        Role::Server => nested_calls.served(exchange, &mut view.inside),
        Role::Client => {
            view.within = nested_calls.called(exchange);
            for &(served, seq) in &view.within {
                details.note_inside(served, seq, (exchange.sock, exchange.seq));
            }
        }
    }
}

/// Turns what looks like a stream into the application's time, if the client had sent several
/// requests at once: the pieces are answers, each worked on after the one before.
fn judge_stream(view: &mut ExchangeView, turns: Turns) {
    for slice in &mut view.slices {
        if slice.kind != SliceKind::Streaming {
            continue;
        }
        match turns {
            Turns::Several => slice.kind = SliceKind::App,
            Turns::One => slice.proved = true,
            Turns::Unclear => {}
        }
    }
}
