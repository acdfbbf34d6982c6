//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::sensor::Tier;

/// The slowest and the fastest replay.
pub const MIN_SPEED: f64 = 0.25;
/// See [`MIN_SPEED`].
pub const MAX_SPEED: f64 = 64.0;

/// Shows the life of a backend's connections inside the kernel, and who held the time: the kernel, the application or
/// the peer.
#[derive(Debug, Parser)]
#[command(name = "backscope", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  sudo backscope watch --pid 4242          where the time of its connections goes, and whose it is
  sudo backscope watch -- ./server --port 8080
  sudo backscope record --pid 4242 -o incident.bsrec
  backscope replay incident.bsrec          everything that watch would have shown; no root, any Linux
  sudo backscope listeners                 every listening socket of the machine, once
  backscope demo nagle                     a server with a fault and its client, to watch
  sudo backscope doctor                    what this kernel lets backscope see, and why";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Watch a server live: where the time of its connections goes, and whose it is
    #[command(after_help = WATCH_EXAMPLES, args_override_self = true)]
    Watch(WatchArgs),
    /// Record what watch would show, for a replay here or elsewhere, now or later
    #[command(after_help = RECORD_EXAMPLES, args_override_self = true)]
    Record(RecordArgs),
    /// Show a recording as watch showed it, or would have: no root, any Linux
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Show every listening socket once: its queues, limits, drops and owner
    #[command(after_help = LISTENERS_EXAMPLES)]
    Listeners(ListenersArgs),
    /// Run a bundled server with its client: each shows one thing, and has knobs to change it
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Tell what this kernel and these privileges allow: which hook serves each signal, and why not a better one
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Write a completion script for a shell
    #[command(
        after_help = "Example:\n  backscope completions bash > ~/.local/share/bash-completion/completions/backscope"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder, or this program's own to standard output
    #[command(after_help = "Example:\n  backscope man | man -l -")]
    Man {
        /// A folder: one page for each command
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Used by `demo`: the server as a process of its own
    #[command(name = DEMO_SERVERS_VERB, hide = true, disable_help_flag = true)]
    DemoServers {
        /// The server's verb and its knobs.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Used by `watch -- CMD`: stops itself, and becomes CMD when continued
    #[command(name = crate::sensor::STOPPED_VERB, hide = true)]
    StopThenExec {
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Name of the hidden verb that has those of the bundled servers.
pub const DEMO_SERVERS_VERB: &str = "demo-servers";

const WATCH_EXAMPLES: &str = "\
Examples:
  sudo backscope watch --pid 4242            a running server and its children
  sudo backscope watch                       pick one from a list
  sudo backscope watch --port 8080 --plain   whoever listens there, as lines
  sudo backscope watch --comm nginx --json | jq -c 'select(.type == \"exchange\").verdict'
  sudo backscope watch -- python3 -m http.server
  sudo backscope watch --pid 4242 -o incident.bsrec

Exit status:
  0 done   1 failed while running   2 unusable arguments   3 a privilege or kernel feature is missing
  With -- CMD that of CMD, unless backscope was told to stop or failed itself.";

const RECORD_EXAMPLES: &str = "\
Examples:
  sudo backscope record --pid 4242 -o incident.bsrec
  sudo backscope record --port 8080 -o night.bsrec --duration 8h --interval 5s
  sudo backscope record -o start.bsrec -- ./server --port 8080
  backscope replay incident.bsrec

The file has addresses, command names, names that TLS clients asked for, sizes and times in it, and no payload. Only its owner can read it. It is good up
to the last refresh, whatever ends the recording.

Exit status: as of watch.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  backscope replay incident.bsrec                 on the screen, in real time
  backscope replay incident.bsrec --speed 8
  backscope replay incident.bsrec --json | jq 'select(.type == \"finding\")'
  backscope replay incident.bsrec --plain --speed 1

Keys on the screen, beside those of watch:
  p, space    pause, go on           + -       faster, slower
  Left Right  5 s back, 5 s on       [ ]       30 s back, 30 s on
  Home End    the beginning, the end f F       the next finding, the one before

Exit status:
  0 done   1 the recording is damaged, and all of it that can be read was shown; or failed while running
  2 unusable arguments";

const LISTENERS_EXAMPLES: &str = "\
Examples:
  sudo backscope listeners
  sudo backscope listeners --pid 4242 --json";

const DEMO_EXAMPLES: &str = "\
Examples:
  backscope demo --list
  backscope demo nagle                         no root needed; it says what to watch
  backscope demo nagle --nodelay --duration 5s
  backscope demo nagle --help                  its knobs, and some worth trying
  sudo backscope demo nagle --watch            with watch on its server
  backscope demo prefork --server-only --listen 127.0.0.1:8080
  backscope demo prefork --client-only 127.0.0.1:8080";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  sudo backscope doctor
  sudo backscope doctor --json | jq .hooks

Exit status: 0 if watch can run here, 3 if not.";

/// Whom to watch; together a union.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// Watch this process, its existing and future sockets, and its children; repeatable
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Watch whoever listens on this port, and the connections on it; repeatable
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub port: Vec<u16>,
    /// Watch every process with this name (as `ps -o comm` shows it)
    #[arg(long, value_name = "NAME")]
    pub comm: Option<String>,
    /// Watch every process of the machine
    #[arg(long)]
    pub all: bool,
    /// Leave out the children of watched processes
    #[arg(long)]
    pub no_follow: bool,
}

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// Whom to watch.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Start this program and watch it from its first system call
    #[arg(last = true, value_name = "CMD", help_heading = "Target")]
    pub command: Vec<OsString>,
    /// How to show it.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How long, and how closely.
    #[command(flatten)]
    pub run: RunArgs,
    /// Record this, too
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub recording: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long, requires = "recording")]
    pub force: bool,
}

/// Arguments of `record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Whom to watch.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Start this program and record it from its first system call
    #[arg(last = true, value_name = "CMD", help_heading = "Target")]
    pub command: Vec<OsString>,
    /// How long, and how closely.
    #[command(flatten)]
    pub run: RunArgs,
    /// The recording
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub recording: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to show it.
    #[command(flatten)]
    pub output: OutputArgs,
    /// So many times as fast as it was [default: 1 on the screen; as fast as can be otherwise]
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    pub speed: Option<f64>,
}

/// How to show it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Lines for people (the default when standard output is no terminal)
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// How long to run, and how closely to look.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub struct RunArgs {
    /// Stop by itself after this time, such as 10s or 5min
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Period of the figures [default: 1s; 500ms on the screen]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub interval: Option<Duration>,
    /// How much leaves the kernel, and so what it costs
    #[arg(long, value_enum, default_value_t = Detail::Exchanges)]
    pub detail: Detail,
    /// Look at no payload: connections have no protocol then
    #[arg(long)]
    pub no_protocols: bool,
    /// Use hooks of this tier only (for tests and comparison)
    #[arg(long, value_enum, value_name = "TIER", hide = true)]
    pub tier: Option<TierArg>,
}

/// Levels of detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Detail {
    /// Listeners, refusals and accepts: a record an accept, nothing a request
    Queues,
    /// Where the time of each exchange went, too: a record an exchange
    Exchanges,
    /// Every single event, too: SYNs, changes of processes, and of connections data, reads, writes, segments, ACKs, holds,
    /// windows, states, resets. Costs most; where function hooks are refused, a look at every packet of the machine
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

/// Arguments of `listeners`.
#[derive(Args, Debug)]
pub struct ListenersArgs {
    /// Whose; everybody's if nobody is named.
    #[command(flatten)]
    pub target: TargetArgs,
    /// One JSON object a line
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
#[command(subcommand_value_name = "NAME", subcommand_help_heading = "Demos", disable_help_subcommand = true)]
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

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// As `watch` with this detail; of events, or of all else
    #[arg(long, value_enum, default_value_t = Detail::Exchanges)]
    pub detail: Detail,
    /// Use hooks of this tier only
    #[arg(long, value_enum, value_name = "TIER", hide = true)]
    pub tier: Option<TierArg>,
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 10s or 5min"))?;
    if duration.is_zero() { Err("must be longer than nothing".to_owned()) } else { Ok(duration) }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(50) { Err("must be 50ms or more".to_owned()) } else { Ok(interval) }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.trim_end_matches(['x', '×']).parse::<f64>() {
        Ok(speed) if (MIN_SPEED..=MAX_SPEED).contains(&speed) => Ok(speed),
        _ => Err(format!("a speed is a number from {MIN_SPEED} to {MAX_SPEED}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn intervals_have_a_lower_bound() {
        assert!(interval("10ms").is_err());
        assert!(interval("0s").is_err());
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn speeds_have_bounds() {
        assert_eq!((speed("8"), speed("0.5x")), (Ok(8.0), Ok(0.5)));
        for text in ["0", "-1", "65", "NaN", "inf", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn force_is_for_recordings() {
        assert!(Cli::try_parse_from(["backscope", "watch", "--all", "--force"]).is_err());
        assert!(Cli::try_parse_from(["backscope", "watch", "--all", "-o", "a.bsrec", "--force"]).is_ok());
        assert!(Cli::try_parse_from(["backscope", "record", "--all"]).is_err());
    }

    #[test]
    fn a_command_follows_two_dashes() {
        let cli = Cli::try_parse_from(["backscope", "watch", "--json", "--", "ls", "--all"]).unwrap();
        let Verb::Watch(args) = cli.verb else { panic!("not watch") };
        assert_eq!(args.command, ["ls", "--all"]);
        assert!(!args.target.all);
    }
}
