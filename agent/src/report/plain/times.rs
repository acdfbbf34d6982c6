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
        let before = std::mem::replace(&mut self.date, date.clone());
        // What follows a screen has no first line, and no lines from before midnight.
        let is_new = !before.is_empty() && before != date;
        is_new.then_some(date)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::model::WallClock;
    use crate::preferences::ClockChoice;
    use crate::time_of_day::Zone;

    const HOUR: u64 = 3_600_000_000_000;

    /// Times of a run that began at noon UTC, in a zone that is two hours ahead.
    fn times(in_lines: bool) -> Times {
        let wall = UNIX_EPOCH + Duration::from_secs(43_200);
        let zone = Zone::from(jiff::tz::TimeZone::posix("EET-2").expect("a zone"));
        let day = TimeOfDay::of(ClockChoice::Local, WallClock { mono_ns: 0, wall }, &zone);
        Times::new(day.expect("times of the day"), in_lines)
    }

    #[test]
    fn a_date_is_told_once_a_day() {
        let mut times = times(true);
        assert_eq!(times.begin(0), "1970-01-01 14:00:00 +02:00");
        assert_eq!(times.of_line(HOUR).as_deref(), Some("15:00:00.000"));
        assert_eq!(times.new_date(9 * HOUR), None);
        assert_eq!(times.new_date(10 * HOUR).as_deref(), Some("1970-01-02 +02:00"));
        assert_eq!(times.new_date(11 * HOUR), None);
        assert_eq!(times.new_date(60 * HOUR).as_deref(), Some("1970-01-04 +02:00"));
    }

    #[test]
    fn what_follows_a_screen_begins_without_a_date() {
        let mut times = times(true);
        assert_eq!(times.new_date(9 * HOUR), None);
        assert_eq!(times.new_date(10 * HOUR).as_deref(), Some("1970-01-02 +02:00"));
    }

    #[test]
    fn seconds_need_no_date() {
        let mut times = times(false);
        assert_eq!(times.begin(0), "1970-01-01 14:00:00 +02:00");
        assert_eq!((times.of_line(HOUR), times.new_date(60 * HOUR)), (None, None));
    }
}
