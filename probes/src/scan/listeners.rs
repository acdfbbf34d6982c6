//! Listening sockets, TCP and Unix-domain, and who holds them.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated;
use backscope_abi as abi;
use backscope_abi::Listener;
use backscope_abi::tcp_state::TCP_LISTEN;

use super::{typed, write};
use crate::{
    id::{cookie_of, id_of},
    kernel::{IPPROTO_MPTCP, accept_queue, config, load, local_of, offset, read, sock_of_socket},
    listener::{listener_at, note_change, watch},
    live::Live,
    target::is_target,
};

/// Shows a listening socket on a watched port that is no target's. A function of its own for the
/// room on the stack.
#[inline(never)]
pub(super) fn other(seq: *mut c_void, sk: *const c_void, tgid: u32, task: *const c_void) {
    let net = read!(sk, skc_net as u64) as *const c_void;
    let [depth, limit] = accept_queue(sk);
    let entry = abi::ScanOther {
        tag: abi::SCAN_OTHER,
        tgid,
        sk: sk as u64,
        depth,
        limit,
        netns: read!(net, net_inum as u32),
        _pad: 0,
        netns_cookie: read!(net, net_cookie as u64),
        local: local_of(sk),
        comm: read!(task, task_comm as [u8; 16]),
    };
    write(seq, &entry);
}

/// Shows a listener. A function of its own for the room on the stack.
#[inline(never)]
pub(super) fn listener(
    seq: *mut c_void,
    sk: *const c_void,
    file: *mut c_void,
    task: *const c_void,
    fd: u32,
) {
    let (tgid, comm) = (read!(task, task_tgid as u32), read!(task, task_comm as [u8; 16]));
    let Some((id, mut listener)) = found(sk, file, tgid, comm) else { return };
    let net = read!(sk, skc_net as u64) as *const c_void;
    let (drops, somaxconn) = (read!(sk, sk_drops as u32), read!(net, net_somaxconn as u32));
    listener.drops = drops;
    listener.somaxconn = somaxconn;
    listener.syncookies = read!(net, net_syncookies as u8);
    listener.syn_retries = read!(net, net_syn_retries as u8);
    listener.syn_linear_timeouts = read!(net, net_syn_linear_timeouts as u8);
    listener.abort_on_overflow = read!(net, net_abort_on_overflow as u8);
    listener.defer_accept = read!(sk, defer_accept as u8);
    note_change(listener, sk, 0, 0, true);
    write(seq, &abi::ScanEntry { tag: abi::SCAN_LISTENER, _pad: 0, listener: id, tgid, fd, comm });
}

/// The listener at `sk`, watched from now on if it was not.
#[inline(always)]
pub(super) fn found(
    sk: *const c_void,
    file: *mut c_void,
    tgid: u32,
    comm: [u8; 16],
) -> Option<(u64, Live<Listener>)> {
    if let Some(known) = listener_at(sk) {
        return Some(known);
    }
    let mut id = 0;
    if config!(typed_files) != 0 {
        let typed = typed(file);
        if typed.is_null() {
            return None;
        }
        // No file leads to the subflow that listens for a Multipath TCP socket.
        if load!(typed, sk_protocol as u16) != IPPROTO_MPTCP {
            id = cookie_of(typed);
        }
    }
    watch(sk, if id != 0 { id } else { id_of(sk) }, tgid, comm, -1);
    listener_at(sk)
}

/// Shows a listening Unix-domain socket of a target. Its accept queue is its receive queue, with a
/// packet for each connection (`unix_stream_connect`, 5.10 to 7.3). A function of its own for the
/// same reason.
#[inline(never)]
pub(super) fn unix(seq: *mut c_void, file: *mut c_void, tgid: u32, task: *const c_void) {
    const AF_UNIX: u16 = 1;
    /// The family before the path.
    const FAMILY: u32 = 2;
    let sk = sock_of_socket(file);
    if sk.is_null()
        || read!(sk, skc_family as u16) != AF_UNIX
        || read!(sk, skc_state as u8) != TCP_LISTEN
    {
        return;
    }
    if !is_target(tgid) {
        return;
    }
    let net = read!(sk, skc_net as u64) as *const c_void;
    let address = read!(sk, unix_addr as u64) as *const c_void;
    let mut entry = MaybeUninit::<abi::ScanUnix>::uninit();
    let at = entry.as_mut_ptr();
    // SAFETY: every field is written; the helper fills the whole path, with zeroes where the
    // address is bad.
    unsafe {
        (*at).tag = abi::SCAN_UNIX;
        (*at).tgid = tgid;
        (*at).sock = unix_id(file, sk);
        (*at).depth = read!(sk, sk_receive_qlen as u32);
        (*at).limit = read!(sk, sk_max_ack_backlog as u32);
        (*at).length = read!(address, unix_addr_len as u32).saturating_sub(FAMILY);
        (*at).netns = read!(net, net_inum as u32);
        (*at).comm = read!(task, task_comm as [u8; 16]);
        let path = address.wrapping_byte_add((offset!(unix_addr_name) as u32 + FAMILY) as usize);
        generated::bpf_probe_read_kernel((&raw mut (*at).path).cast(), abi::UNIX_PATH as u32, path);
        write(seq, at);
    }
}

/// The id of a Unix-domain socket: its cookie, or where programs can't ask for one its address,
/// with a bit that no cookie has.
#[inline(always)]
fn unix_id(file: *mut c_void, sk: *const c_void) -> u64 {
    if config!(typed_files) != 0 && config!(socket_cookie) != 0 {
        let typed = typed(file);
        if !typed.is_null() {
            return cookie_of(typed);
        }
    }
    1 << 63 | sk as u64
}
