//! The execution patterns: who accepts, who reads, who answers. All serve their connections alike
//! ([`ServiceOptions`]), so that what differs is the pattern.

pub mod acceptors;
pub mod balancing;
mod event_loop;
pub mod per_connection;
pub mod readers;
pub mod single_thread;

use std::io;
use std::process;
use std::thread::{self, Scope};
use std::time::Duration;

use clap::Args;
use socket2::Socket;

use crate::naming::name_thread;
use crate::service::ServiceOptions;
use crate::slow_acceptor::is_transient;
use crate::sock::{self, Accepted, Call, ListenOptions};

/// What every pattern has.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Sleep this long before each accept
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub accept_delay: Duration,
    /// How connections are served
    #[command(flatten)]
    pub service: ServiceOptions,
}

impl ServerOptions {
    /// Takes the process's place. To be called first, while the process has one thread.
    fn prepare(&self) -> anyhow::Result<()> {
        sock::raise_open_files();
        self.service.check()?;
        self.service.fault.settle()
    }

    /// Opens a listener for an event loop; the caller announces it.
    fn open_nonblocking(&self) -> anyhow::Result<Socket> {
        let listener = self.listen.bind(false)?;
        listener.set_nonblocking(true)?;
        listener.listen(self.listen.backlog)?;
        Ok(listener)
    }

    /// Accepts a connection; `None` if there was none after all.
    fn accept(&self, listener: &Socket) -> io::Result<Option<Accepted>> {
        thread::sleep(self.accept_delay);
        match sock::accept(listener, Call::Accept4) {
            Ok(accepted) => {
                if self.service.trace {
                    accepted.trace();
                }
                Ok(Some(accepted))
            }
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How many serve.
#[derive(Args, Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Number of workers
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,
}

impl WorkerOptions {
    fn count(self) -> usize {
        self.workers.into()
    }
}

/// Starts a thread with a name. A server without one of its threads is none: its error ends the process.
fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, name: String, run: impl FnOnce() -> io::Result<()> + Send + 'scope) {
    scope.spawn(move || {
        name_thread(&name);
        run_or_end(&name, run);
    });
}

/// Runs what runs for ever in this thread, while others wait to be joined.
fn run_or_end(name: &str, run: impl FnOnce() -> io::Result<()>) {
    if let Err(error) = run() {
        eprintln!("demo-servers: {name}: {error}");
        process::exit(1);
    }
}
