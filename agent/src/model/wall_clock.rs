//! Kernel time as wall-clock time. Nothing here reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The last moment that RFC 3339 can write, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// Turns kernel time into wall-clock time, by one moment at which both were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallClock {
    /// That moment, ns of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// The same moment on the wall.
    pub wall: SystemTime,
}

impl WallClock {
    /// Returns the wall-clock time of a kernel time, within the years that RFC 3339 can write.
    pub fn at(&self, ts_ns: u64) -> SystemTime {
        let time = if ts_ns >= self.mono_ns {
            self.wall.checked_add(Duration::from_nanos(ts_ns - self.mono_ns))
        } else {
            self.wall.checked_sub(Duration::from_nanos(self.mono_ns - ts_ns))
        };
        let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
        time.unwrap_or(UNIX_EPOCH).clamp(UNIX_EPOCH, last)
    }

    /// Returns the wall-clock time in RFC 3339, to the microsecond.
    pub fn rfc3339(&self, ts_ns: u64) -> String {
        humantime::format_rfc3339_micros(self.at(ts_ns)).to_string()
    }
}
