//! Makes connections one after the other, and prints the outcome of each: the client of the tests.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use humantime::parse_duration;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sock::announce;

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Address to connect to; several are tried one after another
    #[arg(long = "to", value_name = "ADDR", required = true)]
    pub targets: Vec<SocketAddr>,
    /// Times to connect to each
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub count: u64,
    /// Give up after this long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub limit: Option<Duration>,
    /// Sleep this long before each attempt
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Keep the connections until the end, instead of closing them at once
    #[arg(long)]
    pub keep: bool,
}

/// Prints `ready` and waits for a line on standard input. Then connects, prints `asked ADDR error=N
/// us=U` for each and `done` at last, and ends with a second line.
pub fn run(options: &Options) -> anyhow::Result<()> {
    announce(format_args!("ready"));
    io::stdin().read_line(&mut String::new())?;
    let mut made = Vec::new();
    for &target in &options.targets {
        for _ in 0..options.count {
            thread::sleep(options.pause);
            let begin = Instant::now();
            let outcome = ask(target, options.limit);
            let us = begin.elapsed().as_micros();
            let error =
                outcome.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(-1));
            announce(format_args!("asked {target} error={error} us={us}"));
            made.extend(outcome.ok().filter(|_| options.keep));
        }
    }
    announce(format_args!("done"));
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn ask(target: SocketAddr, limit: Option<Duration>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    match limit {
        Some(limit) => socket.connect_timeout(&target.into(), limit)?,
        None => socket.connect(&target.into())?,
    }
    Ok(socket)
}
