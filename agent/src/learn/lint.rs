//! What a lesson's text may not say: a number or a comparison that nothing stands behind.
//!
//! In a reveal, and where it says whose job it is, a sentence that tells a number or compares has to
//! name the claims that bear it out
//! (`{=held, took}`), or the source of knowledge that the run does not measure (`{@RFC 9293}`). A
//! fact that is shown has to be claimed. So whatever the text says of a run is checked in each run.

use super::{
    claim::Claim,
    fact::{Spec, of_round},
    lesson::{Lesson, Plan},
    text::{Block, Piece, When},
};

/// Words that stand for a number.
const NUMBERS: &[&str] = &[
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "twenty",
    "fifty",
    "hundred",
    "hundreds",
    "thousand",
    "thousands",
    "million",
    "dozen",
];

/// Words that compare, or tell of all and none.
const COMPARING: &[&str] = &[
    "more",
    "less",
    "fewer",
    "most",
    "least",
    "longer",
    "longest",
    "shorter",
    "shortest",
    "faster",
    "fastest",
    "slower",
    "slowest",
    "quicker",
    "quickest",
    "larger",
    "largest",
    "smaller",
    "smallest",
    "bigger",
    "biggest",
    "higher",
    "highest",
    "lower",
    "lowest",
    "cheaper",
    "cheapest",
    "costlier",
    "costliest",
    "better",
    "best",
    "worse",
    "worst",
    "earlier",
    "later",
    "sooner",
    "all",
    "every",
    "none",
    "nothing",
    "nobody",
    "never",
    "always",
    "nearly",
    "almost",
    "enough",
    "equal",
    "equally",
    "times",
];

/// Words that compare two figures: their claim has to do so, too.
const RELATING: &[&str] = &[
    "same",
    "half",
    "twice",
    "double",
    "doubled",
    "thrice",
    "quarter",
    "third",
    "tenth",
    "unchanged",
];

/// Words after which a number is a name: "TLS 1.3".
const NAMES: &[&str] = &[
    "TLS",
    "RFC",
    "Linux",
    "layer",
    "layers",
    "lecture",
    "lectures",
    "port",
    "kernel",
    "HTTP",
    "WebSocket",
    "level",
    "to",
    "version",
    "section",
    "EAGAIN",
];

/// Where a text stands, as that decides which claims bear it out.
struct Place<'a> {
    name: String,
    /// Its round, from 1; the last one if it is of all.
    round: usize,
    /// What is claimed there.
    plans: Vec<&'a Plan>,
}

/// A sentence, as far as the lint reads it.
#[derive(Default)]
struct Sentence {
    text: String,
    numbers: bool,
    compares: bool,
    relates: bool,
    facts: Vec<String>,
    borne: Vec<String>,
    sourced: bool,
}

/// Says what the texts of a lesson say without a claim or a source.
pub(super) fn flaws(lesson: &Lesson) -> Vec<String> {
    let mut out = Vec::new();
    let mut check = |blocks: &[Block], place: &Place<'_>| {
        for block in blocks {
            for sentence in sentences(block) {
                let flaw = sentence.flaw(lesson, place, block);
                out.extend(flaw.map(|flaw| format!("{}: “{}” {flaw}", place.name, sentence.text)));
            }
        }
    };
    let whole = Place {
        name: "whose job".to_owned(),
        round: lesson.rounds.len(),
        plans: lesson.rounds.iter().map(|round| &round.plan).collect(),
    };
    check(&lesson.jobs, &whole);
    for (at, round) in lesson.rounds.iter().enumerate() {
        let name = format!("reveal {}", at + 1);
        check(&round.reveal, &Place { name, round: at + 1, plans: vec![&round.plan] });
        for (answer, word) in &round.why {
            let name = format!("the word on {answer} in round {}", at + 1);
            let place = Place { name, round: at + 1, plans: vec![&round.plan] };
            check(std::slice::from_ref(word), &place);
        }
    }
    out
}

impl Sentence {
    fn flaw(&self, lesson: &Lesson, place: &Place<'_>, block: &Block) -> Option<String> {
        let idle = block.pieces().contains(&Piece::When(When::Idle));
        let claimed = |name: &str| claims(lesson, place, name, idle);
        if let Some(fact) = self.facts.iter().find(|fact| claimed(fact).is_empty()) {
            return Some(format!("shows {fact}, of which nothing is claimed"));
        }
        if let Some(name) = self.borne.iter().find(|name| claimed(name).is_empty()) {
            return Some(format!("names {name}, of which nothing is claimed"));
        }
        if self.sourced || !(self.numbers || self.compares || self.relates) {
            return None;
        }
        if self.borne.is_empty() {
            let what = if self.numbers { "tells a number" } else { "compares" };
            return Some(format!("{what}, and names neither a claim nor a source"));
        }
        let compares = |claim: &&Claim| claim.compares(specs(lesson));
        let related = self.borne.iter().any(|name| claimed(name).iter().any(compares));
        if self.relates && !related {
            return Some("relates two figures, and no claim that it names does".to_owned());
        }
        None
    }
}

fn specs(lesson: &Lesson) -> &'static [Spec] {
    lesson.check.facts
}

/// The claims on a fact that hold where the text stands.
fn claims<'a>(lesson: &'a Lesson, place: &Place<'a>, name: &str, idle: bool) -> Vec<&'a Claim> {
    let (plans, name) = match of_round(name) {
        Some((round, name)) if round <= place.round => (
            lesson.rounds.get(round.wrapping_sub(1)).map(|round| &round.plan).into_iter().collect(),
            name,
        ),
        Some(_) => (Vec::new(), name),
        None => (place.plans.clone(), name),
    };
    let claims = plans.into_iter().flat_map(|plan| &plan.claims);
    claims.filter(|claim| claim.fact == name && (idle || !claim.idle)).collect()
}

/// The sentences of a block.
fn sentences(block: &Block) -> Vec<Sentence> {
    let (mut out, mut now, mut words) = (Vec::new(), Sentence::default(), Words::default());
    for piece in block.pieces() {
        match piece {
            Piece::Plain(text) | Piece::Strong(text) => {
                let strong = matches!(piece, Piece::Strong(_));
                for letter in text.chars() {
                    if letter.is_whitespace() {
                        words.end(&mut now, strong);
                        if now.is_whole() {
                            out.push(std::mem::take(&mut now));
                            words = Words::default();
                        } else if !now.text.is_empty() {
                            now.text.push(' ');
                        }
                    } else {
                        words.word.push(letter);
                        now.text.push(letter);
                    }
                }
                words.end(&mut now, strong);
            }
            Piece::Fact(name) => {
                now.text.push_str(&format!("{{{name}}}"));
                now.facts.push(name.clone());
            }
            Piece::Borne(names) => now.borne.extend(names.iter().cloned()),
            Piece::Source(_) => now.sourced = true,
            Piece::When(_) => {}
        }
    }
    if !now.text.trim().is_empty() {
        out.push(now);
    }
    out
}

/// The word that is being read, and the one before.
#[derive(Default)]
struct Words {
    word: String,
    before: String,
}

impl Words {
    fn end(&mut self, sentence: &mut Sentence, strong: bool) {
        let word = std::mem::take(&mut self.word);
        let bare = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        if bare.is_empty() {
            return;
        }
        let lower = bare.to_lowercase();
        let is_name = NAMES.contains(&self.before.as_str()) || lower.ends_with("-rtt");
        let is_figure = bare.starts_with(|letter: char| letter.is_ascii_digit());
        sentence.numbers |= (is_figure && !is_name && !strong) || NUMBERS.contains(&lower.as_str());
        sentence.compares |= COMPARING.contains(&lower.as_str());
        sentence.relates |= RELATING.contains(&lower.as_str());
        self.before = bare.to_owned();
    }
}

impl Sentence {
    /// True once its end was read.
    fn is_whole(&self) -> bool {
        let text = self.text.trim_end_matches(['”', '"', ')', '*']);
        text.ends_with(['.', '?', '!'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::find;

    /// What is wrong with this sentence as the reveal of the second round of the lesson on Nagle's
    /// algorithm, where `took`, `quick`, `held` and `exchanges` are claimed.
    fn flaw(sentence: &str) -> Option<String> {
        let entry = find("nagle").expect("it is there");
        let mut lesson = entry.lesson().expect("it can be read");
        let mut pieces = Vec::new();
        crate::learn::text::pieces(sentence, false, &mut pieces).expect("good");
        lesson.rounds[1].reveal = vec![Block::Item(None, pieces)];
        let found = flaws(&lesson);
        found.into_iter().find(|flaw| flaw.starts_with("reveal 2"))
    }

    #[test]
    fn a_number_or_a_comparison_needs_what_stands_behind_it() {
        for good in [
            "It was sent.",
            "It took {took}.",
            "It took {took}, which is less than before{=took}.",
            "Linux waits for 40 ms at least{@include/net/tcp.h, TCP_DELACK_MIN}.",
            "Nothing was held{=held}. It is HTTP/2 over TLS 1.3.",
            "It is unchanged{=exchanges}.",
            "`read()` of layer 4.",
        ] {
            assert_eq!(flaw(good), None, "{good}");
        }
        for (bad, word) in [
            ("It took 44 ms.", "tells a number"),
            ("There are two of them.", "tells a number"),
            ("It took {took}, and that is less.", "compares"),
            ("It is the same.", "compares"),
            ("It is the same{=quick}.", "relates"),
            ("It held {first}.", "shows first"),
            ("It is more{=first}.", "names first"),
            ("Nothing was held{=held}. All were sent.", "All were sent"),
            ("It took {3.took}.", "shows 3.took"),
        ] {
            let said = flaw(bad).unwrap_or_default();
            assert!(said.contains(word), "{bad}: {said}");
        }
    }
}
