//! Which BPF programs, maps and links a process holds, and whether they still exist.

use std::collections::BTreeSet;
use std::fs;

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

/// All BPF objects that the process holds descriptors of.
pub fn held_by(pid: u32) -> anyhow::Result<BTreeSet<Object>> {
    let mut held = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("reading fdinfo")? {
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let id = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)).and_then(|value| value.trim().parse::<u32>().ok())
        };
        // A link names its program too; the link is what is attached.
        held.extend(id("link_id:").map(Object::Link).or_else(|| id("prog_id:").map(Object::Program)));
        held.extend(id("map_id:").map(Object::Map));
    }
    Ok(held)
}

/// How often the kernel skipped a program of the process, since one ran on that processor already (from 5.12 on).
pub fn skipped_runs(pid: u32) -> u64 {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let misses =
        |text: String| text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse::<u64>().ok());
    infos.filter_map(|entry| misses(fs::read_to_string(entry.path()).ok()?)).sum()
}

/// Whether the kernel still knows the object.
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
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(&attr)) };
    status == 0 && attr[1] == id
}
