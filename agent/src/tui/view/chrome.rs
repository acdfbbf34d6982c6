//! What frames every view: header, tabs and footer.

use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{Row, columns, raw, span, spread};
use crate::model::snapshot::{Owner, Severity, Snapshot};
use crate::tui::app::{App, Hits, Playback, Tab};
use crate::tui::text::{clock, escape, grouped, percent};
use crate::tui::theme::{Theme, letter, name};

/// What is watched, how, for how long, at what cost and with what loss.
pub(super) fn header(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    let target = vec![span(" backscope ", theme.strong()), raw(format!(" {}", escape(&snapshot.target)))];
    let lost = match snapshot.lost {
        0 => span("lost 0 ", theme.dim()),
        n => span(format!("▲ lost {} ", grouped(n)), theme.loss()),
    };
    let cost = snapshot.cost_share.map_or("–".to_owned(), percent);
    let facts = vec![
        span(format!("{} tier", escape(&snapshot.tier)), theme.dim()),
        span(format!("  {}", clock(snapshot.elapsed_us)), theme.strong()),
        span(format!("  cost {cost}  "), theme.dim()),
        lost,
    ];
    spread(target, facts, width)
}

/// The views, the one in front reversed, and what the colours mean.
pub(super) fn tabs(app: &App, snapshot: &Snapshot, area: Rect, hits: &mut Hits) -> Line<'static> {
    let theme = app.theme;
    let count = snapshot.findings.len();
    let critical = snapshot.findings.iter().any(|finding| finding.severity == Severity::Critical);
    let mut row = vec![raw(" ")];
    for (tab, text) in [(Tab::Queues, " QUEUES ".to_owned()), (Tab::Findings, format!(" FINDINGS {count} "))] {
        let style = match tab {
            _ if tab == app.tab => theme.reversed(),
            Tab::Findings if critical => theme.loss(),
            _ => theme.dim(),
        };
        let x = area.x + columns(&row) as u16;
        hits.tabs.push((Rect { x, y: area.y, width: text.chars().count() as u16, height: 1 }, tab));
        row.push(span(text, style));
        row.push(raw(" "));
    }
    if app.paused {
        row.push(raw("  "));
        row.push(span(" ‖ PAUSED ", theme.reversed()));
    }
    if let Some(playback) = app.playback {
        row.push(raw("  "));
        row.push(span(format!(" {} ", position(playback)), theme.reversed()));
        if playback.damages > 0 {
            row.push(span(" ▲ damaged", theme.loss()));
        }
    }
    let short = (app.paused || app.playback.is_some()) && area.width < 110;
    let legend = legend(theme, short);
    // Where a replay is matters more than what the colours mean, which the help says too.
    let crowded = app.playback.is_some() && columns(&row) + columns(&legend) > usize::from(area.width);
    let legend = if crowded { Row::new() } else { legend };
    spread(row, legend, area.width.into())
}

/// "▶ 00:12 / 01:00 ×2"
fn position(playback: Playback) -> String {
    let sign = if playback.playing { "▶" } else { "‖" };
    format!("{sign} {} / {} ×{}", clock(playback.position_us), clock(playback.length_us), playback.speed)
}

fn legend(theme: Theme, short: bool) -> Row {
    let mut row = vec![span(if short { "" } else { "time held by  " }, theme.dim())];
    for owner in [Owner::Kernel, Owner::App, Owner::Peer] {
        row.push(span(format!(" {} ", letter(owner)), theme.badge(owner)));
        row.push(span(format!(" {}  ", name(owner)), theme.owner(owner)));
    }
    row
}

/// The keys that do something here.
pub(super) fn footer(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    if app.typing_filter || (!app.list.filter.is_empty() && app.tab == Tab::Queues && app.open.is_none()) {
        return filter_line(app, snapshot, width);
    }
    let sort = format!("sort: {}", app.list.sort.name());
    let keys: &[(&str, &str)] = match (app.open.is_some(), app.tab) {
        (true, _) => &[("Esc", "back"), ("↑↓", "scroll"), ("p", "pause"), ("?", "help"), ("q", "quit")],
        (false, Tab::Queues) => &[
            ("↵", "open"),
            ("Tab", "findings"),
            ("s", &sort),
            ("/", "filter"),
            ("p", "pause"),
            ("?", "help"),
            ("q", "quit"),
            ("↑↓", "select"),
        ],
        (false, Tab::Findings) => {
            &[("↑↓", "select"), ("↵", "listener"), ("Tab", "queues"), ("p", "pause"), ("?", "help"), ("q", "quit")]
        }
    };
    let mut row = Row::new();
    for (key, does) in keys {
        let item = [span(format!(" {key}"), theme.strong()), span(format!(" {does} "), theme.dim())];
        if columns(&row) + columns(&item) <= width {
            row.extend(item);
        }
    }
    Line::from(row)
}

fn filter_line(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    let mut row = vec![
        span(" filter ", theme.reversed()),
        span(format!(" {}", escape(&app.list.filter)), theme.strong()),
        raw(if app.typing_filter { "▏" } else { " " }),
        span(
            format!("  {} of {}   ", grouped(app.list.len() as u64), grouped(snapshot.listeners.len() as u64)),
            theme.dim(),
        ),
    ];
    if app.typing_filter {
        row.push(span("address, command or pid   ↵ keeps   Esc clears", theme.dim()));
    } else {
        row.push(span("/ changes   Esc clears", theme.dim()));
    }
    spread(row, Row::new(), width)
}
