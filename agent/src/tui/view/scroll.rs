//! The part of a list that is on screen: its place in words, and a bar at the right edge.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{Row, raw, span, spread};
use super::put;
use crate::model::snapshot::RATE_SECONDS;
use crate::tui::list::Listing;
use crate::tui::text::grouped;
use crate::tui::theme::Theme;

/// The rows of a list that are on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The first one, from 0.
    pub(super) first: usize,
    /// How many there is room for.
    rows: usize,
    /// The length of the list.
    all: usize,
}

impl Shown {
    /// Shows the selected row, in the middle where the list is long.
    pub(super) fn of(list: &dyn Listing, rows: usize) -> Self {
        let first = super::queues::first_row(list.cursor(), list.len(), rows);
        Self { first, rows, all: list.len() }
    }

    /// Some rows are not on screen.
    pub(super) fn hides(self) -> bool {
        self.rows < self.all
    }

    /// Splits the column of the bar from the area of a table, where there is a bar.
    pub(super) fn split(self, area: Rect) -> (Rect, Rect) {
        let bar = u16::from(self.hides());
        let table = Rect { width: area.width.saturating_sub(bar), ..area };
        let top = area.height.saturating_sub(self.rows as u16);
        let edge =
            Rect { x: table.right(), width: bar, y: area.y + top, height: area.height - top };
        (table, edge)
    }

    /// Returns a line that names the window of some figures, and the place at its right end: "4–6 of 200".
    /// That is blank where all rows are on screen.
    pub(super) fn line_of(self, what: &str, theme: Theme, width: usize) -> Line<'static> {
        let window = format!(" {what}: the last {RATE_SECONDS} s");
        spread(vec![span(window, theme.dim())], self.place(theme), width)
    }

    /// Returns a line with the place at its right end. It is blank where all rows are on screen.
    pub(super) fn line(self, theme: Theme, width: usize) -> Line<'static> {
        if !self.hides() {
            return Line::default();
        }
        spread(Row::new(), self.place(theme), width)
    }

    fn place(self, theme: Theme) -> Row {
        if !self.hides() {
            return Row::new();
        }
        let last = (self.first + self.rows).min(self.all);
        let from = grouped(self.first as u64 + 1);
        let place = if self.rows > 1 {
            format!("{from}–{} of {} ", grouped(last as u64), grouped(self.all as u64))
        } else {
            format!("{from} of {} ", grouped(self.all as u64))
        };
        vec![span(place, theme.dim())]
    }

    /// Draws the bar.
    pub(super) fn bar(self, theme: Theme, frame: &mut Frame<'_>, edge: Rect) {
        let height = usize::from(edge.height);
        if !self.hides() || height == 0 {
            return;
        }
        let thumb = (self.rows * height / self.all).max(1);
        let at = (self.first * (height - thumb)).div_ceil(self.all - self.rows);
        let mut lines = Vec::with_capacity(height);
        for row in 0..height {
            let is_thumb = (at..at + thumb).contains(&row);
            let piece = if is_thumb { raw("█") } else { span("│", theme.dim()) };
            lines.push(Line::from(piece));
        }
        put(frame, edge, lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(first: usize, rows: usize, all: usize) -> String {
        Shown { first, rows, all }.line(Theme::plain(), 20).to_string()
    }

    #[test]
    fn it_says_how_much_is_hidden() {
        assert_eq!(text(0, 3, 200), "         1–3 of 200 ");
        assert_eq!(text(197, 3, 200).trim(), "198–200 of 200");
        assert_eq!(text(4, 1, 20_000).trim(), "5 of 20,000");
        assert_eq!(text(0, 3, 3), "", "nothing is");
    }

    #[test]
    fn the_bar_stands_beside_the_rows_alone() {
        let area = Rect { x: 0, y: 5, width: 80, height: 4 };
        let (table, edge) = Shown { first: 0, rows: 3, all: 4 }.split(area);
        assert_eq!((table.width, edge), (79, Rect { x: 79, y: 6, width: 1, height: 3 }));
        let (table, edge) = Shown { first: 0, rows: 3, all: 3 }.split(area);
        assert_eq!((table.width, edge.width), (80, 0));
    }
}
