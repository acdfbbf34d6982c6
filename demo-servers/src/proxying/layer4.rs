//! A balancer of connections. It chooses a server for each connection, and copies bytes without
//! looking at them.

use std::sync::Arc;

use clap::Args;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::{BackendOptions, Backends, Chosen};
use crate::demo::Launcher;
use crate::http::{accept_all, listen, run as run_server};
use crate::sock::{ListenOptions, announce};

/// Knobs of the balancer.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// The servers behind it
    #[command(flatten)]
    pub backends: BackendOptions,
    /// The servers behind it speak HTTP/2 without TLS; the balancer knows nothing of that
    #[arg(long)]
    pub h2c: bool,
    /// Print a line when a connection has ended: `copied BYTES BYTES`, to the server and to the
    /// client
    #[arg(long)]
    pub trace: bool,
}

/// Serves until signalled.
pub fn run(options: &Options, launcher: &Launcher) -> anyhow::Result<()> {
    let knobs: &[&str] = if options.h2c { &["--h2c"] } else { &[] };
    let backends: Arc<Backends> = Backends::start(&options.backends, launcher, knobs)?;
    run_server("balancer", async {
        let listener = listen(&options.listen)?;
        accept_all(&listener, |client| copy(client, backends.choose(), options.trace)).await
    })
}

/// Copies until both sides have closed.
async fn copy(mut client: TcpStream, chosen: Chosen, trace: bool) {
    let copied = async {
        let mut server = TcpStream::connect(chosen.address()).await?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    // When one side ends, the other is closed, too.
    if let (Ok((up, down)), true) = (copied.await, trace) {
        announce(format_args!("copied {up} {down}"));
    }
}
