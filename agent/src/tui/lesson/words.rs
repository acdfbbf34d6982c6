//! The text of a lesson as lines of a width.

use ratatui::style::Style;
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr;

use crate::learn::{Block, LessonFacts, Piece};
use crate::tui::theme::Theme;
use crate::tui::view::parts::{Row, columns, raw, span};

/// Columns before the text of an item: the letter of whose doing it tells of.
const MARK: usize = 5;

/// Returns blocks as lines, with a blank line between paragraphs.
pub(super) fn blocks(
    theme: Theme,
    blocks: &[Block],
    facts: Option<&LessonFacts>,
    width: usize,
) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let shown = blocks.iter().filter(|block| block.applies(facts));
    for (at, block) in shown.enumerate() {
        if at > 0 && matches!(block, Block::Paragraph(_)) {
            out.push(Line::default());
        }
        out.extend(self::block(theme, block, facts, width));
    }
    out
}

/// Returns one block as lines.
pub(super) fn block(
    theme: Theme,
    block: &Block,
    facts: Option<&LessonFacts>,
    width: usize,
) -> Vec<Line<'static>> {
    let mark = match block {
        Block::Paragraph(_) => Row::new(),
        Block::Item(Some(owner), _) => {
            let badge = span(format!(" {} ", owner.letter()), theme.badge(*owner));
            vec![raw(" "), badge, raw(" ")]
        }
        Block::Item(None, _) => vec![raw("   • ")],
    };
    marked(theme, mark, block, facts, width)
}

/// Returns one block as lines behind a mark, which an item has and a paragraph has not.
pub(super) fn marked(
    theme: Theme,
    mut mark: Row,
    block: &Block,
    facts: Option<&LessonFacts>,
    width: usize,
) -> Vec<Line<'static>> {
    let indent = if mark.is_empty() { 1 } else { MARK };
    let rows = flow(theme, block.pieces(), facts, width.saturating_sub(indent + 1));
    let mut out = Vec::new();
    for row in rows {
        // The mark stands before the first line, blanks before the others.
        let mut line = std::mem::take(&mut mark);
        if line.is_empty() {
            line.push(raw(" ".repeat(indent)));
        }
        line.extend(row);
        out.push(Line::from(line));
    }
    out
}

/// Breaks pieces at spaces into rows of at most `width` columns. Measured figures stand out.
fn flow(theme: Theme, pieces: &[Piece], facts: Option<&LessonFacts>, width: usize) -> Vec<Row> {
    let mut rows = vec![Row::new()];
    // A word may have parts in several styles: "(44 ms)".
    let mut word = Row::new();
    let mut spaced = false;
    let mut put = |word: &mut Row, spaced: bool| {
        let Some(row) = rows.last_mut() else { return };
        let room = columns(row) + usize::from(spaced) + columns(word);
        if row.is_empty() || room <= width {
            if spaced && !row.is_empty() {
                row.push(raw(" "));
            }
            row.append(word);
        } else {
            rows.push(std::mem::take(word));
        }
    };
    for piece in pieces {
        let style = match piece {
            Piece::Strong(_) | Piece::Fact(_) => theme.strong(),
            Piece::Plain(_) => Style::new(),
            Piece::Borne(_) | Piece::Source(_) | Piece::When(_) => continue,
        };
        let text = piece.filled(facts);
        // A figure and its unit stay together.
        let parts: Vec<&str> =
            if matches!(piece, Piece::Fact(_)) { vec![&text] } else { text.split(' ').collect() };
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                if !word.is_empty() {
                    put(&mut word, spaced);
                }
                spaced = true;
            }
            if part.width() > 0 {
                word.push(span(part, style));
            }
        }
    }
    put(&mut word, spaced);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: Vec<Row>) -> Vec<String> {
        rows.into_iter().map(|row| row.iter().map(|span| span.content.as_ref()).collect()).collect()
    }

    #[test]
    fn words_stay_whole_across_styles() {
        let pieces = [
            Piece::Plain("call (".to_owned()),
            Piece::Strong("listen".to_owned()),
            Piece::Plain(") and wait ".to_owned()),
            Piece::Fact("x".to_owned()),
            Piece::Plain(".".to_owned()),
        ];
        assert_eq!(text(flow(Theme::plain(), &pieces, None, 13)), ["call (listen)", "and wait ?."]);
        assert_eq!(
            text(flow(Theme::plain(), &pieces, None, 5)),
            ["call", "(listen)", "and", "wait", "?."]
        );
    }
}
