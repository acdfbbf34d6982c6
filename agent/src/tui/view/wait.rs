//! Waits of connections in the accept queue.

use ratatui::text::Line;

use super::gauge::bar;
use super::parts::{LABEL, Row, columns, cut, label, raw, span};
use crate::model::snapshot::{Owner, WaitView};
use crate::tui::text::{compact, count_of, duration, grouped, percent, right};
use crate::tui::theme::Theme;

const NAMES: [&str; 5] = ["<1 ms", "1–10 ms", "10–100 ms", "0.1–1 s", ">1 s"];

/// Returns the histogram on one line: the lengths of the bars add up to the whole.
pub(super) fn strip(theme: Theme, name: &str, wait: &WaitView, width: usize) -> Line<'static> {
    let mut row = vec![label(theme, name)];
    let all = sum(&wait.buckets);
    if all == 0 {
        row.push(span("nothing accepted yet", theme.dim()));
        return Line::from(row);
    }
    const SHORT: [&str; 5] = ["<1 ms", "1–10", "10–100", "0.1–1 s", ">1 s"];
    let counts = wait.buckets.map(compact);
    let mut words = 0;
    for (name, count) in SHORT.iter().zip(&counts) {
        words += name.chars().count() + count.len() + 4;
    }
    let room = width.saturating_sub(LABEL + words) as f64;
    for (bucket, n) in wait.buckets.into_iter().enumerate() {
        let (name, count) = (SHORT[bucket], &counts[bucket]);
        let style = if n > 0 { theme.strong() } else { theme.dim() };
        row.push(span(format!("{name} "), theme.dim()));
        if n > 0 {
            let cells = (n as f64 / all as f64 * room) as usize;
            row.push(span(
                if cells > 0 { "█".repeat(cells) } else { "▏".to_owned() },
                theme.owner(Owner::App),
            ));
            row.push(raw(" "));
        }
        row.push(span(format!("{count}  "), style));
    }
    Line::from(cut(row, width))
}

/// Returns the percentiles on one line, with the things that they are of, named in the singular.
pub(super) fn percentiles(theme: Theme, wait: &WaitView, of: &str, width: usize) -> Line<'static> {
    let mut row = vec![label(theme, "wait")];
    if wait.count == 0 {
        row.push(span("no wait measured yet", theme.dim()));
        return Line::from(row);
    }
    for (name, us) in
        [("p50", wait.p50), ("p90", wait.p90), ("p99", wait.p99), ("longest", wait.max)]
    {
        row.push(span(format!("{name} "), theme.dim()));
        row.push(span(format!("{}  ", duration(us)), theme.strong()));
    }
    let of: Row = vec![span(format!("of {}", count_of(wait.count, of)), theme.dim())];
    if columns(&row) + columns(&of) <= width {
        row.extend(of);
    }
    Line::from(cut(row, width))
}

/// Returns the waits in all buckets.
fn sum(buckets: &[u64]) -> u64 {
    buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

/// Returns the histogram with a line for each bucket.
pub(super) fn histogram(theme: Theme, wait: &WaitView, width: usize) -> Vec<Line<'static>> {
    const FIGURES: usize = 20;
    let most = wait.buckets.iter().max().copied().unwrap_or(0).max(1);
    let all = sum(&wait.buckets).max(1);
    let cells = width.saturating_sub(LABEL + FIGURES + 1);
    let mut out = Vec::with_capacity(NAMES.len());
    for (name, n) in NAMES.iter().zip(wait.buckets) {
        let style = if n > 0 { theme.strong() } else { theme.dim() };
        let mut row = vec![span(format!("{}  ", right(name, LABEL - 2)), theme.dim())];
        row.extend(bar(theme, n as f64 / most as f64, None, cells, theme.owner(Owner::App)));
        row.push(span(right(&grouped(n), 12), style));
        row.push(span(right(&percent(n as f64 / all as f64), 8), theme.dim()));
        out.push(Line::from(row));
    }
    out
}
