//! One virtual machine: boots a kernel under QEMU's software emulation and reads the output of the
//! tests from its serial console.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::kernels::Wanted;
use crate::verdict::{Counts, Outcome, Output, Verdict};

/// Tests that run at once. More are no faster: three keep one emulated processor busy, and with
/// more threads it is likelier that one is preempted within a probe.
const THREADS: u32 = 3;

/// Lines of the console that are shown when a machine fails.
const TAIL: usize = 25;

/// A kernel that has not started its init by then never will.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// Boots after which a machine that does not come up counts as a failure.
const BOOTS: u32 = 3;

/// The task of the machine.
#[derive(Clone, Copy)]
pub(crate) enum Job<'a> {
    /// Run the tests whose name contains one of these words, separated by commas; all if there is
    /// no filter. Unless `long`, only those that the kernel or the architecture can change.
    Tests { filter: Option<&'a str>, long: bool },
    /// Measure what watching costs, by a clock that advances one nanosecond an instruction.
    Costs,
}

/// The machine to boot.
pub(crate) struct Machine<'a> {
    /// The kernel that was asked for.
    pub(crate) kernel: &'a Wanted,
    pub(crate) vmlinuz: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) job: Job<'a>,
    pub(crate) timeout: Duration,
    /// File for the whole output of the console.
    pub(crate) log: &'a Path,
}

/// The output of a machine.
pub(crate) struct Run {
    pub(crate) verdicts: Vec<Verdict>,
    /// Why the verdicts are incomplete; counts as one failure.
    pub(crate) fault: Option<String>,
    /// Whether the kernel booted as far as the tests.
    pub(crate) booted: bool,
}

impl Run {
    /// The verdicts, counted.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.verdicts.iter().for_each(|verdict| counts.add(verdict.outcome));
        counts.failed += u64::from(self.fault.is_some());
        counts
    }
}

/// Boots the machine and waits until it is off.
///
/// A kernel that dies before any of our code has run is the emulator's fault, not the tests': it is
/// booted again, and the log says so. Any later failure counts.
///
/// # Errors
/// If QEMU cannot be started or the log cannot be written.
pub(crate) fn run(machine: &Machine) -> Result<Run> {
    let mut boot = 1;
    loop {
        let run = run_once(machine)?;
        match &run.fault {
            Some(fault) if !run.booted && boot < BOOTS => {
                eprintln!(
                    "    [{}] DID NOT BOOT, trying again ({boot} of {BOOTS}): {fault}",
                    machine.kernel
                );
                boot += 1;
            }
            _ => return Ok(run),
        }
    }
}

fn run_once(machine: &Machine) -> Result<Run> {
    if let Some(dir) = machine.log.parent() {
        fs::create_dir_all(dir)?;
    }
    let log = File::create(machine.log)
        .with_context(|| format!("cannot create {}", machine.log.display()))?;
    let mut qemu = command(machine);
    let mut child = qemu.spawn().with_context(|| {
        let program = qemu.get_program().display();
        format!("cannot start {program}: run `cargo xtask setup`")
    })?;
    let console = child.stdout.take().context("QEMU has no output")?;
    let lines = read_lines(console);
    let run = follow(machine, &lines, log);
    stop(&mut child)?;
    run
}

/// Kernel parameters of every machine.
const CMDLINE: [&str; 4] = [
    "quiet loglevel=3",
    // A panic ends the machine at once, with `-no-reboot`.
    "panic=-1 oops=panic",
    // Turns off features that only slow an emulated processor down: hardening, self-tests.
    "mitigations=off init_on_alloc=0 hardened_usercopy=off apparmor=0 audit=0 cryptomgr.notests",
    // Detaching a function hook waits idle for several RCU grace periods.
    "rcupdate.rcu_expedited=1",
];

fn command(machine: &Machine) -> Command {
    let arch = machine.kernel.arch;
    let mut cmdline = format!("console={} {}", arch.traits().console, CMDLINE.join(" "));
    // The kernel gives variables that it does not know to init as environment, and what follows
    // `--` as arguments. Init hands both on to the tests.
    cmdline += &match machine.job {
        Job::Tests { filter, long } => {
            let cases = if long { "long" } else { "short" };
            let filter = filter.unwrap_or_default();
            format!(" BACKSCOPE_MACHINE={cases} -- --color=never --test-threads={THREADS} {filter}")
        }
        Job::Costs => {
            " tsc=reliable BACKSCOPE_MACHINE=costs -- --color=never --test-threads=1".to_owned()
        }
    };
    let mut qemu = arch.emulator();
    qemu.args(["-m", "2048"]);
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-serial",
        "stdio",
    ]);
    qemu.arg("-kernel")
        .arg(machine.vmlinuz)
        .arg("-initrd")
        .arg(machine.initramfs)
        .args(["-append", &cmdline]);
    if matches!(machine.job, Job::Costs) {
        qemu.args(["-icount", "shift=0,sleep=off"]);
    }
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    qemu
}

/// Reads lines in a thread of its own, so that waiting for one can time out.
fn read_lines(console: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n') {
            let Ok(line) = line else { break };
            if sender.send(printable(&line)).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A console line as text that can be shown: control characters are dropped.
fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

fn follow(machine: &Machine, lines: &Receiver<String>, mut log: File) -> Result<Run> {
    let start = Instant::now();
    let (mut output, mut tail) = (Output::default(), Vec::new());
    let end = loop {
        let booted = output.announced.is_some();
        let deadline =
            start + if booted { machine.timeout } else { machine.timeout.min(BOOT_LIMIT) };
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => break "the machine ended",
            Err(RecvTimeoutError::Timeout) => break "time was up",
        };
        writeln!(log, "{line}")
            .with_context(|| format!("cannot write {}", machine.log.display()))?;
        if let Some(verdict) = output.read(&line) {
            show(machine.kernel, verdict);
        }
        if tail.len() == TAIL {
            tail.remove(0);
        }
        tail.push(line);
    };
    let mut fault = output.fault(end);
    if let Some(fault) = &mut fault
        && !output.is_complete()
    {
        *fault += &format!(". The last that the console said:\n  {}", tail.join("\n  "));
    }
    Ok(Run { fault, booted: output.announced.is_some(), verdicts: output.verdicts })
}

fn show(kernel: &Wanted, verdict: &Verdict) {
    let Verdict { outcome, test, took, reason } = verdict;
    let word = match outcome {
        Outcome::Pass => "ok",
        Outcome::Fail => "FAILED",
        Outcome::Skip => "skipped",
    };
    let colon = if reason.is_empty() { "" } else { ": " };
    eprintln!("    [{kernel}] {word:<7} {test} ({} ms){colon}{reason}", took.as_millis());
}

/// Ends QEMU if it has not ended by itself: after its time limit, or when it hangs with its console
/// closed.
fn stop(child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    fn followed(console: &[&str]) -> Run {
        let (sender, lines) = mpsc::channel();
        console.iter().for_each(|line| sender.send((*line).to_owned()).expect("receiver is alive"));
        drop(sender);
        let machine = Machine {
            kernel: &Wanted::short(Arch::default())[0],
            vmlinuz: Path::new("/"),
            initramfs: Path::new("/"),
            job: Job::Tests { filter: None, long: true },
            timeout: Duration::from_secs(5),
            log: Path::new("/dev/null"),
        };
        let log = File::options().write(true).open("/dev/null").expect("/dev/null can be opened");
        follow(&machine, &lines, log).expect("/dev/null can be written")
    }

    const SUMMARY: &str = "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured";

    #[test]
    fn a_complete_run_has_no_fault() {
        let lines = [
            "boot",
            "running 2 tests",
            "test a ... ok",
            "test b ... ignored (no io_uring)",
            SUMMARY,
            "e2e ended: exit status: 0",
        ];
        let run = followed(&lines);
        assert_eq!(run.fault, None);
        assert!(run.booted);
        assert_eq!(run.counts(), Counts { passed: 1, failed: 0, skipped: 1 });
    }

    #[test]
    fn a_machine_that_panics_fails_with_its_last_words() {
        assert!(!followed(&["Oops: int3", "Kernel panic - not syncing"]).booted);
        let run = followed(&["running 2 tests", "test a ... ok", "Kernel panic - not syncing"]);
        assert!(run.booted);
        assert_eq!(run.counts(), Counts { passed: 1, failed: 1, skipped: 0 });
        assert!(run.fault.is_some_and(|fault| fault.contains("Kernel panic")));
    }

    #[test]
    fn no_result_is_no_success() {
        let ended = "e2e ended: exit status: 0";
        assert_eq!(followed(&[ended]).counts().failed, 1);
        let garbled = ["running 2 tests", "test a ... ok", "test b ... ign", SUMMARY, ended];
        assert_eq!(followed(&garbled).counts().failed, 1);
    }
}
