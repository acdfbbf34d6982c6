//! The frame of every view: header, tabs and footer.

use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{Row, columns, raw, span, spread};
use super::{banner, hints};
use crate::model::snapshot::{Holder, Severity, Snapshot};
use crate::tui::app::{App, Hits, Playback, Tab};
use crate::tui::keys::{self, Press};
use crate::tui::list::Listing;
use crate::tui::text::{clock, compact, escape, grouped, percent};
use crate::tui::theme::Theme;

/// Columns from which on the header and the tabs have room for what is good to know.
const WIDE: usize = 110;

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
    let mut facts = banner::recording(snapshot, theme);
    facts.push(span(format!("{} tier", escape(&snapshot.tier)), theme.dim()));
    facts.extend(time_of_day(app, snapshot, width));
    facts.extend([
        span(format!("  {}", clock(snapshot.elapsed_us)), theme.strong()),
        span(format!("  cost {cost}  "), theme.dim()),
        lost,
        not_kept,
    ]);
    spread(target, facts, width)
}

/// Returns the time of day of what is shown. It has the date where there is room, and where the
/// reader may take it for today's: in a replay, and once the watch has gone on past midnight.
fn time_of_day(app: &App, snapshot: &Snapshot, width: usize) -> Row {
    let Some(day) = &app.time_of_day else { return Row::new() };
    let now_ns = snapshot.now_ns;
    let began_ns = now_ns.saturating_sub(snapshot.elapsed_us.saturating_mul(1_000));
    let dated = width >= WIDE || app.playback.is_some() || !day.is_same_day(began_ns, now_ns);
    let mut row = vec![raw("  ")];
    if dated {
        row.push(span(format!("{} ", day.date(now_ns)), app.theme.dim()));
    }
    row.push(span(day.seconds(now_ns), app.theme.strong()));
    row
}

/// Returns the tabs, the one in front reversed, and the legend of the colours.
pub(super) fn tabs(app: &App, snapshot: &Snapshot, area: Rect, hits: &mut Hits) -> Line<'static> {
    let theme = app.theme;
    let wide = usize::from(area.width) >= WIDE;
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
            Tab::Findings => findings(snapshot, app.playback.is_none() || wide),
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
    let holders = holders(snapshot);
    let legends = [
        legend(theme, if wide { "time held by  " } else { "" }, &holders),
        letters(theme, &holders, Holder::name),
        letters(theme, &holders, short_name),
    ];
    // Short names only where there is one more holder than usual.
    let shown = if holders.len() == HOLDERS.len() { 3 } else { 2 };
    let fits = legends.into_iter().take(shown).find(|legend| columns(legend) < room);
    let legend = fits.unwrap_or_default();
    spread(row, legend, width)
}

/// Returns how many findings stand and how many have ended: " FINDINGS 1 · 2 past ".
fn findings(snapshot: &Snapshot, has_room: bool) -> String {
    match (snapshot.findings.len(), snapshot.past_findings.len()) {
        (standing, 0) => format!(" FINDINGS {standing} "),
        (0, past) => format!(" FINDINGS {past} past "),
        (standing, past) if has_room => format!(" FINDINGS {standing} · {past} past "),
        (standing, _) => format!(" FINDINGS {standing} "),
    }
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

const HOLDERS: [Holder; 5] =
    [Holder::Kernel, Holder::App, Holder::Upstream, Holder::Network, Holder::Peer];

/// Returns the holders of time; upstreams where the process calls any.
fn holders(snapshot: &Snapshot) -> Vec<Holder> {
    let calls = !snapshot.proxies.is_empty() || snapshot.held.of(Holder::Upstream) > 0;
    let mut holders = HOLDERS.to_vec();
    holders.retain(|&holder| holder != Holder::Upstream || calls);
    holders
}

/// Returns the name of a holder where there is the least room.
fn short_name(holder: Holder) -> &'static str {
    match holder {
        Holder::Kernel => "kern",
        Holder::Upstream => "upstr",
        Holder::Network => "net",
        holder => holder.name(),
    }
}

/// Returns the meaning of colours and letters.
fn legend(theme: Theme, title: &'static str, holders: &[Holder]) -> Row {
    let mut row = vec![span(title, theme.dim())];
    for &owner in holders {
        row.push(span(format!(" {} ", owner.letter()), theme.badge(owner)));
        row.push(span(format!(" {} ", owner.name()), theme.owner(owner)));
    }
    row
}

/// Returns the legend for where there is little room.
fn letters(theme: Theme, holders: &[Holder], name: fn(Holder) -> &'static str) -> Row {
    let mut row = Row::new();
    for &owner in holders {
        row.push(span(owner.letter().to_string(), theme.badge(owner)));
        row.push(span(format!(" {} ", name(owner)), theme.owner(owner)));
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
        None if app.finding_order.reversed => format!("sort: {} ▴", app.finding_order.name()),
        None => format!("sort: {}", app.finding_order.name()),
    };
    let shown = keys::of(app.view(), app.playback.is_some()).filter(|key| !key.hint.is_empty());
    let other_side = app.other_side().map(|other| other.word());
    let hints = shown.filter_map(|key| match key.hint {
        "sort" => Some((key.presses, sort.as_str())),
        // Not every exchange has one.
        "call" => Some((key.presses, other_side?)),
        hint => Some((key.presses, hint)),
    });
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
