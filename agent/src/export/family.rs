//! The metrics by name. The names and units are OpenTelemetry's where its semantic conventions have
//! one; the Prometheus names follow from them by OpenTelemetry's own rules.

use std::fmt;

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sum that only grows.
    Counter,
    /// A figure of the moment.
    Gauge,
    /// Durations, s.
    Histogram,
}

/// Unit of a metric, as UCUM has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    /// From 0 to 1.
    Ratio,
    /// A number of these.
    Of(&'static str),
    /// The value says nothing beyond that the series exists.
    None,
}

impl Unit {
    /// As OTLP has it.
    pub(crate) fn ucum(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "By",
            Self::Ratio => "1",
            Self::Of(annotation) => annotation,
            Self::None => "",
        }
    }

    /// End of the Prometheus name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "_seconds",
            Self::Bytes => "_bytes",
            Self::Ratio => "_ratio",
            Self::Of(_) | Self::None => "",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// Dotted name, as in OTLP.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    pub(crate) help: &'static str,
}

impl Family {
    /// Its name in Prometheus' formats.
    pub(crate) fn prometheus(&self) -> PrometheusName {
        PrometheusName(*self)
    }
}

/// The name of a metric in Prometheus' formats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrometheusName(Family);

/// What a process costs has other names in Prometheus' own conventions.
const PROMETHEUS_OWN: [(&str, &str); 2] =
    [("process.cpu.time", "process.cpu"), ("process.memory.usage", "process.resident_memory")];

impl fmt::Display for PrometheusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = PROMETHEUS_OWN.iter().find(|(name, _)| *name == self.0.name);
        write_underscored(f, own.map_or(self.0.name, |(_, own)| own))?;
        f.write_str(self.0.unit.suffix())?;
        f.write_str(if self.0.kind == Kind::Counter { "_total" } else { "" })
    }
}

/// Writes a dotted name as Prometheus can have it.
pub(crate) fn write_underscored(f: &mut impl fmt::Write, name: &str) -> fmt::Result {
    for character in name.chars() {
        f.write_char(if character == '.' { '_' } else { character })?;
    }
    Ok(())
}

macro_rules! families {
    ($($id:ident: $name:literal, $kind:ident, $unit:expr, $help:literal;)*) => {
        $(pub(crate) const $id: Family =
            Family { name: $name, kind: Kind::$kind, unit: $unit, help: $help };)*

        /// Every metric.
        #[cfg(test)]
        pub(crate) const ALL: &[Family] = &[$($id),*];
    };
}

families! {
    // Listeners.
    QUEUE_DEPTH: "backscope.accept_queue.depth", Gauge, Unit::Of("{connection}"),
        "Connections that wait to be accepted. Sockets that share an address are added up.";
    QUEUE_LIMIT: "backscope.accept_queue.limit", Gauge, Unit::Of("{connection}"),
        "Effective limit of the accept queue: the smaller of backlog and net.core.somaxconn. Sockets that share an address are added up.";
    QUEUE_PEAK: "backscope.accept_queue.peak", Gauge, Unit::Of("{connection}"),
        "Highest depth of the accept queue in the last minute. Sockets that share an address are added up, each with its own peak.";
    QUEUE_UTILIZATION: "backscope.accept_queue.utilization", Gauge, Unit::Ratio,
        "Highest depth of an accept queue in the last minute as a share of its limit; of sockets that share an address, the fullest. The kernel refuses beyond 1, and a queue may hold one more than its limit.";
    SYN_QUEUE_DEPTH: "backscope.syn_queue.depth", Gauge, Unit::Of("{connection}"),
        "Handshakes that wait for the client's final ACK.";
    ACCEPTED: "backscope.connections.accepted", Counter, Unit::Of("{connection}"),
        "Connections that the application accepted.";
    QUEUED: "backscope.connections.queued", Counter, Unit::Of("{connection}"),
        "Connections that entered the accept queue.";
    REFUSED: "backscope.connections.refused", Counter, Unit::Of("{connection}"),
        "Connections that the kernel refused, by stage: syn (SYN dropped, the accept queue was full), ack (final ACK ignored, likewise), syn_or_ack (this kernel does not tell which), syn_queue (SYN dropped, the SYN queue was full). Clients try again, so one client may count several times.";
    COOKIES: "backscope.syncookies.sent", Counter, Unit::Of("{cookie}"),
        "SYNs that were answered by a syncookie, since the SYN queue was full.";
    ABANDONED: "backscope.connections.abandoned", Counter, Unit::Of("{connection}"),
        "Connections that left the accept queue unaccepted.";
    ACCEPT_FAILS: "backscope.accept.failures", Counter, Unit::Of("{call}"),
        "Calls of accept that failed, other than for want of a connection.";
    SYNACK_RETRANSMITS: "backscope.synack.retransmits", Counter, Unit::Of("{segment}"),
        "SYN-ACKs that were sent again.";
    ACCEPT_WAIT: "backscope.accept.wait.duration", Histogram, Unit::Seconds,
        "Time of a connection in the accept queue, until accept returned it.";

    // Exchanges.
    EXCHANGE: "backscope.exchange.duration", Histogram, Unit::Seconds,
        "Time of an exchange, from the first byte of the request (the SYN-ACK, for the first one on a connection) to the acknowledgement of the response. With role client server_address is who was called.";
    EXCHANGE_TIME: "backscope.exchange.time", Counter, Unit::Seconds,
        "Time of exchanges by who held it (owner) and what it was spent on (kind).";
    EXCHANGE_IO: "backscope.exchange.io", Counter, Unit::Bytes,
        "Bytes of requests and responses.";
    UNANSWERED: "backscope.exchange.unanswered", Counter, Unit::Of("{exchange}"),
        "Exchanges that ended without an answer though somebody waited for it.";
    WATCHED: "backscope.exchanges.watched", Gauge, Unit::None,
        "1 while exchanges are watched, 0 in a pause that keeps the cost to the budget. Metrics of exchanges and connections cover only the time that is watched.";
    PAUSED: "backscope.exchanges.paused", Counter, Unit::Seconds,
        "Time in which exchanges were not watched, to keep to the budget.";

    // Connections.
    CONNECTIONS: "backscope.connections.open", Gauge, Unit::Of("{connection}"),
        "Open connections of the watched processes by state. Absent in a pause, when nobody counts them.";
    RETRANSMITS: "backscope.retransmits", Counter, Unit::Of("{segment}"),
        "Segments that this host sent again on watched connections.";
    RESETS: "backscope.resets", Counter, Unit::Of("{connection}"),
        "Connections that were reset, by the side that did (local, peer), and those that the kernel gave up (timeout).";
    LATE_REQUESTS: "backscope.late_requests", Counter, Unit::Of("{request}"),
        "Requests that met a connection which its server had closed when it was idle.";
    TRUNCATED: "backscope.truncated_responses", Counter, Unit::Of("{response}"),
        "Responses that a RST followed since the request was not read to its end.";
    CONNECTS: "backscope.connects", Counter, Unit::Of("{connection}"),
        "Connections that the watched processes asked for, by outcome.";
    CONNECTS_PENDING: "backscope.connects.pending", Gauge, Unit::Of("{connection}"),
        "Connects that wait for an answer.";

    // Findings.
    FINDING: "backscope.finding", Gauge, Unit::None,
        "A problem that stands, by kind, severity, whose doing it is, and what it is about. The series goes when the problem does.";
    FINDINGS: "backscope.findings", Counter, Unit::Of("{finding}"),
        "Findings made, by kind and severity.";

    // backscope itself.
    INFO: "backscope.watch.info", Gauge, Unit::None,
        "Always 1. The labels say which backscope watches, on which kernel, and by which hooks.";
    RECORDS: "backscope.records", Counter, Unit::Of("{record}"),
        "Records that the probes wanted to deliver.";
    LOST: "backscope.lost", Counter, Unit::Of("{record}"),
        "Records and map entries that were lost, by probe or table.";
    PROBE_RUNS: "backscope.probe.runs", Counter, Unit::Of("{run}"),
        "Runs of the probes in the kernel.";
    PROBE_TIME: "backscope.probe.time", Counter, Unit::Seconds,
        "Processor time inside the probes. It is spent by the watched processes and in interrupts.";
    CPU_TIME: "process.cpu.time", Counter, Unit::Seconds,
        "Processor time of backscope itself, without the probes.";
    MEMORY: "process.memory.usage", Gauge, Unit::Bytes,
        "Resident memory of backscope.";
    FOLDED: "backscope.export.folded", Counter, Unit::Of("{observation}"),
        "Observations that were counted in a series labelled other, since their own would have exceeded the bound.";
    SCRAPES: "backscope.export.scrapes", Counter, Unit::Of("{request}"),
        "HTTP requests to this exporter, by outcome.";
    OTLP_EXPORTS: "backscope.export.otlp", Counter, Unit::Of("{request}"),
        "Requests to the OTLP collector, by signal and outcome.";
    SPANS_LOST: "backscope.export.spans_lost", Counter, Unit::Of("{span}"),
        "Spans that were not delivered, by reason.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_as_prometheus_and_opentelemetry_want_them() {
        let mut names = BTreeSet::new();
        for family in ALL {
            let name = family.prometheus().to_string();
            assert!(
                name.chars().all(|it| it.is_ascii_lowercase() || it == '_' || it.is_ascii_digit()),
                "{name}"
            );
            assert!(names.insert(name.clone()), "{name} twice");
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            assert!(!family.help.is_empty() && !family.help.contains(['\n', '\\']), "{name}");
            assert!(!name.contains("_total_") && !name.contains("__"), "{name}");
        }
        assert_eq!(EXCHANGE.prometheus().to_string(), "backscope_exchange_duration_seconds");
        assert_eq!(CPU_TIME.prometheus().to_string(), "process_cpu_seconds_total");
        assert_eq!(MEMORY.prometheus().to_string(), "process_resident_memory_bytes");
    }
}
