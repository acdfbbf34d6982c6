//! PID 1 of the test machine: mounts what the tests need, runs `/bin/e2e`, prints its exit status,
//! powers off.
//!
//! The kernel gives it what the command line has after `--` as arguments, and variables that the
//! kernel does not know itself as environment. Both are handed on.

use std::ffi::CStr;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::{env, fs, ptr};

use backscope_tests::harness::net;

fn main() {
    if std::process::id() != 1 {
        eprintln!(
            "backscope-vm-init is the init of a test machine: it mounts and powers off. Not here."
        );
        std::process::exit(2);
    }
    // The firmware leaves half a line of escape sequences behind.
    say("");
    for complaint in prepare() {
        say(&format!("init: {complaint}"));
    }
    match Command::new("/bin/e2e").args(env::args_os().skip(1)).status() {
        Ok(status) => say(&format!("e2e ended: {status}")),
        Err(error) => say(&format!("e2e ended: did not start: {error}")),
    }
    power_off();
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
    // A kernel message in the middle of a result would make it unreadable.
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
