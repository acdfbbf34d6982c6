//! Recordings in the formats of other tools, read by those tools.

mod annotate;
mod diff;
mod perfetto;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, ensure};

use super::{native, record};
use crate::harness::{Case, World};

pub(super) const CASES: &[Case] = &[
    native("formats::annotate_a_nagle_hold", annotate::nagle).alone(),
    native("formats::annotate_the_healthy_twin", annotate::healthy).alone(),
    native("formats::annotate_any_interface", annotate::any_interface).alone(),
    native("formats::annotate_what_does_not_fit", annotate::strangers),
    native("formats::perfetto_has_what_was_seen", perfetto::run),
    native("formats::diff_of_the_same_server", diff::twin).alone(),
    native("formats::diff_of_a_slower_server", diff::slower).alone(),
    native("formats::cut_off_anywhere", cut_off),
    native("formats::of_a_newer_version", newer),
];

/// Runs the agent; returns its output, having it in a message if it does not end with this status.
fn expect(command: &mut Command, status: i32) -> anyhow::Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(status), "{command:?}: {}: {told}", output.status);
    Ok(output)
}

/// Records a server that refuses and one that accepts late.
fn recording(world: &World, dir: &Path) -> anyhow::Result<PathBuf> {
    let file = dir.join("run.bsrec");
    let (agent, _traffic) = record::eventful(world, &file)?;
    agent.stop()?;
    Ok(file)
}

/// The verbs, with a recording in the place of `FILE`.
const VERBS: [&[&str]; 6] = [
    &["report", "FILE", "--format", "perfetto"],
    &["annotate", "DUMP", "FILE"],
    &["diff", "FILE", "OTHER"],
    &["diff", "OTHER", "FILE"],
    &["diff", "FILE", "OTHER", "--json"],
    &["diff", "FILE", "OTHER", "--html"],
];

/// A capture without packets.
fn empty_dump(dir: &Path) -> anyhow::Result<PathBuf> {
    let dump = dir.join("empty.pcap");
    let header: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_536, 1];
    fs::write(&dump, header.map(u32::to_le_bytes).concat())?;
    Ok(dump)
}

fn verb(world: &World, words: &[&str], [file, other, dump]: [&Path; 3]) -> Command {
    let mut command = world.agent_command(&[]);
    for word in words {
        match *word {
            "FILE" => command.arg(file),
            "OTHER" => command.arg(other),
            "DUMP" => command.arg(dump),
            word => command.arg(word),
        };
    }
    command
}

/// Cut at every fiftieth: a result, or a sentence.
fn cut_off(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let whole = recording(world, dir.path())?;
    let bytes = fs::read(&whole)?;
    let (cut, dump) = (dir.path().join("cut.bsrec"), empty_dump(dir.path())?);
    for part in 0..50 {
        fs::write(&cut, &bytes[..bytes.len() * part / 50])?;
        for words in VERBS {
            let output = verb(world, words, [&cut, &whole, &dump]).output()?;
            let told = String::from_utf8_lossy(&output.stderr);
            let status = output.status.code();
            ensure!(
                matches!(status, Some(1 | 2)) && told.starts_with("backscope: "),
                "{part} of 50, {words:?}: {}: {told}",
                output.status
            );
        }
    }
    Ok(())
}

/// A recording of a version that does not exist yet is refused, and no file is left behind.
fn newer(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let whole = recording(world, dir.path())?;
    let mut bytes = fs::read(&whole)?;
    bytes[8..10].copy_from_slice(&99_u16.to_le_bytes());
    let (newer, dump) = (dir.path().join("newer.bsrec"), empty_dump(dir.path())?);
    fs::write(&newer, &bytes)?;
    for words in VERBS {
        let out = dir.path().join("out");
        let mut command = verb(world, words, [&newer, &whole, &dump]);
        let output = expect(command.arg("-o").arg(&out), 2)?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(told.contains("a recording of format version 99"), "{words:?}: {told}");
        ensure!(!out.exists(), "{words:?} left an empty file");
    }
    // What exists is not replaced unasked.
    let out = dir.path().join("taken");
    fs::write(&out, "mine")?;
    for words in VERBS {
        let mut command = verb(world, words, [&whole, &whole, &dump]);
        let output = expect(command.arg("-o").arg(&out), 2)?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(told.contains("exists already"), "{words:?}: {told}");
        ensure!(fs::read(&out)? == b"mine", "{words:?} replaced it");
    }
    Ok(())
}
