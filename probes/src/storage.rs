//! Values that live with their socket.

use core::ffi::c_void;

use aya_ebpf::{bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE, helpers::generated};
use backscope_abi as abi;

use crate::{
    kernel::{load, offset},
    live::Live,
};

/// Socket storage: a value that lives with its socket.
///
/// Defined here since `aya_ebpf`'s own type has neither the flag for inheritance nor access from
/// tracing programs.
#[repr(C)]
pub(crate) struct SocketStorage<T, const FLAGS: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the pointers describe the map to the loader and are never followed.
unsafe impl<T, const FLAGS: usize> Sync for SocketStorage<T, FLAGS> {}

impl<T, const FLAGS: usize> SocketStorage<T, FLAGS> {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// Finds the value of this socket; made first, all zero, with `flags` 1
    /// (`BPF_SK_STORAGE_GET_F_CREATE`). `sk` must be a pointer that the verifier knows as a socket.
    #[inline(always)]
    pub(crate) fn get(&'static self, sk: *mut c_void, flags: u64) -> Option<Live<T>> {
        if flags == 0 && has_no_storage(sk) {
            return None;
        }
        self.call(sk, core::ptr::null(), flags)
    }

    /// Finds the value of a socket that is known to have storage.
    #[inline(always)]
    pub(crate) fn find(&'static self, sk: *mut c_void) -> Option<Live<T>> {
        self.call(sk, core::ptr::null(), 0)
    }

    /// Finds the value of this socket; made first, a copy of `initial`, if it has none. `None` for
    /// want of memory.
    #[inline(always)]
    pub(crate) fn get_or(&'static self, sk: *mut c_void, initial: *const T) -> Option<Live<T>> {
        match self.call(sk, initial, 1) {
            Some(value) => Some(value),
            // Another processor may have made it in the same moment.
            None => self.find(sk),
        }
    }

    #[inline(always)]
    fn call(&'static self, sk: *mut c_void, initial: *const T, flags: u64) -> Option<Live<T>> {
        let map = (&raw const *self).cast_mut().cast();
        // SAFETY: the helper checks the socket, and the verifier that what `initial` points to is
        // long enough. The value lives as long as the socket, which the caller holds.
        unsafe {
            let value = generated::bpf_sk_storage_get(map, sk, initial.cast_mut().cast(), flags);
            Live::new(value.cast())
        }
    }

    /// Removes the value of this socket. Who has it still may use it until the program ends.
    #[inline(always)]
    pub(crate) fn remove(&'static self, sk: *mut c_void) {
        // SAFETY: the helper checks the socket.
        unsafe { generated::bpf_sk_storage_delete((&raw const *self).cast_mut().cast(), sk) };
    }
}

/// True of most sockets; the test takes no helper call.
#[inline(always)]
pub(crate) fn has_no_storage(sk: *mut c_void) -> bool {
    offset!(sk_bpf_storage) != abi::ABSENT && load!(sk as *const c_void, sk_bpf_storage as u64) == 0
}
