//! Times of lines: seconds since the attach, or the time of day.

use crate::time_of_day::TimeOfDay;

/// Times of a run's lines.
#[derive(Clone, Debug)]
pub struct Times {
    day: TimeOfDay,
    in_lines: bool,
    /// The date that was written last.
    date: String,
}

impl Times {
    /// Makes times of the day, which the run's first line has; `in_lines`, each line begins with its
    /// own in place of the seconds.
    pub fn new(day: TimeOfDay, in_lines: bool) -> Self {
        Self { day, in_lines, date: String::new() }
    }

    /// Returns a time for the run's first line, and takes it for the date that is known.
    pub(super) fn begin(&mut self, ts_ns: u64) -> String {
        self.date = self.day.date_and_offset(ts_ns);
        self.day.whole(ts_ns)
    }

    /// Returns the time of day that a line begins with, if it begins with one.
    pub(super) fn of_line(&self, ts_ns: u64) -> Option<String> {
        self.in_lines.then(|| self.day.line(ts_ns))
    }

    /// Returns the date if it is another than that which was written last, or the zone's offset is:
    /// the times of lines have neither.
    pub(super) fn new_date(&mut self, ts_ns: u64) -> Option<String> {
        if !self.in_lines {
            return None;
        }
        let date = self.day.date_and_offset(ts_ns);
        let is_new = date != self.date;
        self.date.clone_from(&date);
        is_new.then_some(date)
    }
}
