//! Sums of a proxy: its use of upstream connections, the spreading of requests, and the figures of
//! each upstream.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::sides::{Called, Served};
use crate::model::connections::counted_us;
use crate::model::event::{Connect, SockId};
use crate::model::histogram::{Precision, WaitHistogram};
use crate::model::snapshot::{
    CallFault, ConnectFailure, ExchangeView, FailedCall, ProxySide, ProxyView, Reuse, Spreading,
    UpstreamView,
};
use crate::text::Untrusted;

/// Upstream addresses of one process; exchanges with further ones count in the totals alone.
const MAX_UPSTREAMS: usize = 64;
/// Connections of one process that are told apart.
const MAX_CONNECTIONS: usize = 4_096;
/// Exchanges that recent figures are taken over, and their age at most, ns.
const MAX_RECENT: usize = 2_048;
const RECENT_NS: u64 = 10_000_000_000;
/// Connections from which on each may be said to be used once.
const ENOUGH: usize = 3;

/// Figures of one upstream address.
#[derive(Clone, Debug)]
struct Upstream {
    side: ProxySide,
    unanswered: u64,
    time: WaitHistogram,
    /// Connects that failed.
    failed: u64,
    /// The last call or connect that failed, and which one it was.
    last_failure: Option<(Which, FailedCall)>,
}

/// A call by its id, or a connect by its beginning, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Call((SockId, u32)),
    Connect(u64),
}

/// Partners of a connection that are told apart; further ones are others.
const MAX_PARTNERS: usize = 4;

/// Connections that a connection was joined to.
#[derive(Clone, Debug, Default)]
struct Partners {
    exchanges: u64,
    /// Connections with their addresses, and how often.
    known: SmallVec<[(SockId, SocketAddr, u64); MAX_PARTNERS]>,
    last_ns: u64,
}

impl Partners {
    fn add(&mut self, sock: SockId, peer: SocketAddr, last_ns: u64) {
        (self.exchanges, self.last_ns) = (self.exchanges + 1, last_ns);
        if let Some((.., count)) = self.known.iter_mut().find(|(known, ..)| *known == sock) {
            *count += 1;
        } else if self.known.len() < MAX_PARTNERS {
            self.known.push((sock, peer, 1));
        }
    }

    /// Whether it has more than one partner, by what counts as the same one. A few exchanges may
    /// have been joined wrongly.
    fn has_several(
        &self,
        same: impl Fn((SockId, SocketAddr), (SockId, SocketAddr)) -> bool,
    ) -> bool {
        let mut most = 0;
        for &(sock, peer, _) in &self.known {
            let mut alike = 0;
            for &(other_sock, other_peer, count) in &self.known {
                if same((sock, peer), (other_sock, other_peer)) {
                    alike += count;
                }
            }
            most = most.max(alike);
        }
        (self.exchanges - most) * 5 >= self.exchanges.max(1)
    }

    fn has_several_connections(&self) -> bool {
        self.has_several(|one, other| one.0 == other.0)
    }

    fn has_several_addresses(&self) -> bool {
        self.has_several(|one, other| one.1 == other.1)
    }
}

/// Recent figures of one upstream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::model) struct RecentFigures {
    pub(in crate::model) peer: SocketAddr,
    pub(in crate::model) exchanges: u64,
    /// Median time of an exchange, µs.
    pub(in crate::model) median_us: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) downstream: ProxySide,
    pub(super) upstream: ProxySide,
    pub(super) joined: u64,
    /// Connects that failed, to any address.
    pub(super) failed: u64,
    /// Upstream connections that take several requests at a time.
    multiplexed: u64,
    upstreams: BTreeMap<SocketAddr, Upstream>,
    /// Recent calls: the time, the upstream, and how long it took, µs.
    recent: VecDeque<(u64, SocketAddr, u32)>,
    /// By upstream connection: the served connections that it was used for.
    by_upstream: FxHashMap<SockId, Partners>,
    /// By served connection: the upstream connections that were used for it.
    by_downstream: FxHashMap<SockId, Partners>,
}

impl Sums {
    /// Counts a served exchange that is over; `is_first` of its connection.
    pub(super) fn served(&mut self, is_first: bool) {
        count(&mut self.downstream, is_first);
    }

    /// Counts a call that is over; `is_first` of its connection.
    pub(super) fn called(
        &mut self,
        id: (SockId, u32),
        now_ns: u64,
        peer: SocketAddr,
        is_first: bool,
        view: &ExchangeView,
        fault: Option<CallFault>,
    ) {
        let us = counted_us(view);
        count(&mut self.upstream, is_first);
        self.multiplexed += u64::from(is_first && view.multiplexed);
        if let Some(upstream) = self.upstream(peer) {
            count(&mut upstream.side, is_first);
            upstream.unanswered += u64::from(view.unanswered);
            upstream.time.record(us);
            if let Some(fault) = fault {
                let ts_ns = view.start_ns.saturating_add(us.saturating_mul(1_000));
                let failed = FailedCall { fault, ts_ns, us, request: None };
                upstream.last_failure = Some((Which::Call(id), failed));
            }
            if self.recent.len() == MAX_RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((now_ns, peer, u32::try_from(us).unwrap_or(u32::MAX)));
        }
    }

    /// Counts a connect that failed.
    pub(super) fn failed(&mut self, connect: &Connect) {
        self.failed += 1;
        if let Some(upstream) = self.upstream(connect.peer) {
            upstream.failed += 1;
            let failed = FailedCall {
                fault: CallFault::Connect(connect.outcome),
                ts_ns: connect.ts_ns,
                us: connect.ts_ns.saturating_sub(connect.asked_ns) / 1_000,
                request: None,
            };
            upstream.last_failure = Some((Which::Connect(connect.asked_ns), failed));
        }
    }

    /// Notes the request that waited for these connects.
    pub(super) fn waited(
        &mut self,
        request: (SockId, u32),
        client: SocketAddr,
        failures: &[ConnectFailure],
    ) {
        for failure in failures {
            let which = Which::Connect(failure.start_ns);
            self.note_request(failure.peer, which, (request.0, request.1, client));
        }
    }

    /// Notes the request that waited for a call.
    pub(super) fn request_of(&mut self, call: &Called, served: &Served) {
        let request = (served.id.0, served.id.1, served.peer);
        self.note_request(call.peer, Which::Call(call.id), request);
    }

    fn note_request(
        &mut self,
        upstream: SocketAddr,
        which: Which,
        request: (SockId, u32, SocketAddr),
    ) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream)
            && let Some((last, failed)) = &mut upstream.last_failure
            && *last == which
        {
            failed.request = Some(request);
        }
    }

    /// Returns the entry of an upstream, if there is room for one more.
    fn upstream(&mut self, peer: SocketAddr) -> Option<&mut Upstream> {
        if self.upstreams.len() >= MAX_UPSTREAMS && !self.upstreams.contains_key(&peer) {
            return None;
        }
        Some(self.upstreams.entry(peer).or_insert_with(|| Upstream {
            side: ProxySide::default(),
            time: WaitHistogram::new(Precision::Fine),
            failed: 0,
            unanswered: 0,
            last_failure: None,
        }))
    }

    /// Counts a call that was joined to the request that it was made for.
    pub(super) fn joined(&mut self, call: &Called, served: &Served) {
        self.joined += 1;
        self.request_of(call, served);
        if let Some(partners) = entry(&mut self.by_upstream, call.id.0) {
            partners.add(served.id.0, served.peer, call.end_ns);
        }
        if let Some(partners) = entry(&mut self.by_downstream, served.id.0) {
            partners.add(call.id.0, call.peer, call.end_ns);
        }
    }

    /// Forgets what is over.
    pub(super) fn expire(&mut self, now_ns: u64) {
        let from_ns = now_ns.saturating_sub(RECENT_NS);
        while let Some(&(ts_ns, ..)) = self.recent.front()
            && ts_ns < from_ns
        {
            self.recent.pop_front();
        }
        for table in [&mut self.by_upstream, &mut self.by_downstream] {
            if table.len() >= MAX_CONNECTIONS {
                table.retain(|_, partners| partners.last_ns >= from_ns);
            }
        }
    }

    /// Returns the figures of each upstream over the last few seconds.
    pub(super) fn recent_figures(&self) -> Vec<RecentFigures> {
        let mut by_peer: BTreeMap<SocketAddr, Vec<u32>> = BTreeMap::new();
        for &(_, peer, us) in &self.recent {
            by_peer.entry(peer).or_default().push(us);
        }
        let mut figures = Vec::new();
        for (peer, mut times) in by_peer {
            let (exchanges, middle) = (times.len() as u64, times.len() / 2);
            let (_, &mut median_us, _) = times.select_nth_unstable(middle);
            figures.push(RecentFigures { peer, exchanges, median_us: median_us.into() });
        }
        figures
    }

    fn reuse(&self) -> Option<Reuse> {
        if self.multiplexed * 2 > self.upstream.connections {
            return Some(Reuse::Multiplexed);
        }
        let (mut repeated, mut several) = (0, 0);
        for partners in self.by_upstream.values() {
            if partners.exchanges > 1 {
                repeated += 1;
                several += usize::from(partners.has_several_connections());
            }
        }
        match () {
            () if several * 10 >= self.by_upstream.len() && several > 0 => Some(Reuse::Pooled),
            // With one client, a connection of its own looks the same as a pool of one.
            () if repeated * 10 >= self.by_upstream.len() && repeated > 0 => {
                (self.by_downstream.len() > 1).then_some(Reuse::PerConnection)
            }
            () => (self.by_upstream.len() >= ENOUGH).then_some(Reuse::PerRequest),
        }
    }

    fn spreading(&self) -> Option<Spreading> {
        let (mut repeated, mut several) = (0, 0);
        for partners in self.by_downstream.values() {
            if partners.exchanges > 1 {
                repeated += 1;
                several += usize::from(partners.has_several_addresses());
            }
        }
        match () {
            () if self.upstreams.len() < 2 || repeated == 0 => None,
            () if several * 10 >= repeated => Some(Spreading::PerRequest),
            () if repeated > 1 => Some(Spreading::PerConnection),
            () => None,
        }
    }

    /// Returns the figures; `is_slow` names the slow upstreams.
    pub(super) fn view(
        &self,
        pid: u32,
        comm: Untrusted,
        is_slow: impl Fn(SocketAddr) -> bool,
    ) -> ProxyView {
        let all = self.upstream.exchanges.max(1) as f64;
        let mut upstreams = Vec::with_capacity(self.upstreams.len());
        for (&peer, upstream) in &self.upstreams {
            let mut time = upstream.time.clone();
            time.refresh();
            upstreams.push(UpstreamView {
                peer,
                side: upstream.side,
                share: upstream.side.exchanges as f64 / all,
                unanswered: upstream.unanswered,
                time: time.view(),
                slow: is_slow(peer),
                connect_fails: upstream.failed,
                last_failure: upstream.last_failure.map(|(_, failed)| failed),
                waiting: 0,
                waiting_us: 0,
            });
        }
        upstreams.sort_by_key(|upstream| (Reverse(upstream.side.exchanges), upstream.peer));
        let mut imbalance = None;
        if upstreams.len() > 1 {
            let even = 1.0 / upstreams.len() as f64;
            imbalance = Some(upstreams[0].share / even);
        }
        ProxyView {
            pid,
            comm,
            downstream: self.downstream,
            upstream: self.upstream,
            joined: self.joined,
            reuse: self.reuse(),
            spreading: self.spreading(),
            imbalance,
            upstreams,
        }
    }
}

/// Returns the partners of a connection, if there is room for them.
fn entry(table: &mut FxHashMap<SockId, Partners>, sock: SockId) -> Option<&mut Partners> {
    if table.len() >= MAX_CONNECTIONS && !table.contains_key(&sock) {
        return None;
    }
    Some(table.entry(sock).or_default())
}

fn count(side: &mut ProxySide, is_first: bool) {
    side.connections += u64::from(is_first);
    side.exchanges += 1;
}
