//! The maps, as the agent reads and writes them.
#![expect(
    unsafe_code,
    reason = "aya asks for the promise that a map's key and value are plain bytes"
)]

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
};
use backscope_abi::{Call, Datagram, Fail, FailKey, Listener, counter};

use super::{SensorError, Targets};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct ListenerValue(Listener);
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for ListenerValue {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct CallValue(Call);
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for CallValue {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct FailId(FailKey);
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for FailId {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct FailValue(Fail);
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for FailValue {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct DatagramValue(Datagram);
// SAFETY: `repr(C)` integers with explicit padding only.
unsafe impl Pod for DatagramValue {}

/// Handles of the maps that the agent reads at each refresh.
pub(super) struct Maps {
    listeners: HashMap<MapData, u64, ListenerValue>,
    calls: HashMap<MapData, u64, CallValue>,
    failed: HashMap<MapData, FailId, FailValue>,
    datagrams: HashMap<MapData, u64, DatagramValue>,
    targets: HashMap<MapData, u32, u8>,
    counters: PerCpuArray<MapData, u64>,
    period: Array<MapData, u32>,
    resting: Array<MapData, u64>,
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, SensorError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or(SensorError::Map { map: name, reason: "not in the object".to_owned() })?;
    T::try_from(map).map_err(|error| SensorError::Map { map: name, reason: error.to_string() })
}

/// The ring buffer.
pub(super) fn ring(ebpf: &mut Ebpf) -> Result<RingBuf<MapData>, SensorError> {
    take(ebpf, "EVENTS")
}

/// Writes the targets before anything is attached, so that nothing of theirs is missed.
pub(super) fn set_targets(ebpf: &mut Ebpf, targets: &Targets) -> Result<(), SensorError> {
    fn handle<'a, K: Pod>(
        ebpf: &'a mut Ebpf,
        name: &'static str,
    ) -> Result<HashMap<&'a mut MapData, K, u8>, SensorError> {
        let map = ebpf
            .map_mut(name)
            .ok_or(SensorError::Map { map: name, reason: "not in the object".to_owned() })?;
        HashMap::try_from(map)
            .map_err(|error| SensorError::Map { map: name, reason: error.to_string() })
    }
    fn put<K: Pod>(
        map: &mut HashMap<&mut MapData, K, u8>,
        name: &'static str,
        key: K,
    ) -> Result<(), SensorError> {
        map.insert(key, 1, 0)
            .map_err(|error| SensorError::Map { map: name, reason: error.to_string() })
    }
    let mut map = handle::<u32>(ebpf, "TARGETS")?;
    for pid in targets.every_process() {
        put(&mut map, "TARGETS", pid)?;
    }
    let mut map = handle::<u16>(ebpf, "PORTS")?;
    for port in &targets.ports {
        put(&mut map, "PORTS", *port)?;
    }
    Ok(())
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
            resting: take(ebpf, "SUSPENSION")?,
        })
    }

    /// Starts a refresh period.
    pub(super) fn start_period(&mut self, number: u32) {
        // An array slot always exists: this cannot fail, and a failure would only mix two peaks.
        let _ = self.period.set(0, number, 0);
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
        self.listeners
            .iter()
            .filter_map(Result::ok)
            .map(|(id, value)| (id, value.0))
            .filter(|(_, listener)| listener.since_ns != 0)
            .collect()
    }

    pub(super) fn forget_listener(&mut self, id: u64) {
        let _ = self.listeners.remove(&id);
        for (key, _) in self.failed().into_iter().filter(|(key, _)| key.listener == id) {
            let _ = self.failed.remove(&FailId(key));
        }
    }

    /// How `accept` failed, by listener and error.
    pub(super) fn failed(&self) -> Vec<(FailKey, Fail)> {
        self.failed.iter().filter_map(Result::ok).map(|(key, value)| (key.0, value.0)).collect()
    }

    /// Every UDP socket by key. Those whose value is still being written are passed over.
    pub(super) fn datagrams(&self) -> Vec<(u64, Datagram)> {
        let values =
            self.datagrams.iter().filter_map(Result::ok).map(|(key, value)| (key, value.0));
        values.filter(|(_, datagram)| datagram.since_ns != 0).collect()
    }

    pub(super) fn forget_datagram(&mut self, key: u64) {
        let _ = self.datagrams.remove(&key);
    }

    /// Every thread inside accept, as (process, thread, call).
    pub(super) fn calls(&self) -> Vec<(u32, u32, Call)> {
        self.calls
            .iter()
            .filter_map(Result::ok)
            .map(|(thread, call)| ((thread >> 32) as u32, thread as u32, call.0))
            .filter(|(_, _, call)| call.file == 0 && call.listener != 0)
            .collect()
    }

    /// Notes a call that began unseen, unless the thread's next one was seen meanwhile.
    pub(super) fn note_call(&mut self, pid: u32, tid: u32, call: Call) {
        const BPF_NOEXIST: u64 = 1;
        let thread = u64::from(pid) << 32 | u64::from(tid);
        // The probes keep a thread's entry for its next call, blank meanwhile.
        if self.calls.get(&thread, 0).is_ok_and(|entry| entry.0.sk == 0 && entry.0.listener == 0) {
            let _ = self.calls.remove(&thread);
        }
        let _ = self.calls.insert(thread, CallValue(call), BPF_NOEXIST);
    }

    pub(super) fn forget_call(&mut self, pid: u32, tid: u32) {
        let _ = self.calls.remove(&(u64::from(pid) << 32 | u64::from(tid)));
    }

    pub(super) fn forget_calls(&mut self) {
        let threads: Vec<u64> = self.calls.keys().filter_map(Result::ok).collect();
        threads.iter().for_each(|thread| drop(self.calls.remove(thread)));
    }

    /// Every watched process.
    pub(super) fn targets(&self) -> Vec<u32> {
        self.targets.keys().filter_map(Result::ok).collect()
    }

    pub(super) fn note_target(&mut self, pid: u32) {
        // If the map is full, the agent's first look at the targets would have failed already.
        let _ = self.targets.insert(pid, 1, 0);
    }

    pub(super) fn forget_target(&mut self, pid: u32) {
        let _ = self.targets.remove(&pid);
    }

    /// A counter, summed over the CPUs.
    pub(super) fn counter(&self, index: u32) -> u64 {
        debug_assert!(index < counter::ALL);
        self.counters.get(&index, 0).map_or(0, |values| values.iter().sum())
    }
}
