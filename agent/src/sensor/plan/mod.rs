//! Which hook serves which signal, best first. The table is the documentation: what each hook
//! needs, and what is lost without it. The facts behind it were tried on 5.10, 6.1, 6.12, 6.18,
//! 7.0, 7.2 and 7.3.

mod events;
mod exchanges;
mod queues;

use std::fmt;

use serde::Serialize;

use crate::kernel::btf::Btf;

/// What the kernel lets us hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Tracepoints, system call tracepoints and iterators alone.
    Tracepoint,
    /// fentry and fexit on functions, too.
    Full,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracepoint => "tracepoint",
            Self::Full => "full",
        })
    }
}

/// How a program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// At the entry of a kernel function.
    Fentry(&'static str),
    /// At the return of a kernel function.
    Fexit(&'static str),
    /// A tracepoint with typed arguments.
    Tracepoint(&'static str),
    /// A system call's tracepoint. Costs every other system call of the machine 26 to 60 ns.
    Syscall(&'static str),
    /// What a cgroup's sockets ask for, on those of all cgroups.
    Cgroup(&'static str),
    /// An iterator, run on demand.
    Iterator(&'static str),
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
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// Its place.
    pub attach: Attach,
}

const fn fentry(name: &'static str, function: &'static str) -> Program {
    Program { name, attach: Attach::Fentry(function) }
}
const fn fexit(name: &'static str, function: &'static str) -> Program {
    Program { name, attach: Attach::Fexit(function) }
}
const fn tracepoint(name: &'static str, tracepoint: &'static str) -> Program {
    Program { name, attach: Attach::Tracepoint(tracepoint) }
}
const fn syscall(name: &'static str) -> Program {
    Program { name, attach: Attach::Syscall(name) }
}

const fn cgroup(name: &'static str, asked: &'static str) -> Program {
    Program { name, attach: Attach::Cgroup(asked) }
}

/// One way to see a signal.
#[derive(Debug)]
pub struct Choice {
    /// The lowest tier it belongs to.
    pub tier: Tier,
    /// The programs; all of them, or the next choice.
    pub programs: &'static [Program],
    /// Without programs of its own: the hooks of another signal that it shares.
    pub shares: &'static str,
    /// Whether this kernel's types allow it, else why not. What a program reads wrongly must not be
    /// loaded at all.
    pub fits: fn(&Btf) -> Result<(), String>,
    /// What this choice cannot show, compared with the best; empty for the best.
    pub loses: &'static str,
}

/// One signal with its choices, best first.
#[derive(Debug)]
pub struct Row {
    /// What the model wants to know.
    pub signal: &'static str,
    /// Without it there is nothing to watch.
    pub vital: bool,
    /// Ways to know it.
    pub choices: &'static [Choice],
    /// What is lost when none of them works.
    pub without: &'static str,
}

const fn best(programs: &'static [Program]) -> Choice {
    Choice { tier: Tier::Full, programs, shares: "", fits: any, loses: "" }
}
const fn same(programs: &'static [Program]) -> Choice {
    Choice { tier: Tier::Tracepoint, programs, shares: "", fits: any, loses: "" }
}

const fn shared(hook: &'static str) -> Choice {
    Choice { tier: Tier::Tracepoint, programs: &[], shares: hook, fits: any, loses: "" }
}

fn any(_: &Btf) -> Result<(), String> {
    Ok(())
}

fn arity(btf: &Btf, function: &str, wanted: usize) -> Result<(), String> {
    match btf.arity(function) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("{function} has {found} arguments, not {wanted}")),
        None => Err(format!("this kernel has no function {function}")),
    }
}

fn tracepoint_arity(btf: &Btf, name: &str, wanted: usize) -> Result<(), String> {
    match btf.tracepoint_arity(name) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("tracepoint {name} has {found} arguments, not {wanted}")),
        None => Err(format!("this kernel has no tracepoint {name}")),
    }
}

/// Why a listener drops a packet, as the kernel's reasons have it: no room at the final ACK, no
/// child for the ACK to a syncookie, anything else.
pub const DROP_REASONS: [&str; 3] = [
    "SKB_DROP_REASON_TCP_LISTEN_OVERFLOW",
    "SKB_DROP_REASON_NO_SOCKET",
    "SKB_DROP_REASON_NOT_SPECIFIED",
];

fn tells_listen_overflow(btf: &Btf) -> Result<(), String> {
    if btf.enumerator(DROP_REASONS[0]).is_none() {
        return Err("this kernel's drop reasons do not tell a listen overflow (6.18 and later do)"
            .to_owned());
    }
    tracepoint_arity(btf, "kfree_skb", 4)
}

/// Children carry their listener's mark only where tracing programs may use socket storage.
fn marks_children(btf: &Btf) -> Result<(), String> {
    if btf.has_function(SOCKET_STORAGE) {
        Ok(())
    } else {
        Err("tracing programs cannot use socket storage on this kernel (5.11 and later can)"
            .to_owned())
    }
}

/// Kernel functions behind BPF helpers: their presence in BTF tells that tracing programs may call
/// the helper.
pub const SOCKET_STORAGE: &str = "bpf_sk_storage_get_tracing";
/// As above, for `bpf_sk_storage_delete`.
pub const SOCKET_STORAGE_DELETE: &str = "bpf_sk_storage_delete_tracing";
/// As above, for `bpf_get_socket_cookie`.
pub const SOCKET_COOKIE: &str = "bpf_get_socket_ptr_cookie";
/// As above, for `bpf_sock_from_file`.
pub const SOCK_FROM_FILE: &str = "bpf_sock_from_file";

/// As above, for `bpf_task_pt_regs`.
pub const TASK_REGS: &str = "bpf_task_pt_regs";

/// The iterator that shows connections and UDP sockets.
pub const SCAN_CONNECTIONS: &str = "scan_connections";

fn sockets_from_files(btf: &Btf) -> Result<(), String> {
    if btf.has_function(SOCK_FROM_FILE) {
        Ok(())
    } else {
        Err("programs cannot get from a file to its socket on this kernel (5.11 and later can)"
            .to_owned())
    }
}

/// A cookie is of one socket alone, so that the end of a socket need not be seen when it comes.
fn sockets_by_cookie(btf: &Btf) -> Result<(), String> {
    if btf.has_function(SOCKET_COOKIE) {
        Ok(())
    } else {
        Err("tracing programs cannot ask for a socket's cookie on this kernel (5.12 and later can)"
            .to_owned())
    }
}

fn sockets_by_address(btf: &Btf) -> Result<(), String> {
    match sockets_by_cookie(btf) {
        Ok(()) => {
            Err("sockets go by their cookies on this kernel: their end need not be hooked"
                .to_owned())
        }
        Err(_) => Ok(()),
    }
}

/// What tells of accepts while the system call tracepoints are not attached.
pub const ACCEPT_AT_REST: &str = "accept_at_rest";

/// Hooks of the tracepoint tier that tell of failures, too.
pub const ACCEPT_RETURNS: &str =
    "tracepoint:syscalls:sys_exit_accept tracepoint:syscalls:sys_exit_accept4";
/// As above, for io_uring.
pub const URING_COMPLETE: &str = "tp_btf:io_uring_complete";

/// The program that sees every packet of the machine: only for those who ask for each SYN.
pub const SYNACK: &str = "synack";

/// Every signal that is wanted, in the order in which hooks are attached: what a later one relies
/// on comes first.
pub fn rows(exchanges: bool, events: bool) -> impl Iterator<Item = &'static Row> {
    let exchanges = exchanges.then_some(exchanges::ROWS);
    let events = events.then_some(events::ROWS);
    queues::ROWS.iter().chain(exchanges.into_iter().chain(events).flatten())
}

/// Every kernel function and tracepoint that the table asks BTF about.
pub fn functions() -> impl Iterator<Item = &'static str> {
    [
        "tcp_v4_syn_recv_sock",
        "tcp_v6_syn_recv_sock",
        "tcp_check_req",
        "io_accept",
        SOCKET_STORAGE,
        SOCKET_STORAGE_DELETE,
        SOCKET_COOKIE,
        SOCK_FROM_FILE,
        TASK_REGS,
    ]
    .into_iter()
}

/// Every tracepoint whose arity the table asks for.
pub fn tracepoints() -> impl Iterator<Item = &'static str> {
    ["kfree_skb", "io_uring_complete", "sk_data_ready", "tcp_send_reset"].into_iter()
}
