//! What a user must know at once, whatever is in front: that nobody is left to watch, what became
//! of the recording, and what came of the last key.

use ratatui::text::Line;

use super::parts::{Row, columns, cut, span, spread};
use crate::model::{Ended, Recording, snapshot::Snapshot};
use crate::text::{Untrusted, count_of};
use crate::tui::app::App;
use crate::tui::text::{clip, escape, wrap};
use crate::tui::theme::Theme;

/// Most lines of feedback.
const MOST_TOLD: usize = 3;

const LEAVE: &str = " q leaves ";
const LOOK: &str = " the screen stands still: look around, q leaves ";

/// Returns the lines between the tabs and the view; none while all is as usual.
pub(super) fn lines(app: &App, width: usize) -> Vec<Line<'static>> {
    // A paused screen shows an older state, and somebody waits for it to go on.
    let Some(newest) = app.waiting.as_ref().or(app.shown.as_ref()) else { return Vec::new() };
    let mut lines = Vec::new();
    if newest.ended.over_ns.is_some() {
        lines.push(ended(&newest.ended, app, width));
    }
    if let Some(Recording { stopped: Some(stopped), .. }) = &newest.recording {
        let told =
            format!("the recording has ended: {}; the watch goes on", escape(&stopped.reason));
        let row = vec![span(" ▲ ", app.theme.loss()), span(told, app.theme.loss())];
        lines.push(Line::from(cut(row, width)));
    }
    lines
}

/// Says who ended, and how; of a live watch that the user may look on.
fn ended(ended: &Ended, app: &App, width: usize) -> Line<'static> {
    let mut who = match ended.processes.last() {
        Some(process) => escape(&process.words()),
        None => "nobody is left to watch".to_owned(),
    };
    if ended.count > 1 {
        who += &format!(", the last of {}", count_of(ended.count, "target"));
    }
    let style = app.theme.reversed();
    let row = |who: String, hint: &'static str| {
        (vec![span(" ■ ", app.theme.strong()), span(format!(" {who} "), style)], hint)
    };
    let hints: &[&'static str] = if app.playback.is_some() { &[""] } else { &[LOOK, LEAVE] };
    for hint in hints {
        let (row, hint) = row(who.clone(), hint);
        if columns(&row) + hint.chars().count() <= width {
            return spread(row, vec![span(hint, app.theme.strong())], width);
        }
    }
    let hint = hints.last().copied().unwrap_or_default();
    let room = width.saturating_sub(5 + hint.chars().count());
    let (row, hint) = row(clip(&who, room), hint);
    spread(row, vec![span(hint, app.theme.strong())], width)
}

/// Returns what the header says of the recording: that there is one, or that it ended early.
pub(super) fn recording(snapshot: &Snapshot, theme: Theme) -> Row {
    match &snapshot.recording {
        None => Row::new(),
        Some(recording) if recording.stopped.is_none() => vec![span("● rec  ", theme.strong())],
        Some(_) => vec![span("▲ rec ended  ", theme.loss())],
    }
}

/// Returns the feedback on the last key, which takes the place of the footer.
pub(super) fn told(told: &Untrusted, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for line in wrap(&escape(told), width.saturating_sub(2)).into_iter().take(MOST_TOLD) {
        lines.push(Line::from(span(format!(" {line} "), theme.reversed())));
    }
    lines
}
