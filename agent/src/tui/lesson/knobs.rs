//! The bench as lines: the knobs, what changed, the picture on its way.

use ratatui::style::Style;
use ratatui::text::Line;

use super::page::{self, Lines};
use super::turning::Turning;
use crate::learn::{KnobView, LessonFacts};
use crate::tui::text::{escape, left, right};
use crate::tui::theme::Theme;
use crate::tui::view::parts::{Row, cut, paragraph, raw, rule, span};

/// Columns of the value in hand.
const VALUE: usize = 28;

/// Returns the knobs, with what became of the last turn. `answer` is the fact that the round asks
/// for; `room` are the lines that there are for all of it.
pub(super) fn lines(
    theme: Theme,
    turning: &Turning,
    answer: &str,
    width: usize,
    room: usize,
) -> Lines {
    let heading = |text: String| rule(theme, vec![span(text, theme.dim())], width);
    let mut out = vec![heading("KNOBS: each change runs again".to_owned())];
    let widest = turning.bench.views().map(|knob| knob.label.chars().count()).max().unwrap_or(0);
    for knob in turning.bench.views() {
        out.push(self::knob(theme, &knob, widest, width));
    }
    out.push(Line::default());
    let title = match (&turning.running, &turning.failed) {
        (Some(told), _) => match told.last() {
            Some(text) => format!("RUNNING: {}", escape(text)),
            None => "RUNNING".to_owned(),
        },
        (None, Some(_)) => "THE RUN FAILED: this is what was measured before".to_owned(),
        (None, None) if turning.earlier.is_some() => "MEASURED JUST NOW".to_owned(),
        (None, None) => "MEASURED IN THE ROUND".to_owned(),
    };
    out.push(heading(title));
    if let Some(error) = &turning.failed {
        out.extend(paragraph(&escape(error), 1, Style::new(), width));
    }
    let (picture, longest) = turning.picture();
    let title = page::owners_rule(theme, &picture, width);
    let picture = page::drawn(theme, &picture, longest, width, 0);
    let rows = facts(theme, turning, answer, width);
    let least = rows.len().min(3);
    let left = room.saturating_sub(out.len() + picture.len() + 1).max(least);
    out.extend(rows.into_iter().take(left));
    out.push(title);
    out.extend(picture);
    out
}

/// A knob: its name, and its values with the one in hand between arrows.
fn knob(theme: Theme, knob: &KnobView<'_>, widest: usize, width: usize) -> Line<'static> {
    let style = if knob.selected { theme.strong() } else { Style::new() };
    let mark = if knob.selected { "▸" } else { " " };
    let mut row: Row = vec![
        span(format!(" {mark} "), theme.strong()),
        span(format!("{}  ", left(knob.label, widest)), style),
    ];
    let shown = |value: &String| value.replace('_', " ");
    let all: usize = knob.values.iter().map(|value| value.chars().count() + 3).sum();
    if widest + 5 + all > width {
        let (before, behind) = (knob.at > 0, knob.at + 1 < knob.values.len());
        let value = format!(
            "{} {} {}",
            if before { "◂" } else { " " },
            shown(&knob.values[knob.at]),
            if behind { "▸" } else { " " }
        );
        row.push(span(left(&value, VALUE), if knob.selected { theme.reversed() } else { style }));
        row.push(span(format!(" {} of {}", knob.at + 1, knob.values.len()), theme.dim()));
        return Line::from(cut(row, width));
    }
    for (at, value) in knob.values.iter().enumerate() {
        let in_hand = at == knob.at;
        let style = match (in_hand, knob.selected) {
            (true, true) => theme.reversed(),
            (true, false) => theme.strong(),
            (false, _) => theme.dim(),
        };
        let text = shown(value);
        // Without colours the value in hand has marks.
        row.push(span(if in_hand { format!("▸{text}◂") } else { format!(" {text} ") }, style));
        row.push(raw(" "));
    }
    Line::from(cut(row, width))
}

/// The fact that the round asks for, then those that changed: "44 ms → 0.1 ms".
fn facts(theme: Theme, turning: &Turning, answer: &str, width: usize) -> Lines {
    let now = &turning.now.facts;
    let before = turning.earlier.as_ref().map(|earlier| &earlier.facts);
    let mut told = Vec::new();
    let specs = now.specs().iter().filter(|spec| !spec.name.starts_with("drawn_"));
    for spec in specs {
        let changed = changed(now, before, spec.name);
        if spec.name == answer || changed.is_some() {
            let figures = changed.unwrap_or_else(|| now.shown(spec.name));
            told.push((spec.name == answer, figures, spec.about));
        }
    }
    told.sort_by_key(|(is_answer, ..)| !is_answer);
    let widest = told.iter().map(|(_, figures, _)| figures.chars().count()).max().unwrap_or(0);
    let mut out = Lines::new();
    for (is_answer, figures, about) in told {
        let style = if is_answer { theme.strong() } else { Style::new() };
        let row = vec![
            span(format!(" {}  ", right(&figures, widest)), style),
            span(about.to_owned(), theme.dim()),
        ];
        out.push(Line::from(cut(row, width)));
    }
    out
}

fn changed(now: &LessonFacts, before: Option<&LessonFacts>, name: &str) -> Option<String> {
    let (old, new) = (before?.shown(name), now.shown(name));
    (old != new).then(|| format!("{old} → {new}"))
}
