//! Times in which connections waited in an accept queue, and whether a thread was inside `accept`
//! meanwhile.

use super::event::{Accept, InAccept};

/// Follows one accept queue. The queue is first in, first out, so accepts come in the order of the
/// waits: together they cover the time in which any connection waited.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attendance {
    /// The time before this is summed already.
    until_ns: u64,
    /// At least one connection has waited since then.
    waiting_since_ns: Option<u64>,
    sum: Attended,
}

/// Time of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attended {
    /// In which connections waited, ns.
    pub(super) all_ns: u64,
    /// In which connections waited and it is known where the threads were, ns.
    pub(super) waited_ns: u64,
    /// In which connections waited and a thread was inside `accept`, ns.
    pub(super) inside_ns: u64,
}

impl Attendance {
    /// Takes an accept: its connection waited from when it was queued.
    pub(super) fn accepted(&mut self, accept: &Accept) {
        let from_ns = self.until_ns;
        self.until_ns = from_ns.max(accept.ts_ns);
        self.waiting_since_ns = if accept.depth > 0 { Some(accept.ts_ns) } else { None };
        if let Some(queued_ns) = accept.queued_ns {
            self.sum.all_ns =
                self.sum.all_ns.saturating_add(accept.ts_ns.saturating_sub(queued_ns.max(from_ns)));
        }
        // Of a call that began unseen only the queue is known.
        let (Some(queued_ns), Some(entered_ns), false) =
            (accept.queued_ns, accept.entered_ns, accept.late)
        else {
            return;
        };
        self.add(queued_ns.max(from_ns), entered_ns, accept.ts_ns);
    }

    /// Ends the period: `depth` connections wait now, and these threads are inside `accept`.
    pub(super) fn end_period<'a>(
        &mut self,
        now_ns: u64,
        depth: u32,
        inside: impl Iterator<Item = &'a InAccept>,
    ) -> Attended {
        if let Some(since_ns) = self.waiting_since_ns
            && depth > 0
        {
            let entered_ns = inside.map(|call| call.since_ns).min().unwrap_or(now_ns);
            self.sum.all_ns =
                self.sum.all_ns.saturating_add(now_ns.saturating_sub(since_ns.max(self.until_ns)));
            self.add(since_ns.max(self.until_ns), entered_ns, now_ns);
            self.until_ns = now_ns;
        }
        self.waiting_since_ns = if depth > 0 { Some(now_ns) } else { None };
        std::mem::take(&mut self.sum)
    }

    fn add(&mut self, waited_ns: u64, entered_ns: u64, end_ns: u64) {
        self.sum.waited_ns = self.sum.waited_ns.saturating_add(end_ns.saturating_sub(waited_ns));
        self.sum.inside_ns =
            self.sum.inside_ns.saturating_add(end_ns.saturating_sub(waited_ns.max(entered_ns)));
    }
}
