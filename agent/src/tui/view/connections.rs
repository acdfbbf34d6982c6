//! The connections: who held the time of all of them, the worst first, what is wrong with the
//! selected one.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::connection_table::{self, ConnectionTable};
use super::parts::{paragraph, raw, rule, side_by_side, span};
use super::queues::take;
use super::scroll::Shown;
use super::{exchange, lanes, owners, proxy, put, verdict};
use crate::model::snapshot::{ConnectionView, Snapshot};
use crate::model::timeline;
use crate::tui::app::{App, Hits};
use crate::tui::list::Listing;
use crate::tui::order::worst;
use crate::tui::text::{escape, grouped};
use crate::tui::theme::Theme;

/// The least lines that a list of the other exchanges is worth having in.
const EXCHANGES: usize = 4;

/// Columns from which on there is room beside the steps of an exchange.
const WIDE: usize = 170;

/// Lines for a proxy above which a blank one stands below it.
const SPACIOUS: usize = 8;

/// Draws the screen.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let width = usize::from(area.width);
    let mut rest = area;
    put(frame, take(&mut rest, 2), owners::totals(app.theme, snapshot, width));
    let Some(selected) = app.connections.selected(snapshot) else {
        put(frame, rest, nothing(app, snapshot, width));
        return;
    };
    if let Some(shown) = proxy::of(snapshot, Some(selected)) {
        let most = usize::from(rest.height) / 3;
        let mut lines = proxy::lines(app.theme, snapshot, shown, width, most);
        if most > SPACIOUS {
            lines.push(Line::default());
        }
        put(frame, take(&mut rest, lines.len()), lines);
    }
    let words = verdict::connection(app.theme, snapshot, selected, width);
    let height = usize::from(rest.height);
    let most_rows = height.saturating_sub(words.len() + 7).min(height * 2 / 5).max(3);
    let rows = app.connections.len().clamp(1, most_rows);
    let shown = Shown::of(&app.connections, rows);
    table(app, snapshot, shown, frame, take(&mut rest, 1 + rows), hits);
    put(frame, take(&mut rest, 1), vec![shown.line(app.theme, width)]);
    put(frame, take(&mut rest, words.len()), words);
    put(frame, rest, panel(app.theme, snapshot, selected, width, rest.height.into()));
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
    let (list, first) = (&app.connections, shown.first);
    let rows = usize::from(area.height.saturating_sub(1));
    let visible: Vec<&ConnectionView> = list.window(snapshot, first).take(rows).collect();
    let (width, chosen) = (area.width.into(), &app.columns.connections);
    let table = ConnectionTable::new(app.theme, width, visible.iter().copied(), chosen);
    let mut lines = vec![table.titles(list.order(), area, Some(hits))];
    for (at, connection) in visible.iter().enumerate() {
        lines.push(table.row(snapshot, connection, first + at == list.cursor()));
    }
    hits.rows = Rect { y: area.y + 1, height: visible.len() as u16, ..area };
    hits.first_row = first;
    put(frame, area, lines);
}

/// Returns the worst exchange of a connection.
pub(super) fn panel(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    if height < 2 {
        return Vec::new();
    }
    let Some(worst) = worst(connection) else {
        let title = vec![span(connection_table::name(connection, width), theme.strong())];
        let why = connection_table::without_exchange(snapshot, connection, width);
        return vec![rule(theme, title, width), Line::from(span(format!(" {why}"), theme.dim()))];
    };
    let mut out = vec![exchange::sum(theme, connection, worst, width)];
    let steps = timeline::exchange(snapshot, connection, worst);
    let lanes = lanes::lines(theme, lanes::Sides::PLAIN, &steps, width, height - 1);
    // Where there is no room below the steps, the other exchanges stand beside them.
    if width >= WIDE && (height.saturating_sub(EXCHANGES)..height).contains(&lanes.len()) {
        let beside = width * 3 / 5;
        let list = exchange::list(theme, connection, Some(worst.seq), width - beside, height - 1);
        out.extend(side_by_side(
            lanes::lines(theme, lanes::Sides::PLAIN, &steps, beside, height - 1),
            list,
            beside,
        ));
        return out;
    }
    if lanes.len() < height {
        out.extend(lanes);
    } else {
        out.extend(exchange::waterfall(theme, snapshot, connection, worst, width, height - 1));
    }
    let room = height.saturating_sub(out.len() + 1);
    if room >= EXCHANGES {
        out.push(Line::default());
        out.extend(exchange::list(theme, connection, Some(worst.seq), width, room));
    }
    out
}

/// Says why no connection is shown: because of the filter, or since there is none yet.
fn nothing(app: &App, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut out = vec![Line::default()];
    let filter = app.connections.filter();
    if !filter.is_empty() {
        out.push(Line::from(span(
            format!(" No connection matches “{}”.", escape(&filter.into())),
            theme.strong(),
        )));
        out.push(Line::from("   Esc clears the filter."));
        return out;
    }
    let (headline, text) = match snapshot.connections_open {
        0 => (
            "No connection yet.".to_owned(),
            "A connection appears here with its first byte, or once it is accepted; one that waits \
             for accept() is shown on QUEUES.",
        ),
        n => (
            match n {
                1 => "1 connection is open; nothing is known about its time.".to_owned(),
                n => format!(
                    "{} connections are open; nothing is known about their time.",
                    grouped(n)
                ),
            },
            "This is so with --detail queues, and for connections on which nothing has been \
             sent or received since the watch began.",
        ),
    };
    out.push(Line::from(vec![raw(" ○ "), span(headline, theme.strong())]));
    out.extend(paragraph(text, 3, Style::new(), width));
    out
}
