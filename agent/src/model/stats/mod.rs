//! What connections went through lately, summed by listener or process: what findings on
//! connections judge by, so that ten thousand connections make one finding.

mod greetings;
mod looks;
mod rests;
mod sent;
mod stuck;
mod sums;
mod tail;
mod unserved;

use std::collections::{BTreeMap, VecDeque};

use super::connections::{Arrival, Connection, Origin, counted_us, pid_of};
use super::crossings::{self, Crossings, Lates};
use super::event::{Closed, Exchange, Role, Sample, SockId};
use super::long_poll::{self, Answers, LongPolls};
use super::proxy::Proxies;
use super::snapshot::{Cause, EndView, ExchangeView, Protocol, SliceKind};
use super::spans::Spans;
use super::waits::{Pendings, Waits};
use super::window::Window;
use greetings::Greetings;
use looks::{Unread, work_of};
use rests::{AppTime, Runs};
pub(super) use sent::BEYOND_DELAYED_ACK_US;
pub(super) use stuck::{FORGOTTEN_NS, Stuck};
pub(super) use sums::{ExchangeStats, Tally};
use sums::{Later, cpu, time_of, unanswered};
pub(super) use tail::Tail;
use unserved::{Close, Unserved};

/// Listeners and processes judged by their connections; further ones are not.
pub(super) const MAX_SCOPES: usize = 512;
/// An exchange is slow in one kind of time from this on, µs. It is below any delayed ACK (40 ms)
/// and above what a busy but healthy server needs.
pub(super) const SLOW_US: u64 = 20_000;
/// Writes of an exchange further apart than this on average are a stream, not one response in
/// pieces, ns.
const STREAM_NS: u64 = 10_000_000;
/// What happened lately.
type Recent = Window<ExchangeStats, 5>;
/// Processes remembered that ended.
const MAX_ENDED: usize = 64;
/// Addresses told apart in one step.
const MAX_PEERS: usize = 64;

/// Whose connections are summed: those of a listener's socket; for those that came from none or
/// from an unknown one, a process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Socket(SockId),
    Process(u32),
}

/// Whom a connection counts for.
fn scope_of(origin: &Origin) -> Scope {
    match origin.listener.filter(|_| origin.role == Role::Server) {
        Some(listener) => Scope::Socket(listener),
        None => Scope::Process(origin.pid),
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The listener's address, or the process's name and id.
    pub(super) name: String,
    recent: Recent,
    pub(super) stuck: Stuck,
    /// The same of the next sample, as far as it is there.
    scanned: Stuck,
    /// To requests that may have waited by design.
    answers: Answers,
    /// Exchanges that are looked into once more is known.
    pendings: Pendings,
}

impl Entry {
    /// Everything of the last few seconds.
    pub(super) fn recent_figures(&self, now_ns: u64) -> ExchangeStats {
        let mut sum = ExchangeStats::default();
        self.recent.recent(now_ns).for_each(|stats| sum.merge(stats));
        sum
    }
}

/// A figure a second of something counted lately.
pub(super) fn rate(count: u64) -> f64 {
    count as f64 * 1e9 / Recent::SPAN_NS as f64
}

#[derive(Clone, Debug, Default)]
pub(super) struct StatsByScope {
    table: BTreeMap<Scope, Entry>,
    /// Processes that ended last: the kernel closes what they leave after it has told so
    /// (`do_exit`, 5.10 to 7.3).
    ended: VecDeque<u32>,
    unserved: Unserved,
    greetings: Greetings,
    parked: LongPolls,
    waits: Waits,
    runs: Runs,
    /// What the watched processes call is watched, too.
    sees_calls: bool,
    crossings: Crossings,
    lates: Lates,
}

impl StatsByScope {
    pub(super) fn new(sees_calls: bool) -> Self {
        Self { sees_calls, ..Self::default() }
    }

    pub(super) fn see_calls(&mut self, sees_calls: bool) {
        self.sees_calls = sees_calls;
    }

    pub(super) fn sees_calls(&self) -> bool {
        self.sees_calls
    }

    /// A process ended.
    pub(super) fn exited(&mut self, pid: u32) {
        self.ended.push_back(pid);
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_front();
        }
    }

    /// A listener closed.
    pub(super) fn shut(&mut self, sock: SockId, closed_ns: u64) {
        self.unserved.shut(sock, closed_ns);
    }

    /// An exchange is over, of a process that `calls` others or does not, which is asked for a slow
    /// one.
    pub(super) fn reported(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: Option<&Connection>,
        view: &ExchangeView,
        calls: impl FnOnce(&Connection) -> bool,
    ) {
        let was_parked = self.parked.take(exchange);
        let Some(connection) = connection else { return };
        let by_design = connection.protocol().and_then(Protocol::waits_for).is_some();
        let is_slow = counted_us(view) >= SLOW_US;
        let calls = is_slow && calls(connection);
        let app_us = if was_parked && is_slow { AppTime::of(exchange, view).answer_us } else { 0 };
        let http = connection.protocol().is_some_and(Protocol::is_http1) && !calls;
        let polls = app_us >= long_poll::LONG_US && http && view.inside.is_empty();
        if is_slow && let Some(wait) = Unread::stretch(exchange).filter(|wait| wait.us() >= SLOW_US)
        {
            self.waits.note(wait);
        }
        // Long polling is told by what a process does not call.
        let excused = by_design || polls && self.sees_calls;
        let later = self.put_aside(now_ns, exchange, connection, view, excused, calls);
        self.note_runs(now_ns, exchange, connection, view);
        let greeting = self.greetings.told(exchange, view);
        let Some(entry) = self.entry(connection) else { return };
        let stats = entry.recent.now(now_ns);
        stats.add_greeting(greeting);
        stats.add(exchange, view, Later { waits: excused, ..later });
        stats.add_accept(exchange, view, connection.origin.acceptor);
        stats.app_parked += u64::from(polls && !excused);
        if exchange.role == Role::Client {
            stats.add_call(connection.peer(), unanswered(exchange, view));
        }
        if is_slow {
            entry.ask(now_ns, exchange, view, excused || view.unanswered);
        }
        if polls
            && excused
            && !by_design
            && let Some(work) = work_of(exchange)
        {
            let app = view.slices.iter().find(|slice| slice.kind == SliceKind::App);
            entry.answers.add(work, app_us, app.and_then(|slice| slice.cpu_us));
        }
    }

    /// What of a slow exchange of a process that calls others is judged once the other side is
    /// known.
    fn put_aside(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: &Connection,
        view: &ExchangeView,
        excused: bool,
        calls: bool,
    ) -> Later {
        let mut later = Later::default();
        if !calls || counted_us(view) < SLOW_US {
            return later;
        }
        let (pid, scope) = (pid_of(exchange, connection), scope_of(&connection.origin));
        let app_us = AppTime::of(exchange, view).answer_us;
        let unread = Unread::of(view);
        let unread_us = unread.queue_us + unread.delay_us;
        if exchange.role == Role::Server && app_us >= SLOW_US && !excused {
            later.app = true;
            let (cpu, inside) = (cpu(view, SliceKind::App), !view.inside.is_empty());
            let ask = crossings::Ask::App {
                us: app_us,
                cpu,
                inside,
                unanswered: unanswered(exchange, view),
            };
            self.lates.add(now_ns, exchange, pid, scope, ask);
        }
        if exchange.role == Role::Client && unread_us >= SLOW_US {
            later.unread = true;
            let known = cpu(view, SliceKind::ReceiveQueue);
            let (known_us, delay_us) = (known.1 + unread.delay_us, unread.delay_us);
            let ask = crossings::Ask::Unread { us: unread_us, known_us, cpu_us: known.0, delay_us };
            self.lates.add(now_ns, exchange, pid, scope, ask);
        }
        later
    }

    /// Judges what was put aside, by what is known of its other side now.
    fn judge_late(&mut self, now_ns: u64, proxies: &Proxies) {
        for late in self.lates.due(now_ns) {
            let Some(entry) = self.table.get_mut(&late.scope) else { continue };
            let stats = entry.recent.now(now_ns);
            match late.ask {
                crossings::Ask::App { us, cpu, inside, unanswered } => {
                    let waited =
                        proxies.waited(late.pid, late.id).filter(|&(waited_us, _)| waited_us > 0);
                    if unanswered.is_some() {
                        stats.add_unanswered(unanswered);
                        stats.unanswered_joined += u64::from(waited.is_some());
                    } else {
                        stats.slow[SliceKind::App as usize].add(us);
                        stats.app_cpu_us += cpu.0;
                        stats.app_known_us += cpu.1;
                        stats.app_calls += u64::from(inside || waited.is_some());
                        stats.app_joined += u64::from(waited.is_some());
                    }
                    if let Some((waited_us, peer)) = waited {
                        stats.app_upstream_us +=
                            if unanswered.is_some() { 0 } else { waited_us.min(us) };
                        stats.app_upstreams.add(peer, waited_us.min(us));
                    }
                }
                crossings::Ask::Unread { us, .. }
                    if proxies.full_us(late.pid, late.id) * 2 >= us =>
                {
                    stats.held_back.add(us);
                }
                crossings::Ask::Unread { us, known_us, cpu_us, delay_us } => {
                    stats.unread.add(us);
                    stats.unread_cpu_us += cpu_us;
                    stats.unread_delay_us += delay_us;
                    stats.unread_known_us += known_us;
                }
            }
        }
    }

    /// Sees whether a response goes on more than a second after it began. Only what answers one
    /// request at a time in the clear has nothing else to say.
    fn note_runs(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: &Connection,
        view: &ExchangeView,
    ) {
        let ended = if exchange.inbound.is_some() {
            self.runs.ended(exchange.sock)
        } else {
            if connection.protocol().is_some_and(Protocol::is_http1) {
                self.runs.pushed(now_ns, scope_of(&connection.origin), exchange, view);
            }
            None
        };
        if let Some((entry, us)) = ended.and_then(|us| Some((self.entry(connection)?, us))) {
            entry.recent.now(now_ns).rests.add(us, None);
        }
    }

    pub(super) fn closed(
        &mut self,
        now_ns: u64,
        closed: &Closed,
        connection: &Connection,
        end: &EndView,
    ) {
        self.greetings.closed(closed.sock);
        if let Some(us) = self.runs.ended(closed.sock)
            && let Some(entry) = self.entry(connection)
        {
            entry.recent.now(now_ns).rests.add(us, None);
        }
        let role = connection.origin.role;
        if role == Role::Client && end.cause != Some(Cause::LateRequest) {
            return;
        }
        if let Some(entry) = self.entry(connection) {
            let stats = entry.recent.now(now_ns);
            if role == Role::Server {
                stats.add_close(connection);
            }
            stats.add_end(closed, role, end);
        }
        let origin = &connection.origin;
        let unserved =
            connection.closed_unread().filter(|_| role == Role::Server && !origin.multipath);
        if let Some((how, after_ns)) = unserved {
            let (scope, pid, told) = (scope_of(origin), origin.pid, connection.has_written());
            let close = Close { ts_ns: now_ns, scope, pid, how, after_ns, told };
            self.unserved.add(closed.sock, close, connection.is_unserved());
        }
    }

    /// Counts connections that the application closed at once, once it is known that it meant to.
    fn settle_unserved(&mut self, sample: &Sample) {
        self.unserved.gone(sample).into_iter().for_each(|pid| self.exited(pid));
        let ended = &self.ended;
        for close in self.unserved.settle(sample.ts_ns, |pid| ended.contains(&pid)) {
            let entry = self.table.get_mut(&close.scope);
            if let Some(stats) = entry.and_then(|entry| entry.recent.at(close.ts_ns)) {
                stats.add_unserved(&close);
            }
        }
    }

    /// Data came to a connection that was closed.
    pub(super) fn came_late(&mut self, now_ns: u64, arrival: &Arrival) {
        let is_unserved =
            arrival.cause != Cause::LateRequest && self.unserved.came_late(now_ns, arrival.sock);
        let Some(entry) = self.entry_of(&arrival.origin) else { return };
        let stats = entry.recent.now(now_ns);
        match arrival.cause {
            Cause::LateRequest => {
                stats.late.add(arrival.idle_us);
                stats.late_lingered += u64::from(arrival.lingers);
            }
            _ if is_unserved => {}
            _ => stats.after_close += 1,
        }
    }

    /// A sample is complete, and calls are joined as far as they can be.
    pub(super) fn sampled(&mut self, sample: &Sample, spans: &Spans, proxies: &Proxies) {
        let ts_ns = sample.ts_ns;
        self.judge_late(ts_ns, proxies);
        self.settle_unserved(sample);
        self.set_off();
        self.parked.sampled(sample);
        self.waits.keep(ts_ns.saturating_sub(2 * Recent::SPAN_NS));
        for (scope, us) in self.runs.over(ts_ns) {
            if let Some(entry) = self.table.get_mut(&scope) {
                entry.recent.now(ts_ns).rests.add(us, None);
            }
        }
        for entry in self.table.values_mut() {
            entry.settle(ts_ns, &self.waits, spans);
        }
        self.table.values_mut().for_each(|entry| entry.stuck = std::mem::take(&mut entry.scanned));
        self.table.retain(|_, entry| {
            entry.stuck != Stuck::default()
                || !entry.answers.is_empty()
                || !entry.pendings.is_empty()
                || !entry.recent.is_over(ts_ns)
        });
    }

    /// What connections of one scope went through lately.
    pub(super) fn recent_figures(&self, scope: Scope, now_ns: u64) -> Option<ExchangeStats> {
        self.table.get(&scope).map(|entry| entry.recent_figures(now_ns))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Scope, &Entry)> {
        self.table.iter().map(|(&scope, entry)| (scope, entry))
    }

    fn entry(&mut self, connection: &Connection) -> Option<&mut Entry> {
        self.entry_of(&connection.origin)
    }

    fn entry_of(&mut self, origin: &Origin) -> Option<&mut Entry> {
        let scope = scope_of(origin);
        if self.table.len() >= MAX_SCOPES && !self.table.contains_key(&scope) {
            return None;
        }
        Some(self.table.entry(scope).or_insert_with(|| Entry {
            name: match scope {
                Scope::Socket(_) => origin.near().to_string(),
                Scope::Process(pid) => format!("{} {pid}", origin.comm),
            },
            ..Entry::default()
        }))
    }
}
