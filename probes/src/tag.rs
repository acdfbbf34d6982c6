//! The listener tag: the id of a listener in its socket's storage, which its children inherit.

use core::ffi::c_void;

use backscope_abi::{Connection, role};

use crate::{
    kernel::config,
    live::Live,
    maps::{BLANK_CONNECTION, CONNECTION, LISTENER_TAG},
};

/// Tags a listener with its id, which its children inherit. `sk` must be a pointer that the
/// verifier knows as a socket.
#[inline(always)]
pub(crate) fn set_listener_tag(sk: *mut c_void, id: u64) {
    if config!(exchanges) != 0 {
        return set_inherited_tag(sk, id);
    }
    if let Some(mut tag) = LISTENER_TAG.get(sk, 1) {
        *tag = id;
    }
}

/// Reads the id of the listener that `sk` is or was just cloned from, and with exchanges the value
/// that has it. `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
pub(crate) fn listener_tag(sk: *mut c_void) -> Option<(u64, Option<Live<Connection>>)> {
    if config!(exchanges) != 0 {
        let value = inherited_connection(sk)?;
        return Some((value.exchange.sock, Some(value)));
    }
    let tag = LISTENER_TAG.get(sk, 0)?;
    Some((*tag, None))
}

/// Tags a listener in the storage that serves as a connection of its children.
#[inline(always)]
fn set_inherited_tag(sk: *mut c_void, id: u64) {
    let Some(mut value) = CONNECTION.get(sk, 1) else { return };
    // It may have been a connection before.
    *value = BLANK_CONNECTION;
    value.exchange.sock = id;
    value.exchange.role = role::LISTENER;
}

/// Finds the value that tags a listener, or a child of it that is not set up.
#[inline(always)]
fn inherited_connection(sk: *mut c_void) -> Option<Live<Connection>> {
    let value = CONNECTION.get(sk, 0)?;
    if value.exchange.role != role::LISTENER {
        return None;
    }
    Some(value)
}
