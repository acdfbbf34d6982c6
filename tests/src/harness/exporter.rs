//! A running `backscope export`, and a Prometheus that scrapes it.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::json::Value;
use super::{Process, World, net, web};

/// A running exporter, killed when the guard is dropped.
#[derive(Debug)]
pub struct Exporter {
    process: Process,
    /// Where it serves.
    pub addr: SocketAddr,
}

impl Exporter {
    /// Starts one that serves at a free port, and waits until it answers.
    pub fn start<S: AsRef<OsStr>>(
        world: &World,
        args: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Self> {
        Self::start_with(world, args, &[])
    }

    /// Starts it with these variables in its environment.
    pub fn start_with<S: AsRef<OsStr>>(
        world: &World,
        args: impl IntoIterator<Item = S>,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
        let mut command = world.agent_command(&["export", "--interval", "200ms"]);
        command.args(["--prometheus", &addr.to_string()]).args(args);
        command.envs(variables.iter().copied());
        let mut exporter = Self { process: Process::start(command)?, addr };
        await_it(world.patience(), "a page of metrics", || {
            if let Some(status) = exporter.process.ended()? {
                anyhow::bail!("it ended with {status}: {}", exporter.process.finish());
            }
            let page = exporter.page().unwrap_or_default();
            Ok(page.contains("backscope_records_total"))
        })?;
        Ok(exporter)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Scrapes it.
    pub fn page(&self) -> anyhow::Result<String> {
        let answer = web::get(self.addr, "/metrics", &[])?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    }

    /// Ends it with SIGINT. Returns its status and what it said.
    pub fn stop(mut self) -> anyhow::Result<(ExitStatus, String)> {
        self.process.signal(libc::SIGINT);
        let status = self.process.wait(Duration::from_secs(20))?;
        Ok((status, self.process.finish()))
    }
}

/// Sum of the values of all series of a metric whose labels have all of these.
pub fn sum_of(page: &str, metric: &str, labels: &[&str]) -> Option<f64> {
    let mut sum = None;
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(metric) else { continue };
        if !rest.starts_with(['{', ' ']) || !labels.iter().all(|label| rest.contains(label)) {
            continue;
        }
        let value: f64 = rest.rsplit(' ').next()?.parse().ok()?;
        sum = Some(sum.unwrap_or(0.0) + value);
    }
    sum
}

/// Waits until it is so.
pub fn await_it(
    patience: Duration,
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "no {what} in {patience:?}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The folder with the files for a fleet.
pub fn fleet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet")
}

/// A Prometheus that scrapes every second, with the alert rules of `docs/fleet`.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    _folder: tempfile::TempDir,
    addr: SocketAddr,
}

impl Prometheus {
    /// Starts it; `None` if there is none.
    pub fn start(
        world: &World,
        targets: &[SocketAddr],
        native: bool,
    ) -> anyhow::Result<Option<Self>> {
        if Command::new("prometheus").arg("--version").output().is_err() {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let targets: Vec<String> = targets.iter().map(|it| format!("'{it}'")).collect();
        let rules = fleet().join("alerts.yml").canonicalize()?;
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n- job_name: backscope\n  static_configs: [{{targets: [{}]}}]\n",
            rules.display(),
            targets.join(", ")
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config)?;
        let addr = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"));
        if native {
            command.arg("--enable-feature=native-histograms");
        }
        let process = Process::start(command)?;
        let prometheus = Self { _process: process, _folder: folder, addr };
        await_it(world.patience(), "Prometheus", || {
            Ok(web::get(addr, "/-/ready", &[]).is_ok_and(|answer| answer.status == 200))
        })?;
        Ok(Some(prometheus))
    }

    /// Evaluates an expression now: the series that it gives.
    ///
    /// # Errors
    /// The expression is none.
    pub fn query(&self, expression: &str) -> anyhow::Result<Vec<Value>> {
        let answer = web::get_json(self.addr, "/api/v1/query", &[("query", expression)])?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().cloned().context("no result")
    }

    /// Evaluates an expression that gives one number.
    pub fn number(&self, expression: &str) -> anyhow::Result<Option<f64>> {
        let series = self.query(expression)?;
        let Some(first) = series.first() else { return Ok(None) };
        let text = first["value"][1].as_str().with_context(|| format!("{first}"))?;
        Ok(Some(text.parse()?))
    }

    /// Names of the alerts in this state.
    pub fn alerts(&self, state: &str) -> anyhow::Result<Vec<String>> {
        let answer = web::get_json(self.addr, "/api/v1/alerts", &[])?;
        let all = answer["data"]["alerts"].as_array().context("no alerts")?;
        let mut names = Vec::new();
        for alert in all.iter().filter(|alert| alert["state"] == state) {
            names.push(alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned());
        }
        Ok(names)
    }
}
