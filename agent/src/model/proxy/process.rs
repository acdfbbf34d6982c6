//! One process that calls others: its requests, its calls, and which belong together.

use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::join::{join, take_back};
use super::sides::{Called, Id, Served, Uncounted, union_ns};
use super::sums::Sums;
use crate::model::connections::Connections;
use crate::model::event::Role;
use crate::model::output::ExchangeOutput;
use crate::model::snapshot::{CallFault, ExchangeView, HolderTimes, ProxyView, SliceKind};
use crate::text::Untrusted;

/// A call that has found its request is kept for so long for its own report, ns.
const UNREPORTED_NS: u64 = 60_000_000_000;

/// Exchanges are kept for their other side for so long after their end, ns.
const KEPT_NS: u64 = 5_000_000_000;

/// One process that calls others.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) comm: Untrusted,
    pub(super) served: FxHashMap<Id, Served>,
    pub(super) called: FxHashMap<Id, Called>,
    pub(super) sums: Sums,
    /// Exchanges at the last report.
    pub(super) reported: u64,
    /// Upstreams that were slow lately.
    pub(super) slow: Vec<SocketAddr>,
}

impl Process {
    /// Whether it serves, too.
    pub(super) fn is_proxy(&self) -> bool {
        self.sums.downstream.exchanges > 0
    }

    pub(super) fn is_worth_reporting(&self) -> bool {
        self.is_proxy() && (self.sums.joined > 0 || self.sums.failed > 0)
    }

    /// Whether there is anything to show: beyond what is worth a report, requests that wait for
    /// calls from the beginning on.
    pub(super) fn is_worth_showing(&self) -> bool {
        let serves = self.is_proxy() || !self.served.is_empty();
        let calls = self.sums.joined > 0 || self.sums.failed > 0;
        serves && calls || self.served.values().any(|served| !served.calls.is_empty())
    }

    pub(super) fn view(&self, pid: u32) -> ProxyView {
        let mut view = self.sums.view(pid, self.comm.clone(), |peer| self.slow.contains(&peer));
        for call in self.called.values().filter(|call| call.is_awaited()) {
            let upstream = view.upstream_mut(call.peer);
            upstream.waiting += 1;
            upstream.waiting_us = upstream.waiting_us.max(call.us());
        }
        view
    }
}

impl Process {
    /// Joins the calls that were over at `until_ns`.
    pub(super) fn join(&mut self, until_ns: u64, connections: &mut Connections) {
        take_back(self.served.values_mut(), self.called.values_mut());
        self.decide(until_ns, connections);
        let mut calls: Vec<&mut Called> =
            self.called.values_mut().filter(|call| !call.is_decided).collect();
        if !calls.is_empty() {
            let mut served: Vec<&mut Served> = self.served.values_mut().collect();
            join(&mut served, &mut calls, true);
        }
    }

    /// Joins for good the calls that were over at `until_ns`.
    fn decide(&mut self, until_ns: u64, connections: &mut Connections) {
        let ready =
            |call: &&mut Called| !call.is_decided && call.end_ns <= until_ns && call.is_over;
        let mut calls: Vec<&mut Called> = self.called.values_mut().filter(ready).collect();
        if calls.is_empty() {
            return;
        }
        let mut served: Vec<&mut Served> = self.served.values_mut().collect();
        join(&mut served, &mut calls, false);
        let mut found: Vec<(Id, Id)> = Vec::new();
        for call in &calls {
            if let Some(join) = call.served {
                found.push((call.id, (join.sock, join.seq)));
            }
        }
        for (call, request) in found {
            if let (Some(called), Some(served)) =
                (self.called.get(&call), self.served.get(&request))
            {
                self.sums.joined(called, served);
            }
            for id in [call, request] {
                connections.change(id, |view| self.complete(id, view, false));
            }
        }
    }

    /// Adds its other side to an exchange, as far as that is known, or provisionally.
    pub(super) fn complete(&self, id: Id, view: &mut ExchangeView, provisional: bool) {
        if let Some(served) = self.served.get(&id) {
            view.upstream = served.joins(provisional).into_vec();
            let counted = view.upstream.iter().filter(|join| join.counts);
            for slice in &mut view.slices {
                if slice.kind != SliceKind::App {
                    continue;
                }
                let end_ns = slice.start_ns.saturating_add(slice.us.saturating_mul(1_000));
                let us = union_ns(counted.clone(), slice.start_ns, end_ns) / 1_000;
                slice.upstream_us = if us > 0 { Some(us) } else { None };
            }
        }
        if let Some(call) = self.called.get(&id)
            && (call.is_decided || provisional)
        {
            view.downstream = call.served;
        }
    }

    /// Keeps the time of a served exchange until its calls are known. False if it is not followed.
    pub(super) fn put_off_served(&mut self, id: Id, view: &ExchangeView) -> bool {
        let Some(served) = self.served.get_mut(&id) else { return false };
        served.uncounted = Some(Uncounted::new(view));
        true
    }

    /// Keeps the time of a call until its request is known. False if it is not followed.
    pub(super) fn put_off_call(
        &mut self,
        id: Id,
        view: &ExchangeView,
        fault: Option<CallFault>,
    ) -> bool {
        let Some(call) = self.called.get_mut(&id) else { return false };
        call.uncounted = Some(view.held());
        call.fault = fault;
        if let Some(join) = call.served
            && let Some(served) = self.served.get_mut(&(join.sock, join.seq))
        {
            served.note_fault(id, fault);
            self.sums.request_of(call, served);
        }
        true
    }

    /// Hands out the time of exchanges whose other side is known, or will not be.
    pub(super) fn count(
        &mut self,
        until_ns: u64,
        connections: &mut Connections,
        mut add: impl FnMut(&HolderTimes),
    ) {
        for call in self.called.values_mut() {
            if !call.is_decided && call.end_ns > until_ns {
                continue;
            }
            let Some(times) = call.uncounted.take() else { continue };
            let request = call.served.and_then(|join| self.served.get(&(join.sock, join.seq)));
            // Its time is a part of the request's.
            if !matches!(request, Some(served) if served.counts(call.id)) {
                add(&times);
            }
        }
        for served in self.served.values_mut() {
            if matches!(served.written_ns, Some((_, last_ns)) if last_ns > until_ns) {
                continue;
            }
            let Some(uncounted) = served.uncounted.take() else { continue };
            let us = served.waited_us(&uncounted, false);
            let mut times = uncounted.times;
            times.give_upstream(us);
            connections.add_upstream(served.id.0, us);
            add(&times);
        }
    }

    /// Whether the other side of this exchange may become known yet.
    pub(super) fn awaits(&self, output: &ExchangeOutput, until_ns: u64) -> bool {
        let id = (output.sock, output.view.seq);
        match output.role {
            Role::Server => {
                let Some(served) = self.served.get(&id) else { return false };
                matches!(served.written_ns, Some((_, last_ns)) if last_ns > until_ns)
            }
            Role::Client => {
                let Some(call) = self.called.get(&id) else { return false };
                !call.is_decided && call.is_over
            }
        }
    }

    pub(super) fn expire(&mut self, now_ns: u64) {
        let age_ns = |ns: u64| now_ns.saturating_sub(ns);
        self.served.retain(|_, served| match served.written_ns {
            Some((_, last_ns)) => age_ns(last_ns) < KEPT_NS,
            None => age_ns(served.seen_ns) < UNREPORTED_NS,
        });
        self.called.retain(|_, call| {
            let kept_ns = if call.served.is_some() { UNREPORTED_NS } else { KEPT_NS };
            age_ns(call.end_ns) < kept_ns
        });
        self.sums.expire(now_ns);
    }
}
