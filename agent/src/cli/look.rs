//! How it looks to people: colours, times, and the file that has the user's choice of both.

use clap::Args;

use crate::preferences::{Chosen, ClockChoice, ThemeChoice};

/// Arguments on colours.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct ThemeArgs {
    /// Colours [default: BACKSCOPE_THEME, or auto; none if NO_COLOR is set]
    #[arg(long, value_enum, value_name = "THEME")]
    pub theme: Option<ThemeChoice>,
    /// Do not read the configuration file ($XDG_CONFIG_HOME/backscope/config.toml, or the one that
    /// BACKSCOPE_CONFIG names)
    #[arg(long)]
    pub no_config: bool,
}

/// Arguments on colours and times.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct LookArgs {
    /// Those on colours.
    #[command(flatten)]
    pub theme: ThemeArgs,
    /// Times in lines and on the screen [default: local at a terminal, elapsed otherwise]
    #[arg(long, value_enum, value_name = "CLOCK")]
    pub clock: Option<ClockChoice>,
}

impl From<ThemeArgs> for Chosen {
    fn from(args: ThemeArgs) -> Self {
        Self { theme: args.theme, clock: None, no_config: args.no_config }
    }
}

impl From<LookArgs> for Chosen {
    fn from(args: LookArgs) -> Self {
        Self { clock: args.clock, ..Self::from(args.theme) }
    }
}
