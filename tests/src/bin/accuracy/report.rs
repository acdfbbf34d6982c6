//! Adds the cells up: the confusion matrix, the causes that findings name, and every wrong cell
//! with its figures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cell::{Found, Judgement, Played};
use crate::faults::Fault;
use crate::subjects::Subject;

/// A cell that was played.
pub(crate) struct Cell {
    pub(crate) server: &'static str,
    pub(crate) fault: &'static Fault,
    pub(crate) played: Judgement,
}

/// Worth of a cell's findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// One names the cause.
    Named,
    /// None names the cause.
    Silent,
    /// There is nothing to find, and nothing is found.
    Quiet,
    /// One is not true.
    False,
}

impl Cell {
    fn right(&self) -> usize {
        self.played.verdict.exchanges.iter().filter(|one| one.right).count()
    }

    /// Returns the share of exchanges with a right verdict; `None` for a fault that only findings
    /// show.
    pub(crate) fn share(&self) -> Option<f64> {
        let all = self.played.verdict.exchanges.len();
        (all > 0).then(|| self.right() as f64 / all as f64)
    }

    /// Returns the findings of warning level and above that are not true.
    pub(crate) fn unfounded(&self) -> Vec<&Found> {
        // On a busy machine threads really wait for a processor.
        let starved = self.played.pressure > Duration::from_millis(300);
        let waits = |found: &Found| {
            let of_waits = ["cpu-starved", "slow-reader", "accept-starved"].contains(&&*found.kind);
            found.owner == "kernel" && of_waits
        };
        let is_true = |found: &Found| {
            let kind = &&*found.kind;
            self.fault.named.contains(kind)
                || self.fault.beside.contains(kind)
                || (starved && waits(found))
        };
        self.played.findings.iter().filter(|found| found.is_grave() && !is_true(found)).collect()
    }

    pub(crate) fn naming(&self) -> Naming {
        let named =
            self.played.findings.iter().any(|found| self.fault.named.contains(&&*found.kind));
        match (self.unfounded().is_empty(), self.fault.named.is_empty(), named) {
            (false, ..) => Naming::False,
            (true, true, _) => Naming::Quiet,
            (true, false, true) => Naming::Named,
            (true, false, false) => Naming::Silent,
        }
    }

    fn is_wrong(&self) -> bool {
        let verdict = &self.played.verdict;
        self.right() < verdict.exchanges.len()
            || matches!(self.naming(), Naming::Silent | Naming::False)
            || !verdict.invented.is_empty()
            || !verdict.bytes.is_empty()
            || verdict.untiled > 0
            || self.played.contract.is_some()
    }

    /// Describes the cell in a line, for progress.
    pub(crate) fn line(&self) -> String {
        let verdict = &self.played.verdict;
        let mut line = format!("{:>3} of {:>3} right", self.right(), verdict.exchanges.len());
        line += match self.naming() {
            Naming::Named => ", cause named",
            Naming::Silent => ", CAUSE NOT NAMED",
            Naming::Quiet => "",
            Naming::False => ", FALSE FINDING",
        };
        for (count, what) in [
            (verdict.invented.len(), "invented"),
            (verdict.bytes.len(), "with other bytes"),
            (verdict.untiled, "that do not add up"),
            (usize::from(self.played.contract.is_some()), "breach of the contract"),
        ] {
            if count > 0 {
                line += &format!(", {count} {what}");
            }
        }
        line
    }

    /// Returns the errors line by line. Exchanges that are wrong in the same way share a line.
    fn faults(&self) -> Vec<String> {
        let verdict = &self.played.verdict;
        let mut lines = Vec::new();
        let mut ways: BTreeMap<String, (usize, &str)> = BTreeMap::new();
        for wrong in verdict.exchanges.iter().filter(|one| !one.right) {
            let told = wrong
                .told
                .as_ref()
                .map_or("nothing".to_owned(), |(owner, kind)| format!("{owner}/{kind}"));
            let way = format!("{}/{} told as {told}", wrong.injected.0, wrong.injected.1);
            ways.entry(way).or_insert((0, &wrong.figures)).0 += 1;
        }
        lines.extend(
            ways.into_iter()
                .map(|(way, (count, figures))| format!("{count} × {way}, such as {figures}")),
        );
        if self.naming() == Naming::Silent {
            lines.push(format!(
                "no finding of {}; found: {:?}",
                self.fault.named.join(", "),
                kinds(&self.played.findings)
            ));
        }
        for found in self.unfounded() {
            lines.push(format!(
                "unfounded: {} {} ({}): {}",
                found.severity, found.kind, found.owner, found.headline
            ));
        }
        lines.extend(verdict.invented.iter().take(3).map(|one| format!("invented: {one}")));
        lines.extend(verdict.bytes.iter().take(3).map(|one| format!("bytes: {one}")));
        if verdict.untiled > 0 {
            lines.push(format!("{} exchanges whose slices do not add up", verdict.untiled));
        }
        lines.extend(
            self.played.contract.iter().map(|breach| format!("contract: {}", head(breach, 300))),
        );
        lines
    }
}

fn kinds(findings: &[Found]) -> Vec<&str> {
    findings.iter().map(|found| &*found.kind).collect()
}

fn head(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    cells: Vec<Cell>,
    skipped: Vec<(&'static str, &'static str, String)>,
    failed: Vec<(&'static str, &'static str, String)>,
}

impl Report {
    /// Returns the outcome of a cell in a line.
    pub(crate) fn line(fault: &'static Fault, subject: &Subject, played: &Played) -> String {
        match played {
            Played::Judged(played) => {
                Cell { server: subject.name, fault, played: played.clone() }.line()
            }
            Played::Skipped(reason) => format!("skipped: {reason}"),
            Played::Failed(reason) => format!("FAILED: {}", head(reason, 400)),
        }
    }

    /// Adds a cell.
    pub(crate) fn add(&mut self, subject: &Subject, fault: &'static Fault, played: Played) {
        match played {
            Played::Judged(played) => self.cells.push(Cell { server: subject.name, fault, played }),
            Played::Skipped(reason) => self.skipped.push((subject.name, fault.name, reason)),
            Played::Failed(reason) => self.failed.push((subject.name, fault.name, reason)),
        }
    }

    /// Returns the share of right exchanges, with the same weight for each cell.
    fn macro_share(&self) -> f64 {
        mean(self.cells.iter().filter_map(Cell::share))
    }

    fn exchanges(&self) -> (usize, usize) {
        let all = self.cells.iter().map(|cell| cell.played.verdict.exchanges.len()).sum();
        (self.cells.iter().map(Cell::right).sum(), all)
    }

    fn naming(&self, wanted: Naming) -> usize {
        self.cells.iter().filter(|cell| cell.naming() == wanted).count()
    }

    /// Counts the exchanges by injected fault and by verdict.
    fn confusion(&self) -> BTreeMap<String, BTreeMap<String, usize>> {
        let mut rows: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for one in self.cells.iter().flat_map(|cell| &cell.played.verdict.exchanges) {
            let told = one
                .told
                .as_ref()
                .map_or_else(|| "untold".to_owned(), |(owner, kind)| word(owner, kind));
            *rows
                .entry(word(one.injected.0, one.injected.1))
                .or_default()
                .entry(told)
                .or_default() += 1;
        }
        rows
    }

    /// Prints it all as Markdown.
    pub(crate) fn print(&self) {
        self.print_sums();
        self.print_confusion();
        self.print_cells();
        println!("\n## Wrong cells\n");
        for cell in self.cells.iter().filter(|cell| cell.is_wrong()) {
            println!("- **{}, {}**: {}", cell.server, cell.fault.name, cell.line());
            cell.faults().iter().for_each(|line| println!("  - {line}"));
        }
        for (server, fault, reason) in &self.failed {
            println!("- **{server}, {fault}**: not measured: {reason}");
        }
        let missing: BTreeSet<_> = self
            .skipped
            .iter()
            .map(|(server, fault, reason)| format!("{server}, {fault}: {reason}"))
            .collect();
        if !missing.is_empty() {
            println!("\n## Left out\n");
            missing.iter().for_each(|line| println!("- {line}"));
        }
    }

    fn print_sums(&self) {
        let (right, all) = self.exchanges();
        let [named, silent, quiet, false_] =
            [Naming::Named, Naming::Silent, Naming::Quiet, Naming::False]
                .map(|naming| self.naming(naming));
        let untiled: usize = self.cells.iter().map(|cell| cell.played.verdict.untiled).sum();
        let bytes: usize = self.cells.iter().map(|cell| cell.played.verdict.bytes.len()).sum();
        let invented: usize =
            self.cells.iter().map(|cell| cell.played.verdict.invented.len()).sum();
        println!(
            "- cells: {} played, {} skipped, {} failed",
            self.cells.len(),
            self.skipped.len(),
            self.failed.len()
        );
        println!(
            "- owner and kind right: {:.1} % (mean of the cells), {right} of {all} exchanges",
            self.macro_share() * 100.0
        );
        println!(
            "- the cause is named in {named} of {} cells that have one; {false_} cells have an \
             unfounded finding",
            named + silent + self.false_with_cause()
        );
        println!(
            "- {quiet} cells without a cause to find are without a finding of warning or above"
        );
        println!(
            "- exchanges that nobody had: {invented}; that do not add up: {untiled}; connections \
             with other bytes: {bytes}"
        );
    }

    fn false_with_cause(&self) -> usize {
        self.cells
            .iter()
            .filter(|cell| cell.naming() == Naming::False && !cell.fault.named.is_empty())
            .count()
    }

    fn print_confusion(&self) {
        let rows = self.confusion();
        let columns: BTreeSet<_> = rows.values().flat_map(BTreeMap::keys).collect();
        println!("\n## Injected (rows) and told (columns), exchanges\n");
        println!(
            "| | {} | right |",
            columns.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" | ")
        );
        println!("|---|{}", "--:|".repeat(columns.len() + 1));
        for (injected, told) in &rows {
            let counts: Vec<_> = columns
                .iter()
                .map(|name| told.get(*name).map_or(String::new(), usize::to_string))
                .collect();
            let of_row = || {
                let judged = self.cells.iter().flat_map(|cell| &cell.played.verdict.exchanges);
                judged.filter(|one| word(one.injected.0, one.injected.1) == *injected)
            };
            let share = of_row().filter(|one| one.right).count() as f64 / of_row().count() as f64;
            println!("| {injected} | {} | {:.0} % |", counts.join(" | "), share * 100.0);
        }
    }

    fn print_cells(&self) {
        let servers: Vec<_> = unique(self.cells.iter().map(|cell| cell.server));
        let faults: Vec<_> = unique(self.cells.iter().map(|cell| cell.fault.name));
        println!("\n## Cells: right exchanges in %, and what the findings are worth\n");
        println!(
            "✓ the cause is named, – it is not, ! a finding is unfounded, nothing: there is \
             nothing to find\n"
        );
        println!("| | {} |", servers.join(" | "));
        println!("|---|{}", "--:|".repeat(servers.len()));
        for fault in faults {
            let cells: Vec<_> = servers
                .iter()
                .map(|server| {
                    let cell = self
                        .cells
                        .iter()
                        .find(|cell| cell.server == *server && cell.fault.name == fault);
                    cell.map_or(String::new(), |cell| {
                        let share = cell
                            .share()
                            .map_or(String::new(), |share| format!("{:.0}", share * 100.0));
                        let mark = match cell.naming() {
                            Naming::Named => " ✓",
                            Naming::Silent => " –",
                            Naming::Quiet => "",
                            Naming::False => " !",
                        };
                        format!("{share}{mark}")
                    })
                })
                .collect();
            println!("| {fault} | {} |", cells.join(" | "));
        }
    }

    /// Returns the report as a JSON object.
    pub(crate) fn json(&self) -> Value {
        let cells: Vec<_> = self
            .cells
            .iter()
            .map(|cell| {
                let verdict = &cell.played.verdict;
                json!({
                    "server": cell.server, "fault": cell.fault.name, "right": cell.right(),
                    "exchanges": verdict.exchanges.len(),
                    "naming": format!("{:?}", cell.naming()).to_lowercase(),
                    "findings": kinds(&cell.played.findings), "wrong": cell.faults(),
                })
            })
            .collect();
        let left_out = |list: &[(&str, &str, String)]| {
            list.iter()
                .map(|(server, fault, reason)| {
                    json!({"server": server, "fault": fault, "reason": reason})
                })
                .collect::<Vec<_>>()
        };
        let (right, all) = self.exchanges();
        json!({
            "right_share": self.macro_share(), "right": right, "exchanges": all,
            "confusion": self.confusion(),
            "cells": cells, "skipped": left_out(&self.skipped), "failed": left_out(&self.failed),
        })
    }
}

fn word(owner: &str, kind: &str) -> String {
    if owner == "none" { kind.to_owned() } else { format!("{owner} {kind}") }
}

fn unique(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut seen = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}
