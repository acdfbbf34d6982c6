//! One thread for everything: it accepts, reads and answers.

use clap::Args;

use super::ServerOptions;
use super::event_loop::EventLoop;
use crate::naming::name_thread;
use crate::sock;

/// Knobs of the single thread.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The server
    #[command(flatten)]
    pub server: ServerOptions,
    /// Serve one connection to its end, then accept the next, instead of serving all in one epoll
    /// loop
    #[arg(long)]
    pub blocking: bool,
}

/// Serves until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.blocking { one_by_one(&options.server) } else { by_events(&options.server) }
}

/// Serves all connections in one epoll loop.
pub(crate) fn by_events(server: &ServerOptions) -> anyhow::Result<()> {
    server.prepare()?;
    name_thread("event-loop");
    let listener = server.open_nonblocking()?;
    let events = EventLoop::new(&server.service)?;
    events.listen(&listener, 0)?;
    sock::announce_listener(&listener)?;
    Ok(events.run(|| match server.accept(&listener)? {
        Some(accepted) => events.take(accepted),
        None => Ok(()),
    })?)
}

fn one_by_one(server: &ServerOptions) -> anyhow::Result<()> {
    server.prepare()?;
    name_thread("one-by-one");
    let listener = server.listen.open()?;
    loop {
        if let Some(accepted) = server.accept(&listener)? {
            server.service.serve(accepted);
        }
    }
}
