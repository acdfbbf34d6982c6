//! The body of `finding`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Placed;
use crate::model::WallClock;
use crate::model::output::{FindingOutput, FindingState, Summary};
use crate::model::snapshot::{Finding, FindingRef, Severity};
use crate::model::workload::Workloads;
use crate::text::Untrusted;

/// Something is wrong: when it begins, when it changes and when it ends.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct FindingBody<'a> {
    /// Kind of finding; the table below says what each means.
    kind: &'static str,
    /// `"begun"`; `"changed"`: it became worse, or its owner, what it says, its fix or what
    /// explains it changed; `"ended"`: its condition has not held for three seconds, the figures are its last.
    #[cfg_attr(test, schemars(with = "crate::model::output::FindingState"))]
    state: &'static str,
    /// Severity.
    #[cfg_attr(test, schemars(with = "Severity"))]
    severity: &'static str,
    /// Holder of the time, and so whoever can change it.
    #[cfg_attr(test, schemars(with = "crate::model::snapshot::Owner"))]
    owner: &'static str,
    /// Listener, process or address that it is on.
    subject: &'a Untrusted,
    /// Id of the listener or UDP socket; the process id where the subject is a process.
    sock: String,
    /// Process that it is on, or that stands for the socket; `null` if that is not known.
    pid: Option<u32>,
    /// Sentence that names it.
    headline: &'a Untrusted,
    /// Sentences on what was seen.
    text: &'a Untrusted,
    /// `true` if a sentence of it was inferred from facts, and not itself observed.
    inferred: bool,
    /// Numbers by name.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, f64>"))]
    evidence: Map<String, Value>,
    /// Advice on what to change.
    fix: &'a Untrusted,
    /// Times that it has begun in this run, on this subject.
    times: u64,
    /// Time for which it has stood in all of them, from the refresh that found it until its condition
    /// last held, without pauses.
    stood_us: u64,
    /// Finding that explains this one; `null` for the cause that a chain begins with. Its own
    /// object comes first.
    explained_by: Option<FindingRefBody<'a>>,
    /// Findings that this one explains.
    explains: Vec<FindingRefBody<'a>>,
}

/// Another finding.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FindingRefBody<'a> {
    /// Kind of finding.
    kind: &'static str,
    /// Listener, process or address that it is on.
    subject: &'a Untrusted,
    /// Id of the listener or UDP socket; the process id where the subject is a process.
    sock: String,
}

impl<'a> From<&'a FindingRef> for FindingRefBody<'a> {
    fn from(of: &'a FindingRef) -> Self {
        Self { kind: of.kind, subject: &of.subject, sock: of.sock.to_string() }
    }
}

impl<'a> From<&'a FindingOutput> for FindingBody<'a> {
    fn from(output: &'a FindingOutput) -> Self {
        Self::of(&output.finding, output.state)
    }
}

impl<'a> FindingBody<'a> {
    pub(crate) fn of(finding: &'a Finding, state: FindingState) -> Self {
        let mut evidence = Map::new();
        for &(name, value) in &finding.evidence {
            evidence.insert(name.to_owned(), number(value));
        }
        Self {
            kind: finding.kind,
            state: state.name(),
            severity: severity_name(finding.severity),
            owner: finding.owner.name(),
            subject: &finding.subject,
            sock: finding.sock.to_string(),
            pid: finding.pid,
            headline: &finding.headline,
            text: &finding.text,
            inferred: finding.inferred,
            evidence,
            fix: &finding.fix,
            times: finding.stood.times,
            stood_us: finding.stood.total_ns / 1_000,
            explained_by: finding.explained_by.as_ref().map(FindingRefBody::from),
            explains: finding.explains.iter().map(FindingRefBody::from).collect(),
        }
    }
}

/// A finding of the run, in its summary.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RunFinding"))]
pub(super) struct RunFindingBody<'a> {
    #[serde(flatten)]
    finding: Placed<'a, FindingBody<'a>>,
    /// Refresh that first found it, ns of `CLOCK_MONOTONIC`.
    from_ns: u64,
    /// The same by the wall clock (RFC 3339).
    from: String,
    /// Time at which its condition last held, ns of `CLOCK_MONOTONIC`. Most conditions look back five
    /// seconds.
    until_ns: u64,
    /// The same by the wall clock (RFC 3339).
    until: String,
}

impl<'a> RunFindingBody<'a> {
    fn new(
        finding: &'a Finding,
        state: FindingState,
        places: &'a Workloads,
        clock: WallClock,
    ) -> Self {
        let (from_ns, until_ns) = (finding.stood.from_ns(), finding.stood.until_ns());
        Self {
            finding: Placed::of(FindingBody::of(finding, state), places, finding.pid),
            from_ns,
            from: clock.rfc3339(from_ns),
            until_ns,
            until: clock.rfc3339(until_ns),
        }
    }

    /// Returns those that stood at the end, and then those that had ended.
    pub(super) fn all(summary: &'a Summary, places: &'a Workloads, clock: WallClock) -> Vec<Self> {
        let mut all = Vec::new();
        for (findings, state) in [
            (&summary.standing_findings, FindingState::Begun),
            (&summary.past_findings, FindingState::Ended),
        ] {
            for finding in findings {
                all.push(Self::new(finding, state, places, clock));
            }
        }
        all
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// Whole numbers without a fraction, others to four digits after the point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        json!(value as i64)
    } else {
        json!((value * 1e4).round() / 1e4)
    }
}
