//! The customers of the shop. They come steadily, whatever becomes of the shop, and tell once a
//! second how they fared.

mod one;
mod tally;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use humantime::parse_duration;

use crate::sock::{self, announce};
use tally::Tally;

/// Settings of the customers.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The shop
    #[arg(long, value_name = "ADDR")]
    pub target: SocketAddr,
    /// Customers at a time
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub customers: usize,
    /// Requests on each connection; 0: it stays open
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub requests: u64,
    /// Shortest pause after an answer
    #[arg(long, default_value = "100ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Longest pause, if they differ
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause_to: Duration,
    /// Come all at once, so often
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub rush: Option<Duration>,
    /// Page that they ask for
    #[arg(long, default_value = "/order", value_name = "PATH")]
    pub page: String,
    /// Ask for a report with every N-th request
    #[arg(long, value_name = "N")]
    pub report_every: Option<NonZeroU64>,
    /// Bytes to upload with each request
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub upload: usize,
    /// Come through a proxy that has one source port for each customer, ports that the kernel
    /// assigns to the same worker
    #[arg(long)]
    pub few_ports: bool,
    /// Give up after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Comes until signalled; prints `tick` with `name=value` words each second, and the failures by
/// kind behind them.
pub fn run(options: &Options) -> anyhow::Result<()> {
    sock::raise_open_files();
    let ports = if options.few_ports { one::ports_of_one_worker(options) } else { Vec::new() };
    let tally = &Tally::default();
    let gate = &Barrier::new(options.customers);
    let begun = Instant::now();
    thread::scope(|scope| {
        for number in 0..options.customers {
            let port = ports.get(number).copied();
            scope.spawn(move || one::Customer::new(options, number as u64, port).come(tally, gate));
        }
        for second in 1u32.. {
            let due = Duration::from_secs(second.into());
            thread::sleep(due.saturating_sub(begun.elapsed()));
            announce(format_args!("{}", tally.tick()));
        }
    });
    Ok(())
}
