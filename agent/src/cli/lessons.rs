//! Arguments of the verbs that need the bundled servers.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};

use super::{
    FixArgs, ThemeArgs,
    complete::{lessons, processes},
    values::{duration, pid},
};

/// Name of the hidden verb that has those of the bundled servers.
pub const DEMO_SERVERS_VERB: &str = "demo-servers";

/// Arguments of `learn`.
#[derive(Args, Debug)]
pub struct LearnArgs {
    /// The lesson: its name, or the number of its lecture [default: the next one not yet done]
    #[arg(value_name = "LESSON", add = ArgValueCandidates::new(lessons))]
    pub lesson: Option<String>,
    /// List the lessons, and show which are done
    #[arg(long, conflicts_with_all = ["lesson", "auto", "recorded", "plain"])]
    pub list: bool,
    /// Ask about a server of your own: watch this process for a while, and make questions of what
    /// it did
    #[arg(long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    #[arg(conflicts_with_all = ["lesson", "list", "auto", "recorded"])]
    #[arg(add = ArgValueCompleter::new(processes))]
    pub pid: Option<u32>,
    /// How long to watch the server [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "pid")]
    pub duration: Option<Duration>,
    /// Ask about the server that this recording is of: no root needed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["lesson", "list", "auto", "recorded", "pid"])]
    pub from: Option<PathBuf>,
    /// Ask again what earlier lessons asked, with other numbers: each question after a day, a week
    /// and a month
    #[arg(long, conflicts_with_all = ["lesson", "list", "auto", "pid", "from", "html"])]
    pub again: bool,
    /// Run unattended, and compare what is measured with what the text claims; all lessons if none
    /// is named
    #[arg(long)]
    pub auto: bool,
    /// Play a recording instead of a live run: no root needed, any Linux
    #[arg(long)]
    pub recorded: bool,
    /// Write the lessons as pages of HTML into this folder, from the recordings: no root needed, and
    /// to be read anywhere; one page if a lesson is named
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath,
          conflicts_with_all = ["list", "auto", "plain", "pid", "from"])]
    pub html: Option<PathBuf>,
    /// Ask line by line (the default when standard output is not a terminal)
    #[arg(long, conflicts_with = "auto")]
    pub plain: bool,
    /// Print one JSON object per line: each lesson of the list, or each round that --auto runs
    #[arg(long, conflicts_with_all = ["plain", "pid", "from"])]
    pub json: bool,
    /// Arguments of exercises.
    #[command(flatten)]
    pub fix: FixArgs,
    /// Arguments on colours.
    #[command(flatten)]
    pub theme: ThemeArgs,
    /// For authors: record each round into this folder
    #[arg(long, value_name = "DIR", hide = true, requires = "auto", conflicts_with = "recorded")]
    pub record: Option<PathBuf>,
    /// For authors: change one thing under the lesson, so that what its text claims does not hold
    #[arg(long, hide = true, requires = "auto")]
    #[arg(conflicts_with_all = ["recorded", "record", "json"])]
    pub counter: bool,
    /// For authors: turn each knob of the benches through its values, and run each
    #[arg(long, hide = true, requires = "auto")]
    #[arg(conflicts_with_all = ["recorded", "record", "counter", "json"])]
    pub bench: bool,
    /// For authors: take the text of the lesson from this file
    #[arg(long, value_name = "FILE", hide = true, requires = "lesson")]
    pub text: Option<PathBuf>,
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
#[command(
    subcommand_value_name = "NAME",
    subcommand_help_heading = "Demos",
    disable_help_subcommand = true
)]
pub struct DemoArgs {
    /// List the demos
    #[arg(long)]
    pub list: bool,
    /// Watch the server from its first system call (needs root)
    #[arg(long, global = true, help_heading = "Run")]
    pub watch: bool,
    /// The demo.
    #[command(subcommand)]
    pub choice: Option<demo_servers::demo::Choice>,
}

pub(super) const LEARN_EXAMPLES: &str = "\
Examples:
  sudo backscope learn                     start with the next lesson
  sudo backscope learn accept-queue        this lesson, by its name or the number of its lecture
  backscope learn accept-queue --recorded  from a recording: no root needed, any Linux
  sudo backscope learn --pid 4242          questions about a server of your own
  sudo backscope learn --again             what earlier lessons asked, with other numbers
  backscope learn --list
  backscope learn --html lessons           all as pages of HTML, for a browser anywhere
  sudo backscope learn --auto              run all of them, and report whether what they say \
holds here
  sudo backscope learn --auto --json nagle one lesson, a JSON object for each round
  backscope learn --fix --list             broken servers, and what their customers say
  sudo backscope learn --fix checkout      repair this one; without a name, the next one
  sudo backscope learn --fix --shell       in another terminal: a shell beside the broken server

A lesson runs a small server and its clients in their own network. \
Nothing else on the machine is touched.
An exercise (--fix) does the same with a server that is broken. It is cured once backscope's finding
is gone while the customers are served, and stays gone.
Progress is kept in $XDG_STATE_HOME/backscope, or else in ~/.local/state/backscope.

Exit status:
  0 done   1 with --auto: a lesson claims what was not measured; or failed while running
  2 invalid arguments   3 a privilege or kernel feature is missing";

pub(super) const DEMO_EXAMPLES: &str = "\
Examples:
  backscope demo --list
  backscope demo nagle                         no root needed; it says what to watch
  backscope demo nagle --nodelay --duration 5s
  backscope demo 47                            that of a lecture; several are listed
  backscope demo nagle --help                  its knobs, and some worth trying
  sudo backscope demo nagle --watch            with watch on its server
  backscope demo prefork --server-only --listen 127.0.0.1:8080
  backscope demo prefork --client-only 127.0.0.1:8080";
