//! Thinning: where ordinary exchanges come by thousands, the agent is told one in several. It stands
//! for those before it on its connection. Likewise with whole connections, where these are short.

use core::ffi::c_void;

use aya_ebpf::{btf_maps::Array, helpers::generated, macros::btf_map};
use backscope_abi as abi;
use backscope_abi::{Connection, Exchange, counter, ending, progress, role, why};

use crate::{
    accept::queued_ns,
    compact,
    kernel::{config, load},
    live::{Find, Live},
    maps::{LISTENERS, add, count},
};

/// Of the ordinary exchanges one in so many is told, a power of two; 0 or 1 while all are.
#[btf_map]
static THINNING: Array<u32, 1> = Array::new();

/// Leaves an exchange untold that a [`abi::CompactExchange`] could tell of, and counts it; `base_ns`
/// is its earliest time. False if it is to be told.
#[inline(always)]
pub(crate) fn leaves_out(mut connection: Live<Connection>, base_ns: u64) -> bool {
    let one_in = one_in();
    if one_in <= 1 {
        return false;
    }
    let exchange = &*connection.exchange();
    let users = (exchange.reader.tid ^ exchange.writer.tid.rotate_left(4)) as u8;
    let is_told = users != connection.users
        || exchange.progress != progress::FOLLOWED
        || exchange.seq == 1
        || connection.shown_seq == exchange.seq
        || excess(exchange, base_ns) != 0
        || is_drawn(one_in);
    connection.users = users;
    if is_told {
        return false;
    }
    connection.shut_or_untold = connection.shut_or_untold.wrapping_add(1);
    count(counter::UNTOLD);
    true
}

/// Leaves a connection untold that is over, and [ordinary](is_ordinary_connection), and counts it.
/// False if it is to be told.
#[inline(always)]
pub(crate) fn leaves_out_connection(connection: Live<Connection>) -> bool {
    let one_in = one_in();
    if one_in <= 1 || is_drawn(one_in) {
        return false;
    }
    let Some(mut listener) = LISTENERS.find(connection.listener) else { return false };
    add(&raw mut listener.untold, 1);
    count(counter::UNTOLD_CONNECTIONS);
    true
}

/// Exchanges of a connection that were left untold so far, the low bits of their number.
#[inline(always)]
pub(crate) fn untold(connection: Live<Connection>) -> u8 {
    if config!(events) != 0 { 0 } else { connection.shut_or_untold }
}

/// True while ordinary exchanges and connections are left untold.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    one_in() > 1
}

#[inline(always)]
fn one_in() -> u32 {
    match THINNING.get(0) {
        Some(one_in) => *one_in,
        None => 0,
    }
}

/// A connection that is over, and was like most: one ordinary exchange soon after it was queued,
/// acknowledged, and a FIN soon after that. Its accept is kept, and its exchange has been brought up
/// to date.
#[inline(always)]
pub(crate) fn is_ordinary_connection(connection: Live<Connection>, tp: *const c_void) -> bool {
    let Some(base_ns) = compact::base_ns(connection.exchange()) else { return false };
    let exchange = &*connection.exchange();
    let (asked_ns, queued_ns) = (exchange.in_first_ns, queued_ns(connection));
    let idle_ns = if asked_ns > queued_ns { asked_ns - queued_ns } else { 0 };
    let later = exchange.fin_ns.wrapping_sub(base_ns) | exchange.ts_ns.wrapping_sub(base_ns);
    let excess = excess(exchange, base_ns)
        | idle_ns >> abi::ORDINARY_SHIFT
        | later >> abi::ORDINARY_ACKED_SHIFT
        | load!(tp, total_retrans as u32) as u64
        | exchange.delayed_acks as u64
        | (connection.why ^ why::KEPT) as u64
        | (exchange.seq ^ 1) as u64;
    excess == 0 && exchange.progress == progress::CLOSED && exchange.fin_how == ending::FIN
}

/// Not 0 unless an exchange is like most: a short one of a server, by threads that are at work all
/// the time. The first on a connection that goes on is more: it shows who serves that. So is one by
/// other threads than the one before.
#[inline(always)]
fn excess(exchange: &Exchange, base_ns: u64) -> u64 {
    let since = |ns: u64| ns.wrapping_sub(base_ns);
    let longest = since(exchange.in_last_ns)
        | since(exchange.read_first_ns)
        | since(exchange.read_last_ns)
        | since(exchange.out_first_ns)
        | since(exchange.out_last_ns)
        | since(exchange.sent_ns);
    let rest = exchange.read_first_ns.wrapping_sub(exchange.reader.since_ns)
        | exchange.out_last_ns.wrapping_sub(exchange.writer.since_ns);
    longest >> abi::ORDINARY_SHIFT
        | rest >> abi::ORDINARY_REST_SHIFT
        | since(exchange.acked_ns) >> abi::ORDINARY_ACKED_SHIFT
        | (exchange.role ^ role::SERVER | exchange.preexisting) as u64
}

/// Draws one in so many by lot.
#[inline(always)]
fn is_drawn(one_in: u32) -> bool {
    // SAFETY: takes no argument.
    unsafe { generated::bpf_get_prandom_u32() & (one_in - 1) == 0 }
}
