//! A question of an earlier lesson, asked again with other numbers.

use super::{
    Outcome,
    bench::Bench,
    fact::{Unit, Value},
    lesson::Lesson,
    offers,
};

/// A run that differs from a round by one knob.
#[derive(Clone, Debug)]
pub struct Variation {
    /// What is different: "backlog 5"; empty if nothing is.
    pub change: String,
    /// The round with that knob turned.
    pub bench: Bench,
}

/// Returns the runs to ask about instead of the round, the one to try first in front. `turn`
/// counts the times that it was asked, so that each time another comes. The last one is the round
/// itself.
pub fn variations(lesson: &Lesson, round: usize, turn: usize) -> Vec<Variation> {
    let bench = Bench::of(lesson, round);
    let mut out: Vec<_> = bench
        .turned_once()
        .into_iter()
        // What is lost differs from packet to packet, and so would the answer.
        .filter(|(change, _)| !change.starts_with(LOSS))
        .map(|(change, bench)| Variation { change, bench })
        .collect();
    if !out.is_empty() {
        let first = turn.wrapping_mul(STRIDE) % out.len();
        out.rotate_left(first);
    }
    out.push(Variation { change: String::new(), bench });
    out
}

/// Label of the knob that is not turned.
const LOSS: &str = "packets lost";
/// From one variation to the next: far enough that another knob is turned.
const STRIDE: usize = 5;

/// Returns the answers to offer on a run, and the place of the right one. `None` if the run has not
/// shown the answer.
pub fn offers(lesson: &Lesson, round: usize, outcome: &Outcome) -> Option<(Vec<String>, usize)> {
    let plan = &lesson.rounds[round].plan;
    let unit = outcome.facts.spec(&plan.answer)?.unit;
    match outcome.facts.get(&plan.answer)? {
        Value::Word(_) => Some((plan.offered.clone(), lesson.rounds[round].right(&outcome.facts)?)),
        Value::Number(number) => {
            let least = if unit == Unit::Time { 1.0 } else { 0.0 };
            Some(offers::around(*number, unit, least, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{all, judge, recorded};

    #[test]
    fn every_question_can_be_asked_again() {
        for entry in all() {
            let lesson = entry.lesson().expect("it can be read");
            for round in 0..lesson.rounds.len() {
                let variations = variations(&lesson, round, 0);
                assert!(variations.len() > 1, "{}: nothing can be turned", entry.slug);
                let evidence = recorded(entry.recordings[round]).expect("a recording");
                let outcome = judge(&lesson, round, evidence, true, Vec::new());
                let (offered, right) = offers(&lesson, round, &outcome).expect("an answer");
                assert!(offered.len() >= 2 && right < offered.len(), "{}: {offered:?}", entry.slug);
            }
        }
    }

    #[test]
    fn another_number_comes_each_time() {
        let entry = crate::learn::find("accept-queue").expect("it is there");
        let lesson = entry.lesson().expect("it can be read");
        let first = |turn| variations(&lesson, 0, turn).remove(0).change;
        assert_ne!(first(0), first(1));
        assert!((0..40).all(|turn| !first(turn).starts_with(LOSS)));
    }
}
