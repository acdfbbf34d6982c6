//! Files of the whole machine, and of the agent itself.

use std::fs;

use crate::model::event::Used;

/// Returns the time that processors were not idle, in ticks of `USER_HZ`.
pub(in crate::sensor) fn busy_ticks() -> Option<u64> {
    parse_busy(&fs::read_to_string("/proc/stat").ok()?)
}

/// The first line has user, nice and system time, then idle time and that of waiting for disks,
/// then interrupts.
fn parse_busy(stat: &str) -> Option<u64> {
    let mut times = Vec::new();
    for word in stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace() {
        let Ok(time) = word.parse::<u64>() else { break };
        times.push(time);
    }
    let [user, nice, system, _idle, _disk, hard, soft, ..] = times[..] else { return None };
    Some([nice, system, hard, soft].into_iter().fold(user, u64::saturating_add))
}

/// Returns how many threads run or want to, without our own.
pub(in crate::sensor) fn runnable_threads() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let (runnable, _) = text.split_whitespace().nth(3)?.split_once('/')?;
    Some(runnable.parse::<u32>().ok()?.saturating_sub(1))
}

/// Returns how many processors are online.
pub(in crate::sensor) fn online_cpus() -> Option<u32> {
    parse_list(&fs::read_to_string("/sys/devices/system/cpu/online").ok()?)
}

/// Counts the numbers that a list such as `0-3,8` names.
fn parse_list(text: &str) -> Option<u32> {
    let mut count = 0;
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = last.checked_sub(first)?.checked_add(1)?.checked_add(count)?;
    }
    Some(count)
}

/// Returns the open files of the machine, and the limit on them.
pub(in crate::sensor) fn open_files() -> Option<Used> {
    parse_open_files(&fs::read_to_string("/proc/sys/fs/file-nr").ok()?)
}

/// "1984  0  9223372036854775807": open, free (always 0), most.
fn parse_open_files(text: &str) -> Option<Used> {
    let mut figures = text.split_whitespace();
    let open = figures.next()?.parse().ok()?;
    let limit = figures.nth(1)?.parse().ok()?;
    Some(Used { open, limit })
}

/// Returns true if ftrace is switched off (`kernel.ftrace_enabled`). Function hooks attach then, and
/// nothing calls them; those that are attached are not called any more (6.1, 6.12).
pub(in crate::sensor) fn is_ftrace_off() -> bool {
    fs::read_to_string("/proc/sys/kernel/ftrace_enabled").is_ok_and(|text| text.trim() == "0")
}

/// Returns the memory that the agent takes.
pub(in crate::sensor) fn own_memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = text.split(' ').nth(1).unwrap_or_default();
    let pages: u64 = resident.parse().unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy() {
        let stat =
            "cpu  1700 20 300 90000 50 7 13 0 0 0\ncpu0 850 10 150 45000 25 3 7 0 0 0\nintr 1\n";
        assert_eq!(parse_busy(stat), Some(2040));
        assert_eq!(parse_busy(""), None);
        assert_eq!(parse_busy("cpu  1 2 3\n"), None);
    }

    #[test]
    fn figures_are_read_as_the_kernel_writes_them() {
        assert_eq!(
            [parse_list("0-3,8\n"), parse_list("0"), parse_list("")],
            [Some(5), Some(1), None]
        );
        assert_eq!(
            parse_open_files("1984\t0\t9223372036854775807\n"),
            Some(Used { open: 1984, limit: i64::MAX as u64 })
        );
        assert!(runnable_threads().is_some() && online_cpus() >= Some(1));
        assert!(own_memory_bytes() > 0);
    }
}
