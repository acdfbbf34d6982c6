//! Questions about a slow exchange that other exchanges answer: how a reader spent the wait of a
//! request, and which requests waited for a thread. They are asked once the other exchanges of the
//! thread are over.

use super::slices::{CpuTime, time_of};
use super::unread::Unread;
use super::{ExchangeStats, SLOW_US, ScopeStats};
use crate::model::event::{Exchange, Role, ThreadUse};
use crate::model::long_poll::{self, Answer, Why};
use crate::model::snapshot::{ExchangeView, SliceKind};
use crate::model::spans::{Spans, Spent};
use crate::model::waits::{Found, Stretch, WaitQuestion, Waits};

/// The thread's time from the last read to the first write of a request that one thread read and
/// answered.
pub(super) fn work_of(exchange: &Exchange) -> Option<Stretch> {
    let work = answered_by(exchange)?;
    if long_poll::reader(exchange) != Some(work.tid) {
        return None;
    }
    Some(work)
}

/// The answering thread's time from the last read to the first write, whoever read.
fn answered_by(exchange: &Exchange) -> Option<Stretch> {
    if exchange.role != Role::Server {
        return None;
    }
    let (inbound, outbound) = (exchange.inbound.as_ref()?, exchange.outbound.as_ref()?);
    let ThreadUse { pid, tid, .. } = outbound.writer?;
    let (from_ns, to_ns) = (inbound.read_last_ns?, outbound.first_ns);
    if to_ns <= from_ns {
        return None;
    }
    Some(Stretch { pid, tid, sock: exchange.sock, from_ns, to_ns })
}

/// Tells whether the time on a CPU is known for nearly all of a kind. The rest makes no difference.
fn is_cpu_known(view: &ExchangeView, kind: SliceKind) -> bool {
    CpuTime::of(view, kind).known_us * 10 >= time_of(view, kind) * 9
}

impl ScopeStats {
    /// Asks about an exchange that was counted just now. With `waits` its application time is no
    /// work.
    pub(super) fn question(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        view: &ExchangeView,
        waits: bool,
    ) {
        let unread = Unread::of(view);
        if unread.us() >= SLOW_US
            && let Some(wait) = Unread::stretch(exchange)
        {
            let known = is_cpu_known(view, SliceKind::ReceiveQueue);
            let question = WaitQuestion::Unread { delay_us: unread.delay_us, known, lack: false };
            self.pendings.add(now_ns, wait, question);
        }
        if !waits
            && let Some(work) = answered_by(exchange)
            && work.us() >= SLOW_US
        {
            // One thread read the request and another answered it: how one of them spent its time
            // says nothing. Whether threads of the process lacked a CPU does.
            let alone = work_of(exchange).is_some();
            let known = !alone || is_cpu_known(view, SliceKind::App);
            self.pendings.add(now_ns, work, WaitQuestion::App { known, held: !alone, lack: false });
        }
    }

    /// Counts the answers that have come, and the exchanges that turned out to be slow rather than
    /// waiting by design.
    pub(super) fn settle(&mut self, now_ns: u64, waits: &Waits, spans: &Spans) {
        for (told_ns, found) in self.pendings.settle(now_ns, waits, spans) {
            if let Some(stats) = self.recent.at(told_ns) {
                stats.add_found(found);
            }
        }
        let was_working = |answer: &Answer| {
            let computes = matches!(answer.cpu_us, Some(cpu_us) if cpu_us >= answer.app_us / 4 * 3);
            computes || waits.behind(&answer.stretch).count > 0
        };
        for (Answer { stretch, app_us: us, cpu_us, .. }, why) in
            self.answers.judge(now_ns, was_working)
        {
            let stats = self.recent.now(now_ns);
            stats.slow_mut(SliceKind::App).add(us);
            stats.app.put_aside += u64::from(why == Why::Alone);
            let spent = cpu_us.map(|us| Spent { cpu_ns: us * 1_000, delay_ns: 0 });
            let held = waits.behind(&stretch);
            stats.add_found(Found::App { us, spent, held, tid: stretch.tid });
        }
    }
}

impl ExchangeStats {
    /// Adds an answer about an exchange that was counted before.
    fn add_found(&mut self, found: Found) {
        match found {
            Found::Unread { us, delay_us, spent } => {
                let unread = &mut self.unread;
                unread.cpu_us = unread.cpu_us.saturating_add((spent.cpu_ns / 1_000).min(us));
                unread.delay_us = unread
                    .delay_us
                    .saturating_add((spent.delay_ns / 1_000).min(us).saturating_sub(delay_us));
                unread.known_us = unread.known_us.saturating_add(us.saturating_sub(delay_us));
            }
            Found::Lack { us, starved, unread } => {
                let lack = if unread { &mut self.unread.lack } else { &mut self.app.lack };
                lack.seen_us = lack.seen_us.saturating_add(us);
                lack.starved_us = lack.starved_us.saturating_add(if starved { us } else { 0 });
            }
            Found::App { us, spent, held, tid } => {
                if let Some(spent) = spent {
                    // A wait for a CPU is no time of the application's.
                    let known_us = us.saturating_sub(spent.delay_ns / 1_000);
                    let cpu_us = (spent.cpu_ns / 1_000).min(known_us);
                    self.app.add_cpu(CpuTime { cpu_us, known_us });
                }
                self.app.add_held_up(us, held, tid);
            }
        }
    }
}
