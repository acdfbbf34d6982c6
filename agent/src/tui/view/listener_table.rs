//! The listeners, one a row, with their queues as gauges.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::chart::trend;
use super::chosen::choose;
use super::gauge::{bar, share};
use super::grid::{self, Column};
use super::parts::{Row, raw, refusing, span, widest};
use super::words::process;
use crate::model::snapshot::{ListenerView, Owner};
use crate::model::workload::Workloads;
use crate::tui::app::Hits;
use crate::tui::order::By;
use crate::tui::text::{clip_address, compact, duration, rate, right};
use crate::tui::theme::Theme;

/// Figures of depth and peak, behind the gauges of the accept queue and of the SYN queue.
const DEPTH: usize = 8;
const SYN: usize = 5;
/// Columns that the accept queue takes at least: its figures and a short gauge.
const QUEUE_LEAST: usize = DEPTH + 2;
/// Columns that an address takes at least.
const ADDRESS_LEAST: usize = 14;
/// The title that a listener's figures begin under.
const QUEUE: &str = "ACCEPT QUEUE";

/// The columns, made to a width and the rows that are to be seen.
///
/// Behind the listener's name they stand close: each is as wide as its figures with a blank before
/// them.
pub(super) struct ListenerTable {
    grid: Vec<Column>,
    theme: Theme,
    workloads: Workloads,
}

impl ListenerTable {
    /// Shares out a width: the least that a screen shows, then more columns, then a longer gauge.
    /// Columns that were chosen come as they were.
    pub(super) fn new<'a>(
        theme: Theme,
        width: usize,
        rows: impl Iterator<Item = &'a ListenerView>,
        workloads: &Workloads,
        chosen: &[&'static str],
    ) -> Self {
        let (mut addresses, mut has_places) = (Vec::new(), false);
        for listener in rows {
            addresses.push(listener.local.to_string());
            has_places |= workloads.label(listener.pid).is_some();
        }
        // All columns are there to choose from, whatever the width.
        let seen = if chosen.is_empty() { width } else { usize::MAX };
        let address = widest(&addresses, ADDRESS_LEAST, if width < 100 { 18 } else { 28 });
        let mut grid = vec![Column::left("LISTENER", address, By::Known)];
        if seen >= 104 {
            grid.push(Column::left(
                "PROCESS",
                if seen >= 164 && has_places { 33 } else { 19 },
                By::Known,
            ));
        }
        let queue_at = grid.len();
        grid.push(Column::right("LIMIT", 6, By::Known).close());
        if seen >= 150 {
            grid.push(Column::left(" OVER TIME", 17, By::Known).close());
        }
        if seen >= 112 {
            grid.push(Column::right("SYN QUEUE", 1 + 8 + SYN, By::Known).close());
        } else {
            grid.push(Column::right("SYN", 1 + 3 + SYN, By::Known).close());
        }
        if seen >= 124 {
            grid.push(Column::right("QUEUED/s", 10, By::Known).close());
            grid.push(Column::right("ACCEPT/s", 10, By::Accepts).close());
        }
        grid.push(Column::right("WAIT p50", 10, By::Known).close());
        grid.push(Column::right("p99", 7, By::Wait).close());
        if seen >= 136 {
            grid.push(Column::right("max", 8, By::Known).close());
        }
        grid.push(Column::right("OVERFLOW", 14, By::Overflow).close());
        if !chosen.is_empty() {
            grid.insert(queue_at, Column::left(QUEUE, QUEUE_LEAST, By::Depth));
            grid = choose(grid, chosen, width, ("queue", QUEUE_LEAST));
            return Self { grid, theme, workloads: workloads.clone() };
        }
        // A long address gives way to the gauge.
        let missing = QUEUE_LEAST.saturating_sub(grid::rest(width, &grid));
        grid[0].width = address.saturating_sub(missing).max(ADDRESS_LEAST);
        let queue = grid::rest(width, &grid);
        grid.insert(queue_at, Column::left(QUEUE, queue, By::Depth).close());
        Self { grid, theme, workloads: workloads.clone() }
    }

    /// Returns the line of titles in `area`.
    pub(super) fn titles(&self, order: (By, bool), area: Rect, hits: &mut Hits) -> Line<'static> {
        grid::titles(self.theme, &self.grid, order, area, Some(hits))
    }

    /// Returns a listener's row.
    pub(super) fn row(&self, listener: &ListenerView, selected: bool) -> Line<'static> {
        let mut cells = Vec::with_capacity(self.grid.len());
        for column in &self.grid {
            if listener.closed && column.title == QUEUE {
                break;
            }
            cells.push(self.cell(listener, column, selected));
        }
        let mut row = grid::row(self.theme, &self.grid, cells, selected);
        if listener.closed {
            row.push_span(span("stopped listening", self.theme.dim()));
        }
        row
    }

    fn cell(&self, listener: &ListenerView, column: &Column, selected: bool) -> Row {
        let theme = self.theme;
        let wait = |us| if listener.wait.count > 0 { duration(us) } else { "–".to_owned() };
        match column.title {
            "LISTENER" => {
                let style = if selected { theme.strong() } else { Style::new() };
                vec![span(clip_address(&listener.local.to_string(), column.width), style)]
            }
            "PROCESS" => {
                let (pid, width) = (listener.pid, column.width);
                vec![span(process(&self.workloads, &listener.comm, pid, width), theme.dim())]
            }
            QUEUE => accept_queue(theme, listener, column.width),
            "LIMIT" => vec![raw(compact(listener.limit.into()))],
            " OVER TIME" => {
                let mut row = vec![raw(" ")];
                row.extend(trend(theme, listener, column.width - 1));
                row
            }
            "SYN" | "SYN QUEUE" => syn_queue(theme, listener, column.width),
            "QUEUED/s" => vec![raw(rate(listener.rates.arrivals))],
            "ACCEPT/s" => vec![raw(rate(listener.rates.accepts))],
            "WAIT p50" => vec![raw(wait(listener.wait.p50))],
            "p99" => vec![raw(wait(listener.wait.p99))],
            "max" => vec![raw(wait(listener.wait.max))],
            _ => vec![overflows(theme, listener)],
        }
    }
}

fn accept_queue(theme: Theme, listener: &ListenerView, width: usize) -> Row {
    let (style, figures) = if refusing(listener) {
        (theme.loss(), theme.loss())
    } else {
        (theme.owner(Owner::App), theme.strong())
    };
    let now = share(listener.depth, listener.limit);
    let peak = share(listener.peak, listener.limit);
    let mut row = bar(theme, now, Some(peak), width.saturating_sub(DEPTH), style);
    row.extend(depth(theme, listener.depth, listener.peak, DEPTH, figures));
    row
}

fn syn_queue(theme: Theme, listener: &ListenerView, width: usize) -> Row {
    let now = share(listener.syn_depth, listener.limit);
    let peak = share(listener.syn_peak, listener.limit);
    let style = theme.owner(Owner::Peer);
    let mut row = vec![raw(" ")];
    row.extend(bar(theme, now, Some(peak), width.saturating_sub(1 + SYN), style));
    row.extend(depth(theme, listener.syn_depth, listener.syn_peak, SYN, Style::new()));
    row
}

fn overflows(theme: Theme, listener: &ListenerView) -> Span<'static> {
    match listener.totals.overflows() {
        0 => span("0", theme.dim()),
        n if refusing(listener) => {
            let text = format!("▲{} +{}/s", compact(n), rate(listener.rates.overflows));
            span(text, theme.loss())
        }
        n => span(format!("▲{}", compact(n)), theme.loss()),
    }
}

/// Returns a depth, and its peak if that was higher and there is room.
fn depth(theme: Theme, depth: u32, peak: u32, width: usize, style: Style) -> [Span<'static>; 2] {
    let now = compact(depth.into());
    let peak = if peak > depth { format!("⌃{}", compact(peak.into())) } else { String::new() };
    if now.len() + peak.chars().count() < width {
        let pad = width - peak.chars().count();
        [span(right(&now, pad), style), span(peak, theme.dim())]
    } else {
        [span(right(&now, width), style), raw("")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preferences::QUEUES;
    use crate::tui::view::chosen;

    #[test]
    fn every_column_can_be_chosen() {
        chosen::tests::check(QUEUES, |chosen, width| {
            let theme = Theme::plain();
            ListenerTable::new(theme, width, [].into_iter(), &Workloads::default(), chosen).grid
        });
    }
}
