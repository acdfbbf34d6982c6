//! Arguments of the exercises of `learn`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::complete::exercises;

/// Arguments of `learn --fix`.
#[derive(Args, Debug)]
pub struct FixArgs {
    /// Repair a broken server, until backscope finds no fault in it [default: the next one not yet
    /// repaired]
    #[arg(
        long,
        value_name = "EXERCISE",
        num_args = 0..=1,
        conflicts_with_all = ["lesson", "recorded", "pid", "from"],
        add = ArgValueCandidates::new(exercises)
    )]
    pub fix: Option<Option<String>>,
    /// With --fix: the folder for the script that starts the server [default: in the state folder]
    #[arg(long, value_name = "DIR", requires = "fix", conflicts_with_all = ["list", "shell"])]
    pub dir: Option<PathBuf>,
    /// With --fix: a shell in the network of the exercise that runs in another terminal
    #[arg(long, requires = "fix", conflicts_with_all = ["list", "auto", "plain"])]
    pub shell: bool,
    /// For authors: with --auto, the cure to apply
    #[arg(long, value_name = "N", hide = true, requires = "fix", requires = "auto")]
    pub cure: Option<usize>,
    /// For authors: with --auto, a change that must not cure it: its number, or `stop` for a server
    /// that is ended, or `nothing`
    #[arg(long, value_name = "WHAT", hide = true, requires = "auto", conflicts_with = "cure")]
    pub wrong: Option<String>,
}
