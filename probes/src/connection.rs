//! Connections: finding the value of a socket, making one, forgetting it.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::{Connection, counter, hold, role};

use crate::{
    addressed, era,
    id::is_of,
    idle,
    kernel::{config, load, number_of, port_of, read},
    live::Live,
    maps::{CONNECTION, count},
    storage::has_no_storage,
    target::is_served,
};

/// Finds the watched connection of this socket. An idle one is expanded. `sk` must be a pointer
/// that the verifier knows as a socket.
#[inline(always)]
pub(crate) fn connection_of(sk: *mut c_void) -> Option<Live<Connection>> {
    find(sk, true)
}

/// Finds the watched connection of this socket, unless it is idle: it stays so.
#[inline(always)]
pub(crate) fn find_active(sk: *mut c_void) -> Option<Live<Connection>> {
    find(sk, false)
}

#[inline(always)]
fn find(sk: *mut c_void, expands: bool) -> Option<Live<Connection>> {
    let found = find_value(sk, expands)?;
    Some(era::at_present(sk, found))
}

#[inline(always)]
fn find_value(sk: *mut c_void, expands: bool) -> Option<Live<Connection>> {
    if config!(socket_storage) == 0 {
        return by_address(sk).or_else(|| other(sk));
    }
    if has_no_storage(sk) {
        return by_address(sk);
    }
    if let Some(value) = CONNECTION.find(sk) {
        return Some(value);
    }
    if config!(compacts_idle) != 0 && idle::is_idle(sk) {
        return if expands { idle::expand(sk) } else { None };
    }
    by_address(sk)
}

/// Finds a connection by the address of its socket, if anybody accepts at its port.
#[inline(always)]
pub(crate) fn by_address(sk: *mut c_void) -> Option<Live<Connection>> {
    if is_served(port_of(sk)) { accepted(sk) } else { None }
}

/// Finds an accepted connection by the address of its socket. A value may be there that was left
/// behind, if the kernel skipped the program that had to remove it; the socket's cookie tells.
#[inline(always)]
fn accepted(sk: *mut c_void) -> Option<Live<Connection>> {
    if_of(sk, addressed::accepted(sk as u64)?)
}

/// The same of any other connection, where there is no storage.
#[inline(always)]
fn other(sk: *mut c_void) -> Option<Live<Connection>> {
    if_of(sk, addressed::other(sk as u64)?)
}

#[inline(always)]
fn if_of(sk: *mut c_void, value: Live<Connection>) -> Option<Live<Connection>> {
    let cookie = load!(sk as *const c_void, skc_cookie as u64);
    if is_of(value.exchange.sock, cookie) { Some(value) } else { None }
}

/// Finds the watched connection of a socket that goes: what gave its port back is not asked for it.
#[inline(always)]
pub(crate) fn connection_at_end(sk: *mut c_void) -> Option<Live<Connection>> {
    if config!(socket_storage) == 0 || has_no_storage(sk) {
        let known = accepted(sk).or_else(|| other(sk))?;
        return Some(era::at_present(sk, known));
    }
    connection_of(sk)
}

/// Watches a connection that is about to be queued. `listener` is noted with it.
#[inline(always)]
pub(crate) fn born(sk: *mut c_void, sock: u64, listener: u64) {
    if let Some(mut connection) = born_by_address(sk, sock) {
        connection.listener = listener;
        return;
    }
    // Here accept does not look for it.
    let _ = open(sk, sock, role::SERVER, 0, 0);
}

/// Watches an accepted connection, or one that is about to be queued, in memory that is there from
/// the beginning. `None` if that is full.
#[inline(always)]
pub(crate) fn born_by_address(sk: *const c_void, sock: u64) -> Option<Live<Connection>> {
    let connection = addressed::accept(sk as u64)?;
    set_up(connection, sock, role::SERVER, 0, 0);
    Some(connection)
}

/// The value of a socket whose process asks for a connection; blank if it had none. `sk` must be a
/// pointer that the verifier knows as a socket of a cgroup's hook, with which nobody may reckon.
#[inline(always)]
pub(crate) fn asked_for(sk: *mut c_void) -> Option<Live<Connection>> {
    if config!(socket_storage) != 0 {
        return CONNECTION.get(sk, 1);
    }
    let sk = number_of(sk) as *const c_void;
    match find_by_number(sk) {
        Some(connection) => Some(connection),
        None => addressed::add_other(sk as u64),
    }
}

/// As [`open`], where connections are in a hash and the socket is but a number.
#[inline(always)]
pub(crate) fn open_by_number(
    sk: *const c_void,
    sock: u64,
    role: u8,
    preexisting: u8,
    tgid: u32,
) -> Option<Live<Connection>> {
    set_up_if_any(addressed::add_other(sk as u64), sock, role, preexisting, tgid)
}

/// Finds a connection that is known by its address, in a program whose socket is but a number.
#[inline(always)]
pub(crate) fn find_by_number(sk: *const c_void) -> Option<Live<Connection>> {
    let cookie = read!(sk, skc_cookie as u64);
    if let Some(value) = addressed::accepted(sk as u64)
        && is_of(value.exchange.sock, cookie)
    {
        return Some(value);
    }
    let value = addressed::other(sk as u64)?;
    if is_of(value.exchange.sock, cookie) { Some(value) } else { None }
}

/// Watches a connection from now on; `None` for want of memory.
#[inline(always)]
pub(crate) fn open(
    sk: *mut c_void,
    sock: u64,
    role: u8,
    preexisting: u8,
    tgid: u32,
) -> Option<Live<Connection>> {
    if config!(socket_storage) == 0 {
        return open_by_number(sk, sock, role, preexisting, tgid);
    }
    set_up_if_any(CONNECTION.get(sk, 1), sock, role, preexisting, tgid)
}

#[inline(always)]
fn set_up_if_any(
    connection: Option<Live<Connection>>,
    sock: u64,
    role: u8,
    preexisting: u8,
    tgid: u32,
) -> Option<Live<Connection>> {
    let Some(connection) = connection else {
        count(counter::CONNECTIONS_FULL);
        return None;
    };
    set_up(connection, sock, role, preexisting, tgid);
    Some(connection)
}

/// Makes a connection of a value that is blank but for what a listener writes.
#[inline(always)]
pub(crate) fn set_up(
    mut connection: Live<Connection>,
    sock: u64,
    role: u8,
    preexisting: u8,
    tgid: u32,
) {
    connection.tgid = tgid;
    connection.preexisting = preexisting;
    let mut exchange = connection.exchange();
    exchange.kind = abi::EXCHANGE;
    exchange.seq = 1;
    exchange.sock = sock;
    exchange.role = role;
    exchange.preexisting = preexisting;
    exchange.holding = hold::NONE;
    era::begin(connection);
    count(counter::OPENED);
}

/// Forgets what turns out to be no connection of its own. `sk` must be a pointer that the verifier
/// knows as a socket.
#[inline(always)]
pub(crate) fn discard(sk: *mut c_void) {
    addressed::remove(sk as u64);
    if config!(socket_storage) != 0 && CONNECTION.get(sk, 0).is_some() {
        // A socket without storage is passed over from now on.
        CONNECTION.remove(sk);
    }
}

/// Forgets a connection whose socket goes. Storage goes with it.
#[inline(always)]
pub(crate) fn forget(sk: *mut c_void, connection: Live<Connection>) {
    if config!(socket_storage) == 0 || connection.exchange.role == role::SERVER {
        addressed::remove(sk as u64);
    }
}
