//! An accept that is kept in its connection: in a rush most connections are short and ordinary, and
//! are left untold as a whole ([`thinning`]). It is told with whatever else is told of the connection.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::{Connection, why};

use super::{Facts, report};
use crate::{
    live::{Find, Live},
    maps::LISTENERS,
    thinning,
};

/// Bits of the round trip, 1/8 µs: some two seconds.
const SRTT_BITS: u32 = 24;

/// Keeps an ordinary accept while connections are left untold. False if it is to be told.
#[inline(always)]
pub(super) fn keep(mut connection: Live<Connection>, facts: &Facts) -> bool {
    let waited_ns = facts.ts_ns.wrapping_sub(facts.queued_ns);
    let excess = waited_ns >> abi::ORDINARY_SHIFT
        | (facts.srtt_us >> SRTT_BITS) as u64
        | (facts.depth >> (u32::BITS - SRTT_BITS)) as u64;
    if excess != 0 || !thinning::is_on() {
        return false;
    }
    connection.why |= why::KEPT;
    connection.listener = facts.listener;
    connection.reading_since_ns = facts.ts_ns;
    connection.bytes_in = facts.queued_ns;
    let depth_and_srtt = facts.depth << SRTT_BITS | facts.srtt_us;
    connection.bytes_out = facts.thread << 32 | depth_and_srtt as u64;
    true
}

/// True while the accept of a connection is kept.
#[inline(always)]
pub(crate) fn is_kept(connection: Live<Connection>) -> bool {
    connection.why & why::KEPT != 0
}

/// When a connection was queued whose accept is kept.
#[inline(always)]
pub(crate) fn queued_ns(connection: Live<Connection>) -> u64 {
    connection.bytes_in
}

/// Tells the accept of a connection, if it is kept. `sk` must be its socket.
#[inline(always)]
pub(crate) fn tell_kept(connection: Live<Connection>, sk: *const c_void) {
    if is_kept(connection) {
        tell(connection, sk, false);
    }
}

/// Tells an accept that is kept. With `drawn` the connection is over, and stands for those of its
/// listener that were left untold. A function of its own for the room on the stack.
#[inline(never)]
pub(crate) fn tell(mut connection: Live<Connection>, sk: *const c_void, drawn: bool) {
    let packed = connection.bytes_out;
    let (port, untold) = match LISTENERS.find(connection.listener) {
        // A socket that goes has given its port back.
        Some(listener) => (listener.local.port, listener.untold as u16),
        None => (0, 0),
    };
    let facts = Facts {
        listener: connection.listener,
        sock: connection.exchange.sock,
        fd: -1,
        late: false,
        ts_ns: connection.reading_since_ns,
        entered_ns: 0,
        queued_ns: connection.bytes_in,
        age_jiffies: 0,
        thread: (connection.tgid as u64) << 32 | packed >> 32,
        srtt_us: packed as u32 & ((1 << SRTT_BITS) - 1),
        depth: packed as u32 >> SRTT_BITS,
        port,
        drawn,
        untold,
    };
    connection.why &= !why::KEPT;
    connection.reading_since_ns = 0;
    connection.bytes_in = 0;
    connection.bytes_out = 0;
    // The present thread may be another.
    report(sk, &facts, [0; 16]);
}
