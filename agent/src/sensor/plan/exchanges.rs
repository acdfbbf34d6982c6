//! Signals of connections and their exchanges: not with `--detail queues`.

use super::{
    Attach, Choice, Program, Row, SCAN_CONNECTIONS, Tier, any, best, cgroup, fentry, fexit,
    marks_children, same, shared, sockets_by_address, sockets_by_cookie, sockets_from_files,
    tracepoint, tracepoint_arity,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        signal: "open_connections",
        vital: false,
        choices: &[Choice {
            tier: Tier::Tracepoint,
            programs: &[Program { name: SCAN_CONNECTIONS, attach: Attach::Iterator("task_file") }],
            shares: "",
            fits: sockets_from_files,
            loses: "",
        }],
        without: "connections that were open at the attach, and exchanges that are not over yet, are not seen",
    },
    Row {
        signal: "open_datagrams",
        vital: false,
        choices: &[
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "iter:task_file",
                fits: sockets_from_files,
                loses: "",
            },
            // The same program by itself: of UDP sockets an address is enough.
            same(&[Program { name: SCAN_CONNECTIONS, attach: Attach::Iterator("task_file") }]),
        ],
        without: "UDP sockets are not seen",
    },
    Row {
        signal: "connection_state",
        vital: false,
        choices: &[shared("tp_btf:inet_sock_set_state")],
        without: "who ended a connection is unknown",
    },
    Row {
        signal: "connection_end",
        vital: false,
        choices: &[shared("tp_btf:tcp_destroy_sock")],
        without: "the end of connections is not seen",
    },
    Row {
        signal: "connect_unsent",
        vital: false,
        choices: &[
            best(&[
                fexit("connect_v4_done", "tcp_v4_connect"),
                fexit("connect_v6_done", "tcp_v6_connect"),
            ]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[cgroup("asks_v4", "connect4"), cgroup("asks_v6", "connect6")],
                shares: "",
                fits: marks_children,
                loses: "why a connect failed that found no route is inferred, and told when its socket is closed",
            },
        ],
        without: "a connect that fails before it has a port, as without a route, is not seen",
    },
    Row {
        signal: "late_data",
        vital: false,
        choices: &[
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("late", "tcp_send_reset")],
                shares: "",
                fits: |btf| tracepoint_arity(btf, "tcp_send_reset", 3),
                loses: "",
            },
            best(&[fentry("late_v4", "tcp_v4_send_reset"), fentry("late_v6", "tcp_v6_send_reset")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("late", "tcp_send_reset")],
                shares: "",
                fits: any,
                loses: "requests that come once the peer has acknowledged that this host closed",
            },
        ],
        without: "requests that come when this host has closed are not seen",
    },
    Row {
        signal: "data_in",
        vital: false,
        choices: &[
            same(&[tracepoint("data_ready", "sk_data_ready")]),
            best(&[fentry("def_readable", "sock_def_readable")]),
        ],
        without: "when data arrived is not seen, nor how long they waited for a read",
    },
    Row {
        signal: "read",
        vital: false,
        choices: &[
            same(&[tracepoint("recv_length", "sock_recv_length")]),
            best(&[fexit("recvmsg_v4", "inet_recvmsg"), fexit("recvmsg_v6", "inet6_recvmsg")]),
        ],
        without: "reads are not seen, and so no exchanges",
    },
    Row {
        signal: "datagram_end",
        vital: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[
                    fentry("datagram_gone_v4", "udp_destroy_sock"),
                    fentry("datagram_gone_v6", "udpv6_destroy_sock"),
                ],
                shares: "",
                fits: sockets_by_address,
                loses: "",
            },
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "iter:task_file",
                fits: sockets_by_cookie,
                loses: "",
            },
        ],
        without: "a UDP socket that is made where another one was closed a moment before goes on with its figures",
    },
    Row {
        signal: "datagram_size",
        vital: false,
        choices: &[best(&[
            fentry("datagram_in", "__udp_enqueue_schedule_skb"),
            fexit("datagram_refused", "__udp_enqueue_schedule_skb"),
        ])],
        without: "of datagrams that arrived the bytes are seen when they are read",
    },
    Row {
        signal: "read_splice",
        vital: false,
        choices: &[best(&[fexit("splice_read", "tcp_splice_read")])],
        without: "bytes that splice moves from a socket to a pipe are not seen as read",
    },
    Row {
        signal: "write",
        vital: false,
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
        choices: &[best(&[fentry("wait_memory", "sk_stream_wait_memory")])],
        without: "how long a blocking write waited for room is known to one tick",
    },
    Row {
        signal: "retransmit",
        vital: false,
        choices: &[same(&[tracepoint("retransmit", "tcp_retransmit_skb")])],
        without: "segments sent again are counted only at the end of a connection",
    },
    Row {
        signal: "delayed_ack",
        vital: false,
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
