//! Slices of which no single call tells how the thread spent them are completed by all calls of the
//! thread.

use crate::model::snapshot::{ExchangeView, Slice, SliceKind};
use crate::model::spans::{Spans, Spent};

/// Slices from this on are worth looking for what their thread did in them, µs.
const COMPLETED_US: u64 = 10_000;

/// Completes an exchange that is over, on a connection that this thread accepted, if that is known.
pub(in crate::model) fn complete(view: &mut ExchangeView, acceptor: Option<u32>, spans: &Spans) {
    if view.total_us < COMPLETED_US {
        return;
    }
    let mut at = 0;
    while at < view.slices.len() {
        let slice = view.slices[at];
        let tid = match slice.kind {
            SliceKind::AcceptQueue => acceptor,
            SliceKind::ReceiveQueue => view.read_tid,
            SliceKind::App | SliceKind::Streaming => view.write_tid,
            _ => None,
        };
        if let Some(tid) = tid.filter(|_| slice.cpu_us.is_none() && slice.us >= COMPLETED_US) {
            let (from_ns, to_ns) = stretch(view, at);
            if let Some(spent) = spans.spent(tid, from_ns, to_ns) {
                fill(view, at, &spent);
            }
        }
        at += 1;
    }
}

/// What a server wrote of its own accord begins with what its thread computed for it, if it did so,
/// or waited for a CPU to do so, for most of the time since it had written before.
pub(in crate::model) fn prepend_work(view: &mut ExchangeView, after_us: u64, spans: &Spans) {
    let from_ns = view.start_ns.saturating_sub(after_us * 1_000);
    let Some(spent) = view.write_tid.and_then(|tid| spans.spent(tid, from_ns, view.start_ns))
    else {
        return;
    };
    let cpu_us = (spent.cpu_ns / 1_000).min(after_us);
    let delay_us = (spent.delay_ns / 1_000).min(after_us - cpu_us);
    if cpu_us < COMPLETED_US || (cpu_us + delay_us) * 2 < after_us {
        return;
    }
    let part = |kind, start_ns, us, cpu_us| Slice {
        kind,
        start_ns,
        us,
        cpu_us,
        proved: false,
        upstream_us: None,
    };
    let work_us = after_us - delay_us;
    let work = part(SliceKind::App, from_ns, work_us, Some(cpu_us));
    let wait = part(SliceKind::RunQueue, from_ns + work_us * 1_000, delay_us, None);
    let new = [work, wait].into_iter().filter(|slice| slice.us > 0);
    view.slices.splice(0..0, new);
    (view.start_ns, view.total_us) = (from_ns, view.total_us + after_us);
    join(view, usize::from(delay_us > 0));
}

/// A slice, with the wait for a CPU that is laid behind it.
fn stretch(view: &ExchangeView, at: usize) -> (u64, u64) {
    let last = view
        .slices
        .get(at + 1)
        .filter(|next| next.kind == SliceKind::RunQueue)
        .unwrap_or(&view.slices[at]);
    (view.slices[at].start_ns, last.start_ns + last.us * 1_000)
}

/// The thread spent a slice, and the wait behind it, so.
fn fill(view: &mut ExchangeView, at: usize, spent: &Spent) {
    let slice = view.slices[at];
    let cpu_us = spent.cpu_ns / 1_000;
    let streams = slice.kind == SliceKind::Streaming;
    if streams {
        // Who computes between the pieces, or has no CPU to do so, does not wait for news.
        if cpu_us < COMPLETED_US || (cpu_us + spent.delay_ns / 1_000) * 2 < slice.us {
            return;
        }
        view.slices[at].kind = SliceKind::App;
    }
    let told_us = view
        .slices
        .get(at + 1)
        .filter(|next| next.kind == SliceKind::RunQueue)
        .map_or(0, |wait| wait.us);
    let delay_us =
        (spent.delay_ns / 1_000).saturating_sub(told_us).min(slice.us.saturating_sub(cpu_us));
    if delay_us * 10 >= slice.us {
        wait(view, at, delay_us);
    }
    if let Some(slice) = view.slices.get_mut(at) {
        slice.cpu_us = (slice.kind != SliceKind::RunQueue).then(|| cpu_us.min(slice.us));
    }
    if streams {
        join(view, at);
    }
}

/// The end of a slice was a wait for a CPU. All of it is left as it is.
fn wait(view: &mut ExchangeView, at: usize, delay_us: u64) {
    let slice = &mut view.slices[at];
    let us = delay_us.min(slice.us - 1);
    slice.us -= us;
    let start_ns = slice.start_ns + slice.us * 1_000;
    match view.slices.get_mut(at + 1).filter(|next| next.kind == SliceKind::RunQueue) {
        Some(next) => (next.start_ns, next.us) = (start_ns, next.us + us),
        None => {
            let wait =
                Slice { kind: SliceKind::RunQueue, start_ns, us, cpu_us: None, ..view.slices[at] };
            view.slices.insert(at + 1, wait);
        }
    }
}

/// A slice that became of the same kind as the one before it, or behind it, is one with it.
fn join(view: &mut ExchangeView, at: usize) {
    for at in [at + 1, at] {
        let Some(before) = at.checked_sub(1).and_then(|before| view.slices.get(before)).copied()
        else {
            continue;
        };
        let Some(&slice) = view.slices.get(at).filter(|slice| slice.kind == before.kind) else {
            continue;
        };
        let us = before.us + slice.us;
        // Where it is not known of a small part only, the rest tells it.
        let known = |slice: &Slice| slice.cpu_us.or((slice.us * 10 <= us).then_some(0));
        let cpu_us = known(&before).zip(known(&slice)).map(|(one, other)| one + other);
        view.slices[at - 1] = Slice { us, cpu_us, ..before };
        view.slices.remove(at);
    }
}
