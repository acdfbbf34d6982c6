//! Options of what looks at the host: `listeners` and `doctor`.

use std::time::Duration;

use clap::Args;

use super::{Detail, TargetArgs, TierArg, values};

/// Arguments of `listeners`.
#[derive(Args, Debug)]
pub struct ListenersArgs {
    /// Whose; everybody's if nobody is named.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print one JSON object per line
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Look again and again until Ctrl-C; on a terminal each look takes the place of the last one.
    /// Packets dropped since then are marked: 687 (+12)
    #[arg(long, help_heading = "Output")]
    pub watch: bool,
    /// Time between two looks [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = values::interval, requires = "watch")]
    #[arg(help_heading = "Output")]
    pub interval: Option<Duration>,
    /// Stop after this time, such as 10s or 5min
    #[arg(long, value_name = "TIME", value_parser = values::duration, requires = "watch")]
    #[arg(help_heading = "Output")]
    pub duration: Option<Duration>,
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Report for `watch` with this detail; only events makes a difference
    #[arg(long, value_enum, default_value_t = Detail::Exchanges)]
    pub detail: Detail,
    /// Use hooks of this tier only
    #[arg(long, value_enum, value_name = "TIER", hide = true)]
    pub tier: Option<TierArg>,
}
