//! The kernel side's other half: loads the probes, decides who is watched, turns records and maps
//! into events. The only place that names `aya`, and but for the probes the only one with `unsafe`.

mod asleep;
mod begin;
mod beside;
mod blocked;
mod brief;
mod choose;
mod command;
mod config;
mod connections;
mod connects;
mod cost;
mod datagrams;
mod error;
mod fails;
mod first;
mod load;
mod maps;
mod moments;
pub mod plan;
mod programs;
mod quota;
mod refused;
mod rest;
mod sample;
mod stream;
mod sys;
mod syscalls;
pub mod targets;
mod threads;

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use aya::maps::{MapData, RingBuf};
use backscope_abi::{Config, counter};
use rustix::time::{ClockId, clock_gettime};

use self::{
    begin::{load_best, raise_memlock, with_loader},
    connections::{Connections, Kernel},
    connects::Networks,
    cost::CostMeter,
    datagrams::Datagrams,
    first::FirstBytes,
    load::Loaded,
    maps::Maps,
    moments::Sight,
    quota::Quotas,
    rest::Rest,
    sample::Sampler,
    threads::Threads,
};
pub use self::{
    choose::{Chosen, Refusal},
    command::{STOPPED_VERB, StoppedCommand, stop_then_exec},
    error::SensorError,
    plan::Tier,
    targets::Targets,
};
use crate::{
    kernel::preflight::Preflight,
    model::event::{Event, Exchange, ListenerSample, OtherListener, Sample, ThreadUse},
};

/// What to watch, and how closely.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whom.
    pub targets: Targets,
    /// Not higher than this tier, and exactly this one if it is [`Tier::Full`]; `None` for the best
    /// there is.
    pub tier: Option<Tier>,
    /// Every single event is told: SYNs, and what happens on connections.
    pub events: bool,
    /// Exchanges are watched, not queues alone.
    pub exchanges: bool,
    /// The first bytes of connections are looked at, for their protocol.
    pub protocols: bool,
    /// Of requests of HTTP/1 in them, method and path are told.
    pub paths: bool,
    /// Size of the ring buffer in bytes, a power of two; `None` for the default.
    pub ring_bytes: Option<u32>,
}

/// Attached probes, and everything that was learnt in attaching them. Dropping it detaches all.
pub struct Sensor {
    /// When the probes were attached, ns of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// How long attaching took, µs.
    pub attach_us: u64,
    /// The machine.
    pub preflight: Preflight,
    maps: Maps,
    ring: RingBuf<MapData>,
    loaded: Loaded,
    sampler: Sampler,
    rest: Rest,
    cost: CostMeter,
    targets: Targets,
    adopt: BTreeSet<u32>,
    connections: Connections,
    datagrams: Datagrams,
    threads: Threads,
    quotas: Quotas,
    sight: Sight,
    first: FirstBytes,
    networks: Networks,
    /// What a scan came upon and no record told.
    found: Vec<Event>,
    /// The newest that a record told.
    event: Event,
    /// What listens beside watched listeners, at the newest sample.
    others: Vec<(SocketAddr, OtherListener)>,
    /// Records since memory was last given back.
    drained: usize,
}

/// Now, ns of `CLOCK_MONOTONIC`: the clock of every event.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// What this machine allows: the trial without the attaching, for `doctor`; with `events`, for
/// every single event.
///
/// # Errors
/// As for [`Sensor::attach`].
pub fn trial(tier: Option<Tier>, events: bool) -> Result<Chosen, SensorError> {
    let preflight = Preflight::of_this_machine();
    if let Some(blocker) = preflight.blocker() {
        return Err(SensorError::Blocked(blocker));
    }
    with_loader(
        Config { exchanges: 1, payload_prefix: 1, events: events.into(), ..Config::EMPTY },
        |loader| choose::choose(loader, tier.unwrap_or(Tier::Full), &[]),
    )
}

/// Every listening socket of these targets, once, attaching nothing: a sample without anything
/// else.
///
/// # Errors
/// As for [`Sensor::attach`].
pub fn look(targets: &Targets) -> Result<Sample, SensorError> {
    let preflight = Preflight::of_this_machine();
    if let Some(blocker) = preflight.blocker() {
        return Err(SensorError::Blocked(blocker));
    }
    raise_memlock();
    let options = Options { targets: targets.clone(), ..Options::default() };
    let (loaded, mut ebpf) = with_loader(config::of(&options), |loader| {
        load::attach(loader, choose::scan_only(), |ebpf| maps::set_targets(ebpf, targets))
    })?;
    let mut maps = Maps::new(&mut ebpf)?;
    let mut sampler = Sampler::new(&loaded.chosen, loaded.knows_acked);
    sampler.scan(&loaded.scan, targets, &maps);
    Ok(sampler.sample(&mut maps))
}

/// How many packets a listener has refused at most since it was made: as many as it dropped, and as
/// all listeners of its network namespace refused. `None` where that cannot be read.
pub fn refused_at_most(listener: &ListenerSample) -> Option<u64> {
    let pids = listener.holders.iter().copied().chain(std::iter::once(listener.pid));
    let mut drops = pids.filter_map(|pid| refused::listen_drops(listener.netns, pid));
    drops.next().map(|drops| drops.min(listener.drops))
}

impl Sensor {
    /// Chooses hooks, loads and attaches them, and finds the listeners that exist already.
    ///
    /// # Errors
    /// A privilege or kernel feature without which nothing can be watched is missing.
    pub fn attach(options: &Options) -> Result<Self, SensorError> {
        let begin = Instant::now();
        let preflight = Preflight::of_this_machine();
        if let Some(blocker) = preflight.blocker() {
            return Err(SensorError::Blocked(blocker));
        }
        raise_memlock();
        let (loaded, mut ebpf) = load_best(options)?;
        let ring = maps::ring(&mut ebpf)?;
        let maps = Maps::new(&mut ebpf)?;
        drop(ebpf);
        sys::trim_memory();
        let sees_delayed_acks = loaded.chosen.has("delayed_ack");
        let kernel = Kernel { tick_ns: preflight.tick_ns, sees_delayed_acks };
        let mut sensor = Self {
            attached_ns: now_ns(),
            attach_us: 0,
            sampler: Sampler::new(&loaded.chosen, loaded.knows_acked),
            rest: Rest::new(loaded.chosen.has(plan::ACCEPT_AT_REST), &loaded.syscalls),
            cost: CostMeter::new(&loaded.programs),
            targets: options.targets.clone(),
            adopt: BTreeSet::new(),
            connections: Connections::new(kernel),
            datagrams: Datagrams::new(&loaded.chosen),
            threads: Threads::default(),
            quotas: Quotas::default(),
            sight: Sight::new(&loaded.chosen, kernel),
            first: FirstBytes::new(options.paths),
            networks: Networks::default(),
            found: Vec::new(),
            event: Event::Sample(Sample::default()),
            others: Vec::new(),
            drained: 0,
            preflight,
            maps,
            ring,
            loaded,
        };
        sensor.settle_targets();
        sensor.scan();
        sensor.sampler.begin(&mut sensor.maps);
        // Connections that are open already are watched from here on.
        let mut first = Sample { ts_ns: now_ns(), ..Sample::default() };
        sensor.sample_connections(&mut first);
        while sensor.scan_on(&mut first) {
            first.connections.clear();
        }
        sensor.attached_ns = now_ns();
        sensor.attach_us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(sensor)
    }

    /// Catches up with what happened between looking for the targets and seeing forks and exits: a
    /// child that came would be missed, a process that ended would be watched for ever.
    fn settle_targets(&mut self) {
        // A child that came unseen may have forked while we looked, but not much deeper.
        const ROUNDS: usize = 8;
        for _ in 0..ROUNDS {
            self.targets.resolve_running();
            let known = self.maps.targets();
            let late: Vec<u32> =
                self.targets.every_process().filter(|pid| !known.contains(pid)).collect();
            if late.is_empty() {
                break;
            }
            late.into_iter().for_each(|pid| self.maps.note_target(pid));
        }
        for pid in self.maps.targets() {
            if !targets::exists(pid) {
                self.maps.forget_target(pid);
            }
        }
    }

    /// What was chosen for each signal.
    pub fn chosen(&self) -> &Chosen {
        &self.loaded.chosen
    }

    /// Shows what the ring buffer holds, one by one: thousands of events at once would not stay in
    /// a cache, and an event is too large to be moved about.
    ///
    /// Returns at the first record that was written after the call: where records come faster than
    /// they are taken, the buffer is never empty, and the caller has more to do.
    ///
    /// # Errors
    /// The first of `take`; what it was given is gone.
    pub fn drain<E>(&mut self, mut take: impl FnMut(&Event) -> Result<(), E>) -> Result<(), E> {
        if self.rest.go_on(&mut self.maps, &mut self.loaded.syscalls) {
            blocked::note(self.sampler.descriptors(), &mut self.maps);
        }
        // Before the records, of which none is younger.
        if let Some(state) = self.quotas.look(now_ns()) {
            take(&Event::Cpu(state))?;
        }
        for event in std::mem::take(&mut self.found) {
            if let Event::Exchange(exchange) = &event {
                self.threads.count(exchange);
            }
            take(&event)?;
        }
        let begun_ns = now_ns();
        while let Some(record) = self.ring.next() {
            self.drained += 1;
            match stream::decode(&record, self.sight, &mut self.event) {
                Some(stream::Decoded::Event) => {
                    match &mut self.event {
                        Event::Accept(accept) => self.threads.accepted(accept),
                        Event::Exchange(exchange) => {
                            self.threads.count(exchange);
                            if let Some(pid) = waited(exchange) {
                                let states = self.quotas.waited(now_ns(), pid);
                                states
                                    .into_iter()
                                    .try_for_each(|state| take(&Event::Cpu(state)))?;
                            }
                        }
                        Event::Closed(closed) => {
                            self.connections.forget(closed.sock);
                            self.first.forget(closed.sock);
                        }
                        Event::Connect(connect) => self.networks.complete(connect),
                        _ => {}
                    }
                    take(&self.event)?;
                    if written_ns(&self.event).is_some_and(|written_ns| written_ns > begun_ns) {
                        break;
                    }
                }
                Some(stream::Decoded::FirstBytes) => {
                    self.first.take(&record).iter().try_for_each(&mut take)?;
                }
                Some(stream::Decoded::Adopt(pid)) => {
                    self.adopt.insert(pid);
                }
                None => {}
            }
        }
        for pid in std::mem::take(&mut self.adopt) {
            self.sampler.scan_process(&self.loaded.scan, pid);
        }
        Ok(())
    }

    /// A sample like [`Sensor::sample`], however long ago the iterator ran: the last word of a run.
    pub fn last_sample(&mut self) -> Sample {
        self.sampler.ends();
        self.connections.scan_is_due();
        self.sample()
    }

    fn scan(&mut self) {
        self.sampler.scan(&self.loaded.scan, &self.targets, &self.maps);
    }

    /// Reads the state of every listener. The probes start a new refresh period. Its connections
    /// come by [`Sensor::scan_on`].
    pub fn sample(&mut self) -> Sample {
        if self.drained >= TRIM_AFTER {
            // What a burst took lies scattered between what is kept of it.
            self.drained = 0;
            sys::trim_memory();
        }
        self.scan();
        let mut sample = self.sampler.sample(&mut self.maps);
        let beside = |listener: &ListenerSample| {
            let local = listener.local;
            listener.others.clone().into_iter().map(move |other| (local, other))
        };
        self.others = sample.listeners.iter().flat_map(beside).collect();
        self.rest.consider(&sample, &mut self.maps, &mut self.loaded.syscalls);
        self.sample_connections(&mut sample);
        let runs = self.loaded.programs.runs();
        sample.cost = self.cost.read(&self.loaded.programs, runs);
        if runs.skipped > 0 {
            sample.lost.push((SKIPPED.to_owned(), runs.skipped));
        }
        sample
    }

    fn sample_connections(&mut self, sample: &mut Sample) {
        if !self.loaded.chosen.has("connection_end") {
            return;
        }
        let [opened, ended] =
            [counter::OPENED, counter::ENDED].map(|index| self.maps.counter(index));
        sample.connections_open = opened.saturating_sub(ended);
        let processes = self.maps.targets();
        (sample.threads, sample.waiting) =
            self.threads.sample(&processes, self.sampler.descriptors());
        let states = self.quotas.refresh(sample.ts_ns, &sample.threads);
        self.found.extend(states.into_iter().map(Event::Cpu));
        let named = self.targets.only_processes() && processes.len() <= MAX_SCANNED_ALONE;
        self.connections.begin_scan(if named { &processes } else { &[] }, sample.ts_ns);
    }

    /// Adds some more of the connections to a sample. False once it has all: whoever takes out what
    /// it has in between never holds many at once.
    pub fn scan_on(&mut self, sample: &mut Sample) -> bool {
        let Some(program) = &self.loaded.scan_connections else { return false };
        let Some(scanned) = self.connections.scan_on(program, sample.ts_ns) else {
            let held = self.connections.take_held();
            sample.datagrams = self.datagrams.sample(&mut self.maps, &held, self.sampler.ended());
            return false;
        };
        self.drained += scanned.found.len();
        self.found.extend(scanned.found);
        sample.connections.extend(scanned.connections);
        true
    }

    /// True once nobody is left whom we were told to watch by process.
    pub fn all_ended(&self) -> bool {
        self.targets.only_processes() && self.maps.targets().is_empty()
    }

    /// Watched processes that hold no listening socket, as (pid, comm).
    pub fn without_listener(&self) -> Vec<(u32, String)> {
        let holders = self.sampler.holders();
        let roots = self.targets.pids.iter().filter(|pid| targets::exists(**pid));
        if self.maps.targets().iter().any(|pid| holders.contains(pid)) {
            return Vec::new();
        }
        roots.map(|pid| (*pid, targets::comm_of(*pid).unwrap_or_default())).collect()
    }

    /// Sockets that listen where watched ones do, and that nobody watched holds: each with the
    /// place of the watched one.
    pub fn others(&self) -> &[(SocketAddr, OtherListener)] {
        &self.others
    }

    /// True once the hooks of accept have rested.
    pub fn has_rested(&self) -> bool {
        self.rest.has_rested()
    }

    /// How many of the processes that were named one by one still run.
    pub fn named_processes(&self) -> usize {
        let watched = self.maps.targets();
        self.targets.pids.iter().filter(|pid| watched.contains(pid)).count()
    }

    /// How many processes are watched.
    pub fn processes(&self) -> usize {
        self.maps.targets().len()
    }
}

/// The process of an exchange whose thread was long without a processor.
fn waited(exchange: &Exchange) -> Option<u32> {
    let outbound = exchange.outbound.as_ref();
    let paused_ns =
        outbound.and_then(|outbound| outbound.pauses).map_or(0, |pauses| pauses.run_delay_ns);
    let writer = outbound.and_then(|outbound| outbound.writer);
    let reader = exchange.inbound.as_ref().and_then(|inbound| inbound.reader);
    let waited = |thread: ThreadUse| (thread.pid, thread.run_delay_ns.max(paused_ns));
    writer
        .into_iter()
        .chain(reader)
        .map(waited)
        .find(|&(_, ns)| ns >= quota::WAITED_NS)
        .map(|(pid, _)| pid)
}

/// When a record was put into the ring buffer; `None` for kinds that tell of an earlier time.
fn written_ns(event: &Event) -> Option<u64> {
    match event {
        Event::Accept(accept) => Some(accept.ts_ns),
        Event::Overflow(overflow) => Some(overflow.ts_ns),
        Event::Syn(syn) => Some(syn.ts_ns),
        Event::Exchange(exchange) => Some(exchange.ts_ns),
        Event::Closed(closed) => Some(closed.ts_ns),
        _ => None,
    }
}

/// Records, of the ring or of a scan, after which memory is given back.
const TRIM_AFTER: usize = 2_000;

/// With more processes than this it is quicker to look at everybody's files at once.
const MAX_SCANNED_ALONE: usize = 64;

/// The name under which runs of probes that the kernel skipped are told as lost.
const SKIPPED: &str = "skipped_runs";

/// Names of the counters that tell loss, and the policy of each.
const LOSSES: std::ops::Range<u32> = counter::RING_FULL..counter::COUNT;
