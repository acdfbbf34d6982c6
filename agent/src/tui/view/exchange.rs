//! Exchanges of a connection: which are known, which one is shown, and where its time went.

use ratatui::text::Line;

use super::parts::{Row, columns, cut, raw, rule, span};
use super::{connection_table, owners, words};
use crate::model::snapshot::{ConnectionView, ExchangeView, Part, Snapshot};
use crate::model::timeline;
use crate::tui::order::{counted_us, worst};
use crate::tui::text::{bytes, escape, fine, grouped, left, right, total};
use crate::tui::theme::Theme;

/// Returns the exchanges that are known, oldest first: the worst, the recent ones, the one that goes
/// on.
pub(in crate::tui) fn exchanges(connection: &ConnectionView) -> Vec<&ExchangeView> {
    let mut all: Vec<&ExchangeView> =
        connection.worst.iter().chain(&connection.recent).chain(&connection.current).collect();
    // Of two with one number the later in the chain is the newer.
    all.reverse();
    all.sort_by_key(|exchange| exchange.seq);
    all.dedup_by_key(|exchange| exchange.seq);
    all
}

/// Returns the exchange that the user chose or, once that is forgotten, the next that is known.
/// Without a choice it is the worst.
pub(in crate::tui) fn shown_exchange(
    connection: &ConnectionView,
    chosen: Option<u32>,
) -> Option<&ExchangeView> {
    let Some(seq) = chosen else { return worst(connection) };
    let all = exchanges(connection);
    all.iter().find(|exchange| exchange.seq >= seq).or(all.last()).copied()
}

/// Returns the sum of an exchange: "exchange 7, the worst: 44.1 ms = A 0.4 ms + K 43.5 ms".
pub(super) fn sum(
    theme: Theme,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    width: usize,
) -> Line<'static> {
    let mut figures = vec![
        span(fine(counted_us(exchange)), theme.strong()),
        raw(if exchange.done { "" } else { " so far" }),
    ];
    figures.extend(owners::sum_line(theme, exchange));
    let nature = if exchange.handshake { ", TLS handshake" } else { "" };
    let mut name = format!(
        "exchange {}{nature}{}: ",
        grouped(exchange.seq.into()),
        attribute(connection, exchange)
    );
    if name.chars().count() + columns(&figures) + 4 > width {
        name = format!("{}: ", grouped(exchange.seq.into()));
    }
    figures.insert(0, span(name, theme.dim()));
    rule(theme, figures, width)
}

/// Returns the number of exchanges, the one that goes on included.
fn number(connection: &ConnectionView) -> u64 {
    let mut count = connection.exchanges;
    if let Some(current) = &connection.current {
        count = count.max(current.seq.into());
    }
    count
}

fn attribute(connection: &ConnectionView, exchange: &ExchangeView) -> &'static str {
    let is = |other: Option<&ExchangeView>| other.is_some_and(|other| other.seq == exchange.seq);
    if is(worst(connection)) {
        ", the worst"
    } else if !exchange.done {
        ", going on"
    } else if is(connection.recent.last()) {
        ", the latest"
    } else {
        ""
    }
}

/// Returns one line a slice, each a bar at its place in the exchange's time. Where there are too
/// many, the longest are shown.
pub(super) fn waterfall(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    const FIGURES: usize = 27;
    let start = match exchange.slices.first() {
        Some(slice) => slice.start_ns,
        None => exchange.start_ns,
    };
    let mut shown: Vec<Part> = exchange.parts();
    let all = total(shown.iter().map(|part| part.slice.us));
    shown.sort_by_key(|part| std::cmp::Reverse(part.slice.us));
    shown.truncate(room);
    shown.sort_by_key(|part| part.slice.start_ns);
    let room = width.saturating_sub(FIGURES);
    let words = if room >= 90 { room / 2 } else { 0 };
    let cells = room - words;
    let scale = |us: u64| (us as f64 / all.max(1) as f64 * cells as f64) as usize;
    let mut out = Vec::with_capacity(shown.len());
    for part in shown {
        let (owner, slice) = (part.holder, part.slice);
        let offset = scale(slice.start_ns.saturating_sub(start) / 1_000);
        let before = offset.min(cells.saturating_sub(1));
        let long = scale(slice.us).max(1).min(cells - before);
        let mut row = vec![
            raw(" "),
            span(format!(" {} ", owner.letter()), theme.badge(owner)),
            span(format!(" {}", left(words::held(owner, slice.kind), 12)), theme.owner(owner)),
            span(format!("{}  ", right(&fine(slice.us), 8)), theme.strong()),
            raw(" ".repeat(before)),
            theme.run(owner, long),
            raw(" ".repeat(cells - before - long)),
        ];
        if words > 0 {
            let text = timeline::part_sentence(snapshot, connection, exchange, &part);
            row.push(span(format!("  {}", escape(&text)), theme.dim()));
        }
        out.push(Line::from(cut(row, width)));
    }
    out
}

/// Returns the exchanges of a connection as columns of a chart, with the keys that choose one.
pub(super) fn strip(
    theme: Theme,
    connection: &ConnectionView,
    exchange: Option<&ExchangeView>,
    width: usize,
) -> Line<'static> {
    let mut row = vec![span(
        format!(" {}  ", crate::text::count_of(number(connection), "exchange").to_uppercase()),
        theme.dim(),
    )];
    let hint: Row = vec![
        span("  ←→", theme.strong()),
        span(" choose  ", theme.dim()),
        span("W", theme.strong()),
    ];
    let word = span(" worst ", theme.dim());
    let cells = width.saturating_sub(columns(&row) + columns(&hint) + word.width()).min(64);
    row.extend(connection_table::recent(
        theme,
        connection,
        cells,
        exchange.map(|exchange| exchange.seq),
    ));
    if connection.recent.is_empty() && connection.current.is_none() {
        let why = if connection.exchanges > 0 { "none is kept" } else { "no exchange yet" };
        row.push(span(why, theme.dim()));
    }
    row.extend(hint);
    row.push(word);
    Line::from(cut(row, width))
}

/// Returns the exchanges one a line, the newest first, the one with a number marked.
pub(super) fn list(
    theme: Theme,
    connection: &ConnectionView,
    chosen: Option<u32>,
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let bar = width.saturating_sub(59).max(8);
    let title = format!(
        " {}{}{}  WHERE ITS TIME WENT",
        right("No", 6),
        right("REQ/RESP", 18),
        right("TIME", 9)
    );
    let mut out = vec![Line::from(span(left(&title, width), theme.dim()))];
    for exchange in exchanges(connection).into_iter().rev().take(room.saturating_sub(1)) {
        let selected = chosen == Some(exchange.seq);
        let data = if exchange.handshake {
            "TLS handshake".to_owned()
        } else {
            format!("{} / {}", bytes(exchange.request_bytes), bytes(exchange.response_bytes))
        };
        let mut row = vec![
            span(if selected { "▸" } else { " " }, theme.strong()),
            span(
                right(&grouped(exchange.seq.into()), 6),
                if selected { theme.strong() } else { theme.dim() },
            ),
            span(right(&data, 18), theme.dim()),
            span(format!("{}  ", right(&fine(counted_us(exchange)), 9)), theme.strong()),
        ];
        row.extend(owners::bar(theme, &owners::slices(exchange), bar));
        row.push(raw(" "));
        row.extend(connection_table::verdict(theme, exchange));
        out.push(Line::from(cut(row, width)));
    }
    out
}
