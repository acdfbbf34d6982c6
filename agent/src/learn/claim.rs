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
    /// It holds on an idle machine only, and is not judged on another.
    #[serde(default)]
    pub idle: bool,
}

/// Value that a fact is compared with: a number, a time such as "35ms", another fact, which may be
/// of an earlier round ("1.slowest") or multiplied ("0.5 * took"), or a word.
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

    /// True if it compares the fact with another one, or says exactly what it is.
    pub fn compares(&self, specs: &'static [Spec]) -> bool {
        let names_fact = |bound: &Bound| match bound {
            Bound::Text(text) => spec(specs, multiple(text).1).is_some(),
            Bound::Number(_) => false,
        };
        self.is.is_some() || [&self.from, &self.to].into_iter().flatten().any(names_fact)
    }

    /// The facts that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let bounds = [&self.is, &self.from, &self.to].into_iter().flatten();
        let named = bounds.filter_map(|bound| match bound {
            Bound::Text(text) => Some(multiple(text).1),
            Bound::Number(_) => None,
        });
        std::iter::once(self.fact.as_str()).chain(named)
    }

    /// Says what is wrong with it by these facts; `None` if it holds.
    pub fn broken(&self, facts: &LessonFacts) -> Option<Broken> {
        if self.idle && !facts.idle() {
            return None;
        }
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
                Bound::Text(text)
                    if unit != Unit::Word && facts.spec(multiple(text).1).is_some() =>
                {
                    format!("{before}{value} ({text})")
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
            (Self::Text(text), unit) => match spec(specs, multiple(text).1) {
                Some(other) if alike(other.unit, unit) => None,
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
            Self::Text(text) => match multiple(text) {
                (factor, name) if facts.spec(name).is_some() => match facts.get(name)? {
                    Value::Number(number) => Some(Value::Number(factor * number)),
                    word @ Value::Word(_) => Some(word.clone()),
                },
                _ => parse(text, unit),
            },
        }
    }
}

/// Factor and fact of "0.5 * took".
fn multiple(text: &str) -> (f64, &str) {
    if let Some((factor, name)) = text.split_once('*')
        && let Ok(factor) = factor.trim().parse()
    {
        return (factor, name.trim());
    }
    (1.0, text)
}

/// True if figures of these units compare.
fn alike(one: Unit, other: Unit) -> bool {
    let is_figure = |unit| unit != Unit::Word;
    one == other
        || (one == Unit::Drawn && is_figure(other))
        || (other == Unit::Drawn && is_figure(one))
}

/// A value as a lesson's author writes it: "3", "1,000", "43.5ms", "kernel".
pub(super) fn parse(text: &str, unit: Unit) -> Option<Value> {
    match unit {
        Unit::Word => Some(Value::Word(text.to_owned())),
        Unit::Time => Some(Value::Number(microseconds(text)?)),
        Unit::Drawn => parse(text, Unit::Count).or_else(|| parse(text, Unit::Time)),
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
        let mut before = LessonFacts::new(SPECS);
        before.whole("held", 21_000);
        facts.after(vec![Some(before), None])
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
            "fact = 'held'\nfrom = '2 * 1.held'\nto = '3 * 1.held'",
            "fact = 'here'\nfrom = '0.5 * room'",
            "fact = 'held'\nto = '1s'\nidle = true",
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
    fn a_round_that_was_not_run_bears_nothing_out() {
        assert!(claim("fact = 'held'\nfrom = '2.held'").broken(&facts()).is_some());
        let broken = claim("fact = 'held'\nto = '2 * 1.held'").broken(&facts()).expect("more");
        assert_eq!(broken.expected, "at most 42 ms (2 * 1.held)");
    }

    #[test]
    fn what_needs_an_idle_machine_is_judged_on_an_idle_one() {
        let wrong = claim("fact = 'held'\nto = '1ms'\nidle = true");
        assert!(wrong.broken(&facts()).is_some());
        let mut busy = facts();
        busy.whole("busy", 90);
        assert_eq!(wrong.broken(&busy), None);
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
