//! The sensor: loads the probes, decides who is watched, turns records and maps into events.
//!
//! It has three rooms, of which each uses only those before it:
//!
//! - `attach/` chooses, loads and attaches hooks,
//! - `decode/` turns records into events,
//! - `sample/` reads at each refresh what no record announces.
//!
//! Files beside this one use no room; `procfs/` parses the files of `/proc`. No other place names
//! `aya`, and but for the probes no other has `unsafe`.

mod attach;
mod budget;
mod clock;
mod command;
mod core_dumps;
mod decode;
mod ends;
mod error;
mod existing;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod look;
mod maps;
mod members;
mod net_namespaces;
mod options;
mod places;
mod probe_log;
mod procfs;
mod sample;
pub mod targets;
mod user;
mod workload;

use std::{collections::BTreeSet, mem, net::SocketAddr, time::Instant};

use aya::maps::{MapData, RingBuf};
use backscope_abi::counter;

use rustix::{fd::AsFd, thread::CapabilitySet};

use self::{
    attach::{AcceptHooks, Loaded, sys},
    budget::{Budget, Spent},
    decode::{Capabilities, DecodeContext, Decoded, FirstBytes},
    ends::Ends,
    maps::Maps,
    places::Places,
    probe_log::ProbeLog,
    sample::{
        Closing, Connections, CostMeter, Datagrams, MAX_SCANNED_ALONE, Networks, Quotas, Sampler,
        Threads, WAITED_NS, note_pending_accepts,
    },
    workload::WorkloadPlaces,
};
pub use self::{
    attach::{Chosen, Refusal, Signal, Suspensions},
    clock::now_ns,
    command::{STOPPED_VERB, StoppedCommand, stop_then_exec},
    error::SensorError,
    look::{Look, Looker, listening_on, look, refused_at_most, trial, would_need},
    net_namespaces::NetNamespaces,
    options::Options,
    targets::Targets,
    user::User,
    workload::{GroupError, GroupNames, Groups, NamesInUse, ResolvedGroups, resolve_groups},
};
pub use crate::model::Tier;
use crate::{
    kernel::preflight::Preflight,
    model::Sandbox,
    model::event::{
        ClosingSocket, EndedProcess, Event, Exchange, OtherListener, Pause, ProcessChange, Sample,
        ThreadUse,
    },
    privileges::{self, Caller},
    text::Untrusted,
};

/// Records, of the ring or of a scan, after which memory is given back.
const TRIM_AFTER: usize = 2_000;

/// The name under which runs of probes that the kernel skipped are counted as lost.
const SKIPPED: &str = "skipped_runs";
/// Likewise, of accepts that nothing showed while the hooks of accept were suspended in a rush.
const MISSED: &str = "rush_accepts";

/// Attached probes, and everything that was learnt in attaching them. Dropping it detaches all.
///
/// 1. [`Sensor::attach`] begins a watch. [`Sensor::chosen`] says which hooks serve it.
/// 2. [`Sensor::drain`] is called many times a second, and shows the events since the last call.
/// 3. [`Sensor::sample`] is called at each refresh, then [`Sensor::scan_on`] until it has all.
/// 4. [`Sensor::last_sample`] is called once, at the end. [`Sensor::all_ended`] is one reason to
///    end.
///
/// The other methods say who is watched, and what listens beside.
pub struct Sensor {
    /// The time of attaching, ns of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// Duration of attaching, µs.
    pub attach_us: u64,
    /// The machine.
    pub preflight: Preflight,
    /// Rights that were kept after the attach, once the others are given up.
    pub sandbox: Option<Sandbox>,
    maps: Maps,
    ring: RingBuf<MapData>,
    loaded: Loaded,
    sampler: Sampler,
    accept_hooks: AcceptHooks,
    cost: CostMeter,
    /// What the watch may take, if there is a bound.
    budget: Option<Budget>,
    /// Number of the era: exchanges are watched in even ones.
    era: u32,
    /// It has changed, and the model has not been told.
    has_turned: bool,
    targets: Targets,
    /// Processes that may have come by a listener, to be scanned.
    adopt: BTreeSet<u32>,
    connections: Connections,
    closing: Closing,
    datagrams: Datagrams,
    threads: Threads,
    quotas: Quotas,
    ends: Ends,
    context: DecodeContext,
    first: FirstBytes,
    /// What there was of it when the scan began.
    first_made: [u64; 3],
    /// Losses by which ends of connections may have gone, up to the last sample.
    losses: u64,
    /// Runs that the kernel skipped, up to the last sample.
    skipped: u64,
    places: Places,
    networks: Networks,
    workloads: WorkloadPlaces,
    /// Events that a scan came upon, and that no record announced.
    found: Vec<Event>,
    /// The event of the newest record.
    event: Event,
    /// Sockets that listen beside watched listeners, at the newest sample.
    others: Vec<(SocketAddr, OtherListener)>,
    /// Records since memory was last given back.
    drained: usize,
    /// Log of the probes themselves, if it was asked for.
    probe_log: Option<ProbeLog>,
}

/// This machine, if it allows to watch.
fn machine() -> Result<Preflight, SensorError> {
    let preflight = Preflight::of_this_machine();
    match preflight.blocker() {
        Some(blocker) => Err(SensorError::Blocked(blocker)),
        None => Ok(preflight),
    }
}

/// Returns the capabilities that are needed by a watch that `attaches_again`, where `can_read` says
/// whether it reads the probes' maps.
fn needed(attaches_again: bool, can_read: impl FnOnce() -> bool) -> CapabilitySet {
    let mut needed = CapabilitySet::empty();
    // The wider one stands for it.
    let either = CapabilitySet::BPF | CapabilitySet::SYS_ADMIN;
    if !privileges::can_do_without(either, can_read) {
        needed |= CapabilitySet::BPF;
    }
    if attaches_again {
        needed |= CapabilitySet::PERFMON;
    }
    if privileges::caller() != Caller::Anybody {
        needed |= CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_PTRACE;
    }
    needed
}

impl Sensor {
    /// Most processes that are watched at once.
    pub const MAX_PROCESSES: u64 = backscope_abi::MAX_TARGETS as u64;

    /// Chooses hooks, loads and attaches them, and finds the listeners that exist already.
    ///
    /// # Errors
    /// A privilege or kernel feature without which nothing can be watched is missing.
    ///
    /// From here on this process leaves no core dump.
    pub fn attach(options: &Options) -> Result<Self, SensorError> {
        let begin = Instant::now();
        core_dumps::forbid()?;
        let _raised = privileges::raise();
        let preflight = machine()?;
        attach::raise_memlock();
        let (loaded, mut ebpf) = attach::attach_best(options)?;
        let probe_log = match options.probe_log {
            Some(_) => Some(ProbeLog::new(&mut ebpf)?),
            None => None,
        };
        let ring = maps::ring(&mut ebpf)?;
        let maps = Maps::new(&mut ebpf)?;
        let places = Places::new(&mut ebpf)?;
        drop(ebpf);
        sys::trim_memory();
        let sees_delayed_acks = loaded.chosen.has(Signal::DelayedAck);
        let capabilities = Capabilities { tick_ns: preflight.tick_ns, sees_delayed_acks };
        let can_suspend = loaded.chosen.has(Signal::AcceptAtRest);
        let mut sensor = Self {
            attached_ns: now_ns(),
            attach_us: 0,
            sampler: Sampler::new(&loaded.chosen, loaded.knows_acked),
            accept_hooks: AcceptHooks::new(can_suspend, &loaded.syscalls),
            cost: CostMeter::new(&loaded.programs),
            budget: None,
            era: 0,
            has_turned: false,
            targets: options.targets.clone(),
            adopt: BTreeSet::new(),
            connections: Connections::new(capabilities),
            closing: Closing::default(),
            datagrams: Datagrams::new(&loaded.chosen),
            threads: Threads::default(),
            quotas: Quotas::open(),
            ends: Ends::default(),
            context: DecodeContext::new(&loaded.chosen, capabilities),
            first: FirstBytes::new(options.paths),
            first_made: [0; 3],
            losses: 0,
            skipped: 0,
            places,
            networks: Networks::default(),
            workloads: WorkloadPlaces::new(),
            found: Vec::new(),
            event: Event::Sample(Sample::default()),
            others: Vec::new(),
            drained: 0,
            probe_log,
            preflight,
            sandbox: None,
            maps,
            ring,
            loaded,
        };
        sensor.find_existing();
        if sensor.loaded.chosen.has(Signal::ConnectionEnd) {
            sensor.closing = Closing::open(&sensor.maps.targets());
        }
        if let Some(share) = options.budget {
            sensor.budget = Some(Budget::new(share, Instant::now(), clock::own_cpu_ns()));
        }
        sensor.attached_ns = now_ns();
        sensor.attach_us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(sensor)
    }

    /// Capabilities without which a watch that goes on would see less. `KILL` is not among them: who
    /// started a command needs it.
    ///
    /// - `BPF` where maps and iterators cannot be read without it, by trial: before Linux 5.19 every
    ///   call of bpf(2) takes it.
    /// - `PERFMON` where the hooks of accept may be suspended: they are attached again.
    /// - `DAC_READ_SEARCH` for the folders, `SYS_PTRACE` for the links and files below `/proc/PID`,
    ///   of processes of others; not if the caller may watch none.
    pub fn needed(&self) -> CapabilitySet {
        needed(self.attaches_again(), || self.can_read())
    }

    /// True if programs may be attached to tracepoints again.
    pub fn attaches_again(&self) -> bool {
        self.accept_hooks.may_rest()
    }

    /// True if exchanges may be not watched for a while, and so hooks attached again.
    pub fn has_pauses(&self) -> bool {
        self.budget.is_some()
    }

    /// True if maps can be read and iterators made.
    fn can_read(&self) -> bool {
        self.maps.can_be_read() && sys::task_iterator(self.loaded.scan.as_fd(), None).is_ok()
    }

    /// The hooks that were chosen for each signal.
    pub fn chosen(&self) -> &Chosen {
        &self.loaded.chosen
    }

    /// Records that were taken from the ring buffer. It begins anew from time to time.
    pub fn records(&self) -> usize {
        self.drained
    }

    /// Shows the events of the ring buffer's records, one by one: thousands of events at once would
    /// not stay in a cache, and an event is too large to be moved about.
    ///
    /// Returns at the first record that was written after the call: where records come faster than
    /// they are taken, the buffer is never empty, and the caller has more to do.
    ///
    /// # Errors
    /// The first of `take`. The event that it was given is gone.
    pub fn drain<E>(&mut self, mut take: impl FnMut(&Event) -> Result<(), E>) -> Result<(), E> {
        if self.accept_hooks.resume_if_wanted(&mut self.maps, &mut self.loaded.syscalls) {
            note_pending_accepts(self.sampler.descriptors(), &mut self.maps);
        }
        if let Some(probe_log) = &mut self.probe_log {
            probe_log.print();
        }
        // Before the records, of which none is younger.
        if let Some(state) = self.quotas.look(now_ns()) {
            take(&Event::Cpu(state))?;
        }
        if let Some(part) = self.connections.next_part() {
            take(&part)?;
        }
        for event in mem::take(&mut self.found) {
            if let Event::Exchange(exchange) = &event {
                self.threads.count(exchange);
            }
            take(&event)?;
        }
        let begun_ns = now_ns();
        loop {
            let Some(record) = self.ring.next() else { break };
            self.drained += 1;
            match decode::decode(&record, self.context, &mut self.event) {
                Some(Decoded::Event) => {
                    // The event has all of the record, whose room in the ring is free now.
                    drop(record);
                    self.note_event(&mut take)?;
                    take(&self.event)?;
                    if self.event.is_younger(begun_ns) {
                        break;
                    }
                }
                Some(Decoded::FirstBytes) => {
                    let mut is_last = false;
                    for event in self.first.take(&record, &mut self.places) {
                        is_last |= event.is_younger(begun_ns);
                        take(&event)?;
                    }
                    if is_last {
                        break;
                    }
                }
                Some(Decoded::Adopt(pid)) => {
                    self.adopt.insert(pid);
                }
                None => {}
            }
        }
        for pid in mem::take(&mut self.adopt) {
            self.sampler.scan_process(&self.loaded.scan, pid);
        }
        Ok(())
    }

    /// Takes note of the newest event, and completes it, before it is shown.
    fn note_event<E>(&mut self, take: &mut impl FnMut(&Event) -> Result<(), E>) -> Result<(), E> {
        let mut met = None;
        match &mut self.event {
            Event::Accept(accept) => {
                self.threads.accepted(accept);
                met = self.workloads.met(accept.pid);
            }
            Event::Exchange(exchange) => {
                self.threads.count(exchange);
                if let Some(pid) = waited(exchange) {
                    for state in self.quotas.waited(now_ns(), pid) {
                        take(&Event::Cpu(state))?;
                    }
                }
            }
            Event::Closed(closed) => {
                self.connections.forget(closed.sock);
                self.first.forget(closed.sock);
            }
            Event::Connect(connect) => {
                self.networks.complete(connect);
                met = self.workloads.met(connect.pid);
            }
            Event::Opened(opened) => met = self.workloads.met(opened.pid),
            Event::Process(process) => {
                let pid = process.pid;
                self.ends.note(process, &self.targets);
                // It may be another's program now.
                if self.targets.traceable_only && !privileges::may_trace(pid) {
                    self.maps.forget_target(pid);
                } else if let ProcessChange::Forked { parent } = process.change {
                    met = self.workloads.forked(pid, parent);
                }
            }
            _ => {}
        }
        match met {
            Some(met) => take(&Event::Workload(met)),
            None => Ok(()),
        }
    }

    /// Reads the last sample of a run: as [`Sensor::sample`], however long ago the iterator ran.
    pub fn last_sample(&mut self) -> Sample {
        self.sampler.ends();
        self.connections.scan_is_due();
        self.sample()
    }

    /// Returns connections that are closing, of all processes of the targets' network namespaces.
    /// None in a pause.
    pub fn closing(&mut self) -> Vec<ClosingSocket> {
        if self.budget.as_ref().is_some_and(Budget::is_pause) {
            return Vec::new();
        }
        self.closing.ask()
    }

    fn scan(&mut self) {
        self.sampler.scan(&self.loaded.scan, &self.targets, &self.maps);
    }

    /// Reads the state of every listener, and starts a new refresh period. [`Sensor::scan_on`] adds
    /// the connections.
    pub fn sample(&mut self) -> Sample {
        if self.drained >= TRIM_AFTER {
            // Memory that a burst took lies scattered between what is kept of it.
            self.drained = 0;
            sys::trim_memory();
        }
        self.first.let_go(now_ns());
        if self.targets.traceable_only {
            self.forget_untraceable();
        }
        self.join_groups();
        self.keep_to_budget();
        self.scan();
        let mut sample = self.sampler.sample(&mut self.maps);
        self.others.clear();
        for listener in &sample.listeners {
            for other in &listener.others {
                self.others.push((listener.local, other.clone()));
            }
        }
        let syscalls = &mut self.loaded.syscalls;
        self.accept_hooks.suspend_if_useful(&sample, &mut self.maps, syscalls);
        let calls_missed = self.accept_hooks.reasons().rush;
        for listener in &mut sample.listeners {
            listener.calls_missed = calls_missed;
        }
        self.sample_connections(&mut sample);
        self.sample_workloads(&sample);
        let runs = self.loaded.programs.runs();
        sample.cost = self.cost.read(&self.loaded.programs, runs);
        self.skipped = runs.skipped;
        let own = [(SKIPPED, runs.skipped), (MISSED, self.accept_hooks.missed())];
        for (what, total) in own.into_iter().chain(self.first.lost()) {
            if total > 0 {
                sample.lost.push((what.into(), total));
            }
        }
        sample
    }

    /// Lets go of processes that the caller may no longer trace.
    fn forget_untraceable(&mut self) {
        for pid in self.maps.targets() {
            if !privileges::may_trace(pid) {
                self.maps.forget_target(pid);
            }
        }
    }

    fn sample_connections(&mut self, sample: &mut Sample) {
        if !self.loaded.chosen.has(Signal::ConnectionEnd) {
            return;
        }
        let opened = self.maps.counter(counter::OPENED);
        let ended = self.maps.counter(counter::ENDED);
        sample.connections_open = opened.saturating_sub(ended);
        let processes = self.maps.targets();
        (sample.threads, sample.waiting) =
            self.threads.sample(&processes, self.sampler.descriptors());
        let of_threads = sample.threads.iter().map(|thread| thread.pid);
        let running = processes.iter().copied().chain(of_threads);
        for state in self.quotas.refresh(sample.ts_ns, running) {
            self.found.push(Event::Cpu(state));
        }
        if let Some(budget) = &mut self.budget {
            budget.note(&sample.threads);
            if budget.is_pause() {
                return;
            }
        }
        self.recount_after_loss();
        let is_few = self.targets.only_processes() && processes.len() <= MAX_SCANNED_ALONE;
        self.connections.begin_scan(if is_few { &processes } else { &[] }, sample.ts_ns);
        self.maps.set_census(self.connections.is_census());
        self.first_made = self.first.made();
    }

    /// Begins or ends a pause, if the budget asks for it.
    fn keep_to_budget(&mut self) {
        let Some(budget) = &mut self.budget else { return };
        let spent = Spent {
            agent_ns: clock::own_cpu_ns(),
            probes_ns_a_second: self.cost.probes_ns_a_second(),
        };
        let now = Instant::now();
        if !budget.is_due(now, spent) {
            return;
        }
        let begins = !budget.is_pause();
        // What cannot be attached now is tried again at the next refresh.
        if !begins && self.loaded.pausable.attach_again().is_err() {
            return;
        }
        budget.change(now, spent);
        self.era = self.era.wrapping_add(1);
        // What is said to be watched is: a pause is told to be no shorter than it is.
        let mut ts_ns = now_ns();
        self.maps.set_era(self.era);
        if !begins {
            ts_ns = now_ns();
        }
        if begins {
            self.loaded.pausable.detach();
        } else {
            self.connections.scan_is_due();
        }
        self.cost.change(begins, &self.loaded.programs);
        self.found.push(Event::Pause(Pause { ts_ns, begins }));
        self.has_turned = true;
    }

    /// True once after a pause has begun or ended: that has to be told before the sample is.
    pub fn has_turned(&mut self) -> bool {
        mem::take(&mut self.has_turned)
    }

    /// Has connections counted if records of their ends may have been lost.
    fn recount_after_loss(&mut self) {
        let mut losses = self.skipped;
        for index in [counter::RING_FULL, counter::CONNECTIONS_FULL] {
            losses += self.maps.counter(index);
        }
        if losses != mem::replace(&mut self.losses, losses) {
            self.connections.recount();
        }
    }

    /// Adds some more of the connections to a sample. Returns false once it has all. A caller that
    /// takes them out in between never holds many at once.
    pub fn scan_on(&mut self, sample: &mut Sample) -> bool {
        let Some(program) = &self.loaded.scan_connections else { return false };
        let Some(scanned) = self.connections.scan_on(program, sample.ts_ns) else {
            let udp_sockets = self.connections.take_udp_sockets();
            if let Some(held) = self.connections.take_held() {
                self.first.keep(self.first_made, &held);
            }
            let ended = self.sampler.ended();
            sample.datagrams = self.datagrams.sample(&mut self.maps, &udp_sockets, ended);
            for socket in &sample.datagrams {
                if socket.closed {
                    self.first.forget(socket.sock);
                }
            }
            return false;
        };
        self.drained += scanned.found.len();
        self.found.extend(scanned.found);
        sample.connections.extend(scanned.connections);
        true
    }

    /// True once the last process has ended, if only processes are watched.
    pub fn all_ended(&self) -> bool {
        let groups = &self.targets.groups;
        self.targets.only_processes()
            && self.maps.targets().is_empty()
            && (groups.is_empty() || groups.are_over())
    }

    /// True if the end of this process, which was named as a target, has been seen.
    pub fn saw_end_of(&self, pid: u32) -> bool {
        self.ends.know(pid)
    }

    /// Targets that have ended since the last call.
    pub fn ended(&mut self) -> Vec<EndedProcess> {
        self.ends.take()
    }

    /// The same once nobody is left ([`Sensor::all_ended`]), with those whose end was not seen.
    pub fn ended_at_last(&mut self) -> Vec<EndedProcess> {
        self.ends.take_all(&self.targets, now_ns())
    }

    /// Watched processes that hold no listening socket, as (pid, comm).
    pub fn without_listener(&self) -> Vec<(u32, Untrusted)> {
        let watched = self.maps.targets();
        if watched.iter().any(|pid| self.sampler.is_holder(*pid)) {
            return Vec::new();
        }
        let mut without = Vec::new();
        for &pid in &self.targets.pids {
            // Another process may have the number by now.
            if watched.contains(&pid) && self.targets.is_still(pid) && targets::exists(pid) {
                without.push((pid, targets::comm_of(pid).unwrap_or_default()));
            }
        }
        without
    }

    /// Sockets that listen where watched ones do, and that nobody watched holds: each with the
    /// place of the watched one.
    pub fn others(&self) -> &[(SocketAddr, OtherListener)] {
        &self.others
    }

    /// Why the hooks of accept have been suspended so far.
    pub fn suspensions(&self) -> Suspensions {
        self.accept_hooks.reasons()
    }

    /// Number of the processes that were named one by one and still run.
    pub fn named_processes(&self) -> usize {
        let watched = self.maps.targets();
        self.targets.pids.iter().filter(|pid| watched.contains(pid)).count()
    }

    /// True if there were more processes to watch than can be watched at once.
    pub fn leaves_out_processes(&self) -> bool {
        self.maps.counter(counter::TARGETS_FULL) > 0
    }

    /// Number of processes that are watched.
    pub fn processes(&self) -> usize {
        self.maps.targets().len()
    }
}

/// The process of an exchange whose thread was long without a processor.
fn waited(exchange: &Exchange) -> Option<u32> {
    let mut paused_ns = 0;
    let mut writer: Option<ThreadUse> = None;
    if let Some(outbound) = &exchange.outbound {
        writer = outbound.writer;
        if let Some(pauses) = &outbound.pauses {
            paused_ns = pauses.run_delay_ns;
        }
    }
    if let Some(writer) = writer
        && writer.run_delay_ns.max(paused_ns) >= WAITED_NS
    {
        return Some(writer.pid);
    }
    let reader = exchange.inbound.as_ref()?.reader?;
    if reader.run_delay_ns.max(paused_ns) >= WAITED_NS { Some(reader.pid) } else { None }
}
