//! The entries of the table of hooks: a signal, its choices, and the checks against the kernel's
//! types.

use std::fmt;

use super::signal::Signal;
use crate::{kernel::btf::Btf, model::Tier};

/// The place that a program attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sensor) enum Attach {
    /// At the entry of a kernel function.
    Fentry(&'static str),
    /// At the return of a kernel function.
    Fexit(&'static str),
    /// A tracepoint with typed arguments.
    Tracepoint(&'static str),
    /// A system call's tracepoint. Costs every other system call of the machine 26 to 60 ns.
    Syscall(&'static str),
    /// A question of sockets, in all cgroups.
    Cgroup(&'static str),
    /// An iterator, run on demand.
    Iterator(&'static str),
}

impl Attach {
    /// True if it is a function of the kernel.
    pub(in crate::sensor) fn is_function(self) -> bool {
        matches!(self, Self::Fentry(_) | Self::Fexit(_))
    }
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fentry(name) => write!(f, "fentry:{name}"),
            Self::Fexit(name) => write!(f, "fexit:{name}"),
            Self::Tracepoint(name) => write!(f, "tp_btf:{name}"),
            Self::Syscall(name) => write!(f, "tracepoint:syscalls:{name}"),
            Self::Cgroup(name) => write!(f, "cgroup:{name}"),
            Self::Iterator(name) => write!(f, "iter:{name}"),
        }
    }
}

/// A program of the object and where it goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::sensor) struct Program {
    /// Its name in the object.
    pub(in crate::sensor) name: &'static str,
    /// Its place.
    pub(in crate::sensor) attach: Attach,
}

pub(super) const fn fentry(name: &'static str, function: &'static str) -> Program {
    Program { name, attach: Attach::Fentry(function) }
}
pub(super) const fn fexit(name: &'static str, function: &'static str) -> Program {
    Program { name, attach: Attach::Fexit(function) }
}
pub(super) const fn tracepoint(name: &'static str, tracepoint: &'static str) -> Program {
    Program { name, attach: Attach::Tracepoint(tracepoint) }
}
pub(super) const fn syscall(name: &'static str) -> Program {
    Program { name, attach: Attach::Syscall(name) }
}
pub(super) const fn cgroup(name: &'static str, asked: &'static str) -> Program {
    Program { name, attach: Attach::Cgroup(asked) }
}

/// One way to see a signal.
#[derive(Debug)]
pub(in crate::sensor) struct Choice {
    /// The lowest tier it belongs to.
    pub(in crate::sensor) tier: Tier,
    /// The programs; all of them, or the next choice.
    pub(in crate::sensor) programs: &'static [Program],
    /// Without programs of its own: the hooks of another signal that it shares.
    pub(in crate::sensor) shares: &'static str,
    /// Checks the kernel's types. The error says why they do not allow this choice: a program that
    /// would read from the wrong place must not be loaded at all.
    pub(in crate::sensor) check_btf: fn(&Btf) -> Result<(), String>,
    /// Parts of the signal that this choice cannot show; empty for the best.
    pub(in crate::sensor) degraded: &'static str,
}

/// One signal with its choices, best first.
#[derive(Debug)]
pub(in crate::sensor) struct SignalSpec {
    /// The signal.
    pub(in crate::sensor) signal: Signal,
    /// Without it there is nothing to watch.
    pub(in crate::sensor) required: bool,
    /// Ways to know it.
    pub(in crate::sensor) choices: &'static [Choice],
    /// The loss when none of them works, in words that users read.
    pub(in crate::sensor) missing: &'static str,
}

pub(super) const fn best(programs: &'static [Program]) -> Choice {
    Choice { tier: Tier::Full, programs, shares: "", check_btf: any, degraded: "" }
}
pub(super) const fn same(programs: &'static [Program]) -> Choice {
    Choice { tier: Tier::Tracepoint, programs, shares: "", check_btf: any, degraded: "" }
}

pub(super) const fn shared(hook: &'static str) -> Choice {
    Choice { tier: Tier::Tracepoint, programs: &[], shares: hook, check_btf: any, degraded: "" }
}

pub(super) fn any(_: &Btf) -> Result<(), String> {
    Ok(())
}

pub(super) fn arity(btf: &Btf, function: &str, wanted: usize) -> Result<(), String> {
    match btf.arity(function) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("{function} has {found} arguments, not {wanted}")),
        None => Err(format!("this kernel has no function {function}")),
    }
}

pub(super) fn tracepoint_arity(btf: &Btf, name: &str, wanted: usize) -> Result<(), String> {
    match btf.tracepoint_arity(name) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("tracepoint {name} has {found} arguments, not {wanted}")),
        None => Err(format!("this kernel has no tracepoint {name}")),
    }
}

/// Reasons for which a listener drops a packet, as the kernel names them: no room at the final ACK,
/// no child for the ACK to a syncookie, anything else.
pub(in crate::sensor) const DROP_REASONS: [&str; 3] = [
    "SKB_DROP_REASON_TCP_LISTEN_OVERFLOW",
    "SKB_DROP_REASON_NO_SOCKET",
    "SKB_DROP_REASON_NOT_SPECIFIED",
];

pub(super) fn tells_listen_overflow(btf: &Btf) -> Result<(), String> {
    if btf.enumerator(DROP_REASONS[0]).is_none() {
        return Err(
            "this kernel's drop reasons do not identify a listen overflow (6.18 and later do)"
                .to_owned(),
        );
    }
    tracepoint_arity(btf, "kfree_skb", 4)
}

/// Fails where tracing programs may not use socket storage.
pub(super) fn has_socket_storage(btf: &Btf) -> Result<(), String> {
    if btf.has_function(SOCKET_STORAGE) {
        Ok(())
    } else {
        Err("tracing programs cannot use socket storage on this kernel (5.11 and later can)"
            .to_owned())
    }
}

/// Kernel function behind `bpf_sk_storage_get`. Its presence in BTF says that tracing programs may
/// call the helper, and so for those that follow.
pub(in crate::sensor) const SOCKET_STORAGE: &str = "bpf_sk_storage_get_tracing";
/// Kernel function behind `bpf_sk_storage_delete`.
pub(in crate::sensor) const SOCKET_STORAGE_DELETE: &str = "bpf_sk_storage_delete_tracing";
/// Kernel function behind `bpf_get_socket_cookie`.
pub(in crate::sensor) const SOCKET_COOKIE: &str = "bpf_get_socket_ptr_cookie";
/// Kernel function behind `bpf_sock_from_file`.
pub(in crate::sensor) const SOCK_FROM_FILE: &str = "bpf_sock_from_file";
/// Kernel function behind `bpf_task_pt_regs`.
pub(in crate::sensor) const TASK_REGS: &str = "bpf_task_pt_regs";

/// The iterator that shows listeners.
pub(in crate::sensor) const SCAN: Program =
    Program { name: "scan", attach: Attach::Iterator("task_file") };

/// The iterator that shows connections and UDP sockets.
pub(in crate::sensor) const SCAN_CONNECTIONS: &str = "scan_connections";

/// A cookie is never used again, so that the end of a socket need not be seen when it comes.
pub(super) fn sockets_by_cookie(btf: &Btf) -> Result<(), String> {
    if btf.has_function(SOCKET_COOKIE) {
        Ok(())
    } else {
        Err("tracing programs cannot ask for a socket's cookie on this kernel (5.12 and later can)"
            .to_owned())
    }
}

pub(super) fn sockets_by_address(btf: &Btf) -> Result<(), String> {
    match sockets_by_cookie(btf) {
        Ok(()) => {
            Err("sockets are identified by their cookies on this kernel: their end need not be \
                 hooked"
                .to_owned())
        }
        Err(_) => Ok(()),
    }
}

/// Hooks of accept in the tracepoint tier: they see failures, too.
pub(super) const ACCEPT_RETURNS: &str =
    "tracepoint:syscalls:sys_exit_accept tracepoint:syscalls:sys_exit_accept4";
/// The hook of io_uring's completions: it sees failures, too.
pub(super) const URING_COMPLETE: &str = "tp_btf:io_uring_complete";

/// The program that sees every packet of the machine: only for those who ask for each SYN.
pub(in crate::sensor) const SYNACK: &str = "synack";

/// Programs on which the verifier works longest, some 20 ms and more each.
pub(in crate::sensor) const SLOW: [&str; 5] =
    ["scan_connections", "destroy", "recv_length", "send_length", "set_state"];
