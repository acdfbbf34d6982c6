//! Accepts late: every connection waits in the accept queue.

use std::thread;
use std::time::Duration;
use std::{io, mem};

use clap::Args;
use humantime::parse_duration;
use socket2::Socket;

use crate::epoll::Epoll;
use crate::sock::{self, Call, ListenOptions};

/// Knobs of the slow acceptor.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Sleep this long before each accept
    #[arg(long, default_value = "300ms", value_name = "TIME", value_parser = parse_duration)]
    pub accept_delay: Duration,
    /// Accepting threads
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Call accept4(2) instead of accept(2)
    #[arg(long)]
    pub accept4: bool,
    /// Use a non-blocking listener: wait with epoll, sleep, then accept one
    #[arg(long)]
    pub nonblocking_epoll: bool,
    /// Answer with a small HTTP response before closing
    #[arg(long)]
    pub reply: bool,
    /// Keep accepted connections open
    #[arg(long)]
    pub keep: bool,
    /// Have no more than N further descriptors. Beyond that, accept fails with EMFILE, which is
    /// printed as `failed 24`
    #[arg(long, value_name = "N")]
    pub spare: Option<u64>,
    /// Print `accepted FD PEER-PORT ENTERED-NS RETURNED-NS` for each accept (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
}

/// Serves until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let listener = options.listen.bind(false)?;
    listener.set_nonblocking(options.nonblocking_epoll)?;
    listener.listen(options.listen.backlog)?;
    sock::announce_listener(&listener)?;
    options.spare.map(sock::limit_descriptors).transpose()?;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads.max(1))
            .map(|_| scope.spawn(|| accept_loop(&listener, options)))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(outcome) => outcome.map_err(anyhow::Error::from),
            Err(_) => anyhow::bail!("an acceptor panicked"),
        })
    })
}

fn accept_loop(listener: &Socket, options: &Options) -> io::Result<()> {
    let call = if options.accept4 { Call::Accept4 } else { Call::Accept };
    let epoll = options.nonblocking_epoll.then(|| Epoll::watch(listener, 0)).transpose()?;
    loop {
        if let Some(epoll) = &epoll {
            epoll.wait()?;
        }
        thread::sleep(options.accept_delay);
        let accepted = match sock::accept(listener, call) {
            Ok(accepted) => accepted,
            Err(error) if is_transient(&error) => continue,
            Err(error) if options.spare.is_some() && sock::announce_failure(&error) => continue,
            Err(error) => return Err(error),
        };
        if options.trace {
            accepted.trace();
        }
        if options.reply {
            // A client that has left is no error.
            let _ = sock::reply(&accepted.socket);
        }
        if options.keep {
            mem::forget(accepted.socket);
        }
    }
}

/// Returns whether another acceptor was faster, a signal came, or the client gave up in the queue.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}
