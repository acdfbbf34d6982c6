//! The clocks of the kernel's figures.
//!
//! Probes see the kernel's own clocks. A process in a time namespace sees others: `clock_gettime`
//! and `/proc` add the namespace's offsets, which are taken off again here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use rustix::time::{ClockId, Timespec, clock_gettime};

const SECOND_NS: i64 = 1_000_000_000;
/// The first time namespace, which has no offsets (`PROC_TIME_INIT_INO`, include/linux/proc_ns.h).
const FIRST: &str = "time:[4026531834]";

/// What our time namespace adds to `CLOCK_MONOTONIC`, ns. A process never changes its own.
static MONOTONIC_OFFSET_NS: LazyLock<i64> =
    LazyLock::new(|| monotonic_offset_ns(Path::new("/proc")).unwrap_or(0));

/// Now, ns of the kernel's `CLOCK_MONOTONIC`: the clock of every event.
pub fn now_ns() -> u64 {
    let seen_ns = to_ns(clock_gettime(ClockId::Monotonic));
    u64::try_from(seen_ns.saturating_sub(*MONOTONIC_OFFSET_NS)).unwrap_or(0)
}

/// What is to be taken off beginnings of threads, which `/proc` gives by another clock, ns: it
/// counts the time that the machine slept, too, and has an offset of its own.
pub(super) fn slept_ns() -> i64 {
    let now_ns = i64::try_from(now_ns()).unwrap_or(i64::MAX);
    to_ns(clock_gettime(ClockId::Boottime)).saturating_sub(now_ns)
}

/// CPU time of the agent, ns.
pub(super) fn own_cpu_ns() -> u64 {
    u64::try_from(to_ns(clock_gettime(ClockId::ProcessCPUTime))).unwrap_or(0)
}

/// CPU time of the calling thread from some moment on: what its work costs, however long it waits
/// for a processor meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuTimer(i64);

impl CpuTimer {
    pub(super) fn begin() -> Self {
        Self(to_ns(clock_gettime(ClockId::ThreadCPUTime)))
    }

    pub(super) fn elapsed(self) -> Duration {
        let ns = to_ns(clock_gettime(ClockId::ThreadCPUTime)).saturating_sub(self.0);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
    }
}

fn to_ns(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(SECOND_NS).saturating_add(time.tv_nsec)
}

/// Finds the offset of the time namespace that we are in. A process's `timens_offsets` has those of
/// the namespace that its children will be in, which need not be its own: any process whose
/// children will be in ours tells ours.
fn monotonic_offset_ns(proc: &Path) -> Option<i64> {
    let own = fs::read_link(proc.join("self/ns/time")).ok()?;
    if own.as_os_str() == FIRST {
        return None;
    }
    let parent = fs::read(proc.join("self/stat")).ok();
    let parent = parent.and_then(|stat| parent_of(&stat));
    let nearest = [Some("self".to_owned()), parent.map(|pid| pid.to_string())];
    let mut processes: Vec<PathBuf> =
        nearest.into_iter().flatten().map(|name| proc.join(name)).collect();
    let mut others = BTreeSet::new();
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            others.insert(entry.path());
        }
    }
    processes.extend(others);
    for process in processes {
        if fs::read_link(process.join("ns/time_for_children")).is_ok_and(|link| link == own)
            && let Ok(text) = fs::read_to_string(process.join("timens_offsets"))
        {
            return parse_offset(&text);
        }
    }
    None
}

/// The 4th field of `stat`, behind the command name, which may hold anything.
fn parent_of(stat: &[u8]) -> Option<u32> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    str::from_utf8(&stat[name_ends + 1..]).ok()?.split_whitespace().nth(1)?.parse().ok()
}

/// `monotonic    100000         0`, in seconds and nanoseconds; the number of the clock in 5.6.
fn parse_offset(text: &str) -> Option<i64> {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("monotonic" | "1")) {
            let seconds: i64 = words.next()?.parse().ok()?;
            let ns: i64 = words.next()?.parse().ok()?;
            return Some(seconds.saturating_mul(SECOND_NS).saturating_add(ns));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_costs_nothing() {
        let wait = Duration::from_millis(200);
        let timer = CpuTimer::begin();
        std::thread::sleep(wait);
        assert!(timer.elapsed() < wait / 2, "{:?}", timer.elapsed());
        let (mut rounds, begin) = (0_u64, timer.elapsed());
        while timer.elapsed() < begin + Duration::from_millis(1) {
            rounds += 1;
        }
        assert!(rounds > 0, "work costs something");
    }

    #[test]
    fn offsets_are_read_as_the_kernel_writes_them() {
        let text = "monotonic      100000         5\nboottime           -7         0\n";
        assert_eq!(parse_offset(text), Some(100_000 * SECOND_NS + 5));
        assert_eq!(parse_offset("1 -3 0\n7 5 0\n"), Some(-3 * SECOND_NS));
        assert_eq!(parse_offset("boottime 3 0\n"), None);
        let largest = format!("monotonic {} 0\n", i64::MAX);
        assert_eq!(parse_offset(&largest), Some(i64::MAX));
    }

    #[test]
    fn the_offset_is_that_of_a_process_whose_children_are_in_our_namespace() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let process = |name: &str, own: &str, children: &str, seconds: u32| {
            let ns = folder.path().join(name).join("ns");
            fs::create_dir_all(&ns).expect("a folder");
            symlink(own, ns.join("time")).expect("a link");
            symlink(children, ns.join("time_for_children")).expect("a link");
            let text = format!("monotonic {seconds} 0\nboottime 1 0\n");
            fs::write(folder.path().join(name).join("timens_offsets"), text).expect("a file");
        };
        process("self", "time:[7]", "time:[8]", 11);
        fs::write(folder.path().join("self/stat"), b"9 (a) \xff) S 40 9").expect("a file");
        process("40", FIRST, "time:[9]", 22);
        process("41", FIRST, "time:[7]", 33);
        assert_eq!(monotonic_offset_ns(folder.path()), Some(33 * SECOND_NS));
        fs::remove_file(folder.path().join("self/ns/time")).expect("it is there");
        assert_eq!(monotonic_offset_ns(folder.path()), None, "before 5.6 there are none");
        symlink(FIRST, folder.path().join("self/ns/time")).expect("a link");
        assert_eq!(monotonic_offset_ns(folder.path()), None);
    }
}
