//! A TCP socket as it shows itself: what is unread, unsent and held, at the time of asking.

use core::ffi::c_void;

use aya_ebpf::helpers::generated;
use backscope_abi::hold;
use backscope_abi::tcp_state::{
    TCP_CLOSE, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_LAST_ACK, TCP_TIME_WAIT,
};

use crate::kernel::{jiffies, load};

/// The TCP socket that `sk` is, as one whose members can be loaded; null if it is none.
#[inline(always)]
pub(crate) fn tcp_of(sk: *mut c_void) -> *const c_void {
    // SAFETY: the helper checks the socket before it casts.
    unsafe { generated::bpf_skc_to_tcp_sock(sk) as *const c_void }
}

/// Whether sequence number `a` is at or behind `b`.
#[inline(always)]
pub(crate) fn reached(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

/// Bytes that can be read. The peer's FIN has a number, too, until the application has read the
/// end; once it is in, nothing comes behind it (`tcp_fin`, 5.10 to 7.3).
#[inline(always)]
pub(crate) fn unread(tp: *const c_void) -> u32 {
    let unread = load!(tp, rcv_nxt as u32).wrapping_sub(load!(tp, copied_seq as u32));
    if unread == 0 {
        return 0;
    }
    let state = load!(tp, skc_state as u8);
    if state == TCP_ESTABLISHED {
        return unread;
    }
    let ended = match state {
        TCP_TIME_WAIT | TCP_CLOSE_WAIT | TCP_LAST_ACK | TCP_CLOSING => true,
        // Closed by the FINs of both ends, unless there is an error.
        TCP_CLOSE => load!(tp, sk_err as u32) == 0,
        _ => false,
    };
    unread - ended as u32
}

/// Bulk transfers are those that the peer's window can hold up.
pub(crate) const BULK: u64 = 16_384;

/// Times that the kernel has counted of a socket's sending, in jiffies (`tcp_chrono_set`).
pub(crate) struct Sending {
    /// Something was out, or waited to be.
    pub(crate) busy: u32,
    /// Of that: the peer's window limited it.
    pub(crate) window: u32,
    /// Something is out now.
    pub(crate) is_busy: bool,
}

#[inline(always)]
pub(crate) fn sending(tp: *const c_void) -> Sending {
    const UNSPECIFIED: u8 = 0;
    const RWND_LIMITED: u8 = 2;
    let [only_busy, mut window, by_buffer] = load!(tp, chrono_stat as [u32; 3]);
    let mut busy = only_busy.wrapping_add(window).wrapping_add(by_buffer);
    let kind = load!(tp, chrono_type as u8) & 3;
    if kind != UNSPECIFIED {
        let now = jiffies();
        let running = now.wrapping_sub(load!(tp, chrono_start as u32));
        busy = busy.wrapping_add(running);
        if kind == RWND_LIMITED {
            window = window.wrapping_add(running);
        }
    }
    Sending { busy, window, is_busy: kind != UNSPECIFIED }
}

/// Why the bytes that are written were not sent: the tests of `tcp_write_xmit` in its order (5.10
/// to 7.3).
#[inline(always)]
pub(crate) fn hold_reason(tp: *const c_void, unsent: u32) -> u8 {
    const SK_PACING_NEEDED: u32 = 1;
    const TCP_NAGLE_OFF: u8 = 1;
    const TCP_NAGLE_CORK: u8 = 2;
    const MANY: u32 = 8;
    if load!(tp, sk_pacing_status as u32) == SK_PACING_NEEDED
        && load!(tp, tcp_wstamp_ns as u64) > load!(tp, tcp_clock_cache as u64)
    {
        return paced(tp);
    }
    let packets = load!(tp, packets_out as u32);
    let left = load!(tp, sacked_out as u32).wrapping_add(load!(tp, lost_out as u32));
    let in_flight = packets.wrapping_sub(left).wrapping_add(load!(tp, retrans_out as u32));
    if in_flight >= load!(tp, snd_cwnd as u32) {
        return hold::CONGESTION;
    }
    let mss = load!(tp, mss_cache as u32);
    let una = load!(tp, snd_una as u32);
    let first = if unsent < mss { unsent } else { mss };
    let window_end = una.wrapping_add(load!(tp, snd_wnd as u32));
    if (load!(tp, snd_nxt as u32).wrapping_add(first).wrapping_sub(window_end) as i32) > 0 {
        return hold::WINDOW;
    }
    if unsent >= mss {
        return paced(tp);
    }
    let nagle = load!(tp, nonagle as u8) & 15;
    if nagle & TCP_NAGLE_CORK != 0 {
        return hold::CORK;
    }
    // Only a small segment in flight holds the next one (Minshall's change to Nagle's algorithm).
    let small_out = (load!(tp, snd_sml as u32).wrapping_sub(una) as i32) > 0;
    if nagle & TCP_NAGLE_OFF == 0 && packets != 0 && small_out {
        // With many segments in flight, which no peer lets wait for its ACK, the network has yet to
        // deliver them.
        return if packets >= MANY { hold::CONGESTION } else { hold::NAGLE };
    }
    // Nothing else would hold less than a segment but MSG_MORE, which leaves no trace in the
    // socket.
    hold::CORK
}

/// Whose pace it is. Without a limit that was set, the rate is what congestion control finds that
/// the network delivers: BBR measures it, and for others it comes from their window
/// (`tcp_update_pacing_rate`). BBR goes down to three quarters of what it measures, also where that
/// is a limit.
#[inline(always)]
fn paced(tp: *const c_void) -> u8 {
    const SK_PACING_NONE: u32 = 0;
    let limit = load!(tp, sk_max_pacing_rate as u64);
    let by_limit = limit != u64::MAX && load!(tp, sk_pacing_rate as u64) >= limit / 2;
    if by_limit || load!(tp, sk_pacing_status as u32) == SK_PACING_NONE {
        hold::PACING
    } else {
        hold::CONGESTION
    }
}
