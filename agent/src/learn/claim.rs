//! Claims of a lesson's text on a run, held against what was measured.

use std::fmt;

use serde::Deserialize;

use super::fact::{LessonFacts, Spec, Unit, Value, show, spec};

/// A claim of the text on one fact.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The fact.
    pub fact: String,
    /// The value that it has.
    pub is: Option<Bound>,
    /// The least value that it has.
    pub from: Option<Bound>,
    /// The most that it has.
    pub to: Option<Bound>,
}

/// Value that a fact is compared with: a number, a time such as "35ms", another fact, or a word.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Bound {
    /// A number, in the unit of the fact.
    Number(f64),
    /// Anything else.
    Text(String),
}

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The fact.
    pub fact: String,
    /// The fact in a few words.
    pub about: String,
    /// The claim, as text.
    pub expected: String,
    /// The measured value, as text.
    pub measured: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fact, about, expected, measured } = self;
        write!(f, "{fact} ({about}): the lesson says {expected}, measured {measured}")
    }
}

impl Claim {
    /// Says why it can never be checked with such facts; `None` if it can.
    pub fn flaw(&self, specs: &'static [Spec]) -> Option<String> {
        let Some(of) = spec(specs, &self.fact) else {
            return Some(format!("there is no fact {}", self.fact));
        };
        if self.is.is_none() && self.from.is_none() && self.to.is_none() {
            return Some(format!("the claim on {} says nothing", self.fact));
        }
        for bound in [&self.is, &self.from, &self.to].into_iter().flatten() {
            if let Some(flaw) = bound.flaw(of, specs) {
                return Some(flaw);
            }
        }
        None
    }

    /// Says what is wrong with it by these facts; `None` if it holds.
    pub fn broken(&self, facts: &LessonFacts) -> Option<Broken> {
        let measured = match facts.get(&self.fact) {
            Some(measured) if self.holds(measured, facts) => return None,
            Some(_) => facts.shown(&self.fact),
            None => "nothing: it was not observed".to_owned(),
        };
        let about = match facts.spec(&self.fact) {
            Some(spec) => spec.about,
            None => "no such fact",
        };
        Some(Broken {
            fact: self.fact.clone(),
            about: about.to_owned(),
            expected: self.expected(facts),
            measured,
        })
    }

    fn holds(&self, measured: &Value, facts: &LessonFacts) -> bool {
        let unit = self.unit(facts);
        if let Some(bound) = &self.is
            && bound.value(unit, facts).as_ref() != Some(measured)
        {
            return false;
        }
        let compare = |bound: &Option<Bound>, good: fn(f64, f64) -> bool| match bound {
            None => true,
            Some(bound) => match (measured, bound.value(unit, facts)) {
                (Value::Number(measured), Some(Value::Number(bound))) => good(*measured, bound),
                _ => false,
            },
        };
        compare(&self.from, |measured, bound| measured >= bound)
            && compare(&self.to, |measured, bound| measured <= bound)
    }

    /// Says it as text.
    pub fn expected(&self, facts: &LessonFacts) -> String {
        let unit = self.unit(facts);
        let mut parts = Vec::new();
        for (bound, before) in [(&self.is, ""), (&self.from, "at least "), (&self.to, "at most ")] {
            let Some(bound) = bound else { continue };
            let value = match bound.value(unit, facts) {
                Some(value) => show(&value, unit),
                None => "?".to_owned(),
            };
            parts.push(match bound {
                Bound::Text(name) if unit != Unit::Word && facts.spec(name).is_some() => {
                    format!("{before}{value} ({name})")
                }
                _ => format!("{before}{value}"),
            });
        }
        parts.join(", ")
    }

    fn unit(&self, facts: &LessonFacts) -> Unit {
        match facts.spec(&self.fact) {
            Some(spec) => spec.unit,
            None => Unit::Count,
        }
    }
}

impl Bound {
    fn flaw(&self, of: &Spec, specs: &'static [Spec]) -> Option<String> {
        match (self, of.unit) {
            (Self::Number(_), Unit::Word) => Some(format!("{} is a word, not a number", of.name)),
            (Self::Number(_), _) | (Self::Text(_), Unit::Word) => None,
            (Self::Text(text), unit) => match spec(specs, text) {
                Some(other) if other.unit == unit => None,
                Some(_) => Some(format!("{} and {text} have different units", of.name)),
                None if parse(text, unit).is_some() => None,
                None => Some(format!("{text} is neither a fact nor a {unit:?}")),
            },
        }
    }

    fn value(&self, unit: Unit, facts: &LessonFacts) -> Option<Value> {
        match self {
            Self::Number(number) => Some(Value::Number(*number)),
            Self::Text(word) if unit == Unit::Word => Some(Value::Word(word.clone())),
            Self::Text(name) if facts.spec(name).is_some() => facts.get(name).cloned(),
            Self::Text(text) => parse(text, unit),
        }
    }
}

/// A value as a lesson's author writes it: "3", "1,000", "43.5ms", "kernel".
pub(super) fn parse(text: &str, unit: Unit) -> Option<Value> {
    match unit {
        Unit::Word => Some(Value::Word(text.to_owned())),
        Unit::Time => Some(Value::Number(microseconds(text)?)),
        Unit::Count | Unit::Bytes => {
            let digits = text.replace(',', "");
            Some(Value::Number(digits.trim_end_matches(" B").parse().ok()?))
        }
    }
}

/// Time in µs: humantime knows no decimals.
fn microseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("ms", 1e3), ("µs", 1.0), ("us", 1.0), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.trim().parse::<f64>()
        {
            return Some(number * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        Spec::count("here", "clients here"),
        Spec::count("room", "room"),
        Spec::time("held", "held"),
        Spec::word("by", "by"),
    ];

    fn facts() -> LessonFacts {
        let mut facts = LessonFacts::new(SPECS);
        facts.whole("here", 3);
        facts.whole("room", 3);
        facts.whole("held", 43_500);
        facts.word("by", "kernel");
        facts
    }

    fn claim(text: &str) -> Claim {
        toml::from_str(text).expect("a claim")
    }

    #[test]
    fn claims_hold_or_say_what_was_measured() {
        for good in [
            "fact = 'here'\nis = 3",
            "fact = 'here'\nis = 'room'",
            "fact = 'held'\nfrom = '35ms'\nto = '0.06s'",
            "fact = 'by'\nis = 'kernel'",
        ] {
            assert_eq!(claim(good).broken(&facts()), None, "{good}");
            assert_eq!(claim(good).flaw(SPECS), None, "{good}");
        }
        let broken = claim("fact = 'here'\nis = 4").broken(&facts()).expect("it is 3");
        assert_eq!(broken.to_string(), "here (clients here): the lesson says 4, measured 3");
        let broken = claim("fact = 'held'\nfrom = '1ms'\nto = '2ms'")
            .broken(&facts())
            .expect("it is 43.5 ms");
        assert_eq!(broken.expected, "at least 1.0 ms, at most 2.0 ms");
        assert!(claim("fact = 'by'\nis = 'app'").broken(&facts()).is_some());
    }

    #[test]
    fn what_was_not_observed_breaks_a_claim() {
        let broken = claim("fact = 'here'\nfrom = 0")
            .broken(&LessonFacts::new(SPECS))
            .expect("nothing is known");
        assert_eq!(broken.measured, "nothing: it was not observed");
        assert!(claim("fact = 'here'\nis = 'room'").broken(&LessonFacts::new(SPECS)).is_some());
    }

    #[test]
    fn flaws_are_seen_without_a_run() {
        for flawed in [
            "fact = 'nowhere'\nis = 3",
            "fact = 'here'",
            "fact = 'here'\nis = 'held'",
            "fact = 'held'\nfrom = 'long'",
            "fact = 'by'\nis = 3",
        ] {
            assert!(claim(flawed).flaw(SPECS).is_some(), "{flawed}");
        }
        assert!(toml::from_str::<Claim>("fact = 'here'\nisnt = 3").is_err());
    }
}
