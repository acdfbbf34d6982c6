//! Completions: the script for a shell, and the answers to it.
//!
//! The script asks this program, by an environment variable, what may follow the words so far. So
//! process ids, lessons and kinds of findings are those of this machine and this version.

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    fs, io,
    process::ExitCode,
};

use clap::{ArgGroup, Command, CommandFactory};
use clap_complete::{
    Shell,
    engine::CompletionCandidate,
    env::{CompleteEnv, Shells},
};

use super::Cli;
use crate::{
    model::finding_kinds,
    privileges,
    sensor::{NamesInUse, targets},
    text::Untrusted,
};

/// Name of the program, and of what completes it.
const PROGRAM: &str = "backscope";
/// The environment variable by which a script asks. Its value is the shell.
const ASKED: &str = "BACKSCOPE_COMPLETE";

/// As a file in `$fpath` the script is itself the function that zsh calls to complete.
const FROM_FPATH: &str = "\nif [[ \"$funcstack[1]\" == _backscope ]]; then\n    \
                          _clap_dynamic_completer_backscope \"$@\"\nfi\n";

/// Answers a shell that asks for completions, without any right. Returns the status to exit with,
/// `None` if nobody asks.
pub fn answer() -> Option<ExitCode> {
    env::var_os(ASKED)?;
    privileges::give_up();
    let folder = env::current_dir().ok();
    let engine = CompleteEnv::with_factory(command).var(ASKED).bin(PROGRAM).completer(PROGRAM);
    match engine.try_complete(env::args_os(), folder.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            note!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// Returns the script for a shell.
///
/// # Errors
/// There is none for it.
pub(crate) fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let Some(completer) = shells.completer(&name) else {
        return Err(io::Error::other(format!("there is no script for {name}")));
    };
    let mut script = Vec::new();
    completer.write_registration(ASKED, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    if shell == Shell::Zsh {
        script.extend_from_slice(FROM_FPATH.as_bytes());
    }
    Ok(script)
}

/// Returns the command line as far as it is shown: the engine offers what is hidden where nothing
/// else is left.
fn command() -> Command {
    let mut command = Cli::command();
    command.build();
    shown(&command)
}

fn shown(command: &Command) -> Command {
    let visible: Vec<_> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    // clap takes static names alone, and this process ends with its answer.
    let name: &'static str = Box::leak(command.get_name().to_owned().into_boxed_str());
    let mut copy = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(visible.iter().copied().cloned());
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    for group in command.get_groups() {
        // A hidden member would be missing.
        let members = group.get_args().filter(|id| visible.iter().any(|arg| arg.get_id() == *id));
        copy = copy.group(ArgGroup::new(group.get_id().clone()).multiple(true).args(members));
    }
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    copy.subcommands(verbs.map(shown))
}

fn described(value: impl Into<OsString>, about: &Untrusted) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(about.for_terminal().to_string().into()))
}

/// Returns processes by the beginning of their id or of their name.
pub(super) fn processes(begin: &OsStr) -> Vec<CompletionCandidate> {
    let begin = begin.to_string_lossy();
    let mut found = Vec::new();
    for (pid, comm) in targets::running() {
        let id = pid.to_string();
        if id.starts_with(&*begin) || comm.for_terminal().to_string().starts_with(&*begin) {
            found.push(described(id, &comm));
        }
    }
    found
}

/// Returns the names of processes that a shell can pass on as they are.
pub(super) fn names() -> Vec<CompletionCandidate> {
    let names: BTreeSet<Untrusted> = targets::running().into_iter().map(|(_, comm)| comm).collect();
    plain(names.iter().map(|name| name.for_terminal().to_string()))
}

/// Returns the ports on which somebody listens in this network namespace.
pub(super) fn ports() -> Vec<CompletionCandidate> {
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        ports.extend(text.lines().filter_map(listening_port));
    }
    ports.into_iter().map(|port| CompletionCandidate::new(port.to_string())).collect()
}

/// Returns the port of a line of `/proc/net/tcp`, if its socket listens.
fn listening_port(line: &str) -> Option<u16> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (local, state) = (fields.next()?, fields.nth(1)?);
    let (_, port) = local.rsplit_once(':')?;
    (state == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
}

/// Returns the cgroups of processes.
pub(super) fn cgroups() -> Vec<CompletionCandidate> {
    plain(NamesInUse::now().cgroups)
}

/// Returns the first characters of the ids of containers: as many as are enough.
pub(super) fn containers() -> Vec<CompletionCandidate> {
    plain(NamesInUse::now().containers.iter().map(|id| id.chars().take(12).collect()))
}

/// Returns the units in which processes run.
pub(super) fn units() -> Vec<CompletionCandidate> {
    plain(NamesInUse::now().units)
}

/// Returns severities, and kinds of findings.
pub(super) fn triggers() -> Vec<CompletionCandidate> {
    let mut names = vec!["critical", "warning", "info"];
    let mut kinds = finding_kinds();
    kinds.sort_unstable();
    names.extend(kinds);
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the lessons with their titles.
#[cfg(feature = "lessons")]
pub(super) fn lessons() -> Vec<CompletionCandidate> {
    let mut found = Vec::new();
    for entry in crate::learn::all() {
        let title = entry.lesson().map(|lesson| lesson.title).unwrap_or_default();
        found.push(described(entry.slug, &title.into()));
    }
    found
}

/// Returns the exercises with their titles.
#[cfg(feature = "lessons")]
pub(super) fn exercises() -> Vec<CompletionCandidate> {
    let mut found = Vec::new();
    for exercise in crate::learn::fix::all().unwrap_or_default() {
        found.push(described(&exercise.name, &exercise.plan.title.into()));
    }
    found
}

/// Names from outside, which may hold anything: the scripts split the answer at line breaks, and
/// zsh at a colon.
fn plain(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let is_plain = |name: &String| {
        !name.is_empty() && !name.contains(|sign: char| sign.is_control() || sign == ':')
    };
    names.into_iter().filter(is_plain).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(line: &[&str]) -> Vec<String> {
        let words: Vec<OsString> =
            [PROGRAM].iter().chain(line).map(|word| OsString::from(*word)).collect();
        let last = words.len() - 1;
        let found = clap_complete::engine::complete(&mut command(), words, last, None);
        let found = found.expect("it can be completed");
        found.iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_hidden_is_not_offered() {
        let verbs = answers(&[""]);
        assert!(verbs.contains(&"watch".to_owned()), "{verbs:?}");
        for hidden in
            ["lesson-part", "exercise-server", "demo-servers", "stop-then-exec", "mcp-sum-up"]
        {
            assert!(!verbs.contains(&hidden.to_owned()), "{hidden}: {verbs:?}");
            assert!(answers(&[hidden]).is_empty());
        }
        for hidden in ["--ti", "--probe"] {
            assert!(answers(&["watch", hidden]).is_empty(), "{hidden}");
        }
        assert!(answers(&["watch", "--p"]).contains(&"--pid".to_owned()));
    }

    #[test]
    fn values_are_those_of_this_machine_and_version() {
        let mut child =
            std::process::Command::new("sleep").arg("60").spawn().expect("every system has it");
        let pid = child.id().to_string();
        let (by_id, by_name) =
            (answers(&["watch", "--pid", &pid]), answers(&["watch", "--pid", "slee"]));
        let names = answers(&["watch", "--comm", "slee"]);
        child.kill().and_then(|()| child.wait()).expect("it sleeps");
        assert!(by_id.contains(&pid) && by_name.contains(&pid), "{by_id:?} {by_name:?}");
        assert!(names.contains(&"sleep".to_owned()), "{names:?}");
        let kinds = answers(&["record", "--on-finding", "acc"]);
        assert!(kinds.contains(&"accept-queue-overflow".to_owned()), "{kinds:?}");
        assert_eq!(answers(&["watch", "--detail", "e"]), ["exchanges", "events"]);
        assert_eq!(answers(&["report", "--format", "p"]), ["perfetto"]);
    }

    #[cfg(feature = "lessons")]
    #[test]
    fn lessons_and_demos_are_offered() {
        assert!(answers(&["learn", "nag"]).contains(&"nagle".to_owned()));
        assert!(answers(&["learn", "--fix", "che"]).contains(&"checkout".to_owned()));
        assert!(answers(&["demo", "nag"]).contains(&"nagle".to_owned()));
        assert!(answers(&["demo", "nagle", "--node"]).contains(&"--nodelay".to_owned()));
    }

    #[test]
    fn a_listening_port_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0";
        assert_eq!(listening_port(line), Some(8080));
        assert_eq!(listening_port(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening_port("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(listening_port(""), None);
    }

    #[test]
    fn every_shell_has_a_script() {
        for shell in clap::ValueEnum::value_variants() {
            let script = script(*shell).expect("a script");
            assert!(String::from_utf8_lossy(&script).contains(ASKED), "{shell}");
        }
    }

    #[test]
    fn names_that_would_break_an_answer_are_left_out() {
        let found =
            plain(["nginx".to_owned(), "a\nb".to_owned(), "kworker/0:1".to_owned(), String::new()]);
        assert_eq!(found.len(), 1);
    }
}
