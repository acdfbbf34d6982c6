//! The application takes long between reading a request and writing the response.

use super::{Dealings, Verdict};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::text::{count, count_of, duration_us, percent};

/// An answer this late on average hurts whatever the application does, µs.
const LONG_US: u64 = 250_000;

const PARKED: &str =
    " The event loop had put them aside: do they wait by design (long polling)? Then this is no fault.";

/// An exchange counts from 20 ms of application time on. A tenth of all must; it is a warning when they take 250 ms on
/// average: less may be what the work needs.
pub(super) fn check(dealings: &Dealings<'_>) -> Option<Verdict> {
    let (work, stuck) = (dealings.work, &dealings.stuck.unanswered);
    let slow = work.slow(SliceKind::App);
    let many = dealings.are_many(slow.count);
    if !many && stuck.count == 0 {
        return None;
    }
    let (mean, worst) = (duration_us(slow.mean_us()), duration_us(slow.worst_us));
    let headline = if many {
        format!("The application takes {mean} to answer, {worst} at the worst.")
    } else {
        let (requests, worst) = (count_of(stuck.count, "request"), duration_us(stuck.worst_us));
        format!("Read and not answered: {requests}, for up to {worst} so far.")
    };
    Some(Verdict {
        severity: if many && slow.mean_us() >= LONG_US && !is_parked(dealings) {
            Severity::Warning
        } else {
            Severity::Info
        },
        owner: Owner::App,
        headline,
        text: format!(
            "{} of the last {} exchanges took so long from the last read to the first write. {}{}",
            count(slow.count),
            count(work.exchanges),
            doing(dealings),
            if is_parked(dealings) { PARKED } else { "" }
        ),
        evidence: vec![
            ("exchanges", slow.count as f64),
            ("of", work.exchanges as f64),
            ("app_mean_us", slow.mean_us() as f64),
            ("app_max_us", slow.worst_us as f64),
            ("on_cpu_us", work.app_cpu_us as f64),
            ("with_calls", work.app_calls as f64),
            ("put_aside", work.app_parked as f64),
            ("unanswered_now", stuck.count as f64),
        ],
        fix: fix(dealings).into(),
    })
}

/// Most of them were put aside by an event loop for a second or more. Those that are answered together with others count as
/// waiting by design, and not at all; but a single one looks as one that is slow.
fn is_parked(dealings: &Dealings<'_>) -> bool {
    dealings.work.app_parked * 2 >= dealings.work.slow(SliceKind::App).count.max(1)
}

/// Share of it on a CPU, if that is known of at least half.
fn on_cpu(dealings: &Dealings<'_>) -> Option<f64> {
    let (known_us, us) = (dealings.work.app_known_us, dealings.work.slow(SliceKind::App).us);
    (known_us > 0 && known_us * 2 >= us).then(|| dealings.work.app_cpu_us as f64 / known_us as f64)
}

fn calls_others(dealings: &Dealings<'_>) -> bool {
    dealings.work.app_calls * 2 >= dealings.work.slow(SliceKind::App).count.max(1)
}

fn doing(dealings: &Dealings<'_>) -> String {
    let calls = if calls_others(dealings) { " It made calls to other servers meanwhile." } else { "" };
    match on_cpu(dealings) {
        Some(share) if share >= 0.5 => format!("The thread computed for {} of it.{calls}", percent(share)),
        Some(share) => {
            format!(
                "The thread computed for {} of it and slept for most: a lock, a disk, another server.{calls}",
                percent(share)
            )
        }
        None => format!("Whether the thread computed or slept was not observed.{calls}"),
    }
}

fn fix(dealings: &Dealings<'_>) -> &'static str {
    match on_cpu(dealings) {
        _ if calls_others(dealings) => "look at the calls inside these exchanges: their servers may hold the time.",
        Some(share) if share >= 0.5 => "profile the handler (perf record -t TID): it computes.",
        Some(_) => "find what the handler waits for (a lock, a disk, another process).",
        None => "profile the handler, and look at what it waits for.",
    }
}
