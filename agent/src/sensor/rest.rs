//! When the hooks of accept rest.
//!
//! While any system call tracepoint is attached, the kernel takes a longer way through every system
//! call of the machine. So on a busy machine where no connection comes they are taken off, and put
//! on again when one comes. An accept in between shows by another hook, to which its caller's wish
//! for the peer's address leads: they rest only if that hook has been seen to tell of every accept
//! that they told of.

use std::{
    fs,
    time::{Duration, Instant},
};

use backscope_abi::{counter, suspension};

use super::{
    maps::Maps,
    now_ns,
    syscalls::{End, Syscalls},
};
use crate::model::event::{ListenerSample, Sample};

/// No connection came for so long.
const QUIET: Duration = Duration::from_secs(10);
/// Accept returns so soon after it took a connection, if its thread is not kept from a processor.
const ON_ITS_WAY: Duration = Duration::from_millis(20);
/// Processors of the machine that are busy, at least: an idle one loses nothing.
const BUSY: f64 = 0.5;

/// Whether the hooks of accept are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Attached,
    /// Those at the entry are off, since then. Those at the return wait for calls that were on
    /// their way.
    Leaving(Instant),
    Off,
}

/// Decides when they rest, and lets them.
pub(super) struct Rest {
    /// Something else tells of accepts meanwhile.
    possible: bool,
    state: State,
    quiet: Quiet,
    load: Load,
    has_rested: bool,
}

impl Rest {
    pub(super) fn new(possible: bool, syscalls: &Syscalls) -> Self {
        let possible = possible && !syscalls.is_empty();
        let quiet = Quiet { moves: 0, since: Instant::now() };
        Self { possible, state: State::Attached, quiet, load: Load::default(), has_rested: false }
    }

    /// True once they have rested.
    pub(super) fn has_rested(&self) -> bool {
        self.has_rested
    }

    /// At a refresh: lets them rest if it is time.
    pub(super) fn consider(&mut self, sample: &Sample, maps: &mut Maps, syscalls: &mut Syscalls) {
        if !self.possible {
            return;
        }
        let busy = self
            .load
            .since_last(Instant::now(), &fs::read_to_string("/proc/stat").unwrap_or_default());
        let quiet = self.quiet.lasts(sample, Instant::now());
        let [returned, named] =
            [counter::RETURNED, counter::NAMED].map(|index| maps.counter(index));
        if self.state == State::Attached
            && quiet
            && busy >= BUSY
            && returned > 0
            && named == returned
        {
            syscalls.detach(End::Entry);
            maps.set_resting(suspension::SUSPENDED);
            self.state = State::Leaving(Instant::now());
        }
    }

    /// As the ring buffer is emptied: true if the hooks are back, since a connection came.
    pub(super) fn go_on(&mut self, maps: &mut Maps, syscalls: &mut Syscalls) -> bool {
        match self.state {
            State::Attached => false,
            State::Leaving(since) if since.elapsed() < ON_ITS_WAY => false,
            State::Leaving(_) => {
                syscalls.detach(End::Return);
                self.state = State::Off;
                self.has_rested = true;
                false
            }
            // What failed is tried again: the other hook tells of accepts as before.
            State::Off => maps.resting() == suspension::WANTED && self.end(maps, syscalls).is_ok(),
        }
    }

    /// Returns first, entries last: an accept on its way is told by one of the hooks, and by one
    /// alone.
    fn end(&mut self, maps: &mut Maps, syscalls: &mut Syscalls) -> std::io::Result<()> {
        syscalls.attach_again(End::Return)?;
        // Those inside accept may be in another call than that which was noted.
        maps.forget_calls();
        maps.set_resting(now_ns());
        syscalls.attach_again(End::Entry).inspect_err(|_| maps.set_resting(suspension::WANTED))?;
        self.state = State::Attached;
        self.quiet.since = Instant::now();
        Ok(())
    }
}

/// Since when nothing happens at the listeners.
struct Quiet {
    moves: u64,
    since: Instant,
}

impl Quiet {
    /// True if it has been so for long.
    fn lasts(&mut self, sample: &Sample, now: Instant) -> bool {
        let failed = |listener: &ListenerSample| {
            listener.fails.iter().flatten().map(|fails| fails.count).sum::<u64>()
        };
        let moved = |listener: &ListenerSample| {
            listener.queued + listener.accepted + listener.eagain + failed(listener)
        };
        let moves = sample.listeners.iter().map(moved).sum();
        let waiting =
            sample.listeners.iter().any(|listener| listener.depth > 0 || listener.syn_depth > 0);
        if waiting || moves != self.moves {
            *self = Self { moves, since: now };
        }
        now.duration_since(self.since) >= QUIET
    }
}

/// What the machine's processors have done.
#[derive(Default)]
struct Load {
    last: Option<(Instant, u64)>,
}

impl Load {
    /// How many processors were busy since the last look, by `/proc/stat`; 0 if that is not known.
    fn since_last(&mut self, now: Instant, stat: &str) -> f64 {
        /// A second, in what the file counts in (USER_HZ).
        const SECOND: f64 = 100.0;
        let Some(busy) = busy(stat) else { return 0.0 };
        let Some((then, before)) = self.last.replace((now, busy)) else { return 0.0 };
        let took = now.duration_since(then).as_secs_f64();
        if took > 0.0 { busy.saturating_sub(before) as f64 / SECOND / took } else { 0.0 }
    }
}

/// Time that processors were not idle: user, nice, system, then interrupts; between them idle and
/// waiting for disks.
fn busy(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _disk, hard, soft, ..] = times[..] else { return None };
    Some(user + nice + system + hard + soft)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Load, QUIET, Quiet, busy};
    use crate::model::event::{ListenerSample, Sample};
    use crate::model::tests::world::listener;

    const STAT: &str =
        "cpu  1700 20 300 90000 50 7 13 0 0 0\ncpu0 850 10 150 45000 25 3 7 0 0 0\nintr 1\n";

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(busy(STAT), Some(2040));
        assert_eq!(busy(""), None);
        assert_eq!(busy("cpu  1 2 3\n"), None);
    }

    #[test]
    fn load_is_that_since_the_last_look() {
        let (mut load, begin) = (Load::default(), Instant::now());
        assert_eq!(load.since_last(begin, STAT), 0.0, "nothing to compare with");
        let later = STAT.replacen("1700", "1850", 1);
        let share = load.since_last(begin + Duration::from_secs(2), &later);
        assert!((share - 0.75).abs() < 1e-9, "{share}");
        assert_eq!(load.since_last(begin + Duration::from_secs(3), "what?"), 0.0);
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
