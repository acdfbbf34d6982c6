//! Views, one file each, and their parts. A part is lines of text made to a width; a view stacks
//! parts.

mod acceptors;
mod chart;
mod chrome;
mod connection;
mod connection_table;
mod connections;
mod datagrams;
mod detail;
mod event_log;
mod exchange;
mod finding;
mod findings;
mod gauge;
mod grid;
mod help;
pub(super) mod lanes;
mod listener_table;
mod owners;
mod panel;
pub(super) mod parts;
mod pattern;
mod proxy;
mod queues;
mod scroll;
mod threads;
mod totals;
mod unix;
mod verdict;
mod wait;
mod words;

pub(super) use exchange::{exchanges, shown_exchange};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};

use super::app::{App, Hits, Open, Tab};
use super::text::wrap;

/// The smallest terminal that the views are made for.
const SMALLEST: (u16, u16) = (80, 24);

/// Draws the screen, and remembers in the app where the mouse meets what.
pub(super) fn draw(app: &mut App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut hits = Hits::default();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(frame, area);
    } else {
        screen(app, frame, area, &mut hits);
        app.scroll = app.scroll.min(hits.scroll_end);
        app.stream_scroll = app.stream_scroll.min(hits.stream_end);
        if app.help {
            help::draw(app.theme, app.playback.is_some(), frame, area);
        }
    }
    app.hits = hits;
}

fn screen(app: &App, frame: &mut Frame<'_>, area: Rect, hits: &mut Hits) {
    let [header, tabs, body, footer] = area.layout(&Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ]));
    let Some(snapshot) = &app.shown else {
        put(frame, body, vec![Line::from(" Reading the kernel's figures …")]);
        return;
    };
    hits.page = usize::from(body.height);
    put(frame, header, vec![chrome::header(app, snapshot, header.width.into())]);
    put(frame, tabs, vec![chrome::tabs(app, snapshot, tabs, hits)]);
    put(frame, footer, vec![chrome::footer(app, snapshot, footer.width.into())]);
    if let Some(Open::Connection(connection)) = &app.open {
        return connection::draw(app, snapshot, connection, frame, body, hits);
    }
    let open = match app.open {
        Some(Open::Listener(sock)) => {
            snapshot.listeners.iter().find(|listener| listener.sock == sock)
        }
        _ => None,
    };
    match (open, app.tab) {
        (Some(listener), _) => detail::draw(app, snapshot, listener, frame, body, hits),
        (None, Tab::Queues) => queues::draw(app, snapshot, frame, body, hits),
        (None, Tab::Connections) => connections::draw(app, snapshot, frame, body, hits),
        (None, Tab::Threads) => threads::draw(app, snapshot, frame, body, hits),
        (None, Tab::Findings) => findings::draw(app, snapshot, frame, body, hits),
    }
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let text = format!(
        "This terminal has {} × {} characters. Please make it {} × {} or larger, or use --plain. q \
         quits.",
        area.width, area.height, SMALLEST.0, SMALLEST.1
    );
    put(frame, area, wrap(&text, area.width.into()).into_iter().map(Line::from).collect());
}

/// Puts lines into an area, as many as fit.
fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Text::from(lines), area);
}
