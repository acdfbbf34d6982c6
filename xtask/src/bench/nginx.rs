//! nginx with one worker, and wrk to load it: a processor for each.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::background::{Background, pin};
use crate::step;

const ADDRESS: &str = "127.0.0.1:8099";

/// No file is read and no line is logged: a request costs the least that nginx can make it cost.
const CONFIG: &str = "daemon off; master_process off; pid nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server { listen 127.0.0.1:8099; location / { return 200 ok; } }
}
";

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    KeepAlive,
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

/// What wrk counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) requests: f64,
    /// A second.
    pub(super) rate: f64,
}

impl Answered {
    fn read(said: &str) -> Option<Self> {
        let lines = || said.lines().map(str::trim);
        let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
        let rate = lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
        Some(Self { requests, rate })
    }
}

/// A running nginx.
pub(super) struct Nginx {
    process: Background,
    wrk: PathBuf,
}

impl Nginx {
    /// Starts it on processor 0; `None` if it or wrk is not installed, which is said.
    pub(super) fn start(bench: &Bench) -> Result<Option<Self>> {
        let (Some(nginx), Some(wrk)) = (step::which("nginx"), step::which("wrk")) else {
            eprintln!("    nginx or wrk is not installed (`cargo xtask setup`): no requests to nginx measured");
            return Ok(None);
        };
        let process = Self::serve(&nginx, &bench.dir)?;
        Ok(Some(Self { process, wrk }))
    }

    fn serve(nginx: &Path, dir: &Path) -> Result<Background> {
        let config = dir.join("nginx.conf");
        fs::write(&config, CONFIG)?;
        let mut command = Command::new(nginx);
        command.arg("-p").arg(dir).arg("-c").arg(&config).args(["-e", "stderr"]).stderr(Stdio::null());
        let process = Background::start(pin(&mut command, 0))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(ADDRESS).is_err() {
            if Instant::now() > deadline {
                bail!("nginx does not listen on {ADDRESS}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Lets wrk ask for so long, on processor 1, with 16 connections at a time.
    pub(super) fn load(&self, load: Load, seconds: u64) -> Result<Answered> {
        let mut wrk = Command::new(&self.wrk);
        wrk.args(["-t1", "-c16", &format!("-d{seconds}s")]);
        if load == Load::ConnectionEach {
            wrk.args(["-H", "Connection: close"]);
        }
        let said = step::output(pin(&mut wrk, 1).arg(format!("http://{ADDRESS}/")))?;
        for line in said.lines().map(str::trim) {
            if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
                eprintln!("    wrk says: {line}");
            }
        }
        Answered::read(&said).with_context(|| format!("wrk does not say what it did: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Answered;

    #[test]
    fn what_wrk_says() {
        let said = "Running 2s test\n  213843 requests in 2.10s, 30.39MB read\nRequests/sec: 101777.56\n";
        assert_eq!(Answered::read(said), Some(Answered { requests: 213_843.0, rate: 101_777.56 }));
        assert_eq!(Answered::read("unable to connect"), None);
    }
}
