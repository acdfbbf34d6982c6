//! Answers every line with a message, by a thread a connection or by one epoll loop: the server of
//! the tests.

use clap::Args;

use crate::execution::memory::MemoryOptions;
use crate::execution::{ServerOptions, per_connection, single_thread};

/// Knobs of the request-response server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The server
    #[command(flatten)]
    pub server: ServerOptions,
    /// Serve all connections in one epoll loop, instead of each in its own thread
    #[arg(long)]
    pub epoll: bool,
}

/// Serves until signalled.
///
/// With `--trace` it prints `accepted FD PEER-PORT ENTERED-NS RETURNED-NS`, then for each answer
/// `exchange` and at the end of a connection `closed`, both followed by `name=value` words.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.epoll {
        single_thread::by_events(&options.server)
    } else {
        per_connection::serve_by_threads(&options.server, &MemoryOptions::default())
    }
}
