//! The frame of every view: header, tabs and footer.

use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{Row, columns, raw, span, spread};
use crate::model::snapshot::{Owner, Severity, Snapshot};
use crate::tui::app::{App, Hits, Open, Playback, Tab};
use crate::tui::list::Listing;
use crate::tui::text::{clock, compact, escape, grouped, percent};
use crate::tui::theme::Theme;

/// Returns the header: what is watched, how, for how long, at what cost and with what loss.
pub(super) fn header(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    let target =
        vec![span(" backscope ", theme.strong()), raw(format!(" {}", escape(&snapshot.target)))];
    let lost = match snapshot.lost {
        0 => span("lost 0 ", theme.dim()),
        n => span(format!("▲ lost {} ", grouped(n)), theme.loss()),
    };
    let not_kept = match snapshot.not_kept {
        0 => raw(""),
        n => span(format!("▲ not kept {} ", grouped(n)), theme.loss()),
    };
    let cost = match snapshot.cost_share {
        Some(share) => percent(share),
        None => "–".to_owned(),
    };
    let facts = vec![
        span(format!("{} tier", escape(&snapshot.tier)), theme.dim()),
        span(format!("  {}", clock(snapshot.elapsed_us)), theme.strong()),
        span(format!("  cost {cost}  "), theme.dim()),
        lost,
        not_kept,
    ];
    spread(target, facts, width)
}

/// Returns the tabs, the one in front reversed, and the legend of the colours.
pub(super) fn tabs(app: &App, snapshot: &Snapshot, area: Rect, hits: &mut Hits) -> Line<'static> {
    let theme = app.theme;
    let wide = area.width >= 110;
    let critical = snapshot.findings.iter().any(|finding| finding.severity == Severity::Critical);
    let mut row = vec![raw(" ")];
    for tab in Tab::ALL {
        let text = match tab {
            Tab::Queues => " QUEUES ".to_owned(),
            Tab::Connections if wide => {
                format!(" CONNECTIONS {} ", compact(app.connections.all(snapshot) as u64))
            }
            Tab::Connections => " CONNECTIONS ".to_owned(),
            Tab::Threads => " THREADS ".to_owned(),
            Tab::Findings => format!(" FINDINGS {} ", snapshot.findings.len()),
        };
        let style = match tab {
            _ if tab == app.tab => theme.reversed(),
            Tab::Findings if critical => theme.loss(),
            _ => theme.dim(),
        };
        let x = area.x + columns(&row) as u16;
        hits.tabs.push((Rect { x, y: area.y, width: text.chars().count() as u16, height: 1 }, tab));
        row.push(span(text, style));
    }
    if app.paused {
        row.push(span(" ‖ PAUSED ", theme.reversed()));
    }
    if let Some(since_ns) = snapshot.pause_since_ns {
        let ago_us = snapshot.now_ns.saturating_sub(since_ns) / 1_000;
        row.push(span(format!(" EXCHANGES AS OF {} AGO ", clock(ago_us)), theme.reversed()));
    }
    if let Some(playback) = app.playback {
        row.push(span(format!(" {} ", position(playback)), theme.reversed()));
        if playback.damages > 0 {
            row.push(span(" ▲ damaged", theme.loss()));
        }
    }
    let width = usize::from(area.width);
    let room = width.saturating_sub(columns(&row));
    let whole = legend(theme, if wide { "time held by  " } else { "" });
    let short = letters(theme);
    let legend = if columns(&whole) < room {
        whole
    } else if columns(&short) < room {
        short
    } else {
        Row::new()
    };
    spread(row, legend, width)
}

/// Returns the place of a replay: "▶ 00:12 / 01:00 ×2".
fn position(playback: Playback) -> String {
    let sign = if playback.playing { "▶" } else { "‖" };
    format!(
        "{sign} {} / {} ×{}",
        clock(playback.position_us),
        clock(playback.length_us),
        playback.speed
    )
}

const HOLDERS: [Owner; 4] = [Owner::Kernel, Owner::App, Owner::Network, Owner::Peer];

/// Returns the meaning of colours and letters.
fn legend(theme: Theme, title: &'static str) -> Row {
    let mut row = vec![span(title, theme.dim())];
    for owner in HOLDERS {
        row.push(span(format!(" {} ", owner.letter()), theme.badge(owner)));
        row.push(span(format!(" {} ", owner.name()), theme.owner(owner)));
    }
    row
}

/// Returns the legend for where there is little room.
fn letters(theme: Theme) -> Row {
    let mut row = Row::new();
    for owner in HOLDERS {
        row.push(span(owner.letter().to_string(), theme.badge(owner)));
        row.push(span(format!(" {} ", owner.name()), theme.owner(owner)));
    }
    row
}

/// Returns the keys that do something here, or the filter.
pub(super) fn footer(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    if let (Some(list), None) = (app.list(), &app.open)
        && (app.typing_filter || !list.filter().is_empty())
    {
        return filter_line(app, list, snapshot, width);
    }
    let sort = match app.list() {
        Some(list) if list.order().1 => format!("sort: {} ▴", list.order_name()),
        Some(list) => format!("sort: {}", list.order_name()),
        None => String::new(),
    };
    let opens = if app.tab == Tab::Threads { "connections" } else { "open" };
    let keys: &[(&str, &str)] = match (&app.open, app.tab) {
        (Some(Open::Connection(_)), _) => &[
            ("Esc", "back"),
            ("←→", "exchange"),
            ("w", "worst"),
            ("↑↓", "scroll"),
            ("p", "pause"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (Some(Open::Listener(_)), _) => {
            &[("Esc", "back"), ("↑↓", "scroll"), ("p", "pause"), ("?", "help"), ("q", "quit")]
        }
        (None, Tab::Findings) => &[
            ("↑↓", "select"),
            ("↵", "open"),
            ("Tab", "views"),
            ("p", "pause"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (None, _) => &[
            ("↵", opens),
            ("Tab", "views"),
            ("s", &sort),
            ("/", "filter"),
            ("p", "pause"),
            ("?", "help"),
            ("q", "quit"),
            ("r", "flip"),
            ("↑↓", "select"),
        ],
    };
    let mut row = Row::new();
    for (key, does) in keys {
        let item =
            [span(format!(" {key}"), theme.strong()), span(format!(" {does} "), theme.dim())];
        if columns(&row) + columns(&item) <= width {
            row.extend(item);
        }
    }
    Line::from(row)
}

fn filter_line(app: &App, list: &dyn Listing, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    let mut row = vec![
        span(" filter ", theme.reversed()),
        span(format!(" {}", escape(&list.filter().into())), theme.strong()),
        raw(if app.typing_filter { "▏" } else { " " }),
        span(
            format!(
                "  {} of {}   ",
                grouped(list.len() as u64),
                grouped(list.all(snapshot) as u64)
            ),
            theme.dim(),
        ),
    ];
    let looks_in = match app.tab {
        Tab::Connections => "address, command, pid, state, kind, tid N",
        Tab::Threads => "name, pid or tid",
        Tab::Queues | Tab::Findings => "address, command or pid",
    };
    let text = if app.typing_filter {
        format!("{looks_in}   ↵ keeps   Esc clears")
    } else {
        "/ changes   Esc clears".to_owned()
    };
    row.push(span(text, theme.dim()));
    spread(row, Row::new(), width)
}
