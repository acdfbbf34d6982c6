//! Answers to offer beside the one that was measured.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::fact::{Unit, Value, show};

/// Factors between an answer and the next: far enough that only one of them is near.
const STEP: f64 = 4.0;
/// Answers that are offered.
const OFFERED: usize = 4;

/// Returns the answers to offer, in ascending order, and the place of the measured one. `least` and
/// `most` are those that make sense.
pub(super) fn around(
    measured: f64,
    unit: Unit,
    least: f64,
    most: Option<f64>,
) -> (Vec<String>, usize) {
    let mut hasher = DefaultHasher::new();
    measured.to_bits().hash(&mut hasher);
    // Which place the right one has must say nothing, and be the same each time.
    let below = (hasher.finish() % OFFERED as u64) as usize;
    let mut figures = vec![measured];
    let mut smaller = measured;
    while figures.len() <= below && smaller > least {
        smaller = rounded(smaller / STEP, unit).max(least);
        figures.insert(0, smaller);
    }
    let mut larger = measured;
    while figures.len() < OFFERED {
        larger = rounded((larger * STEP).max(1.0), unit);
        if most.is_some_and(|most| larger > most) {
            break;
        }
        figures.push(larger);
    }
    let mut offered: Vec<String> = Vec::new();
    for figure in figures.iter().map(|figure| show(&Value::Number(*figure), unit)) {
        if offered.last() != Some(&figure) {
            offered.push(figure);
        }
    }
    let shown = show(&Value::Number(measured), unit);
    let right = offered.iter().position(|offered| *offered == shown).unwrap_or(0);
    (offered, right)
}

/// Two digits are enough of what was not measured. Things come whole.
fn rounded(figure: f64, unit: Unit) -> f64 {
    if unit != Unit::Time && figure < 10.0 {
        return figure.round();
    }
    let digits = figure.max(1.0).log10().floor() as i32 - 1;
    let step = 10f64.powi(digits.max(0));
    (figure / step).round() * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_answer_is_among_them_once() {
        for (measured, unit) in [
            (0.0, Unit::Count),
            (1.0, Unit::Count),
            (1.3, Unit::Count),
            (4_096.0, Unit::Count),
            (43_512.0, Unit::Time),
            (0.0, Unit::Time),
            (3.0, Unit::Time),
            (204.0, Unit::Bytes),
        ] {
            let (offered, right) = around(measured, unit, 0.0, None);
            assert_eq!(offered[right], show(&Value::Number(measured), unit), "{offered:?}");
            assert!((2..=OFFERED).contains(&offered.len()), "{measured}: {offered:?}");
            let mut sorted = offered.clone();
            sorted.dedup();
            assert_eq!(sorted, offered);
        }
    }

    #[test]
    fn what_there_cannot_be_is_not_offered() {
        let (offered, _) = around(1.3, Unit::Count, 1.0, None);
        assert!(offered.iter().all(|offered| offered != "0"), "{offered:?}");
        let (offered, _) = around(3.0, Unit::Count, 0.0, Some(4.0));
        assert!(offered.iter().all(|offered| offered.parse::<u64>().is_ok_and(|n| n <= 4)));
    }

    #[test]
    fn the_right_place_differs() {
        let places: std::collections::BTreeSet<_> =
            (100..140).map(|n| around(f64::from(n), Unit::Count, 0.0, None).1).collect();
        assert!(places.len() >= 3, "{places:?}");
    }
}
