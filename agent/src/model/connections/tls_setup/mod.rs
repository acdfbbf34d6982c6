//! The way of a TLS connection to its first answer: its round trips, and its time by owner.
//!
//! An exchange is a turn: a burst from the client, and a burst from its server. The records of TLS
//! tell which turn carried the first request.

use crate::model::event::{ClientHello, Exchange, Role, ServerHello, TlsRecord};
use crate::model::exchange::counted;
use crate::model::snapshot::{ExchangeView, FirstAnswer, OwnerTimes};

/// Most exchanges that are examined: a handshake has two or three.
const MAX_TURNS: usize = 8;
/// Records that are kept.
const MAX_RECORDS: usize = 16;
const CHANGE_CIPHER_SPEC: u8 = 20;
const APPLICATION_DATA: u8 = 23;
/// Length of the record that ends a side's handshake in TLS 1.3: a hash of SHA-256 or of SHA-384,
/// the message's head, the kind of record that is encrypted with it, and the seal (RFC 8446, 4.4.4
/// and 5.2).
const FINISHED: [u16; 2] = [32 + 4 + 1 + 16, 48 + 4 + 1 + 16];
const TLS_1_3: u16 = 0x0304;
const RECORD_HEAD: u64 = 5;

/// An exchange of the beginning.
#[derive(Clone, Debug)]
struct Turn {
    /// Number of its round trip, from 1. A burst that nothing from the other side can have caused
    /// belongs to the round trip before.
    number: u32,
    /// Bytes that the client had sent at its end.
    asked: u64,
    /// Bytes that the server had sent.
    answered: u64,
    start_ns: u64,
    /// The first byte of the reply.
    replied_ns: u64,
    /// The last.
    done_ns: u64,
    times: OwnerTimes,
}

/// The beginning of a connection, up to its first answer: [`record`](Self::record) and
/// [`exchanged`](Self::exchanged) take its records and exchanges,
/// [`first_answer`](Self::first_answer) is known once that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsSetup {
    records: Vec<TlsRecord>,
    turns: Vec<Turn>,
    found: Option<FirstAnswer>,
}

impl TlsSetup {
    pub(super) fn record(&mut self, record: TlsRecord) {
        if self.found.is_none() && self.records.len() < MAX_RECORDS {
            self.records.push(record);
        }
    }

    /// Takes an exchange that is over. True if it was nothing but handshake.
    pub(super) fn exchanged(
        &mut self,
        hellos: (Option<&ClientHello>, Option<&ServerHello>),
        exchange: &Exchange,
        view: &ExchangeView,
    ) -> bool {
        if self.found.is_some()
            || self.turns.len() >= MAX_TURNS
            || exchange.seq as usize != self.turns.len() + 1
        {
            return false;
        }
        self.turns.extend(self.turn(exchange, view));
        let (Some(client), Some(server)) = hellos else { return false };
        let is_handshake = self.ends_in_handshake(client, server);
        if let Some(found) = self.answer(client, server) {
            *self = Self { found: Some(found), ..Self::default() };
        }
        is_handshake
    }

    /// At the end of the last turn the client has sent nothing but handshake, as far as its records
    /// are known for sure.
    fn ends_in_handshake(&self, client: &ClientHello, server: &ServerHello) -> bool {
        let Some(turn) = self.turns.last() else { return false };
        let mut sealed = self.sent(true, APPLICATION_DATA);
        if server.version < TLS_1_3 {
            let changed =
                self.turns.len() == 1 || self.sent(true, CHANGE_CIPHER_SPEC).next().is_some();
            return changed && sealed.next().is_none_or(|record| record.at >= turn.asked);
        }
        if client.early_data && server.took_session && self.turns.len() == 1 {
            return false;
        }
        match sealed.find(|record| FINISHED.contains(&record.length)) {
            Some(finished) => turn.asked <= finished.at + RECORD_HEAD + u64::from(finished.length),
            None => self.turns.len() == 1,
        }
    }

    pub(super) fn first_answer(&self) -> Option<FirstAnswer> {
        self.found
    }

    fn turn(&self, exchange: &Exchange, view: &ExchangeView) -> Option<Turn> {
        let (inbound, outbound) = (exchange.inbound.as_ref(), exchange.outbound.as_ref());
        let (in_bytes, out_bytes) = (exchange.bytes_in(), exchange.bytes_out());
        let arrival =
            inbound.map(|burst| (burst.first_ns, burst.read_last_ns.unwrap_or(burst.last_ns)));
        let write = outbound.map(|burst| (burst.first_ns, burst.last_ns));
        let (begun, reply, asked, answered) = match exchange.role {
            Role::Server => (arrival, write, in_bytes, out_bytes),
            Role::Client => (write, arrival, out_bytes, in_bytes),
        };
        let (replied_ns, done_ns) = reply?;
        let begun_ns = match begun {
            Some((first_ns, _)) => first_ns,
            None => view.start_ns,
        };
        // A client's first exchange may begin with the connect, which the connection counts.
        let start_ns = if exchange.role == Role::Client { begun_ns } else { view.start_ns };
        let mut times = OwnerTimes { exchanges: 1, ..OwnerTimes::default() };
        for (kind, us) in counted(&view.slices) {
            times.add_time(kind, us);
        }
        let mut turn = Turn { number: 1, asked, answered, start_ns, replied_ns, done_ns, times };
        if let Some(before) = self.turns.last() {
            // A server sees what its answer caused a round trip later. A burst that comes sooner
            // was on its way.
            let least_ns = match (exchange.role, exchange.min_rtt_us) {
                (Role::Server, Some(us)) => u64::from(us) * 500,
                _ => 0,
            };
            let is_caused = begun_ns >= before.replied_ns.saturating_add(least_ns);
            turn.number = before.number + u32::from(is_caused);
            turn.asked += before.asked;
            turn.answered += before.answered;
            if !is_caused {
                turn.replied_ns = before.replied_ns;
            }
        }
        Some(turn)
    }

    fn sent(&self, from_client: bool, kind: u8) -> impl Iterator<Item = &TlsRecord> {
        self.records
            .iter()
            .filter(move |record| record.from_client == from_client && record.kind == kind)
    }

    /// The turn in which the byte at `at` of the client, or of the server, was sent.
    fn turn_of(&self, from_client: bool, at: u64) -> Option<usize> {
        self.turns.iter().position(|turn| at < if from_client { turn.asked } else { turn.answered })
    }

    /// Finds the first answer; `None` while it has not been seen, or if it cannot be found.
    fn answer(&self, client: &ClientHello, server: &ServerHello) -> Option<FirstAnswer> {
        let (at, after) = if server.version >= TLS_1_3 {
            self.answer_1_3(client, server)
        } else {
            self.answer_1_2()
        }?;
        let (first, turn) = (self.turns.first()?, self.turns.get(at)?);
        let mut handshake = OwnerTimes::default();
        for turn in &self.turns[..at] {
            handshake.merge(&turn.times);
        }
        Some(FirstAnswer {
            trips: self.turns.get(after)?.number,
            us: turn.done_ns.saturating_sub(first.start_ns) / 1_000,
            handshake,
        })
    }

    /// The turn of the first answer, and the one from which on nothing but the request itself was
    /// waited for.
    fn answer_1_3(&self, client: &ClientHello, server: &ServerHello) -> Option<(usize, usize)> {
        if client.early_data && server.took_session {
            // A resumed session has no certificate, so that the server's handshake is one encrypted
            // record or two.
            let sealed: Vec<_> = self.sent(false, APPLICATION_DATA).collect();
            let two = matches!(sealed.get(1), Some(second) if FINISHED.contains(&second.length));
            let at = self.turn_of(false, sealed.get(if two { 2 } else { 1 })?.at)?;
            return Some((at, at));
        }
        let mut sealed = self.sent(true, APPLICATION_DATA);
        let finished = sealed.find(|record| FINISHED.contains(&record.length))?;
        let request = sealed.next()?;
        // After its Finished a client waits for nobody.
        Some((self.turn_of(true, request.at)?, self.turn_of(true, finished.at)?))
    }

    /// The two turns likewise, up to TLS 1.2. Where a session is resumed the server finishes first,
    /// and the client's request may follow its own Finished.
    fn answer_1_2(&self) -> Option<(usize, usize)> {
        let change = |from_client| {
            let record = self.sent(from_client, CHANGE_CIPHER_SPEC).next()?;
            self.turn_of(from_client, record.at)
        };
        let at = self.turn_of(true, self.sent(true, APPLICATION_DATA).next()?.at)?;
        match (change(false), change(true)) {
            (Some(server), Some(client)) if server < client => Some((at, client)),
            _ => Some((at, at)),
        }
    }
}

#[cfg(test)]
mod tests;
