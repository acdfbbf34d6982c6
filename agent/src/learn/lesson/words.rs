//! The words of a lesson, below its figures.

use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use crate::learn::text::{Block, Piece, pieces};
use crate::model::snapshot::Owner;

/// A lesson's file in parts: what is between the `+++`, and what is under each heading; before the
/// first one it is "".
pub(super) struct Text {
    pub(super) front: String,
    pub(super) sections: Vec<(String, Vec<Block>)>,
}

impl Text {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut out = Self { front: String::new(), sections: vec![(String::new(), Vec::new())] };
        let (mut collected, mut strong, mut in_front, mut in_item) =
            (Vec::new(), false, false, false);
        for event in Parser::new_ext(text, Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS) {
            match event {
                Event::Start(Tag::MetadataBlock(MetadataBlockKind::PlusesStyle)) => in_front = true,
                Event::End(TagEnd::MetadataBlock(_)) => in_front = false,
                Event::Text(text) if in_front => out.front.push_str(&text),
                Event::Text(text) => pieces(&text, strong, &mut collected)?,
                Event::Code(text) => pieces(&text, true, &mut collected)?,
                Event::SoftBreak => collected.push(Piece::Plain(" ".to_owned())),
                Event::Start(Tag::Strong | Tag::Emphasis) => strong = true,
                Event::End(TagEnd::Strong | TagEnd::Emphasis) => strong = false,
                Event::Start(
                    Tag::Heading { level: HeadingLevel::H1, .. } | Tag::Paragraph | Tag::List(None),
                ) => {}
                Event::End(TagEnd::List(false)) => {}
                Event::Start(Tag::Item) => in_item = true,
                Event::End(TagEnd::Heading(_)) => {
                    let title =
                        collected.drain(..).map(|piece: Piece| piece.filled(None)).collect();
                    out.sections.push((title, Vec::new()));
                }
                Event::End(TagEnd::Paragraph) if in_item => {}
                Event::End(TagEnd::Paragraph) => {
                    out.push(Block::Paragraph(std::mem::take(&mut collected)))
                }
                Event::End(TagEnd::Item) => {
                    in_item = false;
                    out.push(item(std::mem::take(&mut collected)));
                }
                other => return Err(format!("a lesson has no such thing: {other:?}")),
            }
        }
        Ok(out)
    }

    fn push(&mut self, block: Block) {
        if let Some((_, blocks)) = self.sections.last_mut() {
            blocks.push(block);
        }
    }
}

/// The known owner that the letter stands for.
pub(super) fn owner_of(letter: &str) -> Option<Owner> {
    let known = [Owner::Kernel, Owner::App, Owner::Network, Owner::Peer];
    known.into_iter().find(|owner| letter == owner.letter().to_string())
}

/// An item: a strong letter at its beginning says whose doing it tells of.
pub(super) fn item(mut pieces: Vec<Piece>) -> Block {
    let owner = match pieces.first() {
        Some(Piece::Strong(letter)) => owner_of(letter),
        _ => None,
    };
    if owner.is_some() {
        pieces.remove(0);
        if let Some(Piece::Plain(text)) = pieces.first_mut() {
            *text = text.trim_start().to_owned();
        }
    }
    Block::Item(owner, pieces)
}
