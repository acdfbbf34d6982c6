//! The kernel half of backscope: records facts and times, never judges. One file a life stage.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(
    internal_features,
    reason = "the BPF target has no AtomicU64::fetch_add, only the intrinsic behind it"
)]

mod accept;
mod ack;
mod close;
mod compact;
mod connect;
mod connection;
mod datagram;
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
mod process;
mod queue;
mod receive;
mod scan;
mod segment;
mod send;
mod storage;
mod suspend;
mod tag;
mod target;
mod tcp;
mod threads;

/// Helpers such as `bpf_probe_read_kernel` are for programs under a GPL-compatible licence only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
