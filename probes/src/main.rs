//! The kernel half of backscope: it records facts and times, and never judges.
//!
//! A file imports only files that this list names before it:
//! - access to the kernel and to maps: `log`, `kernel`, `syscall`, `live`, `storage`, `maps`,
//!   `addressed`, `id`, `tcp`
//! - what is watched: `target`, `process`, `suspend`, `listener`, `tag`
//! - what is kept of a connection: `idle`, `connection`, `queue`, `threads`
//! - what is reported: `payload`, `event`, `hold`, `compact`
//! - UDP: `latency`, `flow`, `datagram`
//! - one file a life stage of a connection: `handshake`, `accept`, `connect`, `exchange`, `ack`,
//!   `close`, `receive`, `send`, `segment`, `listen`; `peer_name` stands in for `accept`, and
//!   `unstated` for `listen`
//! - the iterators over open files: `scan`
//!
//! Each program has a `proto:` line: what it hooks, as the kernel declares it, and the versions in
//! which that was read (`xtask/src/proto.rs`).
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(
    internal_features,
    reason = "the BPF target has no AtomicU64::fetch_add, only the intrinsic behind it"
)]

#[macro_use]
mod log;

mod accept;
mod ack;
mod addressed;
mod close;
mod compact;
mod connect;
mod connection;
mod datagram;
mod era;
mod event;
mod exchange;
mod flow;
mod handshake;
mod hold;
mod id;
mod idle;
mod kernel;
mod latency;
mod listen;
mod listener;
mod live;
mod maps;
mod payload;
mod peer_name;
mod process;
mod queue;
mod receive;
mod scan;
mod segment;
mod send;
mod storage;
mod suspend;
mod syscall;
mod target;
mod tcp;
mod thinning;
mod threads;
mod unstated;

/// Helpers such as `bpf_probe_read_kernel` are for programs under a GPL-compatible licence only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
