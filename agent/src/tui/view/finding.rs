//! A finding in plain words: what is wrong, whose doing it is, what to change.

use ratatui::text::Line;

use super::parts::{Row, columns, raw, span, spread, widest};
use crate::model::snapshot::{Finding, Holder, Snapshot, chain};
use crate::tui::text::{duration, escape, grouped, left, percent, right, wrap};
use crate::tui::theme::{Theme, shape};

const FIX: &str = "Try: ";
const SO: &str = "So: ";

/// Returns headline with the owner's mark, what follows from it, explanation, fix; nothing is cut.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    finding: &Finding,
    width: usize,
) -> Vec<Line<'static>> {
    let edge = || span("▌", theme.owner(finding.holder()));
    let mut out = headline(theme, finding, width);
    out.extend(consequences(theme, snapshot, finding, width));
    for line in wrap(&escape(&finding.text), width.saturating_sub(4)) {
        out.push(Line::from(vec![edge(), raw("  "), raw(line)]));
    }
    out.extend(fix(theme, finding, width));
    out
}

/// Returns what follows from a finding, behind "So:"; nothing if nothing does.
fn consequences(
    theme: Theme,
    snapshot: &Snapshot,
    finding: &Finding,
    width: usize,
) -> Vec<Line<'static>> {
    let Some(so) = chain::consequences(&snapshot.findings, finding) else { return Vec::new() };
    led(theme, finding, SO, &escape(&so), width)
}

/// Returns headline and fix alone.
pub(super) fn short(theme: Theme, finding: &Finding, width: usize) -> Vec<Line<'static>> {
    let mut out = headline(theme, finding, width);
    out.extend(fix(theme, finding, width));
    out
}

fn headline(theme: Theme, finding: &Finding, width: usize) -> Vec<Line<'static>> {
    let edge = || span("▌", theme.owner(finding.holder()));
    let badge = badge(theme, finding.holder());
    let mut out = Vec::new();
    let severity = theme.severity(finding.severity);
    let headline = wrap(&escape(&finding.headline), width.saturating_sub(columns(&badge) + 5));
    for (at, line) in headline.into_iter().enumerate() {
        if at == 0 {
            let mark = span(format!("{} ", shape(finding.severity)), severity);
            out.push(spread(vec![edge(), mark, span(line, severity)], badge.clone(), width));
        } else {
            out.push(Line::from(vec![edge(), raw("  "), span(line, severity)]));
        }
    }
    out
}

fn fix(theme: Theme, finding: &Finding, width: usize) -> Vec<Line<'static>> {
    led(theme, finding, FIX, &escape(&finding.fix), width)
}

/// Returns text behind a word that leads it.
fn led(
    theme: Theme,
    finding: &Finding,
    lead: &'static str,
    text: &str,
    width: usize,
) -> Vec<Line<'static>> {
    let edge = || span("▌", theme.owner(finding.holder()));
    let mut out = Vec::new();
    let lines = wrap(text, width.saturating_sub(4 + lead.len()));
    for (at, line) in lines.into_iter().enumerate() {
        let lead = if at == 0 { span(lead, theme.strong()) } else { raw(" ".repeat(lead.len())) };
        out.push(Line::from(vec![edge(), raw("  "), lead, raw(line)]));
    }
    out
}

/// Returns the numbers that prove it, as many on a line as fit.
pub(super) fn evidence(theme: Theme, finding: &Finding, width: usize) -> Vec<Line<'static>> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for &(name, value) in &finding.evidence {
        let (name, value) = figure(name, value);
        names.push(name);
        values.push(value);
    }
    let (name_width, value_width) = (widest(&names, 8, 32), widest(&values, 6, 16));
    let a_line = (width.saturating_sub(3) / (name_width + value_width + 6)).max(1);
    let mut out = Vec::new();
    for (names, values) in names.chunks(a_line).zip(values.chunks(a_line)) {
        let mut row = vec![span("▌", theme.owner(finding.holder())), raw("  ")];
        for (name, value) in names.iter().zip(values) {
            row.push(span(left(name, name_width), theme.dim()));
            row.push(span(format!("{}    ", right(value, value_width + 1)), theme.strong()));
        }
        out.push(Line::from(row));
    }
    out
}

/// Returns a badge that says whose doing it is.
pub(super) fn badge(theme: Theme, holder: Holder) -> Row {
    let text = match holder {
        Holder::Unknown => " ?  owner unknown ".to_owned(),
        _ => format!(" {}  the {}'s doing ", holder.letter(), holder.name()),
    };
    vec![span(text, theme.badge(holder)), raw(" ")]
}

/// Returns the words and the figure of a piece of evidence. Its name ends in its unit.
fn figure(name: &str, value: f64) -> (String, String) {
    let words = |name: &str| name.replace(['_', '-'], " ");
    if let Some(name) = name.strip_suffix("_us") {
        return (words(name), duration(value.max(0.0) as u64));
    }
    if let Some(name) = name.strip_suffix("_share") {
        return (words(name), percent(value));
    }
    let shown = if value.fract() == 0.0 && value >= 0.0 {
        grouped(value as u64)
    } else {
        format!("{value:.1}")
    };
    (words(name), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_has_its_unit() {
        assert_eq!(
            figure("wait_p99_us", 1_204_000.0),
            ("wait p99".to_owned(), "1.20 s".to_owned())
        );
        assert_eq!(figure("in_accept_share", 0.02), ("in accept".to_owned(), "2.0 %".to_owned()));
        assert_eq!(figure("overflows", 1320.0), ("overflows".to_owned(), "1,320".to_owned()));
        assert_eq!(figure("overflows_per_second", 17.6).1, "17.6");
    }
}
