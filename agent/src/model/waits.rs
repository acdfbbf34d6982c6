//! Who waited for whom: requests that lay unread while the thread that reads them was at work on
//! another.
//!
//! An exchange is told once the next one begins on its connection, so those of a thread come in any
//! order. What they say of one another is asked at the samples behind them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::event::SockId;
use super::spans::{Spans, Spent};

/// Threads of which waits are remembered, and how many of each.
const MAX_THREADS: usize = 1_024;
const MAX_WAITS: usize = 64;
/// Exchanges of a listener or a process that are looked into.
const MAX_PENDING: usize = 256;
/// A request that came so long before a thread was done with another has waited for that, ns.
const HELD_NS: u64 = 20_000_000;
/// It is read so soon after, or it waited for something else as well, ns.
const NEXT_NS: u64 = 10_000_000;
/// By then the exchanges of all who waited are told, ns.
const SETTLED_NS: u64 = 2_000_000_000;

/// A stretch of a thread's time, on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) pid: u32,
    pub(super) tid: u32,
    pub(super) sock: SockId,
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Stretch {
    pub(super) fn us(&self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns) / 1_000
    }
}

/// Requests that waited for a thread while it was at work on another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldUp {
    pub(super) count: u64,
    pub(super) worst_us: u64,
}

/// The long unread waits of each thread's requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    threads: FxHashMap<u32, VecDeque<Stretch>>,
}

impl Waits {
    /// A request waited so to be read.
    pub(super) fn note(&mut self, wait: Stretch) {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&wait.tid) {
            return;
        }
        let waits = self.threads.entry(wait.tid).or_default();
        if waits.len() == MAX_WAITS {
            waits.pop_front();
        }
        waits.push_back(wait);
    }

    /// Requests of other connections that were there while the thread was at work so, and were read
    /// right after it was done.
    pub(super) fn behind(&self, work: &Stretch) -> HeldUp {
        let waits = self.threads.get(&work.tid).into_iter().flatten();
        let held = waits.filter(|wait| {
            let came = wait.from_ns.max(work.from_ns).saturating_add(HELD_NS) <= work.to_ns;
            let read = wait.to_ns.saturating_add(NEXT_NS / 10) >= work.to_ns;
            wait.sock != work.sock
                && came
                && read
                && wait.to_ns <= work.to_ns.saturating_add(NEXT_NS)
        });
        held.fold(HeldUp::default(), |sum, wait| HeldUp {
            count: sum.count + 1,
            worst_us: sum.worst_us.max(wait.us()),
        })
    }

    pub(super) fn keep(&mut self, since_ns: u64) {
        self.threads.retain(|_, waits| waits.back().is_some_and(|last| last.to_ns >= since_ns));
    }
}

/// What is asked of an exchange that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// What its reader did before it read, unless that is known; so much of the time it is known to
    /// have waited for a CPU, µs. And whether other threads of its process lacked one, unless that
    /// has been found.
    Unread { delay_us: u64, known: bool, lack: bool },
    /// What its thread did, unless that is known, and whom it let wait meanwhile, unless that has
    /// been found; and the same of other threads.
    App { known: bool, held: bool, lack: bool },
}

/// The answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// The reader spent the wait so.
    Unread { us: u64, delay_us: u64, spent: Spent },
    /// Any thread of its process may have been without a CPU for as long, or none was.
    Lack { us: u64, starved: bool, unread: bool },
    /// So the thread spent its work, if that was asked; and these waited for it.
    App { us: u64, spent: Option<Spent>, held: HeldUp, tid: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    /// When it was counted.
    told_ns: u64,
    stretch: Stretch,
    ask: Ask,
}

/// A thread lacked a CPU for as long as a wait if it did so for nine tenths of it.
const AS_LONG: (u64, u64) = (9, 10);

impl Pending {
    /// Whether threads of its process lacked a CPU, once that is known.
    fn lack(&mut self, spans: &Spans) -> Option<Found> {
        let unread = matches!(self.ask, Ask::Unread { .. });
        let (Ask::Unread { lack, .. } | Ask::App { lack, .. }) = &mut self.ask;
        let Stretch { pid, from_ns, to_ns, .. } = self.stretch;
        let lacked_ns = if *lack { None } else { spans.lacked(pid, from_ns, to_ns) }?;
        *lack = true;
        let starved = lacked_ns / AS_LONG.0 >= (to_ns - from_ns) / AS_LONG.1;
        Some(Found::Lack { us: self.stretch.us(), starved, unread })
    }
}

/// Exchanges that are looked into, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pendings(VecDeque<Pending>);

impl Pendings {
    /// Asks of an exchange that was told and counted just now.
    pub(super) fn add(&mut self, told_ns: u64, stretch: Stretch, ask: Ask) {
        if self.0.len() == MAX_PENDING {
            self.0.pop_front();
        }
        self.0.push_back(Pending { told_ns, stretch, ask });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives what is known by now, each with the time at which it was counted. What has not become
    /// known in time never will.
    pub(super) fn settle(
        &mut self,
        now_ns: u64,
        waits: &Waits,
        spans: &Spans,
    ) -> Vec<(u64, Found)> {
        let mut found = Vec::new();
        self.0.retain_mut(|pending| {
            if let Some(lack) = pending.lack(spans) {
                found.push((pending.told_ns, lack));
            }
            let stretch = &pending.stretch;
            let is_late = now_ns.saturating_sub(pending.told_ns) >= SETTLED_NS;
            let spent = || spans.spent(stretch.tid, stretch.from_ns, stretch.to_ns);
            let answer = match pending.ask {
                Ask::Unread { delay_us, known, lack } => {
                    let spent = if known { None } else { spent() };
                    pending.ask = Ask::Unread { delay_us, known: known || spent.is_some(), lack };
                    spent.map(|spent| Found::Unread { us: stretch.us(), delay_us, spent })
                }
                Ask::App { known, held, lack } => {
                    let new = if held { HeldUp::default() } else { waits.behind(stretch) };
                    let spent = if known { None } else { spent() };
                    pending.ask = Ask::App {
                        known: known || spent.is_some(),
                        held: held || new.count > 0,
                        lack,
                    };
                    let is_news = spent.is_some() || new.count > 0;
                    is_news.then(|| Found::App {
                        us: stretch.us(),
                        spent,
                        held: new,
                        tid: stretch.tid,
                    })
                }
            };
            found.extend(answer.map(|answer| (pending.told_ns, answer)));
            let is_done = match pending.ask {
                Ask::Unread { known, lack, .. } => known && lack,
                Ask::App { known, held, lack } => known && held && lack,
            };
            !is_done && !is_late
        });
        found
    }
}
