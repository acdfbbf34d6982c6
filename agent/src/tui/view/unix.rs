//! Unix-domain sockets that listen, one a row, with their accept queues as gauges.

use ratatui::text::Line;

use super::gauge::bar;
use super::grid::{self, Column};
use super::parts::{Row, columns, cut, raw, span, widest};
use crate::model::event::{UnixListener, count_holders};
use crate::model::snapshot::{Owner, Snapshot};
use crate::tui::order::By;
use crate::tui::text::{clip, escape, grouped};
use crate::tui::theme::Theme;

/// Returns the lines that the sockets are worth on a screen of this height; 0 where there are none.
pub(super) fn height(snapshot: &Snapshot, lines: usize) -> usize {
    let most = if lines < 30 { 2 } else { lines / 8 };
    match snapshot.unix.len().min(most) {
        0 => 0,
        rows => 1 + rows,
    }
}

/// Returns a title and the sockets with most connections waiting, in so many lines.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    height: usize,
    width: usize,
) -> Vec<Line<'static>> {
    if height < 2 {
        return Vec::new();
    }
    let mut order: Vec<&UnixListener> = snapshot.unix.iter().collect();
    order.sort_by_key(|socket| std::cmp::Reverse(socket.depth));
    let (shown, left) = order.split_at(order.len().min(height - 1));
    let paths: Vec<String> = shown.iter().map(|socket| escape(&socket.path)).collect();
    let most = if width < 100 { 30 } else { 48 };
    let mut grid = vec![
        Column::left("UNIX LISTENER", widest(&paths, 14, most), By::Known),
        Column::left("ACCEPT QUEUE", 0, By::Known),
        Column::right("QUEUED/LIMIT", 12, By::Known),
        Column::left("PROCESS", 22, By::Known),
    ];
    grid[1].width = grid::rest(width, &grid);
    let area = ratatui::layout::Rect::default();
    let mut title: Row = grid::titles(theme, &grid, (By::Known, false), area, None).spans;
    if !left.is_empty() {
        let more = format!(" +{} more", left.len());
        title = cut(title, width.saturating_sub(more.len()));
        title.push(raw(" ".repeat(width.saturating_sub(columns(&title) + more.len()))));
        title.push(span(more, theme.dim()));
    }
    let mut out = vec![Line::from(title)];
    for (socket, path) in shown.iter().zip(&paths) {
        let style = if socket.is_full() { theme.loss() } else { theme.owner(Owner::App) };
        let share = f64::from(socket.depth) / f64::from(socket.limit.max(1));
        let mark = if socket.is_full() { "▲" } else { "" };
        let queue =
            format!("{mark}{}/{}", grouped(socket.depth.into()), grouped(socket.limit.into()));
        let more = count_holders(&socket.holders, socket.unnamed_holders).saturating_sub(1);
        let more = if more > 0 { format!(" +{}", grouped(more)) } else { String::new() };
        let cells = vec![
            vec![raw(clip(path, grid[0].width))],
            bar(theme, share, None, grid[1].width, style),
            vec![if socket.is_full() { span(queue, theme.loss()) } else { raw(queue) }],
            vec![span(format!("{} {}{more}", escape(&socket.comm), socket.pid), theme.dim())],
        ];
        out.push(grid::row(theme, &grid, cells, false));
    }
    out
}
