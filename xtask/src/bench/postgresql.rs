//! PostgreSQL under pgbench.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::process::tree;
use super::throughput::Subject;
use crate::background::{Background, pin};
use crate::step;

const PORT: &str = "8095";
const CLIENTS: &str = "4";

/// A PostgreSQL that is asked for a row by four connections.
pub(super) struct PostgreSql {
    client: Background,
    said: BufReader<ChildStderr>,
    counted: Counted,
    /// The processes of the server; the first has started the others.
    server: Vec<u32>,
    _server: Background,
}

/// Transactions up to a time, from the lines of pgbench.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counted {
    /// The time of the last line, seconds of the epoch.
    at: f64,
    transactions: f64,
}

impl PostgreSql {
    /// Starts both. Says so and returns `None` if they are not installed.
    pub(super) fn start(bench: &Bench) -> Result<Option<Self>> {
        let (Some(programs), Some(user)) = (programs(), user("postgres")) else {
            eprintln!("    postgresql is not installed (`cargo xtask setup`): left out");
            return Ok(None);
        };
        let folder = bench.dir.join("postgresql");
        fs::create_dir(&folder)?;
        std::os::unix::fs::chown(&folder, Some(user.0), Some(user.1))?;
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.uid(user.0).gid(user.1).current_dir(&folder);
            command
        };
        let pgbench = || {
            let mut command = command("pgbench");
            command.args(["-h", "127.0.0.1", "-p", PORT, "-U", "postgres"]);
            command
        };
        let mut init = command("initdb");
        step::output(init.args(["-A", "trust", "-U", "postgres", "-N", "-D", "data"]))?;
        let mut server = command("postgres");
        server.args(["-D", "data", "-p", PORT, "-h", "127.0.0.1", "-k"]).arg(&folder);
        server.args(["-c", "fsync=off"]).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Background::start(pin(&mut server, 0))?;
        let deadline = Instant::now() + Duration::from_secs(30);
        // It listens while it still starts, and rejects clients.
        while let Err(error) = step::output(pgbench().args(["-i", "-q", "postgres"])) {
            if Instant::now() > deadline {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut client = pgbench();
        client.args(["-S", "-c", CLIENTS, "-T", "86400", "-P", "1", "--progress-timestamp"]);
        client.arg("postgres").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut client = Background::start(pin(&mut client, 1))?;
        let said = BufReader::new(client.0.stderr.take().context("pgbench has no output")?);
        let first = server.0.id();
        let mut started =
            Self { client, said, counted: Counted::default(), server: vec![], _server: server };
        // After a line of pgbench its connections have their processes.
        started.count()?;
        started.server = tree(first)?;
        Ok(Some(started))
    }
}

impl Subject for PostgreSql {
    fn name(&self) -> String {
        "PostgreSQL, pgbench -S".to_owned()
    }

    fn server(&self) -> &[u32] {
        &self.server
    }

    fn client(&self) -> u32 {
        self.client.0.id()
    }

    /// Waits for the next line of pgbench, of which there is one a second.
    fn count(&mut self) -> Result<f64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        while self.counted.at < now {
            let mut line = String::new();
            if self.said.read_line(&mut line)? == 0 {
                bail!("pgbench has ended");
            }
            self.counted.add(&line);
        }
        Ok(self.counted.transactions)
    }
}

impl Counted {
    /// Adds a line of `--progress-timestamp`; other lines change nothing.
    fn add(&mut self, line: &str) {
        let Some((at, rate)) = progress(line) else { return };
        // The first line's interval has begun with the program: about a second before.
        let begin = if self.at == 0.0 { at - 1.0 } else { self.at };
        *self = Self { at, transactions: self.transactions + rate * (at - begin) };
    }
}

/// Returns time and rate of `progress: 1700000000.123 s, 5000.1 tps, lat …`.
fn progress(line: &str) -> Option<(f64, f64)> {
    let mut parts = line.strip_prefix("progress: ")?.split(", ");
    let at = parts.next()?.strip_suffix(" s")?.parse().ok()?;
    let rate = parts.next()?.strip_suffix(" tps")?.parse().ok()?;
    Some((at, rate))
}

/// Returns the folder in which the distribution keeps its programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let has_all = |place: &PathBuf| {
        ["initdb", "postgres", "pgbench"].iter().all(|program| place.join(program).exists())
    };
    versions.map(|version| version.path().join("bin")).filter(has_all).min()
}

/// Returns the ids of the user of that name: PostgreSQL refuses to run as root.
fn user(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields =
        users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_says() {
        let mut counted = Counted::default();
        counted.add("pgbench (15.8)\n");
        assert_eq!(counted, Counted::default());
        counted.add("progress: 1700000001.000 s, 5000.0 tps, lat 0.2 ms stddev 0.1, 0 failed\n");
        counted.add("progress: 1700000003.000 s, 4000.0 tps, lat 0.2 ms stddev 0.1, 0 failed\n");
        assert_eq!(counted, Counted { at: 1_700_000_003.0, transactions: 13_000.0 });
    }
}
