//! The system calls that a confined thread may make.
//!
//! Whatever is not listed fails with EPERM: exec, new processes, sockets of any network, mounts,
//! ptrace, and every call that changes the file system. Files can be opened for reading alone, and
//! no memory becomes code.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword,
    SeccompCmpOp, SeccompCmpOp::Eq, SeccompCmpOp::MaskedEq, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// What some confined threads need and others do not.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// They read BPF maps and run iterators.
    pub bpf: bool,
    /// They attach programs to tracepoints again.
    pub perf_events: bool,
    /// They attach tracing programs again.
    pub tracing: bool,
    /// They cut a file that is open for writing: a recording that can be written no further.
    pub cut: bool,
    /// They answer at sockets that listen.
    pub serve: bool,
    /// They connect to others by TCP. A filter cannot look behind a pointer, so whom they ask is
    /// not limited.
    pub connect: bool,
    /// Processes that they may signal.
    pub children: Vec<u32>,
}

/// Calls that are allowed whatever their arguments: they concern this process, or files that are
/// open.
const ALWAYS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_getdents64,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_recvfrom,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_capget,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// More of these, which later architectures have no numbers for: they have only the calls that
/// replaced them.
#[cfg(target_arch = "x86_64")]
const REPLACED: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getpgrp,
    libc::SYS_lstat,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const REPLACED: &[c_long] = &[];

/// Calls that open a file, and which argument has the flags.
const OPEN: &[(c_long, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
    (libc::SYS_openat, 2),
];

/// Calls whose arguments are behind a pointer, where no filter can look. They fail as on a kernel
/// that does not have them, so that the C library makes the older call.
const UNKNOWN: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

/// Requests of ioctl: those of a terminal that concern how it behaves (none that types into it),
/// and of descriptors. Their type is the C library's; the kernel looks at 32 bits.
const IOCTLS: &[libc::Ioctl] = &[
    libc::TCGETS,
    libc::TCSETS,
    libc::TCSETSW,
    libc::TCSETSF,
    libc::TCGETS2,
    libc::TCSETS2,
    libc::TCSETSW2,
    libc::TCSETSF2,
    libc::TIOCGWINSZ,
    libc::TIOCGPGRP,
    libc::FIONREAD,
    libc::FIONBIO,
    libc::FIOCLEX,
];

/// Requests of ioctl for perf events: `ENABLE`, `DISABLE` and `SET_BPF`
/// (include/uapi/linux/perf_event.h).
const PERF_IOCTLS: &[u64] = &[0x2400, 0x2401, 0x4004_2408];

/// Commands of bpf(2) that read maps, write their entries, and run iterators; none that makes a
/// map, loads a program or attaches one elsewhere (include/uapi/linux/bpf.h).
const BPF_COMMANDS: &[u64] = &[
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    15, // BPF_OBJ_GET_INFO_BY_FD
    21, // BPF_MAP_LOOKUP_AND_DELETE_ELEM
    24, // BPF_MAP_LOOKUP_BATCH
    28, // BPF_LINK_CREATE
    33, // BPF_ITER_CREATE
];

/// Attaches a tracing program that is loaded, at the place that it names.
const BPF_RAW_TRACEPOINT_OPEN: u64 = 17;

/// Switches the kernel's statistics of programs on.
const BPF_ENABLE_STATS: u64 = 32;

/// Calls of the thread that does: to wait, to close what it holds, and to end.
const STATISTICS: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Calls of the thread that makes files in a folder, where Landlock holds it: it writes and cuts
/// them, has memory, and waits.
const FILES: &[c_long] = &[
    libc::SYS_write,
    libc::SYS_ftruncate,
    libc::SYS_fchown,
    libc::SYS_fsync,
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_geteuid,
];

/// Flags of an open that does more than read.
const OPEN_FOR_MORE: u64 =
    (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Allows a call where all of these conditions hold: (argument, comparison, value).
fn allow(
    rules: &mut Rules,
    call: c_long,
    conditions: &[(u8, SeccompCmpOp, u64)],
) -> Result<(), Error> {
    let mut all = Vec::new();
    for (argument, comparison, value) in conditions {
        all.push(SeccompCondition::new(*argument, Dword, comparison.clone(), *value)?);
    }
    rules.entry(call).or_default().push(SeccompRule::new(all)?);
    Ok(())
}

/// Allows a call where this argument, a pointer, is null.
fn allow_null(rules: &mut Rules, call: c_long, argument: u8) -> Result<(), Error> {
    let is_null = SeccompCondition::new(argument, Qword, Eq, 0)?;
    rules.entry(call).or_default().push(SeccompRule::new(vec![is_null])?);
    Ok(())
}

fn rules(calls: &Calls) -> Result<Rules, Error> {
    let mut rules = Rules::new();
    for call in ALWAYS.iter().chain(REPLACED).chain(UNKNOWN) {
        rules.insert(*call, Vec::new());
    }
    for (call, flags) in OPEN {
        allow(&mut rules, *call, &[(*flags, MaskedEq(OPEN_FOR_MORE), 0)])?;
    }
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        allow(&mut rules, call, &[(2, MaskedEq(libc::PROT_EXEC as u64), 0)])?;
    }
    let thread = libc::CLONE_THREAD as u64;
    allow(&mut rules, libc::SYS_clone, &[(0, MaskedEq(thread), thread)])?;
    allow(&mut rules, libc::SYS_socketpair, &[(0, Eq, libc::AF_UNIX as u64)])?;
    // Only to whom the socket is connected.
    allow_null(&mut rules, libc::SYS_sendto, 4)?;
    allow(&mut rules, libc::SYS_prctl, &[(0, Eq, libc::PR_SET_NAME as u64)])?;
    allow(&mut rules, libc::SYS_prctl, &[(0, Eq, libc::PR_SET_VMA as u64)])?;
    // Reads a limit, and sets none.
    allow_null(&mut rules, libc::SYS_prlimit64, 2)?;
    for request in IOCTLS {
        allow(&mut rules, libc::SYS_ioctl, &[(1, Eq, u64::from(*request as u32))])?;
    }
    signals(&mut rules, &calls.children)?;
    if calls.bpf {
        for command in BPF_COMMANDS {
            allow(&mut rules, libc::SYS_bpf, &[(0, Eq, *command)])?;
        }
    }
    if calls.tracing {
        allow(&mut rules, libc::SYS_bpf, &[(0, Eq, BPF_RAW_TRACEPOINT_OPEN)])?;
    }
    if calls.perf_events {
        rules.insert(libc::SYS_perf_event_open, Vec::new());
        for request in PERF_IOCTLS {
            allow(&mut rules, libc::SYS_ioctl, &[(1, Eq, *request)])?;
        }
    }
    if calls.cut {
        rules.insert(libc::SYS_ftruncate, Vec::new());
    }
    network(&mut rules, calls)?;
    Ok(rules)
}

/// Calls of a server, and of a client, of streams. No socket listens that did not before, and
/// options are read alone.
fn network(rules: &mut Rules, calls: &Calls) -> Result<(), Error> {
    if calls.serve {
        rules.insert(libc::SYS_accept4, Vec::new());
    }
    if calls.connect {
        // The flags are within the type.
        let kind = 0xf;
        for family in [libc::AF_INET, libc::AF_INET6] {
            let stream = (1, MaskedEq(kind), libc::SOCK_STREAM as u64);
            let protocol = (2, MaskedEq(!libc::IPPROTO_TCP as u32 as u64), 0);
            allow(rules, libc::SYS_socket, &[(0, Eq, family as u64), stream, protocol])?;
        }
        rules.insert(libc::SYS_connect, Vec::new());
    }
    if calls.serve || calls.connect {
        // The end of TLS is told, and errors are asked for.
        rules.insert(libc::SYS_shutdown, Vec::new());
        let error = (2, Eq, libc::SO_ERROR as u64);
        allow(rules, libc::SYS_getsockopt, &[(1, Eq, libc::SOL_SOCKET as u64), error])?;
    }
    Ok(())
}

/// A stop of the own job (Ctrl-Z), an abort, and whatever is sent to what was started.
fn signals(rules: &mut Rules, children: &[u32]) -> Result<(), Error> {
    allow(rules, libc::SYS_kill, &[(0, Eq, 0), (1, Eq, libc::SIGTSTP as u64)])?;
    allow(rules, libc::SYS_tgkill, &[(0, Eq, std::process::id().into())])?;
    for child in children {
        allow(rules, libc::SYS_kill, &[(0, Eq, u64::from(*child))])?;
    }
    Ok(())
}

/// Confines the calling thread, and those that it starts from now on, to these calls.
///
/// # Errors
/// This kernel has no filters.
pub(super) fn apply(calls: &Calls) -> Result<(), Error> {
    let mut unknown = Rules::new();
    for call in UNKNOWN {
        unknown.insert(*call, Vec::new());
    }
    let no_such_call = SeccompAction::Errno(libc::ENOSYS as u32);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    // Of two filters the stricter answer counts, so the first has to let the second in.
    install(unknown, SeccompAction::Allow, no_such_call)?;
    install(rules(calls)?, refused, SeccompAction::Allow)
}

/// Confines the calling thread to these calls alone: the kernel's statistics of programs are
/// switched on, and off by closing a descriptor. Whatever else it calls fails.
///
/// # Errors
/// This kernel has no filters.
pub(super) fn apply_to_statistics() -> Result<(), Error> {
    let mut rules = Rules::new();
    for call in STATISTICS {
        rules.insert(*call, Vec::new());
    }
    allow(&mut rules, libc::SYS_bpf, &[(0, Eq, BPF_ENABLE_STATS)])?;
    install(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

/// Confines the calling thread to these calls alone: it makes files, and where it `removes` removes
/// some. No file that is there already can be opened.
///
/// # Errors
/// This kernel has no filters.
pub(super) fn apply_to_files(removes: bool) -> Result<(), Error> {
    let mut rules = Rules::new();
    for call in STATISTICS.iter().chain(FILES) {
        rules.insert(*call, Vec::new());
    }
    let new = (libc::O_CREAT | libc::O_EXCL) as u64;
    allow(&mut rules, libc::SYS_openat, &[(2, MaskedEq(new), new)])?;
    if removes {
        rules.insert(libc::SYS_unlinkat, Vec::new());
    }
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        allow(&mut rules, call, &[(2, MaskedEq(libc::PROT_EXEC as u64), 0)])?;
    }
    install(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

/// The architecture whose numbers the calls have. A call by the numbers of another one, such as a
/// 32-bit call, ends the process.
const ARCHITECTURE: TargetArch =
    if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 };

fn install(rules: Rules, others: SeccompAction, listed: SeccompAction) -> Result<(), Error> {
    let filter = SeccompFilter::new(rules, others, listed, ARCHITECTURE)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::{self, Read, Write},
        net::{TcpListener, TcpStream, UdpSocket},
        os::unix::net::UnixStream,
        process::Command,
        thread,
    };

    use super::*;

    /// Runs on a thread of its own that is confined to these calls.
    fn confined<T: Send + 'static>(calls: Calls, work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = thread::spawn(move || {
            apply(&calls).unwrap();
            work()
        });
        thread.join().unwrap()
    }

    fn is_refused<T>(outcome: io::Result<T>) -> bool {
        outcome.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
    }

    #[test]
    fn files_can_be_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        let refused = confined(Calls::default(), move || {
            assert_eq!(fs::read(&file).unwrap(), b"text");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            [
                is_refused(fs::write(&file, "other")),
                is_refused(File::create(folder.path().join("new"))),
                is_refused(File::options().append(true).open(&file)),
                is_refused(fs::remove_file(&file)),
                is_refused(fs::rename(&file, folder.path().join("new"))),
                is_refused(fs::create_dir(folder.path().join("new"))),
                is_refused(std::os::unix::fs::symlink(&file, folder.path().join("new"))),
                is_refused(fs::set_permissions(&file, fs::metadata(&file).unwrap().permissions())),
            ]
        });
        assert_eq!(refused, [true; 8]);
    }

    #[test]
    fn nothing_is_started_and_nobody_is_talked_to() {
        let refused = confined(Calls::default(), || {
            [
                is_refused(Command::new("true").spawn()),
                is_refused(TcpListener::bind("127.0.0.1:0")),
                is_refused(
                    rustix::process::kill_process(
                        rustix::process::Pid::INIT,
                        rustix::process::Signal::CONT,
                    )
                    .map_err(Into::into),
                ),
            ]
        });
        assert_eq!(refused, [true; 3]);
    }

    #[test]
    fn a_server_answers_and_asks_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            said
        });
        let calls = Calls { serve: true, ..Calls::default() };
        let refused = confined(calls, move || {
            listener.accept().unwrap().0.write_all(b"42").unwrap();
            [
                is_refused(TcpListener::bind("127.0.0.1:0")),
                is_refused(TcpStream::connect(address)),
                is_refused(UdpSocket::bind("127.0.0.1:0")),
            ]
        });
        assert_eq!((client.join().unwrap().as_str(), refused), ("42", [true; 3]));
    }

    #[test]
    fn a_client_asks_by_tcp_and_serves_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || listener.accept().unwrap().0.write_all(b"42"));
        let calls = Calls { connect: true, ..Calls::default() };
        let (said, refused) = confined(calls, move || {
            let mut said = String::new();
            TcpStream::connect(address).unwrap().read_to_string(&mut said).unwrap();
            let refused = [
                is_refused(TcpListener::bind("127.0.0.1:0")),
                is_refused(UdpSocket::bind("127.0.0.1:0")),
                is_refused(UnixStream::connect("/run/nowhere")),
            ];
            (said, refused)
        });
        server.join().unwrap().unwrap();
        assert_eq!((said.as_str(), refused), ("42", [true; 3]));
    }

    #[test]
    fn who_switches_statistics_can_do_nothing_else() {
        let thread = thread::spawn(|| {
            // Memory that the checks take is there before.
            drop(vec![0_u8; 4_096]);
            apply_to_statistics().unwrap();
            [
                is_refused(File::open("/etc/passwd")),
                is_refused(TcpListener::bind("127.0.0.1:0")),
                is_refused(rustix::process::getpriority_process(None).map_err(Into::into)),
            ]
        });
        assert_eq!(thread.join().unwrap(), [true; 3]);
    }

    #[test]
    fn who_makes_files_can_do_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let refused = thread::spawn(move || {
            apply_to_files(true).unwrap();
            let mut file = File::create_new(&path).unwrap();
            file.write_all(b"text").unwrap();
            file.set_len(2).unwrap();
            [
                is_refused(TcpListener::bind("127.0.0.1:0")),
                is_refused(Command::new("true").spawn()),
                is_refused(fs::rename(&path, path.with_extension("other"))),
                is_refused(std::os::unix::fs::symlink(&path, path.with_extension("link"))),
            ]
        });
        assert_eq!(refused.join().unwrap(), [true; 4]);
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"te");
    }

    #[test]
    fn who_makes_files_opens_none_that_is_there_and_removes_only_where_it_may() {
        for removes in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (old, new) = (folder.path().join("old"), folder.path().join("new"));
            fs::write(&old, "text").unwrap();
            let (refused, removed) = thread::spawn(move || {
                apply_to_files(removes).unwrap();
                let options = |create_new| {
                    let mut options = File::options();
                    options.write(true).create(true).create_new(create_new);
                    options
                };
                let refused = [
                    is_refused(File::open(&old)),
                    is_refused(File::options().write(true).open(&old)),
                    is_refused(options(false).open(&old)),
                    is_refused(options(false).open(&new)),
                ];
                // The kernel's own answer: it is there.
                let taken = options(true).open(&old).unwrap_err();
                assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
                options(true).open(&new).unwrap().write_all(b"new").unwrap();
                let removed =
                    rustix::fs::unlinkat(rustix::fs::CWD, &new, rustix::fs::AtFlags::empty());
                (refused, removed)
            })
            .join()
            .unwrap();
            assert_eq!(refused, [true; 4]);
            let errno = if removes { Ok(()) } else { Err(rustix::io::Errno::PERM) };
            assert_eq!(removed, errno);
            assert_eq!(fs::read(folder.path().join("old")).unwrap(), b"text");
        }
    }

    #[test]
    fn a_recording_is_cut_only_by_who_records() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        let other = file.try_clone().unwrap();
        assert!(is_refused(confined(Calls::default(), move || other.set_len(2))));
        confined(Calls { cut: true, ..Calls::default() }, move || file.set_len(2)).unwrap();
    }

    #[test]
    fn threads_and_their_talk_go_on() {
        let sum = confined(Calls::default(), || {
            let (mut reader, mut writer) = io::pipe().unwrap();
            let thread = thread::Builder::new().name("named".to_owned()).spawn(move || {
                Write::write_all(&mut writer, &[1, 2, 3]).unwrap();
            });
            thread.unwrap().join().unwrap();
            let mut bytes = Vec::new();
            Read::read_to_end(&mut reader, &mut bytes).unwrap();
            bytes.iter().sum::<u8>()
        });
        assert_eq!(sum, 6);
    }
}
