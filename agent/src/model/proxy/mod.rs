//! Processes that serve and call others: calls joined to the requests that they were made for, and
//! their sums.

mod join;
mod process;
mod sides;
mod sums;
mod totals;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::connections::{Connection, Connections};
use super::event::{Connect, Exchange, Opened, Outcome, Role};
use super::output::{ExchangeOutput, Output, ProxyOutput};
use super::snapshot::{ConnectionView, ExchangeView, HolderTimes, ProxyView};
use crate::text::Untrusted;
use process::Process;
use sides::{Called, Id, Served, fault};
pub(super) use sums::RecentFigures;
use totals::HolderTotals;

/// Processes that call others. Of further ones no call is joined.
pub const MAX_CALLERS: usize = 64;

/// Exchanges of all of them, of each side, that wait for their other side or have found it. Further
/// ones are not joined.
pub const MAX_JOINED: usize = 32_768;

/// Reports of exchanges that wait for the other side. Beyond it they are made without it.
pub const MAX_HELD: usize = 32_768;

/// A call is joined once it has been over for so long, ns: by then its request is known, too.
const SETTLED_NS: u64 = 1_000_000_000;

/// Number of a call on a connection that there is not yet.
const CONNECTING: u32 = 0;

#[derive(Debug, Default)]
pub(super) struct Proxies {
    table: BTreeMap<u32, Process>,
    /// Exchanges that are over and wait to be reported with their other side, by process.
    held: VecDeque<(u32, ExchangeOutput)>,
    totals: HolderTotals,
}

impl Proxies {
    /// Takes a connection; a process that made one calls others.
    pub(super) fn opened(&mut self, opened: &Opened) {
        if opened.role == Role::Client
            && let Some(process) = self.entry(opened.pid)
        {
            process.comm.clone_from(&opened.comm);
            process.called.remove(&(opened.sock, CONNECTING));
        }
    }

    /// Takes a connect: one that has no answer yet is a call under way.
    pub(super) fn connect(&mut self, connect: &Connect) {
        let id = (connect.sock, CONNECTING);
        if connect.outcome != Outcome::Pending {
            if let Some(process) = self.table.get_mut(&connect.pid) {
                process.called.remove(&id);
            }
            return;
        }
        let is_full = self.is_full(|one| one.called.len());
        if let Some(process) = self.entry(connect.pid)
            && !is_full
        {
            process.comm.clone_from(&connect.comm);
            process.called.insert(id, Called::connecting(connect));
        }
    }

    /// Takes a connect that failed: its process calls others, or would.
    pub(super) fn failed(&mut self, connect: &Connect) {
        if let Some(process) = self.entry(connect.pid) {
            process.comm.clone_from(&connect.comm);
            process.sums.failed(connect);
        }
    }

    /// Returns the entry of a process, if there is room for one more.
    fn entry(&mut self, pid: u32) -> Option<&mut Process> {
        if self.table.len() >= MAX_CALLERS && !self.table.contains_key(&pid) {
            // A process that served nobody and calls no more was a client, and gives way.
            self.table.retain(|_, process| process.is_proxy() || !process.called.is_empty());
            if self.table.len() >= MAX_CALLERS {
                return None;
            }
        }
        Some(self.table.entry(pid).or_default())
    }

    /// Takes the facts of an exchange that goes on.
    pub(super) fn goes_on(&mut self, exchange: &Exchange, connection: &Connection) {
        self.note(exchange, connection);
    }

    /// Takes an exchange that is over, and adds its other side as far as that is known. Returns its
    /// process, if that calls others.
    pub(super) fn over(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: Option<&Connection>,
        view: &mut ExchangeView,
    ) -> Option<u32> {
        let pid = match connection {
            Some(connection) if !self.table.is_empty() => self.note(exchange, connection),
            _ => None,
        };
        let (Some(pid), Some(connection)) = (pid, connection) else {
            self.totals.add(now_ns, &view.held().times(view.stands_for));
            return None;
        };
        let process = self.table.get_mut(&pid)?;
        let is_first = connection.exchanges() <= 1;
        let id = (exchange.sock, exchange.seq);
        let is_kept = match exchange.role {
            Role::Server => {
                process.sums.served(is_first);
                process.sums.waited(id, connection.peer(), &view.connects);
                process.put_off_served(id, view)
            }
            Role::Client => {
                let fault = if view.unanswered { fault(exchange) } else { None };
                process.sums.called(id, now_ns, connection.peer(), is_first, view, fault);
                process.put_off_call(id, view, fault)
            }
        };
        if !is_kept {
            self.totals.add(now_ns, &view.held());
        }
        process.complete(id, view, false);
        Some(pid)
    }

    /// The time of all exchanges whose calls are known, and of those of the last few seconds.
    pub(super) fn times(&self, now_ns: u64) -> (HolderTimes, HolderTimes) {
        (self.totals.all(), self.totals.recent(now_ns))
    }

    /// A pause has ended that lasted so long.
    pub(super) fn skip(&mut self, lasted_ns: u64) {
        self.totals.skip(lasted_ns);
    }

    /// Adds to the exchanges on screen what is known now of their other sides. Some of it may turn
    /// out otherwise.
    pub(super) fn complete_views(&self, views: &mut [ConnectionView]) {
        if self.table.is_empty() {
            return;
        }
        for view in views {
            let Some(process) = self.table.get(&view.pid) else { continue };
            let sock = view.sock;
            for exchange in &view.recent {
                if let Some(served) = process.served.get(&(sock, exchange.seq))
                    && let Some(uncounted) = &served.uncounted
                {
                    view.held.give_upstream(served.waited_us(uncounted, true));
                }
            }
            let shown = view.recent.iter_mut().chain(&mut view.worst).chain(&mut view.current);
            for exchange in shown {
                process.complete((sock, exchange.seq), exchange, true);
            }
        }
    }

    /// Holds the report of a proxy's exchange until its other side is known. Returns the report
    /// that is due now: this one if its process only calls, the oldest if too many are held.
    pub(super) fn hold(&mut self, pid: u32, output: ExchangeOutput) -> Option<ExchangeOutput> {
        let is_proxy = self.table.get(&pid).is_some_and(Process::is_proxy);
        if !is_proxy {
            return Some(output);
        }
        self.held.push_back((pid, output));
        if self.held.len() <= MAX_HELD {
            return None;
        }
        let (_, oldest) = self.held.pop_front()?;
        Some(oldest)
    }

    /// Returns the reports that are held, newest first.
    pub(super) fn held_mut(&mut self) -> impl Iterator<Item = &mut ExchangeOutput> {
        self.held.iter_mut().rev().map(|(_, output)| output)
    }

    /// Whether a process has made connections.
    pub(super) fn calls(&self, pid: u32) -> bool {
        self.table.contains_key(&pid)
    }

    /// Returns the time that a served exchange of this process waited for calls, µs, and the peer
    /// of the longest one, as far as they are joined.
    pub(super) fn waited(&self, pid: u32, served: Id) -> Option<(u64, SocketAddr)> {
        self.table.get(&pid)?.served.get(&served)?.waited()
    }

    /// Time that the client which a call was made for did not take what it was sent, µs; 0 where
    /// that is not known.
    pub(super) fn full_us(&self, pid: u32, call: Id) -> u64 {
        let Some(served) = self.served_by(pid, call) else { return 0 };
        served.full_ns / 1_000
    }

    /// Returns the exchange that a call was made for.
    fn served_by(&self, pid: u32, call: Id) -> Option<&Served> {
        let process = self.table.get(&pid)?;
        let join = process.called.get(&call)?.served?;
        process.served.get(&(join.sock, join.seq))
    }

    /// Returns the process of an exchange, if it calls others.
    fn pid_of(&self, exchange: &Exchange, connection: &Connection) -> Option<u32> {
        let pid = super::connections::pid_of(exchange, connection);
        if self.table.contains_key(&pid) { Some(pid) } else { None }
    }

    fn note(&mut self, exchange: &Exchange, connection: &Connection) -> Option<u32> {
        let pid = self.pid_of(exchange, connection)?;
        let (full_served, full_called) =
            (self.is_full(|one| one.served.len()), self.is_full(|one| one.called.len()));
        let process = self.table.get_mut(&pid)?;
        let id = (exchange.sock, exchange.seq);
        match exchange.role {
            Role::Server => {
                if let Some(mut new) = Served::new(exchange, connection.peer())
                    && !full_served
                {
                    if let Some(known) = process.served.get_mut(&id) {
                        new.keep(known);
                    }
                    process.served.insert(id, new);
                }
            }
            Role::Client => {
                let is_decided = matches!(process.called.get(&id), Some(call) if call.is_decided);
                let connected_ns = if exchange.seq == 1 { connection.asked_ns() } else { None };
                if !is_decided
                    && !full_called
                    && let Some(mut new) = Called::new(exchange, connection.peer(), connected_ns)
                {
                    if let Some(known) = process.called.get_mut(&id) {
                        new.keep(known);
                    }
                    process.called.insert(id, new);
                }
            }
        }
        Some(pid)
    }

    /// Whether all processes together have as many exchanges of a side as may be kept.
    fn is_full(&self, of: impl Fn(&Process) -> usize) -> bool {
        self.table.values().map(of).sum::<usize>() >= MAX_JOINED
    }

    /// Joins the calls that have been over for long enough at `now_ns`, and reports the exchanges
    /// that need not wait any more. At the end of the run that is all of them.
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
            if let Some(process) = self.table.get(&pid) {
                if !is_end && process.awaits(&output, until_ns) {
                    self.held.push_back((pid, output));
                    continue;
                }
                process.complete((output.sock, output.view.seq), &mut output.view, false);
            }
            out.push(Output::Exchange(output));
        }
        for process in self.table.values_mut() {
            let totals = &mut self.totals;
            process.count(until_ns, connections, |times| totals.add(now_ns, times));
            process.expire(now_ns);
        }
    }

    /// Reports the proxies whose figures have changed, at the end all.
    pub(super) fn report(&mut self, ts_ns: u64, is_end: bool, out: &mut Vec<Output>) {
        for (&pid, process) in &mut self.table {
            let sums = &process.sums;
            let exchanges = sums.downstream.exchanges + sums.upstream.exchanges + sums.failed;
            if process.is_worth_reporting() && (is_end || exchanges != process.reported) {
                process.reported = exchanges;
                let view = process.view(pid);
                out.push(Output::Proxy(Box::new(ProxyOutput { ts_ns, view })));
            }
        }
    }

    /// Judges each proxy by its recent upstreams. `judge` gets its id, name and these, and returns
    /// the slow ones.
    pub(super) fn judge(
        &mut self,
        mut judge: impl FnMut(u32, &Untrusted, &[RecentFigures]) -> Vec<SocketAddr>,
    ) {
        for (&pid, process) in &mut self.table {
            if process.is_worth_reporting() {
                process.slow = judge(pid, &process.comm, &process.sums.recent_figures());
            }
        }
    }

    pub(super) fn views(&self) -> Vec<ProxyView> {
        let mut views = Vec::new();
        for (&pid, process) in &self.table {
            if process.is_worth_showing() {
                views.push(process.view(pid));
            }
        }
        views
    }
}
