//! Questions made from a server of the learner's own, as a recording of it has it.
//!
//! A question is asked only if its answer and all that its reveal tells were observed.

mod tally;
mod templates;

use std::io::Read;

use super::{
    fact::{LessonFacts, Value},
    offers,
    text::{self, Piece},
};
use crate::{model::snapshot::Owner, record::Reader, run::Run, text::Untrusted};
use tally::Tally;
use templates::{SPECS, TEMPLATES, Template};

/// A question about one's own server.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnQuestion {
    /// The question.
    pub text: String,
    /// The answers offered.
    pub offered: Vec<String>,
    /// The place of the right one.
    pub right: usize,
    /// What was measured, and whose doing it is.
    pub reveal: Vec<(Owner, String)>,
}

/// What a recording says of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnServer {
    /// Name of what was watched.
    pub target: Untrusted,
    /// Requests that it answered while it was watched.
    pub requests: u64,
    /// Requests and other events that were seen, but not in full.
    pub unseen: u64,
    /// The questions, in the order in which they are asked.
    pub questions: Vec<OwnQuestion>,
}

/// Makes the questions that a recording of a server has the answers to. Memory is bounded, however
/// long the recording is.
///
/// # Errors
/// It is no recording, or one of another version.
pub fn questions<R: Read>(mut reader: Reader<R>) -> anyhow::Result<OwnServer> {
    let mut run =
        Run::new(crate::model::Model::new(reader.header().setup.clone()), Tally::default(), None);
    while let Some(entry) = reader.next_entry()? {
        run.take(entry)?;
    }
    let Run { consumer: tally, .. } = run;
    let mut facts = LessonFacts::new(SPECS);
    tally.tell(&mut facts);
    let questions = TEMPLATES.iter().filter_map(|template| question(template, &facts)).collect();
    let (target, unseen) = tally.seen();
    Ok(OwnServer { target, requests: tally.requests(), unseen, questions })
}

fn question(template: &Template, facts: &LessonFacts) -> Option<OwnQuestion> {
    let (offered, right) = match facts.get(template.answer)? {
        Value::Word(word) => {
            let offered: Vec<_> = template.words.iter().map(|word| (*word).to_owned()).collect();
            let right = offered.iter().position(|offered| offered == word)?;
            (offered, right)
        }
        Value::Number(number) => {
            let unit = facts.spec(template.answer)?.unit;
            offers::around(*number, unit, template.least, template.most(facts))
        }
    };
    if offered.len() < 2 {
        return None;
    }
    let reveal = template.reveal.iter();
    let reveal: Option<Vec<_>> =
        reveal.map(|(owner, text)| Some((*owner, filled(text, facts)?))).collect();
    Some(OwnQuestion { text: filled(template.question, facts)?, offered, right, reveal: reveal? })
}

/// The text with what was measured; `None` if something of it was not.
fn filled(text: &str, facts: &LessonFacts) -> Option<String> {
    let mut pieces = Vec::new();
    text::pieces(text, false, &mut pieces).ok()?;
    let is_known = |piece: &Piece| match piece {
        Piece::Fact(name) => facts.get(name).is_some(),
        _ => true,
    };
    if !pieces.iter().all(is_known) {
        return None;
    }
    Some(pieces.iter().map(|piece| piece.filled(Some(facts))).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::learn::find;

    fn of(slug: &str, round: usize) -> OwnServer {
        let recording = find(slug).expect("a lesson").recordings[round];
        let bytes = recording.bytes().expect("it unpacks");
        questions(Reader::new(Cursor::new(bytes)).expect("a recording")).expect("it plays")
    }

    #[test]
    fn every_text_can_be_read_and_names_facts_that_there_are() {
        for template in TEMPLATES {
            let texts = template.reveal.iter().map(|(_, text)| *text);
            for text in texts.chain([template.question]) {
                let mut pieces = Vec::new();
                text::pieces(text, false, &mut pieces).expect("good braces");
                for piece in pieces {
                    if let Piece::Fact(name) = piece {
                        assert!(SPECS.iter().any(|spec| spec.name == name), "{text}: {name}");
                    }
                }
            }
            assert!(SPECS.iter().any(|spec| spec.name == template.answer), "{}", template.answer);
        }
    }

    #[test]
    fn a_server_that_answers_is_asked_about_its_requests() {
        let server = of("nagle", 1);
        assert_eq!(server.requests, 10);
        let texts: Vec<_> = server.questions.iter().map(|question| &question.text).collect();
        assert!(
            texts.iter().any(|text| text.contains("requests does one connection")),
            "{texts:?}"
        );
        for question in &server.questions {
            assert!((2..=4).contains(&question.offered.len()), "{question:?}");
            assert!(question.right < question.offered.len(), "{question:?}");
            assert!(question.reveal.iter().all(|(_, text)| !text.contains(['{', '?'])));
        }
    }

    #[test]
    fn what_was_not_observed_is_not_asked() {
        let server = of("accept-queue", 0);
        assert_eq!(server.requests, 0, "nobody accepts");
        assert!(
            server.questions.iter().all(|question| !question.text.contains("requests")),
            "{:?}",
            server.questions
        );
        assert!(server.questions.iter().any(|question| question.text.contains("accept queue")));
    }
}
