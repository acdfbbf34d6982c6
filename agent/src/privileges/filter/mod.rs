//! The system calls that a confined thread may make.
//!
//! Whatever is not listed fails with EPERM: exec, new processes, sockets of any network, mounts,
//! ptrace, and every call that changes the file system. Files can be opened for reading alone, and
//! no memory becomes code.

mod calls;

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword,
    SeccompCmpOp, SeccompCmpOp::Eq, SeccompCmpOp::MaskedEq, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use self::calls::{
    ALWAYS, BPF_COMMANDS, BPF_ENABLE_STATS, BPF_RAW_TRACEPOINT_OPEN, FILES, IOCTLS, OPEN,
    OPEN_FOR_MORE, PERF_IOCTLS, REPLACED, STATISTICS, UNKNOWN,
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
mod tests;
