//! Counters of the probes that a process holds, read from the kernel.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};

use super::kernel;

/// The probes' map of counters.
pub(super) struct Counters(OwnedFd);

impl Counters {
    /// Opens the counters of the process's probes.
    pub(super) fn of(pid: u32) -> Result<Self> {
        for id in kernel::map_ids(pid)? {
            let map = open(id).with_context(|| format!("opening map {id}"))?;
            if name(&map)? == *b"COUNTERS" {
                return Ok(Self(map));
            }
        }
        anyhow::bail!("process {pid} has no counters")
    }

    /// Returns one of `backscope_abi::counter`, summed over the processors.
    pub(super) fn get(&self, index: u32) -> Result<u64> {
        const MAP_LOOKUP_ELEM: i32 = 1;
        const MOST_PROCESSORS: usize = 8_192;
        let mut values = vec![0u64; MOST_PROCESSORS];
        let map = self.0.as_raw_fd() as u64;
        let mut attr = [map, (&raw const index) as u64, values.as_mut_ptr() as u64, 0];
        call(MAP_LOOKUP_ELEM, &mut attr).context("reading a counter")?;
        Ok(values.iter().sum())
    }
}

/// Calls `bpf(2)`. Memory that the attributes point to must be as long as the command wants it.
fn call(command: i32, attr: &mut [u64]) -> io::Result<i64> {
    // SAFETY: the pointer and the size describe `attr`; what that points to is the caller's
    // promise.
    let status =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

fn open(id: u64) -> io::Result<OwnedFd> {
    const MAP_GET_FD_BY_ID: i32 = 14;
    let descriptor = call(MAP_GET_FD_BY_ID, &mut [id, 0])?;
    // SAFETY: a descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// The first eight bytes of a map's name.
fn name(map: &OwnedFd) -> io::Result<[u8; 8]> {
    const OBJ_GET_INFO_BY_FD: i32 = 15;
    // struct bpf_map_info: six numbers, then the name of 16 bytes.
    let mut info = [0u8; 40];
    let length = info.len() as u64;
    call(
        OBJ_GET_INFO_BY_FD,
        &mut [map.as_raw_fd() as u64 | length << 32, info.as_mut_ptr() as u64],
    )?;
    Ok(std::array::from_fn(|at| info[24 + at]))
}
