//! History as columns of block characters, the newest at the right.

use ratatui::style::Style;
use ratatui::text::Line;

use super::axis;
use super::parts::{LABEL, Row, columns, label, raw, refusing, span};
use crate::model::snapshot::{DatagramView, ListenerView, Owner};
use crate::tui::text::{bytes, grouped, rate, right};
use crate::tui::theme::Theme;

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A period in which nothing happened; a period before the first is blank.
const NOTHING: char = '_';
/// Room for the figure of now at the right of a chart.
const FIGURE: usize = 17;
/// What a rate of one a second is drawn as: slower ones show, too.
const ONE_A_SECOND: u64 = 1_000;

/// Heights of the charts of a listener, in lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heights {
    /// The depth of the accept queue.
    pub(super) depth: usize,
    /// Connections queued and accepted, each.
    pub(super) rates: usize,
    /// Refusals; 0 leaves them out.
    pub(super) refused: usize,
    /// The time axis: 1, or 0 to leave it out.
    pub(super) axis: usize,
}

/// Returns depth, and connections queued and accepted, over time; the latter two on one scale, so
/// that they compare. Depth is drawn against the limit; beside a rate stands its most in view.
pub(super) fn lines(
    theme: Theme,
    listener: &ListenerView,
    now_ns: u64,
    width: usize,
    heights: Heights,
) -> Vec<Line<'static>> {
    let cells = width.saturating_sub(LABEL + FIGURE + 1);
    let depth = Chart {
        values: &listener.depth_history,
        lost: &listener.overflow_history,
        top: listener.limit,
        style: theme.owner(Owner::App),
    };
    let from_ns = &listener.history_from_ns;
    let a_second = |counts: &[u32]| per_second(counts, from_ns, now_ns);
    let queued = a_second(&listener.arrival_history);
    let accepted = a_second(&listener.accept_history);
    let refusals = a_second(&listener.overflow_history);
    let flow = top(&queued, cells).max(top(&accepted, cells));
    let rate_chart =
        |values, owner| Chart { values, lost: &[], top: flow, style: theme.owner(owner) };
    let refused =
        Chart { values: &refusals, lost: &[], top: top(&refusals, cells), style: theme.loss() };

    let rates = listener.rates;
    let full = if refusing(listener) { theme.loss() } else { theme.strong() };
    let of_limit = span(format!(" of {}", grouped(listener.limit.into())), theme.dim());
    let mut out = Vec::new();
    let mut add = |name: &str, chart: Chart<'_>, height: usize, figure: Row| {
        out.extend(chart.labelled(theme, name, cells, height, figure));
    };
    add("depth", depth, heights.depth, vec![span(grouped(listener.depth.into()), full), of_limit]);
    let figure = |now: f64, values: &[u32], style| {
        let most = f64::from(most(values, cells)) / ONE_A_SECOND as f64;
        vec![span(rate(now), style), span(format!(", most {}", rate(most)), theme.dim())]
    };
    let strong = theme.strong();
    let chart = rate_chart(&queued, Owner::Kernel);
    add("queued/s", chart, heights.rates, figure(rates.arrivals, &queued, strong));
    let chart = rate_chart(&accepted, Owner::App);
    add("accepts/s", chart, heights.rates, figure(rates.accepts, &accepted, strong));
    let figure = figure(rates.overflows, &refusals, theme.loss());
    add("refused/s", refused, heights.refused, figure);
    if heights.axis > 0 {
        let text = axis::text(from_ns, now_ns, cells).unwrap_or_default();
        out.push(Line::from(vec![label(theme, "ago"), span(text, theme.dim())]));
    }
    out
}

/// Returns the fill of a UDP socket's receive buffer, and the datagrams that came and were dropped,
/// over time.
pub(super) fn datagrams(
    theme: Theme,
    socket: &DatagramView,
    now_ns: u64,
    width: usize,
    heights: Heights,
) -> Vec<Line<'static>> {
    let cells = width.saturating_sub(LABEL + FIGURE + 1);
    let history = &socket.history;
    let a_second = |counts: &[u32]| per_second(counts, &history.from_ns, now_ns);
    let clamp = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    let peaks: Vec<u32> = history.peak_bytes.iter().map(|&bytes| clamp(bytes)).collect();
    let (arrived, dropped) = (a_second(&history.arrived), a_second(&history.drops));
    let figure = |now: f64, values: &[u32], style| {
        let most = f64::from(most(values, cells)) / ONE_A_SECOND as f64;
        vec![span(rate(now), style), span(format!(", most {}", rate(most)), theme.dim())]
    };
    let filled = vec![
        span(bytes(socket.queued_bytes), theme.strong()),
        span(format!(" of {}", bytes(socket.buffer_bytes)), theme.dim()),
    ];
    let chart = |values, lost, top, style| Chart { values, lost, top, style };
    let app = theme.owner(Owner::App);
    let buffer = chart(&peaks, &history.drops, clamp(socket.buffer_bytes), app);
    let mut out = buffer.labelled(theme, "filled", cells, heights.depth, filled);
    let kernel = theme.owner(Owner::Kernel);
    let came = chart(&arrived, &[], top(&arrived, cells), kernel);
    let figures = figure(socket.rates.arrived, &arrived, theme.strong());
    out.extend(came.labelled(theme, "in/s", cells, heights.rates, figures));
    if heights.refused > 0 {
        let lost = chart(&dropped, &[], top(&dropped, cells), theme.loss());
        let figures = figure(socket.rates.drops, &dropped, theme.loss());
        out.extend(lost.labelled(theme, "dropped/s", cells, heights.refused, figures));
    }
    let text = axis::text(&history.from_ns, now_ns, cells).unwrap_or_default();
    out.push(Line::from(vec![label(theme, "ago"), span(text, theme.dim())]));
    out
}

/// Returns counts as rates, in thousandths a second. The periods that they belong to are given by
/// their beginnings.
fn per_second(counts: &[u32], from_ns: &[u64], now_ns: u64) -> Vec<u32> {
    let ends = from_ns.iter().skip(1).chain([&now_ns]);
    let mut out = Vec::with_capacity(counts.len());
    for ((&count, &from_ns), &until_ns) in counts.iter().zip(from_ns).zip(ends) {
        let lasted_ns = u128::from(until_ns.saturating_sub(from_ns).max(1));
        let rate = u128::from(count) * u128::from(ONE_A_SECOND * 1_000_000_000) / lasted_ns;
        out.push(u32::try_from(rate).unwrap_or(u32::MAX));
    }
    out
}

/// Returns the value of a full column for the newest values: the most of them and some headroom, so
/// that full columns don't grow together with the chart above.
fn top(values: &[u32], cells: usize) -> u32 {
    let most = most(values, cells);
    most.saturating_add(most.div_ceil(7))
}

fn most(values: &[u32], cells: usize) -> u32 {
    newest(values, cells).iter().max().copied().unwrap_or(0)
}

struct Chart<'a> {
    values: &'a [u32],
    /// Losses in the same periods: these columns stand out.
    lost: &'a [u32],
    /// The value of a full column.
    top: u32,
    style: Style,
}

impl Chart<'_> {
    /// Returns the chart with its label and the figure of now on its last line.
    fn labelled(
        &self,
        theme: Theme,
        name: &str,
        cells: usize,
        height: usize,
        figure: Row,
    ) -> Vec<Line<'static>> {
        let mut out = Vec::with_capacity(height);
        for (at, mut cells) in self.rows(theme, cells, height).into_iter().enumerate() {
            let last = at + 1 == height;
            let mut row = vec![label(theme, if last { name } else { "" })];
            row.append(&mut cells);
            if last {
                row.push(raw(right("", FIGURE.saturating_sub(columns(&figure)))));
                row.extend(figure.iter().cloned());
            }
            out.push(Line::from(row));
        }
        out
    }

    fn rows(&self, theme: Theme, cells: usize, height: usize) -> Vec<Row> {
        let (values, lost) = (newest(self.values, cells), newest(self.lost, cells));
        let no_loss_known = values.len().saturating_sub(lost.len());
        let blank = cells - values.len();
        let mut rows = Vec::with_capacity(height);
        for above in (0..height).rev() {
            let mut row = vec![raw(" ".repeat(blank))];
            for (at, &value) in values.iter().enumerate() {
                let was_lost = at >= no_loss_known && lost[at - no_loss_known] > 0;
                let (c, style) = match (self.block(value, height, above), was_lost) {
                    (NOTHING, _) => (NOTHING, theme.dim()),
                    (c, true) => (c, theme.loss()),
                    (c, false) => (c, self.style),
                };
                push(&mut row, c, style);
            }
            rows.push(row);
        }
        rows
    }

    /// The character of a column in the line that has `above` lines below it.
    fn block(&self, value: u32, height: usize, above: usize) -> char {
        let all = height * EIGHTHS.len();
        let filled = (u64::from(value) * all as u64 / u64::from(self.top.max(1))) as usize;
        let filled = if value > 0 { filled.clamp(1, all) } else { 0 };
        match filled.saturating_sub(above * EIGHTHS.len()).min(EIGHTHS.len()) {
            0 if above == 0 => NOTHING,
            0 => ' ',
            eighths => EIGHTHS[eighths - 1],
        }
    }
}

/// Returns the character for a value on a scale that ends at `top`. None is full, so that the rows
/// of a table don't run together.
pub(super) fn column(value: u64, top: u64) -> char {
    match value {
        0 => NOTHING,
        _ => EIGHTHS[(u128::from(value) * 6 / u128::from(top.max(value))) as usize],
    }
}

/// Returns one line of a depth history, for a column of a table.
pub(super) fn trend(theme: Theme, listener: &ListenerView, cells: usize) -> Row {
    let chart = Chart {
        values: &listener.depth_history,
        lost: &listener.overflow_history,
        top: listener.limit,
        style: theme.owner(Owner::App),
    };
    chart.rows(theme, cells, 1).pop().unwrap_or_default()
}

/// Appends a character to the last piece if it has the same style.
fn push(row: &mut Row, c: char, style: Style) {
    match row.last_mut() {
        Some(last) if last.style == style => last.content.to_mut().push(c),
        _ => row.push(span(c.to_string(), style)),
    }
}

fn newest(values: &[u32], count: usize) -> &[u32] {
    &values[values.len().saturating_sub(count)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(values: &[u32], lost: &[u32], cells: usize, height: usize) -> Vec<String> {
        let chart = Chart { values, lost, top: 16, style: Style::new() };
        let text = |row: Row| row.iter().map(|piece| piece.content.clone()).collect::<String>();
        chart.rows(Theme::plain(), cells, height).into_iter().map(text).collect()
    }

    #[test]
    fn the_newest_stands_at_the_right() {
        assert_eq!(draw(&[16, 0, 1, 8], &[], 6, 1), ["  █_▁▄"]);
        assert_eq!(draw(&[16, 0, 1, 8], &[], 2, 1), ["▁▄"]);
    }

    #[test]
    fn counts_of_longer_periods_are_no_higher_rates() {
        let second = 1_000_000_000;
        let rates = per_second(&[10, 10, 1], &[0, second / 2, 2 * second], 12 * second);
        assert_eq!(rates, [20_000, 6_666, 100]);
        assert_eq!(per_second(&[1], &[5], 5), [u32::MAX], "a period of no length");
    }

    #[test]
    fn a_high_chart_stacks_blocks() {
        assert_eq!(draw(&[16, 8, 12, 40], &[], 4, 2), ["█ ▄█", "████"]);
    }

    #[test]
    fn columns_with_losses_stand_out() {
        let chart = Chart { values: &[3, 16, 16], lost: &[0, 5], top: 16, style: Style::new() };
        let row = &chart.rows(Theme::colour(), 3, 1)[0];
        assert_eq!(
            row.last().map(|piece| (piece.content.as_ref(), piece.style)),
            Some(("█", Theme::colour().loss()))
        );
    }
}
