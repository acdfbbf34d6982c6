//! Kernel time as the time of day: in this machine's time zone, or in UTC.
//!
//! All times of a run are reckoned from one moment at which both clocks were read, the attach. So
//! they stay in order, and right by the kernel's own clock, even if the machine's time is set
//! meanwhile. The time zone is read once and held: rights to read files are given up later.

use std::time::SystemTime;

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

use crate::{model::WallClock, preferences::ClockChoice};

/// Turns kernel times into the time of day.
#[derive(Clone, Debug)]
pub struct TimeOfDay {
    clock: WallClock,
    zone: TimeZone,
    is_utc: bool,
}

/// A time zone, once it was read.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Reads the time zone of this machine (`TZ`, else `/etc/localtime`): UTC if it has none.
    pub fn of_this_machine() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }
}

impl From<TimeZone> for Zone {
    fn from(zone: TimeZone) -> Self {
        Self(zone)
    }
}

impl TimeOfDay {
    /// Returns what makes times of this choice; `None` if they are not of the day.
    pub fn of(choice: ClockChoice, clock: WallClock, zone: &Zone) -> Option<Self> {
        match choice {
            ClockChoice::Elapsed => None,
            ClockChoice::Local => Some(Self { clock, zone: zone.0.clone(), is_utc: false }),
            ClockChoice::Utc => Some(Self { clock, zone: TimeZone::UTC, is_utc: true }),
        }
    }

    fn at(&self, ts_ns: u64) -> ZonedDateTime {
        let time = self.clock.at(ts_ns);
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let ns = i32::try_from(since.subsec_nanos()).unwrap_or(0);
        // The clock keeps to years that RFC 3339 can write, and so can this.
        let time = Timestamp::new(second, ns).unwrap_or(Timestamp::MAX);
        time.to_zoned_datetime(self.zone.clone())
    }

    /// "14:03:22"; in UTC "14:03:22Z".
    pub fn seconds(&self, ts_ns: u64) -> String {
        let mark = if self.is_utc { "Z" } else { "" };
        format!("{}{mark}", self.at(ts_ns).strftime("%H:%M:%S"))
    }

    /// "14:03:22.512".
    pub fn millis(&self, ts_ns: u64) -> String {
        self.at(ts_ns).strftime("%H:%M:%S.%3f").to_string()
    }

    /// "14:03:22.512"; in UTC "14:03:22.512Z".
    pub fn line(&self, ts_ns: u64) -> String {
        let mark = if self.is_utc { "Z" } else { "" };
        format!("{}{mark}", self.millis(ts_ns))
    }

    /// "2026-12-01 +01:00": all that the times of lines leave out.
    pub fn date_and_offset(&self, ts_ns: u64) -> String {
        self.at(ts_ns).strftime("%Y-%m-%d %:z").to_string()
    }

    /// "11-30 14:03:22", for a time of another day.
    pub fn with_day(&self, ts_ns: u64) -> String {
        self.at(ts_ns).strftime("%m-%d %H:%M:%S").to_string()
    }

    /// "2026-12-01".
    pub fn date(&self, ts_ns: u64) -> String {
        self.at(ts_ns).strftime("%Y-%m-%d").to_string()
    }

    /// "2026-12-01 14:03:22 +01:00", which nobody can mistake.
    pub fn whole(&self, ts_ns: u64) -> String {
        self.at(ts_ns).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// True if two times are of one day.
    pub fn is_same_day(&self, a_ns: u64, b_ns: u64) -> bool {
        self.at(a_ns).date() == self.at(b_ns).date()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const ATTACH: u64 = 500 * SECOND;

    /// A clock whose watch was attached at this time.
    fn of(choice: ClockChoice, attached: &str, zone: &str) -> TimeOfDay {
        let attached: Timestamp = attached.parse().expect("a time");
        let wall = UNIX_EPOCH + Duration::from_secs(attached.as_second().cast_unsigned());
        let zone = Zone::from(TimeZone::posix(zone).expect("a zone"));
        TimeOfDay::of(choice, WallClock { mono_ns: ATTACH, wall }, &zone).expect("a time of day")
    }

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    #[test]
    fn a_time_is_that_of_the_zone() {
        let ts_ns = ATTACH + 22 * SECOND + 512_999_999;
        let local = of(ClockChoice::Local, "2026-12-01T13:03:00Z", BERLIN);
        assert_eq!(
            (local.seconds(ts_ns), local.millis(ts_ns), local.whole(ts_ns)),
            ("14:03:22".into(), "14:03:22.512".into(), "2026-12-01 14:03:22 +01:00".into())
        );
        let utc = of(ClockChoice::Utc, "2026-12-01T13:03:00Z", BERLIN);
        assert_eq!(
            (utc.seconds(ts_ns), utc.millis(ts_ns), utc.whole(ts_ns)),
            ("13:03:22Z".into(), "13:03:22.512".into(), "2026-12-01 13:03:22 +00:00".into())
        );
        let zone = Zone::from(TimeZone::UTC);
        let clock = WallClock { mono_ns: 0, wall: UNIX_EPOCH };
        assert!(TimeOfDay::of(ClockChoice::Elapsed, clock, &zone).is_none());
    }

    #[test]
    fn days_turn_at_midnight_of_the_zone() {
        let local = of(ClockChoice::Local, "2026-12-31T22:59:58Z", BERLIN);
        let after = ATTACH + 3 * SECOND;
        assert_eq!(
            (local.date(ATTACH), local.seconds(ATTACH)),
            ("2026-12-31".into(), "23:59:58".into())
        );
        assert_eq!(
            (local.date(after), local.seconds(after)),
            ("2027-01-01".into(), "00:00:01".into())
        );
        assert_eq!(local.with_day(ATTACH), "12-31 23:59:58");
        assert!(!local.is_same_day(ATTACH, after) && local.is_same_day(ATTACH, ATTACH + SECOND));
        let utc = of(ClockChoice::Utc, "2026-12-31T22:59:58Z", BERLIN);
        assert!(utc.is_same_day(ATTACH, after));
    }

    #[test]
    fn a_run_of_days_and_what_was_before_it() {
        let local = of(ClockChoice::Local, "2026-12-01T12:00:00Z", BERLIN);
        assert_eq!(local.whole(ATTACH + 3 * 86_400 * SECOND), "2026-12-04 13:00:00 +01:00");
        assert_eq!(local.whole(ATTACH - 60 * SECOND), "2026-12-01 12:59:00 +01:00");
        assert_eq!(local.whole(u64::MAX).len(), "2026-12-01 12:59:00 +01:00".len());
    }

    #[test]
    fn daylight_saving_begins_and_ends_during_a_watch() {
        let spring = of(ClockChoice::Local, "2026-03-29T00:59:59Z", BERLIN);
        assert_eq!(spring.whole(ATTACH), "2026-03-29 01:59:59 +01:00");
        assert_eq!(spring.whole(ATTACH + SECOND), "2026-03-29 03:00:00 +02:00");
        let autumn = of(ClockChoice::Local, "2026-10-25T00:59:59Z", BERLIN);
        assert_eq!(autumn.whole(ATTACH), "2026-10-25 02:59:59 +02:00");
        assert_eq!(autumn.whole(ATTACH + SECOND), "2026-10-25 02:00:00 +01:00");
    }

    /// Every time is reckoned from the one pair, so setting the machine's clock moves none.
    #[test]
    fn times_that_are_apart_stay_as_far_apart() {
        let local = of(ClockChoice::Local, "2026-12-01T12:00:00Z", BERLIN);
        for step in 0..5_000 {
            let apart = local.at(ATTACH + (step + 1) * SECOND).timestamp().as_second()
                - local.at(ATTACH + step * SECOND).timestamp().as_second();
            assert_eq!(apart, 1);
        }
    }

    #[test]
    fn years_out_of_range_are_no_fault() {
        for wall in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(253_402_300_799)] {
            for zone in ["<-24>24", "<+24>-24"] {
                let zone = Zone::from(TimeZone::posix(zone).expect("a zone"));
                let clock = WallClock { mono_ns: ATTACH, wall };
                let local = TimeOfDay::of(ClockChoice::Local, clock, &zone).expect("one");
                for ts_ns in [0, ATTACH, u64::MAX] {
                    assert!(!local.whole(ts_ns).is_empty() && !local.millis(ts_ns).is_empty());
                }
            }
        }
    }
}
