//! Who held time, as screens and pages tell it apart: its owner, and within the application's time
//! the upstreams that it waited for.

use std::net::SocketAddr;

use super::{ExchangeView, Finding, Join, Owner, OwnerTimes, Slice, SliceKind};
use crate::model::event::Outcome;

/// Holder of time. The contract knows no upstream: there such time is the application's, with
/// [`Slice::upstream_us`] beside it, or a connect's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The application itself.
    App,
    /// A server that the application had called for this request.
    Upstream,
    /// The kernel.
    Kernel,
    /// The network between this host and the peer.
    Network,
    /// The peer.
    Peer,
    /// Nobody can vouch for it.
    Unknown,
}

impl Holder {
    /// Every holder, from the nearest to the furthest.
    pub const ALL: [Self; 6] =
        [Self::App, Self::Upstream, Self::Kernel, Self::Network, Self::Peer, Self::Unknown];

    /// Word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Upstream => "upstream",
            Self::Kernel => "kernel",
            Self::Network => "network",
            Self::Peer => "peer",
            Self::Unknown => "unknown",
        }
    }

    /// Letter that stands for it where there is no room for its name.
    pub fn letter(self) -> char {
        match self {
            Self::App => 'A',
            Self::Upstream => 'U',
            Self::Kernel => 'K',
            Self::Network => 'N',
            Self::Peer => 'P',
            Self::Unknown => '?',
        }
    }
}

impl From<Owner> for Holder {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::App => Self::App,
            Owner::Kernel => Self::Kernel,
            Owner::Network => Self::Network,
            Owner::Peer => Self::Peer,
            Owner::Unknown => Self::Unknown,
        }
    }
}

impl Finding {
    /// Returns whose doing it is, as screens and lines tell it: the peer of a call is an upstream.
    pub fn holder(&self) -> Holder {
        let is_on_calls = matches!(self.kind, "connect-fails" | "slow-app" | "upstream-imbalance");
        match self.owner {
            Owner::Peer if is_on_calls => Holder::Upstream,
            owner => owner.into(),
        }
    }
}

/// Time by holder, µs. A call that a request waited for counts once, as the request's wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HolderTimes {
    /// Number of exchanges, without the calls that are part of others.
    pub exchanges: u64,
    /// By [`Holder::ALL`].
    us: [u64; Holder::ALL.len()],
}

impl HolderTimes {
    /// No time yet of so many exchanges.
    pub fn of_exchanges(exchanges: u64) -> Self {
        Self { exchanges, ..Self::default() }
    }

    /// Time of one holder, µs.
    pub fn of(&self, holder: Holder) -> u64 {
        self.us[holder as usize]
    }

    /// Adds time of a holder, µs.
    pub fn add(&mut self, holder: Holder, us: u64) {
        let sum = &mut self.us[holder as usize];
        *sum = sum.saturating_add(us);
    }

    /// Says that so much of the application's time was spent waiting for upstreams, µs.
    pub fn give_upstream(&mut self, us: u64) {
        let app_us = &mut self.us[Holder::App as usize];
        let us = us.min(*app_us);
        *app_us -= us;
        self.add(Holder::Upstream, us);
    }

    /// Time of all holders, µs.
    pub fn sum_us(&self) -> u64 {
        self.us.iter().fold(0, |sum, us| sum.saturating_add(*us))
    }

    /// Adds what another sum has.
    pub fn merge(&mut self, other: &Self) {
        self.exchanges = self.exchanges.saturating_add(other.exchanges);
        for holder in Holder::ALL {
            self.add(holder, other.of(holder));
        }
    }

    /// Returns so many times this.
    #[must_use]
    pub fn times(&self, count: u64) -> Self {
        let mut times = *self;
        times.exchanges = times.exchanges.saturating_mul(count);
        for us in &mut times.us {
            *us = us.saturating_mul(count);
        }
        times
    }

    /// Returns the difference to an earlier state.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        since.exchanges = self.exchanges.saturating_sub(before.exchanges);
        for (us, before_us) in since.us.iter_mut().zip(before.us) {
            *us = us.saturating_sub(before_us);
        }
        since
    }
}

impl From<OwnerTimes> for HolderTimes {
    fn from(times: OwnerTimes) -> Self {
        let mut holders = Self::of_exchanges(times.exchanges);
        for owner in Owner::ALL {
            holders.add(owner.into(), times.of(owner));
        }
        holders
    }
}

/// A stretch of an exchange with one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Who held it.
    pub holder: Holder,
    /// The slice that it is, or is a part of.
    pub slice: Slice,
}

/// What held most of an exchange's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldMost {
    /// Who.
    pub holder: Holder,
    /// On what; of an upstream the kind of its longest part.
    pub kind: SliceKind,
    /// Its share of the exchange's time.
    pub share: f64,
    /// Its time, µs.
    pub us: u64,
}

/// An upstream that a request waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamWait {
    /// Whom the application called.
    pub peer: SocketAddr,
    /// The call as (connection, number); `None` while there is no connection.
    pub call: Option<(u64, u32)>,
    /// Its beginning.
    pub start_ns: u64,
    /// Its duration, µs.
    pub us: u64,
    /// It goes on.
    pub open: bool,
    /// It failed.
    pub fault: Option<CallFault>,
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// There was no connection to make it on.
    Connect(Outcome),
    /// The caller closed the connection without an answer: it, or whom it served, gave up.
    GivenUp,
    /// The upstream reset the connection without an answer.
    Reset,
    /// The upstream closed the connection without an answer.
    Closed,
    /// The kernel gave the connection up: nothing was acknowledged any more.
    TimedOut,
}

impl CallFault {
    /// In words, behind the name of the upstream.
    pub fn words(self) -> &'static str {
        match self {
            Self::Connect(outcome) => outcome.words(),
            Self::GivenUp => "did not answer until given up",
            Self::Reset => "reset without an answer",
            Self::Closed => "closed without an answer",
            Self::TimedOut => "timed out",
        }
    }
}

/// A connect that never left this host is no wait for anybody else.
fn left_host(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::NoPort | Outcome::NoRoute)
}

impl ExchangeView {
    /// Returns the calls and connects that it waited for, as far as there is evidence, in the order
    /// of time.
    pub fn upstream_waits(&self) -> Vec<UpstreamWait> {
        let mut waits = Vec::new();
        for join in self.upstream.iter().filter(|join| join.counts) {
            waits.push(join.wait());
        }
        for failure in &self.connects {
            if left_host(failure.outcome) {
                waits.push(UpstreamWait {
                    peer: failure.peer,
                    call: None,
                    start_ns: failure.start_ns,
                    us: failure.us,
                    open: false,
                    fault: Some(CallFault::Connect(failure.outcome)),
                });
            }
        }
        waits.sort_by_key(|wait| wait.start_ns);
        waits
    }

    /// Returns the upstream that it waited for longest.
    pub fn longest_wait(&self) -> Option<UpstreamWait> {
        self.upstream_waits().into_iter().max_by_key(|wait| wait.us)
    }

    /// Returns the waits for upstreams that were under way in a slice.
    pub fn waits_in(&self, slice: &Slice) -> Vec<UpstreamWait> {
        let end_ns = slice.start_ns.saturating_add(slice.us.saturating_mul(1_000));
        let mut waits = self.upstream_waits();
        waits.retain(|wait| {
            let wait_end_ns = wait.start_ns.saturating_add(wait.us.saturating_mul(1_000));
            wait.start_ns < end_ns && wait_end_ns > slice.start_ns
        });
        waits
    }

    /// Returns the failures of calls that it waited for, each kind once with its number, the
    /// commonest first: "upstream 127.0.0.1:9000 refused, 3×".
    pub fn faults(&self) -> Vec<(SocketAddr, CallFault, u64)> {
        let mut faults: Vec<(SocketAddr, CallFault, u64)> = Vec::new();
        for wait in self.upstream_waits() {
            let Some(fault) = wait.fault else { continue };
            match faults.iter_mut().find(|(peer, known, _)| (*peer, *known) == (wait.peer, fault)) {
                Some((_, _, count)) => *count += 1,
                None => faults.push((wait.peer, fault, 1)),
            }
        }
        faults.sort_by_key(|&(peer, _, count)| (std::cmp::Reverse(count), peer));
        faults
    }

    /// Returns its time by holder, in order: the slices that somebody waited for, with the waits
    /// for upstreams cut out of the application's.
    pub fn parts(&self) -> Vec<Part> {
        let slices = match self.slices.split_last() {
            Some((last, before)) if last.kind == SliceKind::DelayedAck => before,
            _ => &self.slices[..],
        };
        let waits = self.upstream_waits();
        let mut parts = Vec::with_capacity(slices.len());
        for slice in slices {
            self.add_parts(slice, &waits, &mut parts);
        }
        parts
    }

    /// Returns the parts of one of its slices.
    pub fn parts_of(&self, slice: &Slice) -> Vec<Part> {
        let mut parts = Vec::new();
        self.add_parts(slice, &self.upstream_waits(), &mut parts);
        parts
    }

    fn add_parts(&self, slice: &Slice, waits: &[UpstreamWait], parts: &mut Vec<Part>) {
        match slice.kind {
            SliceKind::App => cut(*slice, waits, parts),
            // Only a request has failed connects, and they are all that it has to connect.
            SliceKind::Connect | SliceKind::ConnectRefused if !self.connects.is_empty() => {
                parts.push(Part { holder: Holder::Upstream, slice: *slice });
            }
            kind => parts.push(Part { holder: kind.owner().into(), slice: *slice }),
        }
    }

    /// Returns what held most of its time; `None` for an exchange without time.
    pub fn held_most(&self) -> Option<HeldMost> {
        let parts = self.parts();
        let group = |part: &Part| match part.holder {
            Holder::Upstream => None,
            _ => Some(part.slice.kind),
        };
        let (mut all_us, mut most): (u64, Option<(u64, Part)>) = (0, None);
        for part in &parts {
            all_us = all_us.saturating_add(part.slice.us);
            let mut us = 0_u64;
            for other in parts.iter().filter(|other| group(other) == group(part)) {
                us = us.saturating_add(other.slice.us);
            }
            // The earlier kind of equals wins, as in the contract's verdict.
            let is_more = |(most_us, other): (u64, Part)| {
                us > most_us || us == most_us && part.slice.kind < other.slice.kind
            };
            if us > 0 && most.is_none_or(is_more) {
                most = Some((us, *part));
            }
        }
        let (us, Part { holder, slice }) = most?;
        Some(HeldMost { holder, kind: slice.kind, share: us as f64 / all_us as f64, us })
    }

    /// Returns its time by holder, as one exchange.
    pub fn held(&self) -> HolderTimes {
        let mut times = HolderTimes::of_exchanges(1);
        for part in self.parts() {
            times.add(part.holder, part.slice.us);
        }
        times
    }
}

impl Join {
    /// The call as a wait.
    fn wait(&self) -> UpstreamWait {
        UpstreamWait {
            peer: self.peer,
            call: if self.seq == 0 { None } else { Some((self.sock, self.seq)) },
            start_ns: self.start_ns,
            us: self.end_ns.saturating_sub(self.start_ns) / 1_000,
            open: self.open,
            fault: self.fault,
        }
    }
}

/// Cuts an `App` slice where a wait begins or ends. Waits in parallel count once.
fn cut(slice: Slice, waits: &[UpstreamWait], parts: &mut Vec<Part>) {
    let mut rest = slice;
    for wait in waits {
        let end_ns = wait.start_ns.saturating_add(wait.us.saturating_mul(1_000));
        let after_us = |ns: u64| (ns.saturating_sub(rest.start_ns) / 1_000).min(rest.us);
        let (from_us, to_us) = (after_us(wait.start_ns), after_us(end_ns));
        if from_us >= to_us {
            continue;
        }
        // Which part was on a CPU is not known.
        (rest.cpu_us, rest.upstream_us) = (None, None);
        let own = rest.cut(from_us);
        if own.us > 0 {
            parts.push(Part { holder: Holder::App, slice: own });
        }
        let mut waited = rest.cut(to_us - from_us);
        waited.upstream_us = Some(waited.us);
        match parts.last_mut() {
            // The next of several calls, without own work in between.
            Some(Part { holder: Holder::Upstream, slice: before })
                if before.start_ns.saturating_add(before.us * 1_000) == waited.start_ns =>
            {
                before.us = before.us.saturating_add(waited.us);
                before.upstream_us = Some(before.us);
            }
            _ => parts.push(Part { holder: Holder::Upstream, slice: waited }),
        }
    }
    if rest.us > 0 {
        parts.push(Part { holder: Holder::App, slice: rest });
    }
}
