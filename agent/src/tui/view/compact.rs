//! A small terminal: the worst finding, whose doing it is, and the queue, in words.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{Row, cut, raw, span, spread};
use super::{hints, put, track, verdict};
use crate::model::snapshot::{Finding, Holder, ListenerView, Snapshot};
use crate::tui::app::{App, Hits};
use crate::tui::keys::{self, View};
use crate::tui::text::{clock, compact, count_of, duration, escape, grouped, rate, wrap};
use crate::tui::theme::{Theme, shape};

/// Lines from which on a replay shows its time line.
const TRACK: u16 = 14;

/// Draws the header, as much as there is room for, and the keys.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let width = usize::from(area.width);
    let line = |y: u16| Rect { y: area.y + y, height: 1, ..area };
    put(frame, line(0), vec![header(app, snapshot, width)]);
    let mut foot = 1;
    if let Some(playback) = app.playback.filter(|_| area.height >= TRACK) {
        foot += 2;
        let place = Rect { y: area.height - foot, height: 2, ..area };
        put(frame, place, track::lines(app, playback, place, hits));
    }
    let body = Rect { y: area.y + 1, height: area.height - 1 - foot, ..area };
    put(frame, body, lines(app, snapshot, width, body.height.into()));
    let mut row = Row::new();
    if app.paused {
        row.push(span(" ‖ PAUSED ", app.theme.reversed()));
    }
    let hints = keys::of(View::Compact, app.playback.is_some()).map(|key| (key.presses, key.hint));
    let last = line(area.height - 1);
    let keys = hints::line(app.theme, row, hints, last, &mut hits.keys);
    put(frame, last, vec![keys]);
}

/// Says that a terminal is too small even for that.
pub(super) fn too_small(frame: &mut Frame<'_>, area: Rect, least: (u16, u16)) {
    let text = format!(
        "backscope needs {} × {} characters, this terminal has {} × {}. q quits; --plain writes \
         lines instead.",
        least.0, least.1, area.width, area.height
    );
    put(frame, area, wrap(&text, area.width.into()).into_iter().map(Line::from).collect());
}

fn header(app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme;
    let target = vec![span(format!(" {}", escape(&snapshot.target)), theme.strong())];
    let mut facts = Row::new();
    if snapshot.lost > 0 {
        facts.push(span(format!("▲ lost {} ", compact(snapshot.lost)), theme.loss()));
    }
    match app.playback {
        Some(playback) => {
            let sign = if playback.playing { "▶" } else { "‖" };
            let (at, all) = (clock(playback.position_us), clock(playback.length_us));
            facts.push(span(format!("{sign} {at} / {all} "), theme.reversed()));
        }
        None => facts.push(span(format!("{} ", clock(snapshot.elapsed_us)), theme.dim())),
    }
    spread(target, facts, width)
}

/// Returns the worst finding or that there is none, the listener's queue, and what more there is
/// room for: the rest of the finding, further listeners, further findings.
fn lines(app: &App, snapshot: &Snapshot, width: usize, room: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut out = Vec::new();
    let worst = snapshot.findings.first();
    match worst {
        Some(worst) => out.extend(finding(theme, worst, width)),
        None => out.push(Line::from(vec![raw(" ✔ "), span("No finding now.", theme.strong())])),
    }
    let subject = worst.and_then(|worst| verdict::listener_of(snapshot, worst));
    let selected = subject.or_else(|| app.listeners.selected(snapshot));
    match selected {
        Some(listener) => {
            let is_named = worst.is_some_and(|worst| worst.sock == listener.sock);
            out.extend(queue(theme, listener, !is_named, width));
        }
        None => out.extend(datagrams(theme, snapshot, width)),
    }
    let spare = |out: &Vec<Line<'_>>| room.saturating_sub(out.len());
    if let Some(worst) = worst {
        let (text, fix) = (escape(&worst.text), format!("Try: {}", escape(&worst.fix)));
        let (text, fix) = (indented(&text, width), indented(&fix, width));
        if text.len() + fix.len() <= spare(&out) {
            out.extend(text);
        }
        out.extend(shortened(fix, spare(&out)));
    }
    for listener in &snapshot.listeners {
        let is_shown = selected.is_some_and(|selected| selected.sock == listener.sock);
        let lines = queue(theme, listener, true, width);
        if !is_shown && lines.len() < spare(&out) {
            out.extend(lines);
        }
    }
    for more in snapshot.findings.iter().skip(1) {
        let lines = finding(theme, more, width);
        if lines.len() < spare(&out) {
            out.extend(lines);
        }
    }
    out
}

/// Returns a finding's headline, and whose doing it is at what.
fn finding(theme: Theme, finding: &Finding, width: usize) -> Vec<Line<'static>> {
    let style = theme.severity(finding.severity);
    let mut out = Vec::new();
    for (at, line) in
        wrap(&escape(&finding.headline), width.saturating_sub(4)).into_iter().enumerate()
    {
        let mark = if at == 0 { shape(finding.severity) } else { ' ' };
        out.push(Line::from(vec![span(format!(" {mark} "), style), span(line, style)]));
    }
    let whose = match finding.holder() {
        Holder::Unknown => " ?  owner unknown ".to_owned(),
        holder => format!(" {}  the {}'s doing ", holder.letter(), holder.name()),
    };
    let row = vec![
        raw("   "),
        span(whose, theme.badge(finding.holder())),
        span(format!(" {}", escape(&finding.subject)), theme.dim()),
    ];
    out.push(Line::from(cut(row, width)));
    out
}

/// Returns a listener's queue as a sentence, behind its address unless that has just been said.
fn queue(
    theme: Theme,
    listener: &ListenerView,
    is_named: bool,
    width: usize,
) -> Vec<Line<'static>> {
    let limit = grouped(listener.limit.into());
    let waiting = match listener.depth {
        0 => format!("the accept queue is empty, limit {limit}"),
        1 => format!("1 client waits for accept(), limit {limit}"),
        n => format!("{} clients wait for accept(), limit {limit}", grouped(n.into())),
    };
    let mut said = vec![waiting];
    if listener.closed {
        said = vec!["it has stopped listening".to_owned()];
    }
    let refused = listener.totals.overflows();
    if refused > 0 {
        let now = match listener.rates.overflows {
            rate_now if rate_now > 0.0 => format!(", {} a second", rate(rate_now)),
            _ => ", none now".to_owned(),
        };
        said.push(format!("{} refused{now}", grouped(refused)));
    }
    if listener.wait.count > 0 {
        said.push(format!("wait p99 {}", duration(listener.wait.p99)));
    }
    let said = said.join("; ");
    if is_named {
        named(theme, &listener.local.to_string(), &said, width)
    } else {
        let mut letters = said.chars();
        let first = letters.next().map(|first| first.to_uppercase().to_string());
        indented(&format!("{}{}.", first.unwrap_or_default(), letters.as_str()), width)
    }
}

/// Returns as many lines as there is room for, with an ellipsis where there were more.
fn shortened(mut lines: Vec<Line<'static>>, room: usize) -> Vec<Line<'static>> {
    if lines.len() > room {
        lines.truncate(room);
        if let Some(last) = lines.last_mut() {
            last.push_span(raw(" …"));
        }
    }
    lines
}

/// Says what there is where no TCP socket listens.
fn datagrams(theme: Theme, snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let Some(socket) = snapshot.datagrams.first() else {
        return indented("No socket listens yet; the watch goes on.", width);
    };
    let mut said = format!(
        "receive buffer {:.0} % full",
        100.0 * socket.queued_bytes as f64 / socket.buffer_bytes.max(1) as f64
    );
    if socket.drops > 0 {
        said.push_str(&format!("; {} dropped", count_of(socket.drops, "datagram")));
    }
    named(theme, &format!("UDP {}", socket.local), &said, width)
}

/// Returns a sentence behind a name, the name on its first line.
fn named(theme: Theme, name: &str, said: &str, width: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let indent = " ".repeat(3);
    let lines = wrap(&format!("{name}: {said}."), width.saturating_sub(4));
    for (at, line) in lines.into_iter().enumerate() {
        let mut row = vec![raw(indent.clone())];
        match line.strip_prefix(name) {
            Some(rest) if at == 0 => {
                row.push(span(name.to_owned(), theme.strong()));
                row.push(raw(rest.to_owned()));
            }
            _ => row.push(raw(line)),
        }
        out.push(Line::from(cut(row, width)));
    }
    out
}

fn indented(text: &str, width: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for line in wrap(text, width.saturating_sub(4)) {
        out.push(Line::from(vec![raw("   "), Span::from(line)]));
    }
    out
}
