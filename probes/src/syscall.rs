//! The system call that the current thread is in: its number and its arguments, as the registers
//! have them with which the thread entered the kernel.
//!
//! What a program of 32 bits asks for by its own numbers is not recognised. None of those of the
//! calls that move bytes of a socket, accept or listen is among the numbers here.

use core::ffi::c_void;

use aya_ebpf::helpers::generated;

use crate::kernel::{config, load, read};

/// A system call that has begun and not returned.
#[derive(Clone, Copy)]
pub(crate) struct Syscall {
    registers: *const c_void,
    number: u32,
}

/// Reads a register.
macro_rules! register {
    ($registers:expr, $field:ident as $type:ty) => {
        if config!(task_regs) != 0 {
            // The verifier knows what the helper returned.
            load!($registers, $field as $type)
        } else {
            read!($registers, $field as $type)
        }
    };
}

impl Syscall {
    /// That of the current thread. A thread of the kernel, or one of io_uring, is in none.
    #[inline(always)]
    pub(crate) fn current() -> Option<Self> {
        let registers = registers();
        if registers.is_null() {
            return None;
        }
        Some(Self { registers, number: register!(registers, regs_call as u32) })
    }

    /// Its first argument.
    #[inline(always)]
    pub(crate) fn first(self) -> u64 {
        register!(self.registers, regs_first as u64)
    }

    /// Its second argument.
    #[inline(always)]
    pub(crate) fn second(self) -> u64 {
        register!(self.registers, regs_second as u64)
    }

    /// Its fifth argument.
    #[inline(always)]
    pub(crate) fn fifth(self) -> u64 {
        register!(self.registers, regs_fifth as u64)
    }
}

/// Tells the calls by their numbers: those of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl), then
/// those of arm64 (include/uapi/asm-generic/unistd.h). They never change.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $x86_64:pat, $arm64:pat,)*) => {
        impl Syscall {
            $(
                $(#[$doc])*
                #[inline(always)]
                pub(crate) fn $name(self) -> bool {
                    if config!(arm64) == 0 {
                        matches!(self.number, $x86_64)
                    } else {
                        matches!(self.number, $arm64)
                    }
                }
            )*
        }
    };
}

calls! {
    /// accept, accept4.
    is_accept: 43 | 288, 202 | 242,
    /// listen.
    is_listen: 50, 201,
    /// read, write: the second argument is the buffer.
    is_read_or_write: 0 | 1, 63 | 64,
    /// recvfrom, sendto: the second argument is the buffer, the fifth the address.
    is_recvfrom_or_sendto: 45 | 44, 207 | 206,
    /// readv, writev: the second argument is the vector.
    is_readv_or_writev: 19 | 20, 65 | 66,
    /// recvmsg, sendmsg: the second argument is a message (`struct user_msghdr`).
    is_recvmsg_or_sendmsg: 47 | 46, 212 | 211,
    /// recvmmsg, sendmmsg: the second argument is an array of messages (`struct mmsghdr`).
    is_recvmmsg_or_sendmmsg: 299 | 307, 243 | 269,
}

/// The registers with which the current thread entered the kernel; null if the kernel cannot say.
#[inline(always)]
fn registers() -> *const c_void {
    if config!(task_regs) != 0 {
        // SAFETY: no arguments, no preconditions; the second takes what the first returns.
        return unsafe {
            generated::bpf_task_pt_regs(generated::bpf_get_current_task_btf()) as *const c_void
        };
    }
    // SAFETY: no arguments, no preconditions.
    let task = unsafe { generated::bpf_get_current_task() } as *const c_void;
    let stack = read!(task, task_stack as u64) as *const c_void;
    if stack.is_null() {
        return stack;
    }
    stack.wrapping_byte_add(config!(stack_regs) as usize)
}

/// Reads a value of the application's; zeros where there is none.
#[inline(always)]
pub(crate) fn user<T: Copy + Default>(address: u64) -> T {
    let mut value = T::default();
    // SAFETY: the helper checks the address and always fills the whole value; every T used is plain
    // integers.
    unsafe {
        generated::bpf_probe_read_user(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        );
    }
    value
}
