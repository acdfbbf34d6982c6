//! A span: from one call of a thread to its next, or several of these.

use crate::model::event::{Exchange, ThreadUse};

/// Spans so close to one another that they take no longer than this together become one, ns.
pub(super) const MERGED_NS: u64 = 4_000_000;

/// From one call of a thread to its next, or several of these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    /// The part of it that calls cover.
    pub(super) known_ns: u64,
    pub(super) cpu_ns: u64,
    pub(super) delay_ns: u64,
}

impl Span {
    /// Returns the span that a call ends; `None` if its beginning is not known.
    pub(super) fn of(thread: &ThreadUse, to_ns: u64) -> Option<Self> {
        let from_ns = thread.since_ns?;
        if from_ns >= to_ns {
            return None;
        }
        let (cpu_ns, delay_ns) = (thread.cpu_ns, thread.run_delay_ns);
        Some(Self { from_ns, to_ns, known_ns: to_ns - from_ns, cpu_ns, delay_ns })
    }

    /// Returns both in one, if they are short and close to one another.
    pub(super) fn merged(&self, other: &Self) -> Option<Self> {
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
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let Some(merged) = self.merged(other) else { return false };
        *self = merged;
        true
    }
}

/// Returns the thread that read a request, and its span up to the first read.
pub(super) fn read_span(exchange: &Exchange) -> Option<(u32, Span)> {
    let inbound = exchange.inbound.as_ref()?;
    let (reader, to_ns) = (inbound.reader?, inbound.read_first_ns?);
    Some((reader.tid, Span::of(&reader, to_ns)?))
}

/// Returns the thread that wrote, and its span up to the write.
pub(super) fn written_span(exchange: &Exchange) -> Option<(u32, Span)> {
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
