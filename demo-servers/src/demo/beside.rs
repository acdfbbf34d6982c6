//! The client of a demo whose server is watched by the program that started both. It is a process
//! of its own: a watch gives up what a client needs, and threads of one process are not apart.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use super::{Choice, Client, Launcher, Stop, await_server_and_run, far, print_report};
use crate::sock::announce;

/// The verb of the process.
pub(crate) const VERB: &str = "client-beside";
/// The line by which it says that it waits for the server's address.
const READY: &str = "ready";

/// Knobs of the process.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Be the link to the server, too, with this round-trip time
    #[arg(long, value_name = "TIME", value_parser = far::rtt)]
    rtt: Option<Duration>,
    /// Lose this share of the packets, percent
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    loss: u8,
    /// The client's verb and its knobs
    #[arg(last = true, required = true)]
    client: Vec<OsString>,
}

/// Runs the process: takes the server's address as a line on standard input, runs the client until
/// its work is done or standard input ends, and prints what it found.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let client = Client::of_args(&options.client)?;
    if let Some(rtt) = options.rtt {
        far::link(rtt, options.loss)?;
    }
    announce(format_args!("{READY}"));
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        return Ok(());
    }
    let server: SocketAddr = line.trim().parse().context("the server's address")?;
    let stop = Arc::new(Stop::with_server(server));
    let told = Arc::clone(&stop);
    thread::spawn(move || {
        // An error is an end, too.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        told.stop();
    });
    let seen = far::seen_from_client(options.rtt, server);
    if let Some(report) = await_server_and_run(&client, (server, seen), &stop)? {
        print_report(&report);
    }
    Ok(())
}

/// A client as a process of its own. It ends when this is dropped, and when this process ends.
#[derive(Debug)]
pub struct ClientBeside {
    child: Child,
    /// Its end tells the process to stop.
    stdin: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl ClientBeside {
    /// Starts the client of this demo, which waits for [`begin`](Self::begin). With a round-trip
    /// time, the calling thread gets a network namespace of its own before, and the process is the
    /// link, too.
    ///
    /// # Errors
    /// As [`Choice::go_far`]; or the process does not start.
    pub fn start(choice: &mut Choice, launcher: &Launcher) -> anyhow::Result<Self> {
        let rtt = choice.enter_network()?;
        let mut command = Command::new(&launcher.program);
        command.args(&launcher.prefix).arg(VERB);
        if let Some(rtt) = rtt {
            command.arg(format!("--rtt={}", humantime::format_duration(rtt)));
            command.arg(format!("--loss={}", choice.run.loss));
        }
        command.arg("--").args(&choice.client_args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the watch: the client ends after it.
        command.process_group(0);
        let mut child = command.spawn().context("cannot start the demo's client")?;
        let stdin = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the client has no output")?);
        let mut client = Self { child, stdin, output };
        let mut line = String::new();
        client.output.read_line(&mut line)?;
        ensure!(line.trim() == READY, "the demo's client did not start");
        Ok(client)
    }

    /// Lets it wait for the server at this address, and run.
    ///
    /// # Errors
    /// It has ended.
    pub fn begin(&mut self, server: SocketAddr) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(format!("{server}\n").as_bytes()),
            None => Ok(()),
        }
    }

    /// Tells it to stop, waits until it has, and returns what it printed.
    ///
    /// # Errors
    /// Its output cannot be read.
    pub fn end(mut self) -> io::Result<String> {
        self.stdin.take();
        let mut printed = Vec::new();
        self.output.read_to_end(&mut printed)?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }
}

impl Drop for ClientBeside {
    fn drop(&mut self) {
        // Who has given up the right to send signals has told it to stop all the same.
        self.stdin.take();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
