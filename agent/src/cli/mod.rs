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
mod host;
#[cfg(feature = "lessons")]
mod lessons;
mod look;
#[cfg(feature = "lessons")]
mod names;
mod replay;
mod run;
mod target;
#[cfg(test)]
mod tests;
mod values;
mod watch;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

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
pub use host::{DoctorArgs, ListenersArgs};
#[cfg(feature = "lessons")]
use lessons::{DEMO_EXAMPLES, LEARN_EXAMPLES};
#[cfg(feature = "lessons")]
pub use lessons::{DEMO_SERVERS_VERB, DemoArgs, LearnArgs};
pub use look::{LookArgs, ThemeArgs};
#[cfg(feature = "lessons")]
pub use names::{lesson_of, no_lesson};
pub use replay::{ReplayArgs, ReportArgs};
pub use run::{Detail, OutputArgs, RunArgs, TierArg};
pub use target::{RunAsArgs, TargetArgs};
pub(crate) use values::interval;
pub use values::{MAX_SPEED, MIN_SPEED};
pub use watch::{RecordArgs, WatchArgs};

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
