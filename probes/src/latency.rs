//! The receive queue of a UDP socket: what came into it when, and how long it waited to be read.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::{
    Datagram, MARK_LATE, MARK_NUMBER_BITS, MARK_TIME_SHIFT, MARK_UNIT_SHIFT, MARKS,
};

use crate::{
    kernel::{load, read},
    maps::{PERIOD, add},
};

/// A read that is on its way has rarely been so for this long, ns.
const DOUBT_NS: u64 = 10_000_000;
/// And never for this long.
const SETTLED_NS: u64 = 1_000_000_000;
const NUMBERS: u64 = (1 << MARK_NUMBER_BITS) - 1;

/// The queue of a socket at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Queue {
    /// Datagrams in it.
    pub(crate) waiting: u32,
    /// Bytes, with the kernel's overhead.
    pub(crate) bytes: u32,
    /// Datagrams dropped so far.
    pub(crate) drops: u32,
}

impl Queue {
    /// Of a socket that the verifier knows.
    #[inline(always)]
    pub(crate) fn of(sk: *const c_void) -> Self {
        let counters = load!(sk, sk_drop_counters as u64) as *const c_void;
        let drops = if counters.is_null() {
            load!(sk, sk_drops as u32)
        } else {
            load!(counters, drops0 as u32).wrapping_add(load!(counters, drops1 as u32))
        };
        // In this order: what readers take over between the two is then counted late rather than
        // twice.
        let taken_over = read!(sk, udp_reader_qlen as u32);
        let waiting = taken_over.wrapping_add(load!(sk, sk_receive_qlen as u32));
        Self { waiting, bytes: load!(sk, sk_rmem_alloc as u32), drops }
    }

    /// Of any socket. Kernels whose iterators know sockets by address only have one drop counter.
    #[inline(always)]
    pub(crate) fn at(sk: *const c_void) -> Self {
        let waiting =
            read!(sk, udp_reader_qlen as u32).wrapping_add(read!(sk, sk_receive_qlen as u32));
        Self { waiting, bytes: read!(sk, sk_rmem_alloc as u32), drops: read!(sk, sk_drops as u32) }
    }
}

/// Takes in what the queue shows now; with `arrival` a datagram entered it just now.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
pub(crate) unsafe fn note_queue(datagram: *mut Datagram, queue: Queue, ts_ns: u64, arrival: bool) {
    // SAFETY: promised by the caller.
    unsafe {
        (*datagram).drops = queue.drops;
        (*datagram).queued = queue.bytes;
        (*datagram).waiting = queue.waiting;
        let mut gone = (*datagram).read + (*datagram).vanished;
        if arrival
            && queue.waiting == 1
            && (*datagram).noted > gone
            && ts_ns > (*datagram).active_ns + DOUBT_NS
        {
            // The queue was empty: what is missing is being read, or has left it unseen.
            if ts_ns > (*datagram).active_ns + SETTLED_NS {
                (*datagram).vanished += (*datagram).noted - gone;
                gone = (*datagram).noted;
            } else {
                (*datagram).doubt_ns = ts_ns;
            }
        }
        let fresh = (gone + queue.waiting as u64).wrapping_sub((*datagram).noted) as i64;
        if fresh > 0 {
            (*datagram).noted += fresh as u64;
            note_arrivals(datagram, ts_ns, !arrival || fresh > 1);
        }
        let period = PERIOD.get(0).copied().unwrap_or_default();
        if period & 1 == 0 {
            raise(datagram, 0, period, queue.bytes, 0);
        } else {
            raise(datagram, 1, period, queue.bytes, 0);
        }
    }
}

/// Notes that everything noted so far is there at `ts_ns`; `late` if some of it came before.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn note_arrivals(datagram: *mut Datagram, ts_ns: u64, late: bool) {
    // SAFETY: promised by the caller; slots are masked to the ring.
    unsafe {
        let mut late = late;
        let mut tail = (*datagram).tail;
        if tail.wrapping_sub((*datagram).head) >= MARKS {
            // No room: it goes in with the newest, all of which were there by now.
            tail = tail.wrapping_sub(1);
            late = true;
        }
        let number = (*datagram).noted & NUMBERS;
        let value = (ts_ns >> MARK_UNIT_SHIFT) << MARK_TIME_SHIFT
            | if late { MARK_LATE } else { 0 }
            | number;
        *slot(datagram, tail) = value;
        (*datagram).tail = tail.wrapping_add(1);
    }
}

/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn slot(datagram: *mut Datagram, at: u32) -> *mut u64 {
    // SAFETY: promised by the caller; the index is masked to the ring.
    unsafe { (&raw mut (*datagram).marks).cast::<u64>().add((at & (MARKS - 1)) as usize) }
}

/// True if the mark is of datagrams before this one.
#[inline(always)]
fn is_before(mark: u64, number: u64) -> bool {
    const HALF: u64 = 1 << (MARK_NUMBER_BITS - 1);
    (mark & NUMBERS).wrapping_sub(number) & NUMBERS >= HALF
}

/// A read shows which it was when a datagram came while the one before was missing: if that one is
/// still in the queue, this is the read of the one before; if the queue is empty, the one before
/// will never be read.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
pub(crate) unsafe fn settle_doubt(datagram: *mut Datagram, waiting: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        let came_ns = (*datagram).doubt_ns;
        if came_ns == 0 {
            return;
        }
        (*datagram).doubt_ns = 0;
        let gone = (*datagram).read + (*datagram).vanished;
        if waiting == 0 && (*datagram).noted > gone {
            (*datagram).vanished += (*datagram).noted - gone;
            (*datagram).noted += 1;
            note_arrivals(datagram, came_ns, false);
        } else if (*datagram).noted == gone + 1 && waiting == 1 {
            (*datagram).noted += 1;
            note_arrivals(datagram, came_ns, false);
        }
    }
}

/// The next datagram was read: how long it waited goes into the histogram, if its arrival was
/// noted.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
pub(crate) unsafe fn note_read(datagram: *mut Datagram, ts_ns: u64) {
    // SAFETY: promised by the caller; indices are bounded.
    unsafe {
        let number = ((*datagram).read + (*datagram).vanished + 1) & NUMBERS;
        let mut head = (*datagram).head;
        // One step a datagram is enough, unless readers raced.
        if head != (*datagram).tail && is_before(*slot(datagram, head), number) {
            head = head.wrapping_add(1);
            if head != (*datagram).tail && is_before(*slot(datagram, head), number) {
                head = head.wrapping_add(1);
            }
            (*datagram).head = head;
        }
        if head == (*datagram).tail {
            return;
        }
        let mark = *slot(datagram, head);
        if is_before(mark, number) {
            return;
        }
        let came_ns = (mark >> MARK_TIME_SHIFT) << MARK_UNIT_SHIFT;
        let waited_ns = if ts_ns > came_ns { ts_ns - came_ns } else { 0 };
        if mark & MARK_LATE != 0 {
            add(&raw mut (*datagram).at_least, 1);
        }
        // The verifier has to see the bound, which the compiler would prove and leave away.
        let bucket = abi::wait_bucket(waited_ns / 1_000) as u32;
        let bucket = (&raw const bucket).read_volatile() as usize & (abi::WAIT_BUCKETS - 1);
        *(&raw mut (*datagram).waits).cast::<u32>().add(bucket) += 1;
        if waited_ns > (*datagram).longest_ns {
            (*datagram).longest_ns = waited_ns;
        }
        let period = PERIOD.get(0).copied().unwrap_or_default();
        if period & 1 == 0 {
            raise(datagram, 0, period, 0, waited_ns);
        } else {
            raise(datagram, 1, period, 0, waited_ns);
        }
    }
}

/// # Safety
/// `datagram` must point to a live map value, `slot` must be 0 or 1.
#[inline(always)]
unsafe fn raise(datagram: *mut Datagram, slot: usize, period: u32, bytes: u32, waited_ns: u64) {
    // SAFETY: promised by the caller; constant slots, so no bounds check remains.
    unsafe {
        let peak = (&raw mut (*datagram).peak).cast::<u32>().add(slot);
        let longest = (&raw mut (*datagram).longest_in_ns).cast::<u64>().add(slot);
        let tag = (&raw mut (*datagram).period).cast::<u32>().add(slot);
        if *tag != period.wrapping_add(1) {
            *tag = period.wrapping_add(1);
            *peak = 0;
            *longest = 0;
        }
        if bytes > *peak {
            *peak = bytes;
        }
        if waited_ns > *longest {
            *longest = waited_ns;
        }
    }
}
