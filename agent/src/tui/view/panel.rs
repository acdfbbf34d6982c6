//! The selected listener: its history, the waits, the threads, as much as the room takes.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::chart::{self, Heights};
use super::parts::{rule, span};
use super::words::process;
use super::{acceptors, put, totals, wait};
use crate::model::event::count_holders;
use crate::model::snapshot::{ListenerView, Snapshot};
use crate::tui::text::grouped;
use crate::tui::theme::Theme;

/// From this width on the figures stand beside the charts.
const TWO_COLUMNS: u16 = 130;
/// Lines that the panel takes at least, with its title: three charts, their time axis, waits, one
/// thread.
pub(super) const LEAST: usize = 7;

/// Lines that the panel can make use of, with its title.
pub(super) fn most(listener: &ListenerView, width: usize) -> usize {
    let threads = listener.acceptors.len().clamp(1, 8);
    let refused = usize::from(width >= usize::from(TWO_COLUMNS) || refuses(listener));
    12 + refused + threads
}

/// Draws the panel into an area of any height.
pub(super) fn draw(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let [head, body] = area.layout(&Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]));
    put(frame, head, vec![title(theme, snapshot, listener, head.width.into())]);
    let room = usize::from(body.height);
    if area.width < TWO_COLUMNS {
        let now_ns = snapshot.now_ns;
        put(frame, body, one_column(theme, listener, now_ns, body.width.into(), room));
        return;
    }
    let [charts, figures] =
        body.layout(&Layout::horizontal([Constraint::Fill(1), Constraint::Length(80)]));
    let heights = Heights::within(room, listener);
    let lines = chart::lines(theme, listener, snapshot.now_ns, charts.width.into(), heights);
    put(frame, charts, lines);
    put(frame, figures, self::figures(theme, listener, figures.width.into(), room));
}

/// The rule above the panel: which listener, whose, with what limit.
pub(super) fn title(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
) -> Line<'static> {
    // The limits behind it matter more.
    let process = process(&snapshot.workloads, &listener.comm, listener.pid, width / 2);
    let held = match count_holders(&listener.holders, listener.unnamed_holders) {
        0 | 1 => String::new(),
        n => format!(", {} processes", grouped(n)),
    };
    let title = vec![
        span(listener.local.to_string(), theme.strong()),
        span(format!("  {process}{held}   {}", totals::limits(listener)), theme.dim()),
    ];
    rule(theme, title, width)
}

/// There is a history of refusals to draw.
fn refuses(listener: &ListenerView) -> bool {
    listener.overflow_history.iter().any(|&n| n > 0)
}

impl Heights {
    /// The highest charts for a number of lines.
    pub(super) fn within(lines: usize, listener: &ListenerView) -> Self {
        let mut heights = Self { depth: 1, rates: 1, refused: 0, axis: 0 };
        let refuses = usize::from(refuses(listener));
        let steps = [
            (0, 0, 0, 1),
            (0, 0, refuses, 0),
            (1, 0, 0, 0),
            (0, 1, 0, 0),
            (2, 0, 0, 0),
            (0, 1, 0, 0),
        ];
        for (depth, rates, refused, axis) in steps {
            let higher = Self {
                depth: heights.depth + depth,
                rates: heights.rates + rates,
                refused: heights.refused + refused,
                axis: heights.axis + axis,
            };
            if higher.lines() <= lines {
                heights = higher;
            }
        }
        heights
    }

    fn lines(self) -> usize {
        self.depth + 2 * self.rates + self.refused + self.axis
    }
}

fn one_column(
    theme: Theme,
    listener: &ListenerView,
    now_ns: u64,
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let spare = room.saturating_sub(LEAST - 1);
    let threads = listener.acceptors.len().clamp(1, 1 + spare / 3);
    let spare = spare.saturating_sub(threads - 1);
    let percentiles = usize::from(spare > 1);
    let heights = Heights::within(4 + spare - percentiles, listener);
    let mut out = chart::lines(theme, listener, now_ns, width, heights);
    if percentiles > 0 {
        out.push(wait::percentiles(theme, &listener.wait, "accept", width));
    }
    out.push(wait::strip(theme, if percentiles > 0 { "" } else { "wait" }, &listener.wait, width));
    out.extend(acceptors::lines(theme, listener, width, threads));
    out
}

fn figures(theme: Theme, listener: &ListenerView, width: usize, room: usize) -> Vec<Line<'static>> {
    let mut out = vec![wait::percentiles(theme, &listener.wait, "accept", width)];
    let totals = totals::lines(theme, listener, width);
    if room >= 7 + totals.len() {
        out.extend(wait::histogram(theme, &listener.wait, width));
    } else {
        out.push(wait::strip(theme, "", &listener.wait, width));
    }
    let threads = room.saturating_sub(out.len() + totals.len()).max(1);
    out.extend(acceptors::lines(theme, listener, width, threads));
    out.extend(totals);
    out
}
