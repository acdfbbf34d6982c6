//! Requests that wait for news by design: long polling.
//!
//! An event loop has put a request aside if the thread that read it sleeps in `epoll_wait` or the
//! like at a sample, or served others between its read and its answer.
//! That alone proves nothing: a slow server with an event loop looks the same.
//! The proof is a thread that answers several requests at once, on different connections: one event
//! was news for all of them. It is no proof if the thread was at work meanwhile. Requests that lay
//! unread until it was done show that, or its time on a CPU.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::event::{Exchange, Sample, SockId, WaitKind};
use super::threads;
use super::waits::Stretch;

/// Requests that are put aside; further ones are taken for slow.
const MAX_PARKED: usize = 8_192;
/// Answers remembered for each listener or process.
const MAX_ANSWERS: usize = 512;
/// From this on a request may wait by design, µs.
pub(super) const LONG_US: u64 = 100_000;
/// Nobody lets a client wait longer for news than this, µs: then it is forgotten.
pub(super) const FORGOTTEN_US: u64 = 120_000_000;
/// Answers so close to one another have one cause, ns.
const TOGETHER_NS: u64 = 50_000_000;
/// Refreshes until all answers to one event are reported.
const REFRESHES: u32 = 3;
/// Time until all answers to one event are reported, ns.
const SETTLED_NS: u64 = 2_500_000_000;

/// Threads in event loops, and the requests that they have put aside.
#[derive(Clone, Debug, Default)]
pub(super) struct LongPolls {
    asleep: FxHashSet<u32>,
    requests: FxHashMap<(SockId, u32), u64>,
}

impl LongPolls {
    /// Takes the threads that sleep in the wait for events.
    pub(super) fn sampled(&mut self, sample: &Sample) {
        let mut threads: FxHashMap<u32, u32> = FxHashMap::default();
        for thread in &sample.threads {
            *threads.entry(thread.pid).or_default() += 1;
        }
        self.asleep.clear();
        for thread in &sample.threads {
            let waits = matches!(thread.sleep, Some(WaitKind::Events | WaitKind::Several));
            // A thread that reads for others to answer has put nothing aside.
            let answers = thread.writes > 0 || threads.get(&thread.pid) == Some(&1);
            if waits && answers {
                self.asleep.insert(thread.tid);
            }
        }
        let from_ns = sample.ts_ns.saturating_sub(2 * FORGOTTEN_US * 1_000);
        self.requests.retain(|_, seen_ns| *seen_ns >= from_ns);
    }

    /// Whether this request, read and unanswered at `ts_ns`, is put aside.
    pub(super) fn note(&mut self, ts_ns: u64, exchange: &Exchange) -> bool {
        let id = (exchange.sock, exchange.seq);
        if self.requests.len() >= MAX_PARKED && !self.requests.contains_key(&id) {
            return false;
        }
        let Some(tid) = reader(exchange) else { return false };
        let is_parked = self.asleep.contains(&tid);
        if is_parked {
            self.requests.insert(id, ts_ns);
        }
        is_parked
    }

    /// Takes out an exchange that is over. True if the thread that read it answered it, too, and
    /// had put it aside, or is one that does so. `put_aside` tells that it served others meanwhile.
    pub(super) fn take(&mut self, exchange: &Exchange, put_aside: bool) -> bool {
        // Mostly there are none.
        let was_seen = !self.requests.is_empty()
            && self.requests.remove(&(exchange.sock, exchange.seq)).is_some();
        let Some(reader) = threads::reader(exchange) else { return false };
        let Some(writer) = threads::writer(exchange) else { return false };
        reader.tid == writer.tid && (put_aside || was_seen || self.asleep.contains(&reader.tid))
    }
}

/// Returns the thread that read a request, by its id.
pub(super) fn reader(exchange: &Exchange) -> Option<u32> {
    Some(threads::reader(exchange)?.tid)
}

/// An answer to a request that was put aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// From the read to the answer.
    pub(super) stretch: Stretch,
    /// The application's part of it: the rest its thread waited for a CPU.
    pub(super) app_us: u64,
    /// The part of that on a CPU, where that is known.
    pub(super) cpu_us: Option<u64>,
    /// Refreshes since it was reported; `None` once it is judged.
    age: Option<u32>,
}

/// Reason why an answer's time is not taken for waiting by design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No other came with it: it may wait or be slow.
    Alone,
    /// Its thread was at work.
    Worked,
}

/// The answers of a listener or a process to requests that were put aside.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(VecDeque<Answer>);

impl Answers {
    /// Adds an answer. If there are too many, the oldest goes and is not judged any more.
    pub(super) fn add(&mut self, stretch: Stretch, app_us: u64, cpu_us: Option<u64>) {
        if self.0.len() == MAX_ANSWERS {
            self.0.pop_front();
        }
        self.0.push_back(Answer { stretch, app_us, cpu_us, age: Some(0) });
    }

    /// Judges the answers that are old enough. `was_working` says that a thread did not wait
    /// meanwhile: it computed, or let others wait.
    pub(super) fn judge(
        &mut self,
        now_ns: u64,
        was_working: impl Fn(&Answer) -> bool,
    ) -> Vec<(Answer, Why)> {
        let all: Vec<Stretch> = self.0.iter().map(|answer| answer.stretch).collect();
        let mut judged = Vec::new();
        for answer in &mut self.0 {
            let Some(age) = &mut answer.age else { continue };
            *age += 1;
            if *age < REFRESHES || now_ns.saturating_sub(answer.stretch.to_ns) < SETTLED_NS {
                continue;
            }
            answer.age = None;
            let (stretch, answer) = (answer.stretch, *answer);
            let is_other = |other: &Stretch| {
                other.sock != stretch.sock && other.to_ns.abs_diff(stretch.to_ns) <= TOGETHER_NS
            };
            if was_working(&answer) {
                judged.push((answer, Why::Worked));
            } else if !all.iter().any(is_other) {
                judged.push((answer, Why::Alone));
            }
        }
        let from_ns = now_ns.saturating_sub(4 * SETTLED_NS);
        self.0.retain(|answer| answer.age.is_some() || answer.stretch.to_ns >= from_ns);
        judged
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
