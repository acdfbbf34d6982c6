//! Proxies and balancers: a process between clients and servers, which are processes of their own.

pub mod forward;
pub mod layer4;
pub mod layer7;
mod pool;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use humantime::parse_duration;

use crate::demo::{Launcher, Server};

/// Options for the servers behind a proxy.
#[derive(Args, Clone, Debug)]
pub struct BackendOptions {
    /// Pass on to this server, which already runs; may be given several times [default: those of
    /// --backends]
    #[arg(long, value_name = "ADDR")]
    pub upstream: Vec<SocketAddr>,
    /// Servers to start, each as a process, and to pass on to
    #[arg(
        long,
        default_value_t = 3,
        value_name = "N",
        value_parser = value_parser!(u16).range(1..=64)
    )]
    pub backends: u16,
    /// These servers wait this long before each answer
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub backend_sleep: Duration,
    /// The first of them waits this long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub slow_backend: Option<Duration>,
    /// Rule that picks the server for the next connection or request
    #[arg(long, value_enum, default_value_t = Balance::RoundRobin, value_name = "HOW")]
    pub balance: Balance,
}

/// The rule that picks the server for the next connection or request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Balance {
    /// Each in turn
    RoundRobin,
    /// The one with the fewest
    Least,
    /// Nine of ten to the first
    Uneven,
}

/// The servers behind a proxy.
pub(crate) struct Backends {
    addresses: Vec<SocketAddr>,
    /// Servers that end when this is dropped.
    _started: Vec<Server>,
    balance: Balance,
    turn: AtomicU64,
    /// Open connections or requests of each server.
    busy: Vec<AtomicU64>,
}

impl Backends {
    /// Starts the servers, unless their addresses were given.
    pub(crate) fn start(
        options: &BackendOptions,
        launcher: &Launcher,
        knobs: &[&str],
    ) -> anyhow::Result<Arc<Self>> {
        let count = if options.upstream.is_empty() { options.backends } else { 0 };
        let sleep = |number| {
            if number == 1 { options.slow_backend } else { None }.unwrap_or(options.backend_sleep)
        };
        let start = |number| {
            let name = format!("--name=backend-{number}");
            let sleep = format!("--sleep={}", humantime::format_duration(sleep(number)));
            start(launcher, &[&["http", &name, &sleep], knobs].concat())
        };
        let started = (1..=count).map(start).collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = if count == 0 {
            options.upstream.clone()
        } else {
            started.iter().map(Server::address).collect()
        };
        Ok(Arc::new(Self::of(addresses, started, options.balance)))
    }

    fn of(addresses: Vec<SocketAddr>, started: Vec<Server>, balance: Balance) -> Self {
        let busy = addresses.iter().map(|_| AtomicU64::new(0)).collect();
        Self { addresses, _started: started, balance, turn: AtomicU64::new(0), busy }
    }

    /// Returns their addresses.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Chooses a server. It counts as busier until the returned value is dropped.
    pub(crate) fn choose(self: &Arc<Self>) -> Chosen {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = |turn: u64| (turn % self.addresses.len() as u64) as usize;
        let number = match self.balance {
            Balance::RoundRobin => in_turn(turn),
            // The search begins with the server whose turn it is, so that equally busy ones share.
            Balance::Least => {
                let from_turn = (0..self.busy.len() as u64).map(|after| in_turn(turn + after));
                from_turn
                    .min_by_key(|number| self.busy[*number].load(Ordering::Relaxed))
                    .unwrap_or(0)
            }
            Balance::Uneven if turn % 10 == 9 => {
                in_turn(1 + turn / 10 % (self.addresses.len() as u64 - 1).max(1))
            }
            Balance::Uneven => 0,
        };
        self.busy[number].fetch_add(1, Ordering::Relaxed);
        Chosen { backends: Arc::clone(self), number }
    }
}

/// Starts a server of this program.
pub(crate) fn start(launcher: &Launcher, args: &[&str]) -> anyhow::Result<Server> {
    Server::start(launcher, &args.iter().map(Into::into).collect::<Vec<_>>())
}

/// A chosen server, which is busier while this lives.
pub(crate) struct Chosen {
    backends: Arc<Backends>,
    /// Its place among the backends.
    pub(crate) number: usize,
}

impl Chosen {
    /// Returns its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.backends.addresses[self.number]
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.backends.busy[self.number].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(count: u16, balance: Balance) -> Arc<Backends> {
        let addresses = (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        Arc::new(Backends::of(addresses, Vec::new(), balance))
    }

    fn shares(backends: &Arc<Backends>, choices: u64) -> Vec<u64> {
        let mut shares = vec![0; backends.addresses.len()];
        (0..choices).for_each(|_| shares[backends.choose().number] += 1);
        shares
    }

    #[test]
    fn each_in_turn() {
        assert_eq!(shares(&backends(3, Balance::RoundRobin), 30), [10, 10, 10]);
        assert_eq!(shares(&backends(3, Balance::Least), 30), [10, 10, 10]);
    }

    #[test]
    fn the_first_gets_nine_of_ten() {
        assert_eq!(shares(&backends(3, Balance::Uneven), 40), [36, 2, 2]);
        assert_eq!(shares(&backends(1, Balance::Uneven), 40), [40]);
    }

    #[test]
    fn whoever_is_busy_gets_no_more() {
        let backends = backends(2, Balance::Least);
        let first = backends.choose();
        let others = [backends.choose(), backends.choose(), backends.choose()];
        assert_eq!(others.iter().filter(|chosen| chosen.number == first.number).count(), 1);
        drop(others);
        assert!((0..5).all(|_| backends.choose().number != first.number));
    }
}
