//! One listener in full: findings with evidence, every total, the waits, every thread, its own
//! stream.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use super::chart::{self, Heights};
use super::parts::{label, raw, refusing, rule, span};
use super::{acceptors, event_log, findings, panel, put, totals, verdict, wait};
use crate::model::snapshot::{ListenerView, Owner, Snapshot};
use crate::tui::app::{App, Hits};
use crate::tui::text::grouped;
use crate::tui::theme::Theme;
use crate::tui::view::gauge::{bar, share};

/// From this width on the stream stands beside the rest.
const TWO_COLUMNS: u16 = 150;

/// Draws the view: one long page that scrolls, with the listener's name staying above it.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    listener: &ListenerView,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let theme = app.theme;
    let [head, body] = area.layout(&Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]));
    put(frame, head, vec![panel::title(theme, snapshot, listener, head.width.into())]);
    let (page, side) = if area.width >= TWO_COLUMNS {
        let [page, _, side] = body.layout(&Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(2),
            Constraint::Length(area.width / 2),
        ]));
        (page, Some(side))
    } else {
        (body, None)
    };
    let mut lines = page_lines(theme, snapshot, listener, page.width.into());
    match side {
        Some(side) => {
            put(frame, side, live(app, snapshot, listener, side.width.into(), side.height.into()))
        }
        None => {
            lines.push(Line::default());
            lines.extend(live(app, snapshot, listener, page.width.into(), usize::MAX));
        }
    }
    hits.scroll_end = lines.len().saturating_sub(page.height.into());
    let past = app.scroll.min(hits.scroll_end);
    put(frame, page, lines.into_iter().skip(past).take(page.height.into()).collect());
}

fn page_lines(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
) -> Vec<Line<'static>> {
    let mut out = queues(theme, listener, width);
    out.push(Line::default());
    let mut any = false;
    for finding in verdict::of(snapshot, listener) {
        any = true;
        out.extend(findings::full(theme, snapshot, finding, width));
        out.push(Line::default());
    }
    if !any {
        out.extend(verdict::lines(theme, snapshot, listener, width));
        out.push(Line::default());
    }
    let title = |text: &'static str| rule(theme, vec![span(text, theme.strong())], width);
    out.push(title("WAIT IN THE ACCEPT QUEUE"));
    out.push(wait::percentiles(theme, &listener.wait, "accept", width));
    out.extend(wait::histogram(theme, &listener.wait, width));
    out.push(Line::default());
    out.push(title("HISTORY"));
    let heights = Heights { depth: 4, rates: 2, refused: 1, axis: 1 };
    out.extend(chart::lines(theme, listener, snapshot.now_ns, width, heights));
    out.push(Line::default());
    out.push(title("THREADS THAT ACCEPT"));
    out.extend(acceptors::lines(theme, listener, width, usize::MAX));
    out.push(Line::default());
    out.push(title("SINCE THE WATCH BEGAN"));
    out.extend(totals::lines(theme, listener, width));
    out
}

fn queues(theme: Theme, listener: &ListenerView, width: usize) -> Vec<Line<'static>> {
    let accepts = if refusing(listener) { theme.loss() } else { theme.owner(Owner::App) };
    let line = |name: &str, depth: u32, peak: u32, style: Style| {
        let (now, top) = (share(depth, listener.limit), share(peak, listener.limit));
        let mut row = vec![label(theme, name)];
        row.extend(bar(theme, now, Some(top), width.saturating_sub(48).min(60), style));
        row.push(span(format!("  {}", grouped(depth.into())), theme.strong()));
        row.push(raw(format!(" of {}", grouped(listener.limit.into()))));
        row.push(span(format!("   peak {}", grouped(peak.into())), theme.dim()));
        Line::from(row)
    };
    vec![
        line("SYN queue", listener.syn_depth, listener.syn_peak, theme.owner(Owner::Peer)),
        line("accept q.", listener.depth, listener.peak, accepts),
    ]
}

fn live(
    app: &App,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let (theme, day) = (app.theme, app.time_of_day.as_ref());
    let mut out = vec![event_log::title(theme, (0, 0), width)];
    let own = snapshot.event_log.iter().rev().filter(|entry| entry.listener == listener.sock);
    let entries: Vec<_> = own.take(height.saturating_sub(1)).collect();
    out.extend(event_log::lines(theme, day, snapshot, &entries, width, false));
    if out.len() == 1 {
        out.push(Line::from(span(" Nothing has happened here yet.", theme.dim())));
    }
    out
}
