//! Files of one process or thread, below `/proc/PID`.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::model::event::Used;
use crate::text::Untrusted;

/// Bytes read of an epoll instance's file: one with very many descriptors may hide its listener.
const MAX_FDINFO: u64 = 256 * 1_024;

/// Returns every process.
pub(in crate::sensor) fn processes() -> Vec<u32> {
    numbers_in("/proc").unwrap_or_default()
}

/// Returns the threads of a process; none if it is gone.
pub(in crate::sensor) fn threads(pid: u32) -> Vec<u32> {
    numbers_in(&format!("/proc/{pid}/task")).unwrap_or_default()
}

/// Returns the entries of a folder whose names are numbers.
fn numbers_in(folder: &str) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        if let Some(name) = entry.file_name().to_str()
            && let Ok(number) = name.parse()
        {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// Returns true if the process runs: it is there and is no zombie.
pub fn exists(pid: u32) -> bool {
    match stat(&format!("/proc/{pid}")) {
        Some(stat) => !matches!(stat.state, b'Z' | b'X'),
        None => Path::new(&format!("/proc/{pid}")).exists(),
    }
}

/// Returns true if a signal has stopped the process.
pub(in crate::sensor) fn is_stopped(pid: u32) -> bool {
    match stat(&format!("/proc/{pid}")) {
        Some(stat) => matches!(stat.state, b'T' | b't'),
        None => false,
    }
}

/// Returns the process that made this one.
pub(in crate::sensor) fn parent(pid: u32) -> Option<u32> {
    Some(stat(&format!("/proc/{pid}"))?.parent)
}

/// Returns the beginning of a process, in ticks since the machine's start.
pub(in crate::sensor) fn started(pid: u32) -> Option<u64> {
    Some(stat(&format!("/proc/{pid}"))?.started)
}

/// Returns a thread's parent process, and its beginning in ticks since the machine's start.
pub(in crate::sensor) fn thread_origin(pid: u32, tid: u32) -> Option<(u32, u64)> {
    let stat = stat(&format!("/proc/{pid}/task/{tid}"))?;
    Some((stat.parent, stat.started))
}

/// Fields of `stat` (`do_task_stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    parent: u32,
    /// Ticks since the machine's start.
    started: u64,
}

fn stat(folder: &str) -> Option<Stat> {
    parse_stat(&fs::read(format!("{folder}/stat")).ok()?)
}

/// The fields are the 3rd, the 4th and the 22nd. The 2nd is the command name, which may hold
/// anything.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let name_ends = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&text[name_ends + 1..]).ok()?.split_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, started })
}

/// Returns a file's text. What is not UTF-8 is replaced: a command name may hold any bytes, and
/// must not hide the fields beside it.
fn read_text(path: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(match String::from_utf8_lossy(&bytes) {
        Cow::Borrowed(_) => String::from_utf8(bytes).ok()?,
        Cow::Owned(text) => text,
    })
}

/// Returns the command name of a process, for people to read.
pub fn comm(pid: u32) -> Option<Untrusted> {
    read_comm(&format!("/proc/{pid}"))
}

/// Returns the command name of a process as the kernel has it.
pub(in crate::sensor) fn comm_bytes(pid: u32) -> Option<Vec<u8>> {
    let mut bytes = fs::read(format!("/proc/{pid}/comm")).ok()?;
    // The name may end with a line break of its own.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Some(bytes)
}

/// Returns the command name of a thread.
pub(in crate::sensor) fn thread_comm(pid: u32, tid: u32) -> Option<Untrusted> {
    read_comm(&format!("/proc/{pid}/task/{tid}"))
}

fn read_comm(folder: &str) -> Option<Untrusted> {
    let bytes = fs::read(format!("{folder}/comm")).ok()?;
    let name = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Some(String::from_utf8_lossy(name).into())
}

/// Returns a field of `status`, by its name with the colon.
pub(in crate::sensor) fn status_field(pid: u32, field: &str) -> Option<String> {
    let status = read_text(&format!("/proc/{pid}/status"))?;
    Some(find_field(&status, field)?.to_owned())
}

/// Returns the process that a thread belongs to.
pub(in crate::sensor) fn thread_group(tid: u32) -> Option<u32> {
    status_field(tid, "Tgid:")?.parse().ok()
}

/// Returns the times that a thread went to sleep of its own accord.
pub(in crate::sensor) fn voluntary_switches(pid: u32, tid: u32) -> Option<u64> {
    let status = read_text(&format!("/proc/{pid}/task/{tid}/status"))?;
    find_field(&status, "voluntary_ctxt_switches:")?.parse().ok()
}

fn find_field<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim())
}

/// Returns a thread's time on a CPU, its time waiting for one, ns, and the times that it was put on
/// one (`proc_pid_schedstat`).
pub(in crate::sensor) fn schedstat(pid: u32, tid: u32) -> Option<(u64, u64, u64)> {
    let path = format!("/proc/{pid}/task/{tid}/schedstat");
    parse_schedstat(&read_text(&path)?)
}

fn parse_schedstat(text: &str) -> Option<(u64, u64, u64)> {
    let mut figures = text.split_whitespace();
    let on_cpu_ns = figures.next()?.parse().ok()?;
    let run_delay_ns = figures.next()?.parse().ok()?;
    let runs = figures.next()?.parse().ok()?;
    Some((on_cpu_ns, run_delay_ns, runs))
}

/// Returns true if a process runs a program of 32 bits; false, too, if it cannot be looked at.
pub fn is_32_bit(pid: u32) -> bool {
    /// The class of the file, behind its mark (`EI_CLASS`, include/uapi/linux/elf.h).
    const ELF_OF_32_BITS: [u8; 5] = *b"\x7fELF\x01";
    let mut begin = [0; 5];
    let file = File::open(format!("/proc/{pid}/exe"));
    file.and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == ELF_OF_32_BITS
}

/// Returns the system call that a thread is in, as `syscall` has it. It takes the right to trace
/// the process.
pub(in crate::sensor) fn waiting_syscall(pid: u32, tid: u32) -> Option<String> {
    read_text(&format!("/proc/{pid}/task/{tid}/syscall"))
}

/// Returns the lines of `/proc/PID/cgroup`, `ID:CONTROLLERS:PATH`: the controllers, which are empty
/// for cgroup v2, and the path.
pub(in crate::sensor) fn cgroup_lines(text: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        let controllers = str::from_utf8(fields.next()?).ok()?;
        Some((controllers, fields.next()?))
    })
}

/// Returns the lines of `cgroup`; none if the process is gone. The names of groups are bytes.
pub(in crate::sensor) fn cgroups(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// Returns the descriptors of a process with the names of their files.
pub(in crate::sensor) fn descriptors(
    pid: u32,
) -> Option<impl Iterator<Item = (u32, std::path::PathBuf)>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    Some(entries.filter_map(|entry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        Some((fd, fs::read_link(entry.path()).unwrap_or_default()))
    }))
}

/// Returns the flags with which a descriptor is open (`O_NONBLOCK` among them).
pub(in crate::sensor) fn descriptor_flags(pid: u32, fd: u32) -> Option<u32> {
    let info = read_text(&format!("/proc/{pid}/fdinfo/{fd}"))?;
    u32::from_str_radix(find_field(&info, "flags:")?, 8).ok()
}

/// Descriptors that an epoll instance watches.
#[derive(Debug, Default)]
pub(in crate::sensor) struct EpollTargets {
    /// Descriptors, each with the events that are asked for.
    pub(in crate::sensor) targets: Vec<(u32, u32)>,
    /// The file was read to its end.
    pub(in crate::sensor) is_complete: bool,
}

/// Returns the descriptors that an epoll instance watches.
pub(in crate::sensor) fn epoll_targets(pid: u32, epoll: u32) -> Option<EpollTargets> {
    let file = File::open(format!("/proc/{pid}/fdinfo/{epoll}")).ok()?;
    let mut text = Vec::new();
    let result = file.take(MAX_FDINFO).read_to_end(&mut text);
    let targets = parse_epoll_targets(&String::from_utf8_lossy(&text));
    let is_complete = result.is_ok() && (text.len() as u64) < MAX_FDINFO;
    Some(EpollTargets { targets, is_complete })
}

/// Each descriptor has a line: "tfd:        5 events: 10000001 data: …".
fn parse_epoll_targets(text: &str) -> Vec<(u32, u32)> {
    let mut targets = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some("tfd:"), Some(fd), Some("events:"), Some(events)) =
            (words.next(), words.next(), words.next(), words.next())
            && let (Ok(fd), Ok(events)) = (fd.parse(), u32::from_str_radix(events, 16))
        {
            targets.push((fd, events));
        }
    }
    targets
}

/// Returns the number of descriptors that a process has, and its limit (`RLIMIT_NOFILE`).
pub(in crate::sensor) fn descriptors_used(pid: u32) -> Option<Used> {
    let limit = parse_limit(&read_text(&format!("/proc/{pid}/limits"))?)?;
    let folder = format!("/proc/{pid}/fd");
    // From 6.2 on the size of this folder is the number of its entries (`proc_fd_getattr`).
    let size = fs::metadata(&folder).ok()?.size();
    if size > 0 && size <= limit {
        return Some(Used { open: size, limit });
    }
    // The limit is on the number of a new one. A process may have some beyond it, inherited or from
    // before the limit was lowered, and these take none of its places.
    let numbers = numbers_in(&folder).ok()?;
    let open = numbers.iter().filter(|number| u64::from(**number) < limit).count() as u64;
    Some(Used { open, limit })
}

/// The soft limit: "Max open files            1024                 524288               files".
fn parse_limit(text: &str) -> Option<u64> {
    find_field(text, "Max open files")?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_kernel_puts_them() {
        assert_eq!(parse_schedstat("12 34 5\n"), Some((12, 34, 5)));
        assert_eq!(parse_schedstat("12"), None);
        let text = b"77 (a) b (c) S 42 77 77 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 991234 0 0";
        let stat = Stat { state: b'S', parent: 42, started: 991_234 };
        assert_eq!(parse_stat(text), Some(stat));
        assert_eq!(parse_stat(b"77 (a"), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t5\n";
        assert_eq!(find_field(status, "voluntary_ctxt_switches:"), Some("150"));
    }

    #[test]
    fn this_process_exists_and_is_not_stopped() {
        let own = std::process::id();
        assert!(exists(own) && !is_stopped(own) && !exists(u32::MAX));
        assert!(processes().contains(&own) && threads(own).contains(&own));
        assert_eq!(parent(own), status_field(own, "PPid:").and_then(|text| text.parse().ok()));
        assert_eq!(comm(own), thread_comm(own, own));
    }

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = "Limit                Soft Limit    Hard Limit    Units     \n\
                    Max processes        7725          7725          processes \n\
                    Max open files       30            524288        files     \n";
        assert_eq!(parse_limit(text), Some(30));
        assert_eq!(parse_limit(&text.replace("30 ", "unlimited ")), None);
        let own = descriptors_used(std::process::id()).expect("this process has descriptors");
        assert!(own.open >= 3 && own.open <= own.limit, "{own:?}");
    }

    #[test]
    fn an_epoll_instance_has_a_line_for_each_descriptor() {
        let text = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1061\n\
            tfd:        5 events:       19 data:        5  pos:0 ino:a2 sdev:8\n\
            tfd:        6 events: 10000001 data:        6  pos:0 ino:a3 sdev:8\n\
            tfd: nonsense\n";
        assert_eq!(parse_epoll_targets(text), [(5, 0x19), (6, 0x1000_0001)]);
    }
}
