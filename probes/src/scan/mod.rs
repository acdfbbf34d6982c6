//! The iterator over open files: finds listeners that existed before the attach or came by a silent
//! way, says who holds them, and reads their queues at each refresh.

mod connections;
mod listeners;

use core::ffi::c_void;

use aya_ebpf::helpers::generated;
use backscope_abi as abi;
use backscope_abi::tcp_state::TCP_LISTEN;

use crate::{
    datagram::{self, watches_datagrams},
    kernel::{config, protocol_of_file, read, sk_of, sock_of_file, sock_of_socket},
    live::Find,
    maps::CENSUS,
    target::{is_served, is_wanted},
};
use connections::{connection, held};
use listeners::{listener, other, unix};

const IPPROTO_UDP: u16 = 17;

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

/// proto: 5.10..7.3 kernel/bpf/task_iter.c: int bpf_iter_task_file(struct bpf_iter_meta *meta,
///     struct task_struct *task, u32 fd, struct file *file)
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn scan(ctx: *mut TaskFile) -> i32 {
    // SAFETY: the context is as the kernel made it, readable in full.
    let (meta, task, fd, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).fd, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return 0;
    }
    let tgid = read!(task, task_tgid as u32);
    // SAFETY: `meta` is valid for the run.
    let seq = unsafe { (*meta).seq };
    let sk = sock_of_file(file);
    if sk.is_null() {
        unix(seq, file, tgid, task);
    } else if read!(sk, skc_state as u8) == TCP_LISTEN {
        if is_wanted(sk, tgid) {
            listener(seq, sk, file, task, fd);
        } else if is_served(read!(sk, skc_num as u16)) {
            other(seq, sk, tgid, task);
        }
    }
    0
}

/// Connections and UDP sockets of the targets. It runs once all listeners are known, so that it can
/// tell which side accepted.
/// proto: 5.10..7.3 kernel/bpf/task_iter.c: int bpf_iter_task_file(struct bpf_iter_meta *meta,
///     struct task_struct *task, u32 fd, struct file *file)
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn scan_connections(ctx: *mut TaskFile) -> i32 {
    // SAFETY: the context is as the kernel made it, readable in full.
    let (meta, task, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return 0;
    }
    let tgid = read!(task, task_tgid as u32);
    // SAFETY: `meta` is valid for the run.
    let seq = unsafe { (*meta).seq };
    let sk = sock_of_file(file);
    if !sk.is_null() {
        if is_census() && read!(sk, skc_state as u8) != TCP_LISTEN && !held(seq, sk, file, tgid) {
            return 0;
        }
        connection(seq, sk, file, tgid);
    } else if watches_datagrams() && protocol_of_file(file) == IPPROTO_UDP {
        datagram(seq, file, tgid, task);
    }
    0
}

#[inline(always)]
fn is_census() -> bool {
    match CENSUS.find(0) {
        Some(census) => *census != 0,
        None => false,
    }
}

/// Writes an entry. False if the buffer is full: then nothing of the present file goes out, and the
/// iterator comes back to it.
#[inline(always)]
fn write<T>(seq: *mut c_void, entry: *const T) -> bool {
    // SAFETY: the iterator's own file; the entry is initialised, without padding.
    unsafe {
        generated::bpf_seq_write(seq.cast(), entry.cast_mut().cast(), size_of::<T>() as u32) == 0
    }
}

/// The socket behind a file, as one that the verifier knows: only this helper gives such a one.
#[inline(always)]
fn typed(file: *mut c_void) -> *mut c_void {
    // SAFETY: the file is live while the iterator shows it.
    let socket = unsafe { generated::bpf_sock_from_file(file.cast()) };
    if socket.is_null() {
        return core::ptr::null_mut();
    }
    sk_of(socket.cast())
}

/// Shows a UDP socket. A function of its own for the room on the stack.
#[inline(never)]
fn datagram(seq: *mut c_void, file: *mut c_void, tgid: u32, task: *const c_void) {
    let knows = config!(typed_files) != 0;
    let sk = if knows { typed(file) } else { sock_of_socket(file).cast_mut() };
    if sk.is_null() || !is_wanted(sk, tgid) {
        return;
    }
    if let Some(key) = datagram::held(sk, knows, tgid, read!(task, task_comm as [u8; 16])) {
        write(seq, &abi::ScanDatagram { tag: abi::SCAN_DATAGRAM, tgid, key });
    }
}
