//! A thread or a process for each connection.

use std::process;
use std::thread;

use super::{ServerOptions, run_or_end};
use crate::inherit::fork;
use crate::naming::name_thread;

/// Serves until signalled, each connection by a thread of its own.
pub fn by_threads(server: &ServerOptions) -> anyhow::Result<()> {
    server.prepare()?;
    name_thread("acceptor");
    let listener = server.listen.open()?;
    thread::scope(|scope| {
        run_or_end("acceptor", || {
            for number in 1u64.. {
                if let Some(accepted) = server.accept(&listener)? {
                    scope.spawn(move || {
                        name_thread(&format!("conn-{number}"));
                        server.service.serve(accepted);
                    });
                }
            }
            Ok(())
        });
    });
    Ok(())
}

/// Serves until signalled, each connection by a process that is forked after the accept.
pub fn by_processes(server: &ServerOptions) -> anyhow::Result<()> {
    server.prepare()?;
    name_thread("acceptor");
    // SAFETY: to ignore a signal needs no handler. Children that have ended are then not waited
    // for.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let listener = server.listen.open()?;
    for number in 1u64.. {
        if let Some(accepted) = server.accept(&listener)?
            && fork()?.is_none()
        {
            drop(listener);
            name_thread(&format!("conn-{number}"));
            server.service.serve(accepted);
            process::exit(0);
        }
    }
    Ok(())
}
