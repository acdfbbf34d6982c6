//! Datagrams of UDP sockets: a bounded number, for the protocol to be told from; of QUIC those of
//! each handshake.

use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};
use backscope_abi as abi;
use backscope_abi::{
    Datagram, DatagramPrefix, Endpoint, Flow, MANY_BYTES, MAX_DATAGRAMS_INSPECTED,
    MAX_FLOW_INSPECTED, PayloadPrefix, counter,
};

use crate::{
    kernel::{AF_INET, AF_INET6, config, mapped, now},
    live::{Find, Live},
    maps::count,
    payload::{self, Buffer, allowed},
    syscall::{Syscall, user},
};

/// Datagrams that were inspected, by socket and peer. Least recently used: QUIC connections end in
/// the application.
#[btf_map]
static FLOWS: LruHashMap<Flow, u32, { abi::MAX_FLOWS as usize }> = LruHashMap::new();

/// Messages of one `recvmmsg` or `sendmmsg` that are found.
const MESSAGES: u32 = 32;
/// Length of `struct mmsghdr`, and where it has the number of bytes that were moved.
const MESSAGE: u64 = 64;
const MOVED: u64 = 56;

/// Bytes of a datagram without a handshake that are read: its head. One less than a power of two.
const HEAD: u32 = 63;

/// Where a datagram is, and the address that the application has for its peer: of a read the kernel
/// fills that in later.
#[derive(Clone, Copy)]
struct Place {
    buffer: Buffer,
    name: u64,
}

const NOWHERE: Place = Place { buffer: Buffer { address: 0, length: 0 }, name: 0 };

/// Tells whether anything of this socket may be captured.
#[inline(always)]
pub(crate) fn may_capture(datagram: Live<Datagram>) -> bool {
    config!(payload_prefix) != 0
        && (datagram.inspected < MAX_DATAGRAMS_INSPECTED || datagram.quic != 0)
}

/// The message that the kernel is at: it notes the size of each one that is done, where the
/// application had 0.
#[inline(always)]
fn message(first: u64) -> u64 {
    let mut at = first;
    for _ in 0..MESSAGES {
        if user::<u32>(at + MOVED) == 0 {
            return at;
        }
        at += MESSAGE;
    }
    0
}

/// Finds what the current system call moves.
#[inline(always)]
fn place(size: u32) -> Place {
    let Some(call) = Syscall::current() else { return NOWHERE };
    let second = call.second();
    let size = size as u64;
    if call.is_read_or_write() {
        return Place { buffer: Buffer { address: second, length: size }, name: 0 };
    }
    if call.is_recvfrom_or_sendto() {
        return Place { buffer: Buffer { address: second, length: size }, name: call.fifth() };
    }
    // `struct user_msghdr`: the name, and at byte 16 the vector.
    let mut header = 0;
    if call.is_recvmsg_or_sendmsg() {
        header = second;
    } else if call.is_recvmmsg_or_sendmmsg() {
        header = message(second);
    }
    if header == 0 {
        return NOWHERE;
    }
    let [address, length] = user::<[u64; 2]>(user(header + 16));
    Place {
        buffer: Buffer { address, length: if length < size { length } else { size } },
        name: user(header),
    }
}

/// An address as the application has it.
#[inline(always)]
fn endpoint(name: u64) -> Endpoint {
    let mut endpoint = Endpoint { addr: [0; 16], port: 0, _pad: [0; 3] };
    if name == 0 {
        return endpoint;
    }
    let [family, port] = user::<[u16; 2]>(name);
    if family == AF_INET6 {
        endpoint.addr = user(name + 8);
    } else if family == AF_INET {
        endpoint.addr = mapped(user(name + 4));
    } else {
        return endpoint;
    }
    endpoint.port = u16::from_be(port);
    endpoint
}

/// Tells whether bytes begin as QUIC of a known version does (RFC 8999).
#[inline(always)]
fn is_quic(begin: [u8; 16]) -> bool {
    let version = u32::from_be_bytes([begin[1], begin[2], begin[3], begin[4]]);
    begin[0] & 0x80 != 0 && (version == 1 || version == 0x6b33_43cf)
}

/// Key of an arriving datagram's connection: the first bytes of the id that it is addressed to.
#[inline(always)]
fn destination(begin: [u8; 16]) -> Endpoint {
    let mut endpoint = Endpoint { addr: [0; 16], port: 0, _pad: [0; 3] };
    let [_, a, b, c, d, e, f, g, h, i, j, k, l, m, ..] = begin;
    let id = if begin[0] & 0x80 == 0 { [a, b, c, d, e, f, g, h] } else { [f, g, h, i, j, k, l, m] };
    endpoint.addr[..8].copy_from_slice(&id);
    endpoint
}

/// Counts a datagram that is inspected. False if there were enough in this flow. A long header
/// belongs to a handshake, which may be that of another connection with the same peer: the count
/// begins again.
#[inline(always)]
fn counted(flow: &Flow, long: bool) -> bool {
    let Some(mut inspected) = FLOWS.find(flow) else {
        let _ = FLOWS.insert(flow, 1, 0);
        return true;
    };
    if long {
        *inspected = 0;
    }
    // A count that races is off by one.
    *inspected += 1;
    *inspected <= MAX_FLOW_INSPECTED
}

/// Captures a datagram that was read (`way` 0) or written (1). A function of its own for the room
/// on the stack.
#[inline(never)]
pub(crate) fn capture(mut datagram: Live<Datagram>, way: u32, size: u32) {
    let place = place(size);
    if place.buffer.length == 0 {
        return;
    }
    let begin: [u8; 16] = user(place.buffer.address);
    if is_quic(begin) {
        datagram.quic = 1;
    }
    let mut flow = Flow { sock: datagram.sock, peer: datagram.peer };
    if flow.peer.port == 0 {
        flow.peer = if way == 0 { destination(begin) } else { endpoint(place.name) };
    }
    let long = begin[0] & 0x80 != 0;
    if datagram.quic != 0 && !counted(&flow, long) {
        return;
    }
    if !allowed() {
        return count(counter::UNINSPECTED);
    }
    datagram.inspected += 1;
    if datagram.quic != 0 && !long {
        // All behind the id is encrypted.
        send::<HEAD>(&flow, way, size, place.buffer);
    } else {
        send::<MANY_BYTES>(&flow, way, size, place.buffer);
    }
}

#[inline(always)]
fn send<const MOST: u32>(flow: &Flow, way: u32, size: u32, buffer: Buffer) {
    let mut peer = flow.peer;
    if peer.port == 0 {
        // No address, but bytes of the datagram.
        peer.addr = [0; 16];
    }
    payload::send::<DatagramPrefix, MOST>(buffer, |place, length| DatagramPrefix {
        head: PayloadPrefix {
            kind: abi::DATAGRAM_PREFIX,
            length,
            sock: flow.sock,
            ts_ns: now(),
            at: size,
            outbound: way as u8,
            last: 1,
            preexisting: 0,
            role: 0,
            fast_open: 0,
            _pad: [0; 3],
            place,
        },
        peer,
    });
}
