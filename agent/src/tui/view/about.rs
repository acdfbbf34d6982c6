//! What a finding is about, where a large screen has room for it below the words: the listener's
//! queue and history, the connection's worst exchange, the process's threads.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::queues::take;
use super::{aside, connections, panel, pattern, put};
use crate::model::snapshot::{Finding, Snapshot};
use crate::tui::app::App;
use crate::tui::subject::{Subject, subject};

/// The least lines that are worth having.
const LEAST: u16 = 8;

/// Draws the subject of a finding into what is left of an area below so many lines.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    finding: &Finding,
    frame: &mut Frame<'_>,
    (area, used): (Rect, usize),
) {
    let used = u16::try_from(used).unwrap_or(u16::MAX).saturating_add(1);
    let height = area.height.saturating_sub(used);
    if height < LEAST {
        return;
    }
    let mut area = Rect { y: area.y + used, height, ..area };
    let (width, room) = (usize::from(area.width), usize::from(height));
    let lines = match subject(snapshot, finding) {
        Subject::Listener(listener) => {
            let most = panel::most(listener, width).min(room);
            panel::draw(app.theme, snapshot, listener, frame, take(&mut area, most));
            take(&mut area, 1);
            aside::served(app.theme, snapshot, listener, width, area.height.into())
        }
        Subject::Connection(connection) => {
            connections::panel(app.theme, snapshot, connection, width, room)
        }
        Subject::Process(thread) => match pattern::of(snapshot, thread) {
            Some(family) => {
                let mut lines = pattern::headline(app.theme, snapshot, family, width);
                lines.extend(pattern::evidence(app.theme, family, width));
                lines
            }
            None => return,
        },
        Subject::Gone => return,
    };
    put(frame, area, lines);
}
