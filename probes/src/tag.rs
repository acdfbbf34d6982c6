//! The listener tag: the id of a listener in its socket's storage, which its children inherit.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::role;

use crate::{
    kernel::config,
    maps::{BLANK_CONNECTION, CONNECTION, LISTENER_TAG},
};

/// Marks a listener, so that its children carry its id. `sk` must be a pointer that the verifier
/// knows as a socket.
#[inline(always)]
pub(crate) fn set_listener_tag(sk: *mut c_void, id: u64) {
    if config!(exchanges) != 0 {
        return set_inherited_tag(sk, id);
    }
    let storage = LISTENER_TAG.get(sk, 1);
    if !storage.is_null() {
        // SAFETY: checked for null; the storage lives as long as the socket, which the caller
        // holds.
        unsafe { *storage = id };
    }
}

/// The id of the listener that `sk` is or was just cloned from, and with exchanges what it carries.
/// `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
pub(crate) fn listener_tag(sk: *mut c_void) -> Option<(u64, *mut abi::Connection)> {
    if config!(exchanges) != 0 {
        let value = inherited_connection(sk);
        // SAFETY: checked for null.
        return if value.is_null() {
            None
        } else {
            Some((unsafe { (*value).exchange.sock }, value))
        };
    }
    let storage = LISTENER_TAG.get(sk, 0);
    // SAFETY: checked for null.
    if storage.is_null() { None } else { Some((unsafe { *storage }, core::ptr::null_mut())) }
}

/// Makes a listener carry its id. Its children inherit that.
#[inline(always)]
pub(crate) fn set_inherited_tag(sk: *mut c_void, id: u64) {
    let value = CONNECTION.get(sk, 1);
    if value.is_null() {
        return;
    }
    // SAFETY: checked for null; the value lives as long as the socket, which the caller holds.
    unsafe {
        // It may have been a connection before.
        *value = BLANK_CONNECTION;
        (*value).exchange.sock = id;
        (*value).exchange.role = role::LISTENER;
    }
}

/// What a listener carries, or a child of it that is not set up; null of any other socket.
#[inline(always)]
pub(crate) fn inherited_connection(sk: *mut c_void) -> *mut abi::Connection {
    let value = CONNECTION.get(sk, 0);
    // SAFETY: checked for null; the value lives as long as the socket.
    if value.is_null() || unsafe { (*value).exchange.role } != role::LISTENER {
        return core::ptr::null_mut();
    }
    value
}
