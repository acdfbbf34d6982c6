//! Threads' time between the calls that were seen of them, on a CPU and ready without one.
//!
//! A call tells how its thread spent the time since the call before. A longer stretch, such as the
//! wait of an unread request, is the sum of the thread's calls in it.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::event::{Exchange, Sample, ThreadUse};

/// Threads followed; of further ones nothing is known.
const MAX_THREADS: usize = 1_024;
/// Spans kept of each.
const MAX_SPANS: usize = 96;
/// Samples kept of each thread.
const MAX_SAMPLES: usize = 8;
/// Spans so close to one another that they take no longer than this together become one, ns.
const MERGED_NS: u64 = 4_000_000;

/// From one call of a thread to its next, or several of these.
#[derive(Clone, Copy, Debug)]
struct Span {
    from_ns: u64,
    to_ns: u64,
    /// The part of it that calls cover.
    known_ns: u64,
    cpu_ns: u64,
    delay_ns: u64,
}

impl Span {
    /// Returns the span that a call ends; `None` if its beginning is not known.
    fn of(thread: &ThreadUse, to_ns: u64) -> Option<Self> {
        let from_ns = thread.since_ns?;
        if from_ns >= to_ns {
            return None;
        }
        let (cpu_ns, delay_ns) = (thread.cpu_ns, thread.run_delay_ns);
        Some(Self { from_ns, to_ns, known_ns: to_ns - from_ns, cpu_ns, delay_ns })
    }

    /// Returns both in one, if they are short and close to one another.
    fn merged(&self, other: &Self) -> Option<Self> {
        let (from_ns, to_ns) = (self.from_ns.min(other.from_ns), self.to_ns.max(other.to_ns));
        let whole_ns = to_ns - from_ns;
        if whole_ns > MERGED_NS {
            return None;
        }
        Some(Self {
            from_ns,
            to_ns,
            known_ns: self.known_ns.saturating_add(other.known_ns).min(whole_ns),
            cpu_ns: self.cpu_ns.saturating_add(other.cpu_ns),
            delay_ns: self.delay_ns.saturating_add(other.delay_ns),
        })
    }

    /// Takes another one in. False if they are not close.
    fn merge(&mut self, other: &Self) -> bool {
        let Some(merged) = self.merged(other) else { return false };
        *self = merged;
        true
    }
}

/// Returns the thread that read a request, and its span up to the first read.
fn read_span(exchange: &Exchange) -> Option<(u32, Span)> {
    let inbound = exchange.inbound.as_ref()?;
    let (reader, to_ns) = (inbound.reader?, inbound.read_first_ns?);
    Some((reader.tid, Span::of(&reader, to_ns)?))
}

/// Returns the thread that wrote, and its span up to the write.
fn written_span(exchange: &Exchange) -> Option<(u32, Span)> {
    let outbound = exchange.outbound.as_ref()?;
    let is_one = outbound.writes == 1;
    // The thread's time runs to the return of the write. Of a write that blocked only the beginning
    // is known.
    if outbound.blocked_ns > 0 && !is_one {
        return None;
    }
    let writer = outbound.writer?;
    let to_ns = if is_one { outbound.last_ns } else { outbound.first_ns };
    Some((writer.tid, Span::of(&writer, to_ns)?))
}

/// A thread's time in a stretch, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// On a CPU.
    pub(super) cpu_ns: u64,
    /// Ready, without one.
    pub(super) delay_ns: u64,
}

/// The recent spans of threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    threads: FxHashMap<u32, VecDeque<Span>>,
    samples: FxHashMap<u32, VecDeque<Totals>>,
    /// Of each process, from one sample to the next.
    lacks: FxHashMap<u32, VecDeque<Lack>>,
    sampled_ns: u64,
}

/// The longest time that any thread of a process was ready without a CPU between two samples.
#[derive(Clone, Copy, Debug)]
struct Lack {
    from_ns: u64,
    to_ns: u64,
    /// `None` if a thread ended meanwhile: what it lacked is lost with it.
    most_ns: Option<u64>,
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
    pub(super) fn note(&mut self, exchange: &Exchange) {
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
    pub(super) fn sampled(&mut self, sample: &Sample) {
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

    /// Notes how long threads of each process lacked a CPU since the sample before.
    fn note_lacks(&mut self, sample: &Sample) {
        let (from_ns, to_ns) =
            (std::mem::replace(&mut self.sampled_ns, sample.ts_ns), sample.ts_ns);
        if from_ns == 0 || sample.threads.len() > MAX_THREADS {
            return self.lacks.clear();
        }
        let threads: FxHashSet<u32> = sample.threads.iter().map(|thread| thread.tid).collect();
        let mut lost_threads: FxHashSet<u32> = FxHashSet::default();
        for (tid, samples) in &self.samples {
            if let Some(last) = samples.back()
                && !threads.contains(tid)
            {
                lost_threads.insert(last.pid);
            }
        }
        let mut most: FxHashMap<u32, u64> = FxHashMap::default();
        for thread in &sample.threads {
            let before_ns = match self.samples.get(&thread.tid).and_then(VecDeque::back) {
                Some(before) if before.pid == thread.pid => before.delay_ns,
                // It began in between.
                _ if thread.started_ns >= from_ns => 0,
                // It was not watched.
                _ => thread.run_delay_ns,
            };
            let delay_ns = thread.run_delay_ns.saturating_sub(before_ns);
            let most = most.entry(thread.pid).or_default();
            *most = delay_ns.max(*most);
        }
        self.lacks.retain(|pid, _| most.contains_key(pid));
        for (pid, most_ns) in most {
            let lacks = self.lacks.entry(pid).or_default();
            if lacks.len() == MAX_SAMPLES {
                lacks.pop_front();
            }
            let most_ns = if lost_threads.contains(&pid) { None } else { Some(most_ns) };
            lacks.push_back(Lack { from_ns, to_ns, most_ns });
        }
    }

    /// Returns the longest that any thread of a process can have been ready without a CPU in a
    /// stretch, ns; `None` if it is not known of all of it.
    pub(super) fn lacked(&self, pid: u32, from_ns: u64, to_ns: u64) -> Option<u64> {
        let (mut first_ns, mut last_ns, mut sum_ns) = (None, 0, 0_u64);
        for lack in self.lacks.get(&pid)? {
            if lack.to_ns <= from_ns || lack.from_ns >= to_ns {
                continue;
            }
            first_ns.get_or_insert(lack.from_ns);
            last_ns = lack.to_ns;
            sum_ns = sum_ns.saturating_add(lack.most_ns?);
        }
        let is_whole = first_ns? <= from_ns && last_ns >= to_ns;
        if is_whole { Some(sum_ns) } else { None }
    }

    /// Returns how a thread spent a stretch; `None` unless its calls cover nearly all of it, or
    /// samples half.
    pub(super) fn spent(&self, tid: u32, from_ns: u64, to_ns: u64) -> Option<Spent> {
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
    pub(super) fn were_others_served(&self, exchange: &Exchange) -> bool {
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
    pub(super) fn keep(&mut self, since_ns: u64) {
        let is_recent = |last: &Span| last.to_ns >= since_ns;
        self.threads.retain(|_, spans| spans.back().is_some_and(is_recent));
    }
}

/// Returns the least and the most that a span spent so within a stretch: it spent `ns` so in all,
/// and is `within_ns` long inside the stretch and `without_ns` outside.
pub(super) fn bounds(ns: u64, within_ns: u64, without_ns: u64) -> (u64, u64) {
    let most_ns = ns.min(within_ns);
    (ns.saturating_sub(without_ns).min(most_ns), most_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::ThreadSample;

    const MS: u64 = 1_000_000;

    fn used(from_ms: u64, cpu_ms: u64, delay_ms: u64) -> ThreadUse {
        let since_ns = Some(from_ms * MS);
        ThreadUse { pid: 1, tid: 7, since_ns, run_delay_ns: delay_ms * MS, cpu_ns: cpu_ms * MS }
    }

    fn add(spans: &mut Spans, from_ms: u64, to_ms: u64, cpu_ms: u64, delay_ms: u64) {
        spans.add(7, Span::of(&used(from_ms, cpu_ms, delay_ms), to_ms * MS).expect("a span"));
    }

    fn spent(spans: &Spans, from_ms: u64, to_ms: u64) -> Option<(u64, u64)> {
        spans
            .spent(7, from_ms * MS, to_ms * MS)
            .map(|spent| (spent.cpu_ns / MS, spent.delay_ns / MS))
    }

    #[test]
    fn a_stretch_is_the_sum_of_its_calls_in_whatever_order_they_are_told() {
        let mut spans = Spans::default();
        add(&mut spans, 140, 160, 20, 0);
        add(&mut spans, 100, 120, 18, 2);
        add(&mut spans, 120, 140, 10, 10);
        assert_eq!(spent(&spans, 100, 160), Some((48, 12)));
        add(&mut spans, 120, 140, 10, 10);
        assert_eq!(spent(&spans, 100, 160), Some((48, 12)), "told twice");
        assert_eq!(spent(&spans, 100, 240), None, "of half of it nothing is known");
        assert_eq!(spans.spent(8, 100 * MS, 160 * MS), None, "another thread");
    }

    #[test]
    fn a_span_that_reaches_beyond_the_stretch_tells_only_what_must_be() {
        let mut spans = Spans::default();
        add(&mut spans, 0, 1_000, 300, 0);
        assert_eq!(spent(&spans, 800, 1_000), None, "all of it may have been before");
        let mut spans = Spans::default();
        add(&mut spans, 0, 1_000, 980, 0);
        assert_eq!(spent(&spans, 800, 1_000), Some((190, 0)));
        let mut spans = Spans::default();
        add(&mut spans, 0, 1_000, 4, 0);
        assert_eq!(spent(&spans, 800, 1_000), Some((2, 0)));
    }

    #[test]
    fn what_any_thread_of_a_process_lacked_bounds_what_held_it() {
        let thread = |pid, tid, delay_ms: u64| ThreadSample {
            pid,
            tid,
            run_delay_ns: delay_ms * MS,
            ..ThreadSample::default()
        };
        let sampled = |spans: &mut Spans, at_ms: u64, threads: &[ThreadSample]| {
            spans.sampled(&Sample {
                ts_ns: at_ms * MS,
                threads: threads.to_vec(),
                ..Sample::default()
            });
        };
        let mut spans = Spans::default();
        sampled(&mut spans, 1_000, &[thread(1, 7, 100), thread(1, 8, 500), thread(2, 9, 0)]);
        sampled(&mut spans, 2_000, &[thread(1, 7, 130), thread(1, 8, 510), thread(2, 9, 400)]);
        sampled(
            &mut spans,
            3_000,
            &[thread(1, 7, 135), thread(1, 8, 510), thread(1, 10, 900), thread(2, 9, 400)],
        );
        let lacked = |spans: &Spans, pid, from_ms, to_ms| {
            spans.lacked(pid, from_ms * MS, to_ms * MS).map(|ns| ns / MS)
        };
        assert_eq!(lacked(&spans, 1, 1_200, 1_300), Some(30));
        assert_eq!(
            lacked(&spans, 1, 1_900, 2_100),
            Some(35),
            "what a thread had before it was watched is left out"
        );
        assert_eq!(lacked(&spans, 2, 1_200, 1_300), Some(400));
        assert_eq!(
            (lacked(&spans, 1, 900, 1_100), lacked(&spans, 1, 2_900, 3_100)),
            (None, None),
            "not all of it"
        );
        assert_eq!(lacked(&spans, 3, 1_200, 1_300), None);
        sampled(&mut spans, 4_000, &[thread(1, 8, 510), thread(1, 10, 900), thread(2, 9, 400)]);
        assert_eq!(lacked(&spans, 1, 3_200, 3_300), None, "a thread ended");
    }

    #[test]
    fn quick_calls_take_little_room() {
        let mut spans = Spans::default();
        for at in 0..10_000 {
            let from_ns = at * MS / 10;
            let thread = ThreadUse { cpu_ns: MS / 20, since_ns: Some(from_ns), ..used(0, 0, 0) };
            spans.add(7, Span::of(&thread, from_ns + MS / 10).expect("a span"));
        }
        assert!(spans.threads[&7].len() <= MAX_SPANS);
        assert_eq!(spent(&spans, 900, 1_000), Some((50, 0)));
    }

    #[test]
    fn quick_calls_with_something_between_them_tell_of_themselves_alone() {
        let mut spans = Spans::default();
        // One of each millisecond is known, of four.
        for at in (0..100).rev() {
            add(&mut spans, 4 * at, 4 * at + 1, 1, 0);
        }
        assert_eq!(spent(&spans, 100, 300), None, "a quarter is not nearly all");
        for at in (0..100).rev() {
            add(&mut spans, 4 * at + 1, 4 * at + 4, 0, 2);
        }
        assert_eq!(spent(&spans, 100, 300), Some((50, 100)));
    }
}
