//! The payload prefix: bytes that the application read or wrote first on a connection, for the
//! protocol to be told from.
//!
//! They are read where the call that moved them had them, in the caller's own memory, when it
//! returns: what the call was and where its buffer is say the registers with which the thread
//! entered the kernel. Nothing of it costs anything once the first calls are over.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_RB_NO_WAKEUP},
    btf_maps::{Array, PerCpuArray, Stack},
    helpers::generated,
    macros::btf_map,
};
use backscope_abi as abi;
use backscope_abi::{
    Connection, FEW_BYTES, INSPECTED_PER_PERIOD, MANY_BYTES, MAX_HTTP2_BYTES, MAX_HTTP2_INSPECTED,
    MAX_INSPECTED, MAX_TLS_BYTES, MAX_TLS_INSPECTED, PLACE_BYTES, PLACES, PayloadPrefix, counter,
};

use crate::{
    accept::tell_kept,
    kernel::{config, load},
    live::{Find, Live},
    maps::{EVENTS, PERIOD, count},
    syscall::{Syscall, user},
};

/// Value of [`Connection::inspected`] when nothing more will be captured.
pub(crate) const OVER: u8 = 255;
/// Added to the number of calls of a direction that has TLS.
const TLS: u8 = 128;
/// Added to the number of calls of a direction that has HTTP/2 in the clear.
const HTTP2: u8 = 64;
/// TLS: a handshake record.
const HANDSHAKE: u8 = 22;
/// A first call that moved less than this says too little.
const ENOUGH: u32 = 16;

/// Refresh period and number of calls that were inspected in it.
#[btf_map]
static INSPECTED: PerCpuArray<[u32; 2], 1> = PerCpuArray::new();

/// What has room for bytes on their way to the agent. No ring buffer has: the agent could not write
/// to it, and they would stay there until others take their place.
type Place = [u8; PLACE_BYTES as usize];
#[btf_map]
static FIRST_BYTES: Array<Place, { PLACES as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();
/// Numbers of the places that are free. The agent gives a place back once it is blank. The newest
/// is taken first, so that as few as possible are in use.
#[btf_map]
static FREE_PLACES: Stack<u32, { PLACES as usize }> = Stack::new();

/// Where the bytes are that a call moved.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) address: u64,
    pub(crate) length: u64,
}

/// Tells whether there may be anything to capture yet in this direction: 0 inbound, 1 outbound.
#[inline(always)]
pub(crate) fn may_capture(connection: Live<Connection>, way: usize) -> bool {
    config!(payload_prefix) != 0 && connection.inspected[way] != OVER
}

/// The buffer of the system call that the current thread is in, or the first of several.
#[inline(always)]
fn buffer(size: u32) -> Buffer {
    const NONE: Buffer = Buffer { address: 0, length: 0 };
    let Some(call) = Syscall::current() else { return NONE };
    let second = call.second();
    if call.is_read_or_write() || call.is_recvfrom_or_sendto() {
        return Buffer { address: second, length: size as u64 };
    }
    let mut vector = second;
    if call.is_recvmsg_or_sendmsg() || call.is_recvmmsg_or_sendmmsg() {
        // `struct user_msghdr` has the vector at byte 16; of several messages it is the first.
        vector = user(second + 16);
    } else if !call.is_readv_or_writev() {
        return NONE;
    }
    let [address, length] = user::<[u64; 2]>(vector);
    Buffer { address, length: if length < size as u64 { length } else { size as u64 } }
}

/// True while this processor may inspect more calls in this refresh period.
#[inline(always)]
pub(crate) fn allowed() -> bool {
    let period = PERIOD.get(0).copied().unwrap_or_default();
    let Some(mut inspected) = INSPECTED.find(0) else { return false };
    if (*inspected)[0] != period {
        *inspected = [period, 0];
    }
    (*inspected)[1] += 1;
    (*inspected)[1] <= INSPECTED_PER_PERIOD
}

/// Whether the data of the SYN was taken.
#[inline(always)]
fn fast_open(tp: *const c_void) -> u8 {
    let bit = config!(syn_data_bit);
    (bit != 0 && load!(tp, syn_data_acked as u8) & bit != 0) as u8
}

/// TLS or HTTP/2, if a direction begins as these do; else 0. HTTP/2 begins with `PRI` at the
/// client's end and with settings at the server's, and is followed since its first request may come
/// with a later call.
#[inline(always)]
fn protocol_of(begin: [u8; 8]) -> u8 {
    const SETTINGS: u8 = 4;
    let [a, b, c, kind, flags, stream @ ..] = begin;
    if a == HANDSHAKE {
        TLS
    } else if a == b'P' && b == b'R' && c == b'I'
        || a == 0 && kind == SETTINGS && flags == 0 && stream == [0; 3]
    {
        HTTP2
    } else {
        0
    }
}

#[inline(always)]
fn most_bytes(protocol: u8) -> u64 {
    match protocol {
        TLS => MAX_TLS_BYTES,
        HTTP2 => MAX_HTTP2_BYTES,
        _ => MANY_BYTES as u64,
    }
}

#[inline(always)]
fn most_calls(protocol: u8) -> u8 {
    match protocol {
        TLS => MAX_TLS_INSPECTED,
        HTTP2 => MAX_HTTP2_INSPECTED,
        _ => MAX_INSPECTED,
    }
}

/// Captures the beginning of what a call moved, at `ts_ns` and not counted yet: `size` bytes. A
/// function of its own for the room on the stack.
///
/// `connection` must be that of `tp`; `way` is 0 (inbound) or 1 (outbound).
#[inline(never)]
pub(crate) fn capture(
    mut connection: Live<Connection>,
    tp: *const c_void,
    way: u32,
    size: u32,
    ts_ns: u64,
) {
    let direction = (way & 1) as usize;
    let before = connection.inspected[direction];
    connection.inspected[direction] = OVER;
    let protocol = before & (TLS | HTTP2);
    let exchange = connection.exchange();
    let inbound = connection.bytes_in + exchange.bytes_in;
    let at = if way == 0 { inbound } else { connection.bytes_out + exchange.bytes_out };
    if at > most_bytes(protocol) {
        return;
    }
    let buffer = buffer(size);
    if buffer.length == 0 {
        return;
    }
    // What is followed is followed without a gap, or not at all.
    if protocol != TLS && (before == 0 || protocol == HTTP2) && !allowed() {
        return count(counter::UNINSPECTED);
    }
    tell_kept(connection, tp);
    let begin: [u8; 8] = user(buffer.address);
    let number = before & !(TLS | HTTP2);
    let protocol = if protocol != 0 { protocol } else { protocol_of(begin) };
    let more = protocol != 0 || before != 0;
    let last = number + 1 >= most_calls(protocol) || !more && size >= ENOUGH;
    if !last {
        connection.inspected[direction] = number + 1 | protocol;
    }
    let record = |place, length| PayloadPrefix {
        kind: abi::PAYLOAD_PREFIX,
        length,
        sock: connection.exchange.sock,
        ts_ns,
        at: at as u32,
        outbound: way as u8,
        last: last as u8,
        preexisting: connection.preexisting,
        role: connection.exchange.role,
        fast_open: fast_open(tp),
        _pad: [0; 3],
        place,
    };
    if more && size > FEW_BYTES {
        send::<PayloadPrefix, MANY_BYTES>(buffer, record)
    } else {
        send::<PayloadPrefix, FEW_BYTES>(buffer, record)
    }
}

/// A length that the verifier knows to be within bounds, `most` being one less than a power of two.
/// The compiler would prove the bound, and leave away what shows it.
#[inline(always)]
pub(crate) fn bounded(length: u32, most: u32) -> u32 {
    let length = if length < most { length } else { most };
    // SAFETY: a local.
    unsafe { (&raw const length).read_volatile() & most }
}

/// Hands the agent the first `MOST` bytes at most of what a buffer has, with a record that is made
/// of their place and their number. Bytes are only read once it is certain that the agent will see
/// them, and so blank their place.
#[inline(always)]
pub(crate) fn send<T: 'static, const MOST: u32>(
    buffer: Buffer,
    record: impl FnOnce(u32, u32) -> T,
) {
    count(counter::SEEN);
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else {
        return count(counter::FIRST_BYTES);
    };
    let Some((place, mut bytes)) = free_place() else {
        entry.discard(BPF_RB_NO_WAKEUP.into());
        return count(counter::FIRST_BYTES);
    };
    let length =
        bounded(if buffer.length < MOST as u64 { buffer.length as u32 } else { MOST }, MOST);
    let (to, from) = ((&raw mut *bytes).cast(), buffer.address as *const c_void);
    // SAFETY: the helper checks the address, and leaves zeros where it cannot read; a place has room
    // for more than the bytes.
    let status = unsafe { generated::bpf_probe_read_user(to, length, from) };
    // SAFETY: memory of the ring for one record.
    let mut written: Live<T> = unsafe { Live::from_ptr(entry.as_mut_ptr()) };
    *written = record(place, if status == 0 { length } else { 0 });
    entry.submit(BPF_RB_NO_WAKEUP.into());
}

/// Takes a place that is free.
#[inline(always)]
fn free_place() -> Option<(u32, Live<Place>)> {
    let Ok(Some(place)) = FREE_PLACES.pop() else { return None };
    match FIRST_BYTES.find(place) {
        Some(bytes) => Some((place, bytes)),
        None => None,
    }
}
