//! Processes that serve and call others: which call was made for which request, and what that comes
//! to.

mod join;
mod sums;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::connections::{Connection, Connections};
use super::event::{Connect, Exchange, Opened, Role};
use super::output::{ExchangeOutput, Output, ProxyOutput};
use super::snapshot::{ExchangeView, ProxyView, SliceKind};
use join::{Called, Id, Served, covered_ns, join};
pub(super) use sums::RecentFigures;
use sums::Sums;

/// Processes that call others. Of further ones no call is joined.
pub const MAX_CALLERS: usize = 64;
/// Exchanges of all of them, of each side, that wait for their other side or have found it. Further
/// ones are not joined.
pub const MAX_JOINED: usize = 32_768;
/// Reports of exchanges that wait for the other side. When there are more, they are told without
/// it.
pub const MAX_HELD: usize = 32_768;
/// A call is joined once it has been over for so long, ns: then what it was made for is known, too.
const SETTLED_NS: u64 = 1_000_000_000;
/// Exchanges are kept for their other side for so long after their end, ns.
const KEPT_NS: u64 = 5_000_000_000;
/// A call that has found its request is kept for so long for its own report, ns.
const UNREPORTED_NS: u64 = 60_000_000_000;

/// One process that calls others.
#[derive(Debug, Default)]
struct Process {
    comm: String,
    served: FxHashMap<Id, Served>,
    called: FxHashMap<Id, Called>,
    sums: Sums,
    /// Exchanges at the last report.
    reported: u64,
    /// Upstreams that are slow of late.
    slow: Vec<SocketAddr>,
}

impl Process {
    /// It serves, too.
    fn is_proxy(&self) -> bool {
        self.sums.downstream.exchanges > 0
    }

    fn is_worth_telling(&self) -> bool {
        self.is_proxy() && (self.sums.joined > 0 || self.sums.failed > 0)
    }

    fn view(&self, pid: u32) -> ProxyView {
        self.sums.view(pid, self.comm.clone(), |peer| self.slow.contains(&peer))
    }
}

#[derive(Debug, Default)]
pub(super) struct Proxies {
    table: BTreeMap<u32, Process>,
    /// By process: exchanges that are over, and are to be told with their other side.
    held: VecDeque<(u32, ExchangeOutput)>,
}

impl Proxies {
    /// A process has a connection that it made.
    pub(super) fn opened(&mut self, opened: &Opened) {
        if opened.role == Role::Client
            && let Some(process) = self.entry(opened.pid)
        {
            process.comm.clone_from(&opened.comm);
        }
    }

    /// A connect of a process failed: it calls others, or would.
    pub(super) fn failed(&mut self, connect: &Connect) {
        if let Some(process) = self.entry(connect.pid) {
            process.comm.clone_from(&connect.comm);
            process.sums.failed(connect.peer);
        }
    }

    /// The process's place, if there is room for one more.
    fn entry(&mut self, pid: u32) -> Option<&mut Process> {
        if self.table.len() >= MAX_CALLERS && !self.table.contains_key(&pid) {
            // Whoever served nobody and calls no more was a client, and gives way.
            self.table.retain(|_, process| process.is_proxy() || !process.called.is_empty());
        }
        (self.table.len() < MAX_CALLERS || self.table.contains_key(&pid))
            .then(|| self.table.entry(pid).or_default())
    }

    /// Takes the facts of an exchange that goes on.
    pub(super) fn goes_on(&mut self, exchange: &Exchange, connection: &Connection) {
        self.note(exchange, connection);
    }

    /// Takes an exchange that is over, and adds its other side as far as that is known. Gives its
    /// process, if that calls others.
    pub(super) fn over(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: &Connection,
        view: &mut ExchangeView,
    ) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let pid = self.note(exchange, connection)?;
        let process = self.table.get_mut(&pid)?;
        let is_first = connection.exchanges() <= 1;
        match exchange.role {
            Role::Server => process.sums.served(is_first),
            Role::Client => {
                process.sums.called(now_ns, connection.peer(), is_first, view);
            }
        }
        process.complete((exchange.sock, exchange.seq), view);
        Some(pid)
    }

    /// Keeps what is to be told of an exchange of a proxy. Gives it back if nothing is to be waited
    /// for.
    pub(super) fn hold(&mut self, pid: u32, output: ExchangeOutput) -> Option<ExchangeOutput> {
        if !self.table.get(&pid).is_some_and(Process::is_proxy) {
            return Some(output);
        }
        self.held.push_back((pid, output));
        if self.held.len() > MAX_HELD {
            self.held.pop_front().map(|(_, output)| output)
        } else {
            None
        }
    }

    /// What is held, newest first.
    pub(super) fn held_mut(&mut self) -> impl Iterator<Item = &mut ExchangeOutput> {
        self.held.iter_mut().rev().map(|(_, output)| output)
    }

    /// It has made connections.
    pub(super) fn calls(&self, pid: u32) -> bool {
        self.table.contains_key(&pid)
    }

    /// How long a served exchange of this process waited for calls, µs, and for which the longest,
    /// as far as they are joined.
    pub(super) fn waited(&self, pid: u32, served: Id) -> Option<(u64, SocketAddr)> {
        self.table.get(&pid)?.served.get(&served)?.waited()
    }

    /// How long the client that a call was made for did not take what it was sent, µs; 0 where that
    /// is not known.
    pub(super) fn full_us(&self, pid: u32, call: Id) -> u64 {
        let process = self.table.get(&pid);
        let served = process.and_then(|process| {
            let join = process.called.get(&call)?.served?;
            process.served.get(&(join.sock, join.seq))
        });
        served.map_or(0, |served| served.full_ns / 1_000)
    }

    /// The process that an exchange is of, if it calls others.
    fn pid_of(&self, exchange: &Exchange, connection: &Connection) -> Option<u32> {
        let pid = super::connections::pid_of(exchange, connection);
        self.table.contains_key(&pid).then_some(pid)
    }

    fn note(&mut self, exchange: &Exchange, connection: &Connection) -> Option<u32> {
        let pid = self.pid_of(exchange, connection)?;
        let (full_served, full_called) =
            (self.is_full(|one| one.served.len()), self.is_full(|one| one.called.len()));
        let process = self.table.get_mut(&pid)?;
        let id = (exchange.sock, exchange.seq);
        match exchange.role {
            Role::Server => {
                let new = Served::new(exchange, connection.peer()).filter(|_| !full_served);
                if let Some(mut new) = new {
                    if let Some(known) = process.served.get_mut(&id) {
                        new.calls = std::mem::take(&mut known.calls);
                    }
                    process.served.insert(id, new);
                }
            }
            Role::Client if process.called.get(&id).is_none_or(|known| !known.is_decided) => {
                let connected_ns = connection.asked_ns().filter(|_| exchange.seq == 1);
                let new =
                    Called::new(exchange, connection.peer(), connected_ns).filter(|_| !full_called);
                process.called.extend(new.map(|new| (id, new)));
            }
            Role::Client => {}
        }
        Some(pid)
    }

    fn is_full(&self, of: impl Fn(&Process) -> usize) -> bool {
        self.table.values().map(of).sum::<usize>() >= MAX_JOINED
    }

    /// Joins the calls that have been over for long enough at `now_ns`, and tells what is to be
    /// told. With the end of the run all of them have.
    pub(super) fn settle(
        &mut self,
        now_ns: u64,
        is_end: bool,
        connections: &mut Connections,
        out: &mut Vec<Output>,
    ) {
        let until_ns = if is_end { u64::MAX } else { now_ns.saturating_sub(SETTLED_NS) };
        for process in self.table.values_mut() {
            process.join(until_ns, connections);
        }
        let held = std::mem::take(&mut self.held);
        for (pid, mut output) in held {
            let process = self.table.get(&pid);
            if process.is_some_and(|process| !is_end && process.awaits(&output, until_ns)) {
                self.held.push_back((pid, output));
                continue;
            }
            if let Some(process) = process {
                process.complete((output.sock, output.view.seq), &mut output.view);
            }
            out.push(Output::Exchange(output));
        }
        for process in self.table.values_mut() {
            process.expire(now_ns);
        }
    }

    /// Reports the proxies whose figures have changed, at the end all.
    pub(super) fn report(&mut self, ts_ns: u64, is_end: bool, out: &mut Vec<Output>) {
        for (&pid, process) in &mut self.table {
            let sums = &process.sums;
            let exchanges = sums.downstream.exchanges + sums.upstream.exchanges + sums.failed;
            if process.is_worth_telling() && (is_end || exchanges != process.reported) {
                process.reported = exchanges;
                let view = process.view(pid);
                out.push(Output::Proxy(Box::new(ProxyOutput { ts_ns, view })));
            }
        }
    }

    /// Judges each proxy by its upstreams of late: `judge` gets its id, name and these, and says
    /// which are slow.
    pub(super) fn judge(
        &mut self,
        mut judge: impl FnMut(u32, &str, &[RecentFigures]) -> Vec<SocketAddr>,
    ) {
        for (&pid, process) in
            self.table.iter_mut().filter(|(_, process)| process.is_worth_telling())
        {
            process.slow = judge(pid, &process.comm, &process.sums.recent_figures());
        }
    }

    pub(super) fn views(&self) -> Vec<ProxyView> {
        let proxies = self.table.iter().filter(|(_, process)| process.is_worth_telling());
        proxies.map(|(&pid, process)| process.view(pid)).collect()
    }
}

impl Process {
    /// Joins the calls that were over at `until_ns`.
    fn join(&mut self, until_ns: u64, connections: &mut Connections) {
        let ready =
            |call: &&mut Called| !call.is_decided && call.end_ns <= until_ns && call.is_over;
        let mut calls: Vec<&mut Called> = self.called.values_mut().filter(ready).collect();
        if calls.is_empty() {
            return;
        }
        let mut served: Vec<&mut Served> = self.served.values_mut().collect();
        join(&mut served, &mut calls);
        let found: Vec<(Id, Id)> = calls
            .iter()
            .filter_map(|call| Some((call.id, call.served.map(|join| (join.sock, join.seq))?)))
            .collect();
        for (call, request) in found {
            if let Some((called, served)) = self.called.get(&call).zip(self.served.get(&request)) {
                self.sums.joined(called, served);
            }
            for id in [call, request] {
                connections.change(id, |view| self.complete(id, view));
            }
        }
    }

    /// Writes into an exchange what its other side is known to be.
    fn complete(&self, id: Id, view: &mut ExchangeView) {
        if let Some(served) = self.served.get(&id) {
            view.upstream = served.calls.iter().map(|&(join, ..)| join).collect();
            for slice in view.slices.iter_mut().filter(|slice| slice.kind == SliceKind::App) {
                let end_ns = slice.start_ns.saturating_add(slice.us.saturating_mul(1_000));
                let spans = served.calls.iter().map(|&(_, from_ns, to_ns)| (from_ns, to_ns));
                slice.upstream_us =
                    Some(covered_ns(spans, slice.start_ns, end_ns) / 1_000).filter(|&us| us > 0);
            }
        }
        view.downstream = self.called.get(&id).and_then(|call| call.served);
    }

    /// The other side of this exchange may become known yet.
    fn awaits(&self, output: &ExchangeOutput, until_ns: u64) -> bool {
        let id = (output.sock, output.view.seq);
        match output.role {
            Role::Server => self
                .served
                .get(&id)
                .and_then(|one| one.written_ns)
                .is_some_and(|(_, last_ns)| last_ns > until_ns),
            Role::Client => {
                self.called.get(&id).is_some_and(|call| !call.is_decided && call.is_over)
            }
        }
    }

    fn expire(&mut self, now_ns: u64) {
        let old_ns = |ns: u64| now_ns.saturating_sub(ns);
        self.served.retain(|_, one| {
            one.written_ns.map_or(old_ns(one.seen_ns) < UNREPORTED_NS, |(_, last_ns)| {
                old_ns(last_ns) < KEPT_NS
            })
        });
        self.called.retain(|_, call| {
            old_ns(call.end_ns) < if call.served.is_some() { UNREPORTED_NS } else { KEPT_NS }
        });
        self.sums.expire(now_ns);
    }
}
