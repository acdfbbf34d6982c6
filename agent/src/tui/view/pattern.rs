//! The pattern by which a server shares its connections: one headline over the threads, its
//! evidence where there is room.

use ratatui::text::Line;

use super::parts::{Row, columns, cut, raw, span};
use super::words::process;
use crate::model::snapshot::{Io, PatternName, PatternView, Severity, Snapshot, ThreadView, Units};
use crate::tui::text::wrap;
use crate::tui::theme::Theme;

/// Sentences of evidence that are shown.
const SENTENCES: usize = 6;

/// Returns the pattern of the family that a thread belongs to: the one that it takes part in, else
/// its process's own, else the only one.
pub(super) fn of<'a>(snapshot: &'a Snapshot, thread: &ThreadView) -> Option<&'a PatternView> {
    let patterns = &snapshot.patterns;
    for pattern in patterns {
        if pattern.threads.iter().any(|one| one.tid == thread.tid) {
            return Some(pattern);
        }
    }
    for pattern in patterns {
        if pattern.pid == thread.pid || pattern.threads.iter().any(|one| one.pid == thread.pid) {
            return Some(pattern);
        }
    }
    match patterns.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

/// Returns the headline: on one line where it fits, else on two.
pub(super) fn headline(
    theme: Theme,
    snapshot: &Snapshot,
    pattern: &PatternView,
    width: usize,
) -> Vec<Line<'static>> {
    let mut head =
        vec![span(" PATTERN  ", theme.dim()), span(pattern.name.words(), theme.strong())];
    if pattern.name != PatternName::Unknown {
        let mut kind = Vec::new();
        kind.extend(pattern.units.map(Units::name));
        kind.extend(pattern.io.map(Io::name));
        head.push(raw(format!(" ({:.2})", pattern.confidence)));
        head.push(span(format!("  {}", kind.join(", ")), theme.dim()));
    }
    if snapshot.patterns.len() > 1 {
        let name = process(&snapshot.workloads, &pattern.comm, pattern.pid, width / 3);
        head.push(span(format!("  of {name}"), theme.dim()));
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

/// Returns the evidence that the pattern rests on.
pub(super) fn evidence(theme: Theme, pattern: &PatternView, width: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for sentence in pattern.evidence.iter().take(SENTENCES) {
        for line in wrap(sentence, width.saturating_sub(12)) {
            out.push(Line::from(span(format!("          {line}"), theme.dim())));
        }
    }
    out
}
