//! Findings that have ended: what was wrong until when, and how often.

use ratatui::text::Line;

use super::finding;
use super::parts::{Row, columns, cut, paragraph, raw, span, spread};
use crate::model::snapshot::{Finding, Snapshot};
use crate::tui::found::Found;
use crate::tui::text::{clock, count_of, duration, escape, wrap};
use crate::tui::theme::{Theme, shape};

/// Returns a moment as the header tells it: the time since the attach.
pub(super) fn at(snapshot: &Snapshot, ts_ns: u64) -> String {
    let start_ns = snapshot.now_ns.saturating_sub(snapshot.elapsed_us.saturating_mul(1_000));
    clock(ts_ns.saturating_sub(start_ns) / 1_000)
}

/// Returns when it stood: "00:05–00:12", or one moment.
pub(super) fn span_of(snapshot: &Snapshot, finding: &Finding) -> String {
    let (from, until) =
        (at(snapshot, finding.stood.from_ns()), at(snapshot, finding.stood.until_ns()));
    if from == until { until } else { format!("{from}–{until}") }
}

/// Returns a row of the list: dimmed, what was wrong, when, how often, for how long.
pub(super) fn row(
    theme: Theme,
    snapshot: &Snapshot,
    finding: &Finding,
    selected: bool,
    width: usize,
) -> Line<'static> {
    let style = if selected { theme.strong() } else { theme.dim() };
    let start = vec![
        span(if selected { "▸" } else { " " }, theme.strong()),
        span(format!(" {} ", finding.holder().letter()), theme.dim()),
        span(format!(" {} ", shape(finding.severity)), theme.dim()),
        span(capital(finding.was()), style),
    ];
    let times = times_of(finding);
    let long = match finding.stood.total_ns {
        // It was found at one refresh alone.
        0 => "–".to_owned(),
        total_ns => duration(total_ns / 1_000),
    };
    let end = vec![span(
        format!(" {}{times}  {long}  {} ", span_of(snapshot, finding), escape(&finding.subject)),
        theme.dim(),
    )];
    let room = width.saturating_sub(columns(&end));
    spread(cut(start, room), end, width)
}

/// Returns since when a standing finding has stood, as it stands before its subject in the list.
pub(super) fn since(snapshot: &Snapshot, found: &Found<'_>) -> String {
    let stood = &found.finding.stood;
    let long = duration(found.stood_ns(snapshot) / 1_000);
    format!(" {}–now{}  {long}  ", at(snapshot, stood.from_ns()), times_of(found.finding))
}

/// Returns how often it began, if that was more than once: " ×2".
fn times_of(finding: &Finding) -> String {
    match finding.stood.times {
        0 | 1 => String::new(),
        times => format!(" ×{times}"),
    }
}

/// Returns how often and for how long it stood: "2 times, 12 s in all"; nothing of a moment.
pub(super) fn how_long(finding: &Finding) -> String {
    let stood = &finding.stood;
    let total = duration(stood.total_ns / 1_000);
    match (stood.times, stood.total_ns) {
        (0 | 1, 0) => String::new(),
        (0 | 1, _) => format!("for {total}"),
        (times, _) => format!("{}, {total} in all", count_of(times, "time")),
    }
}

/// Returns, in place of a verdict, what was wrong here, the worst of it: until when, its last figures
/// and what to do. `now` says how things are.
pub(super) fn lines<'a>(
    theme: Theme,
    snapshot: &Snapshot,
    now: &str,
    mut findings: impl Iterator<Item = &'a Finding>,
    width: usize,
) -> Option<Vec<Line<'static>>> {
    let worst = findings.next()?;
    let badge = finding::badge(theme, worst.holder());
    let long = match how_long(worst) {
        long if long.is_empty() => long,
        long => format!(" ({long})"),
    };
    let headline =
        format!("{now} Until {}: {}{long}.", at(snapshot, worst.stood.until_ns()), worst.was());
    let mut out = Vec::new();
    for (at, line) in
        wrap(&headline, width.saturating_sub(columns(&badge) + 5)).into_iter().enumerate()
    {
        if at == 0 {
            let row = vec![raw(" ● "), span(line, theme.strong())];
            out.push(spread(row, badge.clone(), width));
        } else {
            out.push(Line::from(vec![raw("   "), span(line, theme.strong())]));
        }
    }
    let was = format!("As it last was: {}", escape(&worst.headline));
    out.extend(paragraph(&was, 3, theme.dim(), width));
    out.extend(paragraph(&format!("Try: {}", escape(&worst.fix)), 3, theme.dim(), width));
    let more = match findings.count() {
        0 => String::new(),
        1 => "1 more finding has ended here.".to_owned(),
        n => format!("{n} more findings have ended here."),
    };
    let hint: Row = vec![span("4", theme.strong()), span(" shows it in full ", theme.dim())];
    let room = width.saturating_sub(columns(&hint));
    out.push(spread(cut(vec![span(format!("   {more}"), theme.dim())], room), hint, width));
    Some(out)
}

/// Returns the worst one of all in one line, where what is selected has none.
pub(super) fn line(theme: Theme, snapshot: &Snapshot, width: usize) -> Option<Line<'static>> {
    let worst = snapshot.past_findings.first()?;
    let text = format!(
        "{}, until {}: {}",
        escape(&worst.subject),
        at(snapshot, worst.stood.until_ns()),
        worst.was()
    );
    let row = vec![span(format!(" ● {text}"), theme.dim())];
    let hint = vec![span(" 4", theme.strong()), span(" shows ", theme.dim())];
    Some(spread(cut(row, width.saturating_sub(9)), hint, width))
}

/// Begins a sentence with a capital letter, unless it begins with a name of code.
fn capital(clause: &str) -> String {
    let word = clause.split(' ').next().unwrap_or("");
    let mut rest = clause.chars();
    match rest.next() {
        Some(first) if !word.contains(['.', '(']) => {
            first.to_uppercase().chain(rest).chain(['.']).collect()
        }
        _ => format!("{clause}."),
    }
}
