//! All findings: a list, and the selected one in full with its evidence.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use super::parts::{columns, cut, paragraph, raw, rule, span, spread};
use super::queues::first_row;
use super::{about, finding, put};
use crate::model::snapshot::{Finding, Snapshot};
use crate::tui::app::{App, Hits};
use crate::tui::text::{clock, escape, left, wrap};
use crate::tui::theme::{Theme, shape};

/// Draws the view.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let theme = app.theme;
    let width = usize::from(area.width);
    let Some(selected) = snapshot.findings.get(app.finding) else {
        put(frame, area, nothing(theme, snapshot, width));
        return;
    };
    let rows = snapshot.findings.len().min(usize::from(area.height) / 3);
    let [head, list, body] = area.layout(&Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows as u16),
        Constraint::Fill(1),
    ]));
    put(frame, head, vec![Line::from(span("    FINDING", theme.dim()))]);
    let first = first_row(app.finding, snapshot.findings.len(), rows);
    let mut visible = Vec::new();
    for (index, finding) in snapshot.findings.iter().enumerate().skip(first).take(rows) {
        visible.push(row(theme, finding, index == app.finding, width));
    }
    put(frame, list, visible);
    hits.rows = list;
    hits.first_row = first;

    let mut lines = vec![Line::default()];
    lines.extend(full(theme, snapshot, selected, width));
    lines.extend(notes(theme, snapshot, width));
    hits.scroll_end = lines.len().saturating_sub(body.height.into());
    let past = app.scroll.min(hits.scroll_end);
    about::draw(app, snapshot, selected, frame, (body, lines.len()));
    put(frame, body, lines.into_iter().skip(past).collect());
}

fn nothing(theme: Theme, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let text = "Findings appear here as soon as the figures prove one: refused connections, \
                a thread that accepts or reads too late, a response held by Nagle's algorithm, \
                connections never closed.";
    let mut out = vec![
        Line::default(),
        Line::from(vec![raw(" ✔ "), span("Nothing to report.", theme.strong())]),
    ];
    out.extend(paragraph(text, 3, Style::new(), width));
    out.extend(notes(theme, snapshot, width));
    out
}

/// Returns a finding in one line.
pub(super) fn row(theme: Theme, finding: &Finding, selected: bool, width: usize) -> Line<'static> {
    let severity = theme.severity(finding.severity);
    let style = if selected { severity } else { theme.dim() };
    let owner = span(format!(" {} ", finding.owner.letter()), theme.badge(finding.owner));
    let start = vec![
        span(if selected { "▸" } else { " " }, theme.strong()),
        owner,
        span(format!(" {} ", shape(finding.severity)), severity),
        span(escape(&finding.headline), style),
    ];
    let subject = vec![span(format!("{} ", escape(&finding.subject)), theme.dim())];
    let room = width.saturating_sub(columns(&subject));
    spread(cut(start, room), subject, width)
}

/// Returns a finding with everything known about it.
pub(super) fn full(
    theme: Theme,
    snapshot: &Snapshot,
    finding: &Finding,
    width: usize,
) -> Vec<Line<'static>> {
    let start_ns = snapshot.now_ns.saturating_sub(snapshot.elapsed_us.saturating_mul(1_000));
    let since = clock(finding.since_ns.saturating_sub(start_ns) / 1_000);
    let label = finding.pid.and_then(|pid| snapshot.workloads.label(pid));
    let place = match label {
        Some(label) => format!(" · {}", escape(&label)),
        None => String::new(),
    };
    let title = vec![
        span(finding.kind, theme.strong()),
        span(format!("  {}{place}   since {since}", escape(&finding.subject)), theme.dim()),
    ];
    let mut out = vec![rule(theme, title, width)];
    out.extend(finding::lines(theme, finding, width));
    let edge = span("▌", theme.owner(finding.owner));
    if !finding.evidence.is_empty() {
        out.push(Line::from(edge.clone()));
        out.push(Line::from(vec![edge, raw("  "), span("Evidence", theme.strong())]));
        out.extend(finding::evidence(theme, finding, width));
    }
    out
}

/// Returns the notices about the watch itself.
fn notes(theme: Theme, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    if snapshot.notices.is_empty() {
        return Vec::new();
    }
    let mut out =
        vec![Line::default(), rule(theme, vec![span("NOTES ON THE WATCH", theme.strong())], width)];
    for notice in &snapshot.notices {
        for (at, line) in wrap(&escape(notice), width - 4).into_iter().enumerate() {
            out.push(Line::from(vec![raw(left(if at == 0 { " ·" } else { "" }, 3)), raw(line)]));
        }
    }
    out
}
