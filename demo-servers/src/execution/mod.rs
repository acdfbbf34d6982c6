//! The execution patterns: which threads accept, read and answer. All serve their connections alike
//! ([`ServiceOptions`]), so that they differ only in the pattern.

pub mod acceptors;
pub mod balancing;
mod event_loop;
pub mod map;
pub mod memory;
pub mod per_connection;
pub mod readers;
pub mod single_thread;
mod sleeps;

use std::fmt;
use std::io;
use std::process;
use std::str::FromStr;
use std::thread::{self, Scope};
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;
use socket2::Socket;

use crate::naming::name_thread;
use crate::service::ServiceOptions;
use crate::slow_acceptor::is_transient;
use crate::sock::{self, Accepted, Call, ListenOptions};

/// Options that every pattern has.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Sleep this long before each accept
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub accept_delay: Duration,
    /// Service of each connection
    #[command(flatten)]
    pub service: ServiceOptions,
}

impl ServerOptions {
    /// Takes the process's place on the processors. To be called first, while the process has one
    /// thread.
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

/// Options for the number of workers.
#[derive(Args, Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Number of workers; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub workers: Count,
}

/// A number, absolute or for each processor (`2x`). At least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// An absolute number.
    Just(u16),
    /// A number for each processor that this process may use.
    PerProcessor(u16),
}

impl Count {
    /// Returns the number.
    pub fn get(self) -> usize {
        match self {
            Self::Just(count) => count.into(),
            Self::PerProcessor(count) => {
                usize::from(count) * thread::available_parallelism().map_or(1, usize::from)
            }
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Just(count) => write!(f, "{count}"),
            Self::PerProcessor(count) => write!(f, "{count}x"),
        }
    }
}

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, kind): (_, fn(u16) -> Self) = match text.strip_suffix('x') {
            Some(digits) => (digits, Self::PerProcessor),
            None => (text, Self::Just),
        };
        match digits.parse() {
            Ok(count @ 1..=1024) => Ok(kind(count)),
            _ => Err("write a number from 1 to 1024, or a number per processor, like 2x"),
        }
    }
}

/// Starts a thread with a name. Its error ends the process: a server cannot do without one of its
/// threads.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    run: impl FnOnce() -> io::Result<()> + Send + 'scope,
) {
    scope.spawn(move || {
        name_thread(&name);
        run_or_end(&name, run);
    });
}

/// Runs an endless loop in this thread, while others wait to be joined.
pub(crate) fn run_or_end(name: &str, run: impl FnOnce() -> io::Result<()>) {
    if let Err(error) = run() {
        sock::complain(format_args!("{name}: {error}"));
        process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn counts() {
        assert_eq!("8".parse(), Ok(Count::Just(8)));
        assert_eq!("2x".parse(), Ok(Count::PerProcessor(2)));
        assert!(Count::PerProcessor(2).get() >= 2);
        for wrong in ["", "0", "0x", "x", "-1", "1025", "many"] {
            assert!(wrong.parse::<Count>().is_err(), "{wrong}");
        }
    }
}
