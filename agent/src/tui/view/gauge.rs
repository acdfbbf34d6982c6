//! A queue as a bar against its limit, with a mark at the peak.

use ratatui::style::Style;

use super::parts::{Row, span};
use crate::tui::theme::Theme;

const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const PEAK: char = '│';

/// Returns `filled` of `cells` (a share of 1) as a bar in eighths of a cell; anything above 0
/// shows.
pub(super) fn bar(theme: Theme, filled: f64, peak: Option<f64>, cells: usize, style: Style) -> Row {
    if cells == 0 {
        return Row::new();
    }
    let eighths = units(filled, cells * 8);
    let (full, part) = (eighths / 8, eighths % 8);
    let (track, track_style) = theme.track();
    let mut row = vec![span("█".repeat(full), style)];
    let mut used = full;
    if part > 0 {
        row.push(span(EIGHTHS[part - 1].to_string(), theme.on_track(style)));
        used += 1;
    }
    let peak_cell = units(peak.unwrap_or(0.0), cells);
    if peak_cell > used {
        row.push(span(track.to_string().repeat(peak_cell - 1 - used), track_style));
        row.push(span(PEAK.to_string(), theme.on_track(style)));
        used = peak_cell;
    }
    row.push(span(track.to_string().repeat(cells - used), track_style));
    row
}

/// Returns a share of `all`, rounded up for the least and down for the rest, so that only a full
/// bar looks full.
fn units(share: f64, all: usize) -> usize {
    let share = share.clamp(0.0, 1.0);
    if share > 0.0 { ((share * all as f64) as usize).clamp(1, all.max(1)) } else { 0 }
}

/// Returns a depth as a share of its limit. A limit of 0 still lets one connection wait.
pub(super) fn share(depth: u32, limit: u32) -> f64 {
    f64::from(depth) / f64::from(limit.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(row: &Row) -> String {
        row.iter().map(|piece| piece.content.as_ref()).collect()
    }

    #[test]
    fn fills_against_the_limit_and_marks_the_peak() {
        let draw = |filled, peak| text(&bar(Theme::plain(), filled, peak, 8, Style::new()));
        assert_eq!(draw(0.0, None), "········");
        assert_eq!(draw(0.001, None), "▏·······");
        assert_eq!(draw(0.5, Some(0.75)), "████·│··");
        assert_eq!(draw(0.999, None), "███████▉");
        assert_eq!(draw(2.0, Some(3.0)), "████████");
        assert_eq!(bar(Theme::plain(), 0.5, Some(0.7), 0, Style::new()), Row::new());
    }
}
