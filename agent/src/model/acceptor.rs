//! The threads that accept on one listener, and whether they are there.

use std::collections::BTreeMap;

use super::event::{Accept, InAccept};
use super::lately::{Lately, SPAN_NS};
use super::snapshot::Acceptor;
use crate::text::Untrusted;

/// Threads kept for each listener. When a new one comes, the one that accepted least recently is
/// forgotten.
pub(super) const MAX_ACCEPTORS: usize = 256;

/// The accepting threads of one listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Acceptors {
    /// By (process, thread).
    threads: BTreeMap<(u32, u32), AcceptorThread>,
    /// Start of the present period, and of the first.
    period_ns: u64,
    begun_ns: u64,
}

#[derive(Clone, Debug)]
struct AcceptorThread {
    view: Acceptor,
    last_ns: u64,
    /// Accepts in the present period.
    accepts: u64,
    /// Totals of accepts.
    lately: Lately<1>,
    /// Time inside `accept` in the present period.
    inside_ns: u64,
    /// A call of this thread was seen to begin: from then on it is known when it is not inside.
    calls_seen: bool,
    /// A call of this period began at an unknown time.
    gap: bool,
}

impl Acceptors {
    pub(super) fn new(period_ns: u64) -> Self {
        Self { threads: BTreeMap::new(), period_ns, begun_ns: period_ns }
    }

    /// Counts an accept, as often as it stands for one.
    pub(super) fn accepted(&mut self, accept: &Accept) {
        let period_ns = self.period_ns;
        let thread = self.thread(accept.pid, accept.tid, accept.ts_ns);
        if thread.view.comm != accept.comm {
            thread.view.comm.clone_from(&accept.comm);
        }
        thread.view.accepts += accept.stands_for;
        thread.accepts += accept.stands_for;
        thread.last_ns = thread.last_ns.max(accept.ts_ns);
        match accept.entered_ns {
            Some(entered) => {
                thread.calls_seen = true;
                thread.inside_ns = thread
                    .inside_ns
                    .saturating_add(accept.ts_ns.saturating_sub(entered.max(period_ns)));
            }
            None => thread.gap = true,
        }
    }

    /// Ends the period: `inside` are the threads of this listener that are inside `accept` now.
    /// `comm` names those that have not accepted yet. Returns the longest time that a thread spent
    /// inside, if any is known.
    pub(super) fn end_period<'a>(
        &mut self,
        now_ns: u64,
        inside: impl Iterator<Item = &'a InAccept>,
        comm: &Untrusted,
    ) -> Option<u64> {
        let period_ns = self.period_ns;
        let elapsed_ns = now_ns.saturating_sub(period_ns);
        for thread in self.threads.values_mut() {
            thread.view.in_accept = false;
        }
        for call in inside {
            let thread = self.thread(call.pid, call.tid, now_ns);
            if thread.view.comm.is_empty() {
                thread.view.comm.clone_from(comm);
            }
            thread.view.in_accept = true;
            thread.calls_seen = true;
            thread.last_ns = thread.last_ns.max(now_ns);
            thread.inside_ns = thread
                .inside_ns
                .saturating_add(now_ns.saturating_sub(call.since_ns.max(period_ns)));
        }
        let mut longest_ns = None;
        for thread in self.threads.values_mut() {
            let inside_ns = thread.inside_ns.min(elapsed_ns);
            let known = thread.calls_seen && !thread.gap && elapsed_ns > 0;
            thread.view.in_accept_share = None;
            if known {
                thread.view.in_accept_share = Some(inside_ns as f64 / elapsed_ns as f64);
                longest_ns = longest_ns.max(Some(inside_ns));
            }
            thread.lately.push(now_ns, [thread.view.accepts]);
            if let Some((elapsed_ns, [accepts])) = thread.lately.growth(now_ns) {
                thread.view.rate = super::rate(accepts, elapsed_ns);
            }
            (thread.accepts, thread.inside_ns, thread.gap) = (0, 0, false);
        }
        self.period_ns = now_ns;
        longest_ns
    }

    /// Returns the longest time that a thread which accepted in this period was ready without a
    /// CPU, ns, if that is known of all of them.
    pub(super) fn delay_ns(&self, known_ns: impl Fn(u32) -> Option<u64>) -> Option<u64> {
        let mut longest_ns = 0;
        for (&(_, tid), thread) in &self.threads {
            if thread.accepts > 0 {
                longest_ns = longest_ns.max(known_ns(tid)?);
            }
        }
        Some(longest_ns)
    }

    /// Forgets the threads of a process that ended.
    pub(super) fn exited(&mut self, pid: u32) {
        self.threads.retain(|&(owner, _), _| owner != pid);
    }

    /// Returns the threads, those with most accepts first, then by process and thread.
    pub(super) fn view(&self) -> Vec<Acceptor> {
        let mut view: Vec<_> = self.threads.values().map(|thread| thread.view.clone()).collect();
        view.sort_by_key(|acceptor| std::cmp::Reverse(acceptor.accepts));
        view
    }

    /// Returns the number of accepts of each thread that was there at or after `since_ns`, by
    /// (process, thread).
    pub(super) fn counts(&self, since_ns: u64) -> impl Iterator<Item = ((u32, u32), u64)> {
        let there =
            move |thread: &AcceptorThread| thread.view.in_accept || thread.last_ns >= since_ns;
        self.threads
            .iter()
            .filter(move |(_, thread)| there(thread))
            .map(|(&id, thread)| (id, thread.view.accepts))
    }

    fn thread(&mut self, pid: u32, tid: u32, now_ns: u64) -> &mut AcceptorThread {
        if self.threads.len() >= MAX_ACCEPTORS && !self.threads.contains_key(&(pid, tid)) {
            let oldest = self.threads.iter().min_by_key(|(_, thread)| thread.last_ns);
            if let Some((&id, _)) = oldest {
                self.threads.remove(&id);
            }
        }
        let begun_ns = self.begun_ns.max(self.period_ns.saturating_sub(SPAN_NS));
        self.threads.entry((pid, tid)).or_insert_with(|| AcceptorThread {
            view: Acceptor {
                pid,
                tid,
                comm: Untrusted::default(),
                accepts: 0,
                rate: 0.0,
                in_accept_share: None,
                in_accept: false,
            },
            last_ns: now_ns,
            accepts: 0,
            lately: Lately::from(begun_ns),
            inside_ns: 0,
            calls_seen: false,
            gap: false,
        })
    }
}
