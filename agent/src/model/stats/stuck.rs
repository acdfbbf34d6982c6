//! Connections that are stuck now, and the time that they have been so.

use super::{StatsByScope, Tally, is_http1, scope_of, waits_by_design};
use crate::model::connections::{self, Connection, Connections, pid_of};
use crate::model::crossings::{Crossings, OnCalls, Open};
use crate::model::event::{ConnectionSample, HoldReason, Role, TcpState};
use crate::model::exchange;
use crate::model::long_poll;
use crate::model::snapshot::{Slice, SliceKind};

/// A connection that stays in one state of an exchange for so long is stuck, ns.
const STUCK_NS: u64 = 1_000_000_000;
/// A connection that the peer has closed and this host has not is forgotten when nothing has gone
/// on for so long, ns.
pub(in crate::model) const FORGOTTEN_NS: u64 = 30_000_000_000;
/// A server that writes so long after the client's FIN sends a stream, ns.
const STREAMS_NS: u64 = 1_000_000_000;
/// Such a stream may be quiet for so long, ns.
const QUIET_STREAM_NS: u64 = 300_000_000_000;

/// Time for which the peer's window has held what was written, also while the application goes on
/// writing, ns.
fn held_ns(ts_ns: u64, sample: &ConnectionSample) -> u64 {
    let Some(exchange) = &sample.exchange else { return 0 };
    match exchange.outbound.as_ref().and_then(|outbound| outbound.holding) {
        Some(holding) if holding.reason == HoldReason::ReceiveWindow => {
            ts_ns.saturating_sub(holding.since_ns)
        }
        _ => 0,
    }
}

/// Time since the peer closed a connection that is forgotten here, ns: this host has not closed it,
/// and nothing goes on. An answer may take its time, and a stream may go on in one direction.
fn forgotten_ns(now_ns: u64, sample: &ConnectionSample) -> Option<u64> {
    if sample.state != TcpState::CloseWait {
        return None;
    }
    let (inbound, outbound) = match &sample.exchange {
        Some(exchange) => (exchange.inbound.as_ref(), exchange.outbound.as_ref()),
        None => (None, None),
    };
    if let Some(inbound) = inbound
        && inbound.bytes > 0
        && outbound.is_none()
    {
        return None;
    }
    let fin_ns = sample.fin_ns.unwrap_or(sample.active_ns);
    let idle_ns = now_ns.saturating_sub(sample.active_ns.max(fin_ns));
    let written_ns = outbound.map_or(0, |outbound| outbound.last_ns);
    let streams = written_ns >= fin_ns.saturating_add(STREAMS_NS);
    let least_ns = if streams { QUIET_STREAM_NS } else { FORGOTTEN_NS };
    if idle_ns < least_ns {
        return None;
    }
    Some(now_ns.saturating_sub(fin_ns))
}

/// Connections that are stuck at the newest sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Stuck {
    /// Data wait to be read.
    pub(in crate::model) unread: Tally,
    /// The application has what came, and has not answered.
    pub(in crate::model) unanswered: Tally,
    /// The peer's window is shut.
    pub(in crate::model) window: Tally,
    /// The peer has closed, nothing goes on, and the socket is open still.
    pub(in crate::model) close_wait: Tally,
    /// Those of them whose FIN was not seen: they have been so for longer.
    pub(in crate::model) close_wait_before: Tally,
    /// Of the unanswered requests those that wait for calls of their process.
    pub(in crate::model) on_calls: OnCalls,
    /// Answers to calls that lie unread since a client does not take what it was sent.
    pub(in crate::model) held_back: Tally,
}

impl Stuck {
    /// Adds a connection whose exchange spends its time in this slice now.
    fn add_slice(&mut self, slice: Slice, connection: &Connection) {
        match slice.kind {
            SliceKind::ReceiveQueue => self.unread.add(slice.us),
            // The bytes that were read last may ask for no answer: a message of a stream, a
            // control frame.
            SliceKind::App if connection.is_multiplexed() => {}
            SliceKind::App => self.unanswered.add(slice.us),
            SliceKind::ReceiveWindow => self.window.add(slice.us),
            _ => {}
        }
    }

    /// Adds a connection that the peer closed so long ago.
    fn add_forgotten(&mut self, left_ns: u64, sample: &ConnectionSample) {
        self.close_wait.add(left_ns / 1_000);
        if sample.fin_ns.is_none() {
            self.close_wait_before.add(left_ns / 1_000);
        }
    }
}

impl StatsByScope {
    /// Adds the connections of a part of a sample that are stuck.
    pub(in crate::model) fn scanned(
        &mut self,
        ts_ns: u64,
        scanned: &[ConnectionSample],
        connections: &Connections,
        calls: impl Fn(u32) -> bool,
    ) {
        for one in scanned {
            let Some(connection) = connections.get(one.sock) else { continue };
            if let Some(next) = connections::present(one, ts_ns) {
                let behind = ConnectionSample { exchange: Some(next), ..one.clone() };
                self.scan(ts_ns, &behind, connection, connections, &calls);
            } else {
                self.scan(ts_ns, one, connection, connections, &calls);
            }
        }
    }

    fn scan(
        &mut self,
        ts_ns: u64,
        one: &ConnectionSample,
        connection: &Connection,
        connections: &Connections,
        calls: &impl Fn(u32) -> bool,
    ) {
        let waits = self.waiting_in(ts_ns, one, connection, connections, calls);
        let forgotten_ns = forgotten_ns(ts_ns, one);
        let idle_ns = ts_ns.saturating_sub(one.active_ns);
        let shut_ns = if one.peer_window_zero { idle_ns.max(held_ns(ts_ns, one)) } else { 0 };
        let is_shut = shut_ns >= STUCK_NS;
        let is_crossed = self.cross(one, connection, waits);
        if waits.is_none() && forgotten_ns.is_none() && !is_shut {
            return;
        }
        let Some(entry) = self.entry(&connection.origin) else { return };
        let stuck = &mut entry.scanned;
        if is_shut {
            stuck.window.add(shut_ns / 1_000);
        } else if let Some(slice) = waits
            && slice.us >= STUCK_NS / 1_000
            && !is_crossed
        {
            stuck.add_slice(slice, connection);
        }
        if let Some(left_ns) = forgotten_ns {
            stuck.add_forgotten(left_ns, one);
        }
    }

    /// Returns the slice in which a connection's exchange is now, unless it waits there by design,
    /// or for something that is told of by itself.
    fn waiting_in(
        &mut self,
        ts_ns: u64,
        one: &ConnectionSample,
        connection: &Connection,
        connections: &Connections,
        calls: &impl Fn(u32) -> bool,
    ) -> Option<Slice> {
        let exchange = one.exchange.as_ref()?;
        if exchange::is_quiet(exchange) {
            return None;
        }
        let slice = *connection.view_of(exchange).slices.last()?;
        if slice.kind != SliceKind::App || connection.origin.role != Role::Server {
            return Some(slice);
        }
        let by_design = if is_http1(connection) && !calls(connection.origin.pid) {
            self.long_polls.note(ts_ns, exchange)
                && self.sees_calls
                && slice.us < long_poll::FORGOTTEN_US
        } else {
            waits_by_design(connection)
        };
        if by_design || connections.connects.holds(pid_of(exchange, connection), exchange) {
            return None;
        }
        Some(slice)
    }

    /// Notes which requests of a process may wait for which of its calls. Returns true for a call
    /// whose answer lies unread: it is judged once the whole sample has come.
    fn cross(
        &mut self,
        one: &ConnectionSample,
        connection: &Connection,
        waits: Option<Slice>,
    ) -> bool {
        let Some(exchange) = &one.exchange else { return false };
        let pid = pid_of(exchange, connection);
        let unsent = matches!(&exchange.outbound, Some(outbound) if outbound.unsent_bytes > 0);
        if exchange.role == Role::Server && (unsent || one.peer_window_zero) {
            *self.crossings.full.entry(pid).or_default() += 1;
        }
        let Some(slice) = waits else { return false };
        if slice.us < STUCK_NS / 1_000 {
            return false;
        }
        let open = Open {
            pid,
            scope: scope_of(&connection.origin),
            peer: connection.peer(),
            since_ns: slice.start_ns,
            us: slice.us,
        };
        let to = match (exchange.role, slice.kind) {
            (Role::Server, SliceKind::App) => &mut self.crossings.requests,
            (Role::Client, SliceKind::Response) => &mut self.crossings.calls,
            (Role::Client, SliceKind::ReceiveQueue) => &mut self.crossings.unread,
            _ => return false,
        };
        Crossings::add(to, open);
        slice.kind == SliceKind::ReceiveQueue
    }

    /// Joins the requests of a sample with the calls that they wait for.
    pub(super) fn settle_crossings(&mut self) {
        let mut crossings = std::mem::take(&mut self.crossings);
        for (scope, on_calls) in crossings.on_calls() {
            if let Some(entry) = self.table.get_mut(&scope) {
                entry.scanned.on_calls = on_calls;
            }
        }
        for open in &crossings.unread {
            let Some(entry) = self.table.get_mut(&open.scope) else { continue };
            let stuck = &mut entry.scanned;
            if crossings.is_full(open.pid) {
                stuck.held_back.add(open.us);
            } else {
                stuck.unread.add(open.us);
            }
        }
    }
}
