//! All findings, those that stand and those that have ended: a list, and the selected one in full
//! with its evidence.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use super::parts::{columns, cut, paragraph, raw, rule, span, spread};
use super::queues::first_row;
use super::{about, finding, past, put};
use crate::model::snapshot::{Finding, Snapshot, chain};
use crate::tui::app::{App, Hits};
use crate::tui::text::{escape, left, wrap};
use crate::tui::theme::{Theme, shape};

/// Levels of a chain that are set in, each from the one above it.
const MOST_INDENT: usize = 4;

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
    let found = app.finding_order.rows(snapshot);
    let Some(selected) = found.get(app.finding) else {
        put(frame, area, nothing(theme, snapshot, width));
        return;
    };
    let rows = found.len().min(usize::from(area.height) / 3);
    let [head, list, body] = area.layout(&Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows as u16),
        Constraint::Fill(1),
    ]));
    put(frame, head, vec![title(theme, snapshot, width)]);
    let first = first_row(app.finding, found.len(), rows);
    let mut visible = Vec::new();
    for (index, found) in found.iter().enumerate().skip(first).take(rows) {
        let (finding, is_selected) = (found.finding, index == app.finding);
        visible.push(if found.is_past {
            past::row(theme, snapshot, finding, is_selected, width)
        } else {
            let when = if has_times(snapshot, width) {
                past::since(snapshot, found)
            } else {
                String::new()
            };
            // In another order the cause is not above.
            let depth = if app.finding_order.has_causes_first() {
                chain::depth(&snapshot.findings, finding)
            } else {
                0
            };
            row(theme, finding, depth, &when, is_selected, width)
        });
    }
    put(frame, list, visible);
    hits.rows = list;
    hits.first_row = first;

    let mut lines = vec![Line::default()];
    lines.extend(if selected.is_past {
        full_past(theme, snapshot, selected.finding, width)
    } else {
        full(theme, snapshot, selected.finding, width)
    });
    lines.extend(notes(theme, snapshot, width));
    hits.scroll_end = lines.len().saturating_sub(body.height.into());
    let past = app.scroll.min(hits.scroll_end);
    about::draw(app, snapshot, selected.finding, frame, (body, lines.len()));
    put(frame, body, lines.into_iter().skip(past).collect());
}

/// Draws a finding that has ended, in full.
pub(super) fn draw_past(
    app: &App,
    snapshot: &Snapshot,
    finding: &Finding,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let lines = full_past(app.theme, snapshot, finding, area.width.into());
    hits.scroll_end = lines.len().saturating_sub(area.height.into());
    let past = app.scroll.min(hits.scroll_end);
    put(frame, area, lines.into_iter().skip(past).collect());
}

/// Says what the list begins with, as nobody is to look for what is wrong where nothing is.
fn title(theme: Theme, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let title = match snapshot.findings.len() {
        0 => span("    NOTHING IS WRONG NOW; WHAT WAS:", theme.strong()),
        _ => span("    FINDING", theme.dim()),
    };
    let columns = if has_times(snapshot, width) { "FROM–UNTIL  STOOD  ON " } else { "" };
    spread(vec![title], vec![span(columns, theme.dim())], width)
}

/// Whether rows say when a finding stood: where there is room, and where some have ended.
fn has_times(snapshot: &Snapshot, width: usize) -> bool {
    width >= 100 || !snapshot.past_findings.is_empty()
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

/// Returns a finding in one line, below its cause and further in.
pub(super) fn row(
    theme: Theme,
    finding: &Finding,
    depth: usize,
    when: &str,
    selected: bool,
    width: usize,
) -> Line<'static> {
    let indent = match depth {
        0 => String::new(),
        depth => format!("{}└", " ".repeat(2 * depth.min(MOST_INDENT) - 1)),
    };
    let severity = theme.severity(finding.severity);
    let style = if selected { severity } else { theme.dim() };
    let owner = span(format!(" {} ", finding.holder().letter()), theme.badge(finding.holder()));
    let start = vec![
        span(if selected { "▸" } else { " " }, theme.strong()),
        span(indent, theme.dim()),
        owner,
        span(format!(" {} ", shape(finding.severity)), severity),
        span(escape(&finding.headline), style),
    ];
    let subject = vec![span(format!("{when}{} ", escape(&finding.subject)), theme.dim())];
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
    let mut when = format!("since {}", past::at(snapshot, finding.since_ns));
    if finding.stood.times > 1 {
        when += &format!(", {}", past::how_long(finding));
    }
    body(theme, snapshot, finding, &when, width)
}

/// Returns a finding that has ended, as it last was.
fn full_past(
    theme: Theme,
    snapshot: &Snapshot,
    finding: &Finding,
    width: usize,
) -> Vec<Line<'static>> {
    let mut when = past::span_of(snapshot, finding);
    match past::how_long(finding) {
        long if long.is_empty() => {}
        long => when += &format!(", {long}"),
    }
    let mut out = body(theme, snapshot, finding, &when, width);
    let until = past::at(snapshot, finding.stood.until_ns());
    let ended = format!("It has ended. This is as it was at {until}, when it was last found.");
    out.splice(1..1, paragraph(&ended, 3, theme.dim(), width));
    out
}

fn body(
    theme: Theme,
    snapshot: &Snapshot,
    finding: &Finding,
    when: &str,
    width: usize,
) -> Vec<Line<'static>> {
    let label = finding.pid.and_then(|pid| snapshot.workloads.label(pid));
    let place = match label {
        Some(label) => format!(" · {}", escape(&label)),
        None => String::new(),
    };
    let title = vec![
        span(finding.kind, theme.strong()),
        span(format!("  {}{place}   {when}", escape(&finding.subject)), theme.dim()),
    ];
    let mut out = vec![rule(theme, title, width)];
    out.extend(finding::lines(theme, snapshot, finding, width));
    let edge = span("▌", theme.owner(finding.holder()));
    if let Some(cause) = chain::cause(&snapshot.findings, finding) {
        let words = format!("Follows from: {} ({})", escape(&cause.headline), cause.kind);
        for line in wrap(&words, width.saturating_sub(4)) {
            out.push(Line::from(vec![edge.clone(), raw("  "), span(line, theme.dim())]));
        }
    }
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
