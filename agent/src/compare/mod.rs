//! `diff`: two recordings of what should be the same server, before a change and after it.
//!
//! A figure is better or worse only if the two recordings can show it:
//!
//! - Each recording is cut into stretches of equal length. How much a figure varies from stretch to
//!   stretch says how far its mean may be off by chance. The difference must be beyond what chance
//!   explains in one of a thousand cases (Welch's t-test). Stretches that follow one another count
//!   for less if they are alike (`noise.rs`).
//! - Events that are counted vary at least as much as a Poisson process does.
//! - A percentile of a stretch needs samples: 5 for the median, 30 for the 90th, 300 for the 99th.
//!   Where there are fewer stretches are joined, and below [`LEAST`] of them nothing is judged.
//! - The difference must matter: [`LEAST_SHARE`] of the larger figure, and of a duration
//!   [`LEAST_US`].
//!
//! A finding that is gone is better, and a new one worse, only if the recording without it watched
//! the same for as long as the other took to make it.
//!
//! The module is pure: [`Side`] holds what is measured of a recording, and [`compare()`] has no
//! input but two of these.

mod figures;
mod findings;
mod noise;
mod notes;
pub mod show;
mod side;
mod stretches;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use findings::FindingChange;
pub use side::Side;

use crate::text::Untrusted;

/// Fewest stretches of each recording that a judgement rests on.
pub const LEAST: usize = 5;
/// Smallest difference that matters, as a share of the larger figure.
pub const LEAST_SHARE: f64 = 0.2;
/// Smallest difference of two durations that matters, µs.
pub const LEAST_US: f64 = 100.0;

/// Judgement on a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The later recording is better.
    Better,
    /// The later recording is worse.
    Worse,
    /// They differ, which is neither good nor bad.
    Changed,
    /// No difference that these recordings could show.
    Same,
    /// The recordings cannot be compared in this; `reason` says why.
    Unknown,
}

/// Sense of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    LessIsBetter,
    Neutral,
}

/// Unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds.
    Us,
    /// Events a second.
    PerSecond,
    /// Share of one processor.
    Processors,
}

/// Group of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// What the server had to do.
    Load,
    /// Requests and connections that failed.
    Failures,
    /// Wait in the accept queue.
    AcceptWait,
    /// Duration of exchanges.
    Exchanges,
    /// Time of an exchange by owner, on average.
    Owners,
    /// Time of an exchange by kind, on average.
    Kinds,
    /// What the watch itself cost.
    Cost,
}

impl Group {
    /// Every group, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Load,
        Self::Failures,
        Self::AcceptWait,
        Self::Exchanges,
        Self::Owners,
        Self::Kinds,
        Self::Cost,
    ];
}

/// A figure of both recordings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Figure {
    /// Group of the figure.
    pub group: Group,
    /// Name of the figure.
    pub name: String,
    /// Unit of the figure.
    pub unit: Unit,
    /// Figure of the first recording; `null` if it has none.
    pub before: Option<f64>,
    /// Figure of the second recording; `null` if it has none.
    pub after: Option<f64>,
    /// Judgement.
    pub verdict: Verdict,
    /// Smallest difference that these recordings could have shown; `null` if none could.
    pub resolution: Option<f64>,
    /// Reason why it cannot be judged; `null` if it was.
    pub reason: Option<&'static str>,
}

/// A listener of either recording, by its address.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListenerRow {
    /// Address on which it listens.
    pub local: String,
    /// State in the first recording; `null` if it is not there.
    pub before: Option<ListenerState>,
    /// State in the second recording; `null` if it is not there.
    pub after: Option<ListenerState>,
}

/// Totals of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListenerState {
    /// Limit of the accept queue.
    pub limit: u32,
    /// Deepest accept queue.
    pub peak: u32,
    /// Connections accepted.
    pub accepted: u64,
    /// SYNs dropped and final ACKs ignored, since the accept queue was full.
    pub overflows: u64,
}

/// What is told of a recording as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct About {
    /// Program that recorded it, and its version.
    pub written_by: Untrusted,
    /// Watched processes and ports.
    pub targets: Vec<Untrusted>,
    /// Kernel release.
    pub kernel: Untrusted,
    /// Tier of the hooks: `"full"` or `"tracepoint"`.
    pub tier: Untrusted,
    /// `true` if exchanges were watched, not queues alone.
    pub exchanges: bool,
    /// Beginning, by the wall clock (RFC 3339).
    pub begun: String,
    /// Duration, µs.
    pub duration_us: u64,
    /// Time of it in which exchanges were not watched, to keep to a budget, µs.
    pub paused_us: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Damages to the file.
    pub damages: u64,
}

/// Two recordings compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// Type of the object.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(extend("const" = "diff")))]
    pub kind: &'static str,
    /// First recording.
    pub before: About,
    /// Second recording.
    pub after: About,
    /// Number of figures and findings that are better.
    pub better: usize,
    /// Number of figures and findings that are worse.
    pub worse: usize,
    /// Sentences on what makes the two hard to compare.
    pub notes: Vec<String>,
    /// Findings of either recording.
    pub findings: Vec<FindingChange>,
    /// Figures of either recording.
    pub figures: Vec<Figure>,
    /// Listeners of either recording.
    pub listeners: Vec<ListenerRow>,
}

/// Compares two recordings.
pub fn compare(before: &Side, after: &Side) -> Comparison {
    let findings = findings::compare(before, after);
    let figures = figures::compare(before, after);
    let count = |verdict: Verdict| {
        findings.iter().filter(|finding| finding.verdict == verdict).count()
            + figures.iter().filter(|figure| figure.verdict == verdict).count()
    };
    Comparison {
        kind: "diff",
        before: before.about(),
        after: after.about(),
        better: count(Verdict::Better),
        worse: count(Verdict::Worse),
        notes: notes::of(before, after, &figures),
        listeners: side::listeners(before, after),
        findings,
        figures,
    }
}
