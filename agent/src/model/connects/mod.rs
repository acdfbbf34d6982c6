//! Connections that watched processes ask for: how many they got, how many failed, which hang, and
//! for which requests.

mod claim;
mod recent;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::event::{Connect, Exchange, Opened, Outcome, Role, SockId};
use super::snapshot::{ConnectFailure, ConnectTotals};
use crate::text::Untrusted;
use claim::Spans;
pub(super) use recent::RecentFigures;
use recent::Steps;

/// Processes with an address that they ask. Connects to further ones count in the totals alone.
const MAX_ASKED: usize = 1_024;
/// Connects that hang at a time; further ones are reported once they are over.
const MAX_PENDING: usize = 4_096;
/// A connect given up sooner is no failure, ns: its process had an answer from another address
/// already, or no more need of it. Happy eyeballs wait for 250 ms at most.
const PATIENCE_NS: u64 = 300_000_000;
/// A pending connect that no sample shows any more has ended unseen, ns.
const UNSEEN_NS: u64 = 5_000_000_000;

/// One process and an address that it asks.
type Key = (u32, SocketAddr);

#[derive(Debug, Default)]
struct Asked {
    comm: Untrusted,
    steps: Steps,
}

/// All connects of a run: [`made`](Self::made) and [`connected`](Self::connected) take each,
/// [`claim`](Self::claim) gives those that failed to the request that waited for them,
/// [`holds`](Self::holds) finds one that hangs, [`sampled`](Self::sampled) forgets what is over.
/// [`recent_figures`](Self::recent_figures) and [`totals`](Self::totals) say how they went.
#[derive(Debug, Default)]
pub(super) struct Connects {
    totals: ConnectTotals,
    asked: BTreeMap<Key, Asked>,
    pending: FxHashMap<SockId, Connect>,
    spans: Spans,
}

impl Connects {
    /// A pause has ended that lasted so long. What hung at its beginning may have ended unseen.
    pub(super) fn skip(&mut self, lasted_ns: u64) {
        self.pending.clear();
        for asked in self.asked.values_mut() {
            asked.steps.skip(lasted_ns);
        }
    }

    /// Counts a connect that brought a connection.
    pub(super) fn made(&mut self, opened: &Opened) {
        if opened.role != Role::Client || opened.preexisting {
            return;
        }
        self.totals.made += 1;
        self.pending.remove(&opened.sock);
        if let Some(asked) = self.asked(opened.pid, opened.peer) {
            asked.comm.clone_from(&opened.comm);
            asked.steps.now(opened.ts_ns).made += 1;
        }
    }

    /// Takes a connect that failed, or hangs. True if it is worth a report: it is over, and was not
    /// given up early.
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

    /// Returns the failed connects that a served exchange of this process waited for, each of them
    /// only once in all.
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

    /// Whether a connect hangs that this request, which is read and not answered, may wait for.
    pub(super) fn holds(&self, pid: u32, exchange: &Exchange) -> bool {
        let Some(inbound) = exchange.inbound.as_ref() else { return false };
        let Some(read_ns) = inbound.read_first_ns.or(inbound.read_last_ns) else { return false };
        self.pending.values().any(|connect| {
            let is_on_thread = match (inbound.reader, connect.tid) {
                (Some(reader), Some(tid)) => reader.tid == tid,
                _ => true,
            };
            connect.pid == pid && is_on_thread && connect.asked_ns >= read_ns
        })
    }

    /// Forgets what is over at a complete sample.
    pub(super) fn sampled(&mut self, now_ns: u64) {
        self.pending.retain(|_, connect| now_ns.saturating_sub(connect.ts_ns) < UNSEEN_NS);
        self.spans.expire(now_ns);
        for asked in self.asked.values_mut() {
            asked.steps.expire(now_ns);
        }
        let pending = &self.pending;
        self.asked.retain(|&(pid, peer), asked| {
            !asked.steps.is_over(now_ns)
                || pending.values().any(|one| (one.pid, one.peer) == (pid, peer))
        });
    }

    /// Returns each process that asks for connections, with its recent connects by address.
    pub(super) fn recent_figures(
        &self,
        now_ns: u64,
    ) -> BTreeMap<u32, (Untrusted, Vec<RecentFigures>)> {
        let mut all: BTreeMap<Key, RecentFigures> = BTreeMap::new();
        for (&(pid, peer), asked) in &self.asked {
            all.insert((pid, peer), RecentFigures::of_steps(peer, &asked.steps, now_ns));
        }
        for one in self.pending.values() {
            let entry =
                all.entry((one.pid, one.peer)).or_insert_with(|| RecentFigures::new(one.peer));
            entry.hangs(one, now_ns);
        }
        let mut by_process: BTreeMap<u32, (Untrusted, Vec<RecentFigures>)> = BTreeMap::new();
        for ((pid, peer), one) in all {
            let (comm, list) = by_process.entry(pid).or_default();
            if comm.is_empty() {
                *comm = self.comm_of(pid, peer).cloned().unwrap_or_default();
            }
            list.push(one);
        }
        by_process
    }

    /// The command name of a process, from its connects to `peer` or from any that hangs.
    fn comm_of(&self, pid: u32, peer: SocketAddr) -> Option<&Untrusted> {
        if let Some(asked) = self.asked.get(&(pid, peer)) {
            return Some(&asked.comm);
        }
        let hanging = self.pending.values().find(|one| one.pid == pid)?;
        Some(&hanging.comm)
    }

    /// Returns those that hang.
    pub(super) fn pending(&self) -> impl ExactSizeIterator<Item = &Connect> {
        self.pending.values()
    }

    /// Totals over the run; those that hang now included.
    pub(super) fn totals(&self) -> ConnectTotals {
        ConnectTotals { pending: self.pending.len() as u64, ..self.totals }
    }
}
