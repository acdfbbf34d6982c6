//! `backscope watch`: the main job.

mod awaited;
mod command_output;
mod destination;
mod picker;
mod reported;
mod session;
mod taking;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, IsTerminal},
    net::SocketAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::SystemTime,
};

use anyhow::Context;
use rustix::{process::geteuid, thread::CapabilitySet};

use self::{awaited::Awaited, command_output::CommandOutput, destination::Plan, session::Session};
use super::{
    Usage, event_loop,
    frontend::{Frontend, is_for_screens},
    look::Look,
    signals,
    take::Keeper,
    target,
};
#[cfg(feature = "export")]
use crate::export::{Exits, Exporter};
use crate::{
    cli::{Detail, OutputArgs, RunArgs, RunAsArgs, WatchArgs},
    model::{Sandbox, WallClock, event::OtherListener},
    privileges::{
        self, Caller,
        sandbox::{self, Calls, Needs},
    },
    record,
    sensor::{Options, Sensor, StoppedCommand, Targets, User, now_ns, targets},
    text::{Untrusted, count, named},
    tui::{self, Theme},
};

/// Exit status of a shell for a program that is not there.
const NOT_FOUND: u8 = 127;
/// Overrides the size of the ring buffer, for tests of its overflow.
const RING_BYTES: &str = "BACKSCOPE_RING_BYTES";

/// Watches, and shows it.
pub(super) fn run(args: WatchArgs) -> anyhow::Result<ExitCode> {
    let shown = match args.output {
        OutputArgs { json: true, .. } => Shown::Json,
        OutputArgs { plain: false, .. } if is_for_screens() => Shown::Screen,
        OutputArgs { .. } => Shown::Plain,
    };
    watch(args, shown)
}

/// Watches, and shows nothing.
pub(super) fn run_silently(args: WatchArgs) -> anyhow::Result<ExitCode> {
    watch(args, Shown::Nowhere)
}

/// Watches, and exports it.
#[cfg(feature = "export")]
pub(super) fn run_exporting(args: WatchArgs, exits: Exits) -> anyhow::Result<ExitCode> {
    watch(args, Shown::Exported(Box::new(exits)))
}

/// The place where it is shown.
enum Shown {
    Screen,
    Plain,
    Json,
    Nowhere,
    #[cfg(feature = "export")]
    Exported(Box<Exits>),
}

impl Shown {
    fn frontend(self, clock: WallClock, look: &Look) -> io::Result<Frontend> {
        match self {
            Self::Screen => Frontend::screen(clock, look),
            Self::Plain => Frontend::live_text(false, clock, look),
            Self::Json => Frontend::live_text(true, clock, look),
            Self::Nowhere => Ok(Frontend::silent()),
            #[cfg(feature = "export")]
            Self::Exported(exits) => Ok(Frontend::export(Exporter::new(*exits, clock))),
        }
    }

    /// True if a person looks at it as it comes.
    fn is_for_terminal(&self) -> bool {
        match self {
            Self::Screen => true,
            Self::Plain => io::stdout().is_terminal(),
            Self::Json | Self::Nowhere => false,
            #[cfg(feature = "export")]
            Self::Exported(_) => false,
        }
    }

    /// Adds the system calls that this way takes.
    #[cfg_attr(not(feature = "export"), expect(unused_variables, reason = "no other way does"))]
    fn add_calls(&self, calls: &mut Calls) {
        #[cfg(feature = "export")]
        if let Self::Exported(exits) = self {
            calls.serve = exits.server.is_some();
            calls.connect = exits.otlp.is_some();
        }
    }
}

fn watch(mut args: WatchArgs, shown: Shown) -> anyhow::Result<ExitCode> {
    let screen = matches!(shown, Shown::Screen);
    let look = Look::read(args.look, shown.is_for_terminal())?;
    args.run.interval = args.run.interval.or(look.preferences.interval);
    let plan = Plan::of(&args, &shown)?;
    if plan.is_flight() {
        args.run.keep_cheap();
    }
    check_probe_log(&args.run, screen)?;
    let mut signals = None;
    if args.target.is_empty() && args.command.is_empty() {
        let picked = choose(look.theme())?;
        let Some(pid) = picked.pid else { return Ok(ExitCode::SUCCESS) };
        args.target.pid.push(pid);
        signals = picked.signals;
    }
    if let Some(name) = args.command.first()
        && !can_run(name)
    {
        note!("backscope: cannot run {}: no such program", name.display());
        return Ok(ExitCode::from(NOT_FOUND));
    }
    let mut resolved = target::resolve(&args.target)?;
    let output = match screen && !args.command.is_empty() {
        true => Some(CommandOutput::create()?),
        false => None,
    };
    let user = match args.command.is_empty() {
        true => None,
        false => user_of(&args.run_as)?,
    };
    let file = output.as_ref().map(CommandOutput::file);
    let command = start(&args.command, user.as_ref(), file)?;
    if let Some(command) = &command {
        resolved.targets.pids.push(command.pid());
    }
    if let (Some(_), Some(command)) = (&output, &command) {
        resolved.notices.push(CommandOutput::notice(command.pid()));
    }
    let awaited = Awaited::of(&resolved.targets, command.as_ref().map(StoppedCommand::pid));
    resolved.notices.extend(awaited.shortened());
    let words = target_words(resolved.words, command.as_ref(), &args);
    let mut sensor = attach(&args.run, resolved.targets.clone())?;
    let clock = WallClock { mono_ns: now_ns(), wall: SystemTime::now() };
    let (mut destinations, gap) = plan.open(clock)?;
    resolved.notices.extend(gap.map(Untrusted::from));
    if screen {
        let folder = args.output.save_to.as_deref();
        destinations.keeper = Some(Keeper::open(folder, &words, clock)?);
        tui::terminal_as_stdin()?;
    }
    sensor.sandbox = Some(confine(&sensor, command.as_ref(), plan.is_file(), &shown)?);
    let is_silent = matches!(shown, Shown::Nowhere);
    let frontend = shown.frontend(clock, &look)?;
    if let (true, Some(into)) = (is_silent, plan.place()) {
        note!("backscope: recording {} into {into}; Ctrl-C ends it", Untrusted::join(&words, ", "));
    }
    let event_loop = event_loop()?;
    event_loop.block_on(async { signals::survive_file_limit() })?;
    let notices = (resolved.notices, awaited);
    let session = Session::new(sensor, frontend, command, words, notices, &args.run, destinations)?;
    let outcome = event_loop.block_on(session.run(signals));
    if let Some(output) = output {
        output.finish();
    }
    let status = outcome?;
    plan.tell_written();
    Ok(status)
}

/// Gives up what the watch no longer needs. No thread has been started yet.
fn confine(
    sensor: &Sensor,
    command: Option<&StoppedCommand>,
    cuts_recording: bool,
    shown: &Shown,
) -> anyhow::Result<Sandbox> {
    let mut needs = Needs::of_watch(sensor.needed(), sensor.attaches_again());
    needs.calls.tracing = sensor.has_pauses() || sensor.rests_states();
    needs.calls.cut = cuts_recording;
    shown.add_calls(&mut needs.calls);
    if let Some(command) = command {
        // It may be another user's, or become so.
        needs.capabilities |= CapabilitySet::KILL;
        needs.calls.children.push(command.pid());
    }
    sandbox::enter(needs).context("cannot give up the rights that are no longer needed")
}

/// Checks that the probes' log can be asked for: it loads whatever programs the object has.
fn check_probe_log(args: &RunArgs, screen: bool) -> anyhow::Result<()> {
    let message = match &args.probe_log {
        None => return Ok(()),
        Some(_) if privileges::caller() != Caller::Themselves => {
            "--probe-log loads programs of your own into the kernel: that takes root"
        }
        Some(_) if screen => "--probe-log prints lines: use it with --plain or --json",
        Some(_) => return Ok(()),
    };
    Err(Usage(message.to_owned()).into())
}

/// The user as whom a command runs: the one that was named, otherwise who called sudo. `None` stands
/// for who called this program.
fn user_of(args: &RunAsArgs) -> anyhow::Result<Option<User>> {
    let is_root = geteuid().is_root();
    if let Some(name) = &args.user {
        if !is_root {
            return Err(Usage("--user takes root".to_owned()).into());
        }
        let found = User::named(name).context("cannot read the system's users")?;
        let Some(user) = found else {
            return Err(Usage(format!("there is no user {name}")).into());
        };
        return Ok(Some(user));
    }
    if !is_root || args.as_root {
        return Ok(None);
    }
    match record::caller_of_sudo() {
        Some((uid, gid)) if uid != 0 => {
            Ok(Some(User::of_ids(uid, gid).context("cannot read the system's users")?))
        }
        _ => Ok(None),
    }
}

/// True if there is such a program: at this path, or by this name in PATH.
fn can_run(name: &OsStr) -> bool {
    if name.as_encoded_bytes().contains(&b'/') {
        return Path::new(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Lets the user pick a process.
fn choose(theme: Theme) -> anyhow::Result<picker::Picked> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let message = "no target to watch: name one with --pid PID, --port PORT, --comm NAME, \
                       --cgroup PATH, --container ID, --pod NAMESPACE/NAME, --unit NAME, --all, \
                       or -- CMD";
        return Err(Usage(message.to_owned()).into());
    }
    picker::pick(theme.settled())
}

fn attach(args: &RunArgs, targets: Targets) -> anyhow::Result<Sensor> {
    let ring_bytes = match std::env::var(RING_BYTES) {
        Ok(text) => match text.parse() {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                return Err(Usage(format!("{RING_BYTES}={text} is not a number of bytes")).into());
            }
        },
        Err(_) => None,
    };
    if args.budget.is_some() && args.detail != Detail::Exchanges {
        let message = "--budget is for --detail exchanges: queues cost next to nothing, and single \
                       events cannot be left out";
        return Err(Usage(message.to_owned()).into());
    }
    let tier = args.tier.map(Into::into);
    let events = args.detail == Detail::Events;
    let exchanges = args.detail != Detail::Queues;
    let protocols = !args.no_protocols;
    Ok(Sensor::attach(&Options {
        targets,
        tier,
        events,
        exchanges,
        budget: args.budget,
        protocols,
        paths: args.paths,
        ring_bytes,
        probe_log: args.probe_log.clone(),
    })?)
}

/// Describes the targets, one entry each. A command is called by its own name, which its process
/// has not taken yet.
fn target_words(
    mut words: Vec<Untrusted>,
    command: Option<&StoppedCommand>,
    args: &WatchArgs,
) -> Vec<Untrusted> {
    if let (Some(name), Some(command)) = (args.command.first(), command) {
        let pid = command.pid();
        let name = PathBuf::from(name);
        let name = Untrusted::from(name.file_name().unwrap_or_default());
        words.push(compose!("{} {pid}", name));
    }
    words
}

/// Starts the command, stopped. Its output must not mix with ours: with the screen it goes to a
/// file, else to standard error.
fn start(
    command: &[OsString],
    user: Option<&User>,
    log: Option<&File>,
) -> anyhow::Result<Option<StoppedCommand>> {
    if command.is_empty() {
        return Ok(None);
    }
    let output = || -> io::Result<Stdio> {
        Ok(match log {
            Some(file) => file.try_clone()?.into(),
            None => io::stderr().as_fd().try_clone_to_owned()?.into(),
        })
    };
    let started = StoppedCommand::start(command, user, output()?, output()?)
        .with_context(|| format!("cannot start {}", command[0].display()))?;
    Ok(Some(started))
}

/// Sentences on watched processes that hold no listening socket, and did not.
fn without_listener(sensor: &Sensor, awaited: &Awaited) -> Vec<Untrusted> {
    let mut sentences = Vec::new();
    for (pid, comm) in sensor.without_listener() {
        if awaited.should_listen(pid) && targets::exists(pid) {
            sentences.push(compose!(
                "{} has no listening TCP socket; still watching for one",
                named(&comm, pid)
            ));
        }
    }
    sentences
}

/// Sentences on watched cgroups that are gone.
fn gone(sensor: &Sensor) -> Vec<Untrusted> {
    let mut sentences = Vec::new();
    for words in sensor.groups().gone() {
        sentences.push(compose!(
            "{}: its cgroup is gone; the watch goes on if it is there again, and ends once \
             everything watched has been gone for 10 s",
            words
        ));
    }
    sentences
}

/// A sentence on processes that are not watched for want of room. It has no figure that changes.
fn left_out(sensor: &Sensor) -> Option<Untrusted> {
    if !sensor.leaves_out_processes() {
        return None;
    }
    let told = format!(
        "{} processes are watched, and no more can be at once: further ones are not, those without \
         a listening socket first; `lost` counts them as `targets`",
        count(Sensor::MAX_PROCESSES)
    );
    Some(told.into())
}

/// Sentences on sockets that listen where watched ones do. They tell no figures that change, or
/// they would be told again and again.
fn beside(sensor: &Sensor) -> Vec<Untrusted> {
    let mut sentences = Vec::new();
    for (local, other) in sensor.others() {
        sentences.push(beside_one(*local, other));
    }
    sentences.sort();
    sentences.dedup();
    sentences
}

fn beside_one(local: SocketAddr, other: &OtherListener) -> Untrusted {
    let queue = match other.depth {
        0 => "its queue is empty",
        depth if depth > other.limit => "its queue is full",
        _ => "connections are waiting in its queue",
    };
    let place =
        if other.local == local { "here".to_owned() } else { format!("at {}", other.local) };
    compose!(
        "{local}: {} {} listens {place} on its own socket, which is not watched ({queue}, its \
         limit {}); --pid {} or --port {} watches it, too",
        other.comm,
        other.pid,
        other.limit,
        other.pid,
        other.local.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_beside_is_told_with_its_holder_and_its_queue() {
        let other = |local: &str, depth| OtherListener {
            pid: 77,
            comm: "old\u{1b}".into(),
            local: local.parse().expect("an address"),
            depth,
            limit: 4,
        };
        let watched = "0.0.0.0:80".parse().expect("an address");
        let told = [
            beside_one(watched, &other("0.0.0.0:80", 0)),
            beside_one(watched, &other("0.0.0.0:80", 4)),
            beside_one(watched, &other("127.0.0.1:80", 5)),
        ];
        assert!(
            told[0].contains("77 listens here")
                && told[0].contains("its queue is empty, its limit 4"),
            "{told:?}"
        );
        assert!(
            told[1].contains("connections are waiting in its queue")
                && told[1].contains("--port 80")
        );
        assert!(
            told[2].contains("listens at 127.0.0.1:80") && told[2].contains("its queue is full")
        );
        assert!(
            !told[0].for_terminal().to_string().contains('\u{1b}'),
            "a name comes from outside"
        );
    }
}
