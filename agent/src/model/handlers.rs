//! What each kind of event changes, and what is reported of it.

use super::connections::{Connection, Told};
use super::event::{
    Accept, Census, Closed, Connect, ConnectionSample, Exchange, Overflow, Process, SocketEvent,
    SynAckRetransmit,
};
use super::output::{ExchangeOutput, Interest, Output, OverflowOutput, SocketEventOutput};
use super::proxy::Proxies;
use super::snapshot::{ExchangeView, SliceKind};
use super::stats::StatsByScope;
use super::threads::Threads;
use super::{Model, exchange};

/// Newest outputs that are looked through for a delayed ACK that a record proves.
const MAX_LOOKED_BACK: usize = 4_096;

/// Connections that are closed for one part of a census: all reports at once would take much memory.
const CLOSED_AT_ONCE: usize = 1_024;

impl Model {
    pub(super) fn closed(&mut self, closed: &Closed, out: &mut Vec<Output>) {
        self.advance(closed.ts_ns);
        self.patterns.closed(closed);
        if let Some((connection, end)) = self.connections.closed(closed, self.interest, out) {
            self.stats.closed(self.now_ns, closed, connection, &end);
        }
    }

    /// Takes a part of a census, and closes connections whose end no record told.
    pub(super) fn census(&mut self, census: &Census, out: &mut Vec<Output>) {
        self.advance(census.ts_ns);
        self.connections.counted(census);
        self.close_untold(CLOSED_AT_ONCE, out);
    }

    /// Closes connections whose end no record told, so many at most.
    pub(super) fn close_untold(&mut self, most: usize, out: &mut Vec<Output>) {
        for _ in 0..most {
            let Some(sock) = self.connections.next_untold() else { return };
            let mut report = reporter(
                self.now_ns,
                self.interest,
                (&mut self.stats, &mut self.threads),
                &mut self.proxies,
                out,
            );
            self.connections.settle_untold(self.now_ns, sock, &mut report);
            drop(report);
            self.closed(&Closed::untold(self.now_ns, sock), out);
        }
    }

    pub(super) fn advance(&mut self, ts_ns: u64) {
        self.now_ns = self.now_ns.max(ts_ns);
    }

    pub(super) fn accept(&mut self, accept: &Accept, out: &mut Vec<Output>) {
        self.advance(accept.ts_ns);
        let (ignored, handshake_us) = match self.connections.unheard.accepted(accept) {
            Some((ignored, handshake_us)) => (Some(ignored), handshake_us),
            None => (self.listeners.seems_ignored(accept), accept.handshake_us),
        };
        let deferred = self.listeners.defers(accept.listener);
        let corrected;
        let accept = if handshake_us == accept.handshake_us {
            accept
        } else {
            corrected = Accept { handshake_us, ..accept.clone() };
            &corrected
        };
        self.listeners.accepted(accept);
        self.event_log.accepted(accept);
        if self.setup.exchanges && self.pauses.follows(accept) {
            self.connections.accepted(accept, ignored, deferred);
            // Without exchanges nobody is seen to serve.
            self.patterns.accepted(accept);
        }
        self.threads.accepted(accept);
        // Deferred, the handshake seems to last until the first data come.
        let handshake_us = if deferred { None } else { accept.handshake_us };
        out.push(Output::Accept(Accept { handshake_us, ..accept.clone() }));
    }

    pub(super) fn overflow(&mut self, overflow: &Overflow, out: &mut Vec<Output>) {
        self.advance(overflow.ts_ns);
        self.listeners.overflowed(overflow);
        let port = self.listeners.port(overflow.listener);
        self.connections.unheard.overflowed(overflow, port);
        let overflow = OverflowOutput {
            ts_ns: overflow.ts_ns,
            listener: overflow.listener,
            peer: Some(overflow.peer),
            stage: overflow.stage,
            depth: overflow.depth,
            limit: overflow.limit,
            count: 1,
            stage_certain: true,
        };
        self.event_log.overflowed(&overflow);
        out.push(Output::Overflow(overflow));
    }

    pub(super) fn syn_ack_retransmit(
        &mut self,
        retransmit: &SynAckRetransmit,
        out: &mut Vec<Output>,
    ) {
        self.advance(retransmit.ts_ns);
        let port = self.listeners.port(retransmit.listener);
        self.connections.unheard.asked_again(retransmit, port);
        if self.setup.detail_events {
            out.push(Output::SynAckRetransmit(retransmit.clone()));
        }
    }

    pub(super) fn exchange(&mut self, exchange: &Exchange, out: &mut Vec<Output>) {
        self.advance(exchange.ts_ns);
        if self.pauses.hides(exchange.ts_ns) {
            return;
        }
        self.patterns.exchanged(exchange);
        self.confirm(exchange, out);
        let mut report = reporter(
            self.now_ns,
            self.interest,
            (&mut self.stats, &mut self.threads),
            &mut self.proxies,
            out,
        );
        self.connections.exchanged(self.now_ns, exchange, &mut report);
    }

    pub(super) fn socket_event(&mut self, socket_event: &SocketEvent, out: &mut Vec<Output>) {
        self.advance(socket_event.ts_ns);
        if self.setup.detail_events {
            let peer = self.connections.get(socket_event.sock).map(|connection| connection.peer());
            out.push(Output::SocketEvent(SocketEventOutput { event: *socket_event, peer }));
        }
    }

    pub(super) fn process(&mut self, process: &Process, out: &mut Vec<Output>) {
        self.advance(process.ts_ns);
        self.patterns.process(process);
        if process.change.is_end() {
            self.listeners.exited(process.pid);
            self.stats.exited(process.pid);
        }
        if self.setup.detail_events {
            out.push(Output::Process(process.clone()));
        }
    }

    pub(super) fn connect(&mut self, connect: &Connect, out: &mut Vec<Output>) {
        self.advance(connect.ts_ns);
        self.proxies.connect(connect);
        if self.connections.connects.connected(connect) {
            self.proxies.failed(connect);
            out.push(Output::Connect(connect.clone()));
        }
    }

    pub(super) fn scan(&mut self, ts_ns: u64, scanned: &[ConnectionSample], out: &mut Vec<Output>) {
        for connection in scanned {
            let Some(exchange) = &connection.exchange else { continue };
            self.confirm(exchange, out);
            self.patterns.exchanged(exchange);
            if let Some(connection) = self.connections.get(exchange.sock) {
                self.proxies.goes_on(exchange, connection);
            }
        }
        let mut report = reporter(
            ts_ns,
            self.interest,
            (&mut self.stats, &mut self.threads),
            &mut self.proxies,
            out,
        );
        self.connections.scanned(ts_ns, scanned, &mut report);
        drop(report);
        self.stats.scanned(ts_ns, scanned, &self.connections, |pid| self.proxies.calls(pid));
    }

    pub(super) fn report_unnamed(&mut self, unnamed: Vec<OverflowOutput>, out: &mut Vec<Output>) {
        for overflow in unnamed {
            self.event_log.overflowed(&overflow);
            out.push(Output::Overflow(overflow));
        }
    }

    /// Confirms, by the delayed ACKs that one end records, those that were inferred at the other.
    /// Such a record often comes just behind the exchange that it proves. That exchange has been
    /// reported, but is not shown yet.
    pub(super) fn confirm(&mut self, exchange: &Exchange, out: &mut [Output]) {
        if !self.connections.acknowledged(exchange) {
            return;
        }
        for output in out.iter_mut().rev().take(MAX_LOOKED_BACK) {
            if let Output::Exchange(reported) = output {
                self.connections.confirm(reported.sock, &mut reported.view);
            }
        }
        for held in self.proxies.held_mut().take(MAX_LOOKED_BACK) {
            self.connections.confirm(held.sock, &mut held.view);
        }
    }
}

/// Returns the function that sums each exchange that is over, and reports it if anybody wants to
/// know. An exchange whose delayed ACK is only inferred is reported in any case:
/// [`Model::confirm`] may prove it.
pub(super) fn reporter(
    now_ns: u64,
    interest: Interest,
    (stats, threads): (&mut StatsByScope, &mut Threads),
    proxies: &mut Proxies,
    out: &mut Vec<Output>,
) -> impl Told {
    move |facts: &Exchange, connection: Option<&Connection>, view: &mut ExchangeView| {
        threads.stood_for(facts, view);
        stats.reported(now_ns, facts, connection, view, |connection| {
            proxies.calls(connection.origin.pid)
        });
        let caller = proxies.over(now_ns, facts, connection, view);
        let is_inferred = matches!(
            view.slices.last(),
            Some(last) if last.kind == SliceKind::DelayedAck && !last.proved
        );
        if !is_inferred && !interest.wants(view) {
            return;
        }
        view.verdict = exchange::verdict(&view.slices);
        let protocol = connection.and_then(Connection::protocol);
        let mut output = ExchangeOutput::new(facts, protocol, view);
        output.ends = connection.map(Connection::ends);
        let due = match caller {
            Some(pid) => proxies.hold(pid, output),
            None => Some(output),
        };
        if let Some(output) = due {
            out.push(Output::Exchange(output));
        }
    }
}
