//! A lesson line by line, where there is no terminal to draw on.

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};

use super::LessonRun;
use crate::{learn::Progress, text::Untrusted, tui::lesson::LessonText};

/// Asks, runs and tells, round by round, until the input ends.
pub(super) fn run(lesson_run: &LessonRun, mut progress: Progress) -> anyhow::Result<ExitCode> {
    let mut input = io::stdin().lock();
    let mut out = io::stdout().lock();
    let LessonRun { entry, lesson, recorded, .. } = lesson_run;
    for round in 0..lesson.rounds.len() {
        let text = LessonText { lesson, round, recorded: *recorded };
        out.write_all(text.question().as_bytes())?;
        let Some(guess) = predict(&mut input, &mut out, &lesson.rounds[round].plan.offered)? else {
            return Ok(ExitCode::SUCCESS);
        };
        let outcome = lesson_run.outcome(round, None, &mut |told| println(&mut out, told))?;
        writeln!(out)?;
        out.write_all(text.reveal(&outcome, Some(guess)).as_bytes())?;
        writeln!(out)?;
        let right = lesson.rounds[round].right(&outcome.facts) == Some(guess);
        progress.note(entry.slug, round, right);
        if let Err(error) = progress.save() {
            note!("backscope: the progress could not be saved: {error}");
        }
    }
    writeln!(out, "That was the lesson. For the next one: backscope learn")?;
    Ok(ExitCode::SUCCESS)
}

/// Errors are left alone: whoever reads may have gone; the next write that matters says so.
fn println(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, " … {}", Untrusted::from(text).for_terminal());
    let _ = out.flush();
}

/// Asks for a prediction, and returns the place of the answer that a line names, by its letter or
/// as it stands; `None` at the end of the input.
pub(super) fn predict(
    input: &mut impl BufRead,
    out: &mut impl Write,
    offered: &[String],
) -> anyhow::Result<Option<usize>> {
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
        if lettered.is_some() {
            return Ok(lettered);
        }
        let spelt_out = offered.iter().position(|offered| offered == line);
        if spelt_out.is_some() {
            return Ok(spelt_out);
        }
        writeln!(out, "That is not one of the answers.")?;
    }
}
