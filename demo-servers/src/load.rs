//! Makes connections, at a rate or as fast as possible, and counts those that fail.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use humantime::parse_duration;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sock::{self, announce};
use crate::{flood, half_open};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// Knobs of the load.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Server to connect to
    #[arg(long, value_name = "ADDR")]
    pub target: SocketAddr,
    /// Rate at which to begin connections: 50/s, 600/m
    #[arg(long, value_name = "N/UNIT", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Total connections to make [default: no limit with --rate, else 1]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Concurrent connections
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub concurrency: usize,
    /// Keep each connection this long
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_duration)]
    pub hold: Duration,
    /// Give up on a connection after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Stop after this long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Connect and say nothing
    #[arg(long)]
    pub silent: bool,
    /// Send the request in the SYN (TCP Fast Open)
    #[arg(long)]
    pub fastopen: bool,
    /// Print `connected PORT STARTED-NS DONE-NS` for each connection, and `given-up STARTED-NS
    /// DONE-NS` for one that failed (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
    /// First send N SYNs from addresses at which nobody answers, and at the end print what the
    /// kernel has counted; as root, only to loopback, only in a network namespace of its own
    #[arg(long, value_name = "N")]
    pub half_open: Option<u32>,
    /// Begin --connections (10000) handshakes from that many loopback addresses and ports; only to
    /// loopback
    #[arg(long)]
    pub flood: bool,
}

/// Makes the connections; prints `connected N failed M` at the end. A failed connection is a
/// result, not an error.
pub fn run(options: &Options) -> anyhow::Result<()> {
    sock::raise_open_files();
    if options.flood {
        return flood::run(options);
    }
    options.half_open.map(|count| half_open::run(options.target, count)).transpose()?;
    let total = options.connections.unwrap_or(if options.rate.is_some() { u64::MAX } else { 1 });
    let [next, connected, failed] = [const { AtomicU64::new(0) }; 3];
    let start = Instant::now();
    let worker = || {
        loop {
            let ticket = next.fetch_add(1, Ordering::Relaxed);
            let due = options
                .rate
                .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(ticket as f64 / rate));
            let end = options.duration.unwrap_or(Duration::MAX);
            if ticket >= total || due.max(start.elapsed()) >= end {
                return;
            }
            thread::sleep(due.saturating_sub(start.elapsed()));
            let tally = if one(options).is_ok() { &connected } else { &failed };
            tally.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.concurrency.max(1) {
            scope.spawn(worker);
        }
    });
    options.half_open.map(|_| half_open::announce_counters()).transpose()?;
    announce(format_args!("connected {} failed {}", connected.into_inner(), failed.into_inner()));
    Ok(())
}

/// One connection. What happens after the connect is not counted as its failure.
fn one(options: &Options) -> io::Result<()> {
    let mut socket =
        Socket::new(Domain::for_address(options.target), Type::STREAM, Some(Protocol::TCP))?;
    if options.fastopen {
        sock::set_tcp_option(&socket, libc::TCP_FASTOPEN_CONNECT, 1)?;
    }
    let started_ns = sock::monotonic_ns();
    if let Err(error) = socket.connect_timeout(&options.target.into(), options.timeout) {
        if options.trace {
            announce(format_args!("given-up {started_ns} {}", sock::monotonic_ns()));
        }
        return Err(error);
    }
    // With Fast Open it is the first write that sends the SYN.
    if options.fastopen {
        socket.write_all(REQUEST)?;
    }
    let done_ns = sock::monotonic_ns();
    if options.trace {
        let port = sock::address(&socket.local_addr()?)?.port();
        announce(format_args!("connected {port} {started_ns} {done_ns}"));
    }
    if !options.silent {
        let _ = talk(&mut socket, options);
    }
    thread::sleep(options.hold);
    Ok(())
}

fn talk(socket: &mut Socket, options: &Options) -> io::Result<()> {
    if !options.fastopen {
        socket.write_all(REQUEST)?;
    }
    socket.set_read_timeout(Some(options.timeout))?;
    let mut response = [0; 4096];
    while socket.read(&mut response)? > 0 {}
    Ok(())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a rate; write it like 50/s or 600/m");
    let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    match count.parse::<f64>() {
        Ok(count) if count > 0.0 && count.is_finite() => Ok(count / seconds),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_rate;

    #[test]
    fn rates() {
        assert_eq!(parse_rate("50/s"), Ok(50.0));
        assert_eq!(parse_rate("600/m"), Ok(10.0));
        assert_eq!(parse_rate("2.5"), Ok(2.5));
        for wrong in ["", "0/s", "-1/s", "x/s", "5/h", "inf/s", "nan"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
