//! Placeholder that proves the build: counts processes that exec.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::PerCpuArray,
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};

#[btf_map]
static COUNTERS: PerCpuArray<u64, { backscope_abi::counter::COUNT as usize }> = PerCpuArray::new();

#[btf_tracepoint(function = "sched_process_exec")]
fn exec(_ctx: BtfTracePointContext) -> i32 {
    if let Some(count) = COUNTERS.get_ptr_mut(backscope_abi::counter::SEEN) {
        // SAFETY: the pointer is to this CPU's slot, and a tracing program does not nest on itself.
        unsafe { *count += 1 };
    }
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
