//! Several acceptors: on one socket (blocking, with epoll and its thundering herd, with EPOLLEXCLUSIVE), or each on a
//! socket of its own in a SO_REUSEPORT group; as threads or as processes.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use socket2::Socket;

use crate::epoll::Epoll;
use crate::inherit::{die_with_parent, fork, wait_for_children};
use crate::slow_acceptor::is_transient;
use crate::sock::{self, Call, ListenOptions, announce};

/// How the acceptors share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One socket, every worker blocked in accept: the kernel wakes one
    Blocking,
    /// One non-blocking socket, every worker in epoll_wait: the kernel wakes all of them
    Epoll,
    /// The same with EPOLLEXCLUSIVE: it wakes one
    Exclusive,
    /// A socket for each worker, in one SO_REUSEPORT group
    Reuseport,
}

/// Knobs of the acceptors.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// How the acceptors share the work
    #[arg(long, value_enum, default_value_t = Mode::Blocking)]
    pub mode: Mode,
    /// Number of acceptors
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub workers: usize,
    /// Processes rather than threads
    #[arg(long)]
    pub processes: bool,
    /// Every worker but the first is away for half a second after each accept
    #[arg(long)]
    pub uneven: bool,
    /// Print `accepted FD PEER-PORT ENTERED-NS RETURNED-NS` for each accept (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
}

/// Serves until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let listeners = open(options)?;
    sock::announce_listener(&listeners[0])?;
    let listener_of = |worker: usize| &listeners[worker % listeners.len()];
    let turn = &Turn::new(options)?;
    if options.processes {
        for worker in 0..options.workers {
            if fork()?.is_none() {
                die_with_parent()?;
                return Ok(work(worker, listener_of(worker), turn, options)?);
            }
        }
        return Ok(wait_for_children()?);
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.workers)
            .map(|worker| scope.spawn(move || work(worker, listener_of(worker), turn, options)))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(outcome) => outcome.map_err(anyhow::Error::from),
            Err(_) => anyhow::bail!("an acceptor panicked"),
        })
    })
}

fn open(options: &Options) -> anyhow::Result<Vec<Socket>> {
    anyhow::ensure!(options.workers > 0, "at least one worker is needed");
    let group = options.mode == Mode::Reuseport;
    let mut listen = options.listen.clone();
    let mut listeners = Vec::new();
    for _ in 0..if group { options.workers } else { 1 } {
        let socket = listen.bind(group)?;
        // The first takes a free port, the others join it.
        listen.listen = sock::address(&socket.local_addr()?)?;
        socket.set_nonblocking(matches!(options.mode, Mode::Epoll | Mode::Exclusive))?;
        socket.listen(listen.backlog).context("listen")?;
        listeners.push(socket);
    }
    Ok(listeners)
}

/// Lets the first worker register after all others when the work is to be uneven.
///
/// EPOLLEXCLUSIVE wakes the waiter that registered first of those that are free: the one that is always there has to be
/// behind the others, or they would never get anything.
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
    turn.before(worker, options.workers)?;
    let epoll = match options.mode {
        Mode::Blocking | Mode::Reuseport => None,
        Mode::Epoll => Some(Epoll::watch(listener, 0)?),
        Mode::Exclusive => Some(Epoll::watch(listener, libc::EPOLLEXCLUSIVE as u32)?),
    };
    turn.after(worker)?;
    // SAFETY: plain system calls without arguments.
    let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
    announce(format_args!("worker {worker} {pid} {tid}"));
    loop {
        if let Some(epoll) = &epoll {
            epoll.wait()?;
        }
        match sock::accept(listener, Call::Accept4) {
            Ok(accepted) => {
                if options.trace {
                    accepted.trace();
                }
                let _ = sock::reply(&accepted.socket);
            }
            Err(error) if is_transient(&error) => continue,
            Err(error) => return Err(error),
        }
        if options.uneven && worker > 0 {
            thread::sleep(Duration::from_millis(500));
        }
    }
}
