//! The threads: who accepts, reads and writes, and how each spends its time.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::chosen::choose;
use super::connection_table::ConnectionTable;
use super::gauge::bar;
use super::grid::{self, Column};
use super::parts::{Row, paragraph, raw, rule, span};
use super::queues::take;
use super::scroll::Shown;
use super::{connections, pattern, put, verdict};
use crate::model::snapshot::{
    ConnectionView, ListedConnection, Owner, Severity, Snapshot, ThreadView,
};
use crate::tui::app::{App, Hits};
use crate::tui::list::Listing;
use crate::tui::order::By;
use crate::tui::text::{compact, escape, left, percent, rate, right};
use crate::tui::theme::Theme;

/// The figure beside the bar of connections.
const COUNT: usize = 6;

/// Columns of a thread's time, and at least those of whom it serves, where they were chosen.
const TIME: usize = 20;
const SERVES_LEAST: usize = 12;

/// Rows from which on the pattern's evidence is shown.
const TALL: u16 = 34;
/// Columns from which on an uneven thread is marked in words.
const WIDE: usize = 24;
/// Rows from which on the worst exchange of what a thread serves is shown.
const EXCHANGE: u16 = 8;

/// Draws the screen.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let width = usize::from(area.width);
    let list = &app.threads;
    let Some(selected) = list.selected(snapshot) else {
        put(frame, area, nothing(app, width));
        return;
    };
    let words = verdict::thread(app.theme, snapshot, selected, width);
    let mut rest = area;
    let family = pattern::of(snapshot, selected);
    if let Some(family) = family {
        let mut head = pattern::headline(app.theme, snapshot, family, width);
        if area.height >= TALL {
            head.extend(pattern::evidence(app.theme, family, width));
            head.push(Line::default());
        }
        put(frame, take(&mut rest, head.len()), head);
    }
    let uneven = match family {
        Some(family) => family.uneven.as_slice(),
        None => &[],
    };
    let height = usize::from(rest.height);
    let rows = list.len().clamp(1, height.saturating_sub(words.len() + 5).min(height / 2).max(3));
    let shown = Shown::of(list, rows);
    table(app, snapshot, (shown, uneven), frame, take(&mut rest, 1 + rows), hits);
    put(frame, take(&mut rest, 1), vec![shown.line_of("rates and shares", app.theme, width)]);
    put(frame, take(&mut rest, words.len()), words);
    let lines = served(app, snapshot, selected, width, rest);
    put(frame, take(&mut rest, lines.len()), lines);
    take(&mut rest, 1);
    let served = snapshot.connections.iter().find(|other| other.is_served_by(selected.tid));
    if let Some(worst) = served.filter(|_| rest.height >= EXCHANGE) {
        put(frame, rest, connections::panel(app.theme, snapshot, worst, width, rest.height.into()));
    }
}

fn table(
    app: &App,
    snapshot: &Snapshot,
    (shown, uneven): (Shown, &[u32]),
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let (area, edge) = shown.split(area);
    shown.bar(app.theme, frame, edge);
    let (theme, list, first) = (app.theme, &app.threads, shown.first);
    let rows = usize::from(area.height.saturating_sub(1));
    let visible: Vec<&ThreadView> = list.window(snapshot, first).take(rows).collect();
    let grid = columns(area.width.into(), &app.columns.threads);
    let most = snapshot.threads.iter().map(|thread| thread.connections).max().unwrap_or(0);
    let mut lines = vec![grid::titles(theme, &grid, list.order(), area, Some(hits))];
    for (at, thread) in visible.iter().enumerate() {
        let selected = first + at == list.cursor();
        // If one is marked, each leaves room for a mark: bars end where they can be compared.
        let mark = if uneven.is_empty() { None } else { Some(uneven.contains(&thread.tid)) };
        let mut cells = Vec::new();
        for column in &grid {
            cells.push(cell(theme, thread, column, most, (selected, mark)));
        }
        lines.push(grid::row(theme, &grid, cells, selected));
    }
    hits.rows = Rect { y: area.y + 1, height: visible.len() as u16, ..area };
    hits.first_row = first;
    put(frame, area, lines);
}

/// Shares out a width. Columns that were chosen come as they were.
fn columns(width: usize, chosen: &[&'static str]) -> Vec<Column> {
    let mut grid = vec![
        Column::left("THREAD", if width < 100 { 18 } else { 26 }, By::Thread),
        Column::right("ACCEPT/s", 8, By::Accepts),
        Column::right("READ/s", 7, By::Reads),
        Column::right("WRITE/s", 7, By::Writes),
        Column::right("ON CPU", 6, By::Busy),
        Column::right("NO CPU", 6, By::Waits),
        Column::right("ASLEEP", 6, By::Asleep),
    ];
    if !chosen.is_empty() {
        grid.push(Column::left("ITS TIME", TIME, By::Known));
        grid.push(Column::left("SERVES", SERVES_LEAST, By::Connections));
        return choose(grid, chosen, width, ("serves", SERVES_LEAST));
    }
    let rest = grid::rest(width, &grid).saturating_sub(1);
    if width >= 100 {
        grid.push(Column::left("ITS TIME", rest / 2 - 1, By::Known));
    }
    // The last column needs no blank after it.
    let rest = grid::rest(width, &grid);
    grid.push(Column::left("SERVES", rest, By::Connections));
    grid
}

fn cell(
    theme: Theme,
    thread: &ThreadView,
    column: &Column,
    most: u32,
    (selected, uneven): (bool, Option<bool>),
) -> Row {
    let of = |value: f64| {
        let style = if value > 0.0 { theme.strong() } else { theme.dim() };
        vec![span(rate(value), style)]
    };
    let share = |value: Option<f64>| match value {
        Some(value) => vec![raw(percent(value))],
        None => vec![raw("–")],
    };
    match column.title {
        "THREAD" => {
            let style = if selected { theme.strong() } else { Style::new() };
            vec![span(name(thread), style)]
        }
        "ACCEPT/s" => of(thread.accepts),
        "READ/s" => of(thread.reads),
        "WRITE/s" => of(thread.writes),
        "ON CPU" => share(thread.busy),
        "NO CPU" => share(thread.waits),
        "ASLEEP" => share(thread.asleep),
        "ITS TIME" => time(theme, thread, column.width),
        _ => {
            let mark = if column.width >= WIDE { " ← uneven" } else { " ←" };
            let room = if uneven.is_some() { mark.chars().count() } else { 0 };
            let cells = column.width.saturating_sub(COUNT + room);
            let filled = f64::from(thread.connections) / f64::from(most.max(1));
            let mut row = bar(theme, filled, None, cells, theme.owner(Owner::App));
            row.push(span(right(&compact(thread.connections.into()), COUNT), theme.strong()));
            if uneven == Some(true) {
                row.push(span(mark, theme.severity(Severity::Warning)));
            }
            row
        }
    }
}

/// Draws a thread's time: on a CPU, the app's own doing; waiting for one, the kernel's; the rest
/// asleep.
pub(super) fn time(theme: Theme, thread: &ThreadView, cells: usize) -> Row {
    let (Some(busy), Some(waits)) = (thread.busy, thread.waits) else {
        return vec![span(left("–", cells), theme.dim())];
    };
    let part = |share: f64| (share.clamp(0.0, 1.0) * cells as f64).round() as usize;
    let busy = part(busy).min(cells);
    let waits = part(waits).min(cells - busy);
    let (track, style) = theme.track();
    let asleep = span(track.to_string().repeat(cells - busy - waits), style);
    vec![theme.run(Owner::App, busy), theme.run(Owner::Kernel, waits), asleep]
}

/// Returns a thread's name and id: "worker-1 4243".
pub(super) fn name(thread: &ThreadView) -> String {
    escape(&crate::text::named(&thread.comm, thread.tid))
}

/// Returns the connections that a thread serves, as many as the room takes.
fn served(
    app: &App,
    snapshot: &Snapshot,
    thread: &ThreadView,
    width: usize,
    area: Rect,
) -> Vec<Line<'static>> {
    let (theme, room) = (app.theme, usize::from(area.height));
    if room < 3 {
        return Vec::new();
    }
    let own = snapshot.connections.iter().filter(|connection| connection.is_served_by(thread.tid));
    let shown: Vec<&ConnectionView> = own.take(room - 2).collect();
    let title = vec![
        span(format!("CONNECTIONS OF {}", name(thread)), theme.strong()),
        span("  worst first, ↵ shows all", theme.dim()),
    ];
    let mut out = vec![rule(theme, title, width)];
    if shown.is_empty() {
        out.push(Line::from(span(" none of the known connections", theme.dim())));
        return out;
    }
    let table = ConnectionTable::new(theme, width, shown.iter().copied(), &app.columns.connections);
    out.push(table.titles((By::Known, false), area, None));
    for connection in shown {
        out.push(table.row(snapshot, connection, false));
    }
    out
}

fn nothing(app: &App, width: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut out = vec![Line::default()];
    let filter = app.threads.filter();
    if !filter.is_empty() {
        out.push(Line::from(span(
            format!(" No thread matches “{}”.", escape(&filter.into())),
            theme.strong(),
        )));
        out.push(Line::from("   Esc clears the filter."));
        return out;
    }
    out.push(Line::from(vec![
        raw(" ○ "),
        span("No thread has accepted, read or written yet.", theme.strong()),
    ]));
    let text = "Threads appear here once their CPU time has been sampled twice.";
    out.extend(paragraph(text, 3, Style::new(), width));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preferences::THREADS;
    use crate::tui::view::chosen;

    #[test]
    fn every_column_can_be_chosen() {
        chosen::tests::check(THREADS, |chosen, width| columns(width, chosen));
    }
}
