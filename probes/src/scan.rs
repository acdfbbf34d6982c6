//! The iterator over open files: finds listeners that existed before the attach or came by a silent way, says who holds
//! them, and reads their queues at each refresh.

use core::ffi::c_void;

use aya_ebpf::helpers::generated;
use backscope_abi as abi;
use backscope_abi::Listener;

use crate::{
    kernel::{accept_depth, config, offset, read, sock_of_file},
    maps::{cookie_of, id_of, listener_at, mark, note_depth, wanted, watch},
};

const TCP_LISTEN: u8 = 10;

#[repr(C)]
struct Meta {
    seq: *mut c_void,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
struct TaskFile {
    meta: *mut Meta,
    task: *mut c_void,
    fd: u32,
    _pad: u32,
    file: *mut c_void,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn scan(ctx: *mut TaskFile) -> i32 {
    // SAFETY: the context is as the kernel made it, readable in full.
    let (meta, task, fd, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).fd, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return 0;
    }
    let sk = sock_of_file(file);
    if sk.is_null() || read!(sk, skc_state as u8) != TCP_LISTEN {
        return 0;
    }
    let tgid = read!(task, task_tgid as u32);
    if !wanted(sk, tgid) {
        return 0;
    }
    let comm = read!(task, task_comm as [u8; 16]);
    let Some((id, listener)) = found(sk, file, tgid, comm) else { return 0 };
    let net = read!(sk, skc_net as u64) as *const c_void;
    let (drops, somaxconn) = (read!(sk, sk_drops as u32), read!(net, net_somaxconn as u32));
    // SAFETY: a live map value.
    unsafe {
        (*listener).drops = drops;
        (*listener).somaxconn = somaxconn;
    }
    note_depth(listener, sk, accept_depth(sk));
    let entry = abi::ScanEntry { listener: id, tgid, fd, comm };
    // SAFETY: `meta` is valid for the run; the entry is on the stack, initialised, without padding.
    unsafe {
        generated::bpf_seq_write((*meta).seq.cast(), (&raw const entry).cast(), size_of::<abi::ScanEntry>() as u32)
    };
    0
}

/// The listener at `sk`, watched from now on if it was not.
#[inline(always)]
fn found(sk: *const c_void, file: *mut c_void, tgid: u32, comm: [u8; 16]) -> Option<(u64, *mut Listener)> {
    if let Some(known) = listener_at(sk) {
        return Some(known);
    }
    if config!(queued_by_state) != 0 && config!(sock_from_file) != 0 {
        // Only through this helper is the socket one that the verifier lets us mark.
        // SAFETY: the file is live while the iterator shows it.
        let socket = unsafe { generated::bpf_sock_from_file(file.cast()) };
        if socket.is_null() {
            return None;
        }
        let at = offset!(socket_sk) as usize;
        // SAFETY: a member of a live socket, at its BTF offset.
        let typed = unsafe { socket.cast::<u8>().add(at).cast::<*mut c_void>().read_volatile() };
        if typed.is_null() {
            return None;
        }
        let id = cookie_of(typed);
        if watch(sk, id, tgid, comm, -1) {
            mark(typed, id);
        }
    } else {
        watch(sk, id_of(sk), tgid, comm, -1);
    }
    listener_at(sk)
}
