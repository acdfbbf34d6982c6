//! Listens and never accepts. The kernel finishes handshakes until the queue is full, without any
//! help of the program.

use std::ffi::c_int;
use std::io;
use std::thread;

use anyhow::Context;
use clap::Args;

use crate::sock::{ListenOptions, announce, raise_open_files};

/// Knobs of the server that never accepts.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Listeners to open, on consecutive ports (with port 0: on free ones)
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub listeners: usize,
    /// When a line comes on standard input, call listen(2) again, with this backlog
    #[arg(long, value_name = "N")]
    pub relisten: Option<c_int>,
}

/// Listens until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    raise_open_files();
    let first = options.listen.open()?;
    let mut more = Vec::new();
    let mut next = options.listen.clone();
    for _ in 1..options.listeners {
        if next.listen.port() != 0 {
            next.listen
                .set_port(next.listen.port().checked_add(1).context("there are no further ports")?);
        }
        let listener = next.bind(false)?;
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
