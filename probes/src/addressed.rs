//! Connections by the address of their socket: those accepted; and all others where tracing programs
//! may not use socket storage, or cannot reach it.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use backscope_abi as abi;
use backscope_abi::Connection;

use crate::{
    kernel::{config, number_of},
    live::{Find, Live},
    maps::{BLANK_CONNECTION, add},
};

/// Accepted connections from their birth on, in memory that is there from the beginning: whatever
/// else keeps a value takes several times as long to allocate it. Those beyond it, and those that
/// have been idle, are in socket storage or in [`OTHERS`].
#[btf_map]
static ACCEPTED: HashMap<u64, Connection, { abi::MAX_ACCEPTED as usize }> = HashMap::new();

/// All other connections, where there is no storage.
#[btf_map]
static OTHERS: HashMap<
    u64,
    Connection,
    { abi::MAX_CONNECTIONS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

const PLACES: usize = 16_384;
/// A socket begins where a line of the processor's cache does.
const ALIGNED_BITS: u32 = 6;

/// How many of [`OTHERS`] are at a place: nearly all sockets are told by this to be none of them.
#[btf_map]
static AT_PLACE: Array<u64, PLACES> = Array::new();

#[inline(always)]
fn at_place(sk: u64) -> Option<Live<u64>> {
    // The verifier lets nobody reckon with a pointer.
    let sk = number_of(sk as *const c_void);
    AT_PLACE.find((sk >> ALIGNED_BITS) as u32 & (PLACES as u32 - 1))
}

/// What is kept of an accepted connection at this address. Another socket may have left it behind.
#[inline(always)]
pub(crate) fn accepted(sk: u64) -> Option<Live<Connection>> {
    ACCEPTED.find(sk)
}

/// A blank value for an accepted connection; `None` if there is no room.
#[inline(always)]
pub(crate) fn accept(sk: u64) -> Option<Live<Connection>> {
    let _ = ACCEPTED.insert(sk, &BLANK_CONNECTION, 0);
    ACCEPTED.find(sk)
}

/// What is kept of another connection at this address, likewise; `None` where there is storage.
#[inline(always)]
pub(crate) fn other(sk: u64) -> Option<Live<Connection>> {
    if config!(socket_storage) != 0 || *at_place(sk)? == 0 {
        return None;
    }
    OTHERS.find(sk)
}

/// A blank value for another connection; `None` if there is no room.
#[inline(always)]
pub(crate) fn add_other(sk: u64) -> Option<Live<Connection>> {
    if OTHERS.insert(sk, &BLANK_CONNECTION, BPF_NOEXIST.into()).is_ok() {
        add(at_place(sk)?.as_ptr(), 1);
    } else {
        let _ = OTHERS.insert(sk, &BLANK_CONNECTION, BPF_ANY.into());
    }
    OTHERS.find(sk)
}

/// Removes what is kept at this address.
#[inline(always)]
pub(crate) fn remove(sk: u64) {
    let _ = ACCEPTED.remove(sk);
    if other(sk).is_some()
        && OTHERS.remove(sk).is_ok()
        && let Some(number) = at_place(sk)
    {
        add(number.as_ptr(), u64::MAX);
    }
}
