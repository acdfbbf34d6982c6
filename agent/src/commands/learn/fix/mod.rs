//! `backscope learn --fix`: broken servers to repair.

mod auto;
mod lines;
mod list;
mod screen;
mod shell;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use crate::{
    cli::{LearnArgs, nearest},
    commands::{Usage, frontend::is_for_screens, look::Look},
    kernel::preflight::Preflight,
    learn::fix::{self, Exercise, Game, Scores},
    privileges,
    sensor::SensorError,
};

pub(super) fn run(args: &LearnArgs, name: Option<&str>) -> anyhow::Result<ExitCode> {
    let exercises = fix::all()?;
    if args.list {
        return list::run(&exercises, args.json);
    }
    if args.fix.shell {
        return shell::run();
    }
    let at = match name {
        Some(name) => position(&exercises, name)?,
        None => next(&exercises, &Scores::load()),
    };
    check_privileges()?;
    if args.auto {
        return auto::run(args, &exercises[at]);
    }
    if args.plain || !io::stdin().is_terminal() || !is_for_screens() {
        return lines::run(exercises[at].clone(), args.fix.dir.clone());
    }
    let look = Look::read(args.theme, true)?;
    screen::run(&exercises, at, args.fix.dir.clone(), look.theme())
}

fn position(exercises: &[Exercise], name: &str) -> anyhow::Result<usize> {
    if let Some(at) = exercises.iter().position(|exercise| exercise.name == name) {
        return Ok(at);
    }
    let names: Vec<String> = exercises.iter().map(|exercise| exercise.name.clone()).collect();
    let message = match nearest(name, &names) {
        Some(meant) => format!("there is no exercise {name}; did you mean {meant}?"),
        None => format!("there is no exercise {name}; there are: {}", names.join(", ")),
    };
    Err(Usage(message).into())
}

/// The first that was not repaired yet, else the first.
fn next(exercises: &[Exercise], scores: &Scores) -> usize {
    let undone = |exercise: &Exercise| scores.of(&exercise.name).is_none();
    exercises.iter().position(undone).unwrap_or(0)
}

/// Fails now with what would be said a moment later.
fn check_privileges() -> anyhow::Result<()> {
    let network = privileges::network_blocker("it runs");
    match network.or_else(|| Preflight::of_this_machine().blocker()) {
        None => Ok(()),
        Some(blocker) => Err(SensorError::Blocked(format!(
            "an exercise runs a real server in a network of its own and watches it, and here it \
             cannot: {blocker}"
        ))
        .into()),
    }
}

/// Keeps the score of a play that was won.
fn keep_score(game: &Game) -> io::Result<()> {
    let Some(score) = game.score() else { return Ok(()) };
    let mut scores = Scores::load();
    scores.note(&game.exercise().name, score);
    scores.save()
}
