//! A connection comes, and more of the threads that wait for it wake than it needs.

use super::{FamilyFacts, Verdict};
use crate::model::pattern::HerdFacts;
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, percent, rate};

/// So many wakeups for nothing a second are a warning: at some 5 µs each, a hundredth of a CPU.
const DEAR_RATE: f64 = 2_000.0;
/// What a wakeup for nothing takes, about, µs: to be put on a CPU, to look, and to go to sleep again.
const WAKEUP_US: f64 = 5.0;

/// Either several threads wait for the listener by epoll without `EPOLLEXCLUSIVE`, and they wake at least half again as
/// often as accepts and reads account for; or several accept, and accept finds nothing one and a half times as often as
/// it finds a connection: a loop that accepts until there is nothing more comes to once at most.
pub(super) fn check(facts: &FamilyFacts<'_>) -> Option<Verdict> {
    let herd = facts.family.herd.filter(|herd| is_herd(herd))?;
    let cost = herd.wasted_rate * WAKEUP_US / 1e6;
    let who = if herd.waiters >= 2 {
        let (waiters, wakeups) = (count(herd.waiters), count(herd.wakeups));
        format!(
            "{waiters} threads wait for this listener by epoll without EPOLLEXCLUSIVE, so that a connection wakes all \
             that sleep. For the last {} they woke {wakeups} times",
            connections(herd)
        )
    } else {
        let acceptors = count(herd.acceptors);
        format!("{acceptors} threads wait for this listener. For the last {} they woke more often", connections(herd))
    };
    Some(Verdict {
        severity: if herd.wasted_rate >= DEAR_RATE { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: format!(
            "{} threads wake in vain each second, for connections that others take.",
            rate(herd.wasted_rate)
        ),
        text: format!(
            "{who}, and accept() found nothing {} times. At some 5 µs each, an estimate, that is {} of a CPU.",
            count(herd.eagains),
            percent(cost)
        ),
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

fn connections(herd: &HerdFacts) -> String {
    crate::model::text::count_of(herd.accepts, "connection")
}

fn is_herd(herd: &HerdFacts) -> bool {
    let woken = herd.waiters >= 2 && herd.wasted * 2 >= herd.accepts;
    let empty = herd.acceptors >= 2 && herd.eagains * 2 >= herd.accepts * 3;
    woken || empty
}

const FIX: &str = "register the listener with EPOLLEXCLUSIVE (nginx and haproxy do), give each worker a listener of its own \
     with SO_REUSEPORT, or let the workers block in accept(): each wakes one.";
