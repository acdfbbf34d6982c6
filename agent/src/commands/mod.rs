//! One file a verb. Each returns the exit status; what it cannot do is an error with the status
//! that belongs to it.

mod annotate;
mod completions;
mod convert;
#[cfg(feature = "lessons")]
mod demo;
mod diff;
pub(crate) mod doctor;
#[cfg(feature = "export")]
mod export;
mod frontend;
#[cfg(feature = "lessons")]
pub(crate) mod learn;
#[cfg(feature = "lessons")]
mod lesson_process;
pub(crate) mod listeners;
mod look;
mod man;
#[cfg(feature = "mcp")]
mod mcp;
mod record;
mod replay;
mod report;
mod schema;
mod signals;
mod table;
mod take;
mod target;
mod watch;

use std::{io, process::ExitCode};

use anyhow::Context;

use crate::{
    cli::{Cli, Verb},
    preferences::PreferencesError,
    privileges,
    record::{CreateError, ReadError},
    sensor::{self, GroupError, SensorError, targets::TargetError},
};

/// Unusable arguments.
const UNUSABLE: u8 = 2;
/// A privilege or a kernel feature is missing.
const CANNOT: u8 = 3;

/// An error of ours that decides the exit status.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The rights that a verb takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    /// No capability at all.
    None,
    /// What the caller has without this program: its file's capabilities are none of its business.
    Callers,
    /// None at all; what it starts has the caller's again.
    #[cfg(feature = "mcp")]
    Childrens,
    /// It loads programs into the kernel.
    All,
}

/// Returns the rights of a verb: each is decided here, and in the table of the tests.
fn rights_of(verb: &Verb) -> Rights {
    match verb {
        Verb::Schema | Verb::Completions { .. } | Verb::Man { .. } => Rights::None,
        // Root may read what is another's; the capabilities go once it is open.
        Verb::Replay(_) | Verb::Report(_) | Verb::Annotate(_) | Verb::Diff(_) => Rights::Callers,
        Verb::StopThenExec { .. } => Rights::Callers,
        #[cfg(feature = "mcp")]
        Verb::McpSumUp { .. } => Rights::Callers,
        #[cfg(feature = "mcp")]
        Verb::Mcp => Rights::Childrens,
        // It writes, or reads, where its caller may.
        #[cfg(feature = "lessons")]
        Verb::Learn(args) if args.html.is_some() || args.from.is_some() => Rights::Callers,
        #[cfg(feature = "lessons")]
        Verb::Learn(args) if args.recorded || args.list => Rights::None,
        #[cfg(feature = "lessons")]
        Verb::Demo(args) if args.choice.is_none() => Rights::None,
        #[cfg(feature = "lessons")]
        Verb::Demo(args) if !args.watch => Rights::Callers,
        #[cfg(feature = "lessons")]
        Verb::DemoServers { .. } | Verb::LessonProcess { .. } | Verb::ExerciseServer { .. } => {
            Rights::Callers
        }
        #[cfg(feature = "lessons")]
        Verb::Learn(_) | Verb::Demo(_) => Rights::All,
        #[cfg(not(feature = "lessons"))]
        Verb::Unbuilt { .. } => Rights::None,
        #[cfg(not(feature = "export"))]
        Verb::UnbuiltExport { .. } => Rights::None,
        #[cfg(not(feature = "mcp"))]
        Verb::UnbuiltMcp { .. } => Rights::None,
        #[cfg(feature = "export")]
        Verb::Export(_) => Rights::All,
        Verb::Watch(_) | Verb::Record(_) | Verb::Listeners(_) | Verb::Doctor(_) => Rights::All,
    }
}

/// Says that something is not in this build.
#[cfg(not(all(feature = "lessons", feature = "export", feature = "mcp")))]
fn unbuilt(what: &str, it: &str) -> anyhow::Result<ExitCode> {
    let reason = format!(
        "{what} not in this build, which has no default features; `cargo install --path agent` \
         builds {it} in"
    );
    Err(Usage(reason).into())
}

/// Gives up all other rights, for good.
fn keep_only(rights: Rights) {
    match rights {
        Rights::None => privileges::give_up(),
        Rights::Callers => privileges::give_up_those_of_the_file(),
        #[cfg(feature = "mcp")]
        Rights::Childrens => privileges::give_up_until_exec(),
        Rights::All => {}
    }
}

/// Runs the verb of the command line.
///
/// # Errors
/// Carries a sentence for the user; [`status_of`] gives the exit status.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    keep_only(rights_of(&cli.verb));
    match cli.verb {
        Verb::Watch(args) => watch::run(args),
        Verb::Record(args) => record::run(args),
        #[cfg(feature = "export")]
        Verb::Export(args) => export::run(*args),
        Verb::Replay(args) => replay::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Annotate(args) => annotate::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Listeners(args) => listeners::run(&args),
        #[cfg(feature = "lessons")]
        Verb::Learn(args) => learn::run(&args),
        #[cfg(feature = "lessons")]
        Verb::Demo(args) => demo::run(args),
        #[cfg(feature = "lessons")]
        Verb::DemoServers { args } => Ok(demo::serve(args)),
        Verb::Doctor(args) => doctor::run(&args),
        #[cfg(feature = "mcp")]
        Verb::Mcp => mcp::run(),
        #[cfg(feature = "mcp")]
        Verb::McpSumUp { file } => mcp::sum_up(&file),
        Verb::Schema => schema::run(),
        Verb::Completions { shell } => completions::run(shell),
        Verb::Man { dir } => man::run(dir.as_deref()),
        #[cfg(feature = "lessons")]
        Verb::LessonProcess { name, words } => lesson_process::run(&name, &words),
        #[cfg(feature = "lessons")]
        Verb::ExerciseServer { script } => lesson_process::become_script(&script),
        #[cfg(not(feature = "lessons"))]
        Verb::Unbuilt { .. } => unbuilt("the lessons and the demos are", "them"),
        #[cfg(not(feature = "export"))]
        Verb::UnbuiltExport { .. } => unbuilt("the exporter is", "it"),
        #[cfg(not(feature = "mcp"))]
        Verb::UnbuiltMcp { .. } => unbuilt("what answers assistants is", "it"),
        Verb::StopThenExec { ids, command } => {
            let error = sensor::stop_then_exec(&ids, &command);
            let name = command.first().cloned().unwrap_or_default();
            let name = name.to_string_lossy();
            note!("backscope: cannot run {name}: {error}");
            // As a shell says it.
            Ok(ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }))
        }
    }
}

/// Makes the runtime for the loops of watch and replay.
fn event_loop() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
}

/// Returns the exit status that an error calls for. `None` stands for no failure at all: the reader
/// of our output has gone.
pub fn status_of(error: &anyhow::Error) -> Option<ExitCode> {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return None;
        }
        if cause.is::<Usage>()
            || cause.is::<PreferencesError>()
            || cause.is::<TargetError>()
            || cause.is::<GroupError>()
            || cause.is::<CreateError>()
        {
            return Some(ExitCode::from(UNUSABLE));
        }
        if let Some(error) = cause.downcast_ref::<ReadError>() {
            let damaged = matches!(error, ReadError::NoHeader(_));
            return Some(if damaged { ExitCode::FAILURE } else { ExitCode::from(UNUSABLE) });
        }
        if cause.is::<SensorError>() {
            return Some(ExitCode::from(CANNOT));
        }
    }
    Some(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use clap::{CommandFactory, Parser};

    use super::*;

    /// Command lines of every verb, with the rights that they take.
    const TABLE: &[(&str, Rights)] = &[
        ("watch --pid 1", Rights::All),
        ("watch -- true", Rights::All),
        ("record --pid 1 -o f", Rights::All),
        #[cfg(feature = "export")]
        ("export --all --prometheus localhost:9464", Rights::All),
        ("listeners", Rights::All),
        ("doctor", Rights::All),
        ("replay f", Rights::Callers),
        ("report f -o g", Rights::Callers),
        ("report f --format perfetto -o o", Rights::Callers),
        ("annotate d f", Rights::Callers),
        ("diff a b", Rights::Callers),
        ("stop-then-exec -- true", Rights::Callers),
        #[cfg(not(feature = "export"))]
        ("export", Rights::None),
        #[cfg(not(feature = "mcp"))]
        ("mcp", Rights::None),
        #[cfg(feature = "mcp")]
        ("mcp", Rights::Childrens),
        #[cfg(feature = "mcp")]
        ("mcp-sum-up f", Rights::Callers),
        ("schema", Rights::None),
        ("completions bash", Rights::None),
        ("man", Rights::None),
        ("man --dir d", Rights::None),
        #[cfg(feature = "lessons")]
        ("learn", Rights::All),
        #[cfg(feature = "lessons")]
        ("learn nagle", Rights::All),
        #[cfg(feature = "lessons")]
        ("learn --auto", Rights::All),
        #[cfg(feature = "lessons")]
        ("learn --auto --recorded", Rights::None),
        #[cfg(feature = "lessons")]
        ("learn nagle --recorded", Rights::None),
        #[cfg(feature = "lessons")]
        ("learn --list", Rights::None),
        #[cfg(feature = "lessons")]
        ("learn --html d", Rights::Callers),
        #[cfg(feature = "lessons")]
        ("learn --from server.bsrec", Rights::Callers),
        #[cfg(feature = "lessons")]
        ("learn nagle --recorded --html d", Rights::Callers),
        #[cfg(feature = "lessons")]
        ("lesson-part server -- serve", Rights::Callers),
        #[cfg(feature = "lessons")]
        ("learn --fix", Rights::All),
        #[cfg(feature = "lessons")]
        ("learn --fix checkout", Rights::All),
        #[cfg(feature = "lessons")]
        ("learn --fix --list", Rights::None),
        #[cfg(feature = "lessons")]
        ("exercise-server start.sh", Rights::Callers),
        #[cfg(feature = "lessons")]
        ("demo --list", Rights::None),
        #[cfg(feature = "lessons")]
        ("demo nagle", Rights::Callers),
        #[cfg(feature = "lessons")]
        ("demo nagle --watch", Rights::All),
        #[cfg(feature = "lessons")]
        ("demo-servers serve", Rights::Callers),
        #[cfg(not(feature = "lessons"))]
        ("learn", Rights::None),
    ];

    #[test]
    fn only_what_loads_programs_keeps_the_rights_for_that() {
        for (line, rights) in TABLE {
            let words = ["backscope"].into_iter().chain(line.split(' '));
            let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(rights_of(&cli.verb), *rights, "{line}");
        }
    }

    #[test]
    fn the_rights_of_every_verb_are_in_the_table() {
        let decided: BTreeSet<_> =
            TABLE.iter().filter_map(|(line, _)| line.split(' ').next()).collect();
        let command = Cli::command();
        let verbs: BTreeSet<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(decided, verbs);
    }

    #[test]
    fn a_verb_without_rights_has_no_capability() {
        // They are a thread's.
        let left = thread::spawn(|| {
            keep_only(Rights::None);
            let _raised = privileges::raise();
            privileges::permitted()
        });
        assert!(left.join().expect("it only gives up").is_empty());
        let before = privileges::permitted();
        let left = thread::spawn(|| {
            keep_only(Rights::All);
            privileges::permitted()
        });
        assert_eq!(left.join().expect("it gives up nothing"), before);
    }
}
