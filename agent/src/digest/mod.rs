//! A whole run summed up for who reads it afterwards: a page, a comparison, an assistant.
//!
//! A [`Digest`] takes the model's outputs as they come, live (as the [`Consumer`] of a run) or from
//! a recording ([`Digest::of`]), and keeps a bounded part of each. It computes no figure that the
//! model has.

mod findings;
mod listeners;
mod series;
mod sockets;
#[cfg(test)]
pub(crate) mod tests;
mod threads;
mod worst;

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read},
};

pub use findings::{FindingStory, Findings};
pub use listeners::{ListenerPoint, ListenerStory, Listeners, Moment, MomentKind};
pub use series::{Point, Series};
pub use sockets::{Sockets, UnixPoint, UnixStory};
pub use threads::{ThreadStory, Threads};
pub use worst::{ConnectionBrief, Worst, WorstExchange};

use crate::{
    model::{
        Attached, Model, WallClock,
        event::{Connect, Pause, Stage},
        output::{ConnectionOutput, ExchangeOutput, Interest, Output, Summary},
        snapshot::{Owner, OwnerTimes, PatternView, Protocol, ProxyView},
    },
    record::{Damage, Header, ReadError, Reader, RecordEntry},
    run::{self, Consumer, PlayError, Visitor},
    text::Untrusted,
};

/// Connects that failed, the newest that are kept.
pub const MAX_CONNECTS: usize = 200;
/// Families of processes, and processes that call others, of which the figures are kept.
pub const MAX_PROCESSES: usize = 256;
/// Pauses that are kept one by one.
pub const MAX_PAUSES: usize = 1_000;

/// Time of exchanges that ended in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowPoint {
    /// End of the stretch, ns of `CLOCK_MONOTONIC`.
    pub ts_ns: u64,
    /// Their time by owner.
    pub times: OwnerTimes,
    /// The longest of them, µs.
    pub longest_us: u64,
}

impl Point for FlowPoint {
    fn merge(&mut self, later: &Self) {
        self.ts_ns = later.ts_ns;
        self.times.exchanges = self.times.exchanges.saturating_add(later.times.exchanges);
        for owner in Owner::ALL {
            let sum_us = self.times.of_mut(owner);
            *sum_us = sum_us.saturating_add(later.times.of(owner));
        }
        self.longest_us = self.longest_us.max(later.longest_us);
    }
}

/// Connections of one protocol that were reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolUse {
    /// Connections.
    pub connections: u64,
    /// Their exchanges.
    pub exchanges: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// A run summed up.
#[derive(Clone, Debug)]
pub struct Digest {
    /// The program that recorded it, and its version; `None` of a live run.
    pub written_by: Option<Untrusted>,
    /// The watched processes, as they were last described.
    pub target: Untrusted,
    /// Setup of the watch.
    pub attached: Attached,
    /// The kernel's clock and the wall clock at one moment.
    pub clock: WallClock,
    /// Listeners over time.
    pub listeners: Listeners,
    /// Findings, once the run is over.
    pub findings: Findings,
    /// The exchanges that took longest.
    pub worst: Worst,
    /// Time of exchanges, stretch by stretch.
    pub flow: Series<FlowPoint>,
    /// What was counted since the last point of `flow`.
    open: FlowPoint,
    /// The last figures of each pattern, by process id; at most [`MAX_PROCESSES`].
    pub patterns: BTreeMap<u32, PatternView>,
    /// The last figures of each process that serves and calls others, likewise.
    pub proxies: BTreeMap<u32, ProxyView>,
    /// Connections by protocol; `None` is for those whose first bytes told nothing.
    pub protocols: BTreeMap<Option<Protocol>, ProtocolUse>,
    /// Connects that failed, the newest [`MAX_CONNECTS`].
    pub connects: VecDeque<Connect>,
    /// Pauses in which exchanges were not watched: beginnings and ends, the first [`MAX_PAUSES`].
    pub pauses: Vec<Pause>,
    /// UDP sockets, QUIC connections, and Unix-domain sockets that listen.
    pub sockets: Sockets,
    /// Threads over the run.
    pub threads: Threads,
    /// Losses: the probe, buffer or map, and the total.
    pub lost: BTreeMap<Untrusted, u64>,
    /// Sentences on the watch itself.
    pub notices: Vec<Untrusted>,
    /// The totals; `None` until the run is over, and of a recording that breaks off.
    pub summary: Option<Summary>,
    /// It was summed up while the watch went on.
    pub so_far: bool,
    /// Damage to the recording, the first of it, and its extent.
    pub damages: (Vec<Damage>, u64),
}

impl Digest {
    /// Begins the digest of a run that keeps so many of the worst exchanges.
    pub fn new(attached: Attached, clock: WallClock, worst: usize) -> Self {
        Self {
            written_by: None,
            target: Untrusted::join(&attached.targets, ", "),
            attached,
            clock,
            listeners: Listeners::default(),
            findings: Findings::default(),
            worst: Worst::new(worst),
            flow: Series::default(),
            open: FlowPoint::default(),
            patterns: BTreeMap::new(),
            proxies: BTreeMap::new(),
            protocols: BTreeMap::new(),
            connects: VecDeque::new(),
            pauses: Vec::new(),
            sockets: Sockets::default(),
            threads: Threads::default(),
            lost: BTreeMap::new(),
            notices: Vec::new(),
            summary: None,
            so_far: false,
            damages: (Vec::new(), 0),
        }
    }

    /// Sums up a recording. One that was cut off is summed up to its last whole chunk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of<R: Read>(reader: &mut Reader<R>, worst: usize) -> Result<Self, ReadError> {
        Self::until(reader, worst, u64::MAX)
    }

    /// Sums up the beginning of a recording, up to a moment in ns of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn until<R: Read>(
        reader: &mut Reader<R>,
        worst: usize,
        until_ns: u64,
    ) -> Result<Self, ReadError> {
        let Header { written_by, attached, clock, .. } = reader.header().clone();
        let mut digest = Self::new(attached, clock, worst);
        digest.written_by = Some(written_by);
        match run::play_until(reader, &mut digest, until_ns) {
            Ok(_) => {}
            Err(PlayError::Read(error) | PlayError::Write(error)) => return Err(error.into()),
        }
        digest.damages = (reader.damages().to_vec(), reader.damage_count());
        Ok(digest)
    }

    /// End of what was seen, ns of `CLOCK_MONOTONIC`.
    pub fn end_ns(&self) -> u64 {
        match &self.summary {
            Some(summary) => summary.ts_ns,
            None => self.flow.points().last().map_or(self.attached.ts_ns, |point| point.ts_ns),
        }
    }

    /// Takes what the model reported.
    pub fn take_all(&mut self, outputs: &[Output]) {
        for output in outputs {
            self.take(output);
        }
    }

    fn take(&mut self, output: &Output) {
        match output {
            Output::Listener(listener) => {
                self.listeners.sampled(listener);
                self.close_stretch(listener.ts_ns);
            }
            // A syncookie refuses nobody.
            Output::Overflow(overflow) if overflow.stage == Stage::Cookie => {}
            Output::Overflow(overflow) => self.listeners.refused(overflow),
            Output::Accept(accept) => self.listeners.accepted(accept),
            Output::Exchange(exchange) => self.exchange(exchange),
            Output::Connection(connection) => self.connection(connection),
            Output::Connect(connect) => {
                if self.connects.len() == MAX_CONNECTS {
                    self.connects.pop_front();
                }
                self.connects.push_back(connect.clone());
            }
            Output::Pattern(pattern) => keep(&mut self.patterns, pattern.view.pid, &pattern.view),
            Output::Proxy(proxy) => keep(&mut self.proxies, proxy.view.pid, &proxy.view),
            Output::Pause(pause) => {
                if self.pauses.len() < MAX_PAUSES {
                    self.pauses.push(*pause);
                }
            }
            Output::Lost(lost) => {
                self.lost.insert(lost.probe.clone(), lost.total);
            }
            Output::Summary(summary) => {
                self.close_stretch(summary.ts_ns);
                self.findings = Findings::of(summary);
                self.summary = Some((**summary).clone());
            }
            Output::Unix(unix) => self.sockets.unix(unix),
            Output::Datagrams(datagrams) => self.sockets.datagrams(datagrams),
            Output::Quic(quic) => self.sockets.quic(quic),
            // The summary has them all.
            Output::Finding(_)
            | Output::Syn(_)
            | Output::SynAckRetransmit(_)
            | Output::Process(_)
            | Output::SocketEvent(_) => {}
        }
    }

    /// A sample was taken: threads are the state's, and no output tells of them.
    fn look_at(&mut self, model: &Model) {
        self.threads.sampled(&model.threads());
        self.target = model.brief().target;
    }

    fn exchange(&mut self, output: &ExchangeOutput) {
        let (open, count) = (&mut self.open, output.view.stands_for);
        open.times.exchanges += count;
        for slice in &output.view.slices {
            let sum_us = open.times.of_mut(slice.kind.owner());
            *sum_us = sum_us.saturating_add(slice.us.saturating_mul(count));
        }
        open.longest_us = open.longest_us.max(output.view.total_us);
        self.worst.take(output);
    }

    fn connection(&mut self, output: &ConnectionOutput) {
        let view = &output.view;
        let of_protocol = self.protocols.entry(view.protocol).or_default();
        let count = output.stands_for;
        let add = |sum: &mut u64, more: u64| *sum = more.saturating_mul(count).saturating_add(*sum);
        add(&mut of_protocol.connections, 1);
        add(&mut of_protocol.exchanges, view.exchanges);
        add(&mut of_protocol.bytes_in, view.bytes_in);
        add(&mut of_protocol.bytes_out, view.bytes_out);
        self.worst.connection(output);
    }

    /// A sample was taken: the time of all exchanges up to it is a point. Several listeners come
    /// with one sample.
    fn close_stretch(&mut self, ts_ns: u64) {
        if self.open.ts_ns == ts_ns {
            return;
        }
        if self.open.ts_ns != 0 || self.open.times.exchanges != 0 {
            self.flow.push(FlowPoint { ts_ns, ..self.open });
        }
        self.open = FlowPoint { ts_ns, ..FlowPoint::default() };
    }
}

/// Keeps the last figures of a process.
fn keep<V: Clone>(kept: &mut BTreeMap<u32, V>, pid: u32, view: &V) {
    if kept.len() < MAX_PROCESSES || kept.contains_key(&pid) {
        kept.insert(pid, view.clone());
    }
}

impl Visitor for Digest {
    fn entry(&mut self, entry: &RecordEntry) -> io::Result<()> {
        if let RecordEntry::Notices(notices) = entry {
            self.notices.clone_from(notices);
        }
        Ok(())
    }

    fn outputs(&mut self, outputs: &[Output]) -> io::Result<()> {
        self.take_all(outputs);
        Ok(())
    }

    fn sampled(&mut self, model: &Model) {
        self.look_at(model);
    }
}

impl Consumer for Digest {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn notices(&mut self, notices: &[Untrusted]) {
        self.notices = notices.to_vec();
    }

    fn report(&mut self, outputs: &mut Vec<Output>, _: &Model) -> io::Result<()> {
        self.take_all(outputs);
        run::clear(outputs);
        Ok(())
    }

    fn refresh(&mut self, model: &Model) -> io::Result<()> {
        self.look_at(model);
        Ok(())
    }

    fn before_summary(&mut self, _: &Model) -> io::Result<()> {
        Ok(())
    }
}
