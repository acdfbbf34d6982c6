//! Ids of sockets.

use core::ffi::c_void;

use aya_ebpf::helpers::generated;

use crate::kernel::{config, now, read};

/// The bit of an id that is no cookie.
const OWN: u64 = 1 << 63;

/// An id for a socket: its cookie if somebody asked for one, else one of our own (top bit set),
/// unique for a run.
#[inline(always)]
pub(crate) fn id_of(sk: *const c_void) -> u64 {
    let cookie = read!(sk, skc_cookie as u64);
    if cookie != 0 { cookie } else { own_id() }
}

/// An id of our own: the time and the processor, with the top bit set.
#[inline(always)]
pub(crate) fn own_id() -> u64 {
    // SAFETY: no arguments, no preconditions.
    let cpu = unsafe { generated::bpf_get_smp_processor_id() } as u64;
    OWN | (now() << 10 & !OWN) | (cpu & 1023)
}

/// As [`id_of`], but asks the kernel for a cookie where it lets us. `sk` must be a pointer that the
/// verifier knows as a socket.
#[inline(always)]
pub(crate) fn cookie_of(sk: *mut c_void) -> u64 {
    if config!(socket_cookie) != 0 {
        // SAFETY: the helper accepts any socket pointer that the verifier accepts.
        return unsafe { generated::bpf_get_socket_cookie(sk) };
    }
    id_of(sk)
}

/// Whether this id may be that of the socket with this cookie. One of our own says nothing.
#[inline(always)]
pub(crate) fn is_of(id: u64, cookie: u64) -> bool {
    id & OWN != 0 || id == cookie
}
