//! Checks what this kernel and these privileges allow, before anything is loaded.

use std::fs;

use rustix::time::{ClockId, clock_getres};

use super::btf::VMLINUX;

/// The state of the machine as far as it decides what can be watched.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// Kernel release, `uname -r`.
    pub release: String,
    /// The kernel shows its types.
    pub btf: bool,
    /// `none`, `integrity` or `confidentiality`; `None` where the kernel has no lockdown.
    pub lockdown: Option<String>,
    /// Capabilities that are missing.
    pub missing_capabilities: Vec<&'static str>,
    /// The PID namespace is not the kernel's own, so that pids here are not the kernel's.
    pub foreign_pid_namespace: bool,
    /// Length of a jiffy, ns.
    pub tick_ns: u64,
}

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

impl Preflight {
    /// Looks at the running machine. What cannot be read counts as absent.
    pub fn of_this_machine() -> Self {
        let capabilities = permitted_capabilities().unwrap_or(0);
        Self {
            release: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            btf: fs::metadata(VMLINUX).is_ok(),
            lockdown: lockdown(),
            missing_capabilities: missing(capabilities),
            foreign_pid_namespace: foreign_pid_namespace(),
            tick_ns: tick_ns(),
        }
    }

    /// The one thing that keeps `watch` from running, and what to do about it.
    pub fn blocker(&self) -> Option<String> {
        if !self.missing_capabilities.is_empty() {
            let program = match std::env::current_exe() {
                Ok(path) => path.display().to_string(),
                Err(_) => "backscope".to_owned(),
            };
            return Some(format!(
                "missing {}: backscope loads programs into the kernel. Run it with sudo, or give \
                 its file to a group that only its members can run (chgrp GROUP, chmod 0750), and \
                 then: sudo setcap cap_bpf,cap_perfmon,cap_sys_admin,cap_dac_read_search+ep \
                 {program}",
                self.missing_capabilities.join(" and ")
            ));
        }
        if !self.btf {
            return Some(format!(
                "{VMLINUX} does not exist: this kernel ({}) was built without \
                 CONFIG_DEBUG_INFO_BTF, so its structures cannot be read. The kernels of Debian \
                 11, Ubuntu 20.10, RHEL 8.2, Fedora 31 and later have it",
                self.release
            ));
        }
        if self.lockdown.as_deref() == Some("confidentiality") {
            return Some(
                "the kernel is locked down (confidentiality): it lets nobody read kernel memory, \
                 not even root. Boot with lockdown=integrity or lower (see \
                 /sys/kernel/security/lockdown)"
                    .to_owned(),
            );
        }
        if self.foreign_pid_namespace {
            return Some(
                "this is a container with a PID namespace of its own: process ids here are not the \
                 kernel's. Run backscope on the host, or in a container with --pid=host"
                    .to_owned(),
            );
        }
        None
    }
}

/// Capabilities that this program has, or may raise.
fn permitted_capabilities() -> Option<u64> {
    // Our own name is in it, which may hold any bytes.
    let status = fs::read("/proc/self/status").ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Returns the capabilities that are missing. CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, as
/// it did before 5.8 split them off.
fn missing(permitted: u64) -> Vec<&'static str> {
    let has = |capability: u32| permitted >> capability & 1 == 1;
    let mut missing = Vec::new();
    for (capability, name) in [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")] {
        if !has(capability) && !has(CAP_SYS_ADMIN) {
            missing.push(name);
        }
    }
    missing
}

fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let start = text.find('[')? + 1;
    let end = text[start..].find(']')? + start;
    Some(text[start..end].to_owned())
}

/// Whether the PID namespace is not the kernel's own, which has a fixed inode number
/// (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
fn foreign_pid_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|link| link.to_string_lossy() != "pid:[4026531836]")
}

/// Length of a jiffy, ns: the resolution of the coarse clock (`LOW_RES_NSEC`,
/// include/linux/hrtimer.h).
pub(crate) fn tick_ns() -> u64 {
    u64::try_from(clock_getres(ClockId::MonotonicCoarse).tv_nsec).unwrap_or(4_000_000)
}
