//! What is found out once, without a watch: the hooks that this machine allows, who listens.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter, mem,
};

use aya::Ebpf;
use backscope_abi::{Config, MAX_TARGETS};
use rustix::{fd::AsFd, thread::CapabilitySet};

use super::{
    attach::{self, Chosen, Loaded, Signal, sys},
    error::SensorError,
    machine,
    maps::Maps,
    needed,
    options::Options,
    sample::{Closing, LISTENING, Sampler, all_holders, listen_drops},
    targets::Targets,
    workload::WorkloadPlaces,
};
use crate::{
    model::{
        Tier,
        event::{ListenerSample, Sample},
        workload::Workload,
    },
    privileges,
};

/// Chooses hooks on this machine without attaching them, for `doctor`; with `events`, those for
/// every single event.
///
/// # Errors
/// As for [`Sensor::attach`](super::Sensor::attach).
pub fn trial(tier: Option<Tier>, events: bool) -> Result<Chosen, SensorError> {
    let _raised = privileges::raise();
    machine()?;
    let config = Config { exchanges: 1, payload_prefix: 1, events: events.into(), ..Config::EMPTY };
    attach::choose_only(config, tier.unwrap_or(Tier::Full))
}

/// Listening sockets, and to what their processes belong.
#[derive(Debug, Default)]
pub struct Look {
    /// The sockets, as at a refresh.
    pub sample: Sample,
    /// The workload of each process that stands for one.
    pub workloads: BTreeMap<u32, Workload>,
}

/// Returns the listening sockets of these targets, once: of those that the caller may trace.
/// Attaches nothing.
///
/// # Errors
/// As for [`Sensor::attach`](super::Sensor::attach).
pub fn look(targets: &Targets) -> Result<Look, SensorError> {
    Ok(Looker::begin(targets)?.look())
}

/// Looks at the listening sockets of these targets, again and again.
pub struct Looker {
    /// As they were at the beginning.
    targets: Targets,
    has_looked: bool,
    loaded: Loaded,
    maps: Maps,
    /// Gives listeners the ids by which a later look knows them, where the iterator cannot.
    cookies: Option<Closing>,
    /// Held, as its programs go with it.
    _ebpf: Ebpf,
}

impl Looker {
    /// Loads what looks. Attaches nothing.
    ///
    /// # Errors
    /// As for [`Sensor::attach`](super::Sensor::attach).
    pub fn begin(targets: &Targets) -> Result<Self, SensorError> {
        let _raised = privileges::raise();
        machine()?;
        attach::raise_memlock();
        let options = Options { targets: targets.clone(), ..Options::default() };
        let (loaded, mut ebpf) = attach::attach_scan(&options)?;
        let maps = Maps::new(&mut ebpf)?;
        let mut cookies = None;
        if !loaded.chosen.typed_files {
            cookies = Some(Closing::open(&targets.first_processes(MAX_TARGETS as usize)));
        }
        Ok(Self { targets: targets.clone(), has_looked: false, loaded, maps, cookies, _ebpf: ebpf })
    }

    /// Returns the capabilities that it takes to look on.
    pub fn needed(&self) -> CapabilitySet {
        needed(false, || self.maps.can_be_read())
    }

    /// Returns the sockets that are there now: of those that the caller may trace.
    pub fn look(&mut self) -> Look {
        let mut sample = {
            let _raised = privileges::raise();
            // Nothing says that a socket has gone: each look begins with none.
            for (id, _) in self.maps.listeners() {
                self.maps.forget_listener(id);
            }
            let mut targets = self.targets.clone();
            if mem::replace(&mut self.has_looked, true) {
                targets.resolve_running();
                for pid in targets.first_processes(MAX_TARGETS as usize) {
                    self.maps.note_target(pid);
                }
            }
            if let Some(cookies) = &mut self.cookies {
                cookies.give_cookies(libc::IPPROTO_TCP, LISTENING);
            }
            let mut sampler = Sampler::new(&self.loaded.chosen, self.loaded.knows_acked);
            sampler.scan(&self.loaded.scan, &targets, &self.maps);
            sampler.sample(&mut self.maps)
        };
        // Its holders are those that the caller may trace.
        sample.listeners.retain(|one| !one.holders.is_empty() || privileges::may_trace(one.pid));
        let pids: BTreeSet<u32> = standing_for(&sample).collect();
        let mut workloads = BTreeMap::new();
        // With the caller's rights: the files of a runtime may not be theirs to read.
        for process in WorkloadPlaces::new().refresh(pids.into_iter()) {
            workloads.insert(process.pid, process.workload);
        }
        Look { sample, workloads }
    }
}

/// The processes that stand for listeners.
fn standing_for(sample: &Sample) -> impl Iterator<Item = u32> {
    let of_tcp = sample.listeners.iter().map(|listener| listener.pid);
    of_tcp.chain(sample.unix.iter().map(|listener| listener.pid))
}

/// Returns every process that listens on one of these ports and that the caller may trace. Attaches
/// nothing.
///
/// # Errors
/// As for [`Sensor::attach`](super::Sensor::attach).
pub fn listening_on(ports: &[u16]) -> Result<Vec<u32>, SensorError> {
    let _raised = privileges::raise();
    machine()?;
    attach::raise_memlock();
    let targets = Targets { ports: ports.to_vec(), ..Targets::default() };
    let (loaded, _ebpf) = attach::attach_scan(&Options { targets, ..Options::default() })?;
    let iterator = sys::task_iterator(loaded.scan.as_fd(), None);
    let holders = iterator.and_then(|iterator| all_holders(iterator, privileges::may_trace));
    holders.map_err(|error| SensorError::Blocked(format!("cannot read who listens: {error}")))
}

/// Returns the capabilities that a watch with these hooks would keep ([`Sensor::needed`](super::Sensor::needed)).
pub fn would_need(chosen: &Chosen) -> CapabilitySet {
    let attaches_again = chosen.has(Signal::AcceptAtRest) && chosen.uses_syscalls();
    needed(attaches_again, sys::bpf_is_open)
}

/// The most packets that a listener may have refused since it was made: not more than it dropped,
/// nor than all listeners of its network namespace refused. `None` where that cannot be read.
pub fn refused_at_most(listener: &ListenerSample) -> Option<u64> {
    for pid in listener.holders.iter().copied().chain(iter::once(listener.pid)) {
        if let Some(drops) = listen_drops(listener.netns, pid) {
            return Some(drops.min(listener.drops));
        }
    }
    None
}
