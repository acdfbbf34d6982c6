//! The places in which the probes hand over first bytes: memory that both sides write.
#![expect(unsafe_code, reason = "the kernel fills this memory, and aya maps no array")]

use std::{
    os::fd::{AsFd, AsRawFd},
    ptr::{self, NonNull},
    slice,
};

use aya::{
    Ebpf,
    maps::{Map, MapData, Stack},
};
use backscope_abi::PLACE_BYTES;
use zeroize::Zeroize;

use super::{error::SensorError, maps};

const PLACE: usize = PLACE_BYTES as usize;
const FREE: &str = "FREE_PLACES";

/// The places, each of which is blank while no bytes are on their way in it.
///
/// [`Places::look`] is called once for each record of first bytes.
pub(super) struct Places {
    memory: NonNull<u8>,
    count: u32,
    /// Numbers of those that are free: the probes take one from here for each record.
    free: Stack<MapData, u32>,
}

// SAFETY: the mapping is the process's, and reached through this alone.
unsafe impl Send for Places {}

/// Frees all places, before anything is attached that takes one.
pub(super) fn free_all(ebpf: &mut Ebpf) -> Result<(), SensorError> {
    let Some(map) = ebpf.map_mut(FREE) else { return Err(maps::missing(FREE)) };
    let push = || {
        let mut free = Stack::try_from(map)?;
        for place in 0..free.capacity() {
            free.push(place, 0)?;
        }
        Ok(())
    };
    push().map_err(|error| maps::failed(FREE, &error))
}

impl Places {
    /// Maps the memory.
    ///
    /// # Errors
    /// The kernel refuses, for want of address space.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, SensorError> {
        const NAME: &str = "FIRST_BYTES";
        let free: Stack<MapData, u32> = maps::take(ebpf, FREE)?;
        let count = free.capacity();
        let Some(Map::Array(array)) = ebpf.map(NAME) else { return Err(maps::missing(NAME)) };
        let (descriptor, length) = (array.fd().as_fd().as_raw_fd(), count as usize * PLACE);
        // SAFETY: a new mapping, where the kernel has room; the length is that of the map's values,
        // which it rounds up to whole pages as we do.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor,
                0,
            )
        };
        let error = std::io::Error::last_os_error();
        let memory = if memory == libc::MAP_FAILED { ptr::null_mut() } else { memory };
        match NonNull::new(memory.cast::<u8>()) {
            Some(memory) => Ok(Self { memory, count, free }),
            None => Err(SensorError::Map { map: NAME, reason: error.to_string() }),
        }
    }

    /// Shows the bytes that a record names. Afterwards they are gone, and their place is free.
    pub(super) fn look<T>(
        &mut self,
        place: u32,
        length: u32,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        if place >= self.count {
            return None;
        }
        // SAFETY: within the mapping. From its record until it is free again the place is ours: the
        // probes write only to places that they took from the free ones.
        let bytes = unsafe {
            slice::from_raw_parts_mut(self.memory.add(place as usize * PLACE).as_ptr(), PLACE)
        };
        let seen = bytes.get(..length as usize).map(look);
        bytes.zeroize();
        // There is room for every place, and each is given back once.
        let _ = self.free.push(place, 0);
        seen
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let length = self.count as usize * PLACE;
        // SAFETY: the mapping of `new`, all of it and for the last time. A probe that still fills a
        // place reaches it by the map; these are plain bytes, which any value may be in.
        unsafe {
            ptr::write_bytes(self.memory.as_ptr(), 0, length);
            libc::munmap(self.memory.as_ptr().cast(), length);
        }
    }
}
