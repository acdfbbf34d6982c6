//! The tail of exchanges: the slowest hundredth, if it takes far longer than most. And what the
//! exchanges in it have in common.

use super::SLOW_US;
use crate::model::event::{Exchange, SockId, ThreadUse};
use crate::model::exchange;
use crate::model::snapshot::{ExchangeView, SliceKind};

/// Slow exchanges that are kept for each step.
const MAX_SLOW: usize = 32;
/// Classes of duration: each is twice as long as the one before.
const CLASSES: usize = 32;
/// With fewer exchanges there is no slowest hundredth.
const LEAST: u64 = 100;
/// A tail has at least so many exchanges.
const FEWEST: usize = 3;
/// A tail takes at least so long, µs.
const LONG_US: u64 = 50_000;
/// A tail takes at least so many times as long as the median.
const TIMES: u64 = 10;

/// An exchange that was slow, and the kind of time that it spent most on.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Slow {
    pub(in crate::model) us: u64,
    kind: SliceKind,
    /// Begin and end of the longest slice of that kind.
    from_ns: u64,
    to_ns: u64,
    sock: SockId,
    /// The thread that read it, or wrote; 0 if that is not known.
    tid: u32,
    pid: u32,
}

/// Exchanges by duration.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Spread {
    classes: [u32; CLASSES],
    /// In no order.
    slow: Vec<Slow>,
}

impl Spread {
    /// Adds one that took so long, without a trailing delayed ACK. With `waits` the application's
    /// time is waiting by design, as a stream's is.
    pub(super) fn add(
        &mut self,
        exchange: &Exchange,
        view: &ExchangeView,
        total_us: u64,
        waits: bool,
    ) {
        let by_design = |kind| {
            kind == SliceKind::Streaming || kind == SliceKind::App && (waits || view.multiplexed)
        };
        let mut waited_us = 0_u64;
        for slice in &view.slices {
            if by_design(slice.kind) {
                waited_us = waited_us.saturating_add(slice.us);
            }
        }
        let us = total_us.saturating_sub(waited_us);
        let class = (u64::BITS - us.leading_zeros()) as usize;
        let sum = &mut self.classes[class.min(CLASSES - 1)];
        *sum = sum.saturating_add(u32::try_from(view.stands_for).unwrap_or(u32::MAX));
        if us < SLOW_US {
            return;
        }
        if let Some(slow) = Slow::of(us, exchange, view)
            && !by_design(slow.kind)
        {
            self.keep(slow);
        }
    }

    /// Keeps one, in place of the quickest if there are too many.
    fn keep(&mut self, slow: Slow) {
        if self.slow.len() < MAX_SLOW {
            self.slow.push(slow);
        } else if let Some(quickest) = self.slow.iter_mut().min_by_key(|other| other.us)
            && quickest.us < slow.us
        {
            *quickest = slow;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (class, count) in other.classes.iter().enumerate() {
            self.classes[class] += count;
        }
        self.slow.extend(&other.slow);
    }

    fn count(&self) -> u64 {
        let mut sum = 0;
        for &count in &self.classes {
            sum += u64::from(count);
        }
        sum
    }

    /// Median duration, µs: the upper end of its class.
    fn half_us(&self) -> u64 {
        let half = self.count().div_ceil(2);
        let mut sum = 0;
        for (class, &count) in self.classes.iter().enumerate() {
            sum += u64::from(count);
            if sum >= half {
                return (1 << class) - 1;
            }
        }
        0
    }

    /// Returns the tail, if there is one.
    pub(in crate::model) fn tail(&self) -> Option<Tail> {
        let all = self.count();
        let mut slowest = self.slow.clone();
        slowest.sort_by_key(|slow| std::cmp::Reverse(slow.us));
        let count = FEWEST.max((all / 100) as usize);
        let tail_us = slowest.get(count - 1)?.us;
        let half_us = self.half_us();
        // If more than a tenth takes so long, it is no tail.
        let like_it = slowest.iter().filter(|slow| slow.us * 2 >= tail_us).count() as u64;
        if all < LEAST || tail_us < LONG_US || tail_us < TIMES * half_us || like_it * 10 >= all {
            return None;
        }
        slowest.truncate(count);
        Some(Tail::new(all, half_us, slowest))
    }
}

impl Slow {
    fn of(us: u64, exchange: &Exchange, view: &ExchangeView) -> Option<Self> {
        let kind = exchange::verdict(&view.slices)?.kind;
        let of_kind = view.slices.iter().filter(|slice| slice.kind == kind);
        let longest = of_kind.max_by_key(|slice| slice.us)?;
        let (tid, pid) = match held_by(exchange, kind) {
            Some(thread) => (thread.tid, thread.pid),
            None => (0, 0),
        };
        let to_ns = longest.start_ns + longest.us * 1_000;
        Some(Self { us, kind, from_ns: longest.start_ns, to_ns, sock: exchange.sock, tid, pid })
    }
}

/// The thread that a kind of time waited for: the reader or the writer, whichever is known.
fn held_by(exchange: &Exchange, kind: SliceKind) -> Option<ThreadUse> {
    let reader = exchange.inbound.as_ref().and_then(|inbound| inbound.reader);
    let writer = exchange.outbound.as_ref().and_then(|outbound| outbound.writer);
    if kind == SliceKind::ReceiveQueue { reader.or(writer) } else { writer.or(reader) }
}

/// The slowest hundredth, or the slowest three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::model) struct Tail {
    /// All exchanges, and those in the tail.
    pub(in crate::model) of: u64,
    pub(in crate::model) count: u64,
    /// Duration of the quickest and the slowest of the tail, and the median of all, µs.
    pub(in crate::model) us: u64,
    pub(in crate::model) worst_us: u64,
    pub(in crate::model) half_us: u64,
    /// The kind of time that nearly all of them spent most on.
    pub(in crate::model) kind: Option<SliceKind>,
    /// The thread and the connection of nearly all.
    pub(in crate::model) tid: Option<u32>,
    pub(in crate::model) sock: Option<SockId>,
    pub(in crate::model) pid: Option<u32>,
    /// The stretches of time into which their longest slices fall; in each these overlap.
    pub(in crate::model) moments: Vec<(u64, u64)>,
}

impl Tail {
    /// Describes the slowest, of which there is one at least, slowest first.
    fn new(of: u64, half_us: u64, slowest: Vec<Slow>) -> Self {
        Self {
            of,
            count: slowest.len() as u64,
            us: slowest[slowest.len() - 1].us,
            worst_us: slowest[0].us,
            half_us,
            kind: common(&slowest, |slow| slow.kind),
            tid: known(common(&slowest, |slow| slow.tid)),
            sock: common(&slowest, |slow| slow.sock),
            pid: known(common(&slowest, |slow| slow.pid)),
            moments: moments(slowest),
        }
    }

    /// Tells whether they fall together: each moment has several of them.
    pub(in crate::model) fn is_together(&self) -> bool {
        self.moments.len() as u64 * 3 <= self.count
    }
}

/// Returns the value that four of five have in common.
fn common<T: PartialEq>(slowest: &[Slow], of: impl Fn(&Slow) -> T) -> Option<T> {
    for slow in slowest {
        let value = of(slow);
        let count = slowest.iter().filter(|other| of(other) == value).count();
        if count * 5 >= slowest.len() * 4 {
            return Some(value);
        }
    }
    None
}

/// Leaves out the 0 that stands for an id that is not known.
fn known(id: Option<u32>) -> Option<u32> {
    if id == Some(0) { None } else { id }
}

/// Returns the stretches of time, those that overlap as one.
fn moments(mut slowest: Vec<Slow>) -> Vec<(u64, u64)> {
    slowest.sort_by_key(|slow| slow.from_ns);
    let mut moments: Vec<(u64, u64)> = Vec::new();
    for slow in slowest {
        match moments.last_mut() {
            Some(last) if slow.from_ns < last.1 => last.1 = last.1.max(slow.to_ns),
            _ => moments.push((slow.from_ns, slow.to_ns)),
        }
    }
    moments
}
