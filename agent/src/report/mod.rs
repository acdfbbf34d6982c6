//! Front-ends that write text: `--json` and `--plain`.

mod escape;
pub mod json;
mod moment;
pub mod plain;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::model::output::{Interest, Output};
use crate::model::snapshot::Snapshot;
pub use crate::model::text::{count, count_of, duration_us, percent, rate};
pub use escape::escape;

/// The last moment that RFC 3339 can write, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// A text front-end: writes what the model reports, batch by batch.
pub trait Sink {
    /// What it has a use for.
    fn interest(&self) -> Interest;

    /// Writes how the watch was set up; once, first.
    ///
    /// # Errors
    /// What `out` says.
    fn attached(&mut self, out: &mut dyn io::Write, attached: &Attached) -> io::Result<()>;

    /// Writes what the model reported since the last call. `snapshot` is the state after it.
    ///
    /// # Errors
    /// What `out` says.
    fn write(
        &mut self,
        out: &mut dyn io::Write,
        outputs: &[Output],
        snapshot: &Snapshot,
    ) -> io::Result<()>;
}

/// How the watch was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// When, ns of `CLOCK_MONOTONIC`.
    pub ts_ns: u64,
    /// Kernel release.
    pub kernel: String,
    /// "full" or "tracepoint".
    pub tier: String,
    /// The hook of each signal; `None` where there is none.
    pub hooks: BTreeMap<String, Option<String>>,
    /// What is watched.
    pub targets: Vec<String>,
    /// How long attaching took, µs.
    pub attach_us: u64,
    /// What can't be observed on this kernel, and why.
    pub gaps: Vec<String>,
}

/// Turns kernel time into wall-clock time, by one moment at which both were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallClock {
    /// That moment, ns of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// The same moment on the wall.
    pub wall: SystemTime,
}

impl WallClock {
    /// The wall-clock time of a kernel time, within the years that RFC 3339 can write.
    pub fn at(&self, ts_ns: u64) -> SystemTime {
        let time = if ts_ns >= self.mono_ns {
            self.wall.checked_add(Duration::from_nanos(ts_ns - self.mono_ns))
        } else {
            self.wall.checked_sub(Duration::from_nanos(self.mono_ns - ts_ns))
        };
        let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
        time.unwrap_or(UNIX_EPOCH).clamp(UNIX_EPOCH, last)
    }

    /// The same in RFC 3339, to the microsecond.
    pub fn rfc3339(&self, ts_ns: u64) -> String {
        humantime::format_rfc3339_micros(self.at(ts_ns)).to_string()
    }
}
