//! The screen while a recording is looked through, before it is played.

use ratatui::Frame;
use ratatui::text::{Line, Text};

use super::text::{grouped, percent};

/// Draws how much of the file has been read, and how many entries that were.
pub fn draw_progress(frame: &mut Frame<'_>, share: f64, entries: u64) {
    let share = share.clamp(0.0, 1.0);
    let area = frame.area();
    let room = usize::from(area.width).saturating_sub(2).min(60);
    let done = (share * room as f64) as usize;
    let bar = format!(" {}{}", "━".repeat(done), "─".repeat(room - done));
    let lines = vec![
        Line::default(),
        Line::from(" Looking through the recording for findings and gaps …"),
        Line::from(bar),
        Line::from(format!(" {} read, {} entries", percent(share), grouped(entries))),
        Line::default(),
        Line::from(" q quits"),
    ];
    frame.render_widget(Text::from(lines), area);
}
