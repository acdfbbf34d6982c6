//! The body of `summary`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::finding::RunFindingBody;
use super::listener::{LeftBody, Overflows};
use super::parts::{TimesBody, WaitBody, phases};
use crate::model::event::{Cost, EndedProcess, WaitStatus};
use crate::model::output::Summary;
use crate::model::snapshot::{ConnectTotals, DatagramTotals, ResetTotals};
use crate::model::workload::Workloads;
use crate::model::{RecordingStop, WallClock};
use crate::text::Untrusted;

/// Totals of the run. Fields that `listener` has, too, are over all listeners.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SummaryBody {
    /// Length of the run.
    duration_us: u64,
    /// Listeners ever known.
    listeners: u64,
    /// Connections that entered an accept queue.
    queued: u64,
    /// Connections that were accepted.
    accepted: u64,
    /// Connections that left a queue and that nobody accepted.
    abandoned: u64,
    /// Causes for which connections left a queue, as of `listener`.
    left_queue: Option<LeftBody>,
    /// Calls of `accept` that returned an error, as of `listener`.
    accept_fails: Option<u64>,
    /// Refusals since an accept queue was full, as of `listener`.
    overflows: Overflows,
    /// SYNs that were dropped since a SYN queue was full; `null` where no hook tells.
    syn_dropped: Option<u64>,
    /// SYN cookies that were sent; `null` where no hook tells.
    cookies_sent: Option<u64>,
    /// SYN-ACKs that were sent again.
    synack_retransmits: u64,
    /// Time that connections spent in an accept queue.
    accept_wait_us: WaitBody,
    /// Connections ever known.
    connections: u64,
    /// Connects of the watched processes, and by outcome those that failed; `null` with `--detail
    /// queues`.
    connects: Option<ConnectTotalsBody>,
    /// Connections that did not end by a plain FIN; `null` with `--detail queues`.
    resets: Option<ResetTotalsBody>,
    /// Time in which exchanges were not watched, to keep to `--budget`; `null` if there was none.
    /// Figures of exchanges and connections are of the rest of the time alone.
    paused_us: Option<u64>,
    /// Exchanges.
    exchanges: u64,
    /// Time that exchanges took, without trailing delayed ACKs.
    exchange_us: WaitBody,
    /// Time of exchanges by owner, without trailing delayed ACKs.
    times_us: TimesBody,
    /// Time of exchanges by kind; kinds that took no time are absent.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, u64>"))]
    phases_us: Map<String, Value>,
    /// Datagrams of all UDP sockets, and drops since each became known; `null` with `--detail
    /// queues`.
    datagrams: Option<DatagramTotalsBody>,
    /// Findings that were made, each time that one began.
    findings: u64,
    /// Findings that are not listed since there were too many.
    findings_left_out: u64,
    /// Targets that have ended, oldest first; the newest 64. Of a cgroup in which nobody is left it
    /// is the last process.
    ended: Vec<EndedBody>,
    /// Early end of the first recording that could be written no further; `null` where there is
    /// none, or each is whole.
    recording_stopped: Option<RecordingStopBody>,
    /// Records of the probes.
    events: EventsBody,
    /// Cost of the observation; each figure `null` where it was not measured.
    overhead: OverheadBody,
}

/// Totals and findings: once, last. Fields that `listener` has, too, are over all listeners.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RunSummaryBody<'a> {
    #[serde(flatten)]
    totals: SummaryBody,
    /// Findings of the run, each once, as it last was: those that stood at the end (`state` is
    /// `"begun"`), then those that had ended (`"ended"`), the gravest first. One that another finding
    /// explained is not among them.
    findings_list: Vec<RunFindingBody<'a>>,
}

impl<'a> RunSummaryBody<'a> {
    pub(super) fn new(summary: &'a Summary, places: &'a Workloads, clock: WallClock) -> Self {
        let findings_list = RunFindingBody::all(summary, places, clock);
        Self { totals: summary.into(), findings_list }
    }
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
            paused_us: summary.paused_us,
            exchanges: summary.times.exchanges,
            exchange_us: summary.exchange.into(),
            times_us: (&summary.times).into(),
            phases_us: phases(&summary.phases_us),
            datagrams: summary.datagrams.as_ref().map(Into::into),
            findings: summary.findings,
            findings_left_out: summary.findings_left_out,
            ended: summary.ended.processes.iter().map(EndedBody::from).collect(),
            recording_stopped: summary
                .recording_stopped
                .as_ref()
                .map(|stopped| RecordingStopBody::of(stopped, summary)),
            events: EventsBody {
                seen: summary.seen,
                delivered: summary.delivered,
                lost: summary.lost,
                not_kept: summary.not_kept,
            },
            overhead: match &summary.cost {
                Some(cost) => cost.into(),
                None => OverheadBody::default(),
            },
        }
    }
}

/// A target that has ended.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EndedBody {
    /// The process.
    pid: u32,
    /// Its name; empty where that is not known.
    comm: Untrusted,
    /// Its exit status; `null` if a signal ended it, or the kernel did not tell.
    exit_status: Option<u32>,
    /// Signal that ended it; `null` if none did, or the kernel did not tell.
    signal: Option<String>,
    /// It left a core dump; `null` where the kernel did not tell.
    core_dumped: Option<bool>,
}

impl From<&EndedProcess> for EndedBody {
    fn from(ended: &EndedProcess) -> Self {
        let EndedProcess { pid, comm, status, .. } = ended;
        Self {
            pid: *pid,
            comm: comm.clone(),
            exit_status: status.and_then(WaitStatus::code),
            signal: status.and_then(WaitStatus::signal),
            core_dumped: status.map(WaitStatus::dumped_core),
        }
    }
}

/// Early end of a recording.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RecordingStopBody {
    /// Time before the end of the run.
    before_end_us: u64,
    /// Length of what it holds, from the attach; `null` where that is not known.
    reaches_us: Option<u64>,
    /// Cause, in the system's words.
    reason: Untrusted,
}

impl RecordingStopBody {
    fn of(stopped: &RecordingStop, summary: &Summary) -> Self {
        Self {
            before_end_us: summary.ts_ns.saturating_sub(stopped.ts_ns) / 1_000,
            reaches_us: stopped.reaches_us(summary),
            reason: stopped.reason.clone(),
        }
    }
}

/// All connects of a run.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ConnectTotalsBody {
    /// Connects that brought a connection.
    made: u64,
    /// Connects that failed, for whatever reason.
    failed: u64,
    /// Connects that hang.
    pending: u64,
    /// Connects that were refused.
    refused: u64,
    /// Connects that the kernel gave up without an answer.
    timed_out: u64,
    /// Connects whose peer cannot be reached, as the network said.
    unreachable: u64,
    /// Connects that found no free local port.
    no_port: u64,
    /// Connects that found no route, or that a filter on this host refused.
    no_route: u64,
    /// Connects whose socket the application closed first.
    given_up: u64,
    /// Connections that the peer reset before it had answered anything.
    reset: u64,
    /// Sum of the durations of all that failed.
    failed_us: u64,
}

impl From<ConnectTotals> for ConnectTotalsBody {
    fn from(totals: ConnectTotals) -> Self {
        let ConnectTotals { made, pending, refused, timed_out, unreachable, .. } = totals;
        let ConnectTotals { no_port, no_route, given_up, reset, failed_us, .. } = totals;
        let failed = totals.failed();
        Self {
            made,
            failed,
            pending,
            refused,
            timed_out,
            unreachable,
            no_port,
            no_route,
            given_up,
            reset,
            failed_us,
        }
    }
}

/// Ends that are no plain FIN.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ResetTotalsBody {
    /// Connections that this host reset, also after its FIN.
    sent: u64,
    /// Connections that the peer reset.
    received: u64,
    /// Connections that the kernel gave up.
    timeouts: u64,
    /// Requests that met a connection which its server had closed.
    late_requests: u64,
    /// Responses that a RST followed since the request was not read to its end.
    truncated_responses: u64,
}

impl From<ResetTotals> for ResetTotalsBody {
    fn from(totals: ResetTotals) -> Self {
        let ResetTotals { sent, received, timeouts, late_requests, truncated } = totals;
        Self { sent, received, timeouts, late_requests, truncated_responses: truncated }
    }
}

/// Totals in the last object.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DatagramTotalsBody {
    /// Sockets ever known.
    sockets: u64,
    /// Datagrams that entered a receive queue.
    r#in: Option<u64>,
    /// Datagrams that reads returned.
    read: Option<u64>,
    /// Datagrams that were written.
    out: Option<u64>,
    /// Datagrams that were dropped since their socket became known.
    drops: u64,
}

impl From<&DatagramTotals> for DatagramTotalsBody {
    fn from(totals: &DatagramTotals) -> Self {
        Self {
            sockets: totals.sockets,
            r#in: totals.arrived,
            read: totals.read,
            out: totals.written,
            drops: totals.drops,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct EventsBody {
    /// `delivered` and `lost` together.
    seen: u64,
    /// Records that reached the agent.
    delivered: u64,
    /// Records that were lost.
    lost: u64,
    /// Entries for which a table had no room: all further names of the `lost` objects.
    not_kept: u64,
}

#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OverheadBody {
    /// Average time of a run of a probe, ns.
    probe_ns_avg: Option<f64>,
    /// Runs of the probes.
    probe_runs: Option<u64>,
    /// CPU time of the agent.
    agent_cpu_us: Option<u64>,
    /// Memory of the agent.
    agent_rss_bytes: Option<u64>,
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
