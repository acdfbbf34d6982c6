//! What a lesson came to: questions, predictions, what was measured, both scores, and what to try.

use ratatui::style::Style;
use ratatui::text::Line;

use super::page::Lines;
use super::words;
use crate::learn::{CommandLine, Done, Lesson, Outcome, Score};
use crate::tui::text::{left, right};
use crate::tui::theme::Theme;
use crate::tui::view::parts::{Row, cut, paragraph, raw, rule, span};

/// A round as it was seen.
pub(super) struct RoundSeen<'a> {
    /// The prediction.
    pub guess: Option<usize>,
    /// What the run showed.
    pub outcome: &'a Outcome,
    /// Owners of steps that were named rightly.
    pub owners: Option<Score>,
}

/// What comes after the lesson.
pub(super) struct After<'a> {
    /// The next lesson.
    pub next: Option<&'a Lesson>,
    /// The command line that runs server and clients of the last round.
    pub command: Option<CommandLine>,
    /// There are keys for its knobs and its command lines.
    pub keys: bool,
}

/// Returns the summary of a lesson. A round that was not seen since the lesson was opened has a
/// line that says so.
pub(super) fn lines(
    theme: Theme,
    lesson: &Lesson,
    rounds: &[Option<RoundSeen<'_>>],
    done: &Done,
    after: &After<'_>,
    width: usize,
) -> Lines {
    let heading = |text: &str| rule(theme, vec![span(text.to_owned(), theme.dim())], width);
    let mut out = vec![heading("WHAT YOU PREDICTED, AND WHAT WAS MEASURED")];
    let asked = width.saturating_sub(31);
    let head =
        format!("   {} {}  {}", left("", asked), right("YOU SAID", 11), right("MEASURED", 11));
    out.push(Line::from(span(head, theme.dim())));
    for (at, round) in lesson.rounds.iter().enumerate() {
        let seen = rounds.get(at).and_then(Option::as_ref);
        out.push(row(theme, lesson, (at, &round.plan.answer), seen, (asked, width)));
    }
    out.push(Line::default());
    out.extend(scores(theme, rounds, done, width));
    out.push(Line::default());
    out.push(heading("WHOSE JOB IS IT?"));
    let first = rounds.first().and_then(Option::as_ref).map(|seen| &seen.outcome.facts);
    out.extend(words::blocks(theme, &lesson.jobs, first, width));
    out.push(Line::default());
    out.push(heading("WHAT TO TRY NEXT"));
    out.extend(tries(theme, after, width));
    out
}

fn row(
    theme: Theme,
    lesson: &Lesson,
    (at, answer): (usize, &str),
    seen: Option<&RoundSeen<'_>>,
    (asked, width): (usize, usize),
) -> Line<'static> {
    let this = &lesson.rounds[at];
    let plan = &this.plan;
    let about = match this.change.as_str() {
        "" => lesson.check.facts.iter().find(|spec| spec.name == answer).map(|spec| spec.about),
        change => Some(change),
    };
    let about = about.unwrap_or(answer);
    let (sign, guess, measured) = match seen {
        None => (" ", "not asked now".to_owned(), String::new()),
        Some(seen) => {
            let is_right = seen.guess == this.right(&seen.outcome.facts);
            let guess = seen.guess.and_then(|guess| plan.offered.get(guess)).cloned();
            let sign = if is_right && guess.is_some() { "✓" } else { "✗" };
            (sign, guess.unwrap_or_default(), seen.outcome.facts.shown(answer))
        }
    };
    let row: Row = vec![
        span(format!(" {sign} "), theme.strong()),
        raw(left(&format!("{} {about}", at + 1), asked)),
        raw(format!(" {}  ", right(&guess, 11))),
        span(right(&measured, 11), theme.strong()),
    ];
    Line::from(cut(row, width))
}

fn scores(theme: Theme, rounds: &[Option<RoundSeen<'_>>], done: &Done, width: usize) -> Lines {
    let best = done.predictions();
    let mut told = format!("Predictions: {best} right");
    let first = done.first_tries();
    if first.of > 0 {
        told += &format!(", {first} at the first try");
    }
    let now = rounds.iter().flatten().filter_map(|seen| seen.owners);
    let now = now.fold(Score::default(), Score::plus);
    let owners = done.owners();
    if now.of > 0 {
        told += &format!(". Whose doing: {now} right");
        if owners != now {
            told += &format!(", {owners} at best");
        }
    } else if owners.of > 0 {
        told += &format!(". Whose doing: {owners} at best");
    }
    paragraph(&format!("{told}."), 1, theme.strong(), width)
}

fn tries(theme: Theme, after: &After<'_>, width: usize) -> Lines {
    let mut out = Lines::new();
    let mut item = |key: &str, text: &str| {
        let lines = paragraph(text, 3, Style::new(), width);
        for (at, line) in lines.into_iter().enumerate() {
            let mark = if at == 0 { right(key, 2) } else { "  ".to_owned() };
            let mut row = vec![span(mark, theme.strong())];
            // The paragraph has room for the mark.
            for piece in line.spans {
                let text = piece.content.strip_prefix("  ").unwrap_or(&piece.content).to_owned();
                row.push(span(text, piece.style));
            }
            out.push(Line::from(row));
        }
    };
    if after.keys {
        item("k", "turn the knobs of this lesson, and see what changes");
        item("c", "the command lines that do the same, without the lesson");
    }
    if let Some(command) = &after.command {
        item("$", &command.text);
    }
    if let Some(next) = after.next {
        item("↵", &format!("the next lesson: {} {}", next.lecture(), next.title));
    }
    out
}
