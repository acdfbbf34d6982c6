//! All patterns beside one another: servers of the same service, each a process of its own, on
//! consecutive ports.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use humantime::parse_duration;

use crate::inherit::{fork, wait_for_children};
use crate::program;

/// The patterns in the order of their ports. Those with several threads or processes from the
/// beginning have two that serve.
pub const PATTERNS: [(&str, &[&str]); 7] = [
    ("single-thread", &["single-thread"]),
    ("thread-per-connection", &["thread-per-connection"]),
    ("process-per-connection", &["process-per-connection"]),
    ("acceptor-plus-readers", &["acceptor-plus-readers", "--workers=2"]),
    ("message-load-balancing", &["message-load-balancing", "--workers=2"]),
    ("multiple-acceptors", &["acceptors", "--workers=2"]),
    ("socket-sharding", &["acceptors", "--workers=2", "--mode=reuseport"]),
];

/// Knobs of all patterns.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Address of the first; each further one listens at the next port
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Sleep this long before each answer
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub sleep: Duration,
}

/// Serves until signalled. Each of the servers prints what it prints alone.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut address = options.listen;
    anyhow::ensure!(address.port() > 0, "the patterns need a first port, not a free one");
    let sleep = format!("--sleep={}ns", options.sleep.as_nanos());
    for (_, words) in PATTERNS {
        if fork()?.is_none() {
            let listen = format!("--listen={address}");
            let own = [listen.as_str(), sleep.as_str()];
            let words = [program::NAME].iter().chain(words).chain(&own).map(OsString::from);
            return program::serve(words);
        }
        address.set_port(address.port().checked_add(1).context("there are no further ports")?);
    }
    crate::naming::name_thread("parent");
    Ok(wait_for_children()?)
}
