//! Signals of listeners and their queues: whatever is watched.

use super::{
    signal::Signal,
    spec::{
        ACCEPT_RETURNS, Choice, SCAN, SYNACK, SignalSpec, URING_COMPLETE, any, arity, best, cgroup,
        fentry, fexit, has_socket_storage, same, shared, syscall, tells_listen_overflow,
        tracepoint, tracepoint_arity,
    },
};
use crate::{kernel::btf::Btf, model::Tier};

/// The full tier's hooks of accept see it, too.
pub(super) const WITH_ACCEPT: Choice = Choice {
    tier: Tier::Full,
    programs: &[],
    shares: "fentry:do_accept fentry:fd_install fexit:do_accept",
    check_btf: any,
    degraded: "",
};

pub(super) const SIGNALS: &[SignalSpec] = &[
    SignalSpec {
        signal: Signal::OpenListeners,
        required: true,
        choices: &[same(&[SCAN])],
        missing: "existing listeners cannot be found",
    },
    SignalSpec {
        signal: Signal::Process,
        required: false,
        choices: &[same(&[
            tracepoint("fork", "sched_process_fork"),
            tracepoint("exec", "sched_process_exec"),
            tracepoint("exit", "sched_process_exit"),
        ])],
        missing: "children of the target are not followed",
    },
    SignalSpec {
        signal: Signal::Listen,
        required: true,
        choices: &[same(&[tracepoint("set_state", "inet_sock_set_state")])],
        missing: "listeners opened later are not seen",
    },
    SignalSpec {
        signal: Signal::Backlog,
        required: false,
        choices: &[
            best(&[fentry("listen_call", "__sys_listen")]),
            same(&[syscall("sys_enter_listen")]),
        ],
        missing: "the backlog asked for is unknown; its effective limit is known",
    },
    SignalSpec {
        signal: Signal::Queued,
        required: false,
        choices: &[
            best(&[
                fexit("hashdance", "inet_csk_complete_hashdance"),
                fentry("queue_add", "inet_csk_reqsk_queue_add"),
            ]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "tp_btf:inet_sock_set_state",
                check_btf: any,
                degraded: "the timestamp is that of the child socket's creation, about 2 µs before \
                           it enters the queue",
            },
        ],
        missing: "the depth of the accept queue is known from samples and accepts, and connections \
                  that leave it unaccepted are not seen",
    },
    SignalSpec {
        signal: Signal::LeftQueue,
        required: false,
        choices: &[same(&[tracepoint("destroy", "tcp_destroy_sock")])],
        missing: "connections that leave the queue unaccepted are not counted",
    },
    SignalSpec {
        signal: Signal::Accept,
        required: true,
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
        missing: "accepts are not seen",
    },
    SignalSpec {
        signal: Signal::AcceptIoUring,
        required: false,
        choices: &[
            WITH_ACCEPT,
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("io_uring_complete_cqe", "io_uring_complete")],
                shares: "",
                check_btf: |btf| tracepoint_arity(btf, "io_uring_complete", 3),
                degraded: "blocked_us, accepts into direct descriptors, and accepts of connections \
                           that were queued before the attach are not seen",
            },
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("io_uring_complete_res", "io_uring_complete")],
                shares: "",
                check_btf: |btf| tracepoint_arity(btf, "io_uring_complete", 7),
                degraded: "blocked_us, accepts into direct descriptors, and accepts of connections \
                           that were queued before the attach are not seen",
            },
        ],
        missing: "accepts through io_uring are not seen",
    },
    SignalSpec {
        signal: Signal::AcceptFails,
        required: false,
        choices: &[best(&[fexit("accept_call_done", "__sys_accept4")]), shared(ACCEPT_RETURNS)],
        missing: "calls to accept() that fail for lack of a descriptor are not counted",
    },
    SignalSpec {
        signal: Signal::AcceptFailsIoUring,
        required: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[fexit("uring_accept_done", "io_accept")],
                shares: "",
                check_btf: |btf| arity(btf, "io_accept", 2),
                degraded: "",
            },
            shared(URING_COMPLETE),
        ],
        missing: "accepts through io_uring that fail for lack of a descriptor are not counted",
    },
    SignalSpec {
        signal: Signal::AcceptAtRest,
        required: false,
        choices: &[
            WITH_ACCEPT,
            // The map of queued connections says which are watched.
            Choice {
                tier: Tier::Tracepoint,
                programs: &[
                    cgroup("peer_name_v4", "getpeername4"),
                    cgroup("peer_name_v6", "getpeername6"),
                ],
                shares: "",
                check_btf: has_socket_storage,
                degraded: "",
            },
        ],
        missing: "the system call tracepoints stay attached while no connection comes, although \
                  they slow down every system call",
    },
    SignalSpec {
        signal: Signal::Syn,
        required: false,
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
                check_btf: any,
                degraded: "SYNs are seen by their SYN-ACK: those that got none, or got a \
                           syncookie, are not seen",
            },
        ],
        missing: "SYNs are not seen one by one; dropped ones are counted from the socket's drop \
                  counter and the network namespace's ListenOverflows, without the peer's address",
    },
    SignalSpec {
        signal: Signal::Syncookie,
        required: false,
        choices: &[best(&[
            fentry("cookie_v4", "cookie_v4_init_sequence"),
            fentry("cookie_v6", "cookie_v6_init_sequence"),
        ])],
        missing: "syncookies are not counted per listener",
    },
    SignalSpec {
        signal: Signal::OverflowAck,
        required: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("final_ack_v4_7", "tcp_v4_syn_recv_sock"),
                    fexit("final_ack_v6_7", "tcp_v6_syn_recv_sock"),
                ],
                shares: "",
                check_btf: |btf| syn_recv_sock_arity(btf, 7),
                degraded: "",
            },
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("final_ack_v4_6", "tcp_v4_syn_recv_sock"),
                    fexit("final_ack_v6_6", "tcp_v6_syn_recv_sock"),
                ],
                shares: "",
                check_btf: |btf| syn_recv_sock_arity(btf, 6),
                degraded: "",
            },
            // Where the function above has seven arguments, kernels before 6.12 cannot attach to
            // it.
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("cookie_child", "tcp_get_cookie_sock"),
                    fexit("check_req_done", "tcp_check_req"),
                    fentry("check_req", "tcp_check_req"),
                ],
                shares: "",
                check_btf: |btf| {
                    arity(btf, "tcp_check_req", 5)?;
                    arity(btf, "tcp_get_cookie_sock", 5)
                },
                degraded: "",
            },
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("check_req_done", "tcp_check_req"),
                    fentry("check_req", "tcp_check_req"),
                ],
                shares: "",
                check_btf: |btf| arity(btf, "tcp_check_req", 5),
                degraded: "overflows at the final ACK of a connection that came by a syncookie are \
                           not seen",
            },
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("drop_reason", "kfree_skb")],
                shares: "",
                check_btf: tells_listen_overflow,
                degraded: "",
            },
        ],
        missing: "overflows at the final ACK are not told apart from those at the SYN, and their \
                  peers are not named",
    },
    SignalSpec {
        signal: Signal::SynackRetransmit,
        required: false,
        choices: &[same(&[tracepoint("retransmit_synack", "tcp_retransmit_synack")])],
        missing: "retransmitted SYN-ACKs are not counted",
    },
];

fn syn_recv_sock_arity(btf: &Btf, wanted: usize) -> Result<(), String> {
    arity(btf, "tcp_v4_syn_recv_sock", wanted)?;
    arity(btf, "tcp_v6_syn_recv_sock", wanted)
}
