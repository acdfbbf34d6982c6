//! What exchanges say of one another: how a reader spent the wait of a request, and whom a thread
//! let wait. It is asked once the other exchanges of the thread are told.

use super::{Entry, ExchangeStats, SLOW_US, cpu, time_of};
use crate::model::event::{Exchange, Role, ThreadUse};
use crate::model::long_poll::{self, Answer, Why};
use crate::model::snapshot::{ExchangeView, Slice, SliceKind};
use crate::model::spans::{Spans, Spent};
use crate::model::waits::{Ask, Found, HeldUp, Stretch, Waits};

/// How long the first bytes of an exchange waited to be read, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// In the receive queue.
    pub(super) queue_us: u64,
    /// Of that the reader is known to have been ready behind it, without a CPU.
    pub(super) delay_us: u64,
}

impl Unread {
    /// A wait for a CPU is the reader's if it comes before anything else that the application did.
    pub(super) fn of(view: &ExchangeView) -> Self {
        let is_before = |slice: &&Slice| {
            use SliceKind::{AcceptQueue, Handshake, ReceiveQueue, Request, RunQueue};
            matches!(slice.kind, Handshake | AcceptQueue | Request | ReceiveQueue | RunQueue)
        };
        let mut unread = Self::default();
        // Of a call it is what comes once its peer has answered.
        let answered = view.slices.iter().position(|slice| slice.kind == SliceKind::Response);
        let slices = &view.slices[answered.map_or(0, |at| at + 1)..];
        for slice in slices.iter().take_while(is_before) {
            match slice.kind {
                SliceKind::ReceiveQueue => unread.queue_us += slice.us,
                SliceKind::RunQueue => unread.delay_us += slice.us,
                _ => {}
            }
        }
        unread
    }

    /// From the arrival of the first byte to its read.
    pub(super) fn stretch(exchange: &Exchange) -> Option<Stretch> {
        let inbound = exchange.inbound.as_ref()?;
        let (from_ns, to_ns) = (inbound.first_ns, inbound.read_first_ns?);
        let ThreadUse { pid, tid, .. } = inbound.reader?;
        (from_ns > 0 && to_ns > from_ns).then_some(Stretch {
            pid,
            tid,
            sock: exchange.sock,
            from_ns,
            to_ns,
        })
    }
}

/// From the last read to the first write of a request that one thread read and answered.
pub(super) fn work_of(exchange: &Exchange) -> Option<Stretch> {
    answered_by(exchange).filter(|work| long_poll::reader(exchange) == Some(work.tid))
}

/// The same, whoever read it.
fn answered_by(exchange: &Exchange) -> Option<Stretch> {
    let (inbound, outbound) = (exchange.inbound.as_ref()?, exchange.outbound.as_ref()?);
    let ThreadUse { pid, tid, .. } = outbound.writer?;
    let (from_ns, to_ns) = (inbound.read_last_ns?, outbound.first_ns);
    let is_served = exchange.role == Role::Server && to_ns > from_ns;
    is_served.then_some(Stretch { pid, tid, sock: exchange.sock, from_ns, to_ns })
}

impl Entry {
    /// Looks for what to ask of an exchange that was counted just now; with `waits` its work is
    /// none.
    pub(super) fn ask(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        view: &ExchangeView,
        waits: bool,
    ) {
        // Of a small part it makes no difference.
        let unknown = |kind| cpu(view, kind).1 * 10 < time_of(view, kind) * 9;
        let unread = Unread::of(view);
        if unread.queue_us + unread.delay_us >= SLOW_US
            && let Some(wait) = Unread::stretch(exchange)
        {
            let (delay_us, known) = (unread.delay_us, !unknown(SliceKind::ReceiveQueue));
            self.pendings.add(now_ns, wait, Ask::Unread { delay_us, known, lack: false });
        }
        if let Some(work) = answered_by(exchange).filter(|work| !waits && work.us() >= SLOW_US) {
            // Of what another thread read and handed on, only what any of them lacked says
            // something.
            let alone = work_of(exchange).is_some();
            let known = !alone || !unknown(SliceKind::App);
            self.pendings.add(now_ns, work, Ask::App { known, held: !alone, lack: false });
        }
    }

    /// Counts what became known of exchanges, and those of which it shows that they were slow, not
    /// waiting.
    pub(super) fn settle(&mut self, now_ns: u64, waits: &Waits, spans: &Spans) {
        for (told_ns, found) in self.pendings.settle(now_ns, waits, spans) {
            if let Some(stats) = self.recent.at(told_ns) {
                stats.add_found(found);
            }
        }
        let was_working = |answer: &Answer| {
            let computes = answer.cpu_us.is_some_and(|cpu_us| cpu_us >= answer.app_us / 4 * 3);
            computes || waits.behind(&answer.stretch).count > 0
        };
        for (Answer { stretch, app_us: us, cpu_us, .. }, why) in
            self.answers.judge(now_ns, was_working)
        {
            let stats = self.recent.now(now_ns);
            stats.slow[SliceKind::App as usize].add(us);
            stats.app_parked += u64::from(why == Why::Alone);
            let spent = cpu_us.map(|us| Spent { cpu_ns: us * 1_000, delay_ns: 0 });
            stats.add_found(Found::App {
                us,
                spent,
                held: waits.behind(&stretch),
                tid: stretch.tid,
            });
        }
    }
}

impl ExchangeStats {
    /// What came to light of an exchange that was counted before.
    fn add_found(&mut self, found: Found) {
        match found {
            Found::Unread { us, delay_us, spent } => {
                self.unread_cpu_us += (spent.cpu_ns / 1_000).min(us);
                self.unread_delay_us += (spent.delay_ns / 1_000).min(us).saturating_sub(delay_us);
                self.unread_known_us += us.saturating_sub(delay_us);
            }
            Found::Lack { us, starved, unread } => {
                let lack = if unread { &mut self.unread_lack } else { &mut self.app_lack };
                lack.seen_us += us;
                lack.starved_us += if starved { us } else { 0 };
            }
            Found::App { us, spent, held, tid } => {
                if let Some(spent) = spent {
                    // What it waited for a CPU is no time of the application's.
                    let us = us.saturating_sub(spent.delay_ns / 1_000);
                    self.app_cpu_us += (spent.cpu_ns / 1_000).min(us);
                    self.app_known_us += us;
                }
                self.add_held_up(us, held, tid);
            }
        }
    }

    fn add_held_up(&mut self, us: u64, held: HeldUp, tid: u32) {
        if held.count > 0 {
            self.blocking.add(us);
            self.held_up += held.count;
            self.held_up_us = self.held_up_us.max(held.worst_us);
            self.blocking_tid = tid;
        }
    }
}
