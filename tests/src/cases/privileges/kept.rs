//! What each command keeps once it has attached.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{
    bpf_takes_a_capability, check_confined, field_of, mask_of, record, switches_statistics,
};
use crate::harness::json::{Value, is, sees};
use crate::harness::{Process, Tier, World, converse};

pub(super) fn kept_by_watch(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let attached = agent.objects()[0].clone();
    let mut expected = vec!["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"];
    if agent.tier() == Tier::Tracepoint && sees(agent.objects(), "accept_at_rest") {
        expected.push("CAP_PERFMON");
    }
    if bpf_takes_a_capability(attached["kernel"].as_str().unwrap_or_default()) {
        expected.push("CAP_BPF");
    }
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    check_confined(agent.pid(), &expected)?;
    let sandbox = &attached["sandbox"];
    let said: Vec<&str> = sandbox["capabilities"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    ensure!(said.len() == expected.len(), "{said:?}, not {expected:?}");
    ensure!(expected.iter().all(|name| said.contains(name)), "{said:?}, not {expected:?}");
    ensure!(sandbox["no_new_privs"] == true && sandbox["seccomp"] == true, "{sandbox}");
    ensure!(sandbox["landlock"].is_null() && sandbox["gaps"][0].is_string(), "{sandbox}");
    agent.stop()?;
    let report =
        world.agent_command(&["doctor", "--json", "--tier", tier_of(&attached)]).output()?;
    let report: Value = serde_json::from_slice(&report.stdout)?;
    ensure!(report["sandbox"] == *sandbox, "doctor says {}, {sandbox}", report["sandbox"]);
    Ok(())
}

fn tier_of(attached: &Value) -> &str {
    attached["tier"].as_str().unwrap_or_default()
}

pub(super) fn kept_by_replay(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = record(world, folder.path())?;
    let mut command = world.agent_command(&["replay", "--json", "--speed", "0.25"]);
    command.arg(&file);
    let mut replay = Process::start(command)?;
    let first = replay.next_line(Instant::now() + world.patience())?.context("nothing shown")?;
    ensure!(is(&serde_json::from_str(&first)?, "attached"), "{first}");
    check_confined(replay.pid(), &[])?;
    // It is played to its end all the same.
    let status = replay.wait(world.patience())?;
    ensure!(status.success(), "{status}: {}", replay.finish());
    Ok(())
}

/// A report has nothing left before it reads more than the first bytes, which say that it is a
/// recording.
pub(super) fn kept_by_report(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bytes = fs::read(record(world, folder.path())?)?;
    let (pipe, page) = (folder.path().join("pipe"), folder.path().join("page.html"));
    let made = Command::new("mkfifo").arg(&pipe).status()?;
    ensure!(made.success(), "no pipe: {made}");
    let mut command = world.agent_command(&["report", "-o"]);
    command.arg(&page).arg(&pipe);
    let mut report = Process::start(command)?;
    let mut input = File::options().write(true).open(&pipe)?;
    let (begin, rest) = bytes.split_at(10);
    input.write_all(begin)?;
    // The filter of system calls is the last thing that is put in force.
    let deadline = Instant::now() + world.patience();
    let status = format!("/proc/{}/status", report.pid());
    while !fs::read_to_string(&status)?.contains("Seccomp:\t2") {
        ensure!(Instant::now() < deadline, "it keeps its rights");
        thread::sleep(Duration::from_millis(10));
    }
    check_confined(report.pid(), &[])?;
    input.write_all(rest)?;
    drop(input);
    let status = report.wait(world.patience())?;
    ensure!(status.success(), "{status}: {}", report.finish());
    ensure!(fs::read_to_string(&page)?.ends_with("</html>"), "a page");
    Ok(())
}

/// The capabilities that a watch keeps on this kernel, by `doctor`.
fn kept_here(world: &World) -> anyhow::Result<Vec<&'static str>> {
    let report = world.agent_command(&["doctor", "--json"]).output()?;
    let report: Value = serde_json::from_slice(&report.stdout)?;
    let said = report["sandbox"]["capabilities"].as_array().context("no capabilities")?;
    let mut kept = Vec::new();
    for name in ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_BPF"] {
        if said.iter().any(|said| said == name) {
            kept.push(name);
        }
    }
    ensure!(kept.len() == said.len() && kept.len() >= 2, "a watch keeps {said:?}");
    Ok(kept)
}

/// All threads of `demo --watch` are confined once it shows anything, and its client works all the
/// same.
pub(super) fn kept_by_demo(world: &World) -> anyhow::Result<()> {
    let mut expected = kept_here(world)?;
    expected.push("CAP_KILL");
    let args = ["demo", "prefork", "--watch", "--duration", "2s"];
    let mut demo = Process::start(world.agent_command(&args))?;
    demo.next_line(Instant::now() + world.patience())?.context("nothing shown")?;
    check_confined(demo.pid(), &expected)?;
    let status = demo.wait(world.patience())?;
    ensure!(status.success(), "{status}: {}", demo.finish());
    Ok(())
}

/// In a lesson the thread that watches is confined while server and clients run.
pub(super) fn kept_by_lesson(world: &World) -> anyhow::Result<()> {
    let kept = mask_of(&kept_here(world)?)?;
    let mut lesson = Process::start(world.agent_command(&["learn", "--auto", "nagle"]))?;
    let deadline = Instant::now() + world.patience();
    let watching = loop {
        if let Some(status) = confined_thread(lesson.pid()) {
            break status;
        }
        let has_ended = lesson.ended()?.is_some();
        ensure!(!has_ended, "no thread was confined: {}", lesson.finish());
        ensure!(Instant::now() < deadline, "no thread is confined");
        thread::sleep(Duration::from_millis(1));
    };
    for field in ["CapEff:", "CapPrm:"] {
        let held = u64::from_str_radix(field_of(&watching, field)?, 16)?;
        ensure!(held == kept, "{field} {held:x}, not {kept:x}");
    }
    ensure!(field_of(&watching, "NoNewPrivs:")? == "1", "{watching}");
    let status = lesson.wait(world.case_limit())?;
    ensure!(status.success(), "{status}: {}", lesson.finish());
    Ok(())
}

/// Status of the thread that has a filter of system calls.
fn confined_thread(pid: u32) -> Option<String> {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let is_filtered = field_of(&status, "Seccomp:").is_ok_and(|mode| mode == "2");
        if is_filtered && !switches_statistics(&status) {
            return Some(status);
        }
    }
    None
}
