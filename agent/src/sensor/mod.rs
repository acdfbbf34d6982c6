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
mod records;
mod refresh;
mod sample;
pub mod targets;
mod thinning;
mod user;
mod workload;

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use aya::maps::{MapData, RingBuf};
use backscope_abi::counter;

use rustix::{fd::AsFd, thread::CapabilitySet};

use self::{
    attach::{AcceptHooks, Loaded, sys},
    budget::Budget,
    decode::{Capabilities, DecodeContext, FirstBytes, Newest},
    ends::Ends,
    maps::Maps,
    places::Places,
    probe_log::ProbeLog,
    sample::{Closing, Connections, CostMeter, Datagrams, Networks, Quotas, Sampler, Threads},
    thinning::{Thinning, Untold},
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
    model::event::{EndedProcess, Event, OtherListener},
    privileges::{self, Caller},
    text::Untrusted,
};

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
    thinning: Thinning,
    untold: Untold,
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
    /// Refreshes at which nothing called the function hooks.
    uncalled: u64,
    places: Places,
    networks: Networks,
    workloads: WorkloadPlaces,
    /// Events that a scan came upon, and that no record announced.
    found: Vec<Event>,
    /// The event of the newest record.
    newest: Newest,
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
            thinning: Thinning::default(),
            untold: Untold::default(),
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
            uncalled: 0,
            places,
            networks: Networks::default(),
            workloads: WorkloadPlaces::new(),
            found: Vec::new(),
            newest: Newest::new(),
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

    /// True if the hook of state changes may be taken off for a while, and so attached again.
    pub fn rests_states(&self) -> bool {
        self.accept_hooks.may_rest() && self.loaded.states.can_rest()
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

    /// True if ordinary exchanges or connections were left untold at any time.
    pub fn has_thinned(&self) -> bool {
        self.maps.counter(counter::UNTOLD) + self.maps.counter(counter::UNTOLD_CONNECTIONS) > 0
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
