//! Recordings, compared with the output of the live run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Output;

use anyhow::{Context, ensure};

use super::{any_tier, each_tier};
use crate::harness::json::{Value, is, kind, number, overflows};
use crate::harness::{Agent, Case, Client, Demo, World, connect, connect_nonblocking};

pub(super) const CASES: &[Case] = &[
    each_tier("record::a_replay_equals_the_run", replay_equals_run),
    any_tier("record::a_killed_recorder_leaves_a_recording", killed),
    any_tier("record::headless", headless).by_processor(),
    any_tier("record::damage_is_named", damage),
];

/// Runs `backscope replay FILE --json`. Returns its objects, and how it ended.
pub(super) fn replay(world: &World, file: &Path) -> anyhow::Result<(Vec<Value>, Output)> {
    let mut command = world.agent_command(&["replay", "--json"]);
    let output = command.arg(file).output().context("backscope replay")?;
    let text = String::from_utf8(output.stdout.clone()).context("not UTF-8")?;
    let objects =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(text.clone())?;
    Ok((objects, output))
}

/// Two servers and their clients, which end when it is dropped.
pub(super) struct Traffic {
    _servers: [Demo; 2],
    _clients: Vec<Client>,
}

/// Starts a watch that records, and shows it accepts and refusals: of two servers, one of which
/// never accepts.
pub(super) fn eventful(world: &World, file: &Path) -> anyhow::Result<(Agent, Traffic)> {
    let accepting = world.demo(&["slow-acceptor", "--accept-delay", "50ms"])?;
    let refusing = world.demo(&["never-accept", "--backlog", "2"])?;
    let mut agent = world
        .watch()
        .pid(accepting.pid())
        .pid(refusing.pid())
        .args(["-o".as_ref(), file])
        .start()?;
    let mut clients =
        (0..5).map(|_| connect(accepting.addr)).collect::<Result<Vec<Client>, _>>()?;
    clients.extend(connect_nonblocking(refusing.addr, 10)?);
    agent.await_accepted(accepting.addr.port(), 5)?;
    agent
        .await_listener(refusing.addr.port(), "7 overflows", |listener| overflows(listener) >= 7)?;
    Ok((agent, Traffic { _servers: [accepting, refusing], _clients: clients }))
}

/// Compares objects field by field.
pub(super) fn equal(live: &[Value], replayed: &[Value]) -> anyhow::Result<()> {
    for (number, (live, replayed)) in live.iter().zip(replayed).enumerate() {
        ensure!(live == replayed, "object {number} was {live}, the replay says {replayed}");
    }
    Ok(())
}

fn replay_equals_run(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let (agent, _traffic) = eventful(world, &file)?;
    let ended = agent.stop()?;
    for wanted in ["accept", "overflow", "listener", "finding"] {
        ensure!(ended.of(wanted).next().is_some(), "no {wanted} to compare");
    }
    let (objects, output) = replay(world, &file)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "replay ended with {}: {stderr}", output.status);
    equal(&ended.objects, &objects)?;
    ensure!(
        ended.objects.len() == objects.len(),
        "{} objects, {} replayed",
        ended.objects.len(),
        objects.len()
    );
    Ok(())
}

fn killed(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let (agent, _traffic) = eventful(world, &file)?;
    agent.signal(libc::SIGKILL);
    let ended = agent.ended()?;
    let (mut objects, output) = replay(world, &file)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "the recording has no end, yet: {}", output.status);
    ensure!(
        stderr.contains("the end is missing") || stderr.contains("cut short"),
        "what is damaged: {stderr}"
    );
    // Objects after the last refresh were not written yet.
    let refreshed =
        ended.objects.iter().rposition(|object| is(object, "listener")).context("no listener")?;
    let summary = objects.pop().context("no summary")?;
    ensure!(
        is(&summary, "summary") && number(&summary, "/accepted") >= Some(5),
        "the summary up to there: {summary}"
    );
    ensure!(
        objects.len() > refreshed,
        "{refreshed} objects were shown, {} are in the recording",
        objects.len()
    );
    equal(&ended.objects[..=refreshed], &objects)
}

fn headless(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let demo = world.demo(&["never-accept", "--backlog", "5"])?;
    let record = |more: &[&str]| {
        let mut command =
            world.agent_command(&["record", "--duration", "600ms", "--interval", "100ms"]);
        command.args(["--pid", &demo.pid_arg()]).args(more).arg("-o").arg(&file);
        command
            .envs([("SUDO_UID", "65534"), ("SUDO_GID", "65533")])
            .output()
            .context("backscope record")
    };
    let first = record(&[])?;
    let stderr = String::from_utf8_lossy(&first.stderr);
    ensure!(
        first.status.success() && first.stdout.is_empty(),
        "{}, nothing on standard output: {stderr}",
        first.status
    );
    let metadata = fs::metadata(&file)?;
    let access = (metadata.permissions().mode() & 0o777, metadata.uid(), metadata.gid());
    ensure!(access == (0o600, 65534, 65533), "readable by who called sudo alone, not {access:?}");

    let second = record(&[])?;
    ensure!(
        second.status.code() == Some(2),
        "a file that exists is not replaced: {}",
        second.status
    );
    ensure!(fs::metadata(&file)?.len() == metadata.len(), "it was touched");
    ensure!(record(&["--force"])?.status.success(), "--force replaces it");

    let (objects, _) = replay(world, &file)?;
    let kinds = [objects.first(), objects.last()].map(|object| object.map_or("", kind));
    ensure!(kinds == ["attached", "summary"], "{kinds:?}");
    let plain = world.agent_command(&["replay", "--plain", "--speed", "64"]).arg(&file).output()?;
    let text = String::from_utf8_lossy(&plain.stdout);
    ensure!(
        plain.status.success() && text.contains(&demo.addr.to_string()),
        "nothing about {}: {text}",
        demo.addr
    );
    Ok(())
}

fn damage(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let (agent, _traffic) = eventful(world, &file)?;
    agent.stop()?;
    let mut bytes = fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&file, &bytes)?;
    let (objects, output) = replay(world, &file)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "damaged, yet: {}", output.status);
    ensure!(
        stderr.contains("damaged: chunk") && stderr.contains("at byte"),
        "which chunk, and where: {stderr}"
    );
    ensure!(
        objects.last().is_some_and(|object| is(object, "summary")),
        "all that can be read, up to the summary"
    );

    fs::write(&file, "no recording")?;
    let (objects, output) = replay(world, &file)?;
    ensure!(
        objects.is_empty() && output.status.code() == Some(2),
        "no recording at all: {}",
        output.status
    );
    Ok(())
}
