//! How the server shares its connections: one headline over the threads, its evidence where there
//! is room.

use ratatui::text::Line;

use super::parts::{Row, columns, cut, raw, span};
use crate::model::snapshot::{Io, PatternName, PatternView, Severity, Snapshot, ThreadView, Units};
use crate::tui::text::{escape, wrap};
use crate::tui::theme::Theme;

/// Sentences of evidence that are shown.
const SENTENCES: usize = 6;

/// The pattern of the family that a thread belongs to: the one that it takes part in, else its
/// process's own.
pub(super) fn of<'a>(snapshot: &'a Snapshot, thread: &ThreadView) -> Option<&'a PatternView> {
    let part = |pattern: &&PatternView| pattern.threads.iter().any(|one| one.tid == thread.tid);
    let process = |pattern: &&PatternView| {
        pattern.pid == thread.pid || pattern.threads.iter().any(|one| one.pid == thread.pid)
    };
    let patterns = &snapshot.patterns;
    let only = || patterns.first().filter(|_| patterns.len() == 1);
    patterns.iter().find(part).or_else(|| patterns.iter().find(process)).or_else(only)
}

/// The headline: on one line where it fits, else on two.
pub(super) fn headline(
    theme: Theme,
    snapshot: &Snapshot,
    pattern: &PatternView,
    width: usize,
) -> Vec<Line<'static>> {
    let mut head =
        vec![span(" PATTERN  ", theme.dim()), span(pattern.name.words(), theme.strong())];
    if pattern.name != PatternName::Unknown {
        let kind: Vec<&str> = [pattern.units.map(Units::name), pattern.io.map(Io::name)]
            .into_iter()
            .flatten()
            .collect();
        head.push(raw(format!(" ({:.2})", pattern.confidence)));
        head.push(span(format!("  {}", kind.join(", ")), theme.dim()));
    }
    if snapshot.patterns.len() > 1 {
        head.push(span(format!("  of {} {}", escape(&pattern.comm), pattern.pid), theme.dim()));
    }
    let mut clause = vec![raw(pattern.headline.clone())];
    if !pattern.uneven.is_empty() {
        let who: Vec<String> = pattern.uneven.iter().map(|tid| tid.to_string()).collect();
        clause.push(span(
            format!("  ← uneven: {}", who.join(", ")),
            theme.severity(Severity::Warning),
        ));
    }
    if columns(&head) + 3 + columns(&clause) <= width {
        head.push(raw("   "));
        head.extend(clause);
        return vec![Line::from(head)];
    }
    let second: Row = [vec![raw("          ")], clause].concat();
    vec![Line::from(cut(head, width)), Line::from(cut(second, width))]
}

/// What the pattern rests on.
pub(super) fn evidence(theme: Theme, pattern: &PatternView, width: usize) -> Vec<Line<'static>> {
    let sentences = pattern
        .evidence
        .iter()
        .take(SENTENCES)
        .flat_map(|text| wrap(text, width.saturating_sub(12)));
    sentences.map(|line| Line::from(span(format!("          {line}"), theme.dim()))).collect()
}
