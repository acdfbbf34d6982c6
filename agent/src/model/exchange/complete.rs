//! Completion of slices by all calls of their thread, where no single call shows how the thread
//! spent them.

use super::tile::sum_of_both;
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
        if let Some(tid) = tid
            && slice.cpu_us.is_none()
            && slice.us >= COMPLETED_US
        {
            let (from_ns, to_ns) = stretch(view, at);
            if let Some(spent) = spans.spent(tid, from_ns, to_ns) {
                fill(view, at, &spent);
            }
        }
        at += 1;
    }
}

/// Puts the work for a message in front of it, if its server wrote it unasked: the thread computed,
/// or waited for a CPU to do so, for most of the `after_us` since it had written before.
pub(in crate::model) fn prepend_work(view: &mut ExchangeView, after_us: u64, spans: &Spans) {
    let from_ns = view.start_ns.saturating_sub(after_us * 1_000);
    let Some(tid) = view.write_tid else { return };
    let Some(spent) = spans.spent(tid, from_ns, view.start_ns) else { return };
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
    if wait.us > 0 {
        view.slices.insert(0, wait);
    }
    // The work is never empty: it took `COMPLETED_US` at least.
    view.slices.insert(0, work);
    (view.start_ns, view.total_us) = (from_ns, view.total_us + after_us);
    join(view, usize::from(delay_us > 0));
}

/// The wait for a CPU that is laid behind a slice, if there is one.
fn wait_behind(view: &mut ExchangeView, at: usize) -> Option<&mut Slice> {
    view.slices.get_mut(at + 1).filter(|next| next.kind == SliceKind::RunQueue)
}

/// Beginning and end of a slice together with the wait for a CPU behind it, ns.
fn stretch(view: &mut ExchangeView, at: usize) -> (u64, u64) {
    let slice = view.slices[at];
    let last = match wait_behind(view, at) {
        Some(wait) => *wait,
        None => slice,
    };
    (slice.start_ns, last.start_ns + last.us * 1_000)
}

/// Fills in how the thread spent a slice and the wait for a CPU behind it.
fn fill(view: &mut ExchangeView, at: usize, spent: &Spent) {
    let slice = view.slices[at];
    let cpu_us = spent.cpu_ns / 1_000;
    let streams = slice.kind == SliceKind::Streaming;
    if streams {
        // A thread that computes between the pieces, or has no CPU to do so, does not wait for
        // news.
        if cpu_us < COMPLETED_US || (cpu_us + spent.delay_ns / 1_000) * 2 < slice.us {
            return;
        }
        view.slices[at].kind = SliceKind::App;
    }
    let laid_us = match wait_behind(view, at) {
        Some(wait) => wait.us,
        None => 0,
    };
    let delay_us =
        (spent.delay_ns / 1_000).saturating_sub(laid_us).min(slice.us.saturating_sub(cpu_us));
    if delay_us * 10 >= slice.us {
        end_in_wait(view, at, delay_us);
    }
    if let Some(slice) = view.slices.get_mut(at) {
        slice.cpu_us =
            if slice.kind == SliceKind::RunQueue { None } else { Some(cpu_us.min(slice.us)) };
    }
    if streams {
        join(view, at);
    }
}

/// Turns the end of a slice into a wait for a CPU. At least 1 µs of it stays.
fn end_in_wait(view: &mut ExchangeView, at: usize, delay_us: u64) {
    let slice = &mut view.slices[at];
    let us = delay_us.min(slice.us - 1);
    slice.us -= us;
    let start_ns = slice.start_ns + slice.us * 1_000;
    match wait_behind(view, at) {
        Some(wait) => (wait.start_ns, wait.us) = (start_ns, wait.us + us),
        None => {
            let wait =
                Slice { kind: SliceKind::RunQueue, start_ns, us, cpu_us: None, ..view.slices[at] };
            view.slices.insert(at + 1, wait);
        }
    }
}

/// Makes a slice one with its neighbours on both sides, where they are of its kind.
fn join(view: &mut ExchangeView, at: usize) {
    for at in [at + 1, at] {
        if at == 0 || at >= view.slices.len() || view.slices[at - 1].kind != view.slices[at].kind {
            continue;
        }
        let (before, slice) = (view.slices[at - 1], view.slices[at]);
        let us = before.us + slice.us;
        // A part of less than a tenth may be unknown: it counts as none.
        let known = |slice: &Slice| match slice.cpu_us {
            None if slice.us * 10 <= us => Some(0),
            cpu_us => cpu_us,
        };
        let cpu_us = sum_of_both(known(&before), known(&slice));
        view.slices[at - 1] = Slice { us, cpu_us, ..before };
        view.slices.remove(at);
    }
}
