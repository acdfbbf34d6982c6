//! Findings that have ended: they stay in the summary, in lines and in a replay.

use std::path::Path;

use anyhow::{Context, ensure};

use super::any_tier;
use super::record::replay;
use crate::harness::json::{Value, finds, is, number};
use crate::harness::{Agent, Case, World, connect_nonblocking, converse};

pub(super) const CASES: &[Case] = &[
    any_tier("past::an_overflow_that_ended", overflow_that_ended),
    any_tier("past::a_listener_that_closed", listener_that_closed),
    any_tier("past::nothing_on_a_healthy_server", healthy),
];

const OVERFLOW: &str = "accept-queue-overflow";
/// A check looks back so long, and a refresh comes after 250 ms.
const LATEST_NS: u64 = 1_000_000_000;

/// Waits until that finding was reported in this state for the given time.
fn await_state(agent: &mut Agent, state: &str, time: u64) -> anyhow::Result<()> {
    let what = format!("{OVERFLOW} {state}, time {time}");
    let is_it = |object: &Value| {
        finds(object, OVERFLOW) && object["state"] == state && object["times"] == time
    };
    agent.await_patiently(&what, is_it).map(drop)
}

fn listed<'a>(summary: &'a Value, kind: &str) -> anyhow::Result<Vec<&'a Value>> {
    let list = summary["findings_list"].as_array().context("no findings_list")?;
    Ok(list.iter().filter(|finding| finding["kind"] == kind).collect())
}

/// Replays in lines.
fn lines(world: &World, file: &Path) -> anyhow::Result<String> {
    let output = world.agent_command(&["replay", "--plain"]).arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Twice, clients find the queue full, and leave.
fn overflow_that_ended(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "2"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let mut agent = world.watch().pid(demo.pid()).args(["-o".as_ref(), file.as_path()]).start()?;
    for time in 1..=2 {
        let clients = connect_nonblocking(demo.addr, 20)?;
        await_state(&mut agent, "begun", time)?;
        // With its socket each client's retransmissions end.
        drop(clients);
        await_state(&mut agent, "ended", time)?;
    }
    let ended = agent.stop()?;
    let summary = ended.summary()?;
    let [finding] = listed(summary, OVERFLOW)?[..] else {
        anyhow::bail!("not one {OVERFLOW}: {summary}");
    };
    ensure!(finding["state"] == "ended" && finding["times"] == 2, "{finding}");
    // It was there until the last refusal, and not until somebody noticed that there were no more.
    let newest = ended.of("overflow").filter_map(|object| number(object, "/ts_ns")).max();
    let newest = newest.context("no overflow")?;
    let until = number(finding, "/until_ns").context("no until_ns")?;
    ensure!(
        until >= newest && until - newest <= LATEST_NS,
        "until {until}, the last refusal was at {newest}"
    );
    let stood_us = number(finding, "/stood_us").context("no stood_us")?;
    let from = number(finding, "/from_ns").context("no from_ns")?;
    ensure!(stood_us <= (until - from) / 1_000, "it had ended in between: {finding}");

    let (objects, output) = replay(world, &file)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed = objects.last().filter(|object| is(object, "summary")).context("no summary")?;
    ensure!(replayed["findings_list"] == summary["findings_list"], "the replay says {replayed}");
    check_lines(&lines(world, &file)?)
}

/// Counts the lines of the finding that say it is in this state.
fn heads(text: &str, state: &str) -> usize {
    let begin = format!("  CRITICAL{state}");
    // Its cause may have been found meanwhile.
    let follows = format!(": CRITICAL{state}. ");
    let is_head = |line: &&str| {
        let is_own = line.starts_with(&begin);
        let is_effect = line.starts_with("  follows from ") && line.contains(&follows);
        (is_own || is_effect) && line.contains("Clients are being refused")
    };
    text.lines().filter(is_head).count()
}

/// It is there in full when it begins and at the end, and has a line when it comes back.
fn check_lines(text: &str) -> anyhow::Result<()> {
    let (run, end) = text.split_once("\nSummary after ").context("no summary in lines")?;
    ensure!(heads(run, ", again") == 1, "it came back once: {text}");
    ensure!(run.matches("clients were refused (accept-queue-overflow)").count() == 2, "{text}");
    ensure!(heads(end, ", ended") == 1 && end.contains(", 2 times.\n"), "{text}");
    let is_full = |line: &&str| {
        line.starts_with("  CRITICAL, owner") || line.starts_with("  CRITICAL, the app's")
    };
    ensure!(run.lines().filter(is_full).count() == 1, "it is there in full once: {text}");
    Ok(())
}

/// A process ends while its queue is full.
fn listener_that_closed(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "2"])?;
    let other = world.demo(&["never-accept", "--backlog", "100"])?;
    let mut agent = world.watch().pid(demo.pid()).pid(other.pid()).start()?;
    let _clients = connect_nonblocking(demo.addr, 20)?;
    await_state(&mut agent, "begun", 1)?;
    demo.signal(libc::SIGKILL);
    await_state(&mut agent, "ended", 1)?;
    let ended = agent.stop()?;
    let [finding] = listed(ended.summary()?, OVERFLOW)?[..] else {
        anyhow::bail!("not one {OVERFLOW}: {}", ended.summary()?);
    };
    ensure!(finding["state"] == "ended" && finding["subject"] == demo.addr.to_string());
    Ok(())
}

fn healthy(world: &World) -> anyhow::Result<()> {
    let server = [
        "acceptors",
        "--mode",
        "blocking",
        "--workers",
        "2",
        "--backlog",
        "64",
        "--close-after",
        "1",
    ];
    let mut demo = world.demo(&server)?;
    demo.await_lines("worker ", 2)?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let mut agent = world.watch().pid(demo.pid()).args(["-o".as_ref(), file.as_path()]).start()?;
    for _ in 0..100 {
        converse(demo.addr)?;
    }
    agent.await_accepted(demo.addr.port(), 100)?;
    agent.await_refresh(demo.addr.port())?;
    let ended = agent.stop()?;
    ensure!(listed(ended.summary()?, OVERFLOW)?.is_empty(), "{}", ended.summary()?);
    let text = lines(world, &file)?;
    ensure!(!text.contains("CRITICAL") && !text.contains("refused ("), "{text}");
    Ok(())
}
