//! Threads' time between the calls that were seen of them, on a CPU and ready without one.
//!
//! A call tells how its thread spent the time since the call before. A longer stretch, such as the
//! wait of an unread request, is the sum of the thread's calls in it.

mod lacks;
mod span;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::model::event::{Exchange, Sample};
use lacks::Lack;
use span::{MERGED_NS, Span, read_span, written_span};

/// Threads followed; of further ones nothing is known.
const MAX_THREADS: usize = 1_024;

/// Spans kept of each.
const MAX_SPANS: usize = 96;

/// Samples kept of each thread.
const MAX_SAMPLES: usize = 8;

/// A thread's time in a stretch, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Spent {
    /// On a CPU.
    pub(in crate::model) cpu_ns: u64,
    /// Ready, without one.
    pub(in crate::model) delay_ns: u64,
}

/// The recent spans of threads.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Spans {
    threads: FxHashMap<u32, VecDeque<Span>>,
    samples: FxHashMap<u32, VecDeque<Totals>>,
    /// Of each process, from one sample to the next.
    lacks: FxHashMap<u32, VecDeque<Lack>>,
    sampled_ns: u64,
}

/// A thread's totals at a sample.
#[derive(Clone, Copy, Debug)]
struct Totals {
    pid: u32,
    ts_ns: u64,
    cpu_ns: u64,
    delay_ns: u64,
}

impl Spans {
    /// Takes the calls of an exchange that is over.
    pub(in crate::model) fn note(&mut self, exchange: &Exchange) {
        let (read, written) = (read_span(exchange), written_span(exchange));
        // Mostly one thread does both.
        if let (Some((reader, read)), Some((writer, written))) = (read, written)
            && reader == writer
            && let Some(span) = read.merged(&written)
        {
            return self.add(reader, span);
        }
        if let Some((tid, span)) = read {
            self.add(tid, span);
        }
        if let Some((tid, span)) = written {
            self.add(tid, span);
        }
    }

    fn add(&mut self, tid: u32, span: Span) {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&tid) {
            return;
        }
        let spans = self.threads.entry(tid).or_default();
        // A record comes when the next exchange begins, so that calls are nearly in order, but not
        // quite.
        for other in spans.iter_mut().rev() {
            if other.to_ns.saturating_add(MERGED_NS) <= span.from_ns {
                break;
            }
            if other.merge(&span) {
                return;
            }
        }
        let place = spans.partition_point(|other| other.to_ns <= span.from_ns);
        if let Some(next) = spans.get(place)
            && next.from_ns < span.to_ns
        {
            // A span that is there already, or of another thread that has the number now.
            return;
        }
        if spans.len() == MAX_SPANS {
            if place == 0 {
                return;
            }
            spans.pop_front();
            spans.insert(place - 1, span);
        } else {
            spans.insert(place, span);
        }
    }

    /// Takes the totals of every thread.
    pub(in crate::model) fn sampled(&mut self, sample: &Sample) {
        self.note_lacks(sample);
        let mut before = std::mem::take(&mut self.samples);
        for thread in sample.threads.iter().take(MAX_THREADS) {
            let mut samples = before.remove(&thread.tid).unwrap_or_default();
            if let Some(last) = samples.back()
                && last.cpu_ns > thread.cpu_ns
            {
                // Another thread has the number now.
                samples.clear();
            }
            if samples.len() == MAX_SAMPLES {
                samples.pop_front();
            }
            let (cpu_ns, delay_ns) = (thread.cpu_ns, thread.run_delay_ns);
            samples.push_back(Totals { pid: thread.pid, ts_ns: sample.ts_ns, cpu_ns, delay_ns });
            self.samples.insert(thread.tid, samples);
        }
    }

    /// Returns how a thread spent a stretch; `None` unless its calls cover nearly all of it, or
    /// samples half.
    pub(in crate::model) fn spent(&self, tid: u32, from_ns: u64, to_ns: u64) -> Option<Spent> {
        self.spent_by_calls(tid, from_ns, to_ns)
            .or_else(|| self.spent_by_samples(tid, from_ns, to_ns))
    }

    /// Takes a long stretch with several samples in it to be as the time between them was.
    fn spent_by_samples(&self, tid: u32, from_ns: u64, to_ns: u64) -> Option<Spent> {
        if to_ns <= from_ns {
            return None;
        }
        let all_ns = to_ns - from_ns;
        let mut within =
            self.samples.get(&tid)?.iter().filter(|at| at.ts_ns >= from_ns && at.ts_ns <= to_ns);
        let first = within.next()?;
        let last = within.next_back()?;
        let seen_ns = last.ts_ns - first.ts_ns;
        if seen_ns * 2 < all_ns {
            return None;
        }
        let scaled =
            |ns: u64| (u128::from(ns) * u128::from(all_ns) / u128::from(seen_ns.max(1))) as u64;
        Some(Spent {
            cpu_ns: scaled(last.cpu_ns.saturating_sub(first.cpu_ns)),
            delay_ns: scaled(last.delay_ns.saturating_sub(first.delay_ns)),
        })
    }

    fn spent_by_calls(&self, tid: u32, from_ns: u64, to_ns: u64) -> Option<Spent> {
        if to_ns <= from_ns {
            return None;
        }
        let all_ns = to_ns - from_ns;
        let spans = self.threads.get(&tid)?;
        let begin = spans.partition_point(|span| span.to_ns <= from_ns);
        let (mut known_ns, mut doubt_ns, mut spent) = (0_u64, 0_u64, Spent::default());
        for span in spans.range(begin..) {
            // Thread ids come again, so that spans may overlap and be out of order.
            if span.from_ns >= to_ns || span.to_ns <= from_ns {
                continue;
            }
            let within_ns = span.to_ns.min(to_ns) - span.from_ns.max(from_ns);
            let without_ns = span.to_ns - span.from_ns - within_ns;
            let known = bounds(span.known_ns, within_ns, without_ns);
            known_ns = known_ns.saturating_add(known.0.midpoint(known.1));
            let cpu_ns = bounds(span.cpu_ns, within_ns, without_ns);
            let delay_ns = bounds(span.delay_ns, within_ns, without_ns);
            doubt_ns = doubt_ns.saturating_add((cpu_ns.1 - cpu_ns.0).max(delay_ns.1 - delay_ns.0));
            spent.cpu_ns = spent.cpu_ns.saturating_add(cpu_ns.0.midpoint(cpu_ns.1));
            spent.delay_ns = spent.delay_ns.saturating_add(delay_ns.0.midpoint(delay_ns.1));
        }
        let is_known = known_ns >= all_ns / 5 * 4 && doubt_ns <= all_ns / 4;
        if is_known { Some(spent) } else { None }
    }

    /// Tells whether the thread that read and answered a request made a call for another between its
    /// last read and its first write.
    pub(in crate::model) fn were_others_served(&self, exchange: &Exchange) -> bool {
        let (Some(inbound), Some(outbound)) = (&exchange.inbound, &exchange.outbound) else {
            return false;
        };
        let (Some(reader), Some(writer)) = (inbound.reader, outbound.writer) else { return false };
        let Some(from_ns) = inbound.read_last_ns else { return false };
        // Spans this close become one.
        if reader.tid != writer.tid || outbound.first_ns <= from_ns.saturating_add(MERGED_NS) {
            return false;
        }
        let Some(spans) = self.threads.get(&reader.tid) else { return false };
        let begin = spans.partition_point(|span| span.to_ns <= from_ns);
        spans.range(begin..).next().is_some_and(|span| span.to_ns < outbound.first_ns)
    }

    /// Keeps the threads with a call since then: threads end, and ids come again.
    pub(in crate::model) fn keep(&mut self, since_ns: u64) {
        let is_recent = |last: &Span| last.to_ns >= since_ns;
        self.threads.retain(|_, spans| spans.back().is_some_and(is_recent));
    }
}

/// Returns the least and the most that a span spent so within a stretch: it spent `ns` so in all,
/// and is `within_ns` long inside the stretch and `without_ns` outside.
pub(in crate::model) fn bounds(ns: u64, within_ns: u64, without_ns: u64) -> (u64, u64) {
    let most_ns = ns.min(within_ns);
    (ns.saturating_sub(without_ns).min(most_ns), most_ns)
}
