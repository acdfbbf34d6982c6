//! A step without its owner, and the question whose doing it is.

use ratatui::style::Style;
use ratatui::text::Line;

use super::page::Lines;
use super::reveal::OWNERS;
use super::words;
use crate::learn::{Block, LessonFacts, Piece, naming_owners};
use crate::model::snapshot::Owner;
use crate::tui::theme::Theme;
use crate::tui::view::parts::{raw, rule, span};

/// Stands for a word that would tell the answer.
const HIDDEN: &str = "▁▁▁";

/// Returns the first sentence of an item without the words that tell its owner.
pub(super) fn hidden(block: &Block) -> Block {
    let (mut out, mut ended) = (Vec::new(), false);
    for piece in block.pieces() {
        match piece {
            // A sentence has a line of its own in the lesson's file.
            Piece::Plain(text) if text == " " && ended => break,
            Piece::Plain(text) => {
                ended = text.trim_end().ends_with(['.', ':', '?', '!']);
                out.push(Piece::Plain(without_owners(text)));
            }
            Piece::Strong(text) => {
                ended = false;
                out.push(Piece::Strong(without_owners(text)));
            }
            other => {
                // Marks are not shown, and end no sentence.
                ended &= !matches!(other, Piece::Fact(_));
                out.push(other.clone());
            }
        }
    }
    Block::Item(None, out)
}

/// Hides each word that names an owner: "the kernel's" becomes "the ▁▁▁".
fn without_owners(text: &str) -> String {
    let hidden = |(names_owner, part)| if names_owner { HIDDEN } else { part };
    naming_owners(text).into_iter().map(hidden).collect()
}

/// Returns the question whose doing a step is.
pub(super) fn question(
    theme: Theme,
    block: &Block,
    facts: &LessonFacts,
    place: (usize, usize),
    width: usize,
) -> Lines {
    let title = format!("WHOSE DOING IS IT? {} of {}", place.0, place.1);
    let mut out = vec![rule(theme, vec![span(title, theme.dim())], width)];
    let mark = vec![raw(" "), span(" ? ", theme.reversed()), raw(" ")];
    out.extend(words::marked(theme, mark, &hidden(block), Some(facts), width));
    let mut keys = vec![raw("     ")];
    for (key, owner) in OWNERS {
        keys.push(span(format!(" {} ", owner.letter()), theme.badge(owner)));
        let name = format!(" {} ", if key == 'a' { "app" } else { owner.name() });
        keys.extend([span(name, theme.owner(owner)), raw(" ")]);
    }
    out.push(Line::from(keys));
    out
}

/// Returns an item with its owner, and whether that was said.
pub(super) fn answered(
    theme: Theme,
    owner: Owner,
    said: Owner,
    block: &Block,
    facts: &LessonFacts,
    width: usize,
) -> Lines {
    let sign = if said == owner { "✓" } else { "✗" };
    let badge = span(format!(" {} ", owner.letter()), theme.badge(owner));
    let mark = vec![span(sign, theme.strong()), badge, raw(" ")];
    let mut pieces = block.pieces().to_vec();
    if said != owner {
        pieces.push(Piece::Plain(format!(" (you said {})", said.letter())));
    }
    words::marked(theme, mark, &Block::Item(Some(owner), pieces), Some(facts), width)
        .into_iter()
        .map(|line| line.style(Style::new()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_tell_the_owner_are_hidden() {
        for (text, hidden) in [
            ("The client's kernel held it.", "The client's ▁▁▁ held it."),
            ("The kernel's rule, the app’s write()", "The ▁▁▁ rule, the ▁▁▁ write()"),
            ("Kernels and networks; peers apply.", "▁▁▁ and ▁▁▁; ▁▁▁ apply."),
        ] {
            assert_eq!(without_owners(text), hidden);
        }
    }

    #[test]
    fn the_first_sentence_is_enough() {
        let plain = |text: &str| Piece::Plain(text.to_owned());
        let fact = Piece::Fact("first".to_owned());
        let block = Block::Item(
            Some(Owner::Kernel),
            vec![plain("The write, "), fact.clone(), plain(", left."), plain(" "), plain("More.")],
        );
        assert_eq!(hidden(&block).pieces(), [plain("The write, "), fact, plain(", left.")]);
    }
}
