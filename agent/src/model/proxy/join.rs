//! Joins calls to the requests that they were made for: by thread, by time, and by order.
//!
//! A proxy's call lies within the exchange that it serves: it begins after the request was read,
//! and its answer comes before the response is written. With one request at a time that is enough.
//! An event loop serves many at a time, so that a call lies within several. The right one was read
//! last before the call, and is the first to be written after the call's answer.

use super::sides::{BEST, Called, MadeFor, SLACK_NS, Served};
use crate::model::snapshot::Join;

/// On one thread, and no other request was open on it; nor had this one another call under way.
pub(super) const ALONE: f64 = 0.95;
/// On one thread, and of several requests the order of reads and writes names one.
const IN_ORDER: f64 = 0.85;
/// Another thread of the process, and no other request was open.
const PROCESS_ALONE: f64 = 0.5;
/// Another thread, and of several requests the order names one.
const PROCESS_IN_ORDER: f64 = 0.4;
/// Another thread, and of several requests the one that fits best.
const PROCESS_BEST: f64 = 0.2;

/// Joins each of `calls` to the one of `served` that it was made for. `served` has all that can
/// contain it. Provisional joins are taken back by [`take_back`].
pub(super) fn join(served: &mut [&mut Served], calls: &mut [&mut Called], provisional: bool) {
    served.sort_unstable_by_key(|one| (one.read_first_ns, one.id));
    calls.sort_unstable_by_key(|call| (call.written_ns, call.id));
    let mut next = 0;
    let mut open: Vec<usize> = Vec::new();
    for call in calls {
        while next < served.len()
            && served[next].read_first_ns <= call.written_ns.saturating_add(SLACK_NS)
        {
            open.push(next);
            next += 1;
        }
        open.retain(|&at| {
            let (first_ns, _) = served[at].written_or_never_ns();
            first_ns.saturating_add(SLACK_NS) >= call.written_ns
        });
        call.is_decided = !provisional;
        // A connection that was made long before, to have one ready, was made for no request.
        let begins = [call.begun_ns, call.written_ns];
        let chosen = begins.into_iter().find_map(|ns| Some((ns, choose(served, &open, call, ns)?)));
        let Some((begun_ns, (at, confidence))) = chosen else { continue };
        let one = &mut served[at];
        let (_, until_ns) = one.turn_ns();
        call.served = Some(Join {
            start_ns: one.read_first_ns,
            end_ns: until_ns,
            open: one.written_ns.is_none(),
            ..Join::new(one.id.0, one.id.1, one.peer, confidence)
        });
        let join = Join {
            start_ns: begun_ns,
            end_ns: call.end_ns,
            open: call.is_awaited(),
            fault: call.fault,
            ..Join::new(call.id.0, call.id.1, call.peer, confidence)
        };
        one.calls.push(MadeFor { join, provisional });
    }
}

/// Takes provisional joins back.
pub(super) fn take_back<'a>(
    served: impl Iterator<Item = &'a mut Served>,
    called: impl Iterator<Item = &'a mut Called>,
) {
    for one in served {
        one.calls.retain(|call| !call.provisional);
    }
    for call in called {
        if !call.is_decided {
            call.served = None;
        }
    }
}

/// Chooses the exchange that a call was made for, with how sure that is.
fn choose(
    served: &[&mut Served],
    open: &[usize],
    call: &Called,
    begun_ns: u64,
) -> Option<(usize, f64)> {
    let (mut fits, mut on_thread) = (Vec::new(), Vec::new());
    for &at in open {
        if !served[at].contains(call, begun_ns) {
            continue;
        }
        fits.push(at);
        if call.tid.is_some() && served[at].tids.contains(&call.tid) {
            on_thread.push(at);
        }
    }
    // One thread does one thing after the other: it read the request before it called, and had the
    // answer before it wrote the response.
    let in_turn = |at: &usize| served[*at].is_around(call, begun_ns);
    if on_thread.iter().any(in_turn) {
        on_thread.retain(in_turn);
    }
    let (among, [alone, in_order, best]) = if on_thread.is_empty() {
        (fits, [PROCESS_ALONE, PROCESS_IN_ORDER, PROCESS_BEST])
    } else {
        (on_thread, [ALONE, IN_ORDER, BEST])
    };
    if let [only] = among[..] {
        // One that had a call under way already may do two things at a time; or the exchange of one
        // of the calls is missing.
        return Some((only, if served[only].is_taken(call) { best } else { alone }));
    }
    let before = |at: usize| served[at].before_ns(begun_ns);
    let after = |at: usize| served[at].after_ns(call);
    let last_read = among.iter().copied().min_by_key(|&at| before(at))?;
    let first_written = among.iter().copied().min_by_key(|&at| after(at))?;
    if last_read == first_written {
        return Some((last_read, in_order));
    }
    let distance =
        |at: usize| u128::from(before(at)).pow(2).saturating_add(u128::from(after(at)).pow(2));
    let rank = |at: &usize| (served[*at].is_taken(call), !served[*at].agrees(call), distance(*at));
    let nearest = among.iter().copied().min_by_key(rank)?;
    Some((nearest, best))
}
