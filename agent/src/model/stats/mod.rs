//! Sums over exchanges and connections of the last seconds, by listener or process. Findings judge
//! by them, so that ten thousand connections make one finding.
//!
//! [`StatsByScope`] gets what happens and keeps one [`ScopeStats`] for each listener and process.
//! [`ExchangeStats`] are the sums of one step of half a second. Its parts have files of their own:
//! `app`, `unread`, `unanswered`, `sent`, `rests`, `ends`, `unserved`, `tail`. Slow exchanges of
//! which not all is known yet are judged later: in `deferred` if calls to others may explain them,
//! in `questions` if other exchanges on the same thread may. Open connections are in `stuck`.

mod app;
mod deferred;
mod ends;
mod greetings;
mod questions;
mod rests;
mod sent;
mod slices;
mod stuck;
mod sums;
mod tail;
mod tally;
mod unanswered;
mod unread;
mod unserved;

use std::collections::{BTreeMap, VecDeque};

use super::connections::{Arrival, Connection, Origin, counted_us};
use super::crossings::{Crossings, Lates};
use super::event::{Closed, Exchange, Role, Sample, SockId};
use super::long_poll::{self, Answers, LongPolls};
use super::proxy::Proxies;
use super::snapshot::{Cause, EndView, ExchangeView, Protocol, SliceKind};
use super::spans::Spans;
use super::waits::{Pendings, Waits};
use super::window::Window;
use crate::text::{Untrusted, named};
use greetings::Greetings;
pub use greetings::MAX_GREETED;
use questions::work_of;
use rests::{AppTime, Runs};
pub(super) use sent::BEYOND_DELAYED_ACK_US;
pub(super) use stuck::{FORGOTTEN_NS, Stuck};
pub(super) use sums::ExchangeStats;
use sums::LeftOut;
pub(super) use tail::Tail;
pub(super) use tally::Tally;
use tally::{Lack, Upstreams};
use unanswered::unanswered;
use unread::Unread;
use unserved::{Close, Unserved};

/// Listeners and processes judged by their connections; further ones are not.
pub(super) const MAX_SCOPES: usize = 512;
/// An exchange is slow in one kind of time from this on, µs. It is below any delayed ACK (40 ms)
/// and above what a busy but healthy server needs.
pub(super) const SLOW_US: u64 = 20_000;
/// Sums of the last five seconds.
type Recent = Window<ExchangeStats, 5>;
/// Processes that are remembered when they have ended.
const MAX_ENDED: usize = 64;
/// Peers that are counted each for itself in one step.
const MAX_PEERS: usize = 64;

/// Whose connections are summed: those of a listener's socket; for those that came from none or
/// from an unknown one, a process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Socket(SockId),
    Process(u32),
}

/// The listener or process that a connection counts for.
fn scope_of(origin: &Origin) -> Scope {
    match origin.listener {
        Some(listener) if origin.role == Role::Server => Scope::Socket(listener),
        _ => Scope::Process(origin.pid),
    }
}

fn is_http1(connection: &Connection) -> bool {
    matches!(connection.protocol(), Some(protocol) if protocol.is_http1())
}

/// Tells whether its protocol is one in which the server waits for news.
fn waits_by_design(connection: &Connection) -> bool {
    connection.protocol().and_then(Protocol::waits_for).is_some()
}

/// The exchanges and connections of one listener or process.
#[derive(Clone, Debug, Default)]
pub(super) struct ScopeStats {
    /// The listener's address, or the process's name and id.
    pub(super) name: Untrusted,
    recent: Recent,
    /// Connections that are stuck at the newest sample.
    pub(super) stuck: Stuck,
    /// Those of the next sample, of which a part has come.
    scanned: Stuck,
    /// Answers to requests that may have waited by design.
    answers: Answers,
    /// Questions about slow exchanges that are not answered yet.
    pendings: Pendings,
}

impl ScopeStats {
    /// Sums the last few seconds.
    pub(super) fn recent_figures(&self, now_ns: u64) -> ExchangeStats {
        let mut sum = ExchangeStats::default();
        for stats in self.recent.recent(now_ns) {
            sum.merge(stats);
        }
        sum
    }

    /// Tells whether nothing is left to judge by, or to look into.
    fn is_over(&self, now_ns: u64) -> bool {
        self.stuck == Stuck::default()
            && self.answers.is_empty()
            && self.pendings.is_empty()
            && self.recent.is_over(now_ns)
    }
}

/// A figure a second of something counted lately.
pub(super) fn rate(count: u64) -> f64 {
    count as f64 * 1e9 / Recent::SPAN_NS as f64
}

/// The [`ScopeStats`] of each listener and process.
///
/// Events come in by [`reported`](Self::reported) (an exchange is over),
/// [`closed`](Self::closed) (a connection), [`came_late`](Self::came_late) (data behind a close),
/// [`shut`](Self::shut) (a listener) and [`exited`](Self::exited) (a process). At a refresh
/// [`scanned`](Self::scanned) gets the open connections, in as many parts as they come in, and then
/// [`sampled`](Self::sampled) judges what had to wait for it. [`iter`](Self::iter) and
/// [`recent_figures`](Self::recent_figures) give what findings judge by.
#[derive(Clone, Debug, Default)]
pub(super) struct StatsByScope {
    table: BTreeMap<Scope, ScopeStats>,
    /// Processes that ended last. The kernel closes their sockets after it has said that they
    /// ended (`do_exit`, 5.10 to 7.3).
    ended: VecDeque<u32>,
    unserved: Unserved,
    greetings: Greetings,
    long_polls: LongPolls,
    waits: Waits,
    runs: Runs,
    /// The calls of the watched processes are watched, too.
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

    /// Notes that a process ended.
    pub(super) fn exited(&mut self, pid: u32) {
        self.ended.push_back(pid);
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_front();
        }
    }

    /// A pause begins: it will not be seen how what goes on ends.
    pub(super) fn pause(&mut self) {
        self.runs = Runs::default();
        for entry in self.table.values_mut() {
            (entry.stuck, entry.scanned) = (Stuck::default(), Stuck::default());
        }
    }

    /// A pause has ended that lasted so long.
    pub(super) fn skip(&mut self, lasted_ns: u64) {
        for entry in self.table.values_mut() {
            entry.recent.skip(lasted_ns);
        }
    }

    /// Notes that a listener closed.
    pub(super) fn shut(&mut self, sock: SockId, closed_ns: u64) {
        self.unserved.shut(sock, closed_ns);
    }

    /// Counts an exchange that is over. `calls` tells whether its process calls others; it is asked
    /// for a slow exchange only.
    pub(super) fn reported(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: Option<&Connection>,
        view: &ExchangeView,
        calls: impl FnOnce(&Connection) -> bool,
    ) {
        let was_put_aside = self.long_polls.take(exchange, view.put_aside);
        let Some(connection) = connection else { return };
        let is_slow = counted_us(view) >= SLOW_US;
        let calls = is_slow && calls(connection);
        let may_poll = was_put_aside && is_slow && !calls;
        let polled_us = if may_poll { polled_us(exchange, connection, view) } else { None };
        if is_slow
            && let Some(wait) = Unread::stretch(exchange)
            && wait.us() >= SLOW_US
        {
            self.waits.note(wait);
        }
        // A process that calls others may wait for these. So where no calls are watched, a long
        // wait is not taken for a long poll.
        let by_design = waits_by_design(connection);
        let excused = by_design || polled_us.is_some() && self.sees_calls;
        let mut left_out = LeftOut::default();
        if calls {
            left_out = self.defer(now_ns, exchange, connection, view, excused);
        }
        left_out.waits = excused;
        self.note_runs(now_ns, exchange, connection, view);
        let greeting_us = self.greetings.add(exchange, view);
        let Some(entry) = self.entry(&connection.origin) else { return };
        let stats = entry.recent.now(now_ns);
        if let Some(us) = greeting_us {
            stats.add_greeting(us);
        }
        stats.add(exchange, view, left_out);
        stats.add_accept(exchange, view, connection.origin.acceptor);
        stats.app.put_aside += u64::from(polled_us.is_some() && !excused);
        if exchange.role == Role::Client
            && let Some(unanswered) = unanswered(exchange, view)
        {
            stats.unanswered.add_call(connection.peer(), unanswered);
        }
        if is_slow {
            entry.question(now_ns, exchange, view, excused || view.unanswered);
        }
        if let Some(app_us) = polled_us
            && excused
            && !by_design
            && let Some(work) = work_of(exchange)
        {
            let app = view.slices.iter().find(|slice| slice.kind == SliceKind::App);
            entry.answers.add(work, app_us, app.and_then(|slice| slice.cpu_us));
        }
    }

    /// Notes whether a response goes on more than a second after it began. Only on HTTP/1 in the
    /// clear is a late write known to belong to that response.
    fn note_runs(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        connection: &Connection,
        view: &ExchangeView,
    ) {
        if exchange.inbound.is_some() {
            self.end_run(now_ns, exchange.sock, connection);
        } else if is_http1(connection) {
            self.runs.pushed(now_ns, scope_of(&connection.origin), exchange, view);
        }
    }

    /// Counts a single late write of a response that is over.
    fn end_run(&mut self, now_ns: u64, sock: SockId, connection: &Connection) {
        if let Some(us) = self.runs.ended(sock)
            && let Some(entry) = self.entry(&connection.origin)
        {
            entry.recent.now(now_ns).rests.add(us, None);
        }
    }

    /// Counts a connection that closed.
    pub(super) fn closed(
        &mut self,
        now_ns: u64,
        closed: &Closed,
        connection: &Connection,
        end: &EndView,
    ) {
        self.greetings.closed(closed.sock);
        if closed.untold {
            // What it did last is not known.
            self.runs.ended(closed.sock);
            return;
        }
        self.end_run(now_ns, closed.sock, connection);
        let origin = &connection.origin;
        let role = origin.role;
        if role == Role::Client && end.cause != Some(Cause::LateRequest) {
            return;
        }
        if let Some(entry) = self.entry(origin) {
            let ends = &mut entry.recent.now(now_ns).ends;
            if role == Role::Server {
                ends.add_close(connection);
            }
            ends.add_end(closed, role, end);
        }
        if role == Role::Server
            && !origin.multipath
            && let Some((how, after_ns)) = connection.closed_unread()
        {
            let (scope, pid) = (scope_of(origin), origin.pid);
            let written_to = connection.has_written();
            let close = Close { ts_ns: now_ns, scope, pid, how, after_ns, written_to };
            self.unserved.add(closed.sock, close, connection.is_unserved());
        }
    }

    /// Counts connections that the application closed at once, once it is known that it meant to.
    fn settle_unserved(&mut self, sample: &Sample) {
        for pid in self.unserved.gone(sample) {
            self.exited(pid);
        }
        let ended = &self.ended;
        for close in self.unserved.settle(sample.ts_ns, |pid| ended.contains(&pid)) {
            if let Some(entry) = self.table.get_mut(&close.scope)
                && let Some(stats) = entry.recent.at(close.ts_ns)
            {
                stats.unserved.add(&close);
            }
        }
    }

    /// Counts data that came to a connection after it was closed.
    pub(super) fn came_late(&mut self, now_ns: u64, arrival: &Arrival) {
        let is_late_request = arrival.cause == Cause::LateRequest;
        let is_unserved = !is_late_request && self.unserved.came_late(now_ns, arrival.sock);
        let Some(entry) = self.entry(&arrival.origin) else { return };
        let ends = &mut entry.recent.now(now_ns).ends;
        if is_late_request {
            ends.add_late_request(arrival);
        } else if !is_unserved {
            ends.after_close += arrival.stands_for;
        }
    }

    /// Judges what had to wait until a sample is complete, and calls are joined.
    pub(super) fn sampled(&mut self, sample: &Sample, spans: &Spans, proxies: &Proxies) {
        let ts_ns = sample.ts_ns;
        self.judge_late(ts_ns, proxies);
        self.settle_unserved(sample);
        self.settle_crossings();
        self.long_polls.sampled(sample);
        self.waits.keep(ts_ns.saturating_sub(2 * Recent::SPAN_NS));
        for (scope, us) in self.runs.over(ts_ns) {
            if let Some(entry) = self.table.get_mut(&scope) {
                entry.recent.now(ts_ns).rests.add(us, None);
            }
        }
        for entry in self.table.values_mut() {
            entry.settle(ts_ns, &self.waits, spans);
            entry.stuck = std::mem::take(&mut entry.scanned);
        }
        self.table.retain(|_, entry| !entry.is_over(ts_ns));
    }

    /// Sums the last few seconds of one scope.
    pub(super) fn recent_figures(&self, scope: Scope, now_ns: u64) -> Option<ExchangeStats> {
        let entry = self.table.get(&scope)?;
        Some(entry.recent_figures(now_ns))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Scope, &ScopeStats)> {
        self.table.iter().map(|(&scope, entry)| (scope, entry))
    }

    /// Greetings that gave way to newer ones.
    pub(super) fn greetings_gave_way(&self) -> u64 {
        self.greetings.gave_way()
    }

    fn entry(&mut self, origin: &Origin) -> Option<&mut ScopeStats> {
        let scope = scope_of(origin);
        if self.table.len() >= MAX_SCOPES && !self.table.contains_key(&scope) {
            return None;
        }
        Some(self.table.entry(scope).or_insert_with(|| ScopeStats {
            name: match scope {
                Scope::Socket(_) => origin.near().to_string().into(),
                Scope::Process(pid) => named(&origin.comm, pid),
            },
            ..ScopeStats::default()
        }))
    }
}

/// Application time of an exchange that may be a long poll, µs; `None` if it is too short, or
/// cannot be one.
fn polled_us(exchange: &Exchange, connection: &Connection, view: &ExchangeView) -> Option<u64> {
    if !is_http1(connection) || !view.inside.is_empty() {
        return None;
    }
    let us = AppTime::of(exchange, view).answer_us;
    if us < long_poll::LONG_US {
        return None;
    }
    Some(us)
}
