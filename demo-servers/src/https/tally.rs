//! Adds up the connections made in one of the ways.

use std::mem;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use humantime::parse_duration;

use crate::demo::Report;

/// Number and timing of connections.
#[derive(Args, Clone, Debug)]
pub struct VisitOptions {
    /// Total connections [default: no limit]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Requests on each connection; 0: it stays open until the end
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub requests: u64,
    /// Pause after each answer
    #[arg(long, default_value = "100ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on a connection or an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = crate::demo::timeout)]
    pub timeout: Duration,
}

/// A connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Visit {
    /// 12 or 13.
    pub(super) tls: u64,
    /// Whether the session was resumed.
    pub(super) resumed: bool,
    /// Whether the server took the request from the client's first flight.
    pub(super) early_data: bool,
    /// Whether the server took data from the SYN.
    pub(super) syn_data: bool,
    /// Times that the client had to wait for the server until the answer's first byte, if they can
    /// be counted.
    pub(super) round_trips: Option<u64>,
    /// From before connect to the answer's first byte.
    pub(super) first_byte: Duration,
    /// The round-trip time, as the transport measured it.
    pub(super) rtt: Duration,
}

/// The connections of a client.
pub(super) struct Tally {
    /// Whether the next connection only fetches a ticket or cookie for later ones.
    prepares: bool,
    measured: u64,
    resumed: u64,
    early_data: u64,
    syn_data: u64,
    tls: u64,
    round_trips: Option<u64>,
    rtt: Duration,
    first_byte_us: Histogram<u64>,
}

impl Tally {
    /// With `prepares`, the first connection is not counted.
    pub(super) fn new(prepares: bool) -> Self {
        let first_byte_us =
            Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"));
        Self {
            prepares,
            measured: 0,
            resumed: 0,
            early_data: 0,
            syn_data: 0,
            tls: 0,
            round_trips: None,
            rtt: Duration::ZERO,
            first_byte_us,
        }
    }

    /// Counts one.
    pub(super) fn add(&mut self, visit: &Visit) {
        if mem::take(&mut self.prepares) {
            return;
        }
        self.measured += 1;
        self.resumed += u64::from(visit.resumed);
        self.early_data += u64::from(visit.early_data);
        self.syn_data += u64::from(visit.syn_data);
        self.tls = visit.tls;
        self.round_trips = self.round_trips.max(visit.round_trips);
        self.rtt = visit.rtt;
        // Fails only for a histogram that may not grow.
        let _ = self.first_byte_us.record(micros(visit.first_byte));
    }

    /// Adds the facts to a report:
    ///
    /// - `measured`: connections after the one that fetches a ticket or a cookie, if the way needs
    ///   one; of them
    /// - `resumed`, `early_data`, `syn_data`: sessions resumed, requests that the server took from
    ///   the client's first flight, SYNs whose data it took
    /// - `tls`: 12 or 13
    /// - `round_trips`: times that the client had to wait until the answer's first byte, the most
    ///   of any connection (over TCP)
    /// - `first_byte_us`: from before connect to the answer's first byte, the median
    /// - `rtt_us`: the round-trip time as the transport measured it
    pub(super) fn report(self, report: &mut Report) {
        report.facts.extend([
            ("measured", self.measured),
            ("tls", self.tls),
            ("resumed", self.resumed),
            ("early_data", self.early_data),
            ("syn_data", self.syn_data),
        ]);
        report.facts.extend(self.round_trips.map(|count| ("round_trips", count)));
        let first_byte_us = self.first_byte_us.value_at_quantile(0.5);
        report.facts.extend([("first_byte_us", first_byte_us), ("rtt_us", micros(self.rtt))]);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prepares_is_not_counted() {
        let visit = Visit { tls: 13, resumed: true, round_trips: Some(2), ..Visit::default() };
        for (prepares, measured) in [(true, 2), (false, 3)] {
            let mut tally = Tally::new(prepares);
            tally.add(&Visit { round_trips: Some(1), ..visit });
            tally.add(&visit);
            tally.add(&Visit { resumed: false, ..visit });
            let mut report = Report::default();
            tally.report(&mut report);
            assert_eq!(report.fact("measured"), Some(measured));
            assert_eq!(report.fact("resumed"), Some(measured - 1));
            assert_eq!([report.fact("tls"), report.fact("round_trips")], [Some(13), Some(2)]);
        }
    }
}
