//! Connections that are stuck now: who waits on them, and for how long so far.

use super::{StatsByScope, Tally, scope_of};
use crate::model::connections::{self, Connection, Connections, pid_of};
use crate::model::crossings::{Crossings, OnCalls, Open};
use crate::model::event::{ConnectionSample, HoldReason, Role, TcpState};
use crate::model::exchange;
use crate::model::long_poll;
use crate::model::snapshot::{Protocol, Slice, SliceKind};

/// A connection that stays in one state of an exchange for so long is stuck, ns.
const STUCK_NS: u64 = 1_000_000_000;
/// A connection that the peer has closed and we have not, with nothing going on for so long, is
/// forgotten, ns.
pub(in crate::model) const FORGOTTEN_NS: u64 = 30_000_000_000;
/// Who writes so long after the peer's FIN sends a stream to a client that has nothing more to say,
/// ns.
const STREAMS_NS: u64 = 1_000_000_000;
/// Such a stream may be quiet for so long, ns.
const QUIET_STREAM_NS: u64 = 300_000_000_000;

/// For how long the peer's window has held what was written, also while the application goes on
/// writing.
fn held_ns(ts_ns: u64, sample: &ConnectionSample) -> u64 {
    let outbound = sample.exchange.as_ref().and_then(|exchange| exchange.outbound.as_ref());
    let holding = outbound.and_then(|outbound| outbound.holding);
    let by_window = holding.filter(|holding| holding.reason == HoldReason::ReceiveWindow);
    by_window.map_or(0, |holding| ts_ns.saturating_sub(holding.since_ns))
}

/// How long the peer has closed, and this host has not, with nothing going on: `None` of a
/// connection that is not left so. An answer may take its time, and a stream may go on in one
/// direction.
fn forgotten_ns(now_ns: u64, sample: &ConnectionSample) -> Option<u64> {
    if sample.state != TcpState::CloseWait {
        return None;
    }
    let inbound = sample.exchange.as_ref().and_then(|exchange| exchange.inbound.as_ref());
    let outbound = sample.exchange.as_ref().and_then(|exchange| exchange.outbound.as_ref());
    if inbound.is_some_and(|inbound| inbound.bytes > 0) && outbound.is_none() {
        return None;
    }
    let fin_ns = sample.fin_ns.unwrap_or(sample.active_ns);
    let idle_ns = now_ns.saturating_sub(sample.active_ns.max(fin_ns));
    let written_ns = outbound.map_or(0, |outbound| outbound.last_ns);
    let streams = written_ns >= fin_ns.saturating_add(STREAMS_NS);
    let least_ns = if streams { QUIET_STREAM_NS } else { FORGOTTEN_NS };
    (idle_ns >= least_ns).then(|| now_ns.saturating_sub(fin_ns))
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
    /// Those of them whose FIN was not seen, so that they have been so for longer.
    pub(in crate::model) close_wait_before: Tally,
    /// Of the unanswered requests those that wait for calls of their process.
    pub(in crate::model) on_calls: OnCalls,
    /// Answers to calls that lie unread since a client does not take what it was sent.
    pub(in crate::model) held_back: Tally,
}

impl StatsByScope {
    /// Sees who of these is stuck.
    pub(in crate::model) fn scanned(
        &mut self,
        ts_ns: u64,
        scanned: &[ConnectionSample],
        connections: &Connections,
        calls: impl Fn(u32) -> bool,
    ) {
        for one in scanned {
            let Some(connection) = connections.get(one.sock) else { continue };
            let behind;
            let one = match connections::present(one, ts_ns) {
                Some(next) => {
                    behind = ConnectionSample { exchange: Some(next), ..one.clone() };
                    &behind
                }
                None => one,
            };
            let idle_ns = ts_ns.saturating_sub(one.active_ns);
            let waits = one.exchange.as_ref().filter(|exchange| !exchange::is_quiet(exchange));
            let last =
                waits.and_then(|exchange| connection.view_of(exchange).slices.last().copied());
            let unanswered = last.filter(|slice| {
                slice.kind == SliceKind::App && connection.origin.role == Role::Server
            });
            let by_design = match connection.protocol() {
                Some(protocol) if protocol.is_http1() && !calls(connection.origin.pid) => {
                    let exchange = waits.filter(|_| unanswered.is_some());
                    exchange.is_some_and(|exchange| self.parked.note(ts_ns, exchange))
                        && self.sees_calls
                        && unanswered.is_some_and(|slice| slice.us < long_poll::FORGOTTEN_US)
                }
                protocol => protocol.and_then(Protocol::waits_for).is_some(),
            };
            // What it waits for is told by itself.
            let connects = waits.filter(|_| unanswered.is_some()).is_some_and(|exchange| {
                connections.connects.holds(pid_of(exchange, connection), exchange)
            });
            let waits = last.filter(|_| !((by_design || connects) && unanswered.is_some()));
            let left_ns = forgotten_ns(ts_ns, one);
            let forgotten = left_ns.is_some();
            let shut_ns = if one.peer_window_zero { idle_ns.max(held_ns(ts_ns, one)) } else { 0 };
            let shut = shut_ns >= STUCK_NS;
            let unread = self.cross(one, connection, waits);
            if waits.is_none() && !forgotten && !shut {
                continue;
            }
            let Some(entry) = self.entry(connection) else { continue };
            let waits = waits.filter(|slice| slice.us >= STUCK_NS / 1_000);
            match waits.map(|slice| (slice.kind, slice.us)) {
                _ if shut => entry.scanned.window.add(shut_ns / 1_000),
                Some((SliceKind::ReceiveQueue, _)) if unread => {}
                Some((SliceKind::ReceiveQueue, us)) => entry.scanned.unread.add(us),
                // What was read last of calls may be nothing that is answered: a message of a
                // stream, a frame of control.
                Some((SliceKind::App, _)) if connection.is_multiplexed() => {}
                Some((SliceKind::App, us)) => entry.scanned.unanswered.add(us),
                Some((SliceKind::ReceiveWindow, us)) => entry.scanned.window.add(us),
                _ => {}
            }
            if let Some(left_ns) = left_ns {
                entry.scanned.close_wait.add(left_ns / 1_000);
                if one.fin_ns.is_none() {
                    entry.scanned.close_wait_before.add(left_ns / 1_000);
                }
            }
        }
    }

    /// Notes who of a process may wait for whom. True of a call whose answer lies unread: it is
    /// judged with the others.
    fn cross(
        &mut self,
        one: &ConnectionSample,
        connection: &Connection,
        waits: Option<Slice>,
    ) -> bool {
        let Some(exchange) = &one.exchange else { return false };
        let pid = pid_of(exchange, connection);
        let unsent = exchange.outbound.as_ref().is_some_and(|outbound| outbound.unsent_bytes > 0);
        if exchange.role == Role::Server && (unsent || one.peer_window_zero) {
            *self.crossings.full.entry(pid).or_default() += 1;
        }
        let Some(slice) = waits.filter(|slice| slice.us >= STUCK_NS / 1_000) else { return false };
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

    /// Sets what goes on in a sample against one another.
    pub(super) fn set_off(&mut self) {
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
                stuck.held_back.add(open.us)
            } else {
                stuck.unread.add(open.us)
            }
        }
    }
}
