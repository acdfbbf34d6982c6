//! The listeners, a line each.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io::{self, Write};

use super::Colour;
use crate::model::snapshot::ListenerView;
use crate::text::{count, duration_us, rate};

/// Listeners in one table: the busiest.
const MOST: usize = 20;
/// Tables between two headings.
const HEADING_EVERY: u32 = 20;

#[derive(Clone, Debug, Default)]
pub(super) struct TextTable {
    /// Tables since the last heading.
    tables: u32,
}

impl TextTable {
    pub(super) fn write(
        &mut self,
        out: &mut dyn Write,
        colour: Colour,
        time: &str,
        listeners: &[&ListenerView],
    ) -> io::Result<()> {
        if self.tables == 0 {
            writeln!(
                out,
                "{:>width$} {:<22} {:>11} {:>5} {:>4} {:>7} {:>7}  {:>8} {:>8} {:>8}  OVERFLOWS",
                "TIME",
                "LISTENER",
                "QUEUE/LIMIT",
                "PEAK",
                "SYN",
                "ACC/s",
                "ARR/s",
                "WAIT p50",
                "p99",
                "max",
                width = time.len()
            )?;
        }
        self.tables = (self.tables + 1) % HEADING_EVERY;
        let shown = busiest(listeners);
        for view in listeners {
            if shown.contains(&view.sock) {
                writeln!(out, "{}", line(view, time, colour))?;
            }
        }
        if listeners.len() > shown.len() {
            writeln!(
                out,
                "{time} … and {} quieter listeners",
                count((listeners.len() - shown.len()) as u64)
            )?;
        }
        Ok(())
    }
}

fn busiest(listeners: &[&ListenerView]) -> BTreeSet<u64> {
    let mut order: Vec<_> = listeners.iter().collect();
    let going_on = |view: &ListenerView| {
        (
            view.rates.overflows as u64,
            view.depth.max(view.peak),
            view.rates.arrivals as u64,
            view.totals.overflows(),
        )
    };
    order.sort_by_key(|view| Reverse(going_on(view)));
    order.iter().take(MOST).map(|view| view.sock).collect()
}

fn line(view: &ListenerView, time: &str, colour: Colour) -> String {
    let wait = |us| if view.wait.count > 0 { duration_us(us) } else { "–".to_owned() };
    let overflows = view.totals.overflows();
    let refused = match (overflows, view.rates.overflows) {
        (0, _) => "0".to_owned(),
        (total, now) if now > 0.0 => format!("▲{} +{}/s", count(total), rate(now)),
        (total, _) => format!("▲{}", count(total)),
    };
    let queue =
        if view.closed { "closed".to_owned() } else { format!("{}/{}", view.depth, view.limit) };
    format!(
        "{time} {:<22} {queue:>11} {:>5} {:>4} {:>7} {:>7}  {:>8} {:>8} {:>8}  {}",
        view.local.to_string(),
        view.peak,
        view.syn_depth,
        rate(view.rates.accepts),
        rate(view.rates.arrivals),
        wait(view.wait.p50),
        wait(view.wait.p99),
        wait(view.wait.max),
        colour.loss(overflows > 0, &refused)
    )
}
