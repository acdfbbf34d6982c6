//! The claims of lessons: they hold beside busy programs, and fail once their cause is changed.

use std::ops::RangeInclusive;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, ensure};

use super::learn::lacking;
use super::native;
use crate::harness::json::Value;
use crate::harness::{Case, World};

/// In parts, so that each ends within the time that a case has.
pub(super) const CASES: &[Case] = &[
    busy("claims::hold_beside_busy_programs_5_to_9", |world| hold(world, 5..=9)),
    busy("claims::hold_beside_busy_programs_10_to_15", |world| hold(world, 10..=15)),
    busy("claims::hold_beside_busy_programs_16_to_22", |world| hold(world, 16..=22)),
    busy("claims::hold_beside_busy_programs_23_to_28", |world| hold(world, 23..=28)),
    busy("claims::hold_beside_busy_programs_29_to_36", |world| hold(world, 29..=36)),
    busy("claims::hold_beside_busy_programs_37_to_41", |world| hold(world, 37..=41)),
    busy("claims::hold_beside_busy_programs_42_to_49", |world| hold(world, 42..=49)),
    busy("claims::fail_in_the_counter_runs_5_to_15", |world| fail(world, 5..=15)),
    busy("claims::fail_in_the_counter_runs_16_to_28", |world| fail(world, 16..=28)),
    busy("claims::fail_in_the_counter_runs_29_to_40", |world| fail(world, 29..=40)),
    busy("claims::fail_in_the_counter_runs_41_to_49", |world| fail(world, 41..=49)),
];

/// Programs that do nothing but keep a processor busy.
const BUSY: usize = 2;

/// A case that other cases would disturb, and that disturbs them.
const fn busy(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    native(name, run).since(super::EXCHANGES).alone()
}

/// Programs that compute for ever. They end when this is dropped.
struct Spinners(Vec<Child>);

impl Spinners {
    fn start() -> anyhow::Result<Self> {
        let mut spinners = Self(Vec::new());
        for _ in 0..BUSY {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            spinners.0.push(command.spawn()?);
        }
        Ok(spinners)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for spinner in &mut self.0 {
            // It may be gone, which is what is wanted.
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
    }
}

/// Names of the lessons that begin in these lectures.
fn lessons(world: &World, lectures: &RangeInclusive<u64>) -> anyhow::Result<Vec<String>> {
    let output = world.agent_command(&["learn", "--list", "--json"]).output()?;
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let lesson: Value = serde_json::from_str(line)?;
        let lecture = lesson["lecture"].as_u64().context("no lecture")?;
        if lectures.contains(&lecture) {
            found.push(lesson["name"].as_str().context("no name")?.to_owned());
        }
    }
    ensure!(!found.is_empty(), "no lesson of {lectures:?}");
    Ok(found)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What a lesson says on a machine that is not idle holds there, too.
fn hold(world: &World, lectures: RangeInclusive<u64>) -> anyhow::Result<()> {
    let lessons = lessons(world, &lectures)?;
    let _spinners = Spinners::start()?;
    for lesson in lessons {
        let output = world.agent_command(&["learn", "--auto", &lesson]).output()?;
        if lacking(&lesson, &output).is_none() {
            ensure!(output.status.success(), "{}: {}", output.status, text(&output));
        }
    }
    Ok(())
}

/// With one thing changed under it, a lesson's claims do not hold.
fn fail(world: &World, lectures: RangeInclusive<u64>) -> anyhow::Result<()> {
    for lesson in lessons(world, &lectures)? {
        let output = world.agent_command(&["learn", "--auto", "--counter", &lesson]).output()?;
        let text = text(&output);
        ensure!(output.status.code() == Some(1), "{lesson}, {}: {text}", output.status);
        ensure!(text.contains("counter-run of "), "{text}");
        ensure!(!text.contains("holds all the same"), "{text}");
    }
    Ok(())
}
