//! The list of exercises.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use crate::{
    commands::learn::columns,
    learn::fix::{Exercise, Score, Scores},
    text::{count_of, duration_us, to_json, wrap},
};

/// Columns of a line where nobody says how many there are.
const WIDTH: usize = 80;
/// Columns before the symptom.
const INDENT: usize = 14;

#[derive(Serialize)]
struct ExerciseRow<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    title: &'a str,
    symptom: &'a str,
    minutes: u8,
    solved: bool,
    best_s: Option<u64>,
    hints: Option<usize>,
    cure_shown: Option<bool>,
}

/// Writes the exercises with the best score of each.
pub(super) fn run(exercises: &[Exercise], json: bool) -> anyhow::Result<ExitCode> {
    let scores = Scores::load();
    let mut out = io::stdout().lock();
    if json {
        for exercise in exercises {
            let score = scores.of(&exercise.name);
            let row = ExerciseRow {
                kind: "exercise",
                name: &exercise.name,
                title: &exercise.plan.title,
                symptom: &exercise.plan.symptom,
                minutes: exercise.plan.minutes,
                solved: score.is_some(),
                best_s: score.map(|score| score.seconds),
                hints: score.map(|score| score.hints),
                cure_shown: score.map(|score| score.cure_shown),
            };
            out.write_all(&to_json(&row)?)?;
            writeln!(out)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let width = columns().unwrap_or(WIDTH).max(2 * INDENT);
    writeln!(out, "Broken servers to repair. Start one: sudo backscope learn --fix NAME\n")?;
    for exercise in exercises {
        let score = scores.of(&exercise.name);
        let sign = if score.is_some() { '✓' } else { ' ' };
        let mut begin = format!("{sign} {:<width$}", exercise.name, width = INDENT - 2);
        for line in wrap(&exercise.plan.symptom, width - INDENT) {
            writeln!(out, "{begin}{line}")?;
            begin = " ".repeat(INDENT);
        }
        if let Some(score) = score {
            writeln!(out, "{begin}repaired in {}", words(score))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// "3 min 20 s, with 2 hints".
pub(super) fn words(score: &Score) -> String {
    let time = duration_us(score.seconds * 1_000_000);
    let shown = match (score.cure_shown, score.hints) {
        (true, _) => "the cure was shown".to_owned(),
        (false, 0) => "without a hint".to_owned(),
        (false, hints) => format!("with {}", count_of(hints as u64, "hint")),
    };
    format!("{time}, {shown}")
}
