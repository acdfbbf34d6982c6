//! Suspends the hooks of accept while no connection comes, and resumes them.
//!
//! While any system call tracepoint is attached, the kernel takes a longer way through every system
//! call of the machine. So on a busy machine where no connection comes they are taken off, and put
//! on again when one comes. An accept in between shows by another hook, to which its caller's wish
//! for the peer's address leads: they are suspended only if that hook has been seen to report every
//! accept that they reported.

use std::{
    io,
    time::{Duration, Instant},
};

use backscope_abi::{counter, suspension};

use super::syscalls::{End, Syscalls};
use crate::{
    model::event::{ListenerSample, Sample},
    sensor::{clock::now_ns, maps::Maps, procfs},
};

/// Time without a connection after which the hooks are suspended.
const QUIET: Duration = Duration::from_secs(10);
/// Time in which accept returns after it took a connection, if its thread has a processor.
const ON_ITS_WAY: Duration = Duration::from_millis(20);
/// Fewest busy processors at which the hooks are suspended: an idle machine loses nothing by them.
const BUSY: f64 = 0.5;

/// State of the hooks of accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Attached,
    /// Those at the entry are off, since then. Those at the return wait for calls that were on
    /// their way.
    Leaving(Instant),
    Off,
}

/// The hooks of accept: decides when they are suspended, and suspends and resumes them.
///
/// [`AcceptHooks::suspend_if_quiet`] is called at each refresh, [`AcceptHooks::resume_if_wanted`]
/// each time that the ring buffer is emptied.
pub(in crate::sensor) struct AcceptHooks {
    /// Another hook sees accepts while they are suspended.
    possible: bool,
    state: State,
    quiet: Quiet,
    load: Load,
    has_rested: bool,
}

impl AcceptHooks {
    pub(in crate::sensor) fn new(possible: bool, syscalls: &Syscalls) -> Self {
        let possible = possible && !syscalls.is_empty();
        let quiet = Quiet { moves: 0, since: Instant::now() };
        Self { possible, state: State::Attached, quiet, load: Load::default(), has_rested: false }
    }

    /// True if they may be suspended, and so attached again.
    pub(in crate::sensor) fn may_rest(&self) -> bool {
        self.possible
    }

    /// True once they have been suspended.
    pub(in crate::sensor) fn has_rested(&self) -> bool {
        self.has_rested
    }

    /// Suspends the hooks, at a refresh, if it is time.
    pub(in crate::sensor) fn suspend_if_quiet(
        &mut self,
        sample: &Sample,
        maps: &mut Maps,
        syscalls: &mut Syscalls,
    ) {
        if !self.possible {
            return;
        }
        let busy = self.load.since_last(Instant::now(), procfs::busy_ticks());
        let is_quiet = self.quiet.lasts(sample, Instant::now());
        let [returned, named] =
            [counter::RETURNED, counter::NAMED].map(|index| maps.counter(index));
        let others_see_all = returned > 0 && named == returned;
        if self.state == State::Attached && is_quiet && busy >= BUSY && others_see_all {
            syscalls.detach(End::Entry);
            maps.set_resting(suspension::SUSPENDED);
            self.state = State::Leaving(Instant::now());
        }
    }

    /// Resumes the hooks if a connection came. True if they are back.
    pub(in crate::sensor) fn resume_if_wanted(
        &mut self,
        maps: &mut Maps,
        syscalls: &mut Syscalls,
    ) -> bool {
        match self.state {
            State::Attached => false,
            State::Leaving(since) if since.elapsed() < ON_ITS_WAY => false,
            State::Leaving(_) => {
                syscalls.detach(End::Return);
                self.state = State::Off;
                self.has_rested = true;
                false
            }
            // A failure is tried again: the other hook sees accepts as before.
            State::Off => {
                maps.resting() == suspension::WANTED && self.resume(maps, syscalls).is_ok()
            }
        }
    }

    /// Puts on returns first, entries last: so an accept on its way is seen by exactly one of the
    /// hooks.
    fn resume(&mut self, maps: &mut Maps, syscalls: &mut Syscalls) -> io::Result<()> {
        syscalls.attach_again(End::Return)?;
        // Those inside accept may be in another call than that which was noted.
        maps.forget_calls();
        maps.set_resting(now_ns());
        if let Err(error) = syscalls.attach_again(End::Entry) {
            maps.set_resting(suspension::WANTED);
            return Err(error);
        }
        self.state = State::Attached;
        self.quiet.since = Instant::now();
        Ok(())
    }
}

/// The time since which nothing happens at the listeners.
struct Quiet {
    moves: u64,
    since: Instant,
}

impl Quiet {
    /// True if it has been so for long.
    fn lasts(&mut self, sample: &Sample, now: Instant) -> bool {
        let mut moves: u64 = 0;
        let mut is_waiting = false;
        for listener in &sample.listeners {
            for count in [listener.queued, listener.accepted, listener.eagain, failed(listener)] {
                // Only whether it changes matters.
                moves = count.wrapping_add(moves);
            }
            is_waiting |= listener.depth > 0 || listener.syn_depth > 0;
        }
        if is_waiting || moves != self.moves {
            *self = Self { moves, since: now };
        }
        now.duration_since(self.since) >= QUIET
    }
}

fn failed(listener: &ListenerSample) -> u64 {
    let mut sum: u64 = 0;
    for fails in listener.fails.iter().flatten() {
        sum = sum.saturating_add(fails.count);
    }
    sum
}

/// Time for which the machine's processors were busy.
#[derive(Default)]
struct Load {
    last: Option<(Instant, u64)>,
}

impl Load {
    /// Returns how many processors were busy since the last look; 0 if that is not known.
    fn since_last(&mut self, now: Instant, busy_ticks: Option<u64>) -> f64 {
        /// A second, in ticks (USER_HZ).
        const SECOND: f64 = 100.0;
        let Some(busy) = busy_ticks else { return 0.0 };
        let Some((then, before)) = self.last.replace((now, busy)) else { return 0.0 };
        let took = now.duration_since(then).as_secs_f64();
        if took > 0.0 { busy.saturating_sub(before) as f64 / SECOND / took } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Load, QUIET, Quiet};
    use crate::model::event::{ListenerSample, Sample};
    use crate::model::tests::world::listener;

    #[test]
    fn load_is_that_since_the_last_look() {
        let (mut load, begin) = (Load::default(), Instant::now());
        assert_eq!(load.since_last(begin, Some(2_040)), 0.0, "nothing to compare with");
        let share = load.since_last(begin + Duration::from_secs(2), Some(2_190));
        assert!((share - 0.75).abs() < 1e-9, "{share}");
        assert_eq!(load.since_last(begin + Duration::from_secs(3), None), 0.0);
    }

    #[test]
    fn a_connection_that_comes_or_waits_ends_the_quiet() {
        let begin = Instant::now();
        let sample = |queued, depth| {
            let listener = ListenerSample { queued, depth, ..listener(1, 128) };
            Sample { listeners: vec![listener], ..Sample::default() }
        };
        let mut quiet = Quiet { moves: 5, since: begin };
        assert!(!quiet.lasts(&sample(5, 0), begin + QUIET / 2));
        assert!(quiet.lasts(&sample(5, 0), begin + QUIET));
        assert!(!quiet.lasts(&sample(6, 0), begin + QUIET), "one came");
        assert!(quiet.lasts(&sample(6, 0), begin + 2 * QUIET));
        assert!(!quiet.lasts(&sample(6, 1), begin + 2 * QUIET), "one waits");
    }
}
