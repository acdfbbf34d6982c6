//! A lesson line by line, where there is no terminal to draw on.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use super::LessonRun;
use crate::{
    learn::{Outcome, Progress, Score},
    text::Untrusted,
    tui::lesson::{LessonText, summary_text},
};

/// A line of input: the prediction, and the owners that are named for the steps.
struct Line {
    /// The place of the answer.
    guess: usize,
    /// The letters behind "=".
    owners: Vec<char>,
}

/// Asks, runs and tells, round by round, until the input ends.
///
/// At a terminal it asks whose doing each step is. Elsewhere a line may have the letters behind the
/// prediction ("c = kkp"): who writes lines may wait for the reveal before the next one.
pub(super) fn run(
    lesson_run: &LessonRun,
    next: Option<&LessonRun>,
    mut progress: Progress,
) -> anyhow::Result<ExitCode> {
    let stdin = io::stdin();
    let asks = stdin.is_terminal();
    let (mut input, mut out) = (stdin.lock(), io::stdout().lock());
    let LessonRun { entry, lesson, recorded, .. } = lesson_run;
    let mut seen = Vec::new();
    for round in 0..lesson.rounds.len() {
        let text = LessonText { lesson, round, recorded: *recorded };
        let plan = &lesson.rounds[round].plan;
        out.write_all(text.question().as_bytes())?;
        let Some(line) = ask(&mut input, &mut out, &plan.offered)? else {
            return Ok(ExitCode::SUCCESS);
        };
        let guess = line.guess;
        let outcome = lesson_run.outcome(round, None, &mut |told| println(&mut out, told))?;
        writeln!(out)?;
        out.write_all(text.verdict(&outcome, Some(guess)).as_bytes())?;
        let right = lesson.rounds[round].right(&outcome.facts) == Some(guess);
        progress.note(entry.slug, round, &plan.offered[guess], right);
        let owners = if asks {
            reveal_asking(&mut input, &mut out, &text, &outcome)?
        } else {
            reveal(&mut out, &text, &outcome, &line.owners)?
        };
        if let Some(owners) = owners {
            progress.note_owners(entry.slug, round, owners);
        }
        if let Err(error) = progress.save() {
            note!("backscope: the progress could not be saved: {error}");
        }
        seen.push((guess, outcome, owners));
    }
    let next = next.map(|run| &run.lesson);
    out.write_all(summary_text(lesson, &seen, &progress, next).as_bytes())?;
    writeln!(out, "\nThat was the lesson. For the next one: backscope learn")?;
    Ok(ExitCode::SUCCESS)
}

/// Tells what the run shows, with these letters for the steps that have an owner.
fn reveal(
    out: &mut impl Write,
    text: &LessonText<'_>,
    outcome: &Outcome,
    owners: &[char],
) -> io::Result<Option<Score>> {
    let mut reveal = text.reveal(outcome);
    let mut owners = owners.iter().copied();
    loop {
        let said = if reveal.question().is_some() { owners.next() } else { None };
        let Some(part) = reveal.next(said) else { break };
        out.write_all(part.as_bytes())?;
    }
    writeln!(out)?;
    Ok(reveal.score())
}

/// Tells what the run shows, and asks before each step whose doing it is. An empty line skips one,
/// "s" all that are left; so does the end of the input.
fn reveal_asking(
    input: &mut impl BufRead,
    out: &mut impl Write,
    text: &LessonText<'_>,
    outcome: &Outcome,
) -> io::Result<Option<Score>> {
    let (mut reveal, mut skips) = (text.reveal(outcome), false);
    loop {
        let question = if skips { None } else { reveal.question() };
        let mut said = None;
        if let Some(question) = question {
            out.write_all(question.as_bytes())?;
            write!(out, "k, a, n or p; Enter skips it, s all: ")?;
            out.flush()?;
            let mut line = String::new();
            let ended = input.read_line(&mut line)? == 0;
            skips = ended || line.trim() == "s";
            said = line.trim().chars().next().filter(|_| !skips);
        }
        let Some(part) = reveal.next(said) else { break };
        out.write_all(part.as_bytes())?;
    }
    writeln!(out)?;
    Ok(reveal.score())
}

/// Errors are left alone: whoever reads may have gone; the next write that matters says so.
pub(super) fn println(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, " … {}", Untrusted::from(text).for_terminal());
    let _ = out.flush();
}

/// Asks for a prediction, and returns the place of the answer that a line names; `None` at the end
/// of the input.
pub(super) fn predict(
    input: &mut impl BufRead,
    out: &mut impl Write,
    offered: &[String],
) -> anyhow::Result<Option<usize>> {
    Ok(ask(input, out, offered)?.map(|line| line.guess))
}

/// Asks for a prediction, by its letter or as it stands, until a line has one.
fn ask(
    input: &mut impl BufRead,
    out: &mut impl Write,
    offered: &[String],
) -> anyhow::Result<Option<Line>> {
    loop {
        let last = char::from(b"abcd"[offered.len().clamp(1, 4) - 1]);
        write!(out, "Your prediction, a to {last}: ")?;
        out.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            writeln!(out)?;
            return Ok(None);
        }
        if let Some(line) = parse(&line, offered) {
            return Ok(Some(line));
        }
        writeln!(out, "That is not one of the answers.")?;
    }
}

fn parse(line: &str, offered: &[String]) -> Option<Line> {
    let (answer, owners) = line.split_once('=').unwrap_or((line, ""));
    let answer = answer.trim();
    let lettered =
        "abcd".chars().take(offered.len()).position(|letter| answer == letter.to_string());
    let spelt_out = || offered.iter().position(|offered| offered == answer);
    let guess = lettered.or_else(spelt_out)?;
    Some(Line { guess, owners: owners.chars().filter(|c| !c.is_whitespace()).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{self, Lesson};

    #[test]
    fn a_line_has_a_prediction_and_perhaps_owners() {
        let offered = ["0.1 ms".to_owned(), "44 ms".to_owned()];
        let read = |line| parse(line, &offered).map(|line| (line.guess, line.owners));
        assert_eq!(read("b\n"), Some((1, Vec::new())));
        assert_eq!(read(" 0.1 ms = k kp\n"), Some((0, vec!['k', 'k', 'p'])));
        assert_eq!(read("c\n"), None);
        assert_eq!(read("= kk\n"), None);
    }

    fn nagle() -> (Lesson, Outcome) {
        let entry = learn::find("nagle").expect("it is there");
        let lesson = entry.lesson().expect("a lesson");
        let evidence = learn::recorded(entry.recordings[0]).expect("a recording");
        let outcome = learn::judge(&lesson, 0, evidence, true, Vec::new());
        (lesson, outcome)
    }

    #[test]
    fn owners_are_asked_for_one_by_one_and_told() {
        let (lesson, outcome) = nagle();
        let text = LessonText { lesson: &lesson, round: 0, recorded: true };
        let mut out = Vec::new();
        let score = reveal_asking(&mut &b"k\na\n\ns\n"[..], &mut out, &text, &outcome);
        assert_eq!(score.expect("it is written"), Some(Score { right: 1, of: 2 }));
        let told = String::from_utf8(out).expect("text");
        for part in ["WHOSE DOING IS IT? 1 of", "✓ K ", "(you said A)", "WHOSE JOB IS IT?"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let ended = reveal_asking(&mut &b""[..], &mut Vec::new(), &text, &outcome);
        assert_eq!(ended.expect("it is written"), None);
    }

    #[test]
    fn owners_behind_the_prediction_count_as_well() {
        let (lesson, outcome) = nagle();
        let text = LessonText { lesson: &lesson, round: 0, recorded: true };
        let told = |owners: &[char]| {
            let mut out = Vec::new();
            let score = reveal(&mut out, &text, &outcome, owners).expect("it is written");
            (score, String::from_utf8(out).expect("text"))
        };
        let (score, text) = told(&['k', 'p']);
        assert_eq!(score, Some(Score { right: 2, of: 2 }));
        assert!(text.contains("✓ K ") && text.contains("✓ P "), "{text}");
        assert_eq!(told(&[]).0, None);
    }
}
