//! Log lines for developers: a hook, a socket, and what was decided of it. They are there with the
//! feature `log` alone (`cargo xtask probes --log`); without it nothing of them is left.

/// Logs what a hook decided of a socket. Each line is a function of its own, for the room on the
/// stack.
#[cfg(feature = "log")]
macro_rules! decided {
    ($hook:literal, $sk:expr, $decision:literal) => {{
        #[inline(never)]
        fn line(sk: u64) {
            let address = $crate::log::number(sk);
            aya_log_ebpf::debug!((), "{} sock {:x}: {}", $hook, address, $decision);
        }
        line($sk as u64);
    }};
}
#[cfg(not(feature = "log"))]
macro_rules! decided {
    ($hook:literal, $sk:expr, $decision:literal) => {};
}

#[cfg(feature = "log")]
mod pointers {
    use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};

    use crate::live::Find;

    #[btf_map]
    static POINTER: PerCpuArray<u64, 1> = PerCpuArray::new();

    /// Makes a number of what may be a pointer: the verifier lets nobody take one to pieces, and
    /// forgets what it was once it has been in a map.
    #[inline(always)]
    pub(crate) fn number(pointer: u64) -> u64 {
        let Some(place) = POINTER.find(0) else { return 0 };
        // SAFETY: a value of the map, aligned. Volatile since it is to go through memory.
        unsafe {
            place.as_ptr().write_volatile(pointer);
            place.as_ptr().read_volatile()
        }
    }
}
#[cfg(feature = "log")]
pub(crate) use pointers::number;
