//! Suspends the hooks of accept while no connection comes, and while very many do, and resumes
//! them.
//!
//! While any system call tracepoint is attached, the kernel takes a longer way through every system
//! call of the machine. So on a busy machine where no connection comes they are taken off, and put
//! on again when one comes. An accept in between shows by another hook, to which its caller's wish
//! for the peer's address leads: they are suspended only if that hook has been seen to report every
//! accept that they reported. Where nothing was accepted yet that is not known, and they are
//! suspended once: if the first one does not show by its call, it does by its first read.
//!
//! The other hook costs a fraction of theirs. So it does their work, too, in a *rush*: where accepts
//! are so many that the difference shows, and no connection waits for long. Then the probes also
//! keep nothing of a connection while it is queued: accept finds in its socket since when it was.
//! That is so nine seconds in ten, since only the hooks of accept see what fails.

use std::{
    io,
    time::{Duration, Instant},
};

use backscope_abi::{LATE_NS, counter, suspension};

use super::{
    states::States,
    syscalls::{End, Syscalls},
};
use crate::{
    model::event::{ListenerSample, Sample},
    sensor::{clock::now_ns, maps::Maps, procfs},
};

/// Time without a connection after which the hooks are suspended.
const QUIET: Duration = Duration::from_secs(10);
/// Time in which accept returns after it took a connection, if its thread has a processor.
const ON_ITS_WAY: Duration = Duration::from_millis(20);
/// Time after which no processor is on the way of queueing a connection by what held before.
const IN_HAND_NS: u64 = 100_000_000;
/// Fewest busy processors at which the hooks are suspended: an idle machine loses nothing by them.
const BUSY: f64 = 0.5;
/// Accepts a second from which on the hooks are suspended: they take some 0.1 % of a processor
/// there.
const MANY: f64 = 2_000.0;
/// Another such number, for tests.
const MANY_FOR_TESTS: &str = "BACKSCOPE_RUSH";
/// Time for which they are suspended at a stretch while many connections come.
const AWAY: Duration = Duration::from_secs(9);
/// Time for which they are attached between two such stretches.
const LOOK: Duration = Duration::from_secs(1);

/// State of the hooks of accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Attached,
    /// Those at the entry are off, since then. Those at the return wait for calls that were on
    /// their way.
    Leaving(Instant),
    Off,
    /// They are on again, since then. The other hook serves until all accepts on their way have been
    /// seen at their entry.
    Returning(Instant),
}

/// The hooks of accept: decides when they are suspended, and suspends and resumes them.
///
/// [`AcceptHooks::suspend_if_useful`] is called at each refresh, [`AcceptHooks::resume_if_wanted`]
/// each time that the ring buffer is emptied.
pub(in crate::sensor) struct AcceptHooks {
    /// Another hook sees accepts while they are suspended.
    possible: bool,
    state: State,
    /// Since when they are in it.
    since: Instant,
    quiet: Quiet,
    rush: Rush,
    /// Accepts a second from which on they are suspended; and resumed below half of that.
    many: f64,
    load: Load,
    reasons: Suspensions,
    missed: u64,
}

/// Why the hooks have been suspended in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspensions {
    /// No connection came.
    pub quiet: bool,
    /// Very many came.
    pub rush: bool,
}

impl AcceptHooks {
    pub(in crate::sensor) fn new(possible: bool, syscalls: &Syscalls) -> Self {
        let possible = possible && !syscalls.is_empty();
        let now = Instant::now();
        Self {
            possible,
            state: State::Attached,
            since: now,
            quiet: Quiet { moves: 0, since: now },
            rush: Rush::default(),
            many: many(),
            load: Load::default(),
            reasons: Suspensions::default(),
            missed: 0,
        }
    }

    /// True if they may be suspended, and so attached again.
    pub(in crate::sensor) fn may_rest(&self) -> bool {
        self.possible
    }

    /// Why they have been suspended so far.
    pub(in crate::sensor) fn reasons(&self) -> Suspensions {
        self.reasons
    }

    /// Connections of which nobody saw who accepted them.
    pub(in crate::sensor) fn missed(&self) -> u64 {
        self.missed
    }

    /// Suspends the hooks, at a refresh, if it is time; or asks for them again if those that they
    /// were suspended for have become few, or were enough for now.
    pub(in crate::sensor) fn suspend_if_useful(
        &mut self,
        sample: &Sample,
        maps: &mut Maps,
        syscalls: &mut Syscalls,
        states: &mut States,
    ) {
        if !self.possible {
            return;
        }
        let now = Instant::now();
        let busy = self.load.since_last(now, procfs::busy_ticks());
        let is_quiet = self.quiet.lasts(sample, now);
        let pace = self.rush.pace(sample, now);
        match self.state {
            State::Attached => {
                let [returned, named] =
                    [counter::RETURNED, counter::NAMED].map(|index| maps.counter(index));
                if named != returned {
                    return;
                }
                let is_known = returned != 0;
                let looked = now.duration_since(self.since) >= LOOK;
                if is_quiet && busy >= BUSY && (is_known || !self.reasons.quiet) {
                    self.suspend(suspension::SUSPENDED, maps, syscalls);
                } else if is_known && looked && pace.rate >= self.many && pace.is_smooth() {
                    self.suspend(suspension::CHANGING, maps, syscalls);
                }
            }
            State::Off if maps.resting() & suspension::RUSH != 0 => {
                if pace.is_missing() {
                    self.possible = false;
                    self.missed = self.missed.saturating_add(pace.missing.unsigned_abs());
                }
                let is_over = pace.rate < self.many / 2.0 || !pace.is_prompt();
                let is_over = is_over || pace.is_missing();
                if is_over || now.duration_since(self.since) >= AWAY {
                    if states.attach_again() {
                        maps.set_resting(suspension::WANTED);
                    }
                } else {
                    rest_states(maps, states);
                }
            }
            State::Leaving(_) | State::Off | State::Returning(_) => {}
        }
    }

    fn suspend(&mut self, why: u64, maps: &mut Maps, syscalls: &mut Syscalls) {
        if !syscalls.can_attach_again() {
            self.possible = false;
            return;
        }
        syscalls.detach(End::Entry);
        maps.set_resting(why);
        self.state = State::Leaving(Instant::now());
        self.since = Instant::now();
        self.reasons.quiet |= why == suspension::SUSPENDED;
        self.reasons.rush |= why == suspension::CHANGING;
    }

    /// Resumes the hooks if a connection came. True if they are attached again: threads that wait in
    /// accept have been seen by none of them.
    pub(in crate::sensor) fn resume_if_wanted(
        &mut self,
        maps: &mut Maps,
        syscalls: &mut Syscalls,
        states: &mut States,
    ) -> bool {
        match self.state {
            State::Attached => {}
            State::Leaving(since) if since.elapsed() >= ON_ITS_WAY => {
                syscalls.detach(End::Return);
                if maps.resting() == suspension::CHANGING {
                    maps.set_resting(suspension::RUSH | (now_ns() + IN_HAND_NS));
                    rest_states(maps, states);
                }
                self.state = State::Off;
            }
            State::Returning(since) if since.elapsed() >= ON_ITS_WAY => {
                maps.set_resting(now_ns());
                self.state = State::Attached;
                self.since = Instant::now();
                self.quiet.since = self.since;
            }
            State::Leaving(_) | State::Returning(_) => {}
            // A failure is tried again: the other hook sees accepts as before.
            State::Off => {
                if maps.resting() == suspension::WANTED {
                    return self.resume(maps, syscalls).is_ok();
                }
            }
        }
        false
    }

    /// Puts on returns first, entries last. An accept on its way is seen by exactly one of the
    /// hooks: the other one tells of it, and forgets its entry, until all of them began after the
    /// entries were on.
    fn resume(&mut self, maps: &mut Maps, syscalls: &mut Syscalls) -> io::Result<()> {
        maps.set_resting(suspension::CHANGING);
        let mut attached = syscalls.attach_again(End::Return);
        if attached.is_ok() {
            // Those inside accept may be in another call than that which was noted.
            maps.forget_calls();
            attached = syscalls.attach_again(End::Entry);
        }
        if attached.is_err() {
            maps.set_resting(suspension::WANTED);
            return attached;
        }
        self.state = State::Returning(Instant::now());
        Ok(())
    }
}

/// In a rush: takes the hook of state changes off if it may be, and puts it on if it may not.
fn rest_states(maps: &mut Maps, states: &mut States) {
    if states.may_rest() {
        maps.set_resting(maps.resting() | suspension::STATELESS);
        states.detach();
    } else if states.attach_again() {
        maps.set_resting(maps.resting() & !suspension::STATELESS);
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

fn many() -> f64 {
    let named = std::env::var(MANY_FOR_TESTS).ok();
    named.and_then(|number| number.parse().ok()).unwrap_or(MANY)
}

/// How fast connections are accepted.
#[derive(Default)]
struct Rush {
    last: Option<(Instant, Totals)>,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    accepted: u64,
    /// Calls that found no connection.
    empty: u64,
    failed: u64,
    /// Connections that were queued, are not any more, and were not seen to leave.
    missing: i64,
}

/// What happened since the refresh before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pace {
    /// Accepts a second.
    rate: f64,
    accepted: u64,
    empty: u64,
    failed: u64,
    missing: i64,
    /// Highest depth of a queue.
    peak: u32,
}

impl Pace {
    /// Nothing happened that only the hooks of accept see, and that anybody would miss. One call in
    /// vain for each connection is usual: servers accept until there is nothing more. More than that
    /// is a finding.
    fn is_smooth(&self) -> bool {
        let usual = self.accepted.saturating_add(self.accepted / 4);
        self.failed == 0 && self.empty <= usual && self.is_prompt()
    }

    /// No connection waits for so long that its peer would give up ([`LATE_NS`]).
    fn is_prompt(&self) -> bool {
        f64::from(self.peak) <= self.rate * LATE_NS as f64 / 1e9
    }

    /// More were accepted than were told. A few are always between two of these figures.
    fn is_missing(&self) -> bool {
        self.missing > 64 && self.missing.unsigned_abs() > self.accepted / 16
    }
}

impl Rush {
    fn pace(&mut self, sample: &Sample, now: Instant) -> Pace {
        let (mut totals, mut peak) = (Totals::default(), 0);
        for listener in &sample.listeners {
            totals.accepted = totals.accepted.saturating_add(listener.accepted);
            totals.empty = totals.empty.saturating_add(listener.eagain);
            totals.failed = totals.failed.saturating_add(failed(listener));
            let told = u64::from(listener.depth)
                .saturating_add(listener.abandoned)
                .saturating_add(listener.accepted);
            let missing = listener.queued.wrapping_sub(told).cast_signed();
            totals.missing = totals.missing.saturating_add(missing);
            peak = peak.max(listener.peak);
        }
        let Some((then, before)) = self.last.replace((now, totals)) else {
            return Pace::default();
        };
        let took = now.duration_since(then).as_secs_f64();
        // Of a listener that has closed the totals are gone.
        let accepted = totals.accepted.saturating_sub(before.accepted);
        Pace {
            rate: if took > 0.0 { accepted as f64 / took } else { 0.0 },
            accepted,
            empty: totals.empty.saturating_sub(before.empty),
            failed: totals.failed.saturating_sub(before.failed),
            missing: totals.missing.saturating_sub(before.missing),
            peak,
        }
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

    use super::{Load, MANY, Pace, QUIET, Quiet, Rush};
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

    #[test]
    fn a_rush_is_accepts_a_second() {
        let begin = Instant::now();
        let sample = |accepted, eagain, queued, peak| {
            let listener = ListenerSample { accepted, eagain, queued, peak, ..listener(1, 128) };
            Sample { listeners: vec![listener], ..Sample::default() }
        };
        let mut rush = Rush::default();
        let mut second = 0;
        let mut next = |sample| {
            second += 1;
            rush.pace(&sample, begin + Duration::from_secs(second))
        };
        assert_eq!(next(sample(9_000, 0, 8_000, 0)), Pace::default(), "nothing to compare");
        let pace = next(sample(13_000, 4_000, 12_000, 9));
        assert!(pace.rate >= 2.0 * MANY - 1.0 && pace.is_smooth(), "{pace:?}");
        let pace = next(sample(17_000, 12_000, 16_000, 9));
        assert!(!pace.is_smooth(), "two calls in vain for each connection: {pace:?}");
        let pace = next(sample(21_000, 12_000, 20_000, 300));
        assert!(!pace.is_smooth(), "300 wait 75 ms at 4,000 a second: {pace:?}");
        assert!(!pace.is_missing(), "{pace:?}");
        let pace = next(sample(22_000, 12_000, 24_000, 9));
        assert!(pace.is_missing(), "3,000 came, and nobody saw their accepts: {pace:?}");
    }
}
