//! The command line.

pub mod complete;
mod errors;
mod examples;
#[cfg(feature = "export")]
mod export;
#[cfg(feature = "lessons")]
mod fix;
mod flight;
mod formats;
#[cfg(feature = "lessons")]
mod lessons;
mod look;
#[cfg(feature = "lessons")]
mod names;
mod run;
mod target;
mod values;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::text::Untrusted;
#[cfg(feature = "lessons")]
pub(crate) use errors::nearest;
#[cfg(feature = "mcp")]
use examples::MCP_EXAMPLES;
use examples::{
    DOCTOR_EXAMPLES, EXAMPLES, LISTENERS_EXAMPLES, RECORD_EXAMPLES, REPLAY_EXAMPLES,
    REPORT_EXAMPLES, SCHEMA_EXAMPLES, WATCH_EXAMPLES,
};
#[cfg(feature = "export")]
pub use export::ExportArgs;
#[cfg(feature = "lessons")]
pub use fix::FixArgs;
pub use flight::FlightArgs;
use formats::{ANNOTATE_EXAMPLES, DIFF_EXAMPLES};
pub use formats::{AnnotateArgs, DiffArgs, ReportFormat};
#[cfg(feature = "lessons")]
use lessons::{DEMO_EXAMPLES, LEARN_EXAMPLES};
#[cfg(feature = "lessons")]
pub use lessons::{DEMO_SERVERS_VERB, DemoArgs, LearnArgs};
pub use look::{LookArgs, ThemeArgs};
#[cfg(feature = "lessons")]
pub use names::{lesson_of, no_lesson};
pub use run::{Detail, OutputArgs, RunArgs, TierArg};
pub use target::{RunAsArgs, TargetArgs};
pub(crate) use values::interval;
use values::speed;
pub use values::{MAX_SPEED, MIN_SPEED};

/// Shows the life of a backend's connections inside the kernel, and who held the time: the kernel,
/// the application, the network or the peer.
#[derive(Debug, Parser)]
#[command(name = "backscope", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// The verb with its arguments.
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// The status to exit with, once the help that was asked for, or what is wrong, was printed.
    pub fn read() -> Result<Self, ExitCode> {
        let words: Vec<OsString> = std::env::args_os().collect();
        #[cfg(feature = "lessons")]
        let words = names::with_demos_named(words);
        Self::try_parse_from(&words).map_err(|error| {
            match Self::told(&words) {
                // Where nobody takes it there is nobody to tell.
                Some(told) => drop(told.print()),
                None => note!("{error}"),
            }
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        })
    }

    /// Returns what is wrong with a command line. It quotes words, which may come from outside (a
    /// file's name), so it is told of the words as a terminal may show them.
    fn told(words: &[OsString]) -> Option<clap::Error> {
        let shown = |word: &OsString| Untrusted::from(word.as_os_str()).for_terminal().to_string();
        let shown: Vec<String> = words.iter().map(shown).collect();
        Some(errors::explained(Self::try_parse_from(&shown).err()?, &shown))
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Watch a server live: where the time of its connections goes, and who holds it
    #[command(after_help = WATCH_EXAMPLES, args_override_self = true)]
    Watch(WatchArgs),
    /// Record what watch would show, to replay it here or elsewhere, now or later
    #[command(after_help = RECORD_EXAMPLES, args_override_self = true)]
    Record(RecordArgs),
    /// Export metrics of a watch, and traces, to Prometheus or an OpenTelemetry collector
    #[cfg(feature = "export")]
    #[command(after_help = export::EXPORT_EXAMPLES, args_override_self = true)]
    Export(Box<ExportArgs>),
    /// Show a recording as watch showed it, or would have shown it: no root needed, any Linux
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Turn a recording into one page of HTML, for a ticket or a colleague, or into a trace for
    /// Perfetto: no root needed, any Linux
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Write a packet capture anew, with who held the time as comments on its packets
    #[command(after_help = ANNOTATE_EXAMPLES)]
    Annotate(AnnotateArgs),
    /// Compare two recordings: what got better, what got worse, and what they cannot show
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Show every listening socket, trouble first: its queues, limits, drops and owner
    #[command(after_help = LISTENERS_EXAMPLES)]
    Listeners(ListenersArgs),
    /// Learn what the kernel does for a backend: predict, run a real server, and see
    #[cfg(feature = "lessons")]
    #[command(after_help = LEARN_EXAMPLES)]
    Learn(LearnArgs),
    /// Run a bundled server with its client: each shows one thing, and has knobs to change it
    #[cfg(feature = "lessons")]
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Report what this kernel and these privileges allow: which hook serves each signal, and why
    /// not a better one
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Answer an assistant's questions over standard input and output (Model Context Protocol):
    /// listeners, what a watch finds, what a recording shows
    #[cfg(feature = "mcp")]
    #[command(after_help = MCP_EXAMPLES)]
    Mcp,
    /// Print the JSON schema of what `watch`, `replay`, `listeners`, `doctor` and `diff` write with
    /// `--json`
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  backscope completions bash > \
                      ~/.local/share/bash-completion/completions/backscope")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder, or print the one of backscope itself
    #[command(after_help = "Example:\n  backscope man | man -l -")]
    Man {
        /// Write one page per command into this folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Used by `learn`: becomes a server or client of a lesson
    #[cfg(feature = "lessons")]
    #[command(name = crate::learn::live::PROCESS_VERB, hide = true)]
    LessonProcess {
        /// What it is called.
        name: String,
        /// What it does.
        #[arg(last = true)]
        words: Vec<OsString>,
    },
    /// Used by `learn --fix`: becomes the script that starts the server of an exercise
    #[cfg(feature = "lessons")]
    #[command(name = crate::learn::fix::live::SERVER_VERB, hide = true)]
    ExerciseServer {
        /// The script.
        script: PathBuf,
    },
    /// Used by `demo`: the server as a process of its own
    #[cfg(feature = "lessons")]
    #[command(name = DEMO_SERVERS_VERB, hide = true, disable_help_flag = true)]
    DemoServers {
        /// The server's verb and its knobs.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Says that the lessons and the demos are not in this build
    #[cfg(not(feature = "lessons"))]
    #[command(name = "learn", alias = "demo", hide = true, disable_help_flag = true)]
    Unbuilt {
        /// Whatever was asked of them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Says that the exporter is not in this build
    #[cfg(not(feature = "export"))]
    #[command(name = "export", hide = true, disable_help_flag = true)]
    UnbuiltExport {
        /// Whatever was asked of it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Says that answers to assistants are not in this build
    #[cfg(not(feature = "mcp"))]
    #[command(name = "mcp", hide = true, disable_help_flag = true)]
    UnbuiltMcp {
        /// Whatever was asked of it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Used by `mcp`: sums a recording up
    #[cfg(feature = "mcp")]
    #[command(name = crate::mcp::SUM_UP_VERB, hide = true)]
    McpSumUp {
        /// The recording; `-` is standard input.
        file: PathBuf,
    },
    /// Used by `watch -- CMD`: stops itself, and becomes CMD when continued
    #[command(name = crate::sensor::STOPPED_VERB, hide = true)]
    StopThenExec {
        /// The user to become first: its number, that of its group, and those of all its groups.
        #[arg(long, value_delimiter = ',')]
        ids: Vec<u32>,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Arguments of `watch`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("files").multiple(true))]
pub struct WatchArgs {
    /// Whom to watch.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Start this program and watch it from its first system call
    #[arg(last = true, value_name = "CMD", help_heading = "Target")]
    pub command: Vec<OsString>,
    /// As whom it runs.
    #[command(flatten)]
    pub run_as: RunAsArgs,
    /// Arguments on the output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Arguments on how it looks.
    #[command(flatten)]
    pub look: LookArgs,
    /// Arguments on the run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Also write a recording to FILE
    #[arg(short = 'o', long = "output", value_name = "FILE", group = "files")]
    pub recording: Option<PathBuf>,
    /// At the end also write a page of HTML on the run to OUT
    #[arg(long, value_name = "OUT", group = "files")]
    pub report: Option<PathBuf>,
    /// Replace FILE and OUT if they exist
    #[arg(long, requires = "files")]
    pub force: bool,
    /// `record` alone has these.
    #[arg(skip)]
    pub flight: FlightArgs,
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
    /// As whom it runs.
    #[command(flatten)]
    pub run_as: RunAsArgs,
    /// Arguments on the run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Write the recording to FILE, `-` being standard output; as a flight recorder, to files
    /// whose names begin as FILE's, or into the folder FILE
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub recording: PathBuf,
    /// At the end also write a page of HTML on the run to OUT
    #[arg(long, value_name = "OUT")]
    pub report: Option<PathBuf>,
    /// Replace FILE and OUT if they exist
    #[arg(long, conflicts_with_all = ["keep", "max_size", "on_finding"])]
    pub force: bool,
    /// Arguments of the flight recorder.
    #[command(flatten)]
    pub flight: FlightArgs,
}

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The recording to show
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Arguments on the output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Arguments on how it looks.
    #[command(flatten)]
    pub look: LookArgs,
    /// Replay this many times as fast as real time [default: 1 on the screen; otherwise as fast as
    /// possible]
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    pub speed: Option<f64>,
}

/// Arguments of `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The format
    #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
    pub format: ReportFormat,
    /// Write to OUT [default: standard output, if that is no terminal]
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn force_is_for_files() {
        assert!(Cli::try_parse_from(["backscope", "watch", "--all", "--force"]).is_err());
        assert!(
            Cli::try_parse_from(["backscope", "watch", "--all", "-o", "a.bsrec", "--force"])
                .is_ok()
        );
        let line = "backscope watch --all --report a.html --force";
        assert!(Cli::try_parse_from(line.split(' ')).is_ok());
        let line = "backscope watch --all -o a.bsrec --report a.html";
        assert!(Cli::try_parse_from(line.split(' ')).is_ok());
        assert!(Cli::try_parse_from(["backscope", "record", "--all"]).is_err());
    }

    #[test]
    fn words_from_outside_are_quoted_harmlessly() {
        let hostile = "\x1b[31m\u{9b}2J\u{202e}\n\\";
        let option = format!("--{hostile}");
        for line in [
            ["backscope", hostile, ""],
            ["backscope", "watch", &option],
            ["backscope", "completions", hostile],
            ["backscope", "watch", "--pid=\x1b[31m\u{9b}2J\u{202e}\n\\"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
            let told = Cli::told(&line.map(OsString::from)).expect("it is not understood either");
            let told = told.to_string();
            assert!(!told.contains(['\x1b', '\u{9b}', '\u{202e}']), "{told:?}");
            let (fresh, quoted) = (told.lines().next().unwrap(), r"\u{1b}[31m\u{9b}2J\u{202e}");
            assert!(
                fresh.contains(quoted) || told.contains(&format!("{quoted}\\u{{a}}\\\\")),
                "{told}"
            );
        }
    }

    #[test]
    fn a_command_follows_two_dashes() {
        let cli =
            Cli::try_parse_from(["backscope", "watch", "--json", "--", "ls", "--all"]).unwrap();
        let Verb::Watch(args) = cli.verb else { panic!("not watch") };
        assert_eq!(args.command, ["ls", "--all"]);
        assert!(!args.target.all);
    }

    #[test]
    fn who_runs_a_command_is_asked_of_a_command_alone() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("backscope watch --as-root -- true").is_ok());
        assert!(parse("backscope record -o a --user nobody -- true").is_ok());
        assert!(parse("backscope watch --as-root --all").is_err());
        assert!(parse("backscope watch --as-root --user nobody -- true").is_err());
    }

    #[test]
    fn the_schema_has_no_arguments() {
        let cli = Cli::try_parse_from(["backscope", "schema"]).unwrap();
        assert!(matches!(cli.verb, Verb::Schema));
        assert!(Cli::try_parse_from(["backscope", "schema", "exchange"]).is_err());
    }

    #[cfg(not(feature = "lessons"))]
    #[test]
    fn what_is_not_built_in_says_so_whatever_is_asked_of_it() {
        for line in [
            "backscope learn",
            "backscope learn nagle --auto",
            "backscope demo --help",
            #[cfg(not(feature = "export"))]
            "backscope export --all --prometheus localhost:9464",
            #[cfg(not(feature = "mcp"))]
            "backscope mcp",
        ] {
            let cli = Cli::try_parse_from(line.split(' '))
                .unwrap_or_else(|error| panic!("{line}: {error}"));
            let error = crate::commands::run(cli).expect_err(line);
            assert!(error.to_string().contains("cargo install"), "{line}: {error}");
        }
    }
}
