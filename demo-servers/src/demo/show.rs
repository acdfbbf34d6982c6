//! Shows a demo in a terminal: prints what runs, runs it, and prints the client's results.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::stop::someone_listens;
use super::{Choice, Client, Launcher, Report, Server, Stop};
use crate::sock::announce;

/// Interval at which to check whether the client has finished.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the demo until a signal, the end of its duration or of its client.
///
/// # Errors
/// If the server does not start, or ends by itself.
pub fn show(mut choice: Choice, launcher: &Launcher) -> anyhow::Result<()> {
    choice.go_far()?;
    let choice = &choice;
    if let Some(address) = choice.run.client_only {
        return run(choice, address, None, &Signals::block()?);
    }
    let server = Server::start(launcher, &choice.server)?;
    // The server must not inherit the blocked signals, so it has started before. Nobody can signal
    // us yet: nothing was printed.
    let signals = Signals::block()?;
    introduce(choice, &server);
    run(choice, server.address(), Some(server), &signals)
}

/// Runs a client alone, once there is a server at the first of these addresses, until its work is
/// done or it is stopped. It connects to the second. Returns what it found, unless it was stopped
/// before there was a server.
pub(crate) fn await_server_and_run(
    client: &Client,
    (server, seen): (SocketAddr, SocketAddr),
    stop: &Stop,
) -> io::Result<Option<Report>> {
    while !someone_listens(server)? {
        if !stop.sleep(LOOK) {
            return Ok(None);
        }
    }
    Ok(Some(client.run(seen, stop)))
}

fn run(
    choice: &Choice,
    address: SocketAddr,
    mut server: Option<Server>,
    signals: &Signals,
) -> anyhow::Result<()> {
    let deadline = choice.run.duration.map(|duration| Instant::now() + duration);
    let stop = Stop::default();
    let ended = thread::scope(|scope| {
        let client = (!choice.run.server_only)
            .then(|| scope.spawn(|| choice.client.run(choice.seen_from_client(address), &stop)));
        let mut ended = Ok(None);
        while deadline.is_none_or(|deadline| Instant::now() < deadline)
            && !client.as_ref().is_some_and(|client| client.is_finished())
            && !signals.wait(LOOK)
        {
            ended = server.as_mut().map_or(Ok(None), Server::ended);
            if !matches!(ended, Ok(None)) {
                break;
            }
        }
        stop.stop();
        if let Some(report) = client.and_then(|client| client.join().ok()) {
            print_report(&report);
        }
        ended
    })?;
    ensure!(ended.is_none(), "the server has ended: {}", ended.unwrap_or_default());
    Ok(())
}

fn introduce(choice: &Choice, server: &Server) {
    let demo = choice.demo;
    let lectures = demo.lectures.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    announce(format_args!("{}: {} (lecture {lectures})", demo.name, demo.title));
    announce(format_args!("  {}", demo.about));
    announce(format_args!(
        "  server  process {} at {}: {}",
        server.pid(),
        server.address(),
        words(&choice.server)
    ));
    if !choice.run.server_only {
        announce(format_args!("  client  {}", words(&choice.client_args)));
    }
    if let Some(rtt) = choice.run.rtt {
        let lost = match choice.run.loss {
            0 => String::new(),
            percent => format!("; {percent} % of the packets are lost"),
        };
        let rtt = humantime::format_duration(rtt);
        announce(format_args!("  link    a round trip takes {rtt}{lost}"));
    }
    if let Some(expect) = demo.expect {
        announce(format_args!("  pattern {expect}"));
    }
    for (knobs, what) in demo.variations {
        announce(format_args!("  try     {knobs}: {what}"));
    }
    announce(format_args!("In another terminal: sudo backscope watch --pid {}", server.pid()));
    let end = if choice.run.duration.is_none() { " Ctrl-C ends it." } else { "" };
    announce(format_args!("Running.{end}"));
}

fn words(args: &[OsString]) -> String {
    args.iter()
        .map(|arg| arg.to_string_lossy().escape_debug().to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Prints what a client found.
pub(crate) fn print_report(report: &Report) {
    announce(format_args!(
        "The client, in {:.1} s:\n{}",
        report.took.as_secs_f64(),
        report.to_string().trim_end()
    ));
}

/// The signals that end a run. They are blocked, and only waited for.
struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks them in this thread and those that it starts.
    fn block() -> io::Result<Self> {
        // SAFETY: sigset_t is plain data, which sigemptyset sets up.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointers are to the set, and to none for the former mask.
        let error = unsafe {
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
        };
        if error == 0 { Ok(Self(set)) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    /// Waits for one of them, no longer than this; returns whether one came.
    fn wait(&self, time: Duration) -> bool {
        let time =
            libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        // SAFETY: the pointers are to the set and the time, and to none for details.
        unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const time) > 0 }
    }
}
