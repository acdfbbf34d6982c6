//! The frame of every view: header, tabs and footer.

use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::hints;
use super::parts::{Row, columns, raw, span, spread};
use crate::model::snapshot::{Owner, Severity, Snapshot};
use crate::tui::app::{App, Hits, Playback, Tab};
use crate::tui::keys::{self, Press};
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
    let cost = match snapshot.cost_share {
        Some(share) => percent(share),
        None => "–".to_owned(),
    };
    let facts = vec![
        span(format!("{} tier", escape(&snapshot.tier)), theme.dim()),
        span(format!("  {}", clock(snapshot.elapsed_us)), theme.strong()),
        span(format!("  cost {cost}  "), theme.dim()),
        lost,
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
                format!(" CONNECTIONS {} ", compact(snapshot.connections_open))
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

/// Returns the keys that do something here, or the filter. Remembers for the mouse where they are.
pub(super) fn footer(app: &App, snapshot: &Snapshot, area: Rect, hits: &mut Hits) -> Line<'static> {
    if let (Some(list), None) = (app.list(), &app.open)
        && (app.typing_filter || !list.filter().is_empty())
    {
        return filter_line(app, list, snapshot, area, hits);
    }
    let sort = match app.list() {
        Some(list) if list.order().1 => format!("sort: {} ▴", list.order_name()),
        Some(list) => format!("sort: {}", list.order_name()),
        None => String::new(),
    };
    let shown = keys::of(app.view(), app.playback.is_some()).filter(|key| !key.hint.is_empty());
    let hints = shown.map(|key| (key.presses, if key.hint == "sort" { &sort } else { key.hint }));
    hints::line(app.theme, Row::new(), hints, area, &mut hits.keys)
}

fn filter_line(
    app: &App,
    list: &dyn Listing,
    snapshot: &Snapshot,
    area: Rect,
    hits: &mut Hits,
) -> Line<'static> {
    let theme = app.theme;
    let (shown, all) = (grouped(list.len() as u64), grouped(list.all(snapshot) as u64));
    let mut row = vec![
        span(" filter ", theme.reversed()),
        span(format!(" {}", escape(&list.filter().into())), theme.strong()),
        raw(if app.typing_filter { "▏" } else { " " }),
        span(format!("  {shown} of {all}  "), theme.dim()),
    ];
    let looks_in = match app.tab {
        Tab::Connections => "address, command, pid, state, kind, tid N",
        Tab::Threads => "name, pid or tid",
        Tab::Queues | Tab::Findings => "address, command or pid",
    };
    let hints: &[(&[Press], &str)] = if app.typing_filter {
        row.push(span(format!("{looks_in}  "), theme.dim()));
        &[(&[("↵", KeyCode::Enter)], "keeps"), (&[("Esc", KeyCode::Esc)], "clears")]
    } else {
        &[(&[("/", KeyCode::Char('/'))], "changes"), (&[("Esc", KeyCode::Esc)], "clears")]
    };
    hints::line(theme, row, hints.iter().copied(), area, &mut hits.keys)
}
