//! Exchanges as spans: an exchange is a span, its slices are its children, and the calls that were
//! made for it are, too, where the model joins them; so is what the called process did on this host.
//!
//! A trace is sampled by its first exchange, so that all of it is there or nothing. An exchange is
//! reported once it is over, before the one that it belongs to. So those that may belong to another
//! wait ([`WAIT_NS`]): calls, and exchanges whose client is on this host.

mod spans;

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
};

use rustc_hash::FxHashMap;

use super::otlp::QueuedSpan;
use crate::model::{
    WallClock,
    event::{Role, SockId},
    output::ExchangeOutput,
};
pub(crate) use spans::{Ids, host_attributes};

/// Exchanges that wait for those that they belong to, and then for those that belong to them.
pub(crate) const MAX_WAITING: usize = 8_192;
/// Time for which an exchange waits for the one that it belongs to, ns.
const WAIT_NS: u64 = 3_000_000_000;
/// Time after that in which others may still belong to it, ns.
const LINGER_NS: u64 = 3_000_000_000;
/// Two clocks' readings of one moment may differ by so much, ns.
const SLACK_NS: u64 = 1_000_000;
/// A chain of calls that is longer is cut.
const MAX_DEPTH: usize = 16;
/// Bytes of an exchange that waits, with some slices.
const WAITING_BYTES: usize = size_of::<Waiting>() + 16 * 64 + 128;

/// Bytes that those that wait take at most.
pub(crate) const MAX_BYTES: usize = MAX_WAITING * WAITING_BYTES;

/// An exchange: its connection, and its number there.
type Id = (SockId, u32);

/// Makes spans of exchanges.
///
/// [`take`](Self::take) takes each exchange that is over, [`settle`](Self::settle) gives spans at
/// each refresh.
#[derive(Debug)]
pub(crate) struct Traces {
    /// Part of all traces.
    share: f64,
    clock: WallClock,
    /// Makes ids that no other host and no other run has.
    hasher: RandomState,
    waiting: VecDeque<Waiting>,
    /// Number of the first one that waits.
    first: u64,
    by_id: FxHashMap<Id, u64>,
    /// Calls, by both ends of their connection: the local one first.
    calls: FxHashMap<(SocketAddr, SocketAddr), Vec<u64>>,
    /// Number of the first one that was not settled.
    unsettled: u64,
    /// Exchanges for which there was no room.
    lost: u64,
}

#[derive(Debug)]
struct Waiting {
    exchange: ExchangeOutput,
}

impl Waiting {
    fn id(&self) -> Id {
        (self.exchange.sock, self.exchange.view.seq)
    }

    /// Both ends of the connection of a call.
    fn call(&self) -> Option<(SocketAddr, SocketAddr)> {
        let ends = self.exchange.ends.as_ref()?;
        if self.exchange.role == Role::Client { Some((ends.local, ends.peer)) } else { None }
    }
}

impl Traces {
    /// `share` is from 0 to 1.
    pub(crate) fn new(share: f64, clock: WallClock) -> Self {
        Self {
            share,
            clock,
            hasher: RandomState::new(),
            waiting: VecDeque::new(),
            first: 0,
            by_id: FxHashMap::default(),
            calls: FxHashMap::default(),
            unsettled: 0,
            lost: 0,
        }
    }

    /// Takes an exchange that is over.
    pub(crate) fn take(&mut self, exchange: &ExchangeOutput) {
        let id = (exchange.sock, exchange.view.seq);
        if !may_belong(exchange) && !self.is_sampled(id) {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.lost += 1;
            return;
        }
        let number = self.first + self.waiting.len() as u64;
        let waiting = Waiting { exchange: exchange.clone() };
        self.by_id.insert(id, number);
        if let Some(call) = waiting.call() {
            self.calls.entry(call).or_default().push(number);
        }
        self.waiting.push_back(waiting);
    }

    /// Returns the spans of exchanges that have waited long enough; of all, at the end of a run.
    /// `linked` learns the ids of each exchange that has a span.
    pub(crate) fn settle(
        &mut self,
        now_ns: u64,
        at_end: bool,
        mut linked: impl FnMut(&ExchangeOutput, &Ids),
    ) -> Vec<QueuedSpan> {
        let mut spans = Vec::new();
        while let Some(waiting) = self.get(self.unsettled)
            && (at_end || now_ns.saturating_sub(waiting.exchange.ts_ns) >= WAIT_NS)
        {
            let parent = self.parent(waiting);
            let root = self.root(waiting);
            if self.is_sampled(root) {
                let ids = Ids {
                    trace: self.trace_id(root),
                    span: self.span_id(waiting.id(), 0),
                    parent: parent.map(|parent| self.span_id(parent, 0)),
                };
                let slice_id = |number: u32| self.span_id(waiting.id(), number + 1);
                linked(&waiting.exchange, &ids);
                spans::write(&waiting.exchange, &self.clock, &ids, slice_id, &mut spans);
            }
            self.unsettled += 1;
        }
        while self.first < self.unsettled
            && let Some(oldest) = self.waiting.front()
            && (at_end || now_ns.saturating_sub(oldest.exchange.ts_ns) >= WAIT_NS + LINGER_NS)
        {
            self.forget_first();
        }
        spans
    }

    /// Returns the number of exchanges for which there was no room since the last call.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn forget_first(&mut self) {
        let Some(oldest) = self.waiting.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        // Another may have had the same id since.
        if self.by_id.get(&oldest.id()) == Some(&number) {
            self.by_id.remove(&oldest.id());
        }
        if let Some(call) = oldest.call()
            && let Some(all) = self.calls.get_mut(&call)
        {
            all.retain(|one| *one != number);
            if all.is_empty() {
                self.calls.remove(&call);
            }
        }
    }

    fn get(&self, number: u64) -> Option<&Waiting> {
        self.waiting.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Returns the exchange that this one belongs to.
    fn parent(&self, of: &Waiting) -> Option<Id> {
        let exchange = &of.exchange;
        match exchange.role {
            Role::Client => exchange.view.downstream.map(|join| (join.sock, join.seq)),
            Role::Server => {
                let ends = exchange.ends.as_ref()?;
                let start_ns = exchange.view.start_ns;
                for number in self.calls.get(&(ends.peer, ends.local))? {
                    let call = self.get(*number)?;
                    let view = &call.exchange.view;
                    let end_ns = view.start_ns.saturating_add(view.total_us.saturating_mul(1_000));
                    let begun = start_ns.saturating_add(SLACK_NS) >= view.start_ns;
                    if begun && start_ns <= end_ns {
                        return Some(call.id());
                    }
                }
                None
            }
        }
    }

    /// Returns the first exchange of the trace that this one is in.
    fn root(&self, of: &Waiting) -> Id {
        let (mut root, mut next) = (of.id(), Some(of));
        for _ in 0..MAX_DEPTH {
            let Some(parent) = next.and_then(|next| self.parent(next)) else { break };
            root = parent;
            next = self.by_id.get(&parent).and_then(|number| self.get(*number));
        }
        root
    }

    fn is_sampled(&self, root: Id) -> bool {
        let chance = self.hasher.hash_one(("sample", root)) as f64 / u64::MAX as f64;
        chance < self.share
    }

    fn trace_id(&self, root: Id) -> Vec<u8> {
        let mut id = self.hasher.hash_one(("high", root)).to_be_bytes().to_vec();
        id.extend(self.hasher.hash_one(("low", root)).to_be_bytes());
        id
    }

    /// The id of an exchange's span, and of those of its slices, which are counted from 1.
    fn span_id(&self, of: Id, slice: u32) -> Vec<u8> {
        self.hasher.hash_one(("span", of, slice)).to_be_bytes().to_vec()
    }
}

/// Whether an exchange may belong to another one that is watched.
fn may_belong(exchange: &ExchangeOutput) -> bool {
    let Some(ends) = &exchange.ends else { return false };
    match exchange.role {
        // What its other end served may belong to it.
        Role::Client => true,
        Role::Server => ends.peer.ip().is_loopback() || ends.peer.ip() == ends.local.ip(),
    }
}

#[cfg(test)]
mod tests;
