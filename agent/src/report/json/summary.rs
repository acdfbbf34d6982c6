//! The body of the last object.

use serde::Serialize;
use serde_json::{Map, Value};

use super::body::{LeftBody, Overflows, WaitBody};
use super::connect::{ConnectTotalsBody, ResetTotalsBody};
use super::connection::{TimesBody, phases};
use super::datagram::DatagramTotalsBody;
use crate::model::event::Cost;
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

#[derive(Default, Serialize)]
struct OverheadBody {
    probe_ns_avg: Option<f64>,
    probe_runs: Option<u64>,
    agent_cpu_us: Option<u64>,
    agent_rss_bytes: Option<u64>,
}

impl From<&Summary> for SummaryBody {
    fn from(summary: &Summary) -> Self {
        let totals = &summary.totals;
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
            overhead: match &summary.cost {
                Some(cost) => cost.into(),
                None => OverheadBody::default(),
            },
        }
    }
}

impl From<&Cost> for OverheadBody {
    fn from(cost: &Cost) -> Self {
        let probe_ns_avg = match (cost.probe_ns, cost.probe_runs) {
            (Some(ns), Some(runs)) if runs > 0 => {
                let average = ns as f64 / runs as f64;
                Some((average * 10.0).round() / 10.0)
            }
            _ => None,
        };
        Self {
            probe_ns_avg,
            probe_runs: cost.probe_runs,
            agent_cpu_us: Some(cost.agent_cpu_us),
            agent_rss_bytes: Some(cost.agent_rss_bytes),
        }
    }
}
