//! Which processes, ports and listeners are targets.

use core::ffi::c_void;

use crate::{
    kernel::{config, read},
    live::Find,
    maps::{PORTS, SERVED, TARGETS},
};

/// True if a process is watched.
#[inline(always)]
pub(crate) fn is_target(tgid: u32) -> bool {
    if tgid == config!(agent) {
        return false;
    }
    config!(all) != 0 || TARGETS.find(tgid).is_some()
}

/// True if a listener is to be watched when `tgid` holds it.
#[inline(always)]
pub(crate) fn is_wanted(sk: *const c_void, tgid: u32) -> bool {
    if is_target(tgid) {
        return true;
    }
    let port = read!(sk, skc_num as u16);
    config!(by_port) != 0 && PORTS.find(port).is_some()
}

/// True if a watched listener listens on this port, or did.
#[inline(always)]
pub(crate) fn is_served(port: u16) -> bool {
    let Some(ports) = SERVED.find((port >> 6) as u32) else { return false };
    ports[(port & 63) as usize] != 0
}

/// Notes that a watched listener listens on this port.
#[inline(always)]
pub(crate) fn serve(port: u16) {
    if let Some(mut ports) = SERVED.find((port >> 6) as u32) {
        ports[(port & 63) as usize] = 1;
    }
}
