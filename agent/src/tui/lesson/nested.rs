//! Shells drawn as boxes, each within the one around it: what a shell adds itself stands before what
//! it carries, as a header does.

use ratatui::text::Line;

use super::page::Lines;
use crate::learn::Bar;
use crate::tui::text::{clip, escape, left, wrap};
use crate::tui::theme::Theme;
use crate::tui::view::parts::{Row, raw, span};

/// Columns of what a shell adds, at least and at most.
const OWN: (usize, usize) = (9, 22);
/// Columns that the innermost box gets, if there is room.
const INNERMOST: usize = 30;

/// Returns the shells under a title. A label says what a shell is, and behind a colon what it adds.
pub(super) fn lines(theme: Theme, title: &str, shells: &[Bar], width: usize) -> Lines {
    let mut out = vec![Line::from(span(format!(" {title}"), theme.dim()))];
    for row in boxes(theme, shells, width.saturating_sub(2)) {
        let mut line = vec![raw(" ")];
        line.extend(row);
        out.push(Line::from(line));
    }
    out
}

/// The outermost box with all others in it, as rows of so many columns.
fn boxes(theme: Theme, shells: &[Bar], width: usize) -> Vec<Row> {
    let Some((shell, inner)) = shells.split_first() else { return Vec::new() };
    let edge = theme.owner(shell.owner);
    let label = escape(&shell.label);
    let (name, adds) = label.split_once(": ").unwrap_or((&label, ""));
    let room = width.saturating_sub(2);
    let own = if inner.is_empty() { room } else { own_columns(room, inner.len()) };
    let own_words = wrap(adds, own.saturating_sub(2).max(1));
    let within = boxes(theme, inner, room - own);
    let mut out = vec![top(theme, shell, name, width)];
    for at in 0..own_words.len().max(within.len()) {
        let words = own_words.get(at).map_or("", String::as_str);
        let mut row = vec![span("│", edge)];
        row.push(span(left(&format!(" {}", clip(words, own.saturating_sub(1))), own), theme.dim()));
        match within.get(at) {
            Some(inner) => row.extend(inner.iter().cloned()),
            None => row.push(raw(" ".repeat(room - own))),
        }
        row.push(span("│", edge));
        out.push(row);
    }
    out.push(vec![span(format!("└{}┘", "─".repeat(room)), edge)]);
    out
}

/// Columns for what a shell adds, with so many shells within.
fn own_columns(room: usize, within: usize) -> usize {
    let share = room.saturating_sub(INNERMOST) / within;
    share.clamp(OWN.0, OWN.1).min(room / 2)
}

/// The upper edge: whose it is, what it is, and how long.
fn top(theme: Theme, shell: &Bar, name: &str, width: usize) -> Row {
    let edge = theme.owner(shell.owner);
    let badge = format!(" {} ", shell.owner.letter());
    // Two corners, a line at each end, and a blank around each text.
    let room = width.saturating_sub(badge.len() + 8);
    let figure = clip(&shell.figure, room);
    let name = clip(name, room.saturating_sub(figure.chars().count()));
    let line = room.saturating_sub(name.chars().count() + figure.chars().count());
    if width < badge.len() + 8 {
        return vec![span(format!("┌{}┐", "─".repeat(width.saturating_sub(2))), edge)];
    }
    vec![
        span("┌─", edge),
        span(badge, theme.badge(shell.owner)),
        span(format!(" {name} "), theme.strong()),
        span("─".repeat(line), edge),
        span(format!(" {figure} "), theme.strong()),
        span("─┐", edge),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Owner;

    fn drawn(width: usize) -> Vec<String> {
        let shell = |label: &str, figure: &str, owner| Bar {
            label: label.into(),
            length: 1.0,
            figure: figure.to_owned(),
            owner,
            fact: None,
        };
        let shells = [
            shell("IP packet: 20 B header: from, to, TTL", "106 B", Owner::Kernel),
            shell("TCP segment: 32 B header: ports, numbers", "86 B", Owner::Kernel),
            shell("HTTP request: GET / HTTP/1.1 …", "54 B", Owner::App),
        ];
        let lines = lines(Theme::plain(), "a packet", &shells, width);
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn boxes_stand_within_one_another() {
        let drawn = drawn(62);
        assert_eq!(
            drawn,
            [
                " a packet",
                " ┌─ K  IP packet ─────────────────────────────────── 106 B ─┐",
                " │ 20 B header: ┌─ K  TCP segment ────────────────── 86 B ─┐│",
                " │ from, to,    │ 32 B       ┌─ A  HTTP request ─── 54 B ─┐││",
                " │ TTL          │ header:    │ GET / HTTP/1.1 …           │││",
                " │              │ ports,     └────────────────────────────┘││",
                " │              │ numbers                                  ││",
                " │              └──────────────────────────────────────────┘│",
                " └──────────────────────────────────────────────────────────┘",
            ],
            "{}",
            drawn.join("\n")
        );
    }

    #[test]
    fn every_row_is_as_wide_as_the_box_and_no_width_fails() {
        for width in 0..130 {
            let drawn = drawn(width);
            let columns: Vec<_> = drawn.iter().skip(1).map(|line| line.chars().count()).collect();
            if width >= 60 {
                assert!(columns.iter().all(|count| *count == width - 1), "{}", drawn.join("\n"));
            }
        }
    }
}
