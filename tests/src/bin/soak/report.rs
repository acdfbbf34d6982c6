//! The table of what was promised and what was seen.

use std::time::Duration;

use backscope_tests::harness::json::number;
use serde_json::json;

use crate::agent::Seen;
use crate::server::Counts;

/// Growth of the memory that counts as flat.
const FLAT: f64 = 0.05;
/// The most memory that the end of a watch may take, kB.
const AT_THE_END_KB: u64 = 100_000;

/// What the agent was under.
pub(crate) struct Loads {
    pub(crate) idle: usize,
    pub(crate) took: Duration,
    /// Connections that came and went, by their clients.
    pub(crate) made: u64,
    pub(crate) counts: Counts,
    /// Refusals that the kernel counted in the server's namespace.
    pub(crate) refused: u64,
}

struct Row {
    test: &'static str,
    load: String,
    result: String,
    held: bool,
}

/// The rows of the table.
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn new(loads: &Loads, seen: &Seen, peak_kb: u64, agrees: bool) -> Self {
        let rate = loads.made as f64 / loads.took.as_secs_f64();
        let load = format!(
            "{:.0} connections a second for {:.0} s, {} idle",
            rate,
            loads.took.as_secs_f64(),
            loads.idle
        );
        Self(vec![
            memory(seen, load.clone()),
            descriptors(seen, load),
            accepts(loads, seen, agrees),
            refusals(loads, seen),
            losses(loads, seen),
            Row {
                test: "memory at the end of a watch",
                load: format!("{} connections open", loads.idle),
                result: format!(
                    "{} MB at most, {} connections told",
                    peak_kb / 1_000,
                    seen.told_at_end()
                ),
                held: peak_kb < AT_THE_END_KB,
            },
        ])
    }

    /// Prints the table, and with `json` each row as an object on standard output.
    pub(crate) fn print(&self, json: bool) {
        for Row { test, load, result, held } in &self.0 {
            let verdict = if *held { "holds" } else { "DOES NOT HOLD" };
            eprintln!("    {test}: {result} ({load}): {verdict}");
            if json {
                let row = json!({"test": test, "load": load, "result": result, "held": held});
                println!("{row}");
            }
        }
    }

    pub(crate) fn held(&self) -> bool {
        self.0.iter().all(|row| row.held)
    }
}

/// Compares the second third of a series with the last one: the first is the time to warm up.
fn thirds(series: &[u64]) -> (f64, f64) {
    let third = (series.len() / 3).max(1);
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len().max(1) as f64;
    let middle = series.get(third..2 * third).unwrap_or(series);
    (mean(middle), mean(&series[series.len().saturating_sub(third)..]))
}

fn memory(seen: &Seen, load: String) -> Row {
    let (before, after) = thirds(&seen.memory_kb);
    let growth = after / before - 1.0;
    Row {
        test: "memory stays flat",
        load,
        result: format!(
            "{:.1} MB, then {:.1} MB ({:+.1} %)",
            before / 1e3,
            after / 1e3,
            100.0 * growth
        ),
        held: growth <= FLAT && seen.memory_kb.len() >= 3,
    }
}

fn descriptors(seen: &Seen, load: String) -> Row {
    let (before, after) = thirds(&seen.descriptors);
    Row {
        test: "descriptors stay flat",
        load,
        result: format!("{before:.1}, then {after:.1}"),
        // Of a namespace that has just come or gone, one may be open at the moment of a look.
        held: after <= before + 1.0,
    }
}

fn accepts(loads: &Loads, seen: &Seen, agrees: bool) -> Row {
    let Counts { guests, forks, .. } = loads.counts;
    let told = number(&seen.summary, "/accepted").unwrap_or(0);
    let made = loads.made == loads.counts.churn;
    Row {
        test: "accepts are the server's own count",
        load: format!("with {forks} forks and {guests} namespaces that came and went"),
        result: format!("{told} told, {} accepted", loads.counts.accepted()),
        held: told == loads.counts.accepted() && agrees && made,
    }
}

/// A refusal may be missing for each run of a probe that the kernel skipped.
fn refusals(loads: &Loads, seen: &Seen) -> Row {
    let counted = loads.refused + loads.counts.guests_refused;
    let told = number(&seen.summary, "/overflows/syn").unwrap_or(0)
        + number(&seen.summary, "/overflows/ack").unwrap_or(0);
    let skipped = seen.lost.get("skipped_runs").copied().unwrap_or(0);
    Row {
        test: "refusals are the kernel's count",
        load: format!("one server and {} namespaces that came and went", loads.counts.guests),
        result: format!("{told} told, {counted} ListenOverflows; {skipped} probe runs skipped"),
        held: told <= counted && counted - told <= skipped && told > 0,
    }
}

/// Every accept is told or counted as lost: as a record, or as a line that nobody read in time.
fn losses(loads: &Loads, seen: &Seen) -> Row {
    let (accepts, lost) = (seen.count("accept"), seen.lost());
    let accepted = loads.counts.accepted();
    let missing = accepted.saturating_sub(accepts);
    let broken = seen.count("broken");
    Row {
        test: "nothing is lost uncounted",
        load: format!("{accepted} accepts"),
        result: format!("{accepts} told, {missing} not; {lost} counted as lost"),
        held: missing <= lost && accepts <= accepted && broken == 0,
    }
}
