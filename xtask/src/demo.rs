//! `cargo xtask demo`: a server with a tiny backlog that accepts too late, load on it, and
//! `backscope watch` beside it.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::background::Background;
use crate::step::{self, Step};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Sleep of the server before each accept
    #[arg(long, value_name = "TIME", default_value = "300ms")]
    accept_delay: String,
    /// Backlog of the server
    #[arg(long, value_name = "N", default_value = "16")]
    backlog: String,
    /// Connections the load begins
    #[arg(long, value_name = "N/UNIT", default_value = "50/s")]
    rate: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let step = Step::start("building backscope and the demo servers");
    let mut build = step::cargo();
    build.current_dir(step::root()).args([
        "build",
        "--quiet",
        "--bins",
        "-p",
        "backscope",
        "-p",
        "backscope-demo-servers",
    ]);
    step::run(&mut build)?;
    step.done("built");
    let bin = step::target_dir().join("debug");
    outlive_interrupts();

    let (server, address) = start_server(args, &bin)?;
    eprintln!("==> the server is process {}, {address}: backlog {}", server.0.id(), args.backlog);
    eprintln!(
        "    it sleeps {} before each accept, and is offered connections at {}",
        args.accept_delay, args.rate
    );
    let mut load = Command::new(bin.join("demo-servers"));
    load.args(["load", "--target", &address, "--rate", &args.rate, "--concurrency", "64"]);
    let _load = Background::start(load.stdout(Stdio::null()))?;

    let mut watch = step::privileged(bin.join("backscope"), "watch the server with BPF programs");
    watch.args(["watch", "--pid", &server.0.id().to_string()]);
    if !std::io::stdout().is_terminal() {
        watch.args(["--plain", "--duration", "10s"]);
    }
    step::run(&mut watch)
}

/// Starts the server and returns it with the address on which it listens.
fn start_server(args: &Args, bin: &Path) -> Result<(Background, String)> {
    let mut command = Command::new(bin.join("demo-servers"));
    command.args(["slow-acceptor", "--listen", "127.0.0.1:0", "--backlog", &args.backlog]);
    command.args(["--accept-delay", &args.accept_delay]).stdout(Stdio::piped());
    let mut server = Background::start(&mut command)?;
    let mut lines =
        BufReader::new(server.0.stdout.take().context("the server has no output")?).lines();
    let address = loop {
        let line = lines.next().context("the server ended before it listened")??;
        if let Some(address) = line.strip_prefix("listening on ") {
            break address.split_whitespace().next().unwrap_or_default().to_owned();
        }
    };
    // Nobody reads what else the server prints, but the pipe has to stay open.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((server, address))
}

/// Keeps this process alive at Ctrl-C, which ends the program in the foreground. This process then
/// ends the others.
fn outlive_interrupts() {
    extern "C" fn ignore(_signal: libc::c_int) {}
    // SAFETY: the handler does nothing. Unlike SIG_IGN it is not inherited by the programs started
    // here.
    unsafe { libc::signal(libc::SIGINT, ignore as *const () as libc::sighandler_t) };
}
