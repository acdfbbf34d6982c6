//! Thinning: where ordinary exchanges come by thousands, the agent is told one in several. It stands
//! for those before it on its connection.

use aya_ebpf::{btf_maps::Array, helpers::generated, macros::btf_map};
use backscope_abi as abi;
use backscope_abi::{Connection, Exchange, counter, progress, role};

use crate::{kernel::config, live::Live, maps::count};

/// Of the ordinary exchanges one in so many is told, a power of two; 0 or 1 while all are.
#[btf_map]
static THINNING: Array<u32, 1> = Array::new();

/// Leaves an exchange untold that a [`abi::CompactExchange`] could tell of, and counts it; `base_ns`
/// is its earliest time. False if it is to be told.
#[inline(always)]
pub(crate) fn leaves_out(mut connection: Live<Connection>, base_ns: u64) -> bool {
    let one_in = match THINNING.get(0) {
        Some(one_in) => *one_in,
        None => 0,
    };
    if one_in <= 1 {
        return false;
    }
    let exchange = &*connection.exchange();
    let users = (exchange.reader.tid ^ exchange.writer.tid.rotate_left(4)) as u8;
    let is_told = users != connection.users
        || exchange.progress != progress::FOLLOWED
        || connection.shown_seq == exchange.seq
        || !is_ordinary(exchange, base_ns)
        || is_drawn(one_in);
    connection.users = users;
    if is_told {
        return false;
    }
    connection.shut_or_untold = connection.shut_or_untold.wrapping_add(1);
    count(counter::UNTOLD);
    true
}

/// Exchanges of a connection that were left untold so far, the low bits of their number.
#[inline(always)]
pub(crate) fn untold(connection: Live<Connection>) -> u8 {
    if config!(events) != 0 { 0 } else { connection.shut_or_untold }
}

/// An exchange that is like most: a short one of a server, by threads that are at work all the time.
/// The first on a connection is more: it shows who serves that. So is one by other threads than the
/// one before.
#[inline(always)]
fn is_ordinary(exchange: &Exchange, base_ns: u64) -> bool {
    let since = |ns: u64| ns.wrapping_sub(base_ns);
    let longest = since(exchange.in_last_ns)
        | since(exchange.read_first_ns)
        | since(exchange.read_last_ns)
        | since(exchange.out_first_ns)
        | since(exchange.out_last_ns)
        | since(exchange.sent_ns);
    let rest = exchange.read_first_ns.wrapping_sub(exchange.reader.since_ns)
        | exchange.out_last_ns.wrapping_sub(exchange.writer.since_ns);
    let excess = longest >> abi::ORDINARY_SHIFT
        | rest >> abi::ORDINARY_REST_SHIFT
        | since(exchange.acked_ns) >> abi::ORDINARY_ACKED_SHIFT;
    excess == 0 && exchange.role == role::SERVER && exchange.seq > 1 && exchange.preexisting == 0
}

/// Draws one in so many by lot.
#[inline(always)]
fn is_drawn(one_in: u32) -> bool {
    // SAFETY: takes no argument.
    unsafe { generated::bpf_get_prandom_u32() & (one_in - 1) == 0 }
}
