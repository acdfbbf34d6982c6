//! Receive-queue latency of UDP sockets: when datagrams came, and how long they waited to be read.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::{
    Datagram, MARK_LATE, MARK_NUMBER_BITS, MARK_TIME_SHIFT, MARK_UNIT_SHIFT, MARKS,
};

use crate::{
    kernel::{load, offset, read},
    live::Live,
    maps::{PERIOD, add},
};

/// A read that is on its way has rarely been so for this long, ns.
const DOUBT_NS: u64 = 10_000_000;
/// And never for this long.
const SETTLED_NS: u64 = 1_000_000_000;
const NUMBERS: u64 = (1 << MARK_NUMBER_BITS) - 1;

/// Lengths of a socket's queue at one time.
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
    /// Reads those of a socket that the verifier knows.
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

    /// Reads those of any socket.
    #[inline(always)]
    pub(crate) fn at(sk: *const c_void) -> Self {
        let mut counters = core::ptr::null();
        if offset!(sk_drop_counters) != abi::ABSENT {
            counters = read!(sk, sk_drop_counters as u64) as *const c_void;
        }
        let drops = if counters.is_null() {
            read!(sk, sk_drops as u32)
        } else {
            read!(counters, drops0 as u32).wrapping_add(read!(counters, drops1 as u32))
        };
        let waiting =
            read!(sk, udp_reader_qlen as u32).wrapping_add(read!(sk, sk_receive_qlen as u32));
        Self { waiting, bytes: read!(sk, sk_rmem_alloc as u32), drops }
    }
}

/// Notes what the queue shows now; with `arrival` a datagram entered it just now.
#[inline(always)]
pub(crate) fn note_queue(mut datagram: Live<Datagram>, queue: Queue, ts_ns: u64, arrival: bool) {
    datagram.drops = queue.drops;
    datagram.queued = queue.bytes;
    datagram.waiting = queue.waiting;
    let mut gone = datagram.read + datagram.vanished;
    if arrival
        && queue.waiting == 1
        && datagram.noted > gone
        && ts_ns > datagram.active_ns + DOUBT_NS
    {
        // The queue was empty: what is missing is being read, or has left it unseen.
        if ts_ns > datagram.active_ns + SETTLED_NS {
            datagram.vanished += datagram.noted - gone;
            gone = datagram.noted;
        } else {
            datagram.doubt_ns = ts_ns;
        }
    }
    let fresh = (gone + queue.waiting as u64).wrapping_sub(datagram.noted) as i64;
    if fresh > 0 {
        datagram.noted += fresh as u64;
        note_arrivals(datagram, ts_ns, !arrival || fresh > 1);
    }
    let period = PERIOD.get(0).copied().unwrap_or_default();
    if period & 1 == 0 {
        raise(datagram, 0, period, queue.bytes, 0);
    } else {
        raise(datagram, 1, period, queue.bytes, 0);
    }
}

/// Notes that everything noted so far is there at `ts_ns`; `late` if some of it came before.
#[inline(always)]
fn note_arrivals(mut datagram: Live<Datagram>, ts_ns: u64, late: bool) {
    let mut late = late;
    let mut tail = datagram.tail;
    if tail.wrapping_sub(datagram.head) >= MARKS {
        // No room: it goes in with the newest, all of which were there by now.
        tail = tail.wrapping_sub(1);
        late = true;
    }
    let number = datagram.noted & NUMBERS;
    let value =
        (ts_ns >> MARK_UNIT_SHIFT) << MARK_TIME_SHIFT | if late { MARK_LATE } else { 0 } | number;
    datagram.marks[slot(tail)] = value;
    datagram.tail = tail.wrapping_add(1);
}

/// Index in the ring of arrivals.
#[inline(always)]
fn slot(at: u32) -> usize {
    (at & (MARKS - 1)) as usize
}

/// True if the stamp is of datagrams before this one.
#[inline(always)]
fn is_before(stamp: u64, number: u64) -> bool {
    const HALF: u64 = 1 << (MARK_NUMBER_BITS - 1);
    (stamp & NUMBERS).wrapping_sub(number) & NUMBERS >= HALF
}

/// A read shows which it was when a datagram came while the one before was missing: if that one is
/// still in the queue, this is the read of the one before; if the queue is empty, the one before
/// will never be read.
#[inline(always)]
pub(crate) fn settle_doubt(mut datagram: Live<Datagram>, waiting: u32) {
    let came_ns = datagram.doubt_ns;
    if came_ns == 0 {
        return;
    }
    datagram.doubt_ns = 0;
    let gone = datagram.read + datagram.vanished;
    if waiting == 0 && datagram.noted > gone {
        datagram.vanished += datagram.noted - gone;
        datagram.noted += 1;
        note_arrivals(datagram, came_ns, false);
    } else if datagram.noted == gone + 1 && waiting == 1 {
        datagram.noted += 1;
        note_arrivals(datagram, came_ns, false);
    }
}

/// The next datagram was read: how long it waited goes into the histogram, if its arrival was
/// noted.
#[inline(always)]
pub(crate) fn note_read(mut datagram: Live<Datagram>, ts_ns: u64) {
    let number = (datagram.read + datagram.vanished + 1) & NUMBERS;
    let mut head = datagram.head;
    // One step a datagram is enough, unless readers raced.
    if head != datagram.tail && is_before(datagram.marks[slot(head)], number) {
        head = head.wrapping_add(1);
        if head != datagram.tail && is_before(datagram.marks[slot(head)], number) {
            head = head.wrapping_add(1);
        }
        datagram.head = head;
    }
    if head == datagram.tail {
        return;
    }
    let stamp = datagram.marks[slot(head)];
    if is_before(stamp, number) {
        return;
    }
    let came_ns = (stamp >> MARK_TIME_SHIFT) << MARK_UNIT_SHIFT;
    let waited_ns = if ts_ns > came_ns { ts_ns - came_ns } else { 0 };
    if stamp & MARK_LATE != 0 {
        add(&raw mut datagram.at_least, 1);
    }
    // The verifier has to see the bound, which the compiler would prove and leave away.
    let bucket = abi::latency_bucket(waited_ns / 1_000) as u32;
    // SAFETY: a local.
    let bucket =
        unsafe { (&raw const bucket).read_volatile() } as usize & (abi::LATENCY_BUCKETS - 1);
    datagram.latencies[bucket] += 1;
    if waited_ns > datagram.longest_ns {
        datagram.longest_ns = waited_ns;
    }
    let period = PERIOD.get(0).copied().unwrap_or_default();
    if period & 1 == 0 {
        raise(datagram, 0, period, 0, waited_ns);
    } else {
        raise(datagram, 1, period, 0, waited_ns);
    }
}

/// Raises the peaks of a refresh period. `slot` must be a constant, so that no bounds check
/// remains.
#[inline(always)]
fn raise(mut datagram: Live<Datagram>, slot: usize, period: u32, bytes: u32, waited_ns: u64) {
    if datagram.period[slot] != period.wrapping_add(1) {
        datagram.period[slot] = period.wrapping_add(1);
        datagram.peak[slot] = 0;
        datagram.longest_in_ns[slot] = 0;
    }
    if bytes > datagram.peak[slot] {
        datagram.peak[slot] = bytes;
    }
    if waited_ns > datagram.longest_in_ns[slot] {
        datagram.longest_in_ns[slot] = waited_ns;
    }
}
