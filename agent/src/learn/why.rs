//! A word on a wrong prediction: the lesson's own, else one made from what was measured.

use super::{
    claim,
    fact::{LessonFacts, Unit, Value, show},
    lesson::Round,
    text::{Block, Piece},
};
use crate::text::count;

/// From this ratio on two figures are compared by it, below by their difference.
const RATIO: f64 = 1.9;

impl Round {
    /// Returns a word on the prediction at this place, if it was wrong: that of the lesson, else
    /// how it compares with what was measured. `None` if it was right, or nothing was measured.
    pub fn on_wrong(&self, guess: usize, facts: &LessonFacts) -> Option<Block> {
        let offered = self.plan.offered.get(guess)?;
        if self.right(facts)? == guess {
            return None;
        }
        if let Some(word) = self.why.get(offered) {
            return Some(word.clone());
        }
        let unit = facts.spec(&self.plan.answer)?.unit;
        let text = compared(offered, unit, facts.get(&self.plan.answer)?)?;
        Some(Block::Paragraph(vec![Piece::Plain(text)]))
    }
}

/// Compares an answer with what was measured: "1 s is about 23 times what was measured."
fn compared(offered: &str, unit: Unit, measured: &Value) -> Option<String> {
    let (Value::Number(guess), Value::Number(figure)) = (claim::parse(offered, unit)?, measured)
    else {
        return Some(format!("What was measured is {}.", show(measured, unit)));
    };
    let (guess, figure) = (guess, *figure);
    let shown = show(measured, unit);
    let apart = show(&Value::Number((guess - figure).abs()), unit);
    Some(if guess <= 0.0 || figure <= 0.0 {
        format!("What was measured is {shown}, and not {offered}.")
    } else if guess / figure >= RATIO {
        format!("{offered} is about {} what was measured.", times(guess / figure))
    } else if figure / guess >= RATIO {
        format!("What was measured is about {} {offered}.", times(figure / guess))
    } else if guess > figure {
        format!("{offered} is {apart} more than was measured.")
    } else {
        let fewer = if unit == Unit::Count { "fewer" } else { "less" };
        format!("{offered} is {apart} {fewer} than was measured.")
    })
}

/// A ratio in words: "twice", "23 times".
fn times(ratio: f64) -> String {
    let tenths = (ratio * 10.0).round() / 10.0;
    match tenths {
        2.0 => "twice".to_owned(),
        small if small < 10.0 && small.fract() != 0.0 => format!("{small:.1} times"),
        _ => format!("{} times", count(ratio.round() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_compared_with_what_was_measured() {
        let told = |offered: &str, unit, measured: f64| {
            compared(offered, unit, &Value::Number(measured)).expect("they compare")
        };
        assert_eq!(told("1 s", Unit::Time, 43_512.0), "1 s is about 23 times what was measured.");
        assert_eq!(
            told("0.1 ms", Unit::Time, 43_512.0),
            "What was measured is about 435 times 0.1 ms."
        );
        assert_eq!(told("24", Unit::Count, 12.0), "24 is about twice what was measured.");
        assert_eq!(told("8", Unit::Count, 3.2), "8 is about 2.5 times what was measured.");
        assert_eq!(told("2", Unit::Count, 3.0), "2 is 1 fewer than was measured.");
        assert_eq!(told("4", Unit::Count, 3.0), "4 is 1 more than was measured.");
        assert_eq!(told("40 ms", Unit::Time, 44_000.0), "40 ms is 4.0 ms less than was measured.");
        assert_eq!(told("0", Unit::Count, 3.0), "What was measured is 3, and not 0.");
        let word = Value::Word("kernel".to_owned());
        assert_eq!(
            compared("app", Unit::Word, &word).as_deref(),
            Some("What was measured is kernel.")
        );
    }
}
