//! Hints at keys in one line. A click on a hint is its key.

use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{Row, columns, span};
use crate::tui::keys::Press;
use crate::tui::theme::Theme;

/// A place on the screen, and the key that a click on it stands for.
pub(in crate::tui) type KeyPlace = (Rect, KeyCode);

/// Returns `start` and behind it as many hints as there is room for. Adds their places.
pub(in crate::tui) fn line<'a>(
    theme: Theme,
    start: Row,
    hints: impl IntoIterator<Item = (&'a [Press], &'a str)>,
    area: Rect,
    places: &mut Vec<KeyPlace>,
) -> Line<'static> {
    let width = usize::from(area.width);
    let mut row = start;
    for (presses, does) in hints {
        let mut item = Row::new();
        for (at, &(key, _)) in presses.iter().enumerate() {
            let is_word = at > 0 && key.chars().count() > 1;
            let blank = if at == 0 || is_word { " " } else { "" };
            item.push(span(format!("{blank}{key}"), theme.strong()));
        }
        item.push(span(format!(" {does} "), theme.dim()));
        let before = columns(&row);
        if before + columns(&item) > width {
            continue;
        }
        // The word behind the keys belongs to the last of them.
        let mut x = area.x + before as u16;
        for (at, &(_, code)) in presses.iter().enumerate() {
            let mut wide = item[at].width();
            if at + 1 == presses.len() {
                wide += item[at + 1].width();
            }
            places.push((Rect { x, y: area.y, width: wide as u16, height: 1 }, code));
            x += wide as u16;
        }
        row.extend(item);
    }
    Line::from(row)
}

/// Returns the key that a click stands for.
pub(in crate::tui) fn hit(places: &[KeyPlace], column: u16, row: u16) -> Option<KeyCode> {
    let at = ratatui::layout::Position::new(column, row);
    places.iter().find(|(area, _)| area.contains(at)).map(|&(_, code)| code)
}

#[cfg(test)]
mod tests {
    use KeyCode::{Char, End, Home, Left, Right};

    use super::*;

    #[test]
    fn each_key_and_the_word_behind_it_can_be_hit() {
        let hints: [(&[Press], &str); 3] = [
            (&[("←", Left), ("→", Right)], "exchange"),
            (&[("q", Char('q'))], "quit"),
            (&[("Home", Home), ("End", End)], "ends"),
        ];
        let area = Rect { x: 2, y: 9, width: 21, height: 1 };
        let mut places = Vec::new();
        let line = line(Theme::plain(), Row::new(), hints, area, &mut places);
        assert_eq!(line.to_string(), " ←→ exchange  q quit ");
        let hits = |column| hit(&places, column, 9);
        assert_eq!([3, 4, 12].map(hits), [Left, Right, Right].map(Some));
        assert_eq!([15, 16, 20].map(hits), [Char('q'); 3].map(Some));
        assert_eq!((hit(&places, 4, 8), hits(30)), (None, None), "elsewhere");
    }
}
