//! How busy the machine is while nothing of a lesson runs.

use std::{fs, thread, time::Duration};

/// Time that is looked at. The kernel counts in steps of 10 ms and processor.
const LOOK: Duration = Duration::from_millis(80);

/// Returns the share of all processors that is taken just now, percent, and takes 80 ms for it.
/// `None` if /proc/stat does not say.
pub(super) fn others_percent() -> Option<u64> {
    let before = Ticks::now()?;
    thread::sleep(LOOK);
    Ticks::now()?.busy_percent_since(&before)
}

/// Time of all processors, in ticks, as proc_stat(5) has it.
struct Ticks {
    busy: u64,
    all: u64,
}

impl Ticks {
    fn now() -> Option<Self> {
        Self::read(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// Reads the line "cpu user nice system idle iowait irq softirq steal guest guest_nice". Guests
    /// are in user and nice already.
    fn read(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let (idle, waiting) = (*ticks.get(3)?, *ticks.get(4)?);
        let all: u64 = ticks.iter().sum();
        Some(Self { busy: all - idle - waiting, all })
    }

    fn busy_percent_since(&self, before: &Self) -> Option<u64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        Some(self.busy.saturating_sub(before.busy).saturating_mul(100) / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_is_busy() {
        let ticks = |line: &str| Ticks::read(line).expect("a line of the kernel");
        let before = ticks("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1");
        let after = ticks("cpu  108 0 50 804 54 0 0 0 8 0\n");
        assert_eq!(after.busy_percent_since(&before), Some(50));
        assert_eq!(after.busy_percent_since(&after), None);
        for damaged in ["", "intr 1", "cpu 1 2", "cpu a b c d e"] {
            assert!(Ticks::read(damaged).is_none(), "{damaged}");
        }
    }
}
