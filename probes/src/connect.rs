//! A watched process asks for a connection, and gets it or not.

use core::{
    ffi::c_void,
    mem::{MaybeUninit, offset_of},
};

use aya_ebpf::{
    macros::{cgroup_sock_addr, fexit},
    programs::{FExitContext, SockAddrContext},
};
use backscope_abi as abi;
use backscope_abi::errno::EADDRNOTAVAIL;
use backscope_abi::{Connection, Endpoint, Exchange, attempt, counter, ending, role, why};

use crate::{
    connection::{asked_for, connection_of, open, set_up},
    era::is_pause,
    id::{cookie_of, own_id},
    kernel::{current, load, mapped, now, offset, read, read_at, write_ends},
    live::Live,
    maps::{count, emit_with},
    target::is_target,
};

pub(crate) const SHUT: u8 = 3;

/// Where the address that was asked for stands, 24 bytes, until there is a connection: in what
/// holds come to be counted in.
#[inline(always)]
fn place_of_address(connection: Live<Connection>) -> Live<[u64; 3]> {
    const AT: usize = offset_of!(Connection, exchange) + offset_of!(Exchange, held_us);
    const {
        assert!(
            AT % 8 == 0 && offset_of!(Exchange, pause_cpu_us) - offset_of!(Exchange, held_us) == 24
        )
    };
    // SAFETY: within the value, aligned, and of that length.
    unsafe { Live::from_ptr(connection.as_ptr().wrapping_byte_add(AT).cast()) }
}

/// The state of a socket becomes SYN_SENT: in the thread that called connect.
#[inline(always)]
pub(crate) fn asked(sk: *mut c_void) {
    let thread = current();
    let tgid = (thread >> 32) as u32;
    if !is_target(tgid) {
        return;
    }
    if let Some(mut connection) = connection_of(sk) {
        again(connection, cookie_of(sk), tgid);
        connection.exchange.fin_how = ending::SENT;
        connection.exchange.writer.tid = thread as u32;
    } else if !is_pause()
        && let Some(mut connection) = open(sk, cookie_of(sk), role::CLIENT, 0, tgid)
    {
        count(counter::CONNECTS);
        connection.empty_since_ns = now();
        connection.exchange.fin_how = ending::SENT;
        connection.exchange.writer.tid = thread as u32;
    }
}

/// The socket was announced by [`announced`], or has tried before.
#[inline(always)]
pub(crate) fn again(mut connection: Live<Connection>, sock: u64, tgid: u32) {
    if connection.exchange.fin_how != ending::ASKED {
        connection.empty_since_ns = now();
    }
    connection.exchange.fin_by = 0;
    connection.exchange.fin_how = 0;
    connection.exchange.fin_ns = 0;
    connection.why = why::NONE;
    connection.tgid = tgid;
    connection.exchange.sock = sock;
    // What was asked for stood here.
    *place_of_address(connection) = [0; 3];
}

/// The connection was made at this time. Tells when it was asked for, and forgets that: its fields
/// serve others now.
#[inline(always)]
pub(crate) fn made(sk: *const c_void, mut connection: Live<Connection>, ts_ns: u64) {
    let asked_ns = connection.empty_since_ns;
    connection.empty_since_ns = 0;
    connection.exchange.fin_how = 0;
    connection.exchange.writer.tid = 0;
    let (sock, tgid) = (connection.exchange.sock, connection.tgid);
    emit_with(|mut record: Live<abi::Opened>| {
        record.kind = abi::OPENED;
        record.tgid = tgid;
        record.ts_ns = ts_ns;
        record.sock = sock;
        let mut head = MaybeUninit::uninit();
        let (local, peer) = (&raw mut record.local, &raw mut record.peer);
        // SAFETY: a local, and members of the record.
        unsafe { write_ends(sk, head.as_mut_ptr(), local, peer) };
        record.srtt_us = read!(sk, srtt_us as u32);
        record.again = read!(sk, total_retrans as u32);
        record.asked_ns = asked_ns;
    });
}

/// The state of a socket went from SYN_SENT to CLOSE; `closed`: since the application closed it. No
/// SYN is out any more once its answer or the kernel ended the attempt (`tcp_write_queue_purge` comes
/// before); one is if the application gave it up. Without an error none was ever sent
/// (`tcp_v4_connect`, `tcp_v6_connect`: 5.10 to 7.3).
#[inline(always)]
pub(crate) fn failed(sk: *const c_void, mut connection: Live<Connection>, closed: bool) {
    let error = load!(sk, sk_err as u32);
    let unsent = error == 0 && !closed && read!(sk, packets_out as u32) == 0;
    // Nor is the socket shut if it was disconnected, by shutdown() or by connect() to no
    // address.
    let given_up = closed || error == 0 && !unsent;
    connection.exchange.fin_how = ending::NEVER;
    connection.exchange.fin_ns = now();
    let (stage, error, ports) = if unsent {
        (attempt::PORTLESS, EADDRNOTAVAIL, local_ports(sk))
    } else {
        (attempt::SENT, error, 0)
    };
    emit_with(|mut record: Live<abi::Failed>| {
        head_of(record, connection, stage);
        let mut head = MaybeUninit::uninit();
        let (local, peer) = (&raw mut record.local, &raw mut record.peer);
        // SAFETY: a local, and members of the record.
        unsafe { write_ends(sk, head.as_mut_ptr(), local, peer) };
        record.error = error;
        record.soft_error = load!(sk, sk_err_soft as u32);
        record.again = read!(sk, total_retrans as u32);
        record.ports = ports;
        record.closed = given_up as u8;
    });
}

/// Fills in the fields that every record of a failure begins with.
#[inline(always)]
fn head_of(mut record: Live<abi::Failed>, connection: Live<Connection>, stage: u8) {
    record.kind = abi::FAILED;
    record.tgid = connection.tgid;
    record.ts_ns = connection.exchange.fin_ns;
    record.sock = connection.exchange.sock;
    record.asked_ns = connection.empty_since_ns;
    record.tid = connection.exchange.writer.tid;
    record.stage = stage;
    record._pad = [0; 2];
}

/// `ip_local_port_range` of the socket's network namespace, the higher one above 16 bits: two
/// numbers up to 6.7, and then one that has both.
#[inline(always)]
fn local_ports(sk: *const c_void) -> u32 {
    let net = read!(sk, skc_net as u64) as *const c_void;
    let [low, high] = read_at::<[u32; 2]>(net, offset!(net_local_ports));
    if low >> 16 != 0 { low } else { high << 16 | low }
}

/// A connect that ended before the socket changed its state, as far as it was announced: there was
/// no route, or a filter said no. To be called when the socket goes, or tries again.
///
/// `connection` must be one that [`announced`] has filled in.
#[inline(always)]
pub(crate) fn unrouted(connection: Live<Connection>) {
    emit_with(|mut record: Live<abi::Failed>| {
        head_of(record, connection, attempt::UNROUTED);
        let held = place_of_address(connection);
        let peer = (&raw mut record.peer).cast::<[u64; 3]>();
        // SAFETY: an endpoint has three words.
        unsafe { peer.write(*held) };
        record.local = Endpoint::default();
        record.error = 0;
        record.soft_error = 0;
        record.again = 0;
        record.ports = 0;
        record.closed = 0;
    });
}

/// A process asks for a connection, and nothing else has happened yet (`inet_stream_connect`, 5.10
/// to 7.3). Its socket's storage has from now on what it asks for: if it never comes to SYN_SENT,
/// its end reports it.
#[inline(always)]
fn announced(ctx: &SockAddrContext, addr: [u8; 16]) -> i32 {
    const ALLOWED: i32 = 1;
    const IPPROTO_TCP: u32 = 6;
    let thread = current();
    let tgid = (thread >> 32) as u32;
    // SAFETY: the kernel's own context, readable in full.
    let (protocol, port, sk) = unsafe {
        (
            (*ctx.sock_addr).protocol,
            (*ctx.sock_addr).user_port,
            (*ctx.sock_addr).__bindgen_anon_1.sk,
        )
    };
    if protocol != IPPROTO_TCP || is_pause() || !is_target(tgid) || sk.is_null() {
        return ALLOWED;
    }
    let Some(mut connection) = asked_for(sk.cast()) else { return ALLOWED };
    if connection.exchange.fin_how == ending::ASKED {
        unrouted(connection);
    } else if connection.exchange.sock == 0 {
        set_up(connection, own_id(), role::CLIENT, 0, tgid);
    } else if connection.exchange.fin_how != ending::NEVER {
        return ALLOWED;
    }
    count(counter::CONNECTS);
    connection.tgid = tgid;
    connection.exchange.fin_how = ending::ASKED;
    connection.empty_since_ns = now();
    connection.exchange.fin_ns = connection.empty_since_ns;
    connection.exchange.writer.tid = thread as u32;
    // SAFETY: the same bytes.
    let [first, second]: [u64; 2] = unsafe { core::mem::transmute(addr) };
    *place_of_address(connection) = [first, second, u16::from_be(port as u16) as u64];
    ALLOWED
}

/// proto: 5.10..6.18 net/ipv4/tcp_ipv4.c: int tcp_v4_pre_connect(struct sock *sk,
///     struct sockaddr *uaddr, int addr_len)
/// proto: 7.3 net/ipv4/tcp_ipv4.c: int tcp_v4_pre_connect(struct sock *sk,
///     struct sockaddr_unsized *uaddr, int addr_len)
#[cgroup_sock_addr(connect4)]
fn asks_v4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel's own context.
    let addr = unsafe { (*ctx.sock_addr).user_ip4 };
    announced(&ctx, mapped(addr))
}

/// proto: 5.10..6.18 net/ipv6/tcp_ipv6.c: int tcp_v6_pre_connect(struct sock *sk,
///     struct sockaddr *uaddr, int addr_len)
/// proto: 7.3 net/ipv6/tcp_ipv6.c: int tcp_v6_pre_connect(struct sock *sk,
///     struct sockaddr_unsized *uaddr, int addr_len)
#[cgroup_sock_addr(connect6)]
fn asks_v6(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel's own context.
    let addr = unsafe {
        let words = &raw const (*ctx.sock_addr).user_ip6;
        let words = words.cast::<u32>();
        [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ]
    };
    // SAFETY: the same bytes.
    announced(&ctx, unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(addr) })
}

/// Failures of one call that are told by two hooks lie closer than this, ns.
const SAME_NS: u64 = 10_000_000;

/// `tcp_v4_connect` or `tcp_v6_connect` returned an error: its number is known here, and the
/// address that was asked for.
#[inline(always)]
fn returned(sk: *mut c_void, peer: Endpoint, result: i64) {
    let thread = current();
    let tgid = (thread >> 32) as u32;
    if !is_target(tgid) || is_pause() {
        return;
    }
    let connection = connection_of(sk);
    let ts_ns = now();
    if let Some(connection) = connection
        && connection.exchange.fin_how == ending::NEVER
        && connection.exchange.fin_ns + SAME_NS > ts_ns
    {
        // The state change has told.
        return;
    }
    let sock = cookie_of(sk);
    emit_with(|mut record: Live<abi::Failed>| {
        record.kind = abi::FAILED;
        record.tgid = tgid;
        record.ts_ns = ts_ns;
        record.sock = sock;
        record.asked_ns = ts_ns;
        record.local = Endpoint::default();
        record.peer = peer;
        record.tid = thread as u32;
        record.error = -result as u32;
        record.soft_error = 0;
        record.again = 0;
        record.ports = 0;
        record.stage = attempt::UNROUTED;
        record.closed = 0;
        record._pad = [0; 2];
    });
}

/// Return of an IPv4 connect: 0 or an error.
/// proto: 5.10..6.18 net/ipv4/tcp_ipv4.c: int tcp_v4_connect(struct sock *sk,
///     struct sockaddr *uaddr, int addr_len)
/// proto: 7.3 net/ipv4/tcp_ipv4.c: int tcp_v4_connect(struct sock *sk,
///     struct sockaddr_unsized *uaddr, int addr_len)
#[fexit(function = "tcp_v4_connect")]
fn connect_v4_done(ctx: FExitContext) -> i32 {
    let result = ctx.arg::<i32>(3) as i64;
    if result < 0 {
        let to: *const c_void = ctx.arg(1);
        let (port, addr) = (u16::from_be(read_at::<u16>(to, 2)), mapped(read_at::<u32>(to, 4)));
        returned(ctx.arg(0), Endpoint { addr, port, _pad: [0; 3] }, result);
    }
    0
}

/// Return of an IPv6 connect. For an IPv4-mapped address it calls the IPv4 function, whose probe
/// has reported the failure.
/// proto: 5.10..6.18 net/ipv6/tcp_ipv6.c: int tcp_v6_connect(struct sock *sk,
///     struct sockaddr *uaddr, int addr_len)
/// proto: 7.3 net/ipv6/tcp_ipv6.c: int tcp_v6_connect(struct sock *sk,
///     struct sockaddr_unsized *uaddr, int addr_len)
#[fexit(function = "tcp_v6_connect")]
fn connect_v6_done(ctx: FExitContext) -> i32 {
    let result = ctx.arg::<i32>(3) as i64;
    if result < 0 {
        let to: *const c_void = ctx.arg(1);
        let (port, words) = (u16::from_be(read_at::<u16>(to, 2)), read_at::<[u32; 4]>(to, 8));
        if words[0] | words[1] != 0 || words[2] != 0xffff_0000 {
            let addr = read_at::<[u8; 16]>(to, 8);
            returned(ctx.arg(0), Endpoint { addr, port, _pad: [0; 3] }, result);
        }
    }
    0
}
