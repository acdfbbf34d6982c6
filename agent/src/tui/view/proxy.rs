//! A process that serves and calls others: its upstreams, one a row, so that a slow one and a
//! favoured one stand out.

use ratatui::style::Style;
use ratatui::text::Line;

use super::gauge::bar;
use super::grid::{self, Column};
use super::parts::{Row, cut, raw, span, widest};
use super::words;
use crate::model::snapshot::{
    ConnectionView, FailedCall, Holder, ProxySide, ProxyView, Reuse, Severity, Snapshot, Spreading,
    UpstreamView,
};
use crate::tui::order::By;
use crate::tui::text::{clip_address, compact, count_of, duration, escape, percent};
use crate::tui::theme::Theme;

const SLOW: &str = "◀ slow";
/// A call that waits for so long is worth a line, µs.
const LONG_US: u64 = 1_000_000;

/// Returns the proxy that a connection is of, or the busiest.
pub(super) fn of<'a>(
    snapshot: &'a Snapshot,
    selected: Option<&ConnectionView>,
) -> Option<&'a ProxyView> {
    let proxies = &snapshot.proxies;
    if let Some(selected) = selected
        && let Some(own) = proxies.iter().find(|proxy| proxy.pid == selected.pid)
    {
        return Some(own);
    }
    proxies.iter().max_by_key(|proxy| proxy.upstream.exchanges)
}

/// Returns the proxy in so many lines at most: its headline, titles, and the upstreams with most
/// exchanges, a slow one among them.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    proxy: &ProxyView,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let mut out = headline(theme, snapshot, proxy, width);
    let mut shown: Vec<&UpstreamView> = proxy.upstreams.iter().collect();
    shown.sort_by_key(|upstream| (!upstream.slow, trouble(snapshot, upstream).is_empty()));
    shown.truncate(height.saturating_sub(out.len() + 1));
    if shown.is_empty() {
        return out;
    }
    let addresses: Vec<String> = shown.iter().map(|upstream| upstream.peer.to_string()).collect();
    let address = widest(&addresses, 15, if width < 100 { 21 } else { 28 });
    let mut grid = vec![
        Column::left("UPSTREAM", address + 1, By::Known),
        Column::right("CONNS", 6, By::Known),
        Column::right("CALLS", 6, By::Known),
        Column::right("SHARE", 6, By::Known),
        Column::right("p50", 8, By::Known),
        Column::right("p99", 8, By::Known),
        Column::right("FAILED", 7, By::Known),
        Column::left("TIME AT THE MEDIAN", 0, By::Known),
    ];
    let last = grid.len() - 1;
    grid[last].width = grid::rest(width, &grid);
    if grid[last].width < 18 {
        grid[last].title = "MEDIAN";
    }
    let mut longest = 1;
    for upstream in &proxy.upstreams {
        longest = longest.max(upstream.time.p50);
    }
    let area = ratatui::layout::Rect::default();
    out.push(grid::titles(theme, &grid, (By::Known, false), area, None));
    for (upstream, address) in shown.iter().zip(&addresses) {
        let time = time(theme, upstream, longest, grid[last].width);
        let style = if upstream.slow { theme.severity(Severity::Warning) } else { Style::new() };
        let known = |us: u64| if upstream.time.count > 0 { duration(us) } else { "–".to_owned() };
        let cells: Vec<Row> = vec![
            vec![span(
                format!(" {}", clip_address(address, grid[0].width.saturating_sub(1))),
                style,
            )],
            vec![raw(compact(upstream.side.connections))],
            vec![raw(compact(upstream.side.exchanges))],
            vec![raw(percent(upstream.share))],
            vec![span(known(upstream.time.p50), style)],
            vec![raw(known(upstream.time.p99))],
            failures(theme, upstream),
            time,
        ];
        out.push(grid::row(theme, &grid, cells, false));
        out.extend(trouble_lines(theme, trouble(snapshot, upstream), width));
    }
    out.truncate(height);
    out
}

/// Returns a bar as long as its share of the longest, and a mark behind it where it is slow.
fn time(theme: Theme, upstream: &UpstreamView, longest: u64, width: usize) -> Row {
    let cells = width.saturating_sub(SLOW.chars().count() + 1);
    let mut row = bar(
        theme,
        upstream.time.p50 as f64 / longest as f64,
        None,
        cells,
        theme.owner(Holder::Upstream),
    );
    if upstream.slow {
        row.push(span(format!(" {SLOW}"), theme.severity(Severity::Warning)));
    }
    row
}

/// Returns the number of calls and connects that failed.
fn failures(theme: Theme, upstream: &UpstreamView) -> Row {
    match upstream.failures() {
        0 => vec![span("0", theme.dim())],
        failures => vec![span(compact(failures), theme.severity(Severity::Warning))],
    }
}

/// Returns what waits for an upstream now, and what failed there last.
fn trouble(snapshot: &Snapshot, upstream: &UpstreamView) -> Vec<String> {
    let mut parts = Vec::new();
    if upstream.waiting > 0 && upstream.waiting_us >= LONG_US {
        let verb = if upstream.waiting == 1 { "waits" } else { "wait" };
        let calls = count_of(upstream.waiting, "call");
        parts.push(format!("{calls} {verb} now, for up to {}", duration(upstream.waiting_us)));
    }
    if let Some(FailedCall { fault, ts_ns, request, .. }) = upstream.last_failure {
        let ago_us = snapshot.now_ns.saturating_sub(ts_ns) / 1_000;
        let mut text = format!("{} {} ago", words::fault(fault), duration(ago_us));
        if let Some((_, seq, client)) = request {
            text.push_str(&format!(" (request {seq} of {client})"));
        }
        parts.push(text);
    }
    parts
}

/// Returns these parts on a line, or one a line where they do not fit.
fn trouble_lines(theme: Theme, parts: Vec<String>, width: usize) -> Vec<Line<'static>> {
    let whole = parts.join("; ");
    let lines = if whole.chars().count() + 3 <= width { vec![whole] } else { parts };
    let mut out = Vec::new();
    for text in lines.into_iter().filter(|text| !text.is_empty()) {
        let row = vec![raw("   "), span(text, theme.owner(Holder::Upstream))];
        out.push(Line::from(cut(row, width)));
    }
    out
}

fn headline(
    theme: Theme,
    snapshot: &Snapshot,
    proxy: &ProxyView,
    width: usize,
) -> Vec<Line<'static>> {
    let side = |side: ProxySide, what: &str| {
        let plural = if side.connections == 1 { "" } else { "s" };
        format!(
            "{} {what} on {} connection{plural}",
            compact(side.exchanges),
            compact(side.connections)
        )
    };
    let mut row = vec![
        span(" PROXY  ", theme.dim()),
        span(escape(&crate::text::named(&proxy.comm, proxy.pid)), theme.strong()),
    ];
    if snapshot.proxies.len() > 1 {
        row.push(span(format!(" and {} more", snapshot.proxies.len() - 1), theme.dim()));
    }
    row.push(raw(format!(
        "  {} → {}",
        side(proxy.downstream, "requests"),
        side(proxy.upstream, "calls")
    )));
    let mut ways = Vec::new();
    ways.extend(proxy.reuse.map(Reuse::words));
    match proxy.spreading {
        Some(Spreading::PerConnection) => ways.push("balanced per connection"),
        Some(Spreading::PerRequest) => ways.push("balanced per request"),
        None => {}
    }
    let ways = if ways.is_empty() {
        "how it uses them is not known yet".to_owned()
    } else {
        ways.join(", ")
    };
    vec![
        Line::from(cut(row, width)),
        Line::from(cut(vec![span(format!("        {ways}"), theme.dim())], width)),
    ]
}
