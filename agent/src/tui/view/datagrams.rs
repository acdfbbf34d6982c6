//! The UDP sockets, one a row, with their receive buffers as gauges.

use ratatui::style::Style;
use ratatui::text::Line;

use super::chart::{self, Heights};
use super::gauge::bar;
use super::grid::{self, Column};
use super::parts::{Row, cut, raw, rule, span, widest};
use super::wait;
use super::words::process;
use crate::model::snapshot::{DatagramProtocol, DatagramView, Owner, QuicView, Snapshot};
use crate::tui::order::By;
use crate::tui::text::{bytes, clip_address, compact, duration, fine, grouped, rate};
use crate::tui::theme::Theme;

/// Returns the lines that the sockets are worth on a screen of this height; 0 where there are none.
pub(super) fn height(snapshot: &Snapshot, lines: usize) -> usize {
    let most = if lines < 30 { 2 } else { lines / 8 };
    match snapshot.datagrams.len().min(most) {
        0 => 0,
        rows => 1 + rows + usize::from(newest(snapshot).is_some()),
    }
}

/// Returns the newest QUIC connection that got an answer, and its socket.
fn newest(snapshot: &Snapshot) -> Option<(&DatagramView, &QuicView)> {
    let mut newest: Option<(&DatagramView, &QuicView)> = None;
    for socket in &snapshot.datagrams {
        if let Some(quic) = socket.quic_last()
            && newest.is_none_or(|(_, other)| quic.since_ns >= other.since_ns)
        {
            newest = Some((socket, quic));
        }
    }
    newest
}

/// Returns a line on the newest QUIC connection.
fn quic(theme: Theme, snapshot: &Snapshot, width: usize) -> Option<Line<'static>> {
    let (socket, quic) = newest(snapshot)?;
    let answer = quic.answer?;
    let plural = if answer.round_trips == 1 { "" } else { "s" };
    let trips = format!("{} round trip{plural}", answer.round_trips);
    let early = if quic.early_data { ", 0-RTT" } else { "" };
    let count = grouped(socket.quic_connections);
    let plural = if socket.quic_connections == 1 { "" } else { "s" };
    let begin = format!(" QUIC: {count} connection{plural}; the newest answered after ");
    let end = if width >= 120 {
        "; handshake and streams are in the application: the kernel moves datagrams"
    } else {
        ""
    };
    let row = vec![
        span(begin, theme.dim()),
        span(format!("{trips} ({}{early})", fine(answer.us)), theme.strong()),
        span(end, theme.dim()),
    ];
    Some(Line::from(cut(row, width)))
}

/// Returns a title and the first sockets, in so many lines.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    height: usize,
    width: usize,
) -> Vec<Line<'static>> {
    let shown: Vec<&DatagramView> = snapshot
        .datagrams
        .iter()
        .take(height.saturating_sub(1 + usize::from(newest(snapshot).is_some())))
        .collect();
    let addresses: Vec<String> = shown.iter().map(|socket| socket.local.to_string()).collect();
    let is_wide = width >= 120;
    let most = if width < 100 { 17 } else { 28 };
    let mut grid = vec![Column::left("UDP SOCKET", widest(&addresses, 14, most), By::Known)];
    if is_wide {
        grid.push(Column::left("PROCESS", 19, By::Known));
        grid.push(Column::left("SPEAKS", 6, By::Known));
    }
    let gauge = grid.len();
    grid.push(Column::left("RECEIVE BUFFER", 0, By::Known));
    let figures: &[(&str, usize)] = if is_wide {
        &[
            ("FILLED", 7),
            ("OF", 7),
            ("IN/s", 7),
            ("READ/s", 7),
            ("OUT/s", 7),
            ("WAIT p50", 9),
            ("p99", 7),
            ("max", 7),
        ]
    } else {
        &[("FILLED", 7), ("IN/s", 6), ("OUT/s", 6), ("WAIT p99", 8)]
    };
    for &(title, width) in figures {
        grid.push(Column::right(title, width, By::Known));
    }
    grid.push(Column::right("DROPPED", 13, By::Known));
    grid[gauge].width = grid::rest(width, &grid);
    let mut out = vec![Line::from(heading(theme, &grid))];
    for (socket, address) in shown.iter().zip(&addresses) {
        let mut cells = vec![vec![raw(clip_address(address, grid[0].width))]];
        if is_wide {
            let name = process(&snapshot.workloads, &socket.comm, socket.pid, grid[1].width);
            cells.push(vec![span(name, theme.dim())]);
            cells.push(vec![raw(socket.protocol.map_or("–", DatagramProtocol::name))]);
        }
        let style = if dropping(socket) { theme.loss() } else { theme.owner(Owner::App) };
        let share = |bytes: u64| bytes as f64 / socket.buffer_bytes.max(1) as f64;
        let (now, peak) = (share(socket.queued_bytes), share(socket.peak_bytes));
        cells.push(bar(theme, now, Some(peak), grid[gauge].width, style));
        for &(title, _) in figures {
            cells.push(vec![raw(figure(socket, title))]);
        }
        cells.push(drops(theme, socket));
        out.push(grid::row(theme, &grid, cells, false));
    }
    out.extend(quic(theme, snapshot, width));
    out
}

/// Returns the history of a socket and the waits of its datagrams, in so many lines.
pub(super) fn panel(
    theme: Theme,
    snapshot: &Snapshot,
    socket: &DatagramView,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    /// Lines without the fill, and with the waits.
    const CHARTS: usize = 6;
    const WAITS: usize = 7;
    let process = process(&snapshot.workloads, &socket.comm, socket.pid, width / 2);
    let title = vec![
        span(socket.local.to_string(), theme.strong()),
        span(format!("  {process}"), theme.dim()),
    ];
    let mut out = vec![rule(theme, title, width)];
    let refused = usize::from(socket.drops > 0);
    let depth = height.saturating_sub(CHARTS + WAITS + refused).clamp(1, 8);
    let heights = Heights { depth, rates: 3, refused, axis: 1 };
    out.extend(chart::datagrams(theme, socket, snapshot.now_ns, width, heights));
    if height >= out.len() + WAITS && socket.wait.count > 0 {
        out.push(Line::default());
        out.push(wait::percentiles(theme, &socket.wait, "datagram", width));
        out.extend(wait::histogram(theme, &socket.wait, width));
    }
    out.truncate(height);
    out
}

fn heading(theme: Theme, grid: &[Column]) -> Row {
    let area = ratatui::layout::Rect::default();
    grid::titles(theme, grid, (By::Known, false), area, None).spans
}

fn figure(socket: &DatagramView, title: &str) -> String {
    let flow = |seen: bool, per_second: f64| if seen { rate(per_second) } else { "–".to_owned() };
    let wait = |us: u64| if socket.wait.count > 0 { duration(us) } else { "–".to_owned() };
    match title {
        "FILLED" => bytes(socket.queued_bytes),
        "OF" => bytes(socket.buffer_bytes),
        "IN/s" => flow(socket.arrived.is_some(), socket.rates.arrived),
        "READ/s" => flow(socket.read.is_some(), socket.rates.read),
        "OUT/s" => flow(socket.written.is_some(), socket.rates.written),
        "WAIT p50" => wait(socket.wait.p50),
        "max" => wait(socket.wait.max),
        _ => wait(socket.wait.p99),
    }
}

fn dropping(socket: &DatagramView) -> bool {
    socket.rates.drops > 0.0
}

fn drops(theme: Theme, socket: &DatagramView) -> Row {
    let (text, style) = match socket.drops {
        0 => ("0".to_owned(), theme.dim()),
        n if dropping(socket) => {
            (format!("▲{} +{}/s", compact(n), rate(socket.rates.drops)), theme.loss())
        }
        // Long ago: known, and no loss now.
        n => (format!("▲{}", compact(n)), Style::new()),
    };
    vec![span(text, style)]
}
