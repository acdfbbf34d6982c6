//! A lesson line by line, where there is no terminal to draw on.

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};

use super::LessonRun;
use crate::{
    learn::{Lesson, Progress},
    tui::lesson::LessonText,
};

/// Asks, runs and tells, round by round, until the input ends.
pub(super) fn run(run: &LessonRun, mut progress: Progress) -> anyhow::Result<ExitCode> {
    let mut input = io::stdin().lock();
    let mut out = io::stdout().lock();
    for round in 0..run.lesson.rounds.len() {
        let text = LessonText { lesson: &run.lesson, round, recorded: run.recorded };
        out.write_all(text.question().as_bytes())?;
        let Some(guess) = ask(&mut input, &mut out, &run.lesson, round)? else {
            return Ok(ExitCode::SUCCESS);
        };
        let outcome = run.outcome(round, None, &mut |told| println(&mut out, told))?;
        writeln!(out)?;
        out.write_all(text.reveal(&outcome, Some(guess)).as_bytes())?;
        writeln!(out)?;
        progress.note(
            run.entry.slug,
            round,
            run.lesson.rounds[round].right(&outcome.facts) == Some(guess),
        );
        if let Err(error) = progress.save() {
            eprintln!("backscope: the progress could not be saved: {error}");
        }
    }
    writeln!(out, "That was the lesson. backscope learn goes on with the next one.")?;
    Ok(ExitCode::SUCCESS)
}

/// Whoever reads may have gone; the next write that matters says so.
fn println(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, " … {text}").and_then(|()| out.flush());
}

/// The place of the answer that a line names, by its letter or as it stands; `None` at the end of
/// the input.
fn ask(
    input: &mut impl BufRead,
    out: &mut impl Write,
    lesson: &Lesson,
    round: usize,
) -> anyhow::Result<Option<usize>> {
    let offered = &lesson.rounds[round].plan.offered;
    loop {
        let last = char::from(b"abcd"[offered.len().clamp(1, 4) - 1]);
        write!(out, "Your prediction, a to {last}: ")?;
        out.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            writeln!(out)?;
            return Ok(None);
        }
        let line = line.trim();
        let lettered =
            "abcd".chars().take(offered.len()).position(|letter| line == letter.to_string());
        if let Some(at) = lettered.or_else(|| offered.iter().position(|offered| offered == line)) {
            return Ok(Some(at));
        }
        writeln!(out, "That is none of the answers.")?;
    }
}
