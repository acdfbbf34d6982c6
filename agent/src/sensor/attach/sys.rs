//! System calls that no library wraps: BPF iterators with a process filter, and system call
//! tracepoints by way of a tracefs of our own.
#![expect(
    unsafe_code,
    reason = "raw bpf(2) and perf_event_open(2): aya offers neither the filter nor a tracefs fd"
)]

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, openat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsmount,
        fsopen,
    },
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::sensor::{error::SensorError, procfs};

const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
const BPF_TRACE_ITER: u32 = 28;

/// `union bpf_attr` as BPF_LINK_CREATE reads it (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    _pad: u32,
}

/// `union bpf_iter_link_info`, its `task` member.
#[repr(C)]
#[derive(Default)]
struct TaskFilter {
    tid: u32,
    pid: u32,
    pid_fd: u32,
    _pad: u32,
}

/// `union bpf_attr` as BPF_ITER_CREATE reads it.
#[repr(C)]
#[derive(Default)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// `union bpf_attr` as BPF_RAW_TRACEPOINT_OPEN reads it. A tracing program names its place itself.
#[repr(C)]
#[derive(Default)]
struct RawTracepoint {
    name: u64,
    prog_fd: u32,
    _pad: u32,
}

fn bpf<T>(command: libc::c_int, attr: &T) -> io::Result<OwnedFd> {
    // SAFETY: `attr` lives through the call, its size is given, and all commands return a new
    // descriptor.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// True if whoever holds a map may read it: before Linux 5.19 every call takes a right, and fails
/// for want of it before it looks at the descriptor.
pub(in crate::sensor) fn bpf_is_open() -> bool {
    const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;
    let no_map = LinkCreate { prog_fd: u32::MAX, ..LinkCreate::default() };
    match bpf(BPF_MAP_GET_NEXT_KEY, &no_map) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::EPERM),
    }
}

/// A task iterator over one process, or over all: it runs as it is read.
///
/// # Errors
/// The kernel refuses; for one process also where it knows no filter (before 6.1).
pub(in crate::sensor) fn task_iterator(
    program: BorrowedFd<'_>,
    pid: Option<u32>,
) -> io::Result<File> {
    let filter = TaskFilter { pid: pid.unwrap_or(0), ..TaskFilter::default() };
    let mut create = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        attach_type: BPF_TRACE_ITER,
        ..LinkCreate::default()
    };
    if pid.is_some() {
        create.iter_info = std::ptr::from_ref(&filter) as u64;
        create.iter_info_len = size_of::<TaskFilter>() as u32;
    }
    let link = bpf(BPF_LINK_CREATE, &create)?;
    let iterator =
        bpf(BPF_ITER_CREATE, &IterCreate { link_fd: link.as_raw_fd() as u32, flags: 0 })?;
    Ok(File::from(iterator))
}

/// Attaches a tracing program that was attached before, until the result is dropped. Those at
/// functions can be since 5.13.
///
/// # Errors
/// The kernel refuses.
pub(super) fn attach_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let open = RawTracepoint { prog_fd: program.as_raw_fd() as u32, ..RawTracepoint::default() };
    bpf(BPF_RAW_TRACEPOINT_OPEN, &open)
}

/// A tracefs of our own: mounted nowhere, gone when dropped. So system call tracepoints work where
/// nobody mounted a tracefs, and inside `ip netns exec`, which hides it behind a fresh `/sys`.
///
/// Without CAP_SYS_ADMIN, which that takes, it is the one that is mounted in its usual place.
///
/// # Errors
/// The kernel refuses, and none is mounted there.
pub(super) fn own_tracefs() -> io::Result<OwnedFd> {
    const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    own_mount("tracefs").or_else(|error| {
        for place in PLACES {
            if let Ok(folder) = open_folder(place)
                && openat(&folder, "events", FOLDER, Mode::empty()).is_ok()
            {
                return Ok(folder);
            }
        }
        Err(io::Error::new(error.kind(), format!("{error}, or a tracefs at {}", PLACES[0])))
    })
}

/// Flags of a folder that is opened.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open_folder(place: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    openat(rustix::fs::CWD, place, FOLDER, Mode::empty())
}

/// Returns the first place where a hierarchy of cgroups is mounted whole, or this error.
fn mounted(hierarchy: Option<&str>, error: io::Error) -> io::Result<OwnedFd> {
    let places = procfs::cgroup_mounts(hierarchy);
    places.into_iter().find_map(|place| open_folder(place).ok()).ok_or(error)
}

/// The root of the cgroups that this process may see. It is a mount of our own, too, and so found
/// where nobody mounted it. Without CAP_SYS_ADMIN it is one that is mounted.
///
/// # Errors
/// As for [`own_tracefs`].
pub(in crate::sensor) fn own_cgroups() -> io::Result<OwnedFd> {
    match own_mount("cgroup2") {
        Ok(root) => Ok(openat(root, ".", FOLDER, Mode::empty())?),
        Err(error) => mounted(None, error),
    }
}

/// The root of the cgroups of all processes.
///
/// # Errors
/// As for [`own_cgroups`]; or this process is in a cgroup namespace, whose root is not that of all.
pub(super) fn all_cgroups() -> io::Result<OwnedFd> {
    if !procfs::sees_all_cgroups() {
        return Err(io::Error::other("backscope is in a cgroup namespace of its own"));
    }
    own_cgroups()
}

/// The root of a hierarchy of cgroups of version 1, in a mount of our own. `controllers` are those
/// of the hierarchy, as `/proc/PID/cgroup` names them.
///
/// # Errors
/// As for [`own_tracefs`]; or there is none that has these and no others.
pub(in crate::sensor) fn own_hierarchy(controllers: &str) -> io::Result<OwnedFd> {
    let flags: Vec<&str> = controllers.split(',').collect();
    match own_mount_with("cgroup", &flags) {
        Ok(root) => Ok(openat(root, ".", FOLDER, Mode::empty())?),
        Err(error) => mounted(Some(controllers), error),
    }
}

fn own_mount(kind: &str) -> io::Result<OwnedFd> {
    own_mount_with(kind, &[])
}

fn own_mount_with(kind: &str, flags: &[&str]) -> io::Result<OwnedFd> {
    match mount(kind, flags) {
        Ok(mount) => Ok(mount),
        Err(error) => {
            let text = format!("{kind}: {error} (it needs CAP_SYS_ADMIN)");
            Err(io::Error::new(error.kind(), text))
        }
    }
}

fn mount(kind: &str, flags: &[&str]) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for flag in flags {
        fsconfig_set_flag(context.as_fd(), *flag)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// Returns the number of a system call's tracepoint.
///
/// # Errors
/// There is no such tracepoint, or it may not be read.
pub(super) fn tracepoint_id(tracefs: BorrowedFd<'_>, name: &str) -> io::Result<u64> {
    let path = format!("events/syscalls/{name}/id");
    let file = match openat(tracefs, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(error) => {
            let text = format!("tracefs {path}: {error} (it needs CAP_DAC_READ_SEARCH)");
            return Err(io::Error::new(error.kind(), text));
        }
    };
    let mut text = String::new();
    File::from(file).read_to_string(&mut text)?;
    text.trim().parse().map_err(io::Error::other)
}

/// Attaches a program to the tracepoint of this number, until the result is dropped.
///
/// # Errors
/// The kernel refuses.
pub(super) fn attach_tracepoint(id: u64, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let event = perf_event_open(id)?;
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: both requests take an integer and touch no memory of ours.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

/// Gives memory that is no longer used back to the kernel. The programs come in many small pieces;
/// without this they would count as the agent's memory for as long as it runs.
pub(in crate::sensor) fn trim_memory() {
    // SAFETY: no preconditions; only glibc has it.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// From now on every large piece of memory goes back as soon as it is free. Left to itself, glibc
/// would keep as much as twice the largest one that there ever was.
pub(super) fn keep_memory_small() {
    // SAFETY: no preconditions; only glibc has it.
    #[cfg(target_env = "gnu")]
    unsafe {
        const LARGE: libc::c_int = 256 * 1_024;
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
    forget_program();
}

/// Lets go of the pages of our program and its libraries: code, and constants, of which the probes
/// are the largest. Most were needed to start; those that are needed again are still in the page
/// cache, and come back as they are used.
fn forget_program() {
    let Ok(maps) = std::fs::read("/proc/self/maps") else { return };
    let maps = String::from_utf8_lossy(&maps);
    for line in maps.lines() {
        // The beginning of a file is never relocated, and so never written to; nor is code.
        let is_fixed = line.contains(" r-xp ") || line.contains(" r--p 00000000 ");
        if !is_fixed || !line.contains('/') {
            continue;
        }
        let Some((range, _)) = line.split_once(' ') else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
        else {
            continue;
        };
        // SAFETY: a mapping of a file that nothing has written to: its pages are read from the file
        // again.
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(from),
                to - from,
                libc::MADV_DONTNEED,
            );
        }
    }
}

/// Raises the limit of open files as far as is allowed to us: many shells start with a low one.
pub(super) fn raise_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A refusal shows later, if there are too few.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Does something that opens files where it can, and lets it open none. Where other threads would
/// not be able to either, it is done as it likes.
pub(super) fn without_files<T>(work: impl FnOnce() -> T) -> T {
    let limit = getrlimit(Resource::Nofile);
    let is_alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if is_alone {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit });
    }
    let done = work();
    let _ = setrlimit(Resource::Nofile, limit);
    done
}

/// Returns whether so many files more may be opened.
pub(super) fn has_room_for_files(more: usize) -> bool {
    // The folder itself takes one while it is read, and is counted.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return false };
    let wanted = open.count().saturating_add(more) as u64;
    getrlimit(Resource::Nofile).current.is_none_or(|limit| wanted <= limit)
}

/// The error where there are not enough descriptors.
pub(super) fn out_of_files() -> SensorError {
    SensorError::Files { limit: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) }
}

/// `PERF_EVENT_IOC_SET_BPF` and `PERF_EVENT_IOC_ENABLE` (include/uapi/linux/perf_event.h).
const SET_BPF: libc::Ioctl = 0x4004_2408;
const ENABLE: libc::Ioctl = 0x2400;

/// The head of `struct perf_event_attr`, in its first published size.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
}

/// Opens an event on the tracepoint of this number. While it is open, the kernel takes the longer way
/// through system calls.
///
/// # Errors
/// The kernel refuses.
pub(super) fn perf_event_open(id: u64) -> io::Result<OwnedFd> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
    let attr = PerfEventAttr {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<PerfEventAttr>() as u32,
        config: id,
        ..PerfEventAttr::default()
    };
    // A program on a tracepoint runs on every CPU; the one named here only has to exist.
    // SAFETY: `attr` lives through the call and carries its own size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(&attr),
            -1,
            0,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
