//! Knobs of a lesson's bench: what can be turned, through which values.

use super::{check::Scenario, lesson::Knobs};

/// What a knob turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A knob of the check.
    Knob(&'static str),
    /// Options in the words of a knob, all with the same value: `--work 20ms`.
    Options(&'static str, &'static [&'static str]),
    /// An option without a value: there ("on") or not ("off").
    Flag(&'static str, &'static str),
    /// One of several options without a value that exclude one another, in the order of the values;
    /// "" stands for none.
    OneOf(&'static str, &'static [&'static str]),
    /// The first of the words of a knob. Of the others those options stay that every value knows.
    Verb(&'static str, &'static [&'static str]),
    /// The round trip between server and clients.
    RoundTrip,
    /// The share of the packets that the link between them loses.
    Loss,
}

/// A knob of a bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BenchKnob {
    /// Its name on the screen.
    pub label: &'static str,
    /// What it turns.
    pub turn: Turn,
    /// The values that it has, in their order.
    pub values: &'static [&'static str],
    /// The value where the round sets none.
    pub default: &'static str,
}

/// The value of a flag that is there, and of one that is not.
pub(super) const ON_OFF: [&str; 2] = ["on", "off"];

/// The knobs that every lesson has.
pub(super) const OF_ALL: [BenchKnob; 2] = [
    BenchKnob {
        label: "round trip",
        turn: Turn::RoundTrip,
        values: &["0ms", "5ms", "20ms", "40ms", "100ms"],
        default: "0ms",
    },
    BenchKnob {
        label: "packets lost",
        turn: Turn::Loss,
        values: &["0%", "1%", "5%", "10%", "20%"],
        default: "0%",
    },
];

impl BenchKnob {
    /// A knob of the check.
    pub(super) const fn knob(
        label: &'static str,
        name: &'static str,
        values: &'static [&'static str],
        default: &'static str,
    ) -> Self {
        Self { label, turn: Turn::Knob(name), values, default }
    }

    /// An option in the words of a knob.
    pub(super) const fn option(
        label: &'static str,
        knob: &'static str,
        options: &'static [&'static str],
        values: &'static [&'static str],
        default: &'static str,
    ) -> Self {
        Self { label, turn: Turn::Options(knob, options), values, default }
    }

    /// A flag in the words of a knob.
    pub(super) const fn flag(label: &'static str, knob: &'static str, flag: &'static str) -> Self {
        Self { label, turn: Turn::Flag(knob, flag), values: &ON_OFF, default: "off" }
    }

    /// The first word of a knob; `keep` are the options that stay.
    pub(super) const fn verb(
        label: &'static str,
        knob: &'static str,
        values: &'static [&'static str],
        keep: &'static [&'static str],
    ) -> Self {
        Self { label, turn: Turn::Verb(knob, keep), values, default: "" }
    }

    /// Returns the value that it has in a round.
    pub(super) fn value(&self, knobs: &Knobs, scenario: &Scenario) -> String {
        let words = |knob| knobs.text(knob, "");
        let given = match self.turn {
            Turn::Knob(name) => Some(knobs.text(name, self.default)),
            Turn::Options(knob, [first, ..]) => option(&words(knob), first),
            Turn::Options(_, []) => None,
            Turn::Flag(knob, flag) => {
                let there = words(knob).split_whitespace().any(|word| word == flag);
                Some(ON_OFF[usize::from(!there)].to_owned())
            }
            Turn::OneOf(knob, flags) => {
                let words = words(knob);
                let there = |flag: &&str| words.split_whitespace().any(|word| word == *flag);
                let at = flags.iter().position(there);
                let value = at.and_then(|at| self.values.get(at));
                value.map(|&value| value.to_owned())
            }
            Turn::Verb(knob, _) => words(knob).split_whitespace().next().map(str::to_owned),
            Turn::RoundTrip => scenario.link_ms.map(|link_ms| format!("{link_ms}ms")),
            Turn::Loss => Some(format!("{}%", scenario.loss)),
        };
        given.unwrap_or_else(|| self.default.to_owned())
    }

    /// Turns what it turns of the knobs; those of the link are turned by [`Self::link`].
    pub(super) fn set(&self, knobs: &Knobs, value: &str) -> Knobs {
        let words = |knob| knobs.text(knob, "");
        match self.turn {
            Turn::Knob(name) => knobs.with(name, value),
            Turn::Options(knob, options) => {
                let mut text = words(knob);
                for name in options {
                    text = with_option(&text, name, value);
                }
                knobs.with(knob, &text)
            }
            Turn::Flag(knob, flag) => {
                let text = words(knob);
                let others = text.split_whitespace().filter(|word| *word != flag);
                let mut words: Vec<_> = others.collect();
                if value == ON_OFF[0] {
                    words.push(flag);
                }
                knobs.with(knob, &words.join(" "))
            }
            Turn::OneOf(knob, flags) => {
                let text = words(knob);
                let others = text.split_whitespace().filter(|word| !flags.contains(word));
                let mut words: Vec<_> = others.collect();
                let at = self.values.iter().position(|other| *other == value);
                words.extend(at.and_then(|at| flags.get(at)).filter(|flag| !flag.is_empty()));
                knobs.with(knob, &words.join(" "))
            }
            Turn::Verb(knob, keep) => {
                let text = words(knob);
                let mut new = value.to_owned();
                for name in keep {
                    if let Some(kept) = option(&text, name) {
                        new += &format!(" {name} {kept}");
                    }
                }
                knobs.with(knob, &new)
            }
            Turn::RoundTrip | Turn::Loss => knobs.clone(),
        }
    }

    /// Turns the link of a scenario, if that is what it turns.
    pub(super) fn link(&self, scenario: Scenario, value: &str) -> Scenario {
        match self.turn {
            Turn::RoundTrip => match number(value) {
                0 => scenario.near(),
                ms => Scenario { loss: scenario.loss, ..scenario.far(ms) },
            },
            Turn::Loss => match number(value) {
                0 => Scenario { loss: 0, ..scenario },
                percent => scenario.lossy(percent.min(90) as u8),
            },
            _ => scenario,
        }
    }
}

/// The number that a value begins with; 0 if there is none.
pub(super) fn number(value: &str) -> u64 {
    let digits: String =
        value.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// The value of an option among words.
fn option(words: &str, name: &str) -> Option<String> {
    let mut words = words.split_whitespace();
    words.find(|word| *word == name)?;
    words.next().map(str::to_owned)
}

/// The words with an option set to a value.
fn with_option(words: &str, name: &str, value: &str) -> String {
    let mut out = Vec::new();
    let mut given = words.split_whitespace();
    while let Some(word) = given.next() {
        if word == name {
            given.next();
        } else {
            out.push(word);
        }
    }
    out.extend([name, value]);
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knob_turns_its_words_and_no_others() {
        let knobs = Knobs::default().with("server", "threads --sleep 20ms --uneven").with("n", "4");
        let none = Scenario::default();
        let sleep = BenchKnob::option("sleep", "server", &["--sleep"], &["1ms"], "0ms");
        assert_eq!(sleep.value(&knobs, &none), "20ms");
        let turned = sleep.set(&knobs, "1ms");
        assert_eq!(turned.text("server", ""), "threads --uneven --sleep 1ms");
        assert_eq!(sleep.value(&turned, &none), "1ms");

        let work = BenchKnob::option("work", "server", &["--work"], &["1ms"], "0ms");
        assert_eq!(work.value(&knobs, &none), "0ms", "the default");

        let uneven = BenchKnob::flag("uneven", "server", "--uneven");
        assert_eq!(uneven.value(&knobs, &none), "on");
        let off = uneven.set(&knobs, "off");
        assert_eq!(off.text("server", ""), "threads --sleep 20ms");
        assert_eq!(uneven.set(&off, "on").text("server", ""), "threads --sleep 20ms --uneven");

        let turn = Turn::OneOf("server", &["", "--uneven", "--even"]);
        let values = &["by chance", "uneven", "even"];
        let spread = BenchKnob { label: "spread", turn, values, default: "by chance" };
        assert_eq!(spread.value(&knobs, &none), "uneven");
        assert_eq!(spread.value(&off, &none), "by chance");
        let even = spread.set(&knobs, "even");
        assert_eq!(even.text("server", ""), "threads --sleep 20ms --even");
        assert_eq!(spread.set(&even, "by chance"), off);

        let verb = BenchKnob::verb("server", "server", &["one"], &["--sleep", "--work"]);
        assert_eq!(verb.value(&knobs, &none), "threads");
        assert_eq!(verb.set(&knobs, "one").text("server", ""), "one --sleep 20ms");

        let count = BenchKnob::knob("n", "n", &["1", "4"], "2");
        assert_eq!(count.set(&knobs, "1").number("n", 0), 1);
        assert_eq!(count.value(&Knobs::default(), &none), "2");
    }

    #[test]
    fn the_link_is_turned_by_itself() {
        let [round_trip, loss] = OF_ALL;
        let none = Knobs::default();
        let near = Scenario::server("serve").client("client");
        let lossy = loss.link(near.clone(), "5%");
        assert_eq!((loss.value(&none, &lossy), lossy.link_ms), ("5%".to_owned(), Some(1)));
        let far = round_trip.link(lossy, "20ms");
        assert_eq!((round_trip.value(&none, &far), far.loss), ("20ms".to_owned(), 5));
        assert_eq!(round_trip.link(far, "0ms"), near);
    }
}
