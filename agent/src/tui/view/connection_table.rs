//! The connections, one a row, with a bar of who held their time.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr;

use super::chart;
use super::chosen::choose;
use super::grid::{self, Column};
use super::parts::{Row, raw, span, widest};
use super::{owners, words};
use crate::model::event::{Role, TcpState};
use crate::model::snapshot::{ConnectionView, ExchangeView, HeldMost, Protocol, Snapshot};
use crate::tui::app::Hits;
use crate::tui::order::{By, counted_us, last, state, worst};
use crate::tui::text::{
    bytes, clip_address, compact, count_of, duration, escape, fine, left, right,
};
use crate::tui::theme::Theme;

/// "K Nagle        43.5 ms".
const VERDICT: usize = 22;
const BAR_LEAST: usize = 8;
/// Titles of the bar.
const HELD_BY: &str = "HELD BY";
const WHERE_IT_WENT: &str = "WHERE ITS TIME WENT";

/// The columns, made to a width and the rows that are to be seen.
pub(super) struct ConnectionTable {
    grid: Vec<Column>,
    theme: Theme,
}

impl ConnectionTable {
    /// Shares out a width: the least that a screen shows, then more columns, then a longer bar.
    /// Columns that were chosen come as they were.
    pub(super) fn new<'a>(
        theme: Theme,
        width: usize,
        rows: impl Iterator<Item = &'a ConnectionView>,
        chosen: &[&'static str],
    ) -> Self {
        // All columns are there to choose from, whatever the width.
        let seen = if chosen.is_empty() { width } else { usize::MAX };
        let names: Vec<String> = rows.map(|connection| name(connection, usize::MAX)).collect();
        let most = if width < 100 { 23 } else { 34 };
        let from = |least, column| if seen >= least { Some(column) } else { None };
        let before = [
            Some(Column::left("CONNECTION", widest(&names, 16, most), By::Address)),
            from(136, Column::left("THREAD", 16, By::Known)),
            from(130, Column::left("SPEAKS", 10, By::Known)),
            Some(Column::left("STATE", if width < 100 { 6 } else { 10 }, By::State)),
            Some(Column::right("EXCH", 6, By::Exchanges)),
            Some(Column::right("LAST", 7, By::Last)),
            from(150, Column::left("RECENT ONES", 16, By::Known)),
        ];
        let after = [
            Some(Column::left("WORST", VERDICT, By::Worst)),
            from(112, Column::right("IN", 7, By::In)),
            from(112, Column::right("OUT", 7, By::Out)),
            from(124, Column::right("RESENT", 7, By::Retransmits)),
        ];
        let mut grid: Vec<Column> = before.into_iter().flatten().collect();
        let bar_at = grid.len();
        grid.extend(after.into_iter().flatten());
        if !chosen.is_empty() {
            grid.insert(bar_at, Column::left(HELD_BY, BAR_LEAST, By::Known));
            let grid = choose(grid, chosen, width, ("held-by", BAR_LEAST));
            return Self { grid, theme };
        }
        // The last column needs no blank after it.
        let bar = grid::rest(width, &grid).max(BAR_LEAST);
        let title = if bar >= 19 { WHERE_IT_WENT } else { HELD_BY };
        grid.insert(bar_at, Column::left(title, bar, By::Known));
        Self { grid, theme }
    }

    /// Returns the line of titles.
    pub(super) fn titles(
        &self,
        order: (By, bool),
        area: Rect,
        hits: Option<&mut Hits>,
    ) -> Line<'static> {
        grid::titles(self.theme, &self.grid, order, area, hits)
    }

    /// Returns a connection's row.
    pub(super) fn row(
        &self,
        snapshot: &Snapshot,
        connection: &ConnectionView,
        selected: bool,
    ) -> Line<'static> {
        let mut cells = Vec::with_capacity(self.grid.len());
        for column in &self.grid {
            cells.push(self.cell(snapshot, connection, column, selected));
        }
        grid::row(self.theme, &self.grid, cells, selected)
    }

    fn cell(
        &self,
        snapshot: &Snapshot,
        connection: &ConnectionView,
        column: &Column,
        selected: bool,
    ) -> Row {
        let theme = self.theme;
        let one = |text: String, style| vec![span(text, style)];
        match column.title {
            "CONNECTION" => {
                let ended = connection.state == TcpState::Closed;
                let style = if selected { theme.strong() } else { Style::new() };
                one(name(connection, column.width), if ended { theme.dim() } else { style })
            }
            "THREAD" => one(thread(snapshot, connection), theme.dim()),
            "SPEAKS" => {
                one(connection.protocol.map_or("–", Protocol::name).to_owned(), theme.dim())
            }
            "STATE" => state_cell(theme, connection.state, column.width),
            "EXCH" => one(compact(connection.exchanges), Style::new()),
            "LAST" => match last(connection) {
                Some(last) => one(fine(counted_us(last)), theme.strong()),
                None => one("–".to_owned(), theme.strong()),
            },
            "RECENT ONES" => recent(theme, connection, column.width, None),
            "WORST" => match worst(connection) {
                Some(worst) => verdict(theme, worst),
                None => one("–".to_owned(), theme.dim()),
            },
            "IN" => one(bytes(connection.bytes_in), Style::new()),
            "OUT" => one(bytes(connection.bytes_out), Style::new()),
            "RESENT" if connection.retransmits > 0 => {
                one(format!("▲{}", compact(connection.retransmits)), theme.loss())
            }
            "RESENT" => one("0".to_owned(), theme.dim()),
            _ if connection.times.exchanges == 0 && connection.current.is_none() => {
                one(without_exchange(snapshot, connection, column.width), theme.dim())
            }
            _ => match &connection.current {
                // The only one there is goes on still: its time so far is better than none.
                Some(current) if connection.times.exchanges == 0 => {
                    owners::bar(theme, &owners::slices(current), column.width)
                }
                _ => owners::bar(theme, &owners::parts(&connection.held), column.width),
            },
        }
    }
}

/// Says why no exchange of a connection is shown, in a width.
pub(super) fn without_exchange(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    width: usize,
) -> String {
    let waits_us = snapshot.now_ns.saturating_sub(connection.since_ns) / 1_000;
    let words = match connection.state {
        TcpState::SynSent => [
            format!("no answer for {}, {}", duration(waits_us), syns(connection)),
            format!("for {}", duration(waits_us)),
        ],
        _ if connection.exchanges > 0 => ["none of its exchanges is kept".into(), "–".into()],
        _ => ["no exchange yet".into(), "none yet".into()],
    };
    let [long, short] = words;
    if long.width() <= width { long } else { short }
}

/// Returns the number of SYNs that were sent for a connection: "3 SYNs sent".
pub(super) fn syns(connection: &ConnectionView) -> String {
    format!("{} sent", count_of(connection.syns_again + 1, "SYN"))
}

/// Returns the name of a connection, from the client to the server: "10.0.0.9:40122 → :8080". The
/// process's own side is its port alone, and left out where the room is short, or where it is not
/// known.
pub(super) fn name(connection: &ConnectionView, width: usize) -> String {
    let peer = connection.peer.to_string();
    let mut own = match connection.local.port() {
        0 => String::new(),
        port => format!(":{port}"),
    };
    if peer.len() + own.len() + 3 > width {
        own.clear();
    }
    let room = width.saturating_sub(own.len() + 3);
    let peer = clip_address(&peer, room);
    match connection.role {
        Role::Server => format!("{peer} → {own}"),
        Role::Client if own.is_empty() => format!("→ {peer}"),
        Role::Client => format!("{own} → {peer}"),
    }
}

/// Returns what most of an exchange's time went on, with whose doing it was.
pub(super) fn verdict(theme: Theme, exchange: &ExchangeView) -> Row {
    let Some(HeldMost { holder, kind, us, .. }) = exchange.held_most() else {
        return vec![span("–", theme.dim())];
    };
    vec![
        span(holder.letter().to_string(), theme.mark(holder)),
        span(format!(" {}", left(words::held(holder, kind), 12)), theme.owner(holder)),
        span(right(&fine(us), 8), theme.strong()),
    ]
}

/// Returns the recent exchanges as columns, each in its verdict's colour; the chosen one stands out.
pub(super) fn recent(
    theme: Theme,
    connection: &ConnectionView,
    cells: usize,
    chosen: Option<u32>,
) -> Row {
    let all = connection.recent.iter().chain(&connection.current);
    let count = connection.recent.len() + usize::from(connection.current.is_some());
    let shown: Vec<&ExchangeView> = all.skip(count.saturating_sub(cells)).collect();
    let longest = shown.iter().map(|exchange| counted_us(exchange)).max().unwrap_or(0);
    let mut row = Row::new();
    for exchange in shown {
        let style = match exchange.held_most() {
            _ if chosen == Some(exchange.seq) => theme.strong().add_modifier(Modifier::UNDERLINED),
            Some(most) => theme.owner(most.holder),
            None => theme.dim(),
        };
        row.push(span(chart::column(counted_us(exchange), longest), style));
    }
    row
}

/// Returns the thread that served the connection last: the one that read, else wrote, else
/// accepted.
fn thread(snapshot: &Snapshot, connection: &ConnectionView) -> String {
    if let Some(last) = last(connection)
        && let Some(tid) = last.read_tid.or(last.write_tid)
    {
        return words::thread(snapshot, connection, tid);
    }
    match &connection.acceptor {
        Some((tid, comm)) => format!("{} {tid}", escape(comm)),
        None => "–".to_owned(),
    }
}

fn state_cell(theme: Theme, of: TcpState, width: usize) -> Row {
    let short = match of {
        TcpState::CloseWait if width < 10 => "c-wait",
        TcpState::SynSent if width < 10 => "syn",
        TcpState::Closing if width < 10 => "clos",
        TcpState::FinWait1 if width < 10 => "fin-w1",
        TcpState::FinWait2 if width < 10 => "fin-w2",
        TcpState::LastAck if width < 10 => "lastak",
        _ => state(of),
    };
    let style = match of {
        TcpState::CloseWait | TcpState::SynSent => theme.strong(),
        _ if of.is_closing() => theme.strong(),
        TcpState::Closed => theme.dim(),
        _ => Style::new(),
    };
    vec![span(short, style), raw("")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preferences::CONNECTIONS;
    use crate::tui::view::chosen;

    #[test]
    fn every_column_can_be_chosen() {
        chosen::tests::check(CONNECTIONS, |chosen, width| {
            ConnectionTable::new(Theme::plain(), width, [].into_iter(), chosen).grid
        });
    }
}
