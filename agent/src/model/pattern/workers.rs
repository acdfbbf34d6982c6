//! Workers that each serve one connection at a time, and how many connections they can serve.

use std::collections::BTreeMap;

use super::service_history::{Id, ServiceHistory};
use crate::model::snapshot::{Io, PatternName, PatternView};
use crate::text::{count_of, duration_us, rate};

/// Connections that ended in the last few seconds show how long one holds a worker, ns...
const RECENT_NS: u64 = 5_000_000_000;
/// ...or the newest few of the last minute, where connections last longer.
const NEWEST: usize = 8;
const OLD_NS: u64 = 60_000_000_000;
/// Fewer connections show nothing.
const ENOUGH: usize = 4;
/// Time over which it is seen how much of it workers are held, ns, and the least that shows
/// anything: a burst takes less.
const HELD_NS: u64 = 1_000_000_000;
const LEAST_NS: u64 = 500_000_000;

/// Way in which those who accept on a listener share and serve its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Shape {
    pub(in crate::model) name: PatternName,
    pub(in crate::model) io: Option<Io>,
}

impl Shape {
    /// Returns the shape of a pattern that has a name.
    pub(super) fn of(view: &PatternView) -> Option<Self> {
        if view.name == PatternName::Unknown {
            return None;
        }
        Some(Self { name: view.name, io: view.io })
    }

    /// Tells whether each thread that accepts serves the connection to its end before it takes the
    /// next one.
    pub(in crate::model) fn is_one_at_a_time(self) -> bool {
        self.serves_what_it_accepts() && self.io == Some(Io::Blocking)
    }

    /// Tells whether the threads that accept wait for many connections at once, and serve them.
    pub(in crate::model) fn is_event_loop(self) -> bool {
        self.serves_what_it_accepts() && self.io == Some(Io::EventLoop)
    }

    fn serves_what_it_accepts(self) -> bool {
        matches!(
            self.name,
            PatternName::SingleThread
                | PatternName::MultipleAcceptors
                | PatternName::SocketSharding
                | PatternName::MessageLoadBalancing
        )
    }
}

/// The workers of a listener, each of which serves one connection at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Workers {
    /// Threads or processes that accept and serve.
    pub(in crate::model) count: u64,
    /// Those of them that hold a connection now.
    pub(in crate::model) busy: u64,
    /// Mean time from the accept of a connection to its end, ns, and of that from a request read
    /// to its answer.
    pub(in crate::model) hold_ns: u64,
    pub(in crate::model) answer_ns: u64,
    /// Connections that a worker took after another one, and those of them that had come before it
    /// was done with that one.
    pub(in crate::model) turns: u64,
    pub(in crate::model) waited: u64,
    /// Share of the last second that they held connections, in hundredths.
    pub(in crate::model) held_percent: u64,
}

impl Workers {
    /// Measures the workers of a listener by its newest connections. If there are more than are
    /// kept, `since_ns` is when the oldest of them was accepted. `None` if too few have ended
    /// lately, those kept are of too short a time, or it is not known who serves one of them.
    pub(super) fn of<'a>(
        now_ns: u64,
        since_ns: u64,
        histories: impl Iterator<Item = &'a ServiceHistory>,
        waiting: impl Iterator<Item = Id>,
        is_alive: impl Fn(Id) -> bool,
    ) -> Option<Self> {
        let mut own: BTreeMap<Id, Vec<&ServiceHistory>> = BTreeMap::new();
        for history in histories {
            match (history.acceptor, history.server()) {
                (Some(acceptor), _) if is_alive(acceptor) => {
                    own.entry(acceptor).or_default().push(history);
                }
                // It was open at the attach, and holds a worker that may not have accepted since.
                (None, Some(server)) if history.ended_ns.is_none() && is_alive(server) => {
                    own.entry(server).or_default();
                }
                (None, None) if history.ended_ns.is_none() => return None,
                _ => {}
            }
        }
        for id in waiting.filter(|&id| is_alive(id)) {
            own.entry(id).or_default();
        }
        for histories in own.values_mut() {
            histories.sort_by_key(|history| history.accepted_ns);
        }
        let from_ns = since_ns.max(now_ns.saturating_sub(HELD_NS));
        let span_ns = now_ns.saturating_sub(from_ns);
        if span_ns < LEAST_NS {
            return None;
        }
        let mut workers = Self {
            count: own.len() as u64,
            busy: 0,
            hold_ns: 0,
            answer_ns: 0,
            turns: 0,
            waited: 0,
            held_percent: 0,
        };
        let mut held_ns = 0;
        for histories in own.values() {
            workers.count_turns(now_ns, histories);
            held_ns += held_since(from_ns, now_ns, histories);
        }
        workers.held_percent = (held_ns * 100).checked_div(span_ns * workers.count)?;
        workers.measure_holds(now_ns, own.into_values().flatten().collect())?;
        Some(workers)
    }

    /// Counts the connections that one worker took one after the other.
    fn count_turns(&mut self, now_ns: u64, histories: &[&ServiceHistory]) {
        self.busy += u64::from(matches!(histories.last(), Some(last) if last.ended_ns.is_none()));
        for pair in histories.windows(2) {
            let [before, next] = pair else { continue };
            let (Some(until_ns), Some(queued_ns)) = (before.ended_ns, next.queued_ns) else {
                continue;
            };
            if next.accepted_ns.saturating_add(RECENT_NS) >= now_ns {
                self.turns += 1;
                self.waited += u64::from(queued_ns < until_ns);
            }
        }
    }

    /// Takes the means over the connections that ended last.
    fn measure_holds(&mut self, now_ns: u64, histories: Vec<&ServiceHistory>) -> Option<()> {
        let mut ended = Vec::new();
        for history in histories {
            if let Some(ended_ns) = history.ended_ns {
                ended.push((ended_ns, history));
            }
        }
        ended.sort_by_key(|&(ended_ns, _)| std::cmp::Reverse(ended_ns));
        let recent = ended.partition_point(|&(ns, _)| ns.saturating_add(RECENT_NS) >= now_ns);
        let newest = ended.partition_point(|&(ns, _)| ns.saturating_add(OLD_NS) >= now_ns);
        ended.truncate(recent.max(newest.min(NEWEST)));
        if ended.len() < ENOUGH {
            return None;
        }
        let count = ended.len() as u64;
        let (mut hold_ns, mut answer_ns) = (0_u64, 0_u64);
        for (ended_ns, history) in ended {
            let held_ns = ended_ns.saturating_sub(history.accepted_ns);
            hold_ns = hold_ns.saturating_add(held_ns);
            answer_ns = answer_ns.saturating_add(history.answering_ns().min(held_ns));
        }
        (self.hold_ns, self.answer_ns) = (hold_ns / count, answer_ns / count);
        Some(())
    }

    /// Connections a second that all of them together can serve.
    pub(in crate::model) fn capacity(&self) -> f64 {
        self.count as f64 * 1e9 / self.hold_ns.max(1) as f64
    }

    /// Tells whether none of them was free lately: nearly all connections came before the worker
    /// that took them was done with its previous one, and they were held all the time.
    pub(in crate::model) fn are_used_up(&self) -> bool {
        let waited = self.turns >= ENOUGH as u64 && self.waited * 5 >= self.turns * 4;
        waited && self.held_percent >= 80
    }

    /// Tells whether requests waited for their answers for most of the time that a worker was held.
    pub(in crate::model) fn are_held_by_answers(&self) -> bool {
        self.answer_ns.saturating_mul(2) >= self.hold_ns
    }

    /// Returns "2 workers serve one connection at a time, 250 ms each: 8 a second".
    pub(in crate::model) fn arithmetic(&self) -> String {
        let serve = if self.count == 1 { "serves" } else { "serve" };
        format!(
            "{} {serve} one connection at a time, {} each: {} a second",
            count_of(self.count, "worker"),
            duration_us(self.hold_ns / 1_000),
            rate(self.capacity())
        )
    }
}

/// Returns the time that a worker held connections, ns. Whoever takes the next one holds the one
/// before no longer, even if that lingers.
fn held_since(from_ns: u64, now_ns: u64, histories: &[&ServiceHistory]) -> u64 {
    let mut held_ns = 0;
    for (at, history) in histories.iter().enumerate() {
        let next_ns = histories.get(at + 1).map_or(now_ns, |next| next.accepted_ns);
        let end_ns = history.ended_ns.unwrap_or(now_ns).min(next_ns).min(now_ns);
        held_ns += end_ns.saturating_sub(history.accepted_ns.max(from_ns));
    }
    held_ns.min(now_ns.saturating_sub(from_ns))
}

/// Workers, and what came to them lately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::model) struct Load {
    pub(in crate::model) workers: Workers,
    /// Connections a second that joined the queue, and packets that were refused.
    pub(in crate::model) arrivals: f64,
    pub(in crate::model) refused: f64,
}

impl Load {
    /// Returns what more comes than can be served: "61 come", or "more come" where refused clients
    /// cannot be counted. Each may have sent several packets.
    pub(in crate::model) fn demand(&self) -> String {
        if self.refused > 0.0 {
            "more come".to_owned()
        } else {
            format!("{} come", rate(self.arrivals))
        }
    }

    /// Number of workers that would have served what came; `None` where that is not known.
    pub(in crate::model) fn enough(&self) -> Option<u64> {
        if self.refused > 0.0 {
            return None;
        }
        let needed = (self.arrivals * self.workers.hold_ns as f64 / 1e9).ceil();
        if needed <= self.workers.count as f64 { None } else { Some(needed as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pattern::service_history::ServiceHistory;

    const MS: u64 = 1_000_000;

    /// A connection that came, was accepted and ended then; it was answered for most of the time.
    fn served(tid: u32, queued_ms: u64, accepted_ms: u64, ended_ms: Option<u64>) -> ServiceHistory {
        let mut history = ServiceHistory::found_open(accepted_ms * MS);
        history.acceptor = Some((tid, tid));
        history.queued_ns = Some(queued_ms * MS);
        history.ended_ns = ended_ms.map(|ms| ms * MS);
        history
    }

    fn measured(histories: &[ServiceHistory], now_ms: u64) -> Option<Workers> {
        Workers::of(now_ms * MS, 0, histories.iter(), std::iter::empty(), |_| true)
    }

    #[test]
    fn two_workers_of_250_ms_serve_eight_a_second() {
        let mut histories = Vec::new();
        for step in 0..8_u64 {
            for tid in [1, 2] {
                let at = step * 250;
                histories.push(served(tid, at.saturating_sub(700), at, Some(at + 250)));
            }
        }
        let workers = measured(&histories, 2_000).expect("workers");
        assert_eq!((workers.count, workers.hold_ns, workers.busy), (2, 250 * MS, 0));
        assert!((workers.capacity() - 8.0).abs() < 1e-9);
        assert!(workers.are_used_up());
        assert_eq!(
            workers.arithmetic(),
            "2 workers serve one connection at a time, 250 ms each: 8 a second"
        );
    }

    #[test]
    fn workers_that_wait_for_connections_are_not_used_up() {
        let mut histories = Vec::new();
        for step in 0..8_u64 {
            let at = step * 500;
            histories.push(served(1, at, at, Some(at + 250)));
        }
        assert!(!measured(&histories, 4_000).expect("workers").are_used_up());
    }

    /// It sleeps before each accept and answers at once; the first connection lingers.
    #[test]
    fn a_connection_that_lingers_does_not_use_up_the_worker() {
        let mut histories = vec![served(1, 0, 0, None)];
        for step in 1..12_u64 {
            histories.push(served(1, 0, step * 300, Some(step * 300 + 1)));
        }
        let workers = measured(&histories, 3_600).expect("workers");
        assert!(workers.held_percent < 5 && !workers.are_used_up(), "{workers:?}");
    }

    /// One was open at the attach: whoever serves it is a worker, too.
    #[test]
    fn a_worker_that_holds_an_old_connection_counts() {
        let mut histories: Vec<_> =
            (0..4).map(|step| served(1, step * 10, step * 10, Some(step * 10 + 10))).collect();
        let mut old = ServiceHistory::found_open(0);
        histories.push(old.clone());
        assert_eq!(measured(&histories, 1_000), None, "nobody knows who serves it");
        old.readers.first = Some((7, 7));
        histories.pop();
        histories.push(old);
        assert_eq!(measured(&histories, 1_000).map(|workers| workers.count), Some(2));
    }

    /// Twenty connections come at once to a worker that needs a millisecond for each.
    #[test]
    fn a_burst_does_not_use_up_quick_workers() {
        let histories: Vec<_> =
            (0..20).map(|step| served(1, 0, 900 + step, Some(901 + step))).collect();
        let workers = measured(&histories, 1_000).expect("workers");
        assert!(workers.waited * 5 >= workers.turns * 4, "they wait for their turn");
        assert!(!workers.are_used_up(), "{workers:?}");
        let short = Workers::of(1_000 * MS, 900 * MS, histories.iter(), [].into_iter(), |_| true);
        assert_eq!(short, None, "a tenth of a second shows nothing");
    }

    #[test]
    fn too_few_connections_measure_nothing() {
        let histories = [served(1, 0, 0, Some(250)), served(1, 10, 250, None)];
        assert_eq!(measured(&histories, 500), None);
    }

    #[test]
    fn a_worker_that_holds_a_connection_is_busy_and_an_ended_one_none() {
        let mut histories: Vec<_> =
            (0..4).map(|step| served(1, step * 10, step * 10, Some(step * 10 + 10))).collect();
        histories.push(served(1, 0, 40, None));
        histories.push(served(9, 0, 40, None));
        let alive = |id: Id| id.0 != 9;
        let waiting = [(3, 3)].into_iter();
        let workers =
            Workers::of(1_000 * MS, 0, histories.iter(), waiting, alive).expect("workers");
        assert_eq!((workers.count, workers.busy), (2, 1), "one that waits counts, too");
    }

    #[test]
    fn refused_clients_are_not_counted() {
        let workers = Workers {
            count: 2,
            busy: 2,
            hold_ns: 250 * MS,
            answer_ns: 249 * MS,
            turns: 8,
            waited: 8,
            held_percent: 99,
        };
        let load = Load { workers, arrivals: 61.0, refused: 0.0 };
        assert_eq!((load.demand().as_str(), load.enough()), ("61 come", Some(16)));
        let refusing = Load { refused: 3.0, ..load };
        assert_eq!((refusing.demand().as_str(), refusing.enough()), ("more come", None));
    }
}
