//! Lists the BPF programs, maps and links that a process holds, and checks whether they still
//! exist.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::Context;

/// A BPF object of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A program, by id.
    Program(u32),
    /// A map, by id.
    Map(u32),
    /// A link, by id.
    Link(u32),
}

/// Returns all BPF objects of which the process holds descriptors.
pub fn held_by(pid: u32) -> anyhow::Result<BTreeSet<Object>> {
    let mut held = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("reading fdinfo")? {
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let id = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .and_then(|value| value.trim().parse::<u32>().ok())
        };
        // A link names its program, too. The link is the object that is held.
        held.extend(
            id("link_id:").map(Object::Link).or_else(|| id("prog_id:").map(Object::Program)),
        );
        held.extend(id("map_id:").map(Object::Map));
    }
    Ok(held)
}

/// Counts the runs of the process's programs that the kernel skipped because the program ran on
/// that processor already (from 5.12 on).
pub fn skipped_runs(pid: u32) -> u64 {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let misses = |text: String| {
        text.lines()
            .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse::<u64>().ok())
    };
    infos.filter_map(|entry| misses(fs::read_to_string(entry.path()).ok()?)).sum()
}

/// Returns whether the kernel still has the object.
pub fn exists(object: Object) -> bool {
    const PROG_GET_NEXT_ID: i32 = 11;
    const MAP_GET_NEXT_ID: i32 = 12;
    const LINK_GET_NEXT_ID: i32 = 31;
    let (command, id) = match object {
        Object::Program(id) => (PROG_GET_NEXT_ID, id),
        Object::Map(id) => (MAP_GET_NEXT_ID, id),
        Object::Link(id) => (LINK_GET_NEXT_ID, id),
    };
    // struct { start_id, next_id, open_flags } of union bpf_attr.
    let mut attr = [id.saturating_sub(1), 0u32, 0];
    // SAFETY: the pointer and the size describe `attr`, which these commands read and write.
    let status =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(&attr)) };
    status == 0 && attr[1] == id
}

/// Returns one of the process's probe counters, summed over the processors.
pub fn counter(pid: u32, index: u32) -> anyhow::Result<u64> {
    sum_of(pid, *b"COUNTERS", index)
}

/// Returns what the probes know of the hooks of accept: one of [`backscope_abi::suspension`].
pub fn suspension(pid: u32) -> anyhow::Result<u64> {
    sum_of(pid, *b"SUSPENSI", 0)
}

/// Returns one element of an array of the process, by the first eight bytes of its name; summed over
/// the processors if it is one for each.
fn sum_of(pid: u32, name: [u8; 8], index: u32) -> anyhow::Result<u64> {
    const MOST_PROCESSORS: usize = 8_192;
    for object in held_by(pid)? {
        let Object::Map(id) = object else { continue };
        let map = open_map(id).with_context(|| format!("opening map {id}"))?;
        if name_of(&map)? == name {
            let mut values = vec![0u64; MOST_PROCESSORS];
            let mut attr = [0u64; 4];
            attr[0] = map.as_raw_fd() as u64;
            attr[1] = (&raw const index) as u64;
            attr[2] = values.as_mut_ptr() as u64;
            call(MAP_LOOKUP_ELEM, &mut attr).context("reading a counter")?;
            return Ok(values.iter().sum());
        }
    }
    anyhow::bail!("process {pid} has no map {}", String::from_utf8_lossy(&name))
}

const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;

/// Calls `bpf(2)`. Memory that the attributes point to must be as long as the command wants it.
fn call(command: i32, attr: &mut [u64]) -> io::Result<i64> {
    // SAFETY: the pointer and the size describe `attr`; what that points to is the caller's
    // promise.
    let status =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

fn open_map(id: u32) -> io::Result<OwnedFd> {
    let descriptor = call(MAP_GET_FD_BY_ID, &mut [id.into(), 0])?;
    // SAFETY: a descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// The first eight bytes of a map's name.
fn name_of(map: &OwnedFd) -> io::Result<[u8; 8]> {
    let info = info_of(map)?;
    Ok(std::array::from_fn(|at| info[24 + at]))
}

fn info_of(map: &OwnedFd) -> io::Result<[u8; 40]> {
    // struct bpf_map_info: six numbers, then the name of 16 bytes.
    let mut info = [0u8; 40];
    let length = info.len() as u64;
    call(
        OBJ_GET_INFO_BY_FD,
        &mut [map.as_raw_fd() as u64 | length << 32, info.as_mut_ptr() as u64],
    )?;
    Ok(info)
}

/// True if agents keep connections in a hash here in place of socket storage, which has no compact
/// form of an idle one: the verifier of this kernel knows no socket behind a file. The agent holds no
/// descriptor of that map, so that all maps of the machine are looked at.
pub fn keeps_connections_in_a_hash() -> bool {
    const MAP_GET_NEXT_ID: i32 = 12;
    // struct { start_id, next_id, open_flags } of union bpf_attr.
    let mut attr = [0u32; 3];
    loop {
        // SAFETY: the pointer and the size describe `attr`, which this command reads and writes.
        let status = unsafe {
            libc::syscall(libc::SYS_bpf, MAP_GET_NEXT_ID, attr.as_mut_ptr(), size_of_val(&attr))
        };
        if status < 0 {
            return false;
        }
        attr[0] = attr[1];
        // It may have gone meanwhile.
        let Ok(info) = open_map(attr[1]).and_then(|map| info_of(&map)) else { continue };
        let entries = u32::from_ne_bytes([info[16], info[17], info[18], info[19]]);
        // Elsewhere it has one entry, and storage has none.
        if info[24..32] == *b"OTHERS\0\0" && entries > 1 {
            return true;
        }
    }
}
