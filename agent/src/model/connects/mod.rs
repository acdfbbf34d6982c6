//! Connections that watched processes ask for: how many they got, how many failed, which hang, and
//! for which requests.

mod claim;
mod recent;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::event::{Connect, Exchange, Opened, Outcome, Role, SockId};
use super::snapshot::{ConnectFailure, ConnectTotals};
use claim::Spans;
pub(super) use recent::RecentFigures;
use recent::Steps;

/// Processes with an address that they ask. Connects to further ones count in the totals alone.
const MAX_ASKED: usize = 1_024;
/// Connects that hang at a time; further ones are told once they are over.
const MAX_PENDING: usize = 4_096;
/// Who gave up sooner had somebody else's answer already, or asked for no more: no failure, ns.
/// Happy eyeballs wait for 250 ms at most.
const PATIENCE_NS: u64 = 300_000_000;
/// A pending connect that no sample shows any more has ended unseen, ns.
const UNSEEN_NS: u64 = 5_000_000_000;

/// One process and an address that it asks.
type Key = (u32, SocketAddr);

#[derive(Debug, Default)]
struct Asked {
    comm: String,
    steps: Steps,
}

/// All connects of a run.
#[derive(Debug, Default)]
pub(super) struct Connects {
    totals: ConnectTotals,
    asked: BTreeMap<Key, Asked>,
    pending: FxHashMap<SockId, Connect>,
    spans: Spans,
}

impl Connects {
    /// A process got a connection.
    pub(super) fn made(&mut self, opened: &Opened) {
        if opened.role != Role::Client || opened.midway {
            return;
        }
        self.totals.made += 1;
        self.pending.remove(&opened.sock);
        if let Some(asked) = self.asked(opened.pid, opened.peer) {
            asked.comm.clone_from(&opened.comm);
            asked.steps.now(opened.ts_ns).made += 1;
        }
    }

    /// A connect failed, or hangs. True if it is worth telling: it is over, and nobody gave it up
    /// early.
    pub(super) fn connected(&mut self, connect: &Connect) -> bool {
        if connect.outcome == Outcome::Pending {
            let is_known = self.pending.contains_key(&connect.sock);
            if is_known || self.pending.len() < MAX_PENDING {
                self.pending.insert(connect.sock, connect.clone());
            }
            return false;
        }
        self.pending.remove(&connect.sock);
        let took_ns = connect.ts_ns.saturating_sub(connect.asked_ns);
        self.spans.add(connect);
        if connect.outcome == Outcome::GivenUp && took_ns < PATIENCE_NS {
            return false;
        }
        self.totals.add(connect.outcome, took_ns / 1_000);
        if let Some(asked) = self.asked(connect.pid, connect.peer) {
            asked.comm.clone_from(&connect.comm);
            asked.steps.now(connect.ts_ns).add(connect);
        }
        true
    }

    fn asked(&mut self, pid: u32, peer: SocketAddr) -> Option<&mut Asked> {
        let key = (pid, peer);
        if self.asked.len() >= MAX_ASKED && !self.asked.contains_key(&key) {
            return None;
        }
        Some(self.asked.entry(key).or_default())
    }

    /// The failed connects that a served exchange of this process waited for. Each is given away
    /// once.
    pub(super) fn claim(&mut self, pid: u32, exchange: &Exchange) -> Vec<ConnectFailure> {
        if self.spans.is_empty() {
            return Vec::new();
        }
        let claimed = self.spans.claim(pid, exchange);
        for one in &claimed {
            if let Some(asked) = self.asked.get_mut(&(pid, one.peer)) {
                asked.steps.now(exchange.ts_ns).requests += 1;
            }
        }
        claimed
    }

    /// A connect hangs that this request, which is read and not answered, may wait for.
    pub(super) fn holds(&self, pid: u32, exchange: &Exchange) -> bool {
        let Some(inbound) = exchange.inbound.as_ref() else { return false };
        let Some(read_ns) = inbound.read_first_ns.or(inbound.read_last_ns) else { return false };
        let tid = inbound.reader.map(|reader| reader.tid);
        let fits = |connect: &Connect| {
            let same = tid.is_none() || connect.tid.is_none() || connect.tid == tid;
            connect.pid == pid && same && connect.asked_ns >= read_ns
        };
        self.pending.values().any(fits)
    }

    /// A sample is complete: forgets what is over.
    pub(super) fn sampled(&mut self, now_ns: u64) {
        self.pending.retain(|_, connect| now_ns.saturating_sub(connect.ts_ns) < UNSEEN_NS);
        self.spans.expire(now_ns);
        self.asked.values_mut().for_each(|asked| asked.steps.expire(now_ns));
        let pending = &self.pending;
        self.asked.retain(|&(pid, peer), asked| {
            !asked.steps.is_over(now_ns)
                || pending.values().any(|one| (one.pid, one.peer) == (pid, peer))
        });
    }

    /// Each process that asks for connections, with what became of that lately, by address.
    pub(super) fn recent_figures(
        &self,
        now_ns: u64,
    ) -> BTreeMap<u32, (String, Vec<RecentFigures>)> {
        let mut all: BTreeMap<Key, RecentFigures> = BTreeMap::new();
        for (&(pid, peer), asked) in &self.asked {
            all.insert((pid, peer), RecentFigures::of_steps(peer, &asked.steps, now_ns));
        }
        for one in self.pending.values() {
            let entry =
                all.entry((one.pid, one.peer)).or_insert_with(|| RecentFigures::new(one.peer));
            entry.hangs(one, now_ns);
        }
        let mut by_process: BTreeMap<u32, (String, Vec<RecentFigures>)> = BTreeMap::new();
        for ((pid, peer), one) in all {
            let (comm, list) = by_process.entry(pid).or_default();
            let asked = self.asked.get(&(pid, peer)).map(|asked| asked.comm.as_str());
            let hangs =
                || self.pending.values().find(|one| one.pid == pid).map(|one| one.comm.as_str());
            if comm.is_empty() {
                asked.or_else(hangs).unwrap_or_default().clone_into(comm);
            }
            list.push(one);
        }
        by_process
    }

    /// Over the run; those that hang now included.
    pub(super) fn totals(&self) -> ConnectTotals {
        ConnectTotals { pending: self.pending.len() as u64, ..self.totals }
    }
}
