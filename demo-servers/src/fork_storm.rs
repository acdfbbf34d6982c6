//! Forks many short-lived children; the last one listens and accepts.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::thread;

use clap::Args;

use crate::inherit::{fork, wait_for_children};
use crate::sock::{self, Call, ListenOptions, announce};

/// Port of the first of the further listeners.
const FIRST_PORT: u16 = 10_000;

/// Knobs of the fork storm.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how the last child listens
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Children that exit at once, before the one that listens
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub children: u32,
    /// Further listening sockets, on the ports from 10000 on, which every child has open
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub listeners: u16,
    /// Children that stay and do nothing
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub idle: u32,
    /// Wait for a line on standard input before the first fork
    #[arg(long)]
    pub wait: bool,
    /// Exit with this status after the short-lived children, without listening
    #[arg(long, value_name = "STATUS")]
    pub exit_with: Option<i32>,
}

/// Forks and serves until signalled. Prints `forked N` and, from the listening child, `listening on
/// ADDR`.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.wait {
        io::stdin().read_line(&mut String::new())?;
    }
    let mut held = Vec::new();
    // The system would look longer for each next free port.
    for port in (FIRST_PORT..).take(options.listeners.into()) {
        held.push(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?);
    }
    for _ in 0..options.idle {
        if fork()?.is_none() {
            // Ends with its parent.
            loop {
                thread::park();
            }
        }
    }
    for _ in 0..options.children {
        if fork()?.is_none() {
            process::exit(0);
        }
        if options.idle == 0 {
            wait_for_children()?;
        }
    }
    announce(format_args!("forked {}", options.children));
    if let Some(status) = options.exit_with {
        process::exit(status);
    }
    if fork()?.is_some() {
        return Ok(wait_for_children()?);
    }
    let listener = options.listen.open()?;
    loop {
        let accepted = sock::accept(&listener, Call::Accept4)?;
        let _ = sock::reply(&accepted.socket);
    }
}
