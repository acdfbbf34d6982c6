//! Several acceptors, each of which serves what it took: on one socket (blocking, with epoll and
//! its thundering herd, with EPOLLEXCLUSIVE), or each on a socket of its own in a SO_REUSEPORT
//! group; as threads or as processes.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use socket2::Socket;

use super::event_loop::EventLoop;
use super::sleeps::Sleeps;
use super::{ServerOptions, WorkerOptions, spawn};
use crate::inherit::{fork, wait_for_children};
use crate::naming::name_thread;
use crate::sock::{self, announce};

/// The way in which the acceptors share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One socket, with every worker blocked in accept: the kernel wakes one, which serves that
    /// connection to its end
    Blocking,
    /// One non-blocking socket, with every worker an event loop: the kernel wakes all of them
    Epoll,
    /// One non-blocking socket, with every worker an event loop that uses EPOLLEXCLUSIVE: the
    /// kernel wakes one
    Exclusive,
    /// A socket for each worker, in one SO_REUSEPORT group; every worker an event loop
    Reuseport,
}

/// Knobs of the acceptors.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The server
    #[command(flatten)]
    pub server: ServerOptions,
    /// How the acceptors share the work
    #[arg(long, value_enum, default_value_t = Mode::Blocking)]
    pub mode: Mode,
    /// The acceptors
    #[command(flatten)]
    pub workers: WorkerOptions,
    /// Use processes instead of threads
    #[arg(long)]
    pub processes: bool,
    /// Every worker but the first is away for half a second after each accept
    #[arg(long)]
    pub uneven: bool,
    /// Print how often each worker slept other than to wait for a connection
    #[arg(long)]
    pub count_sleeps: bool,
}

/// Serves until signalled. Prints `worker N PID TID` for each.
pub fn run(options: &Options) -> anyhow::Result<()> {
    options.server.prepare()?;
    let listeners = open(options)?;
    sock::announce_listener(&listeners[0])?;
    let listener_of = |worker: usize| &listeners[worker % listeners.len()];
    let turn = &Turn::new(options)?;
    let workers = options.workers.workers.get();
    if options.processes {
        for worker in 0..workers {
            if fork()?.is_none() {
                name_thread(&name(worker));
                return Ok(work(worker, listener_of(worker), turn, options)?);
            }
        }
        name_thread("master");
        return Ok(wait_for_children()?);
    }
    thread::scope(|scope| {
        for worker in 0..workers {
            spawn(scope, name(worker), move || work(worker, listener_of(worker), turn, options));
        }
    });
    Ok(())
}

fn name(worker: usize) -> String {
    format!("worker-{}", worker + 1)
}

fn open(options: &Options) -> anyhow::Result<Vec<Socket>> {
    let group = options.mode == Mode::Reuseport;
    let mut listen = options.server.listen.clone();
    let mut listeners = Vec::new();
    for _ in 0..if group { options.workers.workers.get() } else { 1 } {
        let socket = listen.bind(group)?;
        // The first worker takes a free port, and the others join it.
        listen.listen = sock::address(&socket.local_addr()?)?;
        socket.set_nonblocking(options.mode != Mode::Blocking)?;
        socket.listen(listen.backlog).context("listen")?;
        listeners.push(socket);
    }
    Ok(listeners)
}

/// Makes the first worker register after all others if the work is to be uneven.
///
/// Of the free waiters, EPOLLEXCLUSIVE wakes the one that registered first. The first worker is
/// always free: registered before the others, it would get every connection.
struct Turn(Option<(io::PipeReader, io::PipeWriter)>);

impl Turn {
    fn new(options: &Options) -> io::Result<Self> {
        Ok(Self(options.uneven.then(io::pipe).transpose()?))
    }

    fn before(&self, worker: usize, workers: usize) -> io::Result<()> {
        match &self.0 {
            Some((others, _)) if worker == 0 => (&*others).read_exact(&mut vec![0; workers - 1]),
            _ => Ok(()),
        }
    }

    fn after(&self, worker: usize) -> io::Result<()> {
        match &self.0 {
            Some((_, first)) if worker > 0 => (&*first).write_all(&[1]),
            _ => Ok(()),
        }
    }
}

fn work(worker: usize, listener: &Socket, turn: &Turn, options: &Options) -> io::Result<()> {
    let server = &options.server;
    turn.before(worker, options.workers.workers.get())?;
    let events = EventLoop::new(&server.service)?;
    match options.mode {
        Mode::Blocking => {}
        Mode::Epoll | Mode::Reuseport => events.listen(listener, 0)?,
        Mode::Exclusive => events.listen(listener, libc::EPOLLEXCLUSIVE as u32)?,
    }
    turn.after(worker)?;
    // SAFETY: plain system calls without arguments.
    let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
    announce(format_args!("worker {worker} {pid} {tid}"));
    let serve = |accepted: Option<_>| {
        let Some(accepted) = accepted else { return Ok(()) };
        match options.mode {
            Mode::Blocking => server.service.serve(accepted),
            _ => events.take(accepted)?,
        }
        if options.uneven && worker > 0 {
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    };
    let accept = || server.accept(listener);
    if !options.count_sleeps {
        return match options.mode {
            Mode::Blocking => loop {
                serve(accept()?)?;
            },
            _ => events.run(|| serve(accept()?)),
        };
    }
    let mut sleeps = Sleeps::new();
    loop {
        if options.mode == Mode::Blocking {
            serve(sleeps.within(accept, |_| false)?)?;
            continue;
        }
        match sleeps.within(|| events.wait(), Option::is_some)? {
            Some(connection) => events.serve(connection)?,
            None => serve(accept()?)?,
        }
    }
}
