//! nginx with one worker, and wrk to load it: a processor for each.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::throughput::Subject;
use crate::background::{Background, pin};
use crate::step;

const ADDRESS: &str = "127.0.0.1:8099";

/// No file is read and no line is logged, so that a request costs nginx as little as possible.
const CONFIG: &str = "daemon off; master_process off; pid nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
    scgi_temp_path t5;
    server { listen 127.0.0.1:8099; location / { return 200 ok; } location /count { stub_status; } }
}
";

/// Where another nginx listens, which nobody asks.
const IDLE_ADDRESS: &str = "127.0.0.1:8098";

/// The connections over which requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Load {
    /// Connections that stay open
    KeepAlive,
    /// A connection for each request
    #[value(name = "connections")]
    ConnectionEach,
}

impl Load {
    pub(super) const ALL: [Self; 2] = [Self::KeepAlive, Self::ConnectionEach];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::ConnectionEach => "a connection a request",
        }
    }
}

/// Counts of wrk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) requests: f64,
    /// Requests a second.
    pub(super) rate: f64,
}

impl Answered {
    fn read(said: &str) -> Option<Self> {
        let lines = || said.lines().map(str::trim);
        let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
        let rate =
            lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
        Some(Self { requests, rate })
    }
}

/// A running nginx.
pub(super) struct Nginx {
    process: Background,
    wrk: PathBuf,
}

impl Nginx {
    /// Starts it on processor 0. Says so and returns `None` if nginx or wrk is not installed.
    pub(super) fn start(bench: &Bench) -> Result<Option<Self>> {
        let (Some(nginx), Some(wrk)) = (step::which("nginx"), step::which("wrk")) else {
            eprintln!(
                "    nginx or wrk is not installed (`cargo xtask setup`): no requests to nginx \
                 measured"
            );
            return Ok(None);
        };
        let process = Self::serve(&nginx, &bench.dir, ADDRESS)?;
        Ok(Some(Self { process, wrk }))
    }

    /// Starts one that nobody asks.
    ///
    /// # Errors
    /// If nginx is not installed, or does not listen.
    pub(super) fn idle(dir: &Path) -> Result<Background> {
        let nginx = step::which("nginx").context("nginx is not installed (`cargo xtask setup`)")?;
        Self::serve(&nginx, dir, IDLE_ADDRESS)
    }

    fn serve(nginx: &Path, dir: &Path, address: &str) -> Result<Background> {
        let config = dir.join(format!("{address}.conf"));
        let pid = format!("{address}.pid");
        fs::write(&config, CONFIG.replace(ADDRESS, address).replace("nginx.pid", &pid))?;
        let mut command = Command::new(nginx);
        command
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(&config)
            .args(["-e", "stderr"])
            .stderr(Stdio::null());
        let process = Background::start(pin(&mut command, 0))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("nginx does not listen on {address}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Runs wrk for so long on processor 1, with 16 connections at a time.
    pub(super) fn load(&self, load: Load, seconds: u64) -> Result<Answered> {
        let said = step::output(&mut self.wrk(load, seconds))?;
        warn_of_errors(&said);
        Answered::read(&said).with_context(|| format!("wrk does not say what it did: {said}"))
    }

    /// Starts wrk, which runs until the result is ended.
    pub(super) fn load_on(&self, load: Load) -> Result<Loaded> {
        const A_DAY: u64 = 86_400;
        // Opened now and kept, so that reading the counts makes no new connection.
        let counter = TcpStream::connect(ADDRESS).context("nginx does not listen any more")?;
        let wrk = Background::start(self.wrk(load, A_DAY).stdout(Stdio::piped()))?;
        Ok(Loaded { load, server: [self.pid()], wrk, counter })
    }

    fn wrk(&self, load: Load, seconds: u64) -> Command {
        let mut wrk = Command::new(&self.wrk);
        wrk.args(["-t1", "-c16", &format!("-d{seconds}s")]);
        if load == Load::ConnectionEach {
            wrk.args(["-H", "Connection: close"]);
        }
        pin(&mut wrk, 1).arg(format!("http://{ADDRESS}/"));
        wrk
    }
}

fn warn_of_errors(said: &str) {
    for line in said.lines().map(str::trim) {
        if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            eprintln!("    wrk says: {line}");
        }
    }
}

/// nginx while wrk asks.
pub(super) struct Loaded {
    load: Load,
    server: [u32; 1],
    wrk: Background,
    counter: TcpStream,
}

impl Loaded {
    /// Ends the load.
    pub(super) fn end(mut self) -> Result<()> {
        // SAFETY: a plain system call; the process has not been waited for, so the id is still its
        // own.
        unsafe { libc::kill(self.client() as libc::pid_t, libc::SIGINT) };
        let mut said = String::new();
        self.wrk.0.stdout.take().context("wrk has no output")?.read_to_string(&mut said)?;
        warn_of_errors(&said);
        Ok(())
    }
}

impl Subject for Loaded {
    fn name(&self) -> String {
        format!("nginx, {}", self.load.name())
    }

    fn server(&self) -> &[u32] {
        &self.server
    }

    fn client(&self) -> u32 {
        self.wrk.0.id()
    }

    fn count(&mut self) -> Result<f64> {
        self.counter.write_all(b"GET /count HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut answer = [0; 2_048];
        let length = self.counter.read(&mut answer)?;
        let text = String::from_utf8_lossy(&answer[..length]);
        requests_of(&text).with_context(|| format!("nginx does not say what it answered: {text}"))
    }
}

/// Returns the requests in the text of `stub_status`: the third number of its line of accepted and
/// handled connections and requests.
fn requests_of(status: &str) -> Option<f64> {
    let (_, counts) = status.split_once("accepts handled requests")?;
    counts.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Answered, requests_of};

    #[test]
    fn what_nginx_counts() {
        let said = "Active connections: 17 \nserver accepts handled requests\n 21 21 912345 \n\
                    Reading: 0\n";
        assert_eq!(requests_of(said), Some(912_345.0));
        assert_eq!(requests_of("HTTP/1.1 404 Not Found\r\n"), None);
    }

    #[test]
    fn what_wrk_says() {
        let said =
            "Running 2s test\n  213843 requests in 2.10s, 30.39MB read\nRequests/sec: 101777.56\n";
        assert_eq!(Answered::read(said), Some(Answered { requests: 213_843.0, rate: 101_777.56 }));
        assert_eq!(Answered::read("unable to connect"), None);
    }
}
