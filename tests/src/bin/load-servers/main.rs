//! Loads each real server for so many seconds while the agent watches it, and prints the agent's
//! figures of each.
//!
//! `cargo xtask bench --only servers` runs `load-servers SECONDS` in a network namespace of its
//! own, with the agent in `BACKSCOPE_BIN`. `cargo xtask accuracy --healthy` runs `load-servers
//! SECONDS SERVER…` for the servers that it names.

mod tally;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use backscope_tests::harness::{Skip, Talk, World, talk};
use backscope_tests::servers::{ALL, PORT, Server};

use tally::Tally;

const CONNECTIONS: usize = 4;

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("load-servers SECONDS")?;
    println!(
        "{:<16} {:>10} {:>10} {:>6} {:>8} {:>9} {:>6} {:>9} {:>7} {:>8} {:>9}  BYTES",
        "SERVER",
        "ANSWERS",
        "EXCHANGES",
        "APP %",
        "KERNEL %",
        "NETWORK %",
        "PEER %",
        "UNKNOWN %",
        "LOST",
        "UNTILED",
        "WARNINGS"
    );
    let named: Vec<String> = std::env::args().skip(2).collect();
    for server in
        ALL.iter().filter(|server| named.is_empty() || named.iter().any(|name| name == server.name))
    {
        match load(server, Duration::from_secs(seconds)) {
            Ok((tally, talks)) => {
                println!("{:<16} {}", server.name, row(&tally, &talks)?);
                tally.said.iter().for_each(|said| println!("{:<16} {said}", ""));
            }
            Err(error) if error.is::<Skip>() => println!("{:<16} {error}", server.name),
            Err(error) => bail!("{}: {error:#}", server.name),
        }
    }
    Ok(())
}

/// Loads one server, and returns the agent's sums and the clients' counts.
fn load(server: &Server, length: Duration) -> anyhow::Result<(Tally, Vec<Talk>)> {
    let world = World::new(false, None);
    let running = server.start(&world)?;
    let mut command = Command::new(world.agent());
    command
        .args(["watch", "--json", "--pid", &running.process.pid().to_string()])
        .stdout(Stdio::piped());
    let mut agent = Agent(command.spawn().context("starting the agent")?);
    let output = agent.0.stdout.take().context("the agent has no output")?;
    let reader = tally::Reader::start(output);
    reader.await_first(world.patience())?;
    let end = Instant::now() + length;
    let talks = talk(([127, 0, 0, 1], PORT).into(), server.protocol, CONNECTIONS, |_| {
        Instant::now() < end
    })?;
    reader.await_connections(talks.len(), world.patience())?;
    agent.end(world.patience())?;
    Ok((reader.finish()?, talks))
}

fn row(tally: &Tally, talks: &[Talk]) -> anyhow::Result<String> {
    let right = |talk: &&Talk| tally.bytes(talk.port) == Some((talk.sent, talk.received));
    let wrong = talks.len() - talks.iter().filter(right).count();
    let answers: u64 = talks.iter().map(|talk| talk.answers).sum();
    let [app, kernel, network, peer, unknown] = tally.shares()?.map(|share| share * 100.0);
    let (exchanges, lost) = (tally.summary("/exchanges")?, tally.summary("/events/lost")?);
    let bytes = if wrong == 0 {
        "equal".to_owned()
    } else {
        format!("differ on {wrong} of {}", talks.len())
    };
    Ok(format!(
        "{answers:>10} {exchanges:>10} {app:>6.1} {kernel:>8.1} {network:>9.1} {peer:>6.1} \
         {unknown:>9.3} {lost:>7} {:>8} {:>9}  {bytes}",
        tally.untiled, tally.warnings
    ))
}

/// A running agent, killed when the guard is dropped.
struct Agent(Child);

impl Agent {
    fn end(&mut self, patience: Duration) -> anyhow::Result<()> {
        // SAFETY: a plain system call; the child has not been waited for, so the id is its own.
        unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGINT) };
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "the agent ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the agent does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already unless something failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
