//! Views, one file each, and their parts. A part is lines of text made to a width; a view stacks
//! parts.

mod about;
mod acceptors;
mod aside;
mod axis;
mod banner;
mod chart;
mod chosen;
mod chrome;
mod compact;
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
pub(super) mod hints;
pub(super) mod lanes;
mod listener_table;
mod owners;
mod panel;
pub(super) mod parts;
mod past;
mod pattern;
mod proxy;
mod queues;
mod scroll;
mod threads;
mod totals;
mod track;
mod unix;
mod verdict;
mod wait;
mod words;

pub(super) use exchange::{exchanges, shown_exchange};
pub(super) use hints::{KeyPlace, hit};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};

use super::app::{App, Hits, Open, Tab};

/// The smallest terminal that the views are made for.
const SMALLEST: (u16, u16) = (80, 24);
/// The smallest one for the few lines in place of the views.
const COMPACT: (u16, u16) = (40, 10);

/// Draws the screen, and remembers in the app where the mouse meets what.
pub(super) fn draw(app: &mut App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let is_compact = area.width < SMALLEST.0 || area.height < SMALLEST.1;
    let mut hits = Hits { is_compact, ..Hits::default() };
    // The keys that are named depend on it.
    app.hits.is_compact = is_compact;
    if area.width < COMPACT.0 || area.height < COMPACT.1 {
        compact::too_small(frame, area, COMPACT);
    } else if is_compact {
        // What is selected, open and scrolled to stays for when the terminal is larger again.
        match &app.shown {
            Some(snapshot) => compact::draw(app, snapshot, frame, area, &mut hits),
            None => nothing_yet(frame, area),
        }
    } else {
        screen(app, frame, area, &mut hits);
        app.scroll = app.scroll.min(hits.scroll_end);
        app.stream_scroll = app.stream_scroll.min(hits.stream_end);
    }
    app.hits = hits;
    let (view, replay) = (app.view(), app.playback.is_some());
    if let Some(help) = &mut app.help
        && area.width >= COMPACT.0
        && area.height >= COMPACT.1
    {
        let end = help::draw(app.theme, help, (view, replay), frame, area);
        help.scroll = help.scroll.min(end);
    }
}

fn screen(app: &App, frame: &mut Frame<'_>, area: Rect, hits: &mut Hits) {
    let track = if app.playback.is_some() { track::height(area) } else { 0 };
    let banner_lines = banner::lines(app, area.width.into());
    let told = app.told.as_ref().map(|told| banner::told(told, app.theme, area.width.into()));
    let footer_height = told.as_ref().map_or(1, Vec::len) as u16;
    let [header, tabs, banner, body, time, footer] = area.layout(&Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(banner_lines.len() as u16),
        Constraint::Fill(1),
        Constraint::Length(track),
        Constraint::Length(footer_height),
    ]));
    let Some(snapshot) = &app.shown else { return nothing_yet(frame, body) };
    if let Some(playback) = app.playback {
        put(frame, time, track::lines(app, playback, time, hits));
    }
    hits.page = usize::from(body.height);
    put(frame, header, vec![chrome::header(app, snapshot, header.width.into())]);
    put(frame, tabs, vec![chrome::tabs(app, snapshot, tabs, hits)]);
    put(frame, banner, banner_lines);
    let footer_lines = match told {
        Some(told) => told,
        None => vec![chrome::footer(app, snapshot, footer, hits)],
    };
    put(frame, footer, footer_lines);
    if let Some(Open::Connection(connection)) = &app.open {
        return connection::draw(app, snapshot, connection, frame, body, hits);
    }
    if let Some(Open::Past(finding)) = &app.open {
        return findings::draw_past(app, snapshot, finding, frame, body, hits);
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

fn nothing_yet(frame: &mut Frame<'_>, area: Rect) {
    put(frame, area, vec![Line::from(" Reading the kernel's figures …")]);
}

/// Puts lines into an area, as many as fit.
fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Text::from(lines), area);
}
