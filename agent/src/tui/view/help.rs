//! The help overlay.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear};

use super::parts::{raw, span};
use super::put;
use crate::model::snapshot::Owner;
use crate::tui::text::left;
use crate::tui::theme::Theme;

const KEYS: [(&str, &str); 11] = [
    ("1 2 3 4, Tab", "queues, connections, threads, findings"),
    ("↑ ↓ j k, click", "select a row"),
    ("↵   Esc", "open what is selected; back"),
    ("← →   w", "on a connection: choose the exchange; the worst"),
    ("s   r, click", "sort by the next column; reverse the order"),
    ("/", "show only rows with an address, name, pid, state …"),
    ("p", "pause the screen; the watch itself goes on"),
    ("PgUp PgDn   g G", "a page; the first row, the last; < > pages of LIVE"),
    ("Shift + drag", "select text, in most terminals"),
    ("Ctrl-Z", "back to the shell; fg returns here"),
    ("q   Ctrl-C", "quit"),
];

const REPLAY_KEYS: [(&str, &str); 4] = [
    ("p, space   + -", "pause, resume; faster, slower"),
    ("← →   [ ]", "5 s back or forward; 30 s back or forward"),
    ("Home End", "the beginning, the end"),
    ("f F", "the next finding, the previous one"),
];

const OWNERS: [(Owner, &str); 4] = [
    (Owner::Kernel, "the kernel held it: Nagle, pacing, no CPU free"),
    (Owner::App, "the application held it: no accept(), its work"),
    (Owner::Network, "the network held it: loss, congestion, distance"),
    (Owner::Peer, "the peer held it: its answer, its window"),
];

/// Draws the overlay over whatever there is.
pub(super) fn draw(theme: Theme, replay: bool, frame: &mut Frame<'_>, area: Rect) {
    let mut lines = vec![Line::default()];
    let mut keys = KEYS.to_vec();
    if replay {
        // In a replay the key has one more meaning, which stands below.
        keys.retain(|(key, _)| *key != "p");
        keys.extend(REPLAY_KEYS);
    }
    for (key, does) in keys {
        lines.push(Line::from(vec![
            span(format!("  {}", left(key, 18)), theme.strong()),
            raw(does),
        ]));
    }
    lines.push(Line::default());
    for (owner, what) in OWNERS {
        lines.push(Line::from(vec![
            raw("  "),
            span(format!(" {} ", owner.letter()), theme.badge(owner)),
            span(format!(" {}", left(owner.name(), 14)), theme.owner(owner)),
            raw(what),
        ]));
    }
    lines.push(Line::from(vec![
        span("   ▲                lost", theme.loss()),
        raw(": a refused connection, a lost record"),
    ]));
    lines.push(Line::from("   │ ⌃9             the peak since the last refresh"));
    let (width, height) = (74.min(area.width), (lines.len() as u16 + 3).min(area.height));
    let area = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, area);
    let block = Block::bordered()
        .title(span(" backscope: keys and marks ", theme.strong()))
        .border_style(theme.dim());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    put(frame, inside, lines);
}
