//! Listens and never accepts: the kernel finishes handshakes until the queue is full, and no line of the program runs.

use std::ffi::c_int;
use std::io;
use std::thread;

use clap::Args;

use crate::sock::{ListenOptions, announce, raise_open_files};

/// Knobs of the server that never accepts.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Listeners to open, each on a port of its own (then the port must be 0)
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub listeners: usize,
    /// On a line on standard input call listen(2) again, with this backlog
    #[arg(long, value_name = "N")]
    pub relisten: Option<c_int>,
}

/// Listens until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    raise_open_files();
    let first = options.listen.open()?;
    let mut more = Vec::new();
    for _ in 1..options.listeners {
        let listener = options.listen.bind(false)?;
        listener.listen(options.listen.backlog)?;
        more.push(listener);
    }
    if options.listeners > 1 {
        announce(format_args!("listeners {}", more.len() + 1));
    }
    if let Some(backlog) = options.relisten {
        io::stdin().read_line(&mut String::new())?;
        first.listen(backlog)?;
        announce(format_args!("relistened {backlog}"));
    }
    loop {
        thread::park();
    }
}
