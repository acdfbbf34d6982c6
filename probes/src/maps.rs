//! Declarations of the maps that several files use, counting, and records to the agent.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    helpers::generated,
    macros::btf_map,
};
use backscope_abi as abi;
use backscope_abi::{Call, Connection, Fail, FailKey, Listener, Queued, counter};

use crate::{
    live::{Find, Live},
    storage::SocketStorage,
};

#[btf_map]
pub(crate) static EVENTS: RingBuf<u64, { abi::RING_BYTES as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<u64, { counter::ALL as usize }> = PerCpuArray::new();
/// Number of the refresh period, counted by the agent.
#[btf_map]
pub(crate) static PERIOD: Array<u32, 1> = Array::new();

/// Not 0 while a scan is a census: it shows every connection that any process holds.
#[btf_map]
pub(crate) static CENSUS: Array<u32, 1> = Array::new();

/// One of [`abi::suspension`].
#[btf_map]
pub(crate) static SUSPENSION: Array<u64, 1> = Array::new();

/// Watched processes.
#[btf_map]
pub(crate) static TARGETS: HashMap<u32, u8, { abi::MAX_TARGETS as usize }> = HashMap::new();
/// Ports that watched listeners listen on, or did, a byte each: a connection found open there was
/// accepted. Most sockets of a machine are told by this to be none of ours.
#[btf_map]
pub(crate) static SERVED: Array<[u8; 64], 1024> = Array::new();
/// Watched ports.
#[btf_map]
pub(crate) static PORTS: HashMap<u16, u8, { abi::MAX_PORTS as usize }> = HashMap::new();

/// Id of a watched listener, by the address of its `struct sock`.
#[btf_map]
pub(crate) static LISTENER_OF: HashMap<u64, u64, { abi::MAX_LISTENERS as usize }> = HashMap::new();
/// State and totals of a listener, by id. Closed ones stay until the agent has read them.
#[btf_map]
pub(crate) static LISTENERS: HashMap<u64, Listener, { abi::MAX_LISTENERS as usize }> =
    HashMap::new();
/// Listeners that found no room, by id, so that each counts once. Takes no memory before there is
/// one.
#[btf_map]
pub(crate) static LEFT_OUT: HashMap<
    u64,
    u8,
    { abi::MAX_LEFT_OUT as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();
/// Connections in accept queues.
#[btf_map]
pub(crate) static QUEUED: HashMap<u64, Queued, { abi::MAX_QUEUED as usize }> = HashMap::new();
/// Threads inside accept, and blank entries of those that were. Least recently used, since an end
/// may go unseen.
#[btf_map]
pub(crate) static CALLS: LruHashMap<u64, Call, { abi::MAX_CALLS as usize }> = LruHashMap::new();
/// Errors of `accept` on watched listeners. Least recently used, so that old ones give way.
#[btf_map]
pub(crate) static FAILED: LruHashMap<FailKey, Fail, { abi::MAX_FAILS as usize }> =
    LruHashMap::new();
/// Backlog that a thread is asking for in `listen(2)`. Least recently used for the same reason.
#[btf_map]
pub(crate) static ASKED: LruHashMap<u64, i32, 1024> = LruHashMap::new();

/// Connections by their socket. The storage goes with the socket.
#[btf_map]
pub(crate) static CONNECTION: SocketStorage<Connection, { BPF_F_NO_PREALLOC as usize }> =
    SocketStorage::new();

/// The value that a connection starts from: in `.rodata`, since the stack has no room for it.
pub(crate) static BLANK_CONNECTION: Connection = Connection::BLANK;

/// Adds to a total that several CPUs write.
#[inline(always)]
pub(crate) fn add(total: *mut u64, n: u64) {
    // SAFETY: the pointer is into a map value, aligned, and valid for the run of the program.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(total, n) };
}

/// Counts in this CPU's slot of `COUNTERS`.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(mut slot) = COUNTERS.find(index) {
        *slot += 1;
    }
}

/// Hands a record to the agent, without waking it: it drains the ring by timer.
#[inline(always)]
pub(crate) fn emit<T: Copy + 'static>(record: &T) {
    emit_with(|mut place: Live<T>| *place = *record);
}

/// Hands a record to the agent that is too large for the stack: `fill` must write every field of it
/// in place.
#[inline(always)]
pub(crate) fn emit_with<T: 'static>(fill: impl FnOnce(Live<T>)) {
    count(counter::SEEN);
    if !reserve(fill) {
        count(counter::RING_FULL);
    }
}

/// Puts a record into the ring, counted or not by the caller; false if it has no room.
#[inline(always)]
pub(crate) fn reserve<T: 'static>(fill: impl FnOnce(Live<T>)) -> bool {
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else { return false };
    // SAFETY: memory of the ring for one record, which `fill` writes and nobody reads before.
    fill(unsafe { Live::from_ptr(entry.as_mut_ptr()) });
    entry.submit(BPF_RB_NO_WAKEUP.into());
    true
}

/// Bytes in the ring buffer that the agent has not read yet.
#[inline(always)]
pub(crate) fn ring_waiting() -> u64 {
    // SAFETY: the map is live.
    unsafe {
        generated::bpf_ringbuf_query(
            (&raw const EVENTS).cast_mut().cast(),
            BPF_RB_AVAIL_DATA.into(),
        )
    }
}
