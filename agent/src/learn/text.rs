//! The text of a lesson: paragraphs and items, with places for what was measured.

use super::fact::LessonFacts;
use crate::model::snapshot::Owner;

/// A part of the text with a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Paragraph(Vec<Piece>),
    /// An item of a list, and whose doing it tells of.
    Item(Option<Owner>, Vec<Piece>),
}

impl Block {
    /// Its pieces.
    pub fn pieces(&self) -> &[Piece] {
        match self {
            Self::Paragraph(pieces) | Self::Item(_, pieces) => pieces,
        }
    }
}

/// Text in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Plain.
    Plain(String),
    /// Text that stands out: code, emphasis, and names of things.
    Strong(String),
    /// Place of a measured value: the name of a fact.
    Fact(String),
}

impl Piece {
    /// The text with what was measured in its place.
    pub fn filled(&self, facts: Option<&LessonFacts>) -> String {
        match self {
            Self::Plain(text) | Self::Strong(text) => text.clone(),
            Self::Fact(name) => match facts {
                Some(facts) => facts.shown(name),
                None => "?".to_owned(),
            },
        }
    }
}

/// Text as pieces: `{name}` is the place of a fact.
///
/// # Errors
/// A brace has no partner.
pub(super) fn pieces(text: &str, strong: bool, out: &mut Vec<Piece>) -> Result<(), String> {
    let plain = |text: &str| {
        if strong { Piece::Strong(text.to_owned()) } else { Piece::Plain(text.to_owned()) }
    };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(format!("a brace without end: {text}"));
        };
        if !before.is_empty() {
            out.push(plain(before));
        }
        out.push(Piece::Fact(name.to_owned()));
        rest = behind;
    }
    if !rest.is_empty() {
        out.push(plain(rest));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_places_of_facts() {
        let mut out = Vec::new();
        pieces("{here} of {all} came", false, &mut out).expect("good");
        let fact = |name: &str| Piece::Fact(name.to_owned());
        let plain = |text: &str| Piece::Plain(text.to_owned());
        assert_eq!(out, [fact("here"), plain(" of "), fact("all"), plain(" came")]);
        assert!(pieces("{here", false, &mut out).is_err());
    }
}
