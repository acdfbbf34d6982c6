//! Findings in lines: in full when they are first made and in the summary, and a line each in between.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Colour, WIDTH};
use crate::model::event::SockId;
use crate::model::output::{FindingOutput, FindingState, Summary};
use crate::model::snapshot::{Finding, FindingRef, Holder, Severity};
use crate::text::{Untrusted, count, count_of, duration_us, wrap};

/// A finding that lasts has a line after this time, ns; the next one after twice as long, and so on.
const LASTS_NS: u64 = 10_000_000_000;
/// Columns of the line on a finding that follows from another one.
const FOLLOWER_WIDTH: usize = 110;
/// A finding lasts while a sign of it was seen within so long, ns.
const SIGN_NS: u64 = 3_000_000_000;
/// Findings that last, of which a refresh has a line; of the rest the number is said.
const LASTING: usize = 5;

/// What was written of a finding that stands.
#[derive(Clone, Debug)]
struct Written {
    /// Advice that was written last.
    fix: Untrusted,
    /// Time of the next line if it lasts, ns of `CLOCK_MONOTONIC`.
    next_ns: u64,
}

/// Writes findings. Each is written in full once; it has a line when it changes, lasts, ends or comes
/// back.
#[derive(Clone, Debug, Default)]
pub(super) struct FindingLines {
    /// Those that stand: as many as the model keeps.
    written: BTreeMap<(&'static str, SockId), Written>,
}

impl FindingLines {
    /// Writes what became of a finding.
    pub(super) fn write(
        &mut self,
        out: &mut dyn Write,
        colour: Colour,
        output: &FindingOutput,
    ) -> io::Result<()> {
        let FindingOutput { ts_ns, state, finding } = output;
        let key = (finding.kind, finding.sock);
        if *state == FindingState::Ended {
            self.written.remove(&key);
            return writeln!(out, "  {}", ended(finding));
        }
        let before = self.written.get(&key);
        let has_new_fix = before.is_some_and(|before| before.fix != finding.fix);
        let next_ns = ts_ns.saturating_add(LASTS_NS);
        self.written.insert(key, Written { fix: finding.fix.clone(), next_ns });
        if let Some(cause) = &finding.explained_by {
            let state = match state {
                FindingState::Changed => ", now",
                _ if finding.stood.times > 1 => ", again",
                _ => "",
            };
            return write_follower(out, colour, state, finding, cause);
        }
        match state {
            FindingState::Changed => {
                write_head(out, colour, ", now", finding)?;
                if has_new_fix { write_fix(out, finding) } else { Ok(()) }
            }
            // It was written in full the first time.
            _ if finding.stood.times > 1 => write_head(out, colour, ", again", finding),
            _ => {
                write_head(out, colour, "", finding)?;
                write_text(out, finding)?;
                write_fix(out, finding)
            }
        }
    }

    /// Writes a line for each finding that has stood for some time since the last one. Tells whether
    /// there was any.
    pub(super) fn write_lasting(
        &mut self,
        out: &mut dyn Write,
        colour: Colour,
        now_ns: u64,
        standing: &[Finding],
    ) -> io::Result<()> {
        let mut due = Vec::new();
        for finding in standing {
            let Some(written) = self.written.get_mut(&(finding.kind, finding.sock)) else {
                continue;
            };
            let until_ns = finding.stood.until_ns();
            // One whose last sign is some time ago will have ended before long.
            let has_sign = now_ns.saturating_sub(until_ns) < SIGN_NS;
            if has_sign && written.next_ns <= now_ns {
                let stood_ns = until_ns.saturating_sub(finding.since_ns);
                written.next_ns = now_ns.saturating_add(stood_ns.max(LASTS_NS));
                due.push((finding, stood_ns));
            }
        }
        for (finding, stood_ns) in due.iter().take(LASTING) {
            let lasts = format!(", lasts {}", duration_us(stood_ns / 1_000));
            write_head(out, colour, &lasts, finding)?;
        }
        match due.len().saturating_sub(LASTING) as u64 {
            0 => Ok(()),
            more => writeln!(out, "  … and {} more", count(more)),
        }
    }
}

/// Writes how many findings the run had.
pub(super) fn write_count(out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
    let (standing, past) = (summary.standing_findings.len(), summary.past_findings.len());
    let all = standing as u64 + past as u64 + summary.findings_left_out;
    let state = match (standing, past) {
        (0, 0) => String::new(),
        (0, _) => ", none stands now".to_owned(),
        (_, 0) => String::new(),
        (1, _) => ", 1 of them stands now".to_owned(),
        (n, _) => format!(", {} of them stand now", count(n as u64)),
    };
    writeln!(out, "  findings     {}{state}", count(all))
}

/// Writes every finding of the run in full; `time` words a time, ns of `CLOCK_MONOTONIC`.
pub(super) fn write_all(
    out: &mut dyn Write,
    colour: Colour,
    summary: &Summary,
    time: impl Fn(u64) -> String,
) -> io::Result<()> {
    for (findings, stand) in [(&summary.standing_findings, true), (&summary.past_findings, false)] {
        for finding in findings {
            writeln!(out)?;
            write_head(out, colour, if stand { "" } else { ", ended" }, finding)?;
            writeln!(out, "    {}", when(finding, stand, &time))?;
            write_text(out, finding)?;
            write_fix(out, finding)?;
        }
    }
    match summary.findings_left_out {
        0 => Ok(()),
        more => writeln!(out, "\n  … and {}, not kept", count_of(more, "milder finding")),
    }
}

/// "From 3.200 to 15.400: 12 s in all, 2 times."
fn when(finding: &Finding, stands: bool, time: impl Fn(u64) -> String) -> String {
    let stood = &finding.stood;
    let (from, until) = (time(stood.from_ns()), time(stood.until_ns()));
    let mut when = match (stands, from == until) {
        (true, _) => format!("From {from} on"),
        (false, true) => format!("At {from}"),
        (false, false) => format!("From {from} to {until}"),
    };
    if stood.total_ns > 0 {
        let so_far = if stands { "so far" } else { "in all" };
        when += &format!(": {} {so_far}", duration_us(stood.total_ns / 1_000));
    }
    if stood.times > 1 {
        when += &format!(", {}", count_of(stood.times, "time"));
    }
    when + "."
}

fn ended(finding: &Finding) -> String {
    let stood = &finding.stood;
    let subject = finding.subject.for_terminal();
    let mut text = format!("ended: {subject}: {} ({})", finding.was(), finding.kind);
    let lasted_ns = stood.until_ns().saturating_sub(finding.since_ns);
    if lasted_ns > 0 {
        text += &format!(", after {}", duration_us(lasted_ns / 1_000));
    }
    if stood.times > 1 {
        let times = count_of(stood.times, "time");
        match stood.total_ns / 1_000 {
            // Each of them was over at once.
            0 => text += &format!("; {times}"),
            total_us => text += &format!("; {} in {times}", duration_us(total_us)),
        }
    }
    text + "."
}

fn write_head(
    out: &mut dyn Write,
    colour: Colour,
    state: &str,
    finding: &Finding,
) -> io::Result<()> {
    let head = format!(
        "{}{state}, {}. {}: {}",
        severity_name(finding.severity),
        owner_words(finding),
        finding.subject.for_terminal(),
        finding.headline.for_terminal()
    );
    writeln!(out, "  {}", colour.loss(finding.severity == Severity::Critical, &head))
}

/// Writes a finding that follows from another one: its sentence and its cause, no more.
fn write_follower(
    out: &mut dyn Write,
    colour: Colour,
    state: &str,
    finding: &Finding,
    cause: &FindingRef,
) -> io::Result<()> {
    let place = if cause.sock == finding.sock {
        String::new()
    } else {
        format!(" at {}", cause.subject.for_terminal())
    };
    let line = format!(
        "follows from {}{place}: {}{state}. {}: {}",
        cause.kind,
        severity_name(finding.severity),
        finding.subject.for_terminal(),
        finding.headline.for_terminal()
    );
    let is_loss = finding.severity == Severity::Critical;
    for (at, line) in wrap(&line, FOLLOWER_WIDTH).into_iter().enumerate() {
        let indent = if at == 0 { "  " } else { "      " };
        writeln!(out, "{indent}{}", colour.loss(is_loss, &line))?;
    }
    Ok(())
}

fn write_text(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    for line in wrap(&finding.text.for_terminal().to_string(), WIDTH - 4) {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn write_fix(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    for line in wrap(&format!("Try: {}", finding.fix.for_terminal()), WIDTH - 4) {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    }
}

/// "the kernel's doing (K, inferred)", as the owner of a finding.
fn owner_words(finding: &Finding) -> String {
    let (holder, letter) = (finding.holder(), finding.holder().letter());
    let inferred = if finding.inferred { ", inferred" } else { "" };
    match holder {
        Holder::Unknown => format!("owner unknown ({letter}{inferred})"),
        known => format!("the {}'s doing ({letter}{inferred})", known.name()),
    }
}
