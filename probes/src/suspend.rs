//! Suspension of the hooks of accept: the agent detaches them while no connection comes.

use backscope_abi::suspension;

use crate::{live::Find, maps::SUSPENSION};

/// True while the hooks of accept are not attached.
#[inline(always)]
pub(crate) fn is_suspended() -> bool {
    let Some(state) = SUSPENSION.get(0) else { return false };
    (suspension::SUSPENDED..=suspension::CHANGING).contains(state) || *state & suspension::RUSH != 0
}

/// True while the hooks of accept are not attached since very many connections come. Each of their
/// accepts shows, and none waits for long.
#[inline(always)]
pub(crate) fn is_rush() -> bool {
    SUSPENSION.get(0).is_some_and(|state| *state & suspension::RUSH != 0)
}

/// True if they are not attached for that reason, and were not at this time. False for 0.
#[inline(always)]
pub(crate) fn is_rush_since(ts_ns: u64) -> bool {
    const BITS: u64 = suspension::RUSH | suspension::STATELESS;
    SUSPENSION.get(0).is_some_and(|state| *state & suspension::RUSH != 0 && ts_ns > *state & !BITS)
}

/// True while neither they nor the hook of state changes is attached.
#[inline(always)]
pub(crate) fn is_stateless() -> bool {
    SUSPENSION.get(0).is_some_and(|state| *state & suspension::STATELESS != 0)
}

/// True if no state change was seen at this time, as far as is known.
#[inline(always)]
pub(crate) fn was_stateless(ts_ns: u64) -> bool {
    let Some(state) = SUSPENSION.get(0) else { return false };
    match *state {
        suspension::NEVER | suspension::SUSPENDED => false,
        suspension::WANTED | suspension::CHANGING => true,
        state if state & suspension::RUSH != 0 => true,
        attached_ns => ts_ns < attached_ns,
    }
}

/// True if the hooks of accept were not attached at this time, or are not now.
#[inline(always)]
pub(crate) fn suspended_since(ts_ns: u64) -> bool {
    is_suspended() || SUSPENSION.get(0).is_some_and(|attached_ns| ts_ns < *attached_ns)
}

/// Asks the agent to attach the hooks of accept again, if they are suspended since nothing came.
#[inline(always)]
pub(crate) fn resume() {
    let Some(state) = SUSPENSION.find(0) else { return };
    let state = state.as_ptr();
    // SAFETY: a live map value; the agent, too, writes it at once.
    unsafe {
        if state.read_volatile() == suspension::SUSPENDED {
            state.write_volatile(suspension::WANTED);
        }
    }
}
