//! The maps, as the agent reads and writes them.
#![expect(
    unsafe_code,
    reason = "aya asks for the promise that a map's key and value are plain bytes"
)]

use std::collections::BTreeSet;

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf},
};
use backscope_abi::{Call, Datagram, Fail, FailKey, Listener, counter};

use super::{error::SensorError, targets::Targets};

/// A newtype, since a foreign trait cannot be put on foreign types.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for Plain<Listener> {}
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for Plain<Call> {}
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for Plain<FailKey> {}
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for Plain<Fail> {}
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for Plain<Datagram> {}

/// Handles of the maps that the agent reads at each refresh.
pub(super) struct Maps {
    listeners: HashMap<MapData, u64, Plain<Listener>>,
    calls: HashMap<MapData, u64, Plain<Call>>,
    failed: HashMap<MapData, Plain<FailKey>, Plain<Fail>>,
    datagrams: HashMap<MapData, u64, Plain<Datagram>>,
    targets: HashMap<MapData, u32, u8>,
    counters: PerCpuArray<MapData, u64>,
    period: Array<MapData, u32>,
    census: Array<MapData, u32>,
    era: Array<MapData, u32>,
    thinning: Array<MapData, u32>,
    resting: Array<MapData, u64>,
    /// Processes that found no room among the targets.
    left_out: BTreeSet<u32>,
}

pub(super) fn missing(map: &'static str) -> SensorError {
    SensorError::Map { map, reason: "not in the object".to_owned() }
}

pub(super) fn failed(map: &'static str, error: &MapError) -> SensorError {
    SensorError::Map { map, reason: error.to_string() }
}

/// Takes a map out of the object.
pub(super) fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, SensorError>
where
    T: TryFrom<aya::maps::Map, Error = MapError>,
{
    let Some(map) = ebpf.take_map(name) else { return Err(missing(name)) };
    T::try_from(map).map_err(|error| failed(name, &error))
}

/// The ring buffer.
pub(super) fn ring(ebpf: &mut Ebpf) -> Result<RingBuf<MapData>, SensorError> {
    take(ebpf, "EVENTS")
}

/// Writes the targets before anything is attached, so that nothing of theirs is missed.
pub(super) fn set_targets(ebpf: &mut Ebpf, targets: &Targets) -> Result<(), SensorError> {
    let pids = targets.first_processes(backscope_abi::MAX_TARGETS as usize);
    put_all(ebpf, "TARGETS", &pids)?;
    put_all(ebpf, "PORTS", &targets.ports)
}

fn put_all<K: Pod>(ebpf: &mut Ebpf, name: &'static str, keys: &[K]) -> Result<(), SensorError> {
    let Some(map) = ebpf.map_mut(name) else { return Err(missing(name)) };
    let put = || {
        let mut map: HashMap<_, K, u8> = HashMap::try_from(map)?;
        for key in keys {
            map.insert(*key, 1, 0)?;
        }
        Ok(())
    };
    put().map_err(|error| failed(name, &error))
}

/// The process and the thread of a key of `CALLS`.
fn thread_of(key: u64) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

fn key_of(pid: u32, tid: u32) -> u64 {
    u64::from(pid) << 32 | u64::from(tid)
}

impl Maps {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, SensorError> {
        Ok(Self {
            listeners: take(ebpf, "LISTENERS")?,
            calls: take(ebpf, "CALLS")?,
            failed: take(ebpf, "FAILED")?,
            datagrams: take(ebpf, "DATAGRAMS")?,
            targets: take(ebpf, "TARGETS")?,
            counters: take(ebpf, "COUNTERS")?,
            period: take(ebpf, "PERIOD")?,
            census: take(ebpf, "CENSUS")?,
            era: take(ebpf, "ERA")?,
            thinning: take(ebpf, "THINNING")?,
            resting: take(ebpf, "SUSPENSION")?,
            left_out: BTreeSet::new(),
        })
    }

    /// Starts a refresh period.
    pub(super) fn start_period(&mut self, number: u32) {
        // An array slot always exists: this cannot fail, and a failure would only mix two peaks.
        let _ = self.period.set(0, number, 0);
    }

    /// Says whether scans show every connection that any process holds.
    pub(super) fn set_census(&mut self, is_census: bool) {
        // An array slot always exists: this cannot fail.
        let _ = self.census.set(0, u32::from(is_census), 0);
    }

    /// Begins an era: exchanges are watched in even ones, and not in odd ones.
    pub(super) fn set_era(&mut self, era: u32) {
        // An array slot always exists: this cannot fail.
        let _ = self.era.set(0, era, 0);
    }

    /// Of the ordinary exchanges one in so many is told, a power of two.
    pub(super) fn set_thinning(&mut self, one_in: u32) {
        // An array slot always exists: this cannot fail.
        let _ = self.thinning.set(0, one_in, 0);
    }

    /// One of [`backscope_abi::suspension`].
    pub(super) fn resting(&self) -> u64 {
        self.resting.get(&0, 0).unwrap_or(backscope_abi::suspension::NEVER)
    }

    pub(super) fn set_resting(&mut self, value: u64) {
        // An array slot always exists: this cannot fail.
        let _ = self.resting.set(0, value, 0);
    }

    /// Every listener by id. Those whose value is still being written are passed over.
    pub(super) fn listeners(&self) -> Vec<(u64, Listener)> {
        let mut listeners = Vec::new();
        for (id, Plain(listener)) in self.listeners.iter().flatten() {
            if listener.since_ns != 0 {
                listeners.push((id, listener));
            }
        }
        listeners
    }

    pub(super) fn forget_listener(&mut self, id: u64) {
        let _ = self.listeners.remove(&id);
        for (key, _) in self.failed() {
            if key.listener == id {
                let _ = self.failed.remove(&Plain(key));
            }
        }
    }

    /// Failures of `accept`, by listener and error.
    pub(super) fn failed(&self) -> Vec<(FailKey, Fail)> {
        let entries = self.failed.iter().flatten();
        entries.map(|(Plain(key), Plain(fail))| (key, fail)).collect()
    }

    /// Every UDP socket by key. Those whose value is still being written are passed over.
    pub(super) fn datagrams(&self) -> Vec<(u64, Datagram)> {
        let mut datagrams = Vec::new();
        for (key, Plain(datagram)) in self.datagrams.iter().flatten() {
            if datagram.since_ns != 0 {
                datagrams.push((key, datagram));
            }
        }
        datagrams
    }

    pub(super) fn forget_datagram(&mut self, key: u64) {
        let _ = self.datagrams.remove(&key);
    }

    /// Every thread inside accept, as (process, thread, call).
    pub(super) fn calls(&self) -> Vec<(u32, u32, Call)> {
        let mut calls = Vec::new();
        for (key, Plain(call)) in self.calls.iter().flatten() {
            if call.file == 0 && call.listener != 0 {
                let (pid, tid) = thread_of(key);
                calls.push((pid, tid, call));
            }
        }
        calls
    }

    /// Notes a call that began unseen, unless the thread's next one was seen meanwhile.
    pub(super) fn note_call(&mut self, pid: u32, tid: u32, call: Call) {
        const BPF_NOEXIST: u64 = 1;
        let key = key_of(pid, tid);
        // The probes keep a thread's entry for its next call, blank meanwhile.
        if let Ok(Plain(before)) = self.calls.get(&key, 0)
            && before.sk == 0
            && before.listener == 0
        {
            let _ = self.calls.remove(&key);
        }
        let _ = self.calls.insert(key, Plain(call), BPF_NOEXIST);
    }

    pub(super) fn forget_call(&mut self, pid: u32, tid: u32) {
        let _ = self.calls.remove(&key_of(pid, tid));
    }

    pub(super) fn forget_calls(&mut self) {
        let keys: Vec<u64> = self.calls.keys().flatten().collect();
        for key in keys {
            let _ = self.calls.remove(&key);
        }
    }

    /// Every watched process.
    pub(super) fn targets(&self) -> Vec<u32> {
        self.targets.keys().flatten().collect()
    }

    pub(super) fn note_target(&mut self, pid: u32) {
        if self.targets.insert(pid, 1, 0).is_err() {
            self.left_out.insert(pid);
        }
    }

    /// Returns whether a process found no room among the targets.
    pub(super) fn has_no_room_for(&self, pid: u32) -> bool {
        self.left_out.contains(&pid)
    }

    pub(super) fn forget_target(&mut self, pid: u32) {
        let _ = self.targets.remove(&pid);
    }

    /// True if this thread may read them.
    pub(super) fn can_be_read(&self) -> bool {
        self.period.get(&0, 0).is_ok()
    }

    /// A counter, summed over the CPUs.
    pub(super) fn counter(&self, index: u32) -> u64 {
        debug_assert!(index < counter::ALL);
        // The probes count those that come later.
        let mut sum = match index {
            counter::TARGETS_FULL => self.left_out.len() as u64,
            _ => 0,
        };
        for value in self.counters.get(&index, 0).iter().flat_map(|values| values.iter()) {
            sum = value.saturating_add(sum);
        }
        sum
    }
}
