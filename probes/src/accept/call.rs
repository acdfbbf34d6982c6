//! A call of accept: which one a thread is in, since when, and what came of it if no connection did.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::Call;
use backscope_abi::errno::{EAGAIN, ECANCELED, EINTR, negative};
use backscope_abi::tcp_state::TCP_LISTEN;

use crate::{
    kernel::{config, current, now, read, sock_of_file, sock_of_socket, tcp_behind},
    listener::{count_failure, listener_id},
    live::Find,
    maps::{CALLS, LISTENERS, add, emit},
    target::is_target,
};

/// Results of a call that a signal interrupted, before the kernel restarts it: `ERESTARTSYS` to
/// `ERESTART_RESTARTBLOCK`.
const RESTARTS: core::ops::RangeInclusive<i64> = -516..=-512;

/// The result of a call that failed with this error.
///
/// Results are compared as they are: that of `do_accept` is a pointer to the verifier, which before
/// 7.x allows no arithmetic on it.
pub(super) const fn failed_with(errno: u32) -> i64 {
    negative(errno) as i64
}

/// A thread asks for a connection. Every thread of the machine that does comes here: the first
/// lookup sends the unwatched away.
#[inline(always)]
pub(super) fn enter(file: *const c_void) {
    let thread = current();
    let tgid = (thread >> 32) as u32;
    let mut sk = sock_of_socket(file);
    let mut known = listener_id(sk);
    if known.is_none() && (config!(by_port) != 0 || is_target(tgid)) {
        // A Multipath TCP socket stands for its first subflow.
        sk = tcp_behind(sk);
        known = listener_id(sk);
    }
    match known {
        Some(id) => begin_call(thread, id, sk),
        None if is_target(tgid) && read!(sk, skc_state as u8) == TCP_LISTEN => {
            // It came to the target by a way that shows no event, such as SCM_RIGHTS. When the call
            // returns it may be known.
            emit(&abi::Adopt { kind: abi::ADOPT, tgid, ts_ns: now() });
            begin_call(thread, 0, sk);
        }
        None => {}
    }
}

/// Notes a call. The entry of the thread's call before, which only this thread writes, is used
/// again: that costs a third of removing and inserting it.
#[inline(always)]
fn begin_call(thread: u64, listener: u64, sk: *const c_void) {
    let call = Call { entered_ns: now(), listener, sk: sk as u64, file: 0, returned_ns: 0 };
    match CALLS.find(thread) {
        Some(mut entry) => *entry = call,
        None => {
            let _ = CALLS.insert(thread, call, 0);
        }
    }
}

/// The call that this thread is in, blank if none is known; without a listener if that is not
/// watched. If `ends` says so of it, it is over.
#[inline(always)]
pub(crate) fn call_of(thread: u64, ends: impl FnOnce(&Call) -> bool) -> Call {
    let Some(mut entry) = CALLS.find(thread) else { return Call::default() };
    let mut call = *entry;
    if call.listener == 0
        && call.sk != 0
        && let Some(id) = listener_id(call.sk as *const c_void)
    {
        call.listener = id;
    }
    if ends(&call) {
        *entry = Call::default();
    }
    call
}

/// The call ended without a connection.
#[inline(always)]
pub(super) fn leave_empty(thread: u64, result: i64) {
    let call = call_of(thread, |_| true);
    if call.listener != 0 {
        without_connection(call.listener, thread, result);
    }
}

/// Counts a call on a listener that gave no connection: there was none, or it failed. To be
/// interrupted is no failure, nor is the end of the listener itself.
#[inline(always)]
fn without_connection(id: u64, thread: u64, result: i64) {
    if result == failed_with(EINTR)
        || result == failed_with(ECANCELED)
        || RESTARTS.contains(&result)
    {
        return;
    }
    let Some(mut listener) = LISTENERS.find(id) else { return };
    if result == failed_with(EAGAIN) {
        add(&raw mut listener.eagain, 1);
    } else if listener.closed_ns == 0 {
        count_failure(id, result.unsigned_abs() as u32, thread);
    }
}

/// Counts a call that gave no connection, on a listener whose file is known.
#[inline(always)]
pub(super) fn failed_on(file: *const c_void, result: i64) {
    if let Some(id) = listener_id(sock_of_file(file)) {
        without_connection(id, current(), result);
    }
}
