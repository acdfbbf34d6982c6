//! One thread accepts and hands connections to others, each an event loop that reads and answers.

use std::io;
use std::thread;
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;

use super::event_loop::EventLoop;
use super::{ServerOptions, WorkerOptions, run_or_end, spawn};
use crate::inherit::{fork, wait_for_children};
use crate::naming::name_thread;
use crate::sock::{announce, monotonic_ns};

/// Knobs of the acceptor with its readers.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The server
    #[command(flatten)]
    pub server: ServerOptions,
    /// The readers
    #[command(flatten)]
    pub workers: WorkerOptions,
    /// Hand nine of ten connections to the first reader
    #[arg(long)]
    pub uneven: bool,
    /// One process listens, and a child of it accepts and reads
    #[arg(long)]
    pub apart: bool,
    /// With --apart, fork that child so long after the beginning of listening
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub fork_delay: Duration,
}

/// Serves until signalled. With `--apart` it prints `holder PID`, the process that accepts, and
/// `forked at_ns=N`, up to when there was none (CLOCK_MONOTONIC).
pub fn run(options: &Options) -> anyhow::Result<()> {
    options.server.prepare()?;
    let listener = options.server.listen.open()?;
    if options.apart {
        name_thread("listener");
        thread::sleep(options.fork_delay);
        let before_ns = monotonic_ns();
        if let Some(child) = fork()? {
            announce(format_args!("holder {child}"));
            announce(format_args!("forked at_ns={before_ns}"));
            return Ok(wait_for_children()?);
        }
    }
    name_thread("acceptor");
    let readers = (0..options.workers.workers.get())
        .map(|_| EventLoop::new(&options.server.service))
        .collect::<io::Result<Vec<_>>>()?;
    thread::scope(|scope| {
        for (number, reader) in (1..).zip(&readers) {
            spawn(scope, format!("reader-{number}"), || reader.run(|| Ok(())));
        }
        run_or_end("acceptor", || {
            let mut turns = (0..).map(|turn| whose(turn, readers.len(), options.uneven));
            loop {
                if let Some(accepted) = options.server.accept(&listener)?
                    && let Some(reader) = turns.next()
                {
                    readers[reader].take(accepted)?;
                }
            }
        });
    });
    Ok(())
}

/// The reader whose turn it is.
fn whose(turn: usize, readers: usize, uneven: bool) -> usize {
    match (uneven, turn % 10, readers) {
        (false, ..) => turn % readers,
        (true, 9, 2..) => 1 + turn / 10 % (readers - 1),
        (true, ..) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::whose;

    #[test]
    fn turns() {
        let shares = |readers: usize, uneven| {
            let mut shares = vec![0; readers];
            (0..120).for_each(|turn| shares[whose(turn, readers, uneven)] += 1);
            shares
        };
        assert_eq!(shares(4, false), [30, 30, 30, 30]);
        assert_eq!(shares(4, true), [108, 4, 4, 4]);
        assert_eq!(shares(1, true), [120]);
    }
}
