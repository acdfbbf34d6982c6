//! How to watch: for how long, in what detail, and in which form it is shown.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint};

use super::values::{budget, duration, interval};
use crate::sensor::Tier;

/// Arguments on the output.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print lines for people (the default when standard output is not a terminal)
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// On the screen, let the keys w, r and R write their files into DIR [default: the working
    /// directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["plain", "json"])]
    pub save_to: Option<PathBuf>,
}

/// Arguments on the run: its time, and its detail.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct RunArgs {
    /// Stop after this time, such as 10s or 5min
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Time between refreshes [default: 1s; 500ms on the screen]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub interval: Option<Duration>,
    /// How much leaves the kernel, and therefore what the watch costs
    #[arg(long, value_enum, default_value_t = Detail::Exchanges)]
    pub detail: Detail,
    /// Largest cost of the watch, as a percentage of the processor time that the watched processes
    /// use, and of at least one processor. What exceeds it is saved on exchanges: these are watched
    /// for 5 seconds at a time, with pauses between. Queues and refusals are watched all the time
    #[arg(long, value_name = "PERCENT", value_parser = budget)]
    pub budget: Option<f64>,
    /// Do not look at payload: connections then have no protocol. Otherwise their first bytes are
    /// looked at for a moment, and overwritten
    #[arg(long)]
    pub no_protocols: bool,
    /// Show and record what the first HTTP/1 request of each connection asks for: method and path,
    /// and nothing else of its target
    #[arg(long, conflicts_with = "no_protocols")]
    pub paths: bool,
    /// Use hooks of this tier only (for tests and comparison)
    #[arg(long, value_enum, value_name = "TIER", hide = true)]
    pub tier: Option<TierArg>,
    /// Load this object of the probes, and print its log lines to standard error (for development)
    #[arg(long, value_name = "OBJECT", num_args = 0..=1, require_equals = true, hide = true)]
    #[arg(default_missing_value = "target/backscope-log.bpf.o")]
    pub probe_log: Option<PathBuf>,
}

impl RunArgs {
    /// Makes the watch one that can be left on, unless the user has said what it is to cost.
    pub(crate) fn keep_cheap(&mut self) {
        if self.detail == Detail::Exchanges {
            self.budget.get_or_insert(ALWAYS_ON);
        }
    }
}

/// Budget of what is left on, as a share of the processor time of whom it watches.
const ALWAYS_ON: f64 = 0.01;

/// Levels of detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Detail {
    /// Listeners, refusals and accepts: one record per accept, nothing per request
    Queues,
    /// Also where the time of each exchange went: one record per exchange
    Exchanges,
    /// Also every single event: SYNs and process changes, and for connections data, reads, writes,
    /// segments, ACKs, holds, windows, states and resets. Costs most; where function hooks are
    /// refused, it costs a look at every packet on the machine
    Events,
}

/// The tiers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TierArg {
    /// fentry and fexit, too
    Full,
    /// Tracepoints and iterators alone
    Tracepoint,
}

impl From<TierArg> for Tier {
    fn from(tier: TierArg) -> Self {
        match tier {
            TierArg::Full => Self::Full,
            TierArg::Tracepoint => Self::Tracepoint,
        }
    }
}
