//! Words that the text and the page share.

use super::super::{Comparison, Figure, FindingChange, Group, Unit, Verdict, findings::Change};
use crate::text::{duration_fine, percent_short, rate_of, rate_short};

/// Returns the comparison in a sentence.
pub(super) fn outcome(comparison: &Comparison) -> String {
    let Comparison { better, worse, .. } = comparison;
    match (better, worse) {
        (0, 0) => "No difference that these recordings could show.".to_owned(),
        (better, 0) => format!("{better} better, nothing worse."),
        (0, worse) => format!("{worse} worse, nothing better."),
        (better, worse) => format!("{better} better, {worse} worse."),
    }
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Changed => "changed",
        Verdict::Same => "no difference",
        Verdict::Unknown => "not judged",
    }
}

/// Returns the judgement on a finding. That its severity is the same does not say that nothing is
/// better: its figures are judged by themselves.
pub(super) fn of_finding(finding: &FindingChange) -> &'static str {
    match (finding.change, finding.verdict) {
        (Change::Kept, Verdict::Same) => "still there",
        (_, judged) => verdict(judged),
    }
}

pub(super) fn change(change: Change) -> &'static str {
    match change {
        Change::Gone => "gone",
        Change::New => "new",
        Change::Kept => "in both",
    }
}

pub(super) fn group(group: Group) -> &'static str {
    match group {
        Group::Load => "load, a second",
        Group::Failures => "failures, a second",
        Group::AcceptWait => "wait in the accept queue",
        Group::Exchanges => "duration of exchanges",
        Group::Owners => "time of an exchange by owner",
        Group::Kinds => "time of an exchange by kind",
        Group::Cost => "cost",
    }
}

/// Returns a value with its unit, for a column.
pub(super) fn value(unit: Unit, value: Option<f64>) -> String {
    let Some(value) = value else { return "unknown".to_owned() };
    match unit {
        Unit::Us => duration_fine(value.round().max(0.0) as u64),
        Unit::PerSecond if value > 0.0 && value < 0.05 => rate_of_few(value),
        Unit::PerSecond => rate_short(value),
        Unit::Processors => format!("{} of a core", percent_short(value)),
    }
}

/// Returns a rate that has no digit in a column: "2 a minute", "3 an hour".
fn rate_of_few(per_second: f64) -> String {
    let hourly = per_second * 3_600.0;
    if hourly >= 60.0 {
        format!("{} a minute", rate_short(hourly / 60.0))
    } else {
        format!("{} an hour", rate_short(hourly))
    }
}

/// Returns a difference: "-43 %", "12 times", "1/20 of it", "from nothing".
pub(super) fn difference(figure: &Figure) -> String {
    let (Some(before), Some(after)) = (figure.before, figure.after) else { return String::new() };
    if before == after {
        return String::new();
    }
    if before == 0.0 {
        return "from nothing".to_owned();
    }
    if after > 0.0 && before >= 9.5 * after {
        return format!("1/{:.0} of it", before / after);
    }
    let share = (after - before) / before;
    if share >= 9.5 {
        format!("{:.0} times", share + 1.0)
    } else {
        format!("{:+.0} %", share * 100.0)
    }
}

/// Returns how the judgement came about.
pub(super) fn reason(figure: &Figure) -> String {
    match (figure.reason, figure.resolution) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(resolution)) => {
            let least = match figure.unit {
                Unit::Us => duration_fine(resolution.round().max(0.0) as u64),
                Unit::PerSecond => rate_of(resolution, "event"),
                Unit::Processors => format!("{} of a core", percent_short(resolution)),
            };
            format!("from {least} on it would show")
        }
        (None, None) => String::new(),
    }
}

/// True of figures that are worth a line: those that differ, and those that are not nothing.
pub(super) fn is_told(figure: &Figure) -> bool {
    let is_nothing = |value: Option<f64>| value.is_none_or(|value| value == 0.0);
    let differs = matches!(figure.verdict, Verdict::Better | Verdict::Worse | Verdict::Changed);
    differs || !(is_nothing(figure.before) && is_nothing(figure.after))
}
