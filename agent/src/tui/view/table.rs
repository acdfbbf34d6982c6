//! The listeners, one a row, with their queues as gauges.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::chart::trend;
use super::gauge::{bar, share};
use super::grid::title;
use super::parts::{Row, columns, raw, refusing, span, widest};
use crate::model::snapshot::{ListenerView, Owner};
use crate::tui::app::Hits;
use crate::tui::order::By;
use crate::tui::text::{clip_address, compact, duration, escape, left, rate, right};
use crate::tui::theme::Theme;

/// Widths of the columns, in characters; 0 leaves a column out.
pub(super) struct Columns {
    address: usize,
    process: usize,
    gauge: usize,
    syn_gauge: usize,
    flow: usize,
    longest: usize,
    trend: usize,
}

// Right-aligned figures, each with a blank before it.
const DEPTH: usize = 8;
const LIMIT: usize = 6;
const SYN: usize = 5;
const P50: usize = 10;
const P99: usize = 7;
const OVERFLOW: usize = 14;

impl Columns {
    /// Shares out a width: the least that a screen shows, then more columns, then longer gauges.
    pub(super) fn new<'a>(width: usize, listeners: impl Iterator<Item = &'a ListenerView>) -> Self {
        let addresses: Vec<String> = listeners.map(|listener| listener.local.to_string()).collect();
        let from = |least, taken| if width >= least { taken } else { 0 };
        let mut columns = Self {
            address: widest(&addresses, 14, if width < 100 { 18 } else { 28 }),
            process: from(104, 20),
            gauge: 0,
            syn_gauge: 3 + from(112, 5),
            flow: from(124, 20),
            longest: from(136, 8),
            trend: from(150, 17),
        };
        let fixed = 2 + DEPTH + LIMIT + 1 + SYN + P50 + P99 + OVERFLOW;
        let taken = columns.address
            + columns.process
            + columns.syn_gauge
            + columns.flow
            + columns.longest
            + columns.trend;
        columns.gauge = width.saturating_sub(fixed + taken);
        columns
    }

    /// Returns the line of titles in `area`; the one sorted by is underlined and marked.
    pub(super) fn titles(
        &self,
        theme: Theme,
        order: (By, bool),
        area: Rect,
        hits: &mut Hits,
    ) -> Line<'static> {
        let mut row = vec![span(left(" LISTENER", self.address + 2), theme.dim())];
        if self.process > 0 {
            row.push(span(left("PROCESS", self.process), theme.dim()));
        }
        let mut add = |text: &str, width: usize, by: By, at_right: bool| {
            let title = title(theme, text, by, order);
            let pad = raw(" ".repeat(width.saturating_sub(title.width())));
            if by != By::Known {
                let x = area.x + columns(&row) as u16;
                hits.titles.push((Rect { x, y: area.y, width: width as u16, height: 1 }, by));
            }
            row.extend(if at_right { [pad, title] } else { [title, pad] });
        };
        add("ACCEPT QUEUE", self.gauge + DEPTH, By::Depth, false);
        add("LIMIT", LIMIT, By::Known, true);
        if self.trend > 0 {
            add(" OVER TIME", self.trend, By::Known, false);
        }
        add(
            if self.syn_gauge > 3 { "SYN QUEUE" } else { "SYN" },
            1 + self.syn_gauge + SYN,
            By::Known,
            true,
        );
        if self.flow > 0 {
            add("QUEUED/s", self.flow / 2, By::Known, true);
            add("ACCEPT/s", self.flow / 2, By::Accepts, true);
        }
        add("WAIT p50", P50, By::Known, true);
        add("p99", P99, By::Wait, true);
        if self.longest > 0 {
            add("max", self.longest, By::Known, true);
        }
        add("OVERFLOW", OVERFLOW, By::Overflow, true);
        Line::from(row)
    }

    /// Returns a listener's row.
    pub(super) fn row(
        &self,
        theme: Theme,
        listener: &ListenerView,
        selected: bool,
    ) -> Line<'static> {
        let address = clip_address(&listener.local.to_string(), self.address);
        let name_style = if selected { theme.strong() } else { Style::new() };
        let mut row = vec![
            span(if selected { "▸" } else { " " }, theme.strong()),
            span(left(&address, self.address + 1), name_style),
        ];
        if self.process > 0 {
            let process = format!("{} {}", escape(&listener.comm), listener.pid);
            row.push(span(left(&process, self.process - 1), theme.dim()));
            row.push(raw(" "));
        }
        if listener.closed {
            row.push(span("stopped listening", theme.dim()));
        } else {
            self.queues(theme, listener, &mut row);
        }
        Line::from(row)
    }

    fn queues(&self, theme: Theme, listener: &ListenerView, row: &mut Row) {
        let overflowing = refusing(listener);
        let style = if overflowing { theme.loss() } else { theme.owner(Owner::App) };
        let limit = listener.limit;
        row.extend(bar(
            theme,
            share(listener.depth, limit),
            Some(share(listener.peak, limit)),
            self.gauge,
            style,
        ));
        let figure_style = if overflowing { theme.loss() } else { theme.strong() };
        row.extend(depth(theme, listener.depth, listener.peak, DEPTH, figure_style));
        row.push(raw(right(&compact(limit.into()), LIMIT)));
        if self.trend > 0 {
            row.push(raw(" "));
            row.extend(trend(theme, listener, self.trend - 1));
        }
        row.push(raw(" "));
        let (now, peak) = (share(listener.syn_depth, limit), share(listener.syn_peak, limit));
        row.extend(bar(theme, now, Some(peak), self.syn_gauge, theme.owner(Owner::Peer)));
        row.extend(depth(theme, listener.syn_depth, listener.syn_peak, SYN, Style::new()));
        self.figures(theme, listener, row);
    }

    fn figures(&self, theme: Theme, listener: &ListenerView, row: &mut Row) {
        if self.flow > 0 {
            row.push(raw(right(&rate(listener.rates.arrivals), self.flow / 2)));
            row.push(raw(right(&rate(listener.rates.accepts), self.flow / 2)));
        }
        let wait = |us| if listener.wait.count > 0 { duration(us) } else { "–".to_owned() };
        row.push(raw(right(&wait(listener.wait.p50), P50)));
        row.push(raw(right(&wait(listener.wait.p99), P99)));
        if self.longest > 0 {
            row.push(raw(right(&wait(listener.wait.max), self.longest)));
        }
        row.push(match listener.totals.overflows() {
            0 => span(right("0", OVERFLOW), theme.dim()),
            n if refusing(listener) => {
                let text = format!("▲{} +{}/s", compact(n), rate(listener.rates.overflows));
                span(right(&text, OVERFLOW), theme.loss())
            }
            n => span(right(&format!("▲{}", compact(n)), OVERFLOW), theme.loss()),
        });
    }
}

/// Returns a depth, and its peak if that was higher and there is room.
fn depth(
    theme: Theme,
    depth: u32,
    peak: u32,
    width: usize,
    style: Style,
) -> [ratatui::text::Span<'static>; 2] {
    let now = compact(depth.into());
    let peak = if peak > depth { format!("⌃{}", compact(peak.into())) } else { String::new() };
    if now.len() + peak.chars().count() < width {
        let pad = width - peak.chars().count();
        [span(right(&now, pad), style), span(peak, theme.dim())]
    } else {
        [span(right(&now, width), style), raw("")]
    }
}
