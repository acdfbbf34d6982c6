//! What a recording of a server adds up to, in bounded memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use crate::{
    learn::{
        evidence::{median, sum, time},
        fact::LessonFacts,
    },
    model::{
        Model,
        event::{Role, SockId},
        output::{Interest, Output},
        snapshot::{ExchangeView, Owner, SliceKind, Snapshot},
        timeline,
    },
    run::Consumer,
    text::Untrusted,
};

/// Times that are kept for a median. Beyond that every second one goes, and every second one comes.
const KEPT: usize = 4_096;
/// Threads that are told apart at most.
const TOLD_APART: usize = 4_096;

/// What the recording adds up to.
#[derive(Default)]
pub(super) struct Tally {
    requests: u64,
    reads: u64,
    writes: u64,
    longest: u64,
    took: Sampled,
    app: Sampled,
    connections: u64,
    hands: BTreeSet<u32>,
    threads: BTreeSet<u32>,
    /// Time of all requests by owner, µs.
    owners: BTreeMap<&'static str, u64>,
    /// Deepest accept queue by listener.
    depths: BTreeMap<SockId, u32>,
    end: Option<Snapshot>,
}

/// A sample of times, µs, spread over all of them.
struct Sampled {
    kept: Vec<u64>,
    every: u64,
    seen: u64,
}

impl Default for Sampled {
    fn default() -> Self {
        Self { kept: Vec::new(), every: 1, seen: 0 }
    }
}

impl Sampled {
    fn take(&mut self, us: u64) {
        if self.seen.is_multiple_of(self.every) {
            self.kept.push(us);
        }
        self.seen += 1;
        if self.kept.len() == KEPT {
            let mut at = 0_usize;
            self.kept.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every *= 2;
        }
    }

    fn median(&self) -> Option<u64> {
        median(self.kept.iter().copied())
    }
}

impl Consumer for Tally {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn notices(&mut self, _: &[Untrusted]) {}

    fn report(&mut self, outputs: &mut Vec<Output>, _: &Model) -> io::Result<()> {
        for output in outputs.drain(..) {
            match output {
                Output::Exchange(exchange)
                    if exchange.role == Role::Server
                        && exchange.view.done
                        && !exchange.view.handshake =>
                {
                    self.take(&exchange.view);
                }
                Output::Connection(connection)
                    if connection.view.role == Role::Server && connection.view.exchanges > 0 =>
                {
                    self.connections += 1;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn refresh(&mut self, model: &Model) -> io::Result<()> {
        let snapshot = model.snapshot();
        self.threads.extend(snapshot.threads.iter().map(|thread| thread.tid));
        for listener in &snapshot.listeners {
            let depth = self.depths.entry(listener.sock).or_default();
            *depth = (*depth).max(listener.peak).max(listener.depth);
        }
        Ok(())
    }

    fn before_summary(&mut self, model: &Model) -> io::Result<()> {
        self.end = Some(model.snapshot());
        Ok(())
    }
}

impl Tally {
    fn take(&mut self, exchange: &ExchangeView) {
        self.requests += 1;
        self.reads = self.reads.saturating_add(u64::from(exchange.reads));
        self.writes = self.writes.saturating_add(u64::from(exchange.writes));
        self.longest = self.longest.max(exchange.total_us);
        self.took.take(exchange.total_us);
        self.app.take(time(exchange, SliceKind::App));
        for slice in timeline::counted(exchange) {
            let of_owner = self.owners.entry(slice.kind.owner().name()).or_default();
            *of_owner = of_owner.saturating_add(slice.us);
        }
        if let Some(tid) = exchange.write_tid
            && self.hands.len() < TOLD_APART
        {
            self.hands.insert(tid);
        }
    }

    /// Requests that were answered.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// What was watched, and how much of it was not seen.
    pub(super) fn seen(&self) -> (Untrusted, u64) {
        match &self.end {
            Some(end) => (end.target.clone(), end.lost.saturating_add(end.not_kept)),
            None => (Untrusted::default(), 0),
        }
    }

    /// Notes the facts that were observed.
    pub(super) fn tell(&self, facts: &mut LessonFacts) {
        if let Some(end) = &self.end {
            self.tell_of_listener(end, facts);
        }
        if self.requests == 0 {
            return;
        }
        let each = |sum: u64| sum as f64 / self.requests as f64;
        self.tell_of_owners(facts);
        facts.whole("requests", self.requests);
        facts.whole("took", self.took.median());
        facts.whole("app", self.app.median());
        facts.whole("longest", self.longest);
        facts.number("reads", each(self.reads));
        facts.number("writes", each(self.writes));
        if self.connections > 0 {
            facts.whole("connections", self.connections);
            facts.number("per_connection", self.requests as f64 / self.connections as f64);
        }
        if !self.hands.is_empty()
            && self.hands.len() <= self.threads.len()
            && self.hands.len() < TOLD_APART
        {
            facts.whole("hands", self.hands.len() as u64);
            facts.whole("threads", self.threads.len() as u64);
        }
    }

    /// The listener that accepted most.
    fn tell_of_listener(&self, end: &Snapshot, facts: &mut LessonFacts) {
        let Some(listener) =
            end.listeners.iter().max_by_key(|listener| (listener.totals.accepted, listener.depth))
        else {
            return;
        };
        facts.word("listener", listener.local.to_string());
        facts.whole("limit", u64::from(listener.limit));
        facts.whole("somaxconn", listener.somaxconn.map(u64::from));
        facts.whole("depth", self.depths.get(&listener.sock).copied().map(u64::from));
        facts.whole("accepted", listener.totals.accepted);
        let acks = listener.totals.overflow_ack.unwrap_or(0);
        facts.whole("refused", listener.totals.overflow_syn.saturating_add(acks));
        if listener.wait.count > 0 {
            facts.whole("queued", listener.wait.p50);
            facts.whole("queued_most", listener.wait.max);
        }
    }

    /// Who held most of the requests' time, if one is known to have held more than half: then
    /// nobody else can have held more, whoever had what is not known.
    fn tell_of_owners(&self, facts: &mut LessonFacts) {
        let whole = sum(self.owners.values().copied());
        let Some((most, held)) = self.owners.iter().max_by_key(|(_, us)| **us) else { return };
        if *most != Owner::Unknown.name() && held.saturating_mul(2) > whole {
            facts.word("holder", *most);
            facts.whole("held", *held);
            facts.whole("whole", whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_times() {
        let mut sampled = Sampled::default();
        for us in 0..100_000 {
            sampled.take(us);
        }
        assert!(sampled.kept.len() < KEPT);
        let median = sampled.median().expect("times");
        assert!((45_000..55_000).contains(&median), "{median}");
    }
}
