//! Requests that lay unread while the thread that reads them was at work on another one.
//!
//! An exchange is reported once the next one begins on its connection, so those of a thread come in
//! any order. They are compared at the samples behind them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::event::SockId;
use super::spans::{Spans, Spent};

/// Threads of which waits are remembered, and how many of each.
const MAX_THREADS: usize = 1_024;
const MAX_WAITS: usize = 64;
/// Exchanges of a listener or a process that are looked into.
const MAX_PENDING: usize = 256;
/// A request that came so long before a thread was done with another one has waited for that, ns.
const HELD_NS: u64 = 20_000_000;
/// Read later than so long after, it waited for something else as well, ns.
const NEXT_NS: u64 = 10_000_000;
/// By then the exchanges of all who waited are reported, ns.
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
    /// Notes the wait of a request until it was read.
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

    /// Counts the requests of other connections that came while the thread was at work, and that it
    /// read right after.
    pub(super) fn behind(&self, work: &Stretch) -> HeldUp {
        let mut held = HeldUp::default();
        let Some(waits) = self.threads.get(&work.tid) else { return held };
        for wait in waits {
            let came_meanwhile =
                wait.from_ns.max(work.from_ns).saturating_add(HELD_NS) <= work.to_ns;
            let read_after = wait.to_ns.saturating_add(NEXT_NS / 10) >= work.to_ns
                && wait.to_ns <= work.to_ns.saturating_add(NEXT_NS);
            if wait.sock != work.sock && came_meanwhile && read_after {
                held.count += 1;
                held.worst_us = held.worst_us.max(wait.us());
            }
        }
        held
    }

    /// Keeps the threads with a wait since then.
    pub(super) fn keep(&mut self, since_ns: u64) {
        let is_recent = |last: &Stretch| last.to_ns >= since_ns;
        self.threads.retain(|_, waits| waits.back().is_some_and(is_recent));
    }
}

/// Questions about a reported exchange. Each flag is true once its question needs no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitQuestion {
    /// Of a request that lay unread: its reader's time until the read (`known`), and whether
    /// another thread of the process lacked a CPU (`lack`). The reader is known to have waited for
    /// a CPU for `delay_us`.
    Unread { delay_us: u64, known: bool, lack: bool },
    /// Of the application's time: its thread's time (`known`), the requests that waited for the
    /// thread meanwhile (`held`), and whether another thread lacked a CPU (`lack`).
    App { known: bool, held: bool, lack: bool },
}

/// The answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// The reader spent the wait so.
    Unread { us: u64, delay_us: u64, spent: Spent },
    /// A thread of the process may have been without a CPU for as long, or none was.
    Lack { us: u64, starved: bool, unread: bool },
    /// The thread spent its work so, if that was asked; and these waited for it.
    App { us: u64, spent: Option<Spent>, held: HeldUp, tid: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    /// The time at which it was counted.
    counted_ns: u64,
    stretch: Stretch,
    question: WaitQuestion,
}

/// A thread lacked a CPU for as long as a wait if it did so for nine tenths of it.
const AS_LONG: (u64, u64) = (9, 10);

impl Pending {
    /// Whether threads of its process lacked a CPU, once that is known.
    fn lack(&mut self, spans: &Spans) -> Option<Found> {
        let unread = matches!(self.question, WaitQuestion::Unread { .. });
        let (WaitQuestion::Unread { lack, .. } | WaitQuestion::App { lack, .. }) =
            &mut self.question;
        let Stretch { pid, from_ns, to_ns, .. } = self.stretch;
        let lacked_ns = if *lack { None } else { spans.lacked(pid, from_ns, to_ns) }?;
        *lack = true;
        let starved = lacked_ns / AS_LONG.0 >= (to_ns - from_ns) / AS_LONG.1;
        Some(Found::Lack { us: self.stretch.us(), starved, unread })
    }

    /// Answers how its thread spent the time, and who waited for it, as far as that became known
    /// just now.
    fn answer(&mut self, waits: &Waits, spans: &Spans) -> Option<Found> {
        let stretch = &self.stretch;
        let us = stretch.us();
        let spent = || spans.spent(stretch.tid, stretch.from_ns, stretch.to_ns);
        match &mut self.question {
            WaitQuestion::Unread { known: true, .. } => None,
            WaitQuestion::Unread { delay_us, known, .. } => {
                let spent = spent()?;
                *known = true;
                Some(Found::Unread { us, delay_us: *delay_us, spent })
            }
            WaitQuestion::App { known, held, .. } => {
                let behind = if *held { HeldUp::default() } else { waits.behind(stretch) };
                let spent = if *known { None } else { spent() };
                if spent.is_none() && behind.count == 0 {
                    return None;
                }
                *known |= spent.is_some();
                *held |= behind.count > 0;
                Some(Found::App { us, spent, held: behind, tid: stretch.tid })
            }
        }
    }

    /// Every question has its answer.
    fn is_done(&self) -> bool {
        match self.question {
            WaitQuestion::Unread { known, lack, .. } => known && lack,
            WaitQuestion::App { known, held, lack } => known && held && lack,
        }
    }
}

/// Exchanges that are looked into, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pendings(VecDeque<Pending>);

impl Pendings {
    /// Asks of an exchange that was reported and counted just now.
    pub(super) fn add(&mut self, counted_ns: u64, stretch: Stretch, question: WaitQuestion) {
        if self.0.len() == MAX_PENDING {
            self.0.pop_front();
        }
        self.0.push_back(Pending { counted_ns, stretch, question });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the answers that are known by now, each with the time at which its exchange was
    /// counted. An answer that has not become known in time never will.
    pub(super) fn settle(
        &mut self,
        now_ns: u64,
        waits: &Waits,
        spans: &Spans,
    ) -> Vec<(u64, Found)> {
        let mut found = Vec::new();
        self.0.retain_mut(|pending| {
            if let Some(lack) = pending.lack(spans) {
                found.push((pending.counted_ns, lack));
            }
            if let Some(answer) = pending.answer(waits, spans) {
                found.push((pending.counted_ns, answer));
            }
            let is_late = now_ns.saturating_sub(pending.counted_ns) >= SETTLED_NS;
            !pending.is_done() && !is_late
        });
        found
    }
}
