//! `learn --again`: questions of earlier lessons come again, with other numbers.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::json::Value;
use crate::harness::{Case, World};

pub(super) const CASES: &[Case] = &[
    native("again::a_question_comes_again_with_other_numbers", measured_anew)
        .since(super::EXCHANGES)
        .alone(),
    native("again::what_was_asked_today_does_not_come", not_yet),
    native("again::a_recording_asks_without_root", recorded),
];

const DAY: u64 = 24 * 60 * 60;

/// A state folder in which a question of this lesson was asked so many days ago.
fn state(slug: &str, days: u64) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - days * DAY;
    let asked = format!(r#"{{"first":"1","first_right":true,"right":true,"times":1,"at":{at}}}"#);
    let state =
        format!(r#"{{"lessons":{{"{slug}":{{"rounds":1,"right":1,"asked":{{"0":{asked}}}}}}}}}"#);
    fs::create_dir(folder.path().join("backscope"))?;
    fs::write(folder.path().join("backscope/lessons.json"), state)?;
    Ok(folder)
}

fn again(world: &World, state: &Path, args: &[&str], answers: &[u8]) -> anyhow::Result<Output> {
    let mut child = world
        .agent_command(&["learn", "--again"])
        .args(args)
        .env("XDG_STATE_HOME", state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("it reads")?;
    // Who has nothing to ask reads nothing.
    let _ = input.write_all(answers);
    drop(input);
    Ok(child.wait_with_output()?)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn asked(state: &Path, slug: &str) -> anyhow::Result<Value> {
    let progress = fs::read_to_string(state.join("backscope/lessons.json"))?;
    let progress: Value = serde_json::from_str(&progress)?;
    Ok(progress["lessons"][slug]["asked"]["0"].clone())
}

fn measured_anew(world: &World) -> anyhow::Result<()> {
    let state = state("accept-queue", 2)?;
    let output = again(world, state.path(), &[], b"a\n")?;
    let text = text(&output);
    ensure!(output.status.success(), "{}: {text}", output.status);
    for part in ["AGAIN, LESSON 38", "With other numbers this time", " of 1 as you predicted."] {
        ensure!(text.contains(part), "no word of {part:?}: {text}");
    }
    let asked = asked(state.path(), "accept-queue")?;
    ensure!(asked["times"] == 2, "{asked}");
    let right = text.contains("1 of 1 as you predicted");
    let again = asked["again"].as_u64().unwrap_or(0);
    ensure!(again == u64::from(right), "{asked}: {text}");
    let output = self::again(world, state.path(), &[], b"a\n")?;
    ensure!(self::text(&output).contains("Nothing is to be asked again today"));
    Ok(())
}

fn not_yet(world: &World) -> anyhow::Result<()> {
    let state = state("nagle", 0)?;
    let output = again(world, state.path(), &[], b"a\n")?;
    ensure!(output.status.success(), "{}", text(&output));
    ensure!(text(&output).contains("Nothing is to be asked again today"), "{}", text(&output));
    ensure!(asked(state.path(), "nagle")?["times"] == 1);
    Ok(())
}

fn recorded(world: &World) -> anyhow::Result<()> {
    let state = state("nagle", 8)?;
    let output = again(world, state.path(), &["--recorded"], b"a\n")?;
    let text = text(&output);
    ensure!(output.status.success(), "{}: {text}", output.status);
    ensure!(
        text.contains("AGAIN, LESSON 47") && text.contains(" of 1 as you predicted."),
        "{text}"
    );
    ensure!(!text.contains("With other numbers"), "a recording has its own: {text}");
    ensure!(asked(state.path(), "nagle")?["times"] == 2);
    Ok(())
}
