//! Turns: with each program beside, and with nothing between them, all under one run of the load.
//! A turn is compared with the turns right before and after it, so drift cancels out.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use super::beside::Beside;
use super::process::{cpu_us, memory};

/// Resources that a program beside took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Processor time as a share of the turn.
    pub(super) cpu: f64,
    pub(super) rss_bytes: f64,
    pub(super) lost: u64,
}

/// What was measured with a program beside, and with nothing right before and after.
#[derive(Clone, Debug)]
pub(super) struct Turn<T> {
    pub(super) before: T,
    pub(super) with: T,
    pub(super) after: T,
    pub(super) own: Option<Own>,
}

impl<T> Turn<T> {
    /// Returns the figure with the program, and the mean of those before and after.
    fn both(&self, of: impl Fn(&T) -> f64) -> (f64, f64) {
        (of(&self.with), (of(&self.before) + of(&self.after)) / 2.0)
    }

    /// Returns with : without.
    pub(super) fn ratio(&self, of: impl Fn(&T) -> f64) -> f64 {
        let (with, without) = self.both(of);
        with / without
    }

    /// Returns with − without.
    pub(super) fn more(&self, of: impl Fn(&T) -> f64) -> f64 {
        let (with, without) = self.both(of);
        with - without
    }
}

/// The turns of one program, one a round.
#[derive(Clone, Debug)]
pub(super) struct Series<T> {
    pub(super) beside: Beside,
    pub(super) turns: Vec<Turn<T>>,
}

/// Processes to observe, and how long to wait before a measurement.
pub(super) struct Setting<'a> {
    pub(super) pids: &'a [u32],
    /// From the start of a program to its measurement.
    pub(super) lead: &'a dyn Fn(&Beside) -> Duration,
    pub(super) rounds: usize,
}

/// From the end of a program to the measurement with nothing.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Measures with each program in every round, and with nothing between any two. The order changes
/// from round to round, so that each comes at each place and after different ones.
///
/// # Errors
/// If a program or a measurement fails.
pub(super) fn run<T: Clone>(
    bench: &Bench,
    besides: &[Beside],
    setting: &Setting<'_>,
    mut measure: impl FnMut() -> Result<T>,
) -> Result<Vec<Series<T>>> {
    let works = |beside: &&Beside| works(bench, beside, setting.pids);
    let mut series: Vec<Series<T>> = Vec::new();
    for beside in besides.iter().filter(works) {
        series.push(Series { beside: beside.clone(), turns: Vec::new() });
    }
    sleep(PAUSE);
    let mut before = measure()?;
    for round in 0..setting.rounds {
        for at in order(series.len(), round) {
            let (with, own) = with(bench, &series[at].beside, setting, &mut measure)?;
            sleep(PAUSE);
            let after = measure()?;
            let turn = Turn { before, with, after: after.clone(), own };
            series[at].turns.push(turn);
            before = after;
        }
    }
    Ok(series)
}

/// Returns whether another program than backscope starts here. Says why it does not.
pub(super) fn works(bench: &Bench, beside: &Beside, pids: &[u32]) -> bool {
    if !matches!(beside, Beside::Tool { .. }) {
        return true;
    }
    let tried = beside.start(bench, pids).and_then(|observer| match observer {
        Some(observer) => observer.finish().map(drop),
        None => Ok(()),
    });
    if let Err(error) = &tried {
        eprintln!("    {} does not work here, and is left out: {error:#}", beside.name());
    }
    tried.is_ok()
}

fn with<T>(
    bench: &Bench,
    beside: &Beside,
    setting: &Setting<'_>,
    measure: &mut impl FnMut() -> Result<T>,
) -> Result<(T, Option<Own>)> {
    let observer = beside.start(bench, setting.pids)?;
    sleep((setting.lead)(beside).max(beside.least_lead()));
    let Some(observer) = observer else { return Ok((measure()?, None)) };
    let (begin, spent) = (Instant::now(), cpu_us(observer.pid())?);
    let with = measure()?;
    let spent = cpu_us(observer.pid())? - spent;
    let cpu = spent / 1e6 / begin.elapsed().as_secs_f64();
    let rss_bytes = memory(observer.pid(), "VmRSS")?;
    let lost = beside.lost(&observer.finish()?)?;
    Ok((with, Some(Own { cpu, rss_bytes, lost })))
}

/// Returns the numbers below `count`, rotated by the round, and backwards in every other round.
fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(round / 2 % count);
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_at_each_place() {
        for place in 0..5 {
            let mut seen: Vec<usize> = (0..10).map(|round| order(5, round)[place]).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        }
    }

    #[test]
    fn a_steady_drift_cancels_out() {
        let turn = Turn { before: 100.0, with: 99.0, after: 120.0, own: None };
        assert!((turn.ratio(|rate| *rate) - 0.9).abs() < 1e-9);
        assert!((turn.more(|rate| *rate) + 11.0).abs() < 1e-9);
    }
}
