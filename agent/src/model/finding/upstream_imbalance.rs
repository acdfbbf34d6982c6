//! One upstream of a proxy is slow, or gets far more than its part.

use super::{Cause, FindingVerdict, Text};
use crate::model::proxy::RecentFigures;
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, duration_us, percent};

/// An upstream's median says something from so many exchanges on.
const ENOUGH: u64 = 20;
/// An upstream is slow if it takes so many times as long as others, and so much longer, µs.
const TIMES: u64 = 3;
const SLOWER_US: u64 = 5_000;

/// It is a warning if one upstream with 20 exchanges in the last ten seconds has three times the
/// median of any other, and 5 ms more. It is worth knowing if one gets half as much again as an
/// even share, and four standard deviations more than chance would give it: weights may want that.
pub(super) fn check(recent_figures: &[RecentFigures]) -> Option<FindingVerdict> {
    if let Some(verdict) = slow_verdict(recent_figures) {
        return Some(verdict);
    }
    greedy_verdict(recent_figures)
}

/// Returns the upstream that is clearly slower than all others.
pub(super) fn slow(recent_figures: &[RecentFigures]) -> Option<&RecentFigures> {
    let judged = recent_figures.iter().filter(|one| one.exchanges >= ENOUGH);
    let slowest = judged.max_by_key(|one| one.median_us)?;
    let others_us = others_us(recent_figures, slowest)?;
    let limit_us = (others_us * TIMES).max(others_us + SLOWER_US);
    if slowest.median_us < limit_us {
        return None;
    }
    Some(slowest)
}

/// The longest median of the others, µs; `None` without others that had enough.
fn others_us(recent_figures: &[RecentFigures], one: &RecentFigures) -> Option<u64> {
    let mut longest_us = None;
    for other in recent_figures {
        if other.peer != one.peer && other.exchanges >= ENOUGH {
            longest_us = longest_us.max(Some(other.median_us));
        }
    }
    longest_us
}

fn slow_verdict(recent_figures: &[RecentFigures]) -> Option<FindingVerdict> {
    let slow = slow(recent_figures)?;
    let others_us = others_us(recent_figures, slow)?;
    let all: u64 = recent_figures.iter().map(|one| one.exchanges).sum();
    Some(FindingVerdict {
        severity: Severity::Warning,
        owner: Owner::Peer,
        headline: format!(
            "Upstream {} takes {}, the others {} at most.",
            slow.peer,
            duration_us(slow.median_us),
            duration_us(others_us)
        ),
        text: Text::from(format!(
            "These are medians of the last ten seconds, over {} of {}. Each request that goes \
             there waits for it; that time is in the app slice of the exchange that the call was \
             made for.",
            count(slow.exchanges),
            count_of(all, "call")
        ))
        .follows_from(true, Cause::Upstream(slow.peer, slow.median_us))
        .about(slow.peer),
        evidence: vec![
            ("upstreams", recent_figures.len() as f64),
            ("exchanges", slow.exchanges as f64),
            ("of", all as f64),
            ("median_us", slow.median_us as f64),
            ("others_median_us", others_us as f64),
        ],
        fix: "look at that server. Until it is fixed, take it out of rotation, or give it a lower \
             weight or a connection limit."
            .into(),
    })
}

fn greedy_verdict(recent_figures: &[RecentFigures]) -> Option<FindingVerdict> {
    let all: u64 = recent_figures.iter().map(|one| one.exchanges).sum();
    if recent_figures.len() < 2 {
        return None;
    }
    let most = recent_figures.iter().max_by_key(|one| one.exchanges)?;
    let even = all as f64 / recent_figures.len() as f64;
    let beyond = most.exchanges as f64 - even;
    if beyond < even / 2.0 || beyond < 4.0 * even.sqrt() {
        return None;
    }
    let share = most.exchanges as f64 / all as f64;
    Some(FindingVerdict {
        severity: Severity::Info,
        owner: Owner::App,
        headline: format!("Upstream {} gets {} of the calls.", most.peer, percent(share)),
        text: format!(
            "{} of the last {} went there; an even share of {} upstreams is {}.",
            count(most.exchanges),
            count(all),
            count(recent_figures.len() as u64),
            percent(1.0 / recent_figures.len() as f64)
        )
        .into(),
        evidence: vec![
            ("upstreams", recent_figures.len() as f64),
            ("exchanges", most.exchanges as f64),
            ("of", all as f64),
            ("share", share),
            ("imbalance", most.exchanges as f64 / even),
        ],
        fix: "unless weights ask for it, balance by request rather than by connection or source \
             address."
            .into(),
    })
}
