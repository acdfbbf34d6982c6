//! A thread or a process for each connection.

use std::process;
use std::thread;

use clap::Args;

use super::memory::{Heap, MemoryOptions};
use super::{ServerOptions, run_or_end};
use crate::inherit::fork;
use crate::naming::name_thread;

/// Knobs of a server with a thread or a process for each connection.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The server
    #[command(flatten)]
    pub server: ServerOptions,
    /// Its memory
    #[command(flatten)]
    pub memory: MemoryOptions,
}

/// Serves until signalled, each connection by a thread of its own.
pub fn by_threads(options: &Options) -> anyhow::Result<()> {
    serve_by_threads(&options.server, &options.memory)
}

/// Serves until signalled, as [`by_threads`].
pub(crate) fn serve_by_threads(
    server: &ServerOptions,
    memory: &MemoryOptions,
) -> anyhow::Result<()> {
    server.prepare()?;
    name_thread("acceptor");
    let heap = &Heap::take(memory)?;
    let listener = server.listen.open()?;
    thread::scope(|scope| {
        run_or_end("acceptor", || {
            for number in 1u64.. {
                if let Some(accepted) = server.accept(&listener)? {
                    heap.started(|| {
                        scope.spawn(move || {
                            name_thread(&format!("conn-{number}"));
                            heap.use_for_connection();
                            server.service.serve(accepted);
                        })
                    });
                }
            }
            Ok(())
        });
    });
    Ok(())
}

/// Serves until signalled, each connection by a process that is forked after the accept.
pub fn by_processes(options: &Options) -> anyhow::Result<()> {
    let Options { server, memory } = options;
    server.prepare()?;
    name_thread("acceptor");
    // SAFETY: to ignore a signal needs no handler. Children that have ended are then not waited
    // for.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let heap = Heap::take(memory)?;
    let listener = server.listen.open()?;
    for number in 1u64.. {
        if let Some(accepted) = server.accept(&listener)?
            && heap.started(fork)?.is_none()
        {
            drop(listener);
            name_thread(&format!("conn-{number}"));
            heap.use_for_connection();
            server.service.serve(accepted);
            process::exit(0);
        }
    }
    Ok(())
}
