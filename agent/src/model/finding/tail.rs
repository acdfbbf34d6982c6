//! A few exchanges take far longer than the others, and have something in common.

use super::text::Text;
use super::{ConnectionFacts, CpuFacts, FindingVerdict};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::stats::Tail;
use crate::text::{count, count_of, duration_us};

/// A tail this long hurts, µs.
const HURTS_US: u64 = 200_000;

/// The slowest hundredth of at least 100 exchanges must take 50 ms or longer, and ten times the
/// median. They must have the kind of time in common, or the moment. It is a warning from 200 ms
/// on, if this host held that time.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let tail = facts.stats.spread.tail()?;
    if tail.kind.is_none() && !tail.is_together() {
        return None;
    }
    let owner = match tail.kind {
        Some(kind) => kind.owner(),
        None => Owner::Unknown,
    };
    let is_ours = matches!(owner, Owner::App | Owner::Kernel);
    let stopped = stopped_in(&tail, &facts.cpu);
    Some(FindingVerdict {
        severity: if is_ours && tail.us >= HURTS_US { Severity::Warning } else { Severity::Info },
        owner,
        headline: format!(
            "The slowest {} take {} or longer; half of all take {} at most.",
            count(tail.count),
            duration_us(tail.us),
            duration_us(tail.half_us)
        ),
        text: text(&tail, stopped),
        evidence: evidence(&tail),
        fix: fix(&tail, stopped).into(),
    })
}

/// Returns the process of the tail if it was stopped in one of the moments.
fn stopped_in(tail: &Tail, cpu: &CpuFacts) -> Option<u32> {
    let pid = tail.pid?;
    for &(from_ns, to_ns) in &tail.moments {
        if cpu.was_stopped(pid, from_ns, to_ns) {
            return Some(pid);
        }
    }
    None
}

fn text(tail: &Tail, stopped: Option<u32>) -> Text {
    let begin = format!(
        "Of the last {} exchanges, these {} took up to {}.",
        count(tail.of),
        count(tail.count),
        duration_us(tail.worst_us)
    );
    Text::from(begin)
        .say("kind", tail.kind.is_some(), || {
            format!(
                "Nearly all of them spent most of that time the same way: {}.",
                tail.kind.map_or("", doing)
            )
        })
        .say("moment", tail.is_together(), || {
            format!(
                "Their waits overlap: they fall into {}.",
                count_of(tail.moments.len() as u64, "moment")
            )
        })
        .say("thread", tail.tid.is_some(), || {
            format!("Nearly all were served by thread {}.", tail.tid.unwrap_or_default())
        })
        .say("connection", tail.sock.is_some(), || "Nearly all came on one connection.".into())
        .say("stopped", stopped.is_some(), || {
            let pid = stopped.unwrap_or_default();
            format!("Process {pid} was stopped then (SIGSTOP, or a debugger).")
        })
}

fn evidence(tail: &Tail) -> Vec<(&'static str, f64)> {
    let mut evidence = vec![
        ("exchanges", tail.count as f64),
        ("of", tail.of as f64),
        ("tail_us", tail.us as f64),
        ("tail_max_us", tail.worst_us as f64),
        ("half_us", tail.half_us as f64),
        ("moments", tail.moments.len() as f64),
    ];
    if let Some(tid) = tail.tid {
        evidence.push(("tid", f64::from(tid)));
    }
    if let Some(pid) = tail.pid {
        evidence.push(("pid", f64::from(pid)));
    }
    evidence
}

fn doing(kind: SliceKind) -> &'static str {
    match kind {
        SliceKind::AcceptQueue => "they waited to be accepted",
        SliceKind::ReceiveQueue => "their bytes lay unread",
        SliceKind::RunQueue => "their thread was ready to run and had no CPU",
        SliceKind::Throttled => "a quota kept their thread off the CPU",
        SliceKind::App => "the application worked on them, or waited for something",
        SliceKind::Request => "the peer had yet to send the rest of the request",
        SliceKind::Response => "the peer had not answered",
        SliceKind::SendBuffer => "a write waited for room in the send buffer",
        SliceKind::Nagle => "Nagle's algorithm held bytes",
        SliceKind::Cork => "TCP_CORK or MSG_MORE held bytes",
        SliceKind::Congestion => "the congestion window held bytes",
        SliceKind::ReceiveWindow => "the peer's window held bytes",
        SliceKind::Pacing => "pacing held bytes",
        SliceKind::Retransmit => "segments were retransmitted",
        other => other.name(),
    }
}

fn fix(tail: &Tail, stopped: Option<u32>) -> &'static str {
    match tail.kind {
        _ if stopped.is_some() => {
            "find out who stops the process (a debugger, a checkpoint, a freezer, job control)."
        }
        Some(SliceKind::ReceiveQueue | SliceKind::App) if tail.is_together() => {
            "look at what the process did in these moments: a pause (garbage collection, a fork, a \
             lock), or a handler that holds the thread that the others wait for."
        }
        Some(SliceKind::RunQueue | SliceKind::Throttled) => {
            "look at what else ran in these moments, and at CPU quotas and priorities."
        }
        _ => "look at these exchanges first: they are the worst on their connections.",
    }
}
