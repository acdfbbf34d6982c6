//! What is marked on the time line of a replay, and which moment each of its cells stands for.

use ratatui::layout::Rect;

use crate::model::snapshot::{Holder, Severity};
use crate::text::Untrusted;

/// What is known of a whole recording before it is played. Times are µs since its beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    /// The findings, in the order in which they begin.
    pub marks: Vec<Mark>,
    /// Parts of which less is known, by their beginning.
    pub gaps: Vec<Gap>,
    /// The clock on the wall at both ends, where it is known.
    pub ends: Option<(String, String)>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// It begins.
    pub from_us: u64,
    /// It ends; `None` if it stands at the end.
    pub until_us: Option<u64>,
    /// How bad it is.
    pub severity: Severity,
    /// Whose doing it is.
    pub holder: Holder,
    /// What it is about.
    pub subject: Untrusted,
    /// What it says.
    pub headline: Untrusted,
}

/// A part of which less is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its beginning.
    pub from_us: u64,
    /// Its end.
    pub until_us: u64,
    /// The recording is damaged; otherwise exchanges were not watched.
    pub is_damage: bool,
}

impl Mark {
    /// True if the finding stands at this moment.
    pub(super) fn stands_at(&self, us: u64) -> bool {
        self.from_us <= us && self.until_us.is_none_or(|until_us| us < until_us)
    }
}

/// Returns the cell of a moment, on a line of so many cells. The first is the beginning, the last
/// the end.
pub(super) fn cell(us: u64, length_us: u64, cells: u16) -> u16 {
    let last = u128::from(cells.saturating_sub(1));
    let at = u128::from(us) * last / u128::from(length_us.max(1));
    at.min(last) as u16
}

impl Track {
    /// Returns the moment that a click on a column goes to: where a finding begins, if one does in
    /// that cell, else the cell's own.
    pub(super) fn moment(&self, area: Rect, column: u16, length_us: u64) -> u64 {
        let at = column.saturating_sub(area.x);
        let begins = |mark: &&Mark| cell(mark.from_us, length_us, area.width) == at;
        if let Some(mark) = self.marks.iter().filter(begins).max_by_key(|mark| mark.severity) {
            return mark.from_us;
        }
        let last = u128::from(area.width.saturating_sub(1).max(1));
        // Rounded up, so that the moment is within its cell.
        let us = (u128::from(length_us) * u128::from(at)).div_ceil(last);
        u64::try_from(us).unwrap_or(length_us).min(length_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(from_us: u64, severity: Severity) -> Mark {
        let (subject, headline) = ("s".into(), "h".into());
        Mark { from_us, until_us: None, severity, holder: Holder::App, subject, headline }
    }

    #[test]
    fn a_click_goes_to_the_moment_that_is_drawn_there() {
        let area = Rect { x: 5, y: 1, width: 61, height: 1 };
        let track = Track::default();
        for column in 5..66 {
            let us = track.moment(area, column, 1_234_567);
            assert_eq!(cell(us, 1_234_567, 61), column - 5);
        }
        assert_eq!((track.moment(area, 5, 600), track.moment(area, 65, 600)), (0, 600));
        assert_eq!(cell(9, 0, 61), 60, "a recording of no length has one moment");
        assert_eq!(track.moment(area, 90, 600), 600, "beyond the line");
    }

    #[test]
    fn a_click_on_a_mark_goes_to_where_it_begins() {
        let area = Rect { x: 0, y: 0, width: 11, height: 1 };
        let marks = vec![mark(205, Severity::Info), mark(230, Severity::Critical)];
        let track = Track { marks, ..Track::default() };
        assert_eq!(track.moment(area, 2, 1_000), 230, "the worst one");
        assert_eq!(track.moment(area, 3, 1_000), 300);
    }
}
