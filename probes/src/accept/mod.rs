//! Accept: the thread that takes a connection, when it asked and got it, and how long the
//! connection had waited.

mod call;
mod functions;
mod kept;
mod syscalls;
mod uring;

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use backscope_abi as abi;
use backscope_abi::{Call, Connection, Queued, counter};

pub(crate) use self::{
    call::call_of,
    kept::{is_kept, queued_ns, tell, tell_kept},
    syscalls::syscall_arg,
};
use crate::{
    connection::find_by_number,
    id::id_of,
    kernel::{Head, comm, current, jiffies, read, write_ends},
    listener::note_change,
    live::{Find, Live},
    maps::{EVENTS, LISTENERS, QUEUED, add, count},
    queue::queued,
    suspend::was_stateless,
    unstated::taken_unseen,
};

const _: () = assert!(size_of::<Head>() <= size_of::<abi::Accept>());

/// The connection `child` is the application's now. `call` is blank when it began before the
/// attach, or could not be seen (io_uring on the tracepoint tier); then the connection is ours only
/// if we saw it queued.
///
/// Blank values instead of `Option`: for the payload of a `None` the compiler may read stack that
/// was never written, which kernels before 6.3 refuse.
///
/// True if it was seen queued.
#[inline(always)]
fn accepted(
    child: *const c_void,
    thread: u64,
    call: Call,
    fd: i32,
    ts_ns: u64,
    late: bool,
) -> bool {
    let queued = queued(child);
    let _ = QUEUED.remove(child as u64);
    accepted_as(child, queued, thread, call, fd, ts_ns, late, None)
}

/// Reports an accepted connection, with what is known of its time in the queue. The caller forgets
/// that it was there. The report of a `connection` may be kept.
#[inline(always)]
pub(crate) fn accepted_as(
    child: *const c_void,
    mut queued: Queued,
    thread: u64,
    call: Call,
    fd: i32,
    ts_ns: u64,
    late: bool,
    connection: Option<Live<Connection>>,
) -> bool {
    let id = if call.listener != 0 { call.listener } else { queued.listener };
    if id == 0 {
        return false;
    }
    let seen_queued = queued.listener != 0;
    if !seen_queued && was_stateless(established_ns(child)) && find_by_number(child).is_none() {
        // No state change was seen when it was queued.
        queued.sock = id_of(child);
        let _ = taken_unseen(child, queued.sock, thread);
    }
    let mut depth = 0;
    if let Some(mut listener) = LISTENERS.find(id) {
        add(&raw mut listener.accepted, 1);
        depth = note_change(listener, listener.sk as *const c_void, 0, 1, false);
    }
    let mut age_jiffies = 0;
    if queued.queued_ns == 0 {
        if queued.sock == 0 {
            queued.sock = id_of(child);
        }
        queued.queued_ns = established_ns(child);
        if queued.queued_ns == 0 {
            age_jiffies = age(child);
        }
    }
    let facts = Facts {
        listener: id,
        sock: queued.sock,
        fd,
        late,
        ts_ns,
        entered_ns: call.entered_ns,
        queued_ns: queued.queued_ns,
        age_jiffies,
        thread,
        srtt_us: read!(child, srtt_us as u32),
        depth,
        port: 0,
        drawn: false,
        untold: 0,
    };
    if let Some(connection) = connection
        && kept::keep(connection, &facts)
    {
        return seen_queued;
    }
    report(child, &facts, comm());
    seen_queued
}

/// What accept shows of a connection, beyond its ends.
struct Facts {
    listener: u64,
    sock: u64,
    fd: i32,
    late: bool,
    ts_ns: u64,
    entered_ns: u64,
    queued_ns: u64,
    age_jiffies: u32,
    thread: u64,
    srtt_us: u32,
    depth: u32,
    /// The local port; 0 if the socket has it.
    port: u16,
    drawn: bool,
    untold: u16,
}

#[inline(always)]
fn report(child: *const c_void, facts: &Facts, comm: [u8; 16]) {
    count(counter::SEEN);
    // No closure: the compiler leaves one of this size out of line, where its captures take the
    // caller's stack.
    let Some(mut entry) = EVENTS.reserve_untyped::<abi::Accept>(0) else {
        return count(counter::RING_FULL);
    };
    // SAFETY: memory of the ring for one record, every field of which is written here.
    let mut record: Live<abi::Accept> = unsafe { Live::from_ptr(entry.as_mut_ptr()) };
    let head = record.as_ptr().cast();
    // SAFETY: the record is long enough to read the socket to, and filled only then: the stack is
    // short.
    unsafe { write_ends(child, head, &raw mut record.local, &raw mut record.peer) };
    record.kind = abi::ACCEPT;
    record.fd = facts.fd;
    record.ts_ns = facts.ts_ns;
    record.entered_ns = facts.entered_ns;
    record.queued_ns = facts.queued_ns;
    record.age_jiffies = facts.age_jiffies;
    if facts.port != 0 {
        record.local.port = facts.port;
    }
    record.late = facts.late as u8;
    record.drawn = facts.drawn as u8;
    record.untold = facts.untold;
    record.listener = facts.listener;
    record.sock = facts.sock;
    record.tgid = (facts.thread >> 32) as u32;
    record.tid = facts.thread as u32;
    record.srtt_us = facts.srtt_us;
    record.depth = facts.depth;
    record.comm = comm;
    entry.submit(BPF_RB_NO_WAKEUP.into());
}

/// The application reads or writes for the first time. If the connection is still taken for queued,
/// the kernel skipped the probe at accept's return, since it had preempted another run of it on
/// this processor (`recursion_misses`). A function of its own for the room on the stack.
#[inline(never)]
pub(crate) fn first_used(child: *const c_void, ts_ns: u64) {
    if QUEUED.find(child as u64).is_some() {
        accepted(child, current(), Call::default(), -1, ts_ns, true);
    }
}

/// Time at which a connection was established, to a microsecond, or 0: the final ACK had just put it
/// into the accept queue. `tcp_init_buffer_space` notes it when the child handles that ACK, and the
/// first read notes another, which nobody can make before accept (5.10 to 7.3). A child by TCP Fast
/// Open has read no clock yet.
#[inline(always)]
pub(crate) fn established_ns(child: *const c_void) -> u64 {
    read!(child, rcvq_time as u64) * 1_000
}

/// Jiffies since a connection was born: `tcp_create_openreq_child` sets `lsndtime` to the jiffies
/// of that moment, and it stays until data are sent, which nobody can do before accept (5.10 to
/// 7.3).
#[inline(always)]
fn age(child: *const c_void) -> u32 {
    jiffies().wrapping_sub(read!(child, lsndtime as u32))
}
