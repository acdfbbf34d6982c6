//! The body of the last object.

use serde::Serialize;
use serde_json::{Map, Value};

use super::body::{LeftBody, Overflows, WaitBody};
use super::connect::{ConnectTotalsBody, ResetTotalsBody};
use super::connection::{TimesBody, phases};
use super::datagram::DatagramTotalsBody;
use crate::model::output::Summary;

#[derive(Serialize)]
pub(super) struct SummaryBody {
    duration_us: u64,
    listeners: u64,
    queued: u64,
    accepted: u64,
    abandoned: u64,
    left_queue: Option<LeftBody>,
    accept_fails: Option<u64>,
    overflows: Overflows,
    syn_dropped: Option<u64>,
    cookies_sent: Option<u64>,
    synack_retransmits: u64,
    accept_wait_us: WaitBody,
    connections: u64,
    connects: Option<ConnectTotalsBody>,
    resets: Option<ResetTotalsBody>,
    exchanges: u64,
    exchange_us: WaitBody,
    times_us: TimesBody,
    phases_us: Map<String, Value>,
    datagrams: Option<DatagramTotalsBody>,
    findings: u64,
    events: EventsBody,
    overhead: OverheadBody,
}

#[derive(Serialize)]
struct EventsBody {
    seen: u64,
    delivered: u64,
    lost: u64,
}

#[derive(Serialize)]
struct OverheadBody {
    probe_ns_avg: Option<f64>,
    probe_runs: Option<u64>,
    agent_cpu_us: Option<u64>,
    agent_rss_bytes: Option<u64>,
}

impl From<&Summary> for SummaryBody {
    fn from(summary: &Summary) -> Self {
        let (totals, cost) = (&summary.totals, summary.cost);
        let runs = cost.and_then(|cost| cost.probe_runs);
        let spent_ns = cost.and_then(|cost| cost.probe_ns);
        let average = spent_ns
            .zip(runs)
            .filter(|&(_, runs)| runs > 0)
            .map(|(ns, runs)| ns as f64 / runs as f64);
        Self {
            duration_us: summary.duration_us,
            listeners: summary.listeners,
            queued: totals.queued,
            accepted: totals.accepted,
            abandoned: totals.abandoned,
            left_queue: totals.left.map(LeftBody::from),
            accept_fails: totals.accept_fails,
            overflows: totals.into(),
            syn_dropped: totals.syn_dropped,
            cookies_sent: totals.cookies_sent,
            synack_retransmits: totals.synack_retransmits,
            accept_wait_us: summary.wait.into(),
            connections: summary.connections,
            connects: summary.connects.map(Into::into),
            resets: summary.resets.map(Into::into),
            exchanges: summary.times.exchanges,
            exchange_us: summary.exchange.into(),
            times_us: (&summary.times).into(),
            phases_us: phases(&summary.phases_us),
            datagrams: summary.datagrams.as_ref().map(Into::into),
            findings: summary.findings,
            events: EventsBody {
                seen: summary.seen,
                delivered: summary.delivered,
                lost: summary.lost,
            },
            overhead: OverheadBody {
                probe_ns_avg: average.map(|ns| (ns * 10.0).round() / 10.0),
                probe_runs: runs,
                agent_cpu_us: cost.map(|cost| cost.agent_cpu_us),
                agent_rss_bytes: cost.map(|cost| cost.agent_rss_bytes),
            },
        }
    }
}
