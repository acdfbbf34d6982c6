//! A connection wakes more of the threads that wait for it than it needs.

use super::{FamilyFacts, FindingVerdict, Text};
use crate::model::pattern::HerdFacts;
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, percent, rate_of, times};

/// So many wakeups for nothing a second are a warning: at some 5 µs each, a hundredth of a CPU.
const DEAR_RATE: f64 = 2_000.0;
/// Rough cost of a wakeup for nothing, µs: to be put on a CPU, to look, and to go to sleep again.
const WAKEUP_US: f64 = 5.0;

/// There are two signs. Several threads wait for the listener by epoll without `EPOLLEXCLUSIVE`,
/// and the wakeups beyond those that accepts and reads account for are at least half as many as the
/// accepts. Or several threads accept, and accept finds nothing one and a half times as often as it
/// finds a connection: a loop that accepts until EAGAIN does so once for each at most.
pub(super) fn check(facts: &FamilyFacts<'_>) -> Option<FindingVerdict> {
    let herd = facts.family.herd?;
    if !is_herd(herd) {
        return None;
    }
    let cost = herd.wasted_rate * WAKEUP_US / 1e6;
    let by_epoll = herd.waiters >= 2;
    let connections = count_of(herd.accepts, "connection");
    Some(FindingVerdict {
        severity: if herd.wasted_rate >= DEAR_RATE { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: format!(
            "Woken in vain: {}, for connections that others take.",
            rate_of(herd.wasted_rate, "thread")
        ),
        text: Text::default()
            .rest_on("dear", herd.wasted_rate >= DEAR_RATE)
            .say("not-exclusive", by_epoll, || {
                let (waiters, wakeups) = (count(herd.waiters), times(herd.wakeups));
                format!(
                    "{waiters} threads wait for this listener with epoll, without EPOLLEXCLUSIVE, \
                     so a connection wakes all of them that sleep. For the last {connections}, \
                     they woke {wakeups}."
                )
            })
            .say("several-accept", !by_epoll, || {
                let acceptors = count(herd.acceptors);
                format!("For the last {connections}, {acceptors} threads called accept().")
            })
            .say("found-nothing", herd.eagains > 0, || {
                format!("accept() found nothing {}.", times(herd.eagains))
            })
            .infer("costs", true, || {
                format!("At an estimated 5 µs a wakeup, that is {} of a CPU.", percent(cost))
            }),
        evidence: vec![
            ("waiters", herd.waiters as f64),
            ("acceptors", herd.acceptors as f64),
            ("accepts", herd.accepts as f64),
            ("wakeups", herd.wakeups as f64),
            ("wasted", herd.wasted as f64),
            ("wasted_per_s", herd.wasted_rate),
            ("eagains", herd.eagains as f64),
        ],
        fix: FIX.into(),
    })
}

fn is_herd(herd: &HerdFacts) -> bool {
    let woken = herd.waiters >= 2 && herd.wasted.saturating_mul(2) >= herd.accepts;
    let empty =
        herd.acceptors >= 2 && herd.eagains.saturating_mul(2) >= herd.accepts.saturating_mul(3);
    woken || empty
}

const FIX: &str = "register the listener with EPOLLEXCLUSIVE (nginx and haproxy do), give each \
    worker a listener of its own with SO_REUSEPORT, or let the workers block in accept(). Each of \
    these wakes only one.";
