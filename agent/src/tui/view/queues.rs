//! The first screen: the listeners, what is wrong and whose doing it is, the evidence, the stream.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::listener_table::ListenerTable;
use super::parts::{paragraph, raw, rule, span};
use super::scroll::Shown;
use super::{aside, datagrams, event_log, finding, panel, past, put, unix, verdict};
use crate::model::snapshot::{ListenerView, Snapshot};
use crate::tui::app::{App, Hits};
use crate::tui::list::Listing;
use crate::tui::text::{clip, escape};

/// Lines of the stream, with its title, that are worth having.
const STREAM_LEAST: usize = 4;
/// Lines from which on the history of a UDP socket is worth having.
const SOCKET_LEAST: u16 = 8;

/// The lines of each part of the screen.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    rows: usize,
    verdict: usize,
    panel: usize,
    event_log: usize,
    notices: usize,
}

impl Plan {
    /// Shares out `height`. The verdict comes first and is never cut; when it is long the stream
    /// gives way, then the panel.
    fn new(
        height: usize,
        listeners: usize,
        verdict: usize,
        panel_most: usize,
        notices: usize,
    ) -> Self {
        let rows = listeners.clamp(1, (height / 6).max(3));
        let mut left = height.saturating_sub(1 + rows);
        let verdict = (verdict + 1).min(left);
        left -= verdict;
        let notices =
            notices.min(height / 20).min(left.saturating_sub(panel::LEAST + STREAM_LEAST));
        left -= notices;
        let spare = left.saturating_sub(panel::LEAST + STREAM_LEAST);
        let panel = (panel::LEAST + (spare * 9 / 20).min(panel_most.saturating_sub(panel::LEAST)))
            .min(left);
        Self { rows, verdict, panel, event_log: left - panel, notices }
    }
}

/// Draws the screen.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let Some(listener) = app.listeners.selected(snapshot) else {
        without_listeners(app, snapshot, frame, area);
        return;
    };
    let width = usize::from(area.width);
    let sockets = datagrams::height(snapshot, area.height.into());
    let local = unix::height(snapshot, area.height.into());
    let words = verdict::lines(app.theme, snapshot, listener, width);
    let most = panel::most(listener, width);
    let height = usize::from(area.height) - sockets - local;
    let plan = Plan::new(height, app.listeners.len(), words.len(), most, snapshot.notices.len());
    let mut rest = area;
    let shown = Shown::of(&app.listeners, plan.rows);
    table(app, snapshot, shown, frame, take(&mut rest, 1 + plan.rows), hits);
    put(frame, take(&mut rest, sockets), datagrams::lines(app.theme, snapshot, sockets, width));
    put(frame, take(&mut rest, local), unix::lines(app.theme, snapshot, local, width));
    let mut separated = vec![shown.line_of("rates", app.theme, width)];
    separated.extend(words);
    put(frame, take(&mut rest, plan.verdict), separated);
    panel::draw(app.theme, snapshot, listener, frame, take(&mut rest, plan.panel));
    let (events, beside) = aside::split(take(&mut rest, plan.event_log));
    live(app, snapshot, frame, events, hits);
    if let Some(area) = beside {
        let (width, height) = (area.width.into(), area.height.into());
        put(frame, area, aside::lines(app.theme, snapshot, listener, width, height));
    }
    let mut notices = Vec::new();
    for notice in snapshot.notices.iter().rev().take(plan.notices).rev() {
        notices.push(Line::from(vec![
            span(" note  ", app.theme.strong()),
            span(clip(&escape(notice), width.saturating_sub(8)), app.theme.dim()),
        ]));
    }
    put(frame, rest, notices);
}

fn table(
    app: &App,
    snapshot: &Snapshot,
    shown: Shown,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let (area, edge) = shown.split(area);
    shown.bar(app.theme, frame, edge);
    let (rows, first) = (usize::from(area.height.saturating_sub(1)), shown.first);
    let visible: Vec<&ListenerView> = app.listeners.window(snapshot, first).take(rows).collect();
    let table = ListenerTable::new(
        app.theme,
        area.width.into(),
        visible.iter().copied(),
        &snapshot.workloads,
        &app.columns.queues,
    );
    let mut lines = vec![table.titles(app.listeners.order(), area, hits)];
    for (at, listener) in visible.iter().enumerate() {
        lines.push(table.row(listener, first + at == app.listeners.cursor()));
    }
    hits.rows = Rect { y: area.y + 1, height: visible.len() as u16, ..area };
    hits.first_row = first;
    put(frame, area, lines);
}

/// Returns the first row shown, so that the selected one is in the middle where the list is long.
pub(super) fn first_row(cursor: usize, all: usize, rows: usize) -> usize {
    cursor.saturating_sub(rows / 2).min(all.saturating_sub(rows))
}

fn live(app: &App, snapshot: &Snapshot, frame: &mut Frame<'_>, area: Rect, hits: &mut Hits) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    if height < 2 {
        return;
    }
    let rows = height - 1;
    hits.stream_rows = rows;
    hits.stream_end = snapshot.event_log.len().saturating_sub(rows);
    let past = app.stream_scroll.min(hits.stream_end);
    let older = snapshot.event_log.len().saturating_sub(past + rows);
    let mut lines = vec![event_log::title(app.theme, (past, older), width)];
    let many = snapshot.listeners.len() > 1;
    let entries: Vec<_> = snapshot.event_log.iter().rev().skip(past).take(height - 1).collect();
    lines.extend(event_log::lines(
        app.theme,
        app.time_of_day.as_ref(),
        snapshot,
        &entries,
        width,
        many,
    ));
    if snapshot.event_log.is_empty() {
        lines.push(Line::from(span(
            " Accepts and overflows appear here as they happen.",
            app.theme.dim(),
        )));
    }
    put(frame, area, lines);
}

/// Draws a server of UDP or Unix-domain sockets alone, or nothing yet.
fn without_listeners(app: &App, snapshot: &Snapshot, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let mut rest = area;
    let sockets = datagrams::height(snapshot, area.height.into());
    let local = unix::height(snapshot, area.height.into());
    if sockets + local > 0 && app.listeners.filter().is_empty() {
        put(frame, take(&mut rest, local), unix::lines(app.theme, snapshot, local, width));
        put(frame, take(&mut rest, sockets), datagrams::lines(app.theme, snapshot, sockets, width));
        if let Some(worst) = snapshot.findings.first() {
            let words = finding::lines(app.theme, snapshot, worst, width);
            take(&mut rest, 1);
            put(frame, take(&mut rest, words.len()), words);
        } else {
            let past = snapshot.past_findings.iter();
            let now = "Nothing is wrong now.";
            if let Some(words) = past::lines(app.theme, snapshot, now, past, width) {
                take(&mut rest, 1);
                put(frame, take(&mut rest, words.len()), words);
            }
        }
    }
    let words = nothing(app, snapshot, width);
    put(frame, take(&mut rest, words.len() + 1), words);
    for socket in &snapshot.datagrams {
        if rest.height < SOCKET_LEAST || !app.listeners.filter().is_empty() {
            break;
        }
        let lines = datagrams::panel(app.theme, snapshot, socket, width, rest.height.into());
        put(frame, take(&mut rest, lines.len() + 1), lines);
    }
}

/// Says why no listener is shown: because of the filter, or since there is none yet.
fn nothing(app: &App, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut out = vec![Line::default()];
    if !app.listeners.filter().is_empty() {
        let text = format!(" No listener matches “{}”.", escape(&app.listeners.filter().into()));
        out.push(Line::from(span(text, theme.strong())));
        out.push(Line::from("   Esc clears the filter."));
        return out;
    }
    let (title, text) = if !snapshot.unix.is_empty() {
        (
            "No TCP socket listens yet.",
            "Of Unix-domain sockets, the queue above is read at each refresh; their connections \
             are not watched. A client that finds the queue full waits in connect() or gets \
             EAGAIN. A TCP listener appears here the moment it opens.",
        )
    } else if snapshot.datagrams.is_empty() {
        (
            "No listening socket yet.",
            "The target has not called listen(), or has closed its listeners. The watch goes on: a \
             listener appears here the moment it opens, with its queues from the first connection \
             on.",
        )
    } else {
        (
            "Only UDP so far: no TCP socket listens.",
            "For UDP, the kernel has no connections and no queue of connections: the receive \
             buffer above is all there is. A listener appears here the moment it opens.",
        )
    };
    out.push(Line::from(vec![raw(" ○ "), span(title, theme.strong())]));
    out.extend(paragraph(text, 3, Style::new(), width));
    if !snapshot.notices.is_empty() {
        out.push(Line::default());
        out.push(rule(theme, vec![span("NOTES", theme.strong())], width));
        for notice in &snapshot.notices {
            out.extend(paragraph(&escape(notice), 3, Style::new(), width));
        }
    }
    out
}

/// Takes lines off the top of an area.
pub(super) fn take(area: &mut Rect, lines: usize) -> Rect {
    let height = area.height.min(lines as u16);
    let top = Rect { height, ..*area };
    area.y += height;
    area.height -= height;
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_verdict_takes_from_the_stream_first() {
        let short = Plan::new(21, 2, 5, 14, 0);
        assert_eq!((short.rows, short.verdict, short.event_log), (2, 6, 5));
        assert_eq!(short.panel, panel::LEAST);
        let long = Plan::new(21, 2, 10, 14, 0);
        assert_eq!((long.verdict, long.panel, long.event_log), (11, panel::LEAST, 0));
        let longer = Plan::new(21, 2, 14, 14, 0);
        assert_eq!((longer.verdict, longer.panel, longer.event_log), (15, 3, 0));
    }

    #[test]
    fn the_selected_row_is_always_shown() {
        for cursor in 0..100 {
            let first = first_row(cursor, 100, 7);
            assert!((first..first + 7).contains(&cursor) && first + 7 <= 100);
        }
        assert_eq!(first_row(1, 2, 7), 0);
    }
}
