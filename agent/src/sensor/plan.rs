//! Which hook serves which signal, best first. The table is the documentation: what each hook needs, and what is lost
//! without it. The facts behind it were tried on 5.10, 6.1, 6.12, 6.18, 7.0, 7.2 and 7.3.

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

/// One way to see a signal.
#[derive(Debug)]
pub struct Choice {
    /// The lowest tier it belongs to.
    pub tier: Tier,
    /// The programs; all of them, or the next choice.
    pub programs: &'static [Program],
    /// Without programs of its own: the hooks of another signal that it shares.
    pub shares: &'static str,
    /// Whether this kernel's types allow it, else why not. What a program reads wrongly must not be loaded at all.
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
    /// Of use only when exchanges are watched, not queues alone.
    pub exchanges: bool,
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

/// The enumerator that makes an overflow at the final ACK visible without fexit.
pub const DROP_LISTEN_OVERFLOW: &str = "SKB_DROP_REASON_TCP_LISTEN_OVERFLOW";

fn tells_listen_overflow(btf: &Btf) -> Result<(), String> {
    if btf.enumerator(DROP_LISTEN_OVERFLOW).is_none() {
        return Err("this kernel's drop reasons do not tell a listen overflow (6.18 and later do)".to_owned());
    }
    tracepoint_arity(btf, "kfree_skb", 4)
}

/// Children carry their listener's mark only where tracing programs may use socket storage.
fn marks_children(btf: &Btf) -> Result<(), String> {
    if btf.has_function(SOCKET_STORAGE) {
        Ok(())
    } else {
        Err("tracing programs cannot use socket storage on this kernel (5.11 and later can)".to_owned())
    }
}

/// Kernel functions behind BPF helpers: their presence in BTF tells that tracing programs may call the helper.
pub const SOCKET_STORAGE: &str = "bpf_sk_storage_get_tracing";
/// As above, for `bpf_get_socket_cookie`.
pub const SOCKET_COOKIE: &str = "bpf_get_socket_ptr_cookie";
/// As above, for `bpf_sock_from_file`.
pub const SOCK_FROM_FILE: &str = "bpf_sock_from_file";

/// The iterator that shows connections and UDP sockets.
pub const SCAN_CONNECTIONS: &str = "scan_connections";

fn sockets_from_files(btf: &Btf) -> Result<(), String> {
    if btf.has_function(SOCK_FROM_FILE) {
        Ok(())
    } else {
        Err("programs cannot get from a file to its socket on this kernel (5.11 and later can)".to_owned())
    }
}

/// The program that sees every packet of the machine: only for those who ask for each SYN.
pub const SYNACK: &str = "synack";

/// Every signal, in the order in which hooks are attached: what a later one relies on comes first.
pub const ROWS: &[Row] = &[
    Row {
        signal: "open_listeners",
        vital: true,
        exchanges: false,
        choices: &[same(&[Program { name: "scan", attach: Attach::Iterator("task_file") }])],
        without: "listeners that exist cannot be found",
    },
    Row {
        signal: "process",
        vital: false,
        exchanges: false,
        choices: &[same(&[
            tracepoint("fork", "sched_process_fork"),
            tracepoint("exec", "sched_process_exec"),
            tracepoint("exit", "sched_process_exit"),
        ])],
        without: "children of the target are not followed",
    },
    Row {
        signal: "listen",
        vital: true,
        exchanges: false,
        choices: &[same(&[tracepoint("set_state", "inet_sock_set_state")])],
        without: "listeners opened later are not seen",
    },
    Row {
        signal: "backlog",
        vital: false,
        exchanges: false,
        choices: &[best(&[fentry("listen_call", "__sys_listen")]), same(&[syscall("sys_enter_listen")])],
        without: "the backlog asked for is unknown; its effective limit is not",
    },
    Row {
        signal: "queued",
        vital: false,
        exchanges: false,
        choices: &[
            best(&[fexit("hashdance", "inet_csk_complete_hashdance"), fentry("queue_add", "inet_csk_reqsk_queue_add")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "tp_btf:inet_sock_set_state",
                fits: marks_children,
                loses: "the stamp is that of the child's birth, some 2 µs before it enters the queue",
            },
        ],
        without: "the wait in the accept queue is estimated to one tick, its depth known from samples and accepts",
    },
    Row {
        signal: "left_queue",
        vital: false,
        exchanges: false,
        choices: &[same(&[tracepoint("destroy", "tcp_destroy_sock")])],
        without: "connections that leave the queue unaccepted are not counted",
    },
    Row {
        signal: "accept",
        vital: true,
        exchanges: false,
        choices: &[
            best(&[
                fentry("fd_install", "fd_install"),
                fexit("do_accept_done", "do_accept"),
                fentry("do_accept", "do_accept"),
            ]),
            same(&[
                syscall("sys_exit_accept"),
                syscall("sys_exit_accept4"),
                syscall("sys_enter_accept"),
                syscall("sys_enter_accept4"),
            ]),
        ],
        without: "accepts are not seen",
    },
    Row {
        signal: "accept_io_uring",
        vital: false,
        exchanges: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[],
                shares: "fentry:do_accept fentry:fd_install fexit:do_accept",
                fits: any,
                loses: "",
            },
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("io_uring_complete_cqe", "io_uring_complete")],
                shares: "",
                fits: |btf| tracepoint_arity(btf, "io_uring_complete", 3),
                loses: "blocked_us, accepts into direct descriptors, and of connections that were queued before the attach",
            },
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("io_uring_complete_res", "io_uring_complete")],
                shares: "",
                fits: |btf| tracepoint_arity(btf, "io_uring_complete", 7),
                loses: "blocked_us, accepts into direct descriptors, and of connections that were queued before the attach",
            },
        ],
        without: "accepts through io_uring are not seen",
    },
    Row {
        signal: "syn",
        vital: false,
        exchanges: false,
        choices: &[
            best(&[
                fentry("syn_queued", "inet_csk_reqsk_queue_hash_add"),
                fexit("conn_request_done", "tcp_conn_request"),
                fentry("conn_request", "tcp_conn_request"),
            ]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint(SYNACK, "net_dev_queue")],
                shares: "",
                fits: any,
                loses: "SYNs are seen by their SYN-ACK: those that got none, or a syncookie, are not",
            },
        ],
        without: "SYNs are not seen one by one; dropped ones are counted from the socket's drop counter and the network \
                  namespace's ListenOverflows, without the peer's name",
    },
    Row {
        signal: "syncookie",
        vital: false,
        exchanges: false,
        choices: &[best(&[
            fentry("cookie_v4", "cookie_v4_init_sequence"),
            fentry("cookie_v6", "cookie_v6_init_sequence"),
        ])],
        without: "syncookies are not counted by listener",
    },
    Row {
        signal: "overflow_ack",
        vital: false,
        exchanges: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("final_ack_v4_7", "tcp_v4_syn_recv_sock"),
                    fexit("final_ack_v6_7", "tcp_v6_syn_recv_sock"),
                ],
                shares: "",
                fits: |btf| arity(btf, "tcp_v4_syn_recv_sock", 7).and_then(|()| arity(btf, "tcp_v6_syn_recv_sock", 7)),
                loses: "",
            },
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("final_ack_v4_6", "tcp_v4_syn_recv_sock"),
                    fexit("final_ack_v6_6", "tcp_v6_syn_recv_sock"),
                ],
                shares: "",
                fits: |btf| arity(btf, "tcp_v4_syn_recv_sock", 6).and_then(|()| arity(btf, "tcp_v6_syn_recv_sock", 6)),
                loses: "",
            },
            // Where the function above has seven arguments, kernels before 6.12 cannot attach to it.
            Choice {
                tier: Tier::Full,
                programs: &[fexit("check_req_done", "tcp_check_req"), fentry("check_req", "tcp_check_req")],
                shares: "",
                fits: |btf| arity(btf, "tcp_check_req", 5),
                loses: "overflows at the final ACK of a connection that came by a syncookie",
            },
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("drop_reason", "kfree_skb")],
                shares: "",
                fits: tells_listen_overflow,
                loses: "",
            },
        ],
        without: "overflows at the final ACK are not told apart from those at the SYN, nor named",
    },
    Row {
        signal: "synack_retransmit",
        vital: false,
        exchanges: false,
        choices: &[same(&[tracepoint("retransmit_synack", "tcp_retransmit_synack")])],
        without: "retransmitted SYN-ACKs are not counted",
    },
    Row {
        signal: "open_connections",
        vital: false,
        exchanges: true,
        choices: &[Choice {
            tier: Tier::Tracepoint,
            programs: &[Program { name: SCAN_CONNECTIONS, attach: Attach::Iterator("task_file") }],
            shares: "",
            fits: sockets_from_files,
            loses: "",
        }],
        without: "connections that were open at the attach, exchanges that are not over yet, and UDP sockets are not seen",
    },
    Row {
        signal: "connection_state",
        vital: false,
        exchanges: true,
        choices: &[shared("tp_btf:inet_sock_set_state")],
        without: "who ended a connection is unknown",
    },
    Row {
        signal: "connection_end",
        vital: false,
        exchanges: true,
        choices: &[shared("tp_btf:tcp_destroy_sock")],
        without: "the end of connections is not seen",
    },
    Row {
        signal: "data_in",
        vital: false,
        exchanges: true,
        choices: &[
            same(&[tracepoint("data_ready", "sk_data_ready")]),
            best(&[fentry("def_readable", "sock_def_readable")]),
        ],
        without: "when data arrived is not seen, nor how long they waited for a read",
    },
    Row {
        signal: "read",
        vital: false,
        exchanges: true,
        choices: &[
            same(&[tracepoint("recv_length", "sock_recv_length")]),
            best(&[fexit("recvmsg_v4", "inet_recvmsg"), fexit("recvmsg_v6", "inet6_recvmsg")]),
        ],
        without: "reads are not seen, and so no exchanges",
    },
    Row {
        signal: "read_splice",
        vital: false,
        exchanges: true,
        choices: &[best(&[fexit("splice_read", "tcp_splice_read")])],
        without: "bytes that splice moves from a socket to a pipe are not seen as read",
    },
    Row {
        signal: "write",
        vital: false,
        exchanges: true,
        choices: &[
            same(&[tracepoint("send_length", "sock_send_length")]),
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("sendmsg_v4", "inet_sendmsg"),
                    fexit("sendmsg_v6", "inet6_sendmsg"),
                    fexit("sendpage", "inet_sendpage"),
                ],
                shares: "",
                fits: any,
                loses: "",
            },
            best(&[fexit("sendmsg_v4", "inet_sendmsg"), fexit("sendmsg_v6", "inet6_sendmsg")]),
        ],
        without: "writes are not seen, and so no exchanges",
    },
    Row {
        signal: "write_blocked",
        vital: false,
        exchanges: true,
        choices: &[best(&[fentry("wait_memory", "sk_stream_wait_memory")])],
        without: "how long a blocking write waited for room is known to one tick",
    },
    Row {
        signal: "retransmit",
        vital: false,
        exchanges: true,
        choices: &[same(&[tracepoint("retransmit", "tcp_retransmit_skb")])],
        without: "segments sent again are counted only at the end of a connection",
    },
    Row {
        signal: "delayed_ack",
        vital: false,
        exchanges: true,
        choices: &[
            best(&[fentry("delayed_ack", "tcp_delack_timer_handler")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "tp_btf:sk_data_ready",
                fits: |btf| tracepoint_arity(btf, "sk_data_ready", 1),
                loses: "ACKs that were delayed while the application worked on its answer",
            },
        ],
        without: "ACKs that this host delayed are not counted",
    },
];

/// Every kernel function and tracepoint that the table asks BTF about.
pub fn functions() -> impl Iterator<Item = &'static str> {
    ["tcp_v4_syn_recv_sock", "tcp_v6_syn_recv_sock", "tcp_check_req", SOCKET_STORAGE, SOCKET_COOKIE, SOCK_FROM_FILE]
        .into_iter()
}

/// Every tracepoint whose arity the table asks for.
pub fn tracepoints() -> impl Iterator<Item = &'static str> {
    ["kfree_skb", "io_uring_complete", "sk_data_ready"].into_iter()
}
