//! Connections and exchanges by their place: between clients and the server, and between a proxy
//! and the servers behind it. And what the client of a demo reports of both.

use std::collections::BTreeSet;

use crate::{
    learn::{
        check::Scenario,
        evidence::{Evidence, Who, median},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{ConnectionView, ExchangeView},
    },
};

/// The demo that is the knob.
pub(super) fn scenario(knobs: &Knobs) -> Scenario {
    Scenario::demo(&knobs.text("demo", "request-response"))
}

/// The clients' ends of their connections to the server.
pub(super) fn of_clients(evidence: &Evidence) -> impl Iterator<Item = &ConnectionView> {
    let ends = evidence.connections(Role::Client).into_iter();
    ends.filter(|end| Scenario::is_entrance(end.peer))
}

/// A proxy's ends of its connections to the servers behind it.
pub(super) fn behind(evidence: &Evidence) -> impl Iterator<Item = &ConnectionView> {
    let ends = evidence.connections(Role::Client).into_iter();
    ends.filter(|end| !Scenario::is_entrance(end.peer))
}

/// Requests that went out on a connection. The last one of a connection that stays open may not be
/// over.
pub(super) fn asked_on(end: &ConnectionView) -> u64 {
    end.exchanges.saturating_add(u64::from(end.current.is_some()))
}

/// The exchanges on such connections.
pub(super) fn exchanges_on<'a>(
    evidence: &'a Evidence,
    ends: impl Iterator<Item = &'a ConnectionView>,
) -> Vec<&'a ExchangeView> {
    let mut socks = BTreeSet::new();
    for end in ends {
        socks.insert(end.sock);
    }
    let mut found = Vec::new();
    for (sock, exchange) in evidence.exchanges(Role::Client) {
        if socks.contains(&sock) {
            found.push(exchange);
        }
    }
    found
}

/// End of an exchange, ns.
pub(super) fn end_ns(exchange: &ExchangeView) -> u64 {
    exchange.start_ns.saturating_add(exchange.total_us.saturating_mul(1_000))
}

/// Time from the beginning of the first to the end of the last, µs.
pub(super) fn span_us(exchanges: &[&ExchangeView]) -> Option<u64> {
    let begin = exchanges.iter().map(|exchange| exchange.start_ns).min()?;
    let end = exchanges.iter().map(|exchange| end_ns(exchange)).max()?;
    Some(end.saturating_sub(begin) / 1_000)
}

/// The most of them that went on at the same time.
pub(super) fn most_at_once(exchanges: &[&ExchangeView]) -> u64 {
    let mut most = 0;
    for exchange in exchanges {
        let mut going_on = 0;
        for other in exchanges {
            if other.start_ns <= exchange.start_ns && exchange.start_ns < end_ns(other) {
                going_on += 1;
            }
        }
        most = most.max(going_on);
    }
    most
}

/// The longest of some exchanges, µs.
pub(super) fn longest_us(exchanges: &[&ExchangeView]) -> Option<u64> {
    exchanges.iter().map(|exchange| exchange.total_us).max()
}

/// The exchange in the middle by its time, µs.
pub(super) fn median_us(exchanges: &[&ExchangeView]) -> Option<u64> {
    median(exchanges.iter().map(|exchange| exchange.total_us))
}

/// A figure of the client's latencies, "p50" or "max", µs.
pub(super) fn latency_us(evidence: &Evidence, name: &str) -> Option<u64> {
    let line = evidence.lines(Who::Client, "  latency").next()?;
    let milliseconds: f64 = line.split_once(name)?.1.split_whitespace().next()?.parse().ok()?;
    Some((milliseconds * 1_000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{find, recorded};

    #[test]
    fn what_goes_on_at_once_is_counted() {
        let evidence =
            recorded(find("nagle").expect("it is there").recordings[0]).expect("a recording");
        let exchanges = exchanges_on(&evidence, of_clients(&evidence));
        assert_eq!((exchanges.len(), most_at_once(&exchanges)), (10, 1));
        let twice: Vec<_> = exchanges.iter().chain(&exchanges).copied().collect();
        assert_eq!(most_at_once(&twice), 2);
        let sum: u64 = exchanges.iter().map(|exchange| exchange.total_us).sum();
        assert!(span_us(&exchanges).is_some_and(|span| span >= sum - 10), "ten, one after another");
        assert_eq!(behind(&evidence).count(), 0);
    }
}
