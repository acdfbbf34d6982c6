//! The text of a lesson as HTML.

use maud::{Markup, html};

use crate::{
    html::letter,
    learn::{Block, LessonFacts, Piece, naming_owners},
};

/// Returns blocks: paragraphs, and items with the letter of whose doing they tell of.
pub(super) fn blocks(blocks: &[Block], facts: Option<&LessonFacts>) -> Markup {
    html! {
        @for block in blocks.iter().filter(|block| block.applies(facts)) {
            @match block {
                Block::Paragraph(words) => p { (pieces(words, facts)) },
                Block::Item(Some(owner), words) => {
                    div.job {
                        (letter(*owner)) span.vh { (owner.name()) ": " }
                        div { (pieces(words, facts)) }
                    }
                }
                Block::Item(None, words) => {
                    div.job { span aria-hidden="true" { "•" } div { (pieces(words, facts)) } }
                }
            }
        }
    }
}

/// Returns words as [`pieces`], with those that name an owner so that they can be hidden.
pub(super) fn guessable(pieces: &[Piece], facts: Option<&LessonFacts>) -> Markup {
    html! {
        @for piece in pieces {
            @match piece {
                Piece::Plain(text) => (hideable(text)),
                Piece::Strong(text) => strong { (hideable(text)) },
                other => (self::pieces(std::slice::from_ref(other), facts)),
            }
        }
    }
}

fn hideable(text: &str) -> Markup {
    html! {
        @for (names_owner, part) in naming_owners(text) {
            @if names_owner { span.named { span { (part) } } } @else { (part) }
        }
    }
}

/// Returns words with what was measured in its places.
pub(super) fn pieces(pieces: &[Piece], facts: Option<&LessonFacts>) -> Markup {
    html! {
        @for piece in pieces {
            @match piece {
                Piece::Plain(text) => { (text) },
                Piece::Strong(text) => strong { (text) },
                // A figure and its unit stay together.
                Piece::Fact(_) => b.fact { (piece.filled(facts)) },
                // They are for who checks the text.
                Piece::Borne(_) | Piece::Source(_) | Piece::When(_) => {},
            }
        }
    }
}
