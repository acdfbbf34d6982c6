//! The bench of a lesson: its round with the knobs that can be turned, and what a run then shows.

use demo_servers::program;

use super::{
    Outcome,
    check::{Check, Scenario},
    evidence::Evidence,
    fact::LessonFacts,
    knob::{BenchKnob, OF_ALL, number},
    lesson::{Knobs, Lesson},
};

use self::table::of_lesson;

mod table;

/// A round whose knobs can be turned.
#[derive(Clone, Debug)]
pub struct Bench {
    check: &'static Check,
    base: Knobs,
    knobs: Vec<Setting>,
    selected: usize,
}

/// A knob with its values, at one of them.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    knob: BenchKnob,
    values: Vec<String>,
    at: usize,
}

impl Setting {
    fn value(&self) -> &str {
        &self.values[self.at]
    }
}

/// What is seen of a knob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnobView<'a> {
    /// Its name.
    pub label: &'static str,
    /// Its values.
    pub values: &'a [String],
    /// The place of the one that it has.
    pub at: usize,
    /// It is the one in hand.
    pub selected: bool,
}

/// True if server and clients take a knob's values.
fn runs(check: &Check, base: &Knobs, knob: &BenchKnob) -> bool {
    let Some(value) = knob.values.last() else { return false };
    let scenario = (check.scenario)(&knob.set(base, value));
    scenario.clients.iter().chain([&scenario.server]).all(|command| {
        let words = command.iter().map(String::as_str);
        program::check(std::iter::once("demo-servers").chain(words)).is_ok()
    })
}

impl Bench {
    /// Sets up the bench of a round, with the knobs as the round has them.
    pub fn of(lesson: &Lesson, round: usize) -> Self {
        let base = lesson.rounds[round].plan.knobs.clone();
        let scenario = (lesson.check.scenario)(&base);
        // Rounds may run other demos, which have other options.
        let own = of_lesson(&lesson.slug).iter();
        let own = own.filter(|knob| runs(lesson.check, &base, knob));
        let all = own.chain(&OF_ALL);
        let knobs = all.map(|knob| setting(knob, knob.value(&base, &scenario))).collect();
        Self { check: lesson.check, base, knobs, selected: 0 }
    }

    /// Returns the knobs, in their order.
    pub fn views(&self) -> impl Iterator<Item = KnobView<'_>> {
        self.knobs.iter().enumerate().map(|(at, setting)| KnobView {
            label: setting.knob.label,
            values: &setting.values,
            at: setting.at,
            selected: at == self.selected,
        })
    }

    /// Takes the next knob in hand, or the one before.
    pub fn select(&mut self, forward: bool) {
        let last = self.knobs.len() - 1;
        self.selected =
            if forward { (self.selected + 1).min(last) } else { self.selected.saturating_sub(1) };
    }

    /// Turns the knob in hand to its next value, or the one before. False at the end of the values.
    pub fn turn(&mut self, forward: bool) -> bool {
        let setting = &mut self.knobs[self.selected];
        let at = if forward { Some(setting.at + 1) } else { setting.at.checked_sub(1) };
        match at {
            Some(at) if at < setting.values.len() => {
                setting.at = at;
                true
            }
            _ => false,
        }
    }

    /// Returns the settings of the check.
    pub fn knobs(&self) -> Knobs {
        let mut knobs = self.base.clone();
        for setting in &self.knobs {
            let now = setting.knob.value(&knobs, &Scenario::default());
            // What is not turned stays word for word.
            if now != setting.value() {
                knobs = setting.knob.set(&knobs, setting.value());
            }
        }
        knobs
    }

    /// Returns what runs.
    pub fn scenario(&self) -> Scenario {
        let mut scenario = (self.check.scenario)(&self.knobs());
        for setting in &self.knobs {
            if setting.knob.value(&Knobs::default(), &scenario) != setting.value() {
                scenario = setting.knob.link(scenario, setting.value());
            }
        }
        scenario
    }

    /// Draws facts and picture from a run with these settings. Nothing is claimed of them: the text
    /// is about the round as it was asked.
    pub fn measure(&self, evidence: Evidence) -> Outcome {
        let knobs = self.knobs();
        let mut facts = LessonFacts::new(self.check.facts);
        facts.whole("busy", evidence.busy_percent());
        (self.check.gather)(&knobs, &evidence, &mut facts);
        let picture = (self.check.picture)(&knobs, &evidence, &facts);
        picture.tell(&mut facts);
        Outcome { facts, picture, broken: Vec::new(), evidence, recorded: false }
    }

    /// Returns every bench that differs from this one by one value of one knob, with words for it.
    pub fn turned_once(&self) -> Vec<(String, Self)> {
        let mut out = Vec::new();
        for (which, setting) in self.knobs.iter().enumerate() {
            for (at, value) in setting.values.iter().enumerate() {
                if at != setting.at {
                    let mut turned = self.clone();
                    turned.knobs[which].at = at;
                    out.push((format!("{} {value}", setting.knob.label), turned));
                }
            }
        }
        out
    }
}

/// A knob at a value, which gets a place among the others if it has none.
fn setting(knob: &BenchKnob, value: String) -> Setting {
    let mut values: Vec<String> = knob.values.iter().map(|&value| value.to_owned()).collect();
    let at = match values.iter().position(|other| *other == value) {
        Some(at) => at,
        None => {
            let larger = |other: &String| number(other) > number(&value);
            let at = values.iter().position(larger).unwrap_or(values.len());
            values.insert(at, value);
            at
        }
    };
    Setting { knob: *knob, values, at }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::learn::{all, find};

    #[test]
    fn a_bench_begins_as_its_round() {
        for entry in all() {
            let lesson = entry.lesson().expect("a lesson");
            for (round, plan) in lesson.rounds.iter().map(|round| &round.plan).enumerate() {
                let bench = Bench::of(&lesson, round);
                assert_eq!(bench.knobs(), plan.knobs, "{} {round}", lesson.slug);
                let scenario = (lesson.check.scenario)(&plan.knobs);
                assert_eq!(bench.scenario(), scenario, "{} {round}", lesson.slug);
            }
        }
    }

    #[test]
    fn every_value_is_one_that_server_and_client_take_and_changes_what_runs() {
        let mut taken = BTreeSet::new();
        for entry in all() {
            let lesson = entry.lesson().expect("a lesson");
            for round in 0..lesson.rounds.len() {
                let bench = Bench::of(&lesson, round);
                for (words, turned) in bench.turned_once() {
                    let scenario = turned.scenario();
                    let place = format!("{} {round}: {words}", lesson.slug);
                    assert_ne!(scenario, bench.scenario(), "{place}");
                    for command in scenario.clients.iter().chain([&scenario.server]) {
                        if !taken.insert(command.clone()) {
                            continue;
                        }
                        let words = command.iter().map(String::as_str);
                        let line = std::iter::once("demo-servers").chain(words);
                        program::check(line).unwrap_or_else(|error| panic!("{place}: {error}"));
                    }
                    assert!(!scenario.server.join(" ").contains("--server-only"), "{place}");
                }
            }
        }
    }

    #[test]
    fn knobs_turn_from_value_to_value() {
        let lesson = find("accept-queue").expect("it is there").lesson().expect("a lesson");
        let mut bench = Bench::of(&lesson, 0);
        let view = |bench: &Bench, which: usize| {
            let knob = bench.views().nth(which).expect("a knob");
            (knob.label, knob.values[knob.at].clone(), knob.selected)
        };
        assert_eq!(view(&bench, 0), ("backlog", "2".to_owned(), true));
        assert!(bench.turn(true));
        assert_eq!(view(&bench, 0).1, "5");
        assert!(bench.scenario().server.join(" ").contains("--backlog 5"));
        while bench.turn(false) {}
        assert_eq!(view(&bench, 0).1, "0");
        bench.select(true);
        assert!(view(&bench, 1).2 && !view(&bench, 0).2);
        bench.select(false);
        bench.select(false);
        assert!(view(&bench, 0).2);
    }
}
