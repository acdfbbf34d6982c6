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

/// When a block is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// If the machine was idle.
    Idle,
    /// If others kept it busy.
    Busy,
}

impl Block {
    /// True if it is shown with these facts.
    pub fn applies(&self, facts: Option<&LessonFacts>) -> bool {
        let idle = facts.is_none_or(LessonFacts::idle);
        self.pieces().iter().all(|piece| match piece {
            Piece::When(When::Idle) => idle,
            Piece::When(When::Busy) => !idle,
            _ => true,
        })
    }

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
    /// The facts whose claims bear the sentence out that it stands in. It is not shown.
    Borne(Vec<String>),
    /// Where the knowledge comes from that the sentence passes on and the run does not measure. It
    /// is not shown.
    Source(String),
    /// When the block is shown that it stands in. It is not shown itself.
    When(When),
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
            Self::Borne(_) | Self::Source(_) | Self::When(_) => String::new(),
        }
    }

    /// What stands between braces.
    fn of_braces(text: &str) -> Result<Self, String> {
        let rest = || text[1..].trim();
        Ok(match text.chars().next() {
            Some('=') => {
                Self::Borne(rest().split(',').map(|name| name.trim().to_owned()).collect())
            }
            Some('@') if rest().is_empty() => return Err("a source without a name".to_owned()),
            Some('@') => Self::Source(rest().to_owned()),
            Some('?') => Self::When(match rest() {
                "idle" => When::Idle,
                "busy" => When::Busy,
                other => return Err(format!("a machine is idle or busy, not {other}")),
            }),
            _ => Self::Fact(text.to_owned()),
        })
    }
}

/// Text as pieces: `{name}` is the place of a fact, `{=name, name}` says which claims bear the
/// sentence out, `{@source}` where its knowledge is from, `{?idle}` and `{?busy}` when it is shown.
///
/// # Errors
/// A brace has no partner, or what is in it says nothing.
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
        out.push(Piece::of_braces(name)?);
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

    #[test]
    fn marks_are_not_shown() {
        let mut out = Vec::new();
        pieces("{?idle}Half of them{=here, 1.here}: RFC says{@RFC 9293, 3.4}.", false, &mut out)
            .expect("good");
        let shown: String = out.iter().map(|piece| piece.filled(None)).collect();
        assert_eq!(shown, "Half of them: RFC says.");
        let block = Block::Paragraph(out);
        let mut facts = LessonFacts::new(&[]);
        assert!(block.applies(None) && block.applies(Some(&facts)));
        facts.whole("busy", 80);
        assert!(!block.applies(Some(&facts)));
        for flawed in ["{?sunny}", "{@ }"] {
            assert!(pieces(flawed, false, &mut Vec::new()).is_err(), "{flawed}");
        }
    }
}
