//! Connections: finding the value of a socket, making one, forgetting it.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::{Connection, counter, hold, role};

use crate::{
    idle,
    kernel::config,
    maps::{BLANK_CONNECTION, CONNECTION, CONNECTIONS, count},
    storage::carries_nothing,
};

/// The connection of this socket, null if it is not watched. `sk` must be a pointer that the
/// verifier knows as a socket.
#[inline(always)]
pub(crate) fn connection_of(sk: *mut c_void) -> *mut Connection {
    find(sk, true)
}

/// The same, but null as well of a connection that is idle, which stays so.
#[inline(always)]
pub(crate) fn find_active(sk: *mut c_void) -> *mut Connection {
    find(sk, false)
}

#[inline(always)]
fn find(sk: *mut c_void, grows: bool) -> *mut Connection {
    if config!(socket_storage) == 0 {
        return CONNECTIONS.get_ptr_mut(sk as u64).unwrap_or(core::ptr::null_mut());
    }
    if carries_nothing(sk) {
        return core::ptr::null_mut();
    }
    let value = CONNECTION.find(sk);
    if value.is_null() {
        return if grows && config!(shrinks) != 0 { idle::expand(sk) } else { value };
    }
    // SAFETY: checked for null; the value lives as long as the socket.
    if unsafe { (*value).exchange.role } == role::LISTENER {
        return core::ptr::null_mut();
    }
    value
}

/// Watches a connection from now on; null for want of memory.
#[inline(always)]
pub(crate) fn open(sk: *mut c_void, sock: u64, role: u8, midway: u8, tgid: u32) -> *mut Connection {
    let connection = if config!(socket_storage) != 0 {
        CONNECTION.get(sk, 1)
    } else {
        let _ = CONNECTIONS.insert(sk as u64, &BLANK_CONNECTION, 0);
        connection_of(sk)
    };
    if connection.is_null() {
        count(counter::CONNECTIONS_FULL);
        return connection;
    }
    set_up(connection, sock, role, midway, tgid);
    connection
}

/// Makes a connection of a value that is blank but for what a listener writes.
#[inline(always)]
pub(crate) fn set_up(connection: *mut Connection, sock: u64, role: u8, midway: u8, tgid: u32) {
    // SAFETY: the value lives as long as the socket, which the caller holds.
    unsafe {
        (*connection).tgid = tgid;
        (*connection).midway = midway;
        let exchange = &raw mut (*connection).exchange;
        (*exchange).kind = abi::EXCHANGE;
        (*exchange).seq = 1;
        (*exchange).sock = sock;
        (*exchange).role = role;
        (*exchange).midway = midway;
        (*exchange).holding = hold::NONE;
    }
    count(counter::OPENED);
}

/// Forgets what turns out to be no connection of its own. `sk` must be a pointer that the verifier
/// knows as a socket.
#[inline(always)]
pub(crate) fn discard(sk: *mut c_void) {
    if config!(socket_storage) == 0 {
        let _ = CONNECTIONS.remove(sk as u64);
    } else {
        let value = CONNECTION.get(sk, 0);
        if !value.is_null() {
            // What carries nothing is looked at no more.
            CONNECTION.remove(sk);
        }
    }
}

/// Forgets a connection whose socket goes.
#[inline(always)]
pub(crate) fn forget(sk: *mut c_void) {
    if config!(socket_storage) == 0 {
        let _ = CONNECTIONS.remove(sk as u64);
    }
}
