//! Counts the instructions that watching costs on each tier. The machine's clock counts them, so
//! that nothing that runs beside it disturbs. Instructions are not time: the cost of cache misses
//! and locks is not in them.

use anyhow::Result;

use crate::step::Step;
use crate::verdict::{Outcome, Verdict};
use crate::vm;

/// The newest kernel of the tests, on which both tiers have all their hooks.
const KERNEL: &str = "7";

/// Instructions for a request, by one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    /// The sum of client, server, kernel and agent.
    all: f64,
    agent: f64,
}

pub(super) fn run() -> Result<()> {
    let step = Step::start(format_args!(
        "instructions for a request, kernel {KERNEL} in a virtual machine"
    ));
    let (release, run) = vm::measure_costs(KERNEL)?;
    step.done("measured");
    println!(
        "{:<48} {:>8} {:>8} {:>8} {:>8}",
        format!("INSTRUCTIONS A REQUEST, {release}"),
        "ALL",
        "MORE",
        "MORE %",
        "AGENT"
    );
    let mut without = None;
    for verdict in &run.verdicts {
        match cost(verdict) {
            Some(cost) => print(verdict, cost, &mut without),
            None => println!("  {:<46} {}", verdict.test, verdict.reason),
        }
    }
    println!();
    Ok(())
}

/// Prints a row. `without` is the newest measurement without a watch, with which others are
/// compared.
fn print(verdict: &Verdict, cost: Cost, without: &mut Option<f64>) {
    let watched = verdict.test.contains('/');
    if !watched {
        *without = Some(cost.all);
    }
    print!("  {:<46} {:>8.0}", verdict.test, cost.all);
    if let (true, Some(without)) = (watched, *without) {
        let more = cost.all - without;
        print!(" {more:>8.0} {:>8.1} {:>8.0}", more / without * 100.0, cost.agent);
    }
    println!();
}

fn cost(verdict: &Verdict) -> Option<Cost> {
    let (all, agent) =
        verdict.reason.split_once(' ').filter(|_| verdict.outcome == Outcome::Pass)?;
    Some(Cost { all: all.parse().ok()?, agent: agent.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cost, cost};
    use crate::verdict::{Outcome, Verdict};

    #[test]
    fn figures_are_where_reasons_are() {
        let verdict = |outcome, reason: &str| Verdict {
            outcome,
            test: "keep-alive/full/queues".to_owned(),
            took: Duration::from_millis(12),
            reason: reason.to_owned(),
        };
        assert_eq!(
            cost(&verdict(Outcome::Pass, "20501 12")),
            Some(Cost { all: 20_501.0, agent: 12.0 })
        );
        assert_eq!(cost(&verdict(Outcome::Fail, "no answer")), None);
        assert_eq!(cost(&verdict(Outcome::Pass, "")), None);
    }
}
