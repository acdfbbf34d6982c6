//! The web shop of the exercises: a small HTTP/1.1 server whose settings are those of real servers,
//! and its customers. Each setting that does harm in one exercise is of use elsewhere.

mod acceptors;
pub mod customers;
mod request;
mod service;

use std::ffi::c_int;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use humantime::parse_duration;

use crate::execution::WorkerOptions;

/// The parties that serve the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Serve {
    /// A thread for each connection
    Threads,
    /// One event loop for all connections
    Loop,
    /// Several workers that accept from one queue, each serves one connection at a time
    Workers,
    /// Several workers, each with a listener of its own (SO_REUSEPORT), each serves one connection
    /// at a time
    Shards,
}

/// Looks up the names of clients, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// Not at all
    Off,
    /// Before the next connection is accepted
    Acceptor,
    /// In the thread that serves the connection
    Worker,
}

/// Ways to write an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Write {
    /// Head and body together
    Whole,
    /// The head, then the body
    Pieces,
}

/// Places where reports are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reports {
    /// Where the request was read
    Inline,
    /// In a thread of their own
    Pool,
}

/// What becomes of a body that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TooLarge {
    /// Answer and close
    Close,
    /// Read it to its end, then answer and close
    Drain,
}

/// Settings of the shop.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Backlog to pass to listen(2)
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub backlog: c_int,
    /// Who serves the connections
    #[arg(long, value_enum, default_value_t = Serve::Threads)]
    pub serve: Serve,
    /// Workers, or shards
    #[command(flatten)]
    pub workers: WorkerOptions,
    /// Look up the names of clients, for the log
    #[arg(long, value_enum, default_value_t = Names::Off)]
    pub names: Names,
    /// Close a connection that was idle for this long (not with the event loop)
    #[arg(long, default_value = "75s", value_name = "TIME", value_parser = parse_duration)]
    pub keep_alive: Duration,
    /// Keep the session of a client that has left for this long
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_duration)]
    pub resume_for: Duration,
    /// How answers are written
    #[arg(long, value_enum, default_value_t = Write::Whole)]
    pub write: Write,
    /// Set TCP_NODELAY
    #[arg(long)]
    pub nodelay: bool,
    /// Where reports are made
    #[arg(long, value_enum, default_value_t = Reports::Pool)]
    pub reports: Reports,
    /// Largest body of a request, bytes
    #[arg(long, default_value_t = 4_194_304, value_name = "BYTES")]
    pub max_body: usize,
    /// What becomes of a request with a larger one
    #[arg(long, value_enum, default_value_t = TooLarge::Drain)]
    pub too_large: TooLarge,
}

/// Serves until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    acceptors::run(options)
}
