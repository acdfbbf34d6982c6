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
}

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
}

impl LessonFacts {
    /// Makes facts without a value.
    pub fn new(specs: &'static [Spec]) -> Self {
        Self { specs, values: BTreeMap::new() }
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

    /// Returns a measured value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
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

/// The fact of that name among these.
pub(super) fn spec(specs: &'static [Spec], name: &str) -> Option<&'static Spec> {
    specs.iter().find(|spec| spec.name == name)
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
