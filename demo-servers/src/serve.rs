//! Answers every line with a message, by a thread a connection or by one epoll loop, with faults to be switched on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::connection::Connection;
use crate::epoll::Epoll;
use crate::fault::FaultOptions;
use crate::reading::{ReadOptions, Reader};
use crate::slow_acceptor::is_transient;
use crate::sock::{self, Accepted, Call, ListenOptions};
use crate::writing::{WriteOptions, Writer};

/// Knobs of the request-response server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// What holds it up
    #[command(flatten)]
    pub fault: FaultOptions,
    /// How it reads
    #[command(flatten)]
    pub input: ReadOptions,
    /// How it writes
    #[command(flatten)]
    pub output: WriteOptions,
    /// Bytes of an answer, unless --writes says them
    #[arg(long, default_value_t = 200, value_name = "BYTES")]
    pub response: usize,
    /// Sleep this long before each accept
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub accept_delay: Duration,
    /// Serve all connections in one epoll loop, rather than each by a thread of its own
    #[arg(long)]
    pub epoll: bool,
    /// Ask this server of lines before each answer, over a connection for each of its own
    #[arg(long, value_name = "ADDR")]
    pub upstream: Option<SocketAddr>,
    /// Write an answer before anything was asked
    #[arg(long)]
    pub speak_first: bool,
    /// Shut the sending side after the first answer, and read on
    #[arg(long)]
    pub half_close: bool,
    /// Close after so many answers
    #[arg(long, value_name = "N")]
    pub close_after: Option<u64>,
    /// Close with a reset (SO_LINGER 0)
    #[arg(long)]
    pub linger0: bool,
    /// Never close what the peer has closed
    #[arg(long)]
    pub leak_close_wait: bool,
    /// Print a line for each accept, exchange and close (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
}

/// Serves until signalled.
///
/// With `--trace` it prints `accepted FD PEER-PORT ENTERED-NS RETURNED-NS`, then for each answer `exchange` and at the
/// end of a connection `closed`, both followed by `name=value` words.
pub fn run(options: &Options) -> anyhow::Result<()> {
    sock::raise_open_files();
    // What cannot be had or makes no sense is to be said now, not at the first connection.
    Reader::new(&options.input)?;
    Writer::new(&options.output, options.output.pieces(options.response), b'\n')?;
    options.fault.settle()?;
    if options.epoll { serve_by_epoll(options) } else { serve_by_threads(options) }
}

fn serve_by_threads(options: &Options) -> anyhow::Result<()> {
    let listener = options.listen.open()?;
    thread::scope(|scope| {
        loop {
            thread::sleep(options.accept_delay);
            let accepted = sock::accept(&listener, Call::Accept4)?;
            scope.spawn(move || {
                if let Some(mut connection) = begin(accepted, options) {
                    while connection.advance() {}
                }
            });
        }
    })
}

fn serve_by_epoll(options: &Options) -> anyhow::Result<()> {
    let listener = options.listen.bind(false)?;
    listener.set_nonblocking(true)?;
    listener.listen(options.listen.backlog)?;
    let epoll = Epoll::watch(&listener, 0)?;
    sock::announce_listener(&listener)?;
    let mut connections = HashMap::new();
    loop {
        let ready = epoll.wait()?;
        if let Some(connection) = connections.get_mut(&ready) {
            if !Connection::advance(connection) {
                connections.remove(&ready);
            }
            continue;
        }
        thread::sleep(options.accept_delay);
        match sock::accept(&listener, Call::Accept4) {
            Ok(accepted) => {
                accepted.socket.set_nonblocking(true)?;
                if let Some(connection) = begin(accepted, options)
                    && let Some(fd) = connection.fd()
                {
                    epoll.add(fd, 0)?;
                    connections.insert(fd, connection);
                }
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Begins to serve a connection; one that cannot be served is closed, and the reason said.
fn begin(accepted: Accepted, options: &Options) -> Option<Connection<'_>> {
    if options.trace {
        accepted.trace();
    }
    let port = accepted.peer.port();
    Connection::begin(accepted.socket, port, options)
        .inspect_err(|error| eprintln!("demo-servers: connection from port {port}: {error:#}"))
        .ok()
}
