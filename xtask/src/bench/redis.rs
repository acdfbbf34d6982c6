//! Redis under redis-benchmark.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::throughput::Subject;
use crate::background::{Background, pin};
use crate::step;

const PORT: u16 = 8096;

/// A Redis that is asked for a value by 16 connections.
pub(super) struct Redis {
    client: Background,
    /// Opened once and kept, so that reading the count makes no new connection.
    counter: TcpStream,
    server: [u32; 1],
    _server: Background,
}

impl Redis {
    /// Starts both. Says so and returns `None` if they are not installed.
    pub(super) fn start() -> Result<Option<Self>> {
        let (Some(server), Some(client)) =
            (step::which("redis-server"), step::which("redis-benchmark"))
        else {
            eprintln!("    redis is not installed (`cargo xtask setup`): left out");
            return Ok(None);
        };
        let port = PORT.to_string();
        let mut command = Command::new(server);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--appendonly", "no", "--save", ""]);
        let server = Background::start(pin(command.stdout(Stdio::null()), 0))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let counter = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)) {
                Ok(counter) => break counter,
                Err(_) if Instant::now() < deadline => {}
                Err(_) => bail!("redis does not listen on port {PORT}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut command = Command::new(client);
        // As many requests as it can count.
        command.args(["-p", &port, "-c", "16", "-t", "get", "-n", "2000000000", "-q"]);
        let client = Background::start(pin(command.stdout(Stdio::null()), 1))?;
        Ok(Some(Self { client, counter, server: [server.0.id()], _server: server }))
    }
}

impl Subject for Redis {
    fn name(&self) -> String {
        "Redis, GET".to_owned()
    }

    fn server(&self) -> &[u32] {
        &self.server
    }

    fn client(&self) -> u32 {
        self.client.0.id()
    }

    fn count(&mut self) -> Result<f64> {
        self.counter.write_all(b"INFO stats\r\n")?;
        let mut text = String::new();
        let mut answer = [0; 4_096];
        loop {
            let length = self.counter.read(&mut answer)?;
            text += &String::from_utf8_lossy(&answer[..length]);
            if length == 0 || is_whole(&text) {
                return commands(&text).context("redis does not say what it answered");
            }
        }
    }
}

/// Returns whether this is a whole string of the protocol: `$LENGTH`, and so many bytes.
fn is_whole(text: &str) -> bool {
    let Some((length, rest)) = text.strip_prefix('$').and_then(|text| text.split_once("\r\n"))
    else {
        return false;
    };
    length.parse().is_ok_and(|length: usize| rest.len() >= length + 2)
}

/// Returns the commands since the start, from the answer to `INFO`.
fn commands(info: &str) -> Option<f64> {
    let line = |line: &str| line.strip_prefix("total_commands_processed:")?.trim().parse().ok();
    info.lines().find_map(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_counts() {
        let body = "# Stats\r\ntotal_connections_received:17\r\ntotal_commands_processed:1234\r\n";
        let whole = format!("${}\r\n{body}\r\n", body.len());
        assert!(is_whole(&whole) && !is_whole(&whole[..whole.len() - 1]) && !is_whole("$5"));
        assert_eq!(commands(&whole), Some(1_234.0));
        assert_eq!(commands("-NOAUTH"), None);
    }
}
