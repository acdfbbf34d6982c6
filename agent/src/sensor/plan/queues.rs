//! Signals of listeners and their queues: whatever is watched.

use super::{
    ACCEPT_AT_REST, ACCEPT_RETURNS, Attach, Choice, Program, Row, SYNACK, Tier, URING_COMPLETE,
    any, arity, best, cgroup, fentry, fexit, marks_children, same, shared, syscall,
    tells_listen_overflow, tracepoint, tracepoint_arity,
};

/// The full tier's hooks of accept see it, too.
const WITH_ACCEPT: Choice = Choice {
    tier: Tier::Full,
    programs: &[],
    shares: "fentry:do_accept fentry:fd_install fexit:do_accept",
    fits: any,
    loses: "",
};

pub(super) const ROWS: &[Row] = &[
    Row {
        signal: "open_listeners",
        vital: true,
        choices: &[same(&[Program { name: "scan", attach: Attach::Iterator("task_file") }])],
        without: "listeners that exist cannot be found",
    },
    Row {
        signal: "process",
        vital: false,
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
        choices: &[same(&[tracepoint("set_state", "inet_sock_set_state")])],
        without: "listeners opened later are not seen",
    },
    Row {
        signal: "backlog",
        vital: false,
        choices: &[
            best(&[fentry("listen_call", "__sys_listen")]),
            same(&[syscall("sys_enter_listen")]),
        ],
        without: "the backlog asked for is unknown; its effective limit is not",
    },
    Row {
        signal: "queued",
        vital: false,
        choices: &[
            best(&[
                fexit("hashdance", "inet_csk_complete_hashdance"),
                fentry("queue_add", "inet_csk_reqsk_queue_add"),
            ]),
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
        choices: &[same(&[tracepoint("destroy", "tcp_destroy_sock")])],
        without: "connections that leave the queue unaccepted are not counted",
    },
    Row {
        signal: "accept",
        vital: true,
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
        choices: &[
            WITH_ACCEPT,
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
        signal: "accept_fails",
        vital: false,
        choices: &[best(&[fexit("accept_call_done", "__sys_accept4")]), shared(ACCEPT_RETURNS)],
        without: "calls of accept that fail for want of a descriptor are not counted",
    },
    Row {
        signal: "accept_fails_io_uring",
        vital: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[fexit("uring_accept_done", "io_accept")],
                shares: "",
                fits: |btf| arity(btf, "io_accept", 2),
                loses: "",
            },
            shared(URING_COMPLETE),
        ],
        without: "accepts through io_uring that fail for want of a descriptor are not counted",
    },
    Row {
        signal: ACCEPT_AT_REST,
        vital: false,
        choices: &[
            WITH_ACCEPT,
            // Which connections are ours is known by the queue.
            Choice {
                tier: Tier::Tracepoint,
                programs: &[
                    cgroup("peer_name_v4", "getpeername4"),
                    cgroup("peer_name_v6", "getpeername6"),
                ],
                shares: "",
                fits: marks_children,
                loses: "",
            },
        ],
        without: "the system call tracepoints stay attached while no connection comes, though they slow each system call",
    },
    Row {
        signal: "syn",
        vital: false,
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
        choices: &[best(&[
            fentry("cookie_v4", "cookie_v4_init_sequence"),
            fentry("cookie_v6", "cookie_v6_init_sequence"),
        ])],
        without: "syncookies are not counted by listener",
    },
    Row {
        signal: "overflow_ack",
        vital: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("final_ack_v4_7", "tcp_v4_syn_recv_sock"),
                    fexit("final_ack_v6_7", "tcp_v6_syn_recv_sock"),
                ],
                shares: "",
                fits: |btf| {
                    arity(btf, "tcp_v4_syn_recv_sock", 7)
                        .and_then(|()| arity(btf, "tcp_v6_syn_recv_sock", 7))
                },
                loses: "",
            },
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("final_ack_v4_6", "tcp_v4_syn_recv_sock"),
                    fexit("final_ack_v6_6", "tcp_v6_syn_recv_sock"),
                ],
                shares: "",
                fits: |btf| {
                    arity(btf, "tcp_v4_syn_recv_sock", 6)
                        .and_then(|()| arity(btf, "tcp_v6_syn_recv_sock", 6))
                },
                loses: "",
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
                fits: |btf| {
                    arity(btf, "tcp_check_req", 5)
                        .and_then(|()| arity(btf, "tcp_get_cookie_sock", 5))
                },
                loses: "",
            },
            Choice {
                tier: Tier::Full,
                programs: &[
                    fexit("check_req_done", "tcp_check_req"),
                    fentry("check_req", "tcp_check_req"),
                ],
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
        choices: &[same(&[tracepoint("retransmit_synack", "tcp_retransmit_synack")])],
        without: "retransmitted SYN-ACKs are not counted",
    },
];
