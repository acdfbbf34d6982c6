//! What is found out once, without a watch: the hooks that this machine allows, who listens.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use backscope_abi::Config;
use rustix::{fd::AsFd, thread::CapabilitySet};

use super::{
    attach::{self, Chosen, Signal, sys},
    error::SensorError,
    machine,
    maps::Maps,
    needed,
    options::Options,
    sample::{Sampler, all_holders, listen_drops},
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
    let mut sample = {
        let _raised = privileges::raise();
        machine()?;
        attach::raise_memlock();
        let options = Options { targets: targets.clone(), ..Options::default() };
        let (loaded, mut ebpf) = attach::attach_scan(&options)?;
        let mut maps = Maps::new(&mut ebpf)?;
        let mut sampler = Sampler::new(&loaded.chosen, loaded.knows_acked);
        sampler.scan(&loaded.scan, targets, &maps);
        sampler.sample(&mut maps)
    };
    // Its holders are those that the caller may trace.
    sample.listeners.retain(|one| !one.holders.is_empty() || privileges::may_trace(one.pid));
    let pids: BTreeSet<u32> = standing_for(&sample).collect();
    let mut workloads = BTreeMap::new();
    // With the caller's rights: the files of a runtime may not be theirs to read.
    for process in WorkloadPlaces::new().refresh(pids.into_iter()) {
        workloads.insert(process.pid, process.workload);
    }
    Ok(Look { sample, workloads })
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
