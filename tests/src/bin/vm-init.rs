//! PID 1 of the test machine: mounts what the tests need, runs them one by one, prints a verdict for each, powers off.
//!
//! `VERDICT pass|fail|skip NAME MILLIS [REASON]` a test, then `VERDICTS done`. `backscope.filter=TEXT` on the kernel
//! command line selects the tests whose name contains one of the comma-separated texts.

use std::ffi::{CStr, c_int};
use std::io::{self, Write};
use std::time::Instant;
use std::{fs, ptr};

use backscope_tests::cases;
use backscope_tests::harness::{Verdict, World, net, run, runs};

fn main() {
    if std::process::id() != 1 {
        eprintln!("backscope-vm-init is the init of a test machine: it mounts and powers off. Not here.");
        std::process::exit(2);
    }
    for complaint in prepare() {
        say(&format!("INIT {complaint}"));
    }
    let filters = filters(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    for case in cases::all() {
        for (name, tier) in runs(&case, true) {
            if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter)) {
                continue;
            }
            let begin = Instant::now();
            let verdict = run(&case, &World { vm: true, tier });
            let (word, reason) = match verdict {
                Verdict::Pass => ("pass", String::new()),
                Verdict::Skip(reason) => ("skip", reason),
                Verdict::Fail(reason) => ("fail", reason),
            };
            let line = format!("VERDICT {word} {name} {} {}", begin.elapsed().as_millis(), one_line(&reason));
            say(line.trim_end());
            end_leftovers();
        }
    }
    say("VERDICTS done");
    power_off();
}

/// Mounts, lifts limits, quietens the kernel; returns what did not work.
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
        let status = unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, ptr::null()) };
        if status != 0 {
            complaints.push(format!("mount {}: {}", place.to_string_lossy(), io::Error::last_os_error()));
        }
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

fn filters(command_line: &str) -> Vec<String> {
    let given = command_line.split_whitespace().find_map(|word| word.strip_prefix("backscope.filter="));
    given.unwrap_or("").split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(2_000).collect()
}

/// Ends what a test left running, so that the next one begins alone, and reaps what became ours.
fn end_leftovers() {
    // SAFETY: as PID 1 of this machine, -1 means every process but this one; nothing else lives here.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    let mut status: c_int = 0;
    loop {
        // SAFETY: the pointer is to an int of ours. No guard lives between two tests, so no child is awaited elsewhere.
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
