//! What the agent may do, and no longer may once it has attached: by what the kernel says, and by
//! what fails without each right that it keeps.

mod callers;
mod kept;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{any_tier, each_tier, native};
use crate::harness::{Case, World, converse};

pub(super) const CASES: &[Case] = &[
    each_tier("privileges::what_a_watch_keeps", kept::kept_by_watch).by_processor(),
    any_tier("privileges::a_replay_keeps_nothing", kept::kept_by_replay),
    native("privileges::a_report_keeps_nothing", kept::kept_by_report),
    native("privileges::a_demo_is_watched_without_more", kept::kept_by_demo),
    native("privileges::a_lesson_is_watched_without_more", kept::kept_by_lesson),
    native("privileges::proc_of_others_takes_two_capabilities", callers::proc_of_others),
    native("privileges::a_command_of_another_user_is_ended", callers::command_of_another),
    native("privileges::a_command_runs_as_who_called_sudo", callers::caller_of_sudo),
    native("privileges::a_file_with_capabilities_is_not_for_all", callers::file_capabilities),
    native(
        "privileges::the_callers_is_found_among_very_many_holders",
        callers::one_of_many_holders,
    ),
    native("privileges::a_group_may_watch_everything", callers::group),
];

const NOBODY: u32 = 65_534;

/// Numbers of capabilities (include/uapi/linux/capability.h).
const BITS: [(&str, u32); 6] = [
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_KILL", 5),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

/// A field of a thread's status.
fn field_of<'a>(status: &'a str, field: &str) -> anyhow::Result<&'a str> {
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    Ok(value.with_context(|| format!("no {field}"))?.trim())
}

/// The thread that switches the kernel's statistics: it keeps one capability, and can make one call
/// that takes it.
fn switches_statistics(status: &str) -> bool {
    field_of(status, "Name:").is_ok_and(|name| name == "statistics")
}

/// A field of every thread's status, which must be the same but for that of the statistics.
fn status_of_all(pid: u32, field: &str) -> anyhow::Result<String> {
    let mut values = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One may end at any time.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
        if switches_statistics(&status) {
            check_statistics(&status)?;
        } else {
            values.push(field_of(&status, field)?.to_owned());
        }
    }
    values.dedup();
    ensure!(values.len() == 1, "{field} by thread: {values:?}");
    values.pop().context("no thread")
}

fn check_statistics(status: &str) -> anyhow::Result<()> {
    let mask = mask_of(&["CAP_SYS_ADMIN"])?;
    for field in ["CapEff:", "CapPrm:"] {
        let held = u64::from_str_radix(field_of(status, field)?, 16)?;
        ensure!(held == mask, "{field} {held:x}: {status}");
    }
    ensure!(field_of(status, "NoNewPrivs:")? == "1" && field_of(status, "Seccomp:")? == "2");
    Ok(())
}

/// Capabilities as the kernel writes them.
fn mask_of(capabilities: &[&str]) -> anyhow::Result<u64> {
    let mut mask = 0u64;
    for name in capabilities {
        let (_, bit) = BITS.iter().find(|(known, _)| known == name).context("a capability")?;
        mask |= 1 << bit;
    }
    Ok(mask)
}

/// Checks that all threads have exactly these capabilities, and what else the kernel has on them.
pub(super) fn check_confined(pid: u32, capabilities: &[&str]) -> anyhow::Result<()> {
    let mask = mask_of(capabilities)?;
    for field in ["CapEff:", "CapPrm:"] {
        let held = u64::from_str_radix(&status_of_all(pid, field)?, 16)?;
        ensure!(held == mask, "{field} {held:x}, not {mask:x}: {capabilities:?}");
    }
    ensure!(status_of_all(pid, "NoNewPrivs:")? == "1");
    ensure!(status_of_all(pid, "Seccomp:")? == "2", "no filter");
    Ok(())
}

/// True if bpf(2) refuses every call without a capability (before Linux 5.19).
fn bpf_takes_a_capability(kernel: &str) -> bool {
    let mut numbers = kernel.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let closed = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
    version < (5, 19) && closed.is_ok_and(|text| text.trim() != "0")
}

/// A recording of a watch of a demo server.
fn record(world: &World, folder: &Path) -> anyhow::Result<PathBuf> {
    let file = folder.join("run.bsrec");
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).args(["-o".as_ref(), &*file]).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    agent.await_refresh(demo.addr.port())?;
    agent.stop()?;
    Ok(file)
}
