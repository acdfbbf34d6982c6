//! PID 1 of the test machine: mounts what the tests need, runs them, prints a verdict for each,
//! powers off.
//! It prints `VERDICTS begin`, then `VERDICT pass|fail|skip NAME MILLIS [REASON]` for each test,
//! then `VERDICTS done`. A test that fails is run again alone, and its verdict is
//! that of the second run. If it passes then, the reason says why it had failed.
//!
//! The kernel command line has the options. `backscope.filter=TEXT` selects the tests whose name
//! contains one of the comma-separated texts. `backscope.threads=N` sets the number of tests that
//! run at once. `backscope.long` runs all of them, not only those that this kernel can change. With
//! `backscope.costs` it measures the instructions that watching costs instead, and prints them in
//! place of the reasons.

use std::ffi::{CStr, c_int};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::time::Instant;
use std::{fs, ptr, thread};

use backscope_tests::harness::{Case, Machine, Tier, Verdict, World, net, run, runs};
use backscope_tests::{cases, cost};

/// Tests that run at once unless the command line says otherwise. More are no faster: three keep
/// one emulated processor busy, and with more threads it is likelier that one is preempted within a
/// probe.
const THREADS: usize = 3;

fn main() {
    if std::process::id() != 1 {
        eprintln!(
            "backscope-vm-init is the init of a test machine: it mounts and powers off. Not here."
        );
        std::process::exit(2);
    }
    // The firmware leaves half a line of escape sequences behind.
    say("");
    say("VERDICTS begin");
    for complaint in prepare() {
        say(&format!("INIT {complaint}"));
    }
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if given(&command_line, "backscope.costs").is_some() {
        measure_costs();
        say("VERDICTS done");
        power_off();
    }
    let (alone, together) =
        selected(&command_line).into_iter().partition::<Vec<_>, _>(|job| job.case.alone);
    let mut failed = run_together(together, threads(&command_line));
    end_leftovers();
    for job in alone {
        if let Some(reason) = job.run_at_first() {
            failed.push((job, reason));
        }
        end_leftovers();
    }
    for (job, reason) in failed {
        job.run_again(&reason);
        end_leftovers();
    }
    say("VERDICTS done");
    power_off();
}

fn measure_costs() {
    for measurement in cost::all() {
        let begin = Instant::now();
        let (word, text) = match measurement.take(&World::new(true, None)) {
            Ok(cost) => ("pass", format!("{:.0} {:.0}", cost.all, cost.agent)),
            Err(error) => ("fail", format!("{error:#}")),
        };
        say(&format!(
            "VERDICT {word} {} {} {}",
            measurement.name(),
            begin.elapsed().as_millis(),
            one_line(&text)
        ));
        end_leftovers();
    }
}

/// Mounts file systems, lifts limits and quietens the kernel. Returns the steps that failed.
fn prepare() -> Vec<String> {
    const MOUNTS: &[(&CStr, &CStr)] = &[
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"tmpfs", c"/tmp"),
        (c"tracefs", c"/sys/kernel/tracing"),
        (c"bpf", c"/sys/fs/bpf"),
    ];
    let mut complaints = Vec::new();
    for (kind, place) in MOUNTS {
        let _ = fs::create_dir_all(place.to_string_lossy().as_ref());
        // SAFETY: three C strings that live through the call; no data.
        let status =
            unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, ptr::null()) };
        if status != 0 {
            complaints.push(format!(
                "mount {}: {}",
                place.to_string_lossy(),
                io::Error::last_os_error()
            ));
        }
    }
    if let Err(error) = load_modules() {
        complaints.push(format!("modules: {error}"));
    }
    // A kernel message in the middle of a verdict would make it unreadable.
    let _ = fs::write("/proc/sys/kernel/printk", "1");
    if let Err(error) = net::loopback_up() {
        complaints.push(format!("lo: {error}"));
    }
    let limit = libc::rlimit { rlim_cur: 1 << 18, rlim_max: 1 << 18 };
    // SAFETY: the pointer is to an rlimit of ours.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        complaints.push(format!("open files: {}", io::Error::last_os_error()));
    }
    complaints
}

/// Loads the modules that were packed for this kernel, if there are any.
fn load_modules() -> io::Result<()> {
    let Ok(modules) = fs::read_dir("/modules") else { return Ok(()) };
    for module in modules {
        let file = fs::File::open(module?.path())?;
        // SAFETY: an open file and an empty string of parameters that lives through the call.
        let status =
            unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// One run of a case.
struct Job {
    case: Case,
    name: String,
    tier: Option<Tier>,
}

impl Job {
    /// Runs it. If it fails, returns the reason and prints no verdict: a single emulated processor
    /// may stand still, or be too busy with other cases.
    fn run_at_first(&self) -> Option<String> {
        let begin = Instant::now();
        match run(&self.case, &World::new(true, self.tier)) {
            Verdict::Pass => self.say("pass", begin, ""),
            Verdict::Skip(reason) => self.say("skip", begin, &reason),
            Verdict::Fail(reason) => return Some(reason),
        }
        None
    }

    /// Runs it alone, after it failed at first for this reason.
    fn run_again(&self, reason: &str) {
        let begin = Instant::now();
        match run(&self.case, &World::new(true, self.tier)) {
            Verdict::Pass => self.say("pass", begin, &format!("failed at first: {reason}")),
            Verdict::Skip(reason) => self.say("skip", begin, &reason),
            Verdict::Fail(alone) => {
                self.say("fail", begin, &format!("{alone}; and at first: {reason}"))
            }
        }
    }

    fn say(&self, word: &str, begin: Instant, reason: &str) {
        let line = format!(
            "VERDICT {word} {} {} {}",
            self.name,
            begin.elapsed().as_millis(),
            one_line(reason)
        );
        say(line.trim_end());
    }
}

/// The runs that the command line selects.
fn selected(command_line: &str) -> Vec<Job> {
    let filters: Vec<&str> =
        given(command_line, "backscope.filter=").unwrap_or("").split(',').collect();
    let wanted = |name: &str| filters.iter().any(|filter| name.contains(filter));
    let is_long = command_line.split_whitespace().any(|word| word == "backscope.long");
    let machine = if is_long { Machine::Long } else { Machine::Short };
    let jobs_of = |case: Case| {
        runs(&case, machine).into_iter().map(move |(name, tier)| Job { case, name, tier })
    };
    cases::all().into_iter().flat_map(jobs_of).filter(|job| wanted(&job.name)).collect()
}

fn threads(command_line: &str) -> usize {
    given(command_line, "backscope.threads=").and_then(|text| text.parse().ok()).unwrap_or(THREADS)
}

fn given<'a>(command_line: &'a str, name: &str) -> Option<&'a str> {
    command_line.split_whitespace().find_map(|word| word.strip_prefix(name))
}

/// Runs the jobs, so many at once. Returns those that failed, with the reason.
fn run_together(jobs: Vec<Job>, threads: usize) -> Vec<(Job, String)> {
    let waiting = Mutex::new(jobs.into_iter());
    let failed = Mutex::new(Vec::new());
    let next = || waiting.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = next() {
                    if let Some(reason) = job.run_at_first()
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push((job, reason));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(2_000).collect()
}

/// Kills the processes that a test left running, so that the next one begins alone, and reaps those
/// that PID 1 has inherited.
fn end_leftovers() {
    // SAFETY: as PID 1 of this machine, -1 means every process but this one; nothing else lives
    // here.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    let mut status: c_int = 0;
    loop {
        // SAFETY: the pointer is to an int of ours. No guard lives between two tests, so no child
        // is awaited elsewhere.
        if unsafe { libc::waitpid(-1, &raw mut status, 0) } <= 0 {
            return;
        }
    }
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn power_off() -> ! {
    // SAFETY: plain system calls; everything that matters has been printed.
    unsafe {
        libc::sync();
        libc::reboot(libc::LINUX_REBOOT_CMD_POWER_OFF);
    }
    panic!("the machine would not power off");
}
