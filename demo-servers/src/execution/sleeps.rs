//! How often a thread slept, and how often of these while it waited for a connection.

use std::io;

use crate::sock::announce;

/// Counts a worker's sleeps other than those in which it waited for a connection: what is left of
/// its voluntary context switches are wakeups for the listening socket. So those count, too, after
/// which the kernel finds nothing and puts the thread to sleep again within the same system call.
pub(super) struct Sleeps {
    tid: libc::pid_t,
    /// Those in which it waited for a connection.
    waiting: u64,
    /// Others, as they were last told.
    told: Option<u64>,
}

impl Sleeps {
    /// Begins with those of the calling thread so far.
    pub(super) fn new() -> Self {
        // SAFETY: a plain system call without arguments.
        Self { tid: unsafe { libc::gettid() }, waiting: 0, told: None }
    }

    /// Does something that waits for a connection. `is_other` tells of its outcome whether the last
    /// wakeup was for something else.
    pub(super) fn within<T>(
        &mut self,
        wait: impl FnOnce() -> io::Result<T>,
        is_other: impl FnOnce(&T) -> bool,
    ) -> io::Result<T> {
        self.tell()?;
        let before = slept()?;
        let outcome = wait()?;
        let within = slept()?.saturating_sub(before);
        self.waiting += within.saturating_sub(u64::from(is_other(&outcome)));
        self.tell()?;
        Ok(outcome)
    }

    /// Prints `slept tid=TID elsewhere=N` if it is not what was printed last.
    fn tell(&mut self) -> io::Result<()> {
        let elsewhere = slept()?.saturating_sub(self.waiting);
        if self.told.replace(elsewhere) != Some(elsewhere) {
            announce(format_args!("slept tid={} elsewhere={elsewhere}", self.tid));
        }
        Ok(())
    }
}

/// Returns how often the calling thread has slept so far: its voluntary context switches.
fn slept() -> io::Result<u64> {
    // SAFETY: all zeros are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is of the type that the call fills, and outlives it.
    let status = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(usage.ru_nvcsw).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleep_is_counted_where_it_happened() {
        // A thread of its own, as sleeps are a thread's.
        let counted = thread::spawn(|| {
            let mut sleeps = Sleeps::new();
            let nap = || {
                thread::sleep(Duration::from_millis(1));
                Ok(())
            };
            sleeps.within(nap, |()| false).expect("it sleeps");
            let elsewhere = sleeps.told;
            thread::sleep(Duration::from_millis(1));
            sleeps.within(nap, |()| true).expect("it sleeps");
            (sleeps.waiting, elsewhere, sleeps.told)
        });
        let (waiting, before, after) = counted.join().expect("it ends");
        assert_eq!(waiting, 1);
        assert_eq!(
            after,
            before.map(|before| before + 2),
            "one outside, and one that was for other"
        );
    }
}
