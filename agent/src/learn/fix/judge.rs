//! Says when an exercise is won: the finding is gone, stays gone, and the load is served.

use std::collections::VecDeque;

use super::exercise::Exercise;
use super::second::Second;

/// Seconds whose answers make up the rate.
const RATE_OVER: usize = 4;
/// Multiple of the time without a finding that is asked for if it never stood: the server was cured
/// before the fault showed.
const NEVER_STOOD: u32 = 2;

/// A reason why a second does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A finding that must go stands.
    Finding,
    /// Nobody listens.
    NoServer,
    /// The sensor saw no exchange: there is nothing to judge by.
    Unseen,
    /// Requests failed.
    Failures,
    /// Fewer requests are answered than the customers would send.
    Rate,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not cured: the reasons.
    Broken(Vec<Lack>),
    /// Nothing is wrong, for so many seconds.
    Quiet {
        /// Seconds.
        seconds: u32,
        /// Seconds that it takes.
        of: u32,
    },
    /// Won.
    Won,
}

/// The judge of one exercise.
#[derive(Clone, Debug)]
pub struct Judge {
    exercise: Exercise,
    answered: VecDeque<u64>,
    server: Option<u32>,
    stood: bool,
    quiet: u32,
    standing: Standing,
}

impl Judge {
    /// Judges this exercise.
    pub fn new(exercise: &Exercise) -> Self {
        Self {
            exercise: exercise.clone(),
            answered: VecDeque::new(),
            server: None,
            stood: false,
            quiet: 0,
            standing: Standing::Broken(Vec::new()),
        }
    }

    /// How it stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Takes a second. Once it is won, it stays won.
    pub fn take(&mut self, second: &Second) {
        if self.standing == Standing::Won {
            return;
        }
        if second.server != self.server {
            // Another server has to prove itself anew.
            self.server = second.server;
            self.quiet = 0;
            self.answered.clear();
        }
        self.answered.push_back(second.tick.answered);
        if self.answered.len() > RATE_OVER {
            self.answered.pop_front();
        }
        let lacks = self.lacks(second);
        self.stood |= lacks.contains(&Lack::Finding);
        if lacks.is_empty() {
            self.quiet += 1;
            let hold = self.exercise.plan.hold;
            let of = if self.stood { hold } else { hold * NEVER_STOOD };
            let won = self.quiet >= of;
            self.standing =
                if won { Standing::Won } else { Standing::Quiet { seconds: self.quiet, of } };
        } else {
            self.quiet = 0;
            self.standing = Standing::Broken(lacks);
        }
    }

    fn lacks(&self, second: &Second) -> Vec<Lack> {
        let seconds = self.answered.len().max(1) as f64;
        let rate = self.answered.iter().sum::<u64>() as f64 / seconds;
        let found = second.findings.iter().any(|finding| self.exercise.is_about(finding));
        let signs = [
            (found, Lack::Finding),
            (second.server.is_none(), Lack::NoServer),
            (!second.seen, Lack::Unseen),
            (second.tick.failed > 0, Lack::Failures),
            (rate < self.exercise.plan.rate, Lack::Rate),
        ];
        signs.into_iter().filter(|(is, _)| *is).map(|(_, lack)| lack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::super::second::{FoundNow, Tick};
    use super::*;
    use crate::model::snapshot::{Owner, Severity};

    fn served() -> Second {
        let tick = Tick { answered: 40, ..Tick::default() };
        Second { tick, findings: Vec::new(), server: Some(7), seen: true }
    }

    fn found(kind: &'static str) -> Second {
        let finding = FoundNow {
            kind,
            severity: Severity::Info,
            owner: Owner::App,
            headline: "It is so.".into(),
            fix: "change it".into(),
        };
        Second { findings: vec![finding], ..served() }
    }

    fn judge() -> Judge {
        Judge::new(&find("checkout").unwrap().unwrap())
    }

    /// The standing after these seconds, each taken so many times.
    fn after(seconds: &[(Second, u32)]) -> Standing {
        let mut judge = judge();
        for (second, times) in seconds {
            for _ in 0..*times {
                judge.take(second);
            }
        }
        judge.standing().clone()
    }

    #[test]
    fn it_is_won_once_the_finding_is_gone_for_long_enough() {
        let broken = (found("accept-queue-overflow"), 3);
        assert_eq!(after(std::slice::from_ref(&broken)), Standing::Broken(vec![Lack::Finding]));
        let quiet = Standing::Quiet { seconds: 9, of: 10 };
        assert_eq!(after(&[broken.clone(), (served(), 9)]), quiet);
        assert_eq!(after(&[broken.clone(), (served(), 10)]), Standing::Won);
        let back = [broken.clone(), (served(), 9), (found("accept-starved"), 1), (served(), 9)];
        assert_eq!(after(&back), quiet, "it came back as something else");
        assert_eq!(after(&[broken, (served(), 10), (found("accept-starved"), 9)]), Standing::Won);
    }

    #[test]
    fn a_finding_of_another_kind_is_no_matter() {
        let broken = (found("accept-queue-overflow"), 1);
        assert_eq!(after(&[broken, (found("connection-churn"), 10)]), Standing::Won);
    }

    #[test]
    fn what_counts_as_a_warning_only_may_stand_as_information() {
        let mut judge = Judge::new(&find("reports").unwrap().unwrap());
        let slow = |severity| {
            let mut second = found("slow-app");
            second.findings[0].severity = severity;
            second.tick.answered = 200;
            second
        };
        judge.take(&slow(Severity::Warning));
        assert_eq!(*judge.standing(), Standing::Broken(vec![Lack::Finding]));
        judge.take(&slow(Severity::Info));
        assert_eq!(*judge.standing(), Standing::Quiet { seconds: 1, of: 10 });
    }

    #[test]
    fn a_fault_that_never_showed_takes_longer() {
        assert_eq!(after(&[(served(), 10)]), Standing::Quiet { seconds: 10, of: 20 });
        assert_eq!(after(&[(served(), 20)]), Standing::Won);
    }

    /// Who stops the server, the load or the sensor has no finding either.
    #[test]
    fn silence_is_no_cure() {
        let tick = |tick| Second { tick, ..served() };
        for (second, lack) in [
            (Second { server: None, ..served() }, Lack::NoServer),
            (Second { seen: false, ..served() }, Lack::Unseen),
            (tick(Tick { failed: 1, answered: 40, ..Tick::default() }), Lack::Failures),
            (tick(Tick { answered: 20, ..Tick::default() }), Lack::Rate),
            (tick(Tick::default()), Lack::Rate),
        ] {
            let standing = after(&[(found("accept-queue-overflow"), 1), (second, 100)]);
            assert_eq!(standing, Standing::Broken(vec![lack]));
        }
    }

    #[test]
    fn another_server_proves_itself_anew() {
        let other = Second { server: Some(8), ..served() };
        let broken = (found("accept-queue-overflow"), 1);
        let quiet = Standing::Quiet { seconds: 9, of: 10 };
        assert_eq!(after(&[broken, (served(), 9), (other, 9)]), quiet);
    }
}
