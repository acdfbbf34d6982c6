//! Faults that keep a server from answering at once: work, a lock, sleep, a busy processor, a quota.

use std::fmt;
use std::io;
use std::sync::{Barrier, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{fs, mem, thread};

use anyhow::Context;
use clap::Args;
use humantime::parse_duration;

use crate::cgroup::CpuGroup;
use crate::inherit::fork;
use crate::naming::name_thread;
use crate::sock::{announce, clock_ns};

/// Knobs of what holds the server up.
#[derive(Args, Clone, Debug)]
pub struct FaultOptions {
    /// Compute for this much processor time before each answer
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub work: Duration,
    /// Before each answer, wait for a lock that another thread holds this long
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub lock: Duration,
    /// Sleep before each answer, as if waiting for another server
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub sleep: Duration,
    /// Sleep before each read
    #[arg(
        long,
        visible_alias = "read-delay",
        default_value = "0ms",
        value_name = "TIME",
        value_parser = parse_duration
    )]
    pub sleep_before_read: Duration,
    /// Compute for this much processor time before each read
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub busy_before_read: Duration,
    /// Run on this processor only
    #[arg(long, value_name = "CPU")]
    pub pin_cpu: Option<usize>,
    /// Processes that compete for that processor
    #[arg(long, default_value_t = 0, value_name = "N", requires = "pin_cpu")]
    pub spinners: usize,
    /// Niceness of these processes, from 0 to 19
    #[arg(long, default_value_t = 0, value_name = "N", requires = "spinners")]
    pub spinner_nice: u8,
    /// Put these processes into one cgroup, and the server into another
    #[arg(long, requires = "spinners")]
    pub spinner_group: bool,
    /// Processor time that the server's cgroup has in each 100 ms (`cpu.max`)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub quota: Option<Duration>,
}

/// The processes that compete with this server.
static SPINNERS: OnceLock<Vec<libc::pid_t>> = OnceLock::new();
/// The server's own cgroup, if it has one.
static OWN_GROUP: OnceLock<CpuGroup> = OnceLock::new();

impl FaultOptions {
    /// Takes its place on the processor. To be called while the process has one thread.
    pub fn settle(&self) -> anyhow::Result<()> {
        if let Some(cpu) = self.pin_cpu {
            pin(cpu).with_context(|| format!("running only on processor {cpu}"))?;
        }
        let group = self.spinner_group.then(|| CpuGroup::make("others")).transpose()?;
        let mut spinners = Vec::new();
        for _ in 0..self.spinners {
            match fork()? {
                None => {
                    name_thread("spinner");
                    group.as_ref().map(CpuGroup::enter).transpose()?;
                    // SAFETY: a plain system call; only a higher priority could be refused.
                    unsafe { libc::nice(self.spinner_nice.into()) };
                    burn(Duration::MAX);
                }
                Some(spinner) => {
                    announce(format_args!("spinner {spinner}"));
                    spinners.push(spinner);
                }
            }
        }
        let _ = SPINNERS.set(spinners);
        if self.spinner_group || self.quota.is_some() {
            let own = CpuGroup::make("server")?;
            self.quota.map(|quota| own.limit(quota)).transpose()?;
            own.enter()?;
            // Both groups last as long as this process.
            mem::forget(group);
            let _ = OWN_GROUP.set(own);
        }
        Ok(())
    }

    /// Holds up a read.
    pub fn before_read(&self) {
        thread::sleep(self.sleep_before_read);
        burn(self.busy_before_read);
    }

    /// Holds up an answer.
    pub fn before_answer(&self) {
        burn(self.work);
        thread::sleep(self.sleep);
        if !self.lock.is_zero() {
            wait_for_lock(self.lock);
        }
    }
}

/// Computes until this thread has had so much processor time.
pub(crate) fn burn(time: Duration) {
    let begin = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID);
    while u128::from(clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) - begin) < time.as_nanos() {
        std::hint::spin_loop();
    }
}

/// Waits for a lock that another thread holds for so long.
fn wait_for_lock(time: Duration) {
    let (lock, taken) = (Mutex::new(()), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
            taken.wait();
            thread::sleep(time);
        });
        taken.wait();
        drop(lock.lock().unwrap_or_else(PoisonError::into_inner));
    });
}

fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::other("no such processor"));
    }
    // SAFETY: cpu_set_t is plain data for which all zeroes is valid, and the processor is within
    // its bounds.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: the pointer and the size describe the set.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Times that the calling thread has spent on and off the processor, ns.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTime {
    /// On a processor.
    pub cpu_ns: u64,
    /// Runnable without one.
    pub run_delay_ns: u64,
    /// Times that it gave a processor up, since it had to wait.
    pub voluntary: u64,
    /// Times that a processor was taken away from it.
    pub involuntary: u64,
    /// On a processor, of all processes that compete with it (`--spinners`).
    pub spinners_ns: u64,
    /// Periods in which the quota of its cgroup was used up.
    pub throttled_periods: u64,
    /// Ready, and not run since the quota was used up; of all threads of the cgroup.
    pub throttled_ns: u64,
}

impl ThreadTime {
    /// Returns the times up to now. The delay is 0 on a kernel that does not account for it.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let [voluntary, involuntary] = switches();
        let [throttled_periods, throttled_ns] = OWN_GROUP.get().map_or([0, 0], CpuGroup::throttled);
        Self {
            cpu_ns: clock_ns(libc::CLOCK_THREAD_CPUTIME_ID),
            run_delay_ns: column(&text, 1).unwrap_or(0),
            voluntary,
            involuntary,
            spinners_ns: SPINNERS.get().into_iter().flatten().map(|pid| cpu_of(*pid)).sum(),
            throttled_periods,
            throttled_ns,
        }
    }

    /// Returns the time that was spent since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            run_delay_ns: self.run_delay_ns.saturating_sub(earlier.run_delay_ns),
            voluntary: self.voluntary.saturating_sub(earlier.voluntary),
            involuntary: self.involuntary.saturating_sub(earlier.involuntary),
            spinners_ns: self.spinners_ns.saturating_sub(earlier.spinners_ns),
            throttled_periods: self.throttled_periods.saturating_sub(earlier.throttled_periods),
            throttled_ns: self.throttled_ns.saturating_sub(earlier.throttled_ns),
        }
    }
}

impl fmt::Display for ThreadTime {
    /// ` cpu_ns=N run_delay_ns=N …`, to go into a line of a trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_ns, run_delay_ns, voluntary, involuntary, .. } = self;
        let Self { spinners_ns, throttled_periods, throttled_ns, .. } = self;
        write!(
            f,
            " cpu_ns={cpu_ns} run_delay_ns={run_delay_ns} voluntary={voluntary} \
             involuntary={involuntary} spinners_ns={spinners_ns} \
             throttled_periods={throttled_periods} throttled_ns={throttled_ns}"
        )
    }
}

/// Switches of the calling thread, voluntary and involuntary.
fn switches() -> [u64; 2] {
    // SAFETY: rusage is plain data for which all zeroes is valid, and the pointer is to one of ours.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    [usage.ru_nvcsw as u64, usage.ru_nivcsw as u64]
}

/// Processor time that a process with one thread has had, ns; 0 if it has ended.
fn cpu_of(pid: libc::pid_t) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    column(&text, 0).unwrap_or(0)
}

/// One of the three columns of schedstat: time on a processor, time ready without one, turns.
fn column(schedstat: &str, number: usize) -> Option<u64> {
    schedstat.split_whitespace().nth(number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_columns() {
        assert_eq!([0, 1].map(|number| column("1234 567 8\n", number)), [Some(1234), Some(567)]);
        assert_eq!(column("", 1), None);
    }

    #[test]
    fn a_sleep_is_a_switch() {
        let begin = ThreadTime::now();
        thread::sleep(Duration::from_millis(1));
        assert!(ThreadTime::now().since(begin).voluntary >= 1);
    }

    #[test]
    fn work_takes_processor_time_and_a_lock_takes_none() {
        let begin = ThreadTime::now();
        burn(Duration::from_millis(20));
        let worked = ThreadTime::now();
        assert!(worked.since(begin).cpu_ns >= 20_000_000);
        let start = std::time::Instant::now();
        wait_for_lock(Duration::from_millis(50));
        assert!(start.elapsed() >= Duration::from_millis(50));
        assert!(ThreadTime::now().since(worked).cpu_ns < 25_000_000);
    }
}
