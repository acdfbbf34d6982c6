//! One play of an exercise: what has happened, and what the learner was shown.

use std::collections::VecDeque;

use super::exercise::Exercise;
use super::judge::{Judge, Lack, Standing};
use super::scores::Score;
use super::second::{FoundNow, Second};
use crate::text::{Untrusted, count_of, rate};

/// Seconds that are kept for the picture.
const HISTORY: usize = 300;
/// Lines of the server that are kept.
const LINES: usize = 50;

/// A play.
///
/// It takes each [`Second`] and each line of the server, and has what front-ends show.
#[derive(Clone, Debug)]
pub struct Game {
    exercise: Exercise,
    judge: Judge,
    history: VecDeque<Second>,
    seconds: u64,
    hints: usize,
    gave_up: bool,
    restarts: u32,
    /// The newest server that was there.
    server: Option<u32>,
    said: VecDeque<Untrusted>,
}

impl Game {
    /// Begins.
    pub fn new(exercise: Exercise) -> Self {
        let judge = Judge::new(&exercise);
        Self {
            exercise,
            judge,
            history: VecDeque::new(),
            seconds: 0,
            hints: 0,
            gave_up: false,
            restarts: 0,
            server: None,
            said: VecDeque::new(),
        }
    }

    /// The exercise.
    pub fn exercise(&self) -> &Exercise {
        &self.exercise
    }

    /// The standing.
    pub fn standing(&self) -> &Standing {
        self.judge.standing()
    }

    /// True once it is won.
    pub fn is_won(&self) -> bool {
        *self.standing() == Standing::Won
    }

    /// True if the finding that the exercise is about stands, not only one that it turns into.
    pub fn is_shown(&self) -> bool {
        let about = &self.exercise.plan.finding;
        self.found().is_some_and(|finding| finding.kind == about)
    }

    /// Takes a second. Returns whether it was won by it. Time stands still once it is won.
    pub fn take(&mut self, second: Second) -> bool {
        let before = self.is_won();
        if !before {
            self.seconds += 1;
        }
        if second.server.is_some() {
            let restarted = self.server.is_some() && self.server != second.server;
            self.restarts += u32::from(restarted);
            self.server = second.server;
        }
        self.judge.take(&second);
        self.history.push_back(second);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        !before && self.is_won()
    }

    /// Takes a line of the server.
    pub fn server_said(&mut self, line: Untrusted) {
        self.said.push_back(line);
        if self.said.len() > LINES {
            self.said.pop_front();
        }
    }

    /// The last line of the server.
    pub fn last_said(&self) -> Option<&Untrusted> {
        self.said.back()
    }

    /// The newest second.
    pub fn now(&self) -> Option<&Second> {
        self.history.back()
    }

    /// The seconds, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Second> {
        self.history.iter()
    }

    /// Seconds that it has taken.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Hints that were shown.
    pub fn hints(&self) -> usize {
        self.hints
    }

    /// Shows one more hint. False if there is none.
    pub fn show_hint(&mut self) -> bool {
        let more = self.hints < self.exercise.hints.len();
        self.hints += usize::from(more);
        more
    }

    /// Shows the cure.
    pub fn give_up(&mut self) {
        self.gave_up = true;
    }

    /// True if the cure was shown.
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// The finding that must go and stands, if there is one: the one that the exercise is about,
    /// else one that it turns into.
    pub fn found(&self) -> Option<&FoundNow> {
        let is_about = |one: &&FoundNow| self.exercise.is_about(one);
        let findings: Vec<&FoundNow> = self.now()?.findings.iter().filter(is_about).collect();
        let first = findings.iter().find(|one| one.kind == self.exercise.plan.finding);
        first.or(findings.first()).copied()
    }

    /// Says how it stands.
    pub fn words(&self) -> String {
        match self.standing() {
            Standing::Won => "the finding is gone, and the customers are served".to_owned(),
            Standing::Quiet { seconds, of } => {
                format!("no such finding, and all are served, for {seconds} of {of} s")
            }
            Standing::Broken(lacks) => match lacks.first() {
                None => "the customers are coming".to_owned(),
                Some(Lack::Finding) => "backscope has a finding that must go".to_owned(),
                Some(Lack::NoServer) => "nobody listens".to_owned(),
                Some(Lack::Unseen) => "no request was answered in this second".to_owned(),
                Some(Lack::Failures) => format!(
                    "{} failed in this second",
                    count_of(self.now().map_or(0, |second| second.tick.failed), "request")
                ),
                Some(Lack::Rate) => format!(
                    "too few are answered: at least {} a second are wanted",
                    rate(self.exercise.plan.rate)
                ),
            },
        }
    }

    /// The score, once it is won.
    pub fn score(&self) -> Option<Score> {
        let score = Score {
            seconds: self.seconds,
            hints: self.hints,
            cure_shown: self.gave_up,
            restarts: self.restarts,
        };
        self.is_won().then_some(score)
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::super::second::Tick;
    use super::*;

    fn second(server: Option<u32>) -> Second {
        let tick = Tick { answered: 100, ..Tick::default() };
        Second { tick, findings: Vec::new(), server, seen: true }
    }

    #[test]
    fn time_hints_and_restarts_are_counted() {
        let mut game = Game::new(find("crowd").unwrap().unwrap());
        assert_eq!(game.score(), None);
        assert!(game.show_hint() && game.show_hint() && game.show_hint() && !game.show_hint());
        game.take(second(Some(1)));
        game.take(second(None));
        assert_eq!(game.words(), "nobody listens");
        game.take(second(Some(2)));
        game.take(second(Some(3)));
        while !game.is_won() {
            game.take(second(Some(3)));
        }
        let taken = game.seconds();
        assert!(!game.take(second(Some(3))) && game.seconds() == taken, "time stands still");
        let score = Score { seconds: taken, hints: 3, cure_shown: false, restarts: 2 };
        assert_eq!(game.score(), Some(score));
    }
}
