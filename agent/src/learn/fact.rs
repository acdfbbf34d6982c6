//! Facts: the figures that a check draws from the evidence, by name.

use std::collections::BTreeMap;

use crate::text::{count, duration_us};

/// Unit of a fact's figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Time, µs.
    Time,
    /// Data.
    Bytes,
    /// A word out of a few.
    Word,
    /// Whatever a picture's bars are of: it compares with every figure.
    Drawn,
}

/// A fact that a check can gather.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name in the text of the lesson.
    pub name: &'static str,
    /// Unit of its figure.
    pub unit: Unit,
    /// The fact in a few words.
    pub about: &'static str,
}

impl Spec {
    /// A number of things.
    pub const fn count(name: &'static str, about: &'static str) -> Self {
        Self { name, unit: Unit::Count, about }
    }

    /// A time, µs.
    pub const fn time(name: &'static str, about: &'static str) -> Self {
        Self { name, unit: Unit::Time, about }
    }

    /// An amount of data.
    pub const fn bytes(name: &'static str, about: &'static str) -> Self {
        Self { name, unit: Unit::Bytes, about }
    }

    /// A word.
    pub const fn word(name: &'static str, about: &'static str) -> Self {
        Self { name, unit: Unit::Word, about }
    }

    /// A figure that a picture draws.
    const fn drawn(name: &'static str, about: &'static str) -> Self {
        Self { name, unit: Unit::Drawn, about }
    }
}

/// Facts that every lesson has: what its picture draws, and how busy the machine was.
pub(super) const COMMON: &[Spec] = &[
    Spec::count("drawn_bars", "bars of the picture"),
    Spec::drawn("drawn_sum", "all bars of the picture together"),
    Spec::drawn("drawn_most", "the longest bar of the picture"),
    Spec::drawn("drawn_least", "the shortest bar of the picture"),
    Spec::count("drawn_arrows", "arrows of the picture"),
    Spec::time("drawn_kernel", "time that the picture gives the kernel"),
    Spec::time("drawn_app", "time that the picture gives the app"),
    Spec::time("drawn_network", "time that the picture gives the network"),
    Spec::time("drawn_peer", "time that the picture gives the peer"),
    Spec::count("busy", "processor time that others took right before or after the run, percent"),
];

/// A measured value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A figure, in the unit of its fact.
    Number(f64),
    /// A word.
    Word(String),
}

/// The facts of one run, without those that could not be observed.
#[derive(Clone, Debug)]
pub struct LessonFacts {
    specs: &'static [Spec],
    values: BTreeMap<&'static str, Value>,
    /// Those of earlier rounds, in their order; `None` if a round was not run.
    earlier: Vec<Option<LessonFacts>>,
}

impl LessonFacts {
    /// Makes facts without a value.
    pub fn new(specs: &'static [Spec]) -> Self {
        Self { specs, values: BTreeMap::new(), earlier: Vec::new() }
    }

    /// Puts the facts of earlier rounds beside them, for what compares rounds.
    #[must_use]
    pub fn after(self, earlier: Vec<Option<Self>>) -> Self {
        Self { earlier, ..self }
    }

    /// Notes a figure; `None` if it could not be observed.
    pub fn number(&mut self, name: &'static str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.values.insert(name, Value::Number(value));
        }
    }

    /// Notes a whole number, as [`Self::number`].
    pub fn whole(&mut self, name: &'static str, value: impl Into<Option<u64>>) {
        self.number(name, value.into().map(|value| value as f64));
    }

    /// Notes a word.
    pub fn word(&mut self, name: &'static str, word: impl Into<String>) {
        self.values.insert(name, Value::Word(word.into()));
    }

    /// Returns a measured value. "1.slowest" is that of the first round.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match of_round(name) {
            None => self.values.get(name),
            Some((round, name)) => self.earlier.get(round.checked_sub(1)?)?.as_ref()?.get(name),
        }
    }

    /// Returns a measured figure; `None` also for a word.
    pub fn figure(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            Value::Word(_) => None,
        }
    }

    /// True unless others took so much of the processors that times say little.
    pub fn idle(&self) -> bool {
        self.figure("busy").is_none_or(|percent| percent <= BUSY_PERCENT)
    }

    /// Returns the facts that the check has, in its order.
    pub fn specs(&self) -> &'static [Spec] {
        self.specs
    }

    /// Returns the fact of that name.
    pub fn spec(&self, name: &str) -> Option<&'static Spec> {
        spec(self.specs, name)
    }

    /// Returns the measured value as text; "?" if there is none.
    pub fn shown(&self, name: &str) -> String {
        match (self.get(name), self.spec(name)) {
            (Some(value), Some(spec)) => show(value, spec.unit),
            _ => "?".to_owned(),
        }
    }
}

/// A machine on which others take more of the processors than this is not idle.
const BUSY_PERCENT: f64 = 25.0;

/// The fact of that name among these and the common ones, or of an earlier round.
pub(super) fn spec(specs: &'static [Spec], name: &str) -> Option<&'static Spec> {
    let name = match of_round(name) {
        Some((_, name)) => name,
        None => name,
    };
    specs.iter().chain(COMMON).find(|spec| spec.name == name)
}

/// The round and the fact that "1.slowest" names.
pub(super) fn of_round(name: &str) -> Option<(usize, &str)> {
    let (round, fact) = name.split_once('.')?;
    // "1.5ms" is a time.
    if !fact.starts_with(char::is_alphabetic) {
        return None;
    }
    Some((round.parse().ok()?, fact))
}

/// A value as text.
pub(super) fn show(value: &Value, unit: Unit) -> String {
    match (value, unit) {
        (Value::Word(word), _) => word.clone(),
        (Value::Number(number), Unit::Time) => duration_us(whole(*number)),
        (Value::Number(number), Unit::Bytes) => format!("{} B", count(whole(*number))),
        (Value::Number(number), _) if number.fract() == 0.0 => count(whole(*number)),
        (Value::Number(number), _) => format!("{number:.1}"),
    }
}

fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] =
        &[Spec::count("clients", "clients"), Spec::time("held", "held"), Spec::word("by", "by")];

    #[test]
    fn facts_are_shown_in_their_units() {
        let mut facts = LessonFacts::new(SPECS);
        facts.number("clients", 8.04);
        facts.whole("held", 43_512);
        facts.word("by", "kernel");
        assert_eq!(
            ["clients", "held", "by"].map(|name| facts.shown(name)),
            ["8.0", "44 ms", "kernel"]
        );
    }

    #[test]
    fn what_was_not_observed_is_not_0() {
        let mut facts = LessonFacts::new(SPECS);
        facts.whole("clients", None);
        assert_eq!((facts.get("clients"), facts.shown("clients")), (None, "?".to_owned()));
    }
}
