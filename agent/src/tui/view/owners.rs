//! Time by owner: as a bar, and as figures.

use ratatui::text::Line;

use super::parts::{Row, columns, cut, raw, span};
use crate::model::snapshot::{ExchangeView, Holder, HolderTimes, RATE_SECONDS, Snapshot};
use crate::tui::order::trailing_us;
use crate::tui::text::{compact, fine, left, percent, total};
use crate::tui::theme::Theme;

/// The least share of the whole that a bar shows.
const SEEN: f64 = 0.01;
const TITLE: usize = 24;

/// Returns two lines: on all exchanges since the attach, and on those of the last few seconds.
pub(super) fn totals(theme: Theme, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let exchanges = snapshot.held.exchanges;
    let noun = crate::text::noun(exchanges, "exchange").to_uppercase();
    let all = format!(" TIME OF {} {noun}", compact(exchanges));
    let recent = format!(" the last {RATE_SECONDS} s: {}", compact(snapshot.recent_held.exchanges));
    vec![
        line(theme, &all, &snapshot.held, width),
        line(theme, &recent, &snapshot.recent_held, width),
    ]
}

fn line(theme: Theme, title: &str, times: &HolderTimes, width: usize) -> Line<'static> {
    let mut row = vec![span(left(title, TITLE.max(title.chars().count() + 1)), theme.strong())];
    let parts = parts(times);
    let all = sum(&parts);
    if all == 0 {
        row.push(span("no time yet", theme.dim()));
        return Line::from(cut(row, width));
    }
    let room = width.saturating_sub(columns(&row));
    let named = figures(theme, &parts, true);
    let figures = if columns(&named) <= room { named } else { figures(theme, &parts, false) };
    let bar_cells = width.saturating_sub(columns(&row) + columns(&figures) + 2);
    if bar_cells >= 12 {
        row.extend(bar(theme, &parts, bar_cells));
        row.push(raw("  "));
    }
    row.extend(figures);
    Line::from(cut(row, width))
}

/// Returns the share of each owner; without names where there is little room.
fn figures(theme: Theme, parts: &[(Holder, u64)], named: bool) -> Row {
    let all = sum(parts).max(1);
    let is_proxy = parts.iter().any(|&(holder, us)| holder == Holder::Upstream && us > 0);
    let mut row = Row::new();
    for &(owner, us) in parts {
        // Most programs wait for no other. Where one does there is no room for what is nothing.
        if us == 0 && (owner == Holder::Upstream || is_proxy && owner == Holder::Unknown) {
            continue;
        }
        row.push(span(format!(" {} ", owner.letter()), theme.badge(owner)));
        let name = match owner {
            Holder::Unknown => " ".to_owned(),
            _ if named => format!(" {} ", owner.name()),
            _ => " ".to_owned(),
        };
        row.push(span(name, theme.owner(owner)));
        row.push(span(left(&percent(us as f64 / all as f64), 6), theme.strong()));
    }
    row
}

/// Returns the holders with their times, each once.
pub(super) fn parts(times: &HolderTimes) -> [(Holder, u64); Holder::ALL.len()] {
    Holder::ALL.map(|holder| (holder, times.of(holder)))
}

/// Returns the slices of an exchange by holder, in the order of time.
pub(super) fn slices(exchange: &ExchangeView) -> Vec<(Holder, u64)> {
    exchange.parts().iter().map(|part| (part.holder, part.slice.us)).collect()
}

/// Returns the parts that the time of an exchange adds up from: "A 0.4 ms + K 43.5 ms".
pub(super) fn sum_line(theme: Theme, exchange: &ExchangeView) -> Row {
    let mut row = Row::new();
    let held = exchange.held();
    for owner in Holder::ALL {
        let us = held.of(owner);
        if us == 0 {
            continue;
        }
        row.push(raw(if row.is_empty() { " = " } else { " + " }));
        row.push(span(format!(" {} ", owner.letter()), theme.badge(owner)));
        row.push(span(format!(" {}", fine(us)), theme.strong()));
    }
    match trailing_us(exchange) {
        0 => {}
        us => row.push(span(format!("; {} of delayed ACK held nobody up", fine(us)), theme.dim())),
    }
    row
}

/// Draws times as parts of a bar of so many cells. A part too short to be seen is left out.
pub(super) fn bar(theme: Theme, parts: &[(Holder, u64)], cells: usize) -> Row {
    let all = sum(parts);
    if all == 0 {
        return vec![span(left("–", cells), theme.dim())];
    }
    let mut lengths = Vec::with_capacity(parts.len());
    for &(_, us) in parts {
        let share = us as f64 / all as f64;
        let length = (share * cells as f64).round() as usize;
        lengths.push(length.max(usize::from(share >= SEEN)));
    }
    fit(&mut lengths, cells);
    let mut row = Row::new();
    for (&(owner, _), length) in parts.iter().zip(lengths) {
        if length > 0 {
            row.push(theme.run(owner, length));
        }
    }
    row
}

/// Makes rounded lengths add up to `cells`: the longest give or take, one cell at a time.
fn fit(lengths: &mut [usize], cells: usize) {
    let mut given: usize = lengths.iter().sum();
    while given != cells {
        let Some(longest) = lengths.iter_mut().max() else { break };
        if given < cells {
            *longest += 1;
            given += 1;
        } else {
            *longest -= 1;
            given -= 1;
        }
    }
}

fn sum(parts: &[(Holder, u64)]) -> u64 {
    total(parts.iter().map(|&(_, us)| us))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(parts: &[(Holder, u64)], cells: usize) -> String {
        bar(Theme::plain(), parts, cells).iter().map(|piece| piece.content.as_ref()).collect()
    }

    #[test]
    fn a_bar_is_as_long_as_it_is_to_be_whatever_the_parts() {
        for cells in 0..40 {
            for parts in [
                &[(Holder::App, 1), (Holder::Kernel, 1), (Holder::Peer, 1)][..],
                &[(Holder::Unknown, 7); 60],
            ] {
                assert_eq!(draw(parts, cells).chars().count(), cells);
            }
        }
    }

    #[test]
    fn what_is_a_percent_shows_and_what_is_less_does_not() {
        assert_eq!(
            draw(&[(Holder::App, 2), (Holder::Kernel, 97), (Holder::Peer, 1)], 10),
            "AKKKKKKKKP"
        );
        assert_eq!(draw(&[(Holder::App, 1_000), (Holder::Unknown, 2)], 10), "AAAAAAAAAA");
        assert_eq!(draw(&[], 3), "–  ");
    }
}
