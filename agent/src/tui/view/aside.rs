//! What a wide screen shows beside the events: other findings, the exchanges that took longest, the
//! busiest threads.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::grid::{self, Column};
use super::parts::{Row, raw, rule, span, widest};
use super::{connection_table, connections, findings, owners, threads, words};
use crate::model::snapshot::{
    ConnectionView, ExchangeView, HeldMost, ListenerView, Snapshot, ThreadView, chain,
};
use crate::tui::order::{By, counted_us, worst};
use crate::tui::text::{fine, left, percent};
use crate::tui::theme::Theme;

/// Width of a screen from which on there is an aside, and the columns that the events keep.
const WIDE: u16 = 150;
const EVENTS: u16 = 86;
const MOST: u16 = 100;
/// The least lines of a part that are worth having, its title among them.
const LEAST: usize = 3;
/// Lines and columns from which on the worst exchange is drawn step by step.
const STEPS: usize = 10;
const STEPS_WIDE: usize = 80;
/// "K Nagle       ".
const KIND: usize = 14;

/// Splits an area into one for the events and one for the aside, where there is room for both.
pub(super) fn split(area: Rect) -> (Rect, Option<Rect>) {
    if area.width < WIDE || usize::from(area.height) <= LEAST {
        return (area, None);
    }
    let width = (area.width - EVENTS).min(MOST);
    let events = Rect { width: area.width - width - 1, ..area };
    (events, Some(Rect { x: area.x + events.width + 1, width, ..area }))
}

/// Returns the findings if there are several, and what was served, in so many lines.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    // The worst one stands above in full.
    if snapshot.findings.len() > 1 {
        let title = vec![span("FINDINGS", theme.strong()), span("  4 shows them", theme.dim())];
        out.push(rule(theme, title, width));
        for finding in snapshot.findings.iter().take((height / 4).max(2)) {
            let depth = chain::depth(&snapshot.findings, finding);
            out.push(findings::row(theme, finding, depth, "", false, width));
        }
    }
    let room = height.saturating_sub(out.len());
    out.extend(served(theme, snapshot, listener, width, room));
    out
}

/// Returns the exchanges that took longest on what a listener accepted, the threads that served
/// them, and the worst exchange step by step, in so many lines.
pub(super) fn served(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let is_own =
        |thread: &&ThreadView| thread.pid == listener.pid || listener.holders.contains(&thread.pid);
    let busiest: Vec<&ThreadView> = snapshot.threads.iter().filter(is_own).collect();
    let for_threads = (busiest.len() + 2).min(height / 3);
    let worst = worst_of(snapshot, listener);
    out.extend(exchanges(theme, &worst, width, height.saturating_sub(for_threads)));
    let room = height.saturating_sub(out.len());
    if room >= LEAST && !busiest.is_empty() {
        out.extend(thread_lines(theme, &busiest, width, room));
    }
    let room = height.saturating_sub(out.len() + 1);
    if let Some((connection, _)) = worst.first()
        && room >= STEPS
        && width >= STEPS_WIDE
    {
        out.push(Line::default());
        out.extend(connections::panel(theme, snapshot, connection, width, room));
    }
    out.truncate(height);
    out
}

/// Returns the connections of a listener with the worst exchange of each, worst first.
fn worst_of<'a>(
    snapshot: &'a Snapshot,
    listener: &ListenerView,
) -> Vec<(&'a ConnectionView, &'a ExchangeView)> {
    let own = snapshot.connections.iter().filter(|other| other.listener == Some(listener.sock));
    let mut out: Vec<_> =
        own.filter_map(|connection| Some((connection, worst(connection)?))).collect();
    out.sort_by_key(|(_, exchange)| std::cmp::Reverse(counted_us(exchange)));
    out
}

fn exchanges(
    theme: Theme,
    worst: &[(&ConnectionView, &ExchangeView)],
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    if height < LEAST {
        return Vec::new();
    }
    let shown = &worst[..worst.len().min(height - 2)];
    let title = vec![
        span("WORST EXCHANGES", theme.strong()),
        span("  one a connection, 2 shows them", theme.dim()),
    ];
    let mut out = vec![rule(theme, title, width)];
    if shown.is_empty() {
        out.push(Line::from(span(" none yet on what this listener accepted", theme.dim())));
        return out;
    }
    let names: Vec<String> =
        shown.iter().map(|(connection, _)| connection_table::name(connection, 34)).collect();
    let mut grid = vec![
        Column::left("CONNECTION", widest(&names, 16, 34), By::Known),
        Column::right("TIME", 8, By::Known),
        Column::left("WHERE IT WENT", 0, By::Known),
        Column::left("MOST OF IT", KIND, By::Known),
    ];
    grid[2].width = grid::rest(width, &grid);
    out.push(grid::titles(theme, &grid, (By::Known, false), Rect::default(), None));
    for ((_, exchange), name) in shown.iter().zip(names) {
        let cells = vec![
            vec![raw(name)],
            vec![span(fine(counted_us(exchange)), theme.strong())],
            owners::bar(theme, &owners::slices(exchange), grid[2].width),
            kind(theme, exchange),
        ];
        out.push(grid::row(theme, &grid, cells, false));
    }
    out
}

/// Returns the kind of slice that took most of an exchange, with its owner's letter.
fn kind(theme: Theme, exchange: &ExchangeView) -> Row {
    let Some(HeldMost { holder, kind, .. }) = exchange.held_most() else {
        return vec![span("–", theme.dim())];
    };
    vec![
        span(holder.letter().to_string(), theme.mark(holder)),
        span(format!(" {}", words::held(holder, kind)), theme.owner(holder)),
    ]
}

fn thread_lines(
    theme: Theme,
    all: &[&ThreadView],
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let title = vec![
        span("THREADS", theme.strong()),
        span("  of this listener's processes, busiest first, 3 shows them", theme.dim()),
    ];
    let mut out = vec![rule(theme, title, width)];
    let shown = &all[..all.len().min(height - 2)];
    let names: Vec<String> = shown.iter().map(|thread| threads::name(thread)).collect();
    let mut grid = vec![
        Column::left("THREAD", widest(&names, 16, 30), By::Known),
        Column::right("ON CPU", 6, By::Known),
        Column::right("NO CPU", 6, By::Known),
        Column::right("ASLEEP", 6, By::Known),
        Column::left("ITS TIME", 0, By::Known),
        Column::right("SERVES", 6, By::Known),
    ];
    grid[4].width = grid::rest(width, &grid);
    out.push(grid::titles(theme, &grid, (By::Known, false), Rect::default(), None));
    let share = |share: Option<f64>| vec![raw(share.map_or("–".to_owned(), percent))];
    for (thread, name) in shown.iter().zip(names) {
        let cells = vec![
            vec![span(left(&name, grid[0].width), Style::new())],
            share(thread.busy),
            share(thread.waits),
            share(thread.asleep),
            threads::time(theme, thread, grid[4].width),
            vec![raw(thread.connections.to_string())],
        ];
        out.push(grid::row(theme, &grid, cells, false));
    }
    out
}
