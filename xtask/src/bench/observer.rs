//! Programs that observe what is measured: `backscope watch` and tcpdump.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bench;
use crate::background::Background;

/// A program that runs until it is told to end. It writes into a file: a reader at a pipe would
/// take processor time from what is measured.
pub(super) struct Observer {
    process: Background,
    output: PathBuf,
}

/// How one knows that a program observes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ready {
    /// It says these words.
    Says(&'static str),
    /// It holds a BPF program that is attached.
    HoldsBpf,
}

impl Observer {
    /// Starts `backscope watch --pid`, and returns once the probes are attached.
    pub(super) fn watch(
        bench: &Bench,
        backscope: &Path,
        pids: &[u32],
        options: &[&str],
    ) -> Result<Self> {
        let output = bench.dir.join("watch.out");
        let mut command = Command::new(backscope);
        command.arg("watch").args(options).stdout(File::create(&output)?);
        for pid in pids {
            command.args(["--pid", &pid.to_string()]);
        }
        let mut observer = Self { process: Background::start(&mut command)?, output };
        // Its first line says what is attached.
        observer.wait_until(|text| text.contains('\n'))?;
        Ok(observer)
    }

    /// Starts another program, and returns once it observes.
    pub(super) fn start(bench: &Bench, command: &mut Command, ready: Ready) -> Result<Self> {
        let output = bench.dir.join("beside.out");
        let file = File::create(&output)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut observer = Self { process: Background::start(command)?, output };
        match ready {
            Ready::Says(words) => observer.wait_until(|text| text.contains(words))?,
            Ready::HoldsBpf => {
                let pid = observer.pid();
                observer.wait_until(|_| holds_bpf(pid))?;
            }
        }
        Ok(observer)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Returns the output so far.
    pub(super) fn text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.output)?).into_owned())
    }

    /// Waits until this is true of its output.
    pub(super) fn wait_until(&mut self, is_so: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so(&self.text()?) {
            if let Some(status) = self.process.0.try_wait()? {
                bail!("what is to watch ended ({status}): {}", self.text()?);
            }
            if Instant::now() > deadline {
                bail!("what is to watch is silent, after: {}", self.text()?);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends it, and returns all its output.
    pub(super) fn finish(mut self) -> Result<String> {
        // SAFETY: a plain system call; the process has not been waited for, so the id is still its
        // own.
        unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGINT) };
        let status = self.process.0.wait()?;
        let text = self.text()?;
        // Some programs end by the signal itself, after their last words.
        if !status.success() && status.signal() != Some(libc::SIGINT) && status.code() != Some(130)
        {
            bail!("what was to watch ended ({status}): {text}");
        }
        Ok(text)
    }
}

/// Returns whether the process holds a program at a tracepoint or function.
fn holds_bpf(pid: u32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.map(|target| target.display().to_string()).any(|target| {
        ["bpf_link", "bpf-link", "[perf_event]"].iter().any(|kind| target.contains(kind))
    })
}

/// Returns the time that attaching took, from the first line of `watch --json`, µs.
pub(super) fn attach_us(text: &str) -> Result<f64> {
    let first = text.lines().next().unwrap_or_default();
    let attached: Value =
        serde_json::from_str(first).context("the watch did not begin with an object")?;
    attached["attach_us"].as_f64().context("the watch does not say how long attaching took")
}

/// The summary of `watch --json`.
pub(super) fn summary(text: &str) -> Result<Value> {
    let last = text.lines().last().unwrap_or_default();
    let summary: Value =
        serde_json::from_str(last).context("the watch did not end with an object")?;
    if summary["type"] != "summary" {
        bail!("the watch ended without a summary, with {last}");
    }
    Ok(summary)
}

/// Returns the records lost, from the summary of `watch --plain`. JSON would print a line for each
/// exchange, which costs more than what is to be measured.
pub(super) fn records_lost(text: &str) -> Result<u64> {
    let records = text.lines().rev().find_map(|line| line.trim_start().strip_prefix("records "));
    let lost = records.and_then(|line| line.rsplit(", ").next()?.strip_suffix(" lost"));
    let lost = lost.context("the watch does not say how many records it lost")?;
    lost.replace(',', "").parse().with_context(|| format!("records lost: {lost}"))
}

/// Returns the packets lost, from tcpdump's last lines.
pub(super) fn packets_lost(text: &str) -> Result<u64> {
    let lost = text.lines().find_map(|line| line.strip_suffix(" dropped by kernel"));
    let lost = lost
        .and_then(|line| line.split(' ').next())
        .context("tcpdump does not say what the kernel dropped")?;
    lost.parse().with_context(|| format!("packets dropped: {lost}"))
}

/// Returns the events lost, from the lines of bpftrace and libbpf-tools that say so.
pub(super) fn events_lost(text: &str) -> u64 {
    let lost = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("Lost ").or(line.strip_prefix("lost "))?;
        rest.split_once(" events")?.0.parse::<u64>().ok()
    });
    lost.sum()
}

#[cfg(test)]
mod tests {
    use super::{events_lost, packets_lost, records_lost};

    #[test]
    fn losses_are_read_from_the_last_words() {
        let plain = "Summary after 3 s\n  records      1,234,567 seen, 1,233,333 delivered, \
                     1,234 lost\n  cost         x\n";
        assert_eq!(records_lost(plain).expect("a summary"), 1_234);
        assert!(records_lost("Watching nginx\n").is_err());
        let tcpdump =
            "90 packets captured\n180 packets received by filter\n7 packets dropped by kernel\n";
        assert_eq!(packets_lost(tcpdump).expect("its last words"), 7);
        assert_eq!(events_lost("lost 3 events on CPU #0!\nx\nLost 40 events\n"), 43);
    }
}
