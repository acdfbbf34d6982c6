//! The time line of a replay: where it is, where findings begin and end, what is missing.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use super::parts::{Row, columns, cut, raw, span};
use crate::tui::app::{App, Hits, Playback};
use crate::tui::keys::REPLAY_KEYS;
use crate::tui::text::{clock, count_of, escape};
use crate::tui::theme::{Theme, shape};
use crate::tui::track::{Track, cell};
use crate::tui::view::hints;

/// Height of a screen from which on a line says in words what is marked where the replay is.
const TALL: u16 = 30;
/// Width from which on the ends have the clock on the wall.
const WIDE: u16 = 60;

/// Returns the lines that the time line takes on a screen of this size.
pub(super) fn height(area: Rect) -> u16 {
    if area.height >= TALL { 3 } else { 2 }
}

/// Returns the time line, below it in words what stands there if that has room, and the keys.
pub(super) fn lines(
    app: &App,
    playback: Playback,
    area: Rect,
    hits: &mut Hits,
) -> Vec<Line<'static>> {
    let theme = app.theme;
    let row = |at: u16| Rect { y: area.y + at, height: 1, ..area };
    let mut out = vec![line(theme, &app.track, playback, row(0), hits)];
    if area.height > 2 {
        out.push(words(theme, &app.track, playback, area.width.into()));
    }
    let keys = REPLAY_KEYS.iter().map(|key| {
        let hint = match (key.hint, playback.playing) {
            ("play/pause", true) => "pause",
            ("play/pause", false) => "play",
            (hint, _) => hint,
        };
        (key.presses, hint)
    });
    out.push(hints::line(theme, Row::new(), keys, row(area.height - 1), &mut hits.keys));
    out
}

fn line(
    theme: Theme,
    track: &Track,
    playback: Playback,
    area: Rect,
    hits: &mut Hits,
) -> Line<'static> {
    let ends = match &track.ends {
        Some((begin, end)) if area.width >= WIDE => (begin.clone(), end.clone()),
        _ => (clock(0), clock(playback.length_us)),
    };
    let mut row = vec![span(format!(" {} ", ends.0), theme.dim())];
    let end = span(format!(" {} ", ends.1), theme.dim());
    let x = area.x + columns(&row) as u16;
    let cells = area.width.saturating_sub(columns(&row) as u16 + end.width() as u16);
    hits.track = Rect { x, y: area.y, width: cells, height: 1 };
    for (c, style) in drawn(theme, track, playback, cells) {
        row.push(span(c.to_string(), style));
    }
    row.push(end);
    Line::from(row)
}

/// Returns each cell. What tells more covers what tells less: marks, damage, pauses, findings that
/// last, and what was played.
fn drawn(theme: Theme, track: &Track, playback: Playback, cells: u16) -> Vec<(char, Style)> {
    let at = |us: u64| usize::from(cell(us, playback.length_us, cells));
    let position = at(playback.position_us);
    let mut out = vec![('─', theme.dim()); cells.into()];
    for done in out.iter_mut().take(position) {
        *done = ('━', theme.strong());
    }
    // Later ones, and worse ones, lie on top.
    let mut marks: Vec<_> = track.marks.iter().collect();
    marks.sort_by_key(|mark| mark.severity);
    for mark in &marks {
        let until = at(mark.until_us.unwrap_or(playback.length_us));
        let style = theme.owner(mark.holder);
        for lasting in out.iter_mut().take(until + 1).skip(at(mark.from_us)) {
            *lasting = ('═', style);
        }
        if mark.until_us.is_some()
            && let Some(ended) = out.get_mut(until)
        {
            *ended = ('╡', style);
        }
    }
    for gap in &track.gaps {
        let sign = if gap.is_damage { ('✗', theme.loss()) } else { ('┄', theme.dim()) };
        for missing in out.iter_mut().take(at(gap.until_us) + 1).skip(at(gap.from_us)) {
            *missing = sign;
        }
    }
    for mark in &marks {
        if let Some(begun) = out.get_mut(at(mark.from_us)) {
            *begun = (shape(mark.severity), theme.severity(mark.severity));
        }
    }
    for played in out.iter_mut().take(position) {
        played.1 = played.1.add_modifier(Modifier::BOLD);
    }
    if let Some(here) = out.get_mut(position) {
        here.1 = here.1.add_modifier(Modifier::REVERSED | Modifier::BOLD);
    }
    out
}

/// Says what stands at the moment that is shown, and what comes next.
fn words(theme: Theme, track: &Track, playback: Playback, width: usize) -> Line<'static> {
    let here = playback.position_us;
    let mut row = vec![raw(" ")];
    let standing: Vec<_> = track.marks.iter().filter(|mark| mark.stands_at(here)).collect();
    if let Some(gap) = track.gaps.iter().find(|gap| gap.from_us <= here && here < gap.until_us) {
        let text = if gap.is_damage {
            "this part of the recording is damaged   "
        } else {
            "exchanges were not watched here, to keep to a budget   "
        };
        row.push(span(text, theme.strong()));
    }
    if let Some(worst) = standing.iter().max_by_key(|mark| mark.severity) {
        let severity = theme.severity(worst.severity);
        let from = clock(worst.from_us);
        let lasts = match worst.until_us {
            Some(until_us) => format!("{from} to {}  ", clock(until_us)),
            None => format!("from {from} on  "),
        };
        row.push(span(format!("{} ", shape(worst.severity)), severity));
        row.push(span(lasts, theme.dim()));
        if standing.len() > 1 {
            row.push(span(format!("(+{})  ", standing.len() - 1), theme.dim()));
        }
        // It is known from the end on: at this moment its figures were others.
        row.push(span(format!("{}, in the end: ", escape(&worst.subject)), theme.dim()));
        row.push(span(escape(&worst.headline), severity));
    } else {
        let next = track.marks.iter().find(|mark| mark.from_us > here);
        let all = count_of(track.marks.len() as u64, "finding");
        let text = match next {
            Some(mark) => format!("no finding here; the next at {}, of {all}", clock(mark.from_us)),
            None if track.marks.is_empty() => "no finding in the whole recording".to_owned(),
            None => format!("no finding here or later; {all} before"),
        };
        row.push(span(text, theme.dim()));
    }
    Line::from(cut(row, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Holder, Severity};
    use crate::tui::track::{Gap, Mark};

    fn mark(from_us: u64, until_us: Option<u64>, severity: Severity) -> Mark {
        let (subject, headline) = ("a listener".into(), "It is full.".into());
        Mark { from_us, until_us, severity, holder: Holder::App, subject, headline }
    }

    fn playback(position_us: u64) -> Playback {
        Playback { playing: true, position_us, length_us: 20, speed: 1.0, damages: 0 }
    }

    fn text(track: &Track, position_us: u64) -> String {
        drawn(Theme::plain(), track, playback(position_us), 21).iter().map(|(c, _)| c).collect()
    }

    #[test]
    fn findings_begin_last_and_end_and_gaps_stand_out() {
        let marks = vec![
            mark(3, Some(7), Severity::Critical),
            mark(5, None, Severity::Info),
            mark(12, Some(12), Severity::Warning),
        ];
        let gap = |from_us, until_us, is_damage| Gap { from_us, until_us, is_damage };
        let gaps = vec![gap(9, 10, false), gap(15, 15, true)];
        let track = Track { marks, gaps, ends: None };
        assert_eq!(text(&track, 0), "───▲═●═╡═┄┄═◆══✗═════");
        assert_eq!(text(&track, 2), "━━─▲═●═╡═┄┄═◆══✗═════");
        let here = drawn(Theme::plain(), &track, playback(3), 21);
        let reversed = |at: usize| here[at].1.add_modifier.contains(Modifier::REVERSED);
        assert_eq!([2, 3, 4].map(reversed), [false, true, false]);
    }

    #[test]
    fn words_say_what_stands_and_what_comes() {
        let track = Track { marks: vec![mark(3, Some(7), Severity::Critical)], ..Track::default() };
        let say = |at| words(Theme::plain(), &track, playback(at), 120).to_string();
        assert!(say(0).contains("the next at 00:00, of 1 finding"), "{}", say(0));
        assert!(
            say(4).contains("▲ 00:00 to 00:00  a listener, in the end: It is full."),
            "{}",
            say(4)
        );
        assert!(say(9).contains("no finding here or later; 1 finding before"), "{}", say(9));
    }
}
