//! What is wrong with a lesson.

use super::{Counter, Lesson, Plan};
use crate::learn::{
    claim::{self, Claim},
    fact::{of_round, spec},
    text::{Block, Piece},
};

impl Lesson {
    /// Says what the check does not have, or what can never be right.
    pub(super) fn flaw(&self) -> Option<String> {
        for piece in self.blocks().into_iter().flat_map(Block::pieces) {
            if let Piece::Fact(name) = piece
                && spec(self.check.facts, name).is_none()
            {
                return Some(format!("the text has a place for {name}, but there is no such fact"));
            }
        }
        let mut rounds = self.rounds.iter().enumerate();
        let flaw = rounds.find_map(|(at, round)| self.flaw_of(at, &round.plan));
        flaw.or_else(|| self.flaw_of_counter())
    }

    fn flaw_of_counter(&self) -> Option<String> {
        let Counter { round, knobs, sysctls, breaks, .. } = self.counter.as_ref()?;
        let Some(at) = round.checked_sub(1).and_then(|at| self.rounds.get(at)) else {
            return Some(format!("the counter-run is of round {round}, and there is none"));
        };
        if let Some(name) = knobs.names().find(|name| !self.check.knobs.contains(name)) {
            return Some(format!("the counter-run turns {name}, and there is no such knob"));
        }
        if at.plan.knobs.but(knobs) == at.plan.knobs && sysctls.is_empty() {
            return Some("the counter-run changes nothing".to_owned());
        }
        let claimed = |name: &String| at.plan.claims.iter().any(|claim| claim.fact == *name);
        match breaks.iter().find(|name| !claimed(name)) {
            Some(name) => {
                Some(format!("the counter-run breaks {name}, of which nothing is claimed"))
            }
            None if breaks.is_empty() => Some("the counter-run breaks nothing".to_owned()),
            None => None,
        }
    }

    fn flaw_of(&self, at: usize, plan: &Plan) -> Option<String> {
        if let Some(name) = plan.knobs.names().find(|name| !self.check.knobs.contains(name)) {
            return Some(format!("there is no knob {name}"));
        }
        let later = |name: &str| matches!(of_round(name), Some((round, _)) if round > at);
        if let Some(name) = plan.claims.iter().flat_map(Claim::names).find(|name| later(name)) {
            return Some(format!("round {} is compared with {name}, which is later", at + 1));
        }
        let Some(answer) = spec(self.check.facts, &plan.answer) else {
            return Some(format!("the answer is {}, but there is no such fact", plan.answer));
        };
        let is_of_its_kind = |text: &String| claim::parse(text, answer.unit).is_some();
        if !(2..=4).contains(&plan.offered.len()) || !plan.offered.iter().all(is_of_its_kind) {
            return Some(format!(
                "the answers offered are not two to four of the kind {:?}",
                answer.unit
            ));
        }
        if !plan.claims.iter().any(|claim| claim.fact == plan.answer) {
            return Some(format!(
                "nothing is claimed of {}, which answers the question",
                plan.answer
            ));
        }
        plan.claims.iter().find_map(|claim| claim.flaw(self.check.facts))
    }
}
