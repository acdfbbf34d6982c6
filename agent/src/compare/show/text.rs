//! A comparison as text for people.

use std::fmt::Write;

use super::{
    super::{About, Comparison, FindingChange, Group, ListenerRow, Verdict},
    words,
};
use crate::text::duration_us;

/// Width of a column of figures.
const COLUMN: usize = 14;
/// Width of the names of figures.
const NAMES: usize = 28;

/// Returns the comparison as text.
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    // A string takes everything.
    let _ = write(&mut text, comparison);
    text
}

fn write(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    writeln!(out, "{}", words::outcome(comparison))?;
    writeln!(out)?;
    writeln!(out, "A  {}", about(&comparison.before))?;
    writeln!(out, "B  {}", about(&comparison.after))?;
    for note in &comparison.notes {
        writeln!(out, "note: {note}")?;
    }
    findings(out, &comparison.findings)?;
    figures(out, comparison)?;
    listeners(out, &comparison.listeners)
}

fn about(about: &About) -> String {
    let mut targets = Vec::new();
    for target in &about.targets {
        targets.push(target.for_terminal().to_string());
    }
    let detail = if about.exchanges { "exchanges" } else { "queues" };
    format!(
        "{}, {}, of {} ({} tier, {detail})",
        about.begun,
        duration_us(about.duration_us),
        targets.join(", "),
        about.tier.for_terminal()
    )
}

fn findings(out: &mut String, findings: &[FindingChange]) -> std::fmt::Result {
    if findings.is_empty() {
        return writeln!(out, "\nFindings: none in either.");
    }
    writeln!(out, "\nFindings")?;
    for finding in findings {
        let verdict = words::of_finding(finding);
        let change = words::change(finding.change);
        writeln!(out, "  {verdict:<14} {} ({change})", finding.kind)?;
        for (name, facts) in [("A", &finding.before), ("B", &finding.after)] {
            if let Some(facts) = facts {
                let (subject, headline) =
                    (facts.subject.for_terminal(), facts.headline.for_terminal());
                writeln!(out, "                 {name}: {subject}: {headline}")?;
            }
        }
        if let Some(reason) = finding.reason {
            writeln!(out, "                 {reason}")?;
        }
    }
    Ok(())
}

fn figures(out: &mut String, comparison: &Comparison) -> std::fmt::Result {
    for group in Group::ALL {
        let of_group = comparison.figures.iter().filter(|figure| figure.group == group);
        let told: Vec<_> = of_group.filter(|figure| words::is_told(figure)).collect();
        if told.is_empty() {
            continue;
        }
        writeln!(out, "\n{:<NAMES$}  {:>COLUMN$} {:>COLUMN$}", words::group(group), "A", "B")?;
        for figure in told {
            let [before, after] =
                [figure.before, figure.after].map(|value| words::value(figure.unit, value));
            let verdict = words::verdict(figure.verdict);
            let mut beside = words::difference(figure);
            if matches!(figure.verdict, Verdict::Same | Verdict::Unknown) {
                beside = words::reason(figure);
            }
            let line = format!(
                "  {:<name$}  {before:>COLUMN$} {after:>COLUMN$}  {verdict:<14} {beside}",
                figure.name,
                name = NAMES - 2
            );
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

fn listeners(out: &mut String, rows: &[ListenerRow]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nListeners")?;
    for row in rows {
        writeln!(out, "  {}", row.local)?;
        for (name, state) in [("A", row.before), ("B", row.after)] {
            match state {
                Some(state) => writeln!(
                    out,
                    "    {name}: limit {}, deepest {}, {} accepted, {} refused",
                    state.limit, state.peak, state.accepted, state.overflows
                )?,
                None => writeln!(out, "    {name}: not there")?,
            }
        }
    }
    Ok(())
}
