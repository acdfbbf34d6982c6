//! Signals of connections and their exchanges: not with `--detail queues`.

use super::{
    queues::WITH_ACCEPT,
    signal::Signal,
    spec::{
        Attach, Choice, Program, SCAN_CONNECTIONS, SignalSpec, any, best, cgroup, fentry, fexit,
        has_socket_storage, same, shared, sockets_by_address, sockets_by_cookie, tracepoint,
        tracepoint_arity,
    },
};
use crate::model::Tier;

pub(super) const SIGNALS: &[SignalSpec] = &[
    SignalSpec {
        signal: Signal::OpenConnections,
        required: false,
        choices: &[same(&[Program {
            name: SCAN_CONNECTIONS,
            attach: Attach::Iterator("task_file"),
        }])],
        missing: "connections that were open at the attach, and exchanges still in progress, are \
                  not seen",
    },
    SignalSpec {
        signal: Signal::OpenDatagrams,
        required: false,
        choices: &[shared("iter:task_file")],
        missing: "UDP sockets are not seen",
    },
    SignalSpec {
        signal: Signal::ConnectionState,
        required: false,
        choices: &[shared("tp_btf:inet_sock_set_state")],
        missing: "who ended a connection is unknown",
    },
    SignalSpec {
        signal: Signal::ConnectionEnd,
        required: false,
        choices: &[shared("tp_btf:tcp_destroy_sock")],
        missing: "the end of connections is not seen",
    },
    SignalSpec {
        signal: Signal::ConnectUnsent,
        required: false,
        choices: &[
            best(&[
                fexit("connect_v4_done", "tcp_v4_connect"),
                fexit("connect_v6_done", "tcp_v6_connect"),
            ]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[cgroup("asks_v4", "connect4"), cgroup("asks_v6", "connect6")],
                shares: "",
                check_btf: has_socket_storage,
                degraded: "for a connect that found no route, the reason is inferred, and reported \
                           when its socket is closed",
            },
        ],
        missing: "a connect that fails before it has a port, for example without a route, is not \
                  seen",
    },
    SignalSpec {
        signal: Signal::LateData,
        required: false,
        choices: &[
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("late", "tcp_send_reset")],
                shares: "",
                check_btf: |btf| tracepoint_arity(btf, "tcp_send_reset", 3),
                degraded: "",
            },
            best(&[fentry("late_v4", "tcp_v4_send_reset"), fentry("late_v6", "tcp_v6_send_reset")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("late", "tcp_send_reset")],
                shares: "",
                check_btf: any,
                degraded: "requests that come after the peer has acknowledged this host's close \
                           are not seen",
            },
        ],
        missing: "requests that come after this host has closed are not seen",
    },
    SignalSpec {
        signal: Signal::EndsAtRest,
        required: false,
        // The hook of state changes is not suspended on the full tier.
        choices: &[WITH_ACCEPT, same(&[tracepoint("error_report", "inet_sk_error_report")])],
        missing: "the hook of state changes stays attached while very many connections come",
    },
    SignalSpec {
        signal: Signal::DataIn,
        required: false,
        choices: &[
            same(&[tracepoint("data_ready", "sk_data_ready")]),
            best(&[fentry("def_readable", "sock_def_readable")]),
        ],
        missing: "when data arrived, and how long it waited for a read, is not seen",
    },
    SignalSpec {
        signal: Signal::Read,
        required: false,
        choices: &[
            same(&[tracepoint("recv_length", "sock_recv_length")]),
            best(&[fexit("recvmsg_v4", "inet_recvmsg"), fexit("recvmsg_v6", "inet6_recvmsg")]),
        ],
        missing: "reads are not seen, and therefore neither are exchanges",
    },
    SignalSpec {
        signal: Signal::DatagramEnd,
        required: false,
        choices: &[
            Choice {
                tier: Tier::Full,
                programs: &[
                    fentry("datagram_gone_v4", "udp_destroy_sock"),
                    fentry("datagram_gone_v6", "udpv6_destroy_sock"),
                ],
                shares: "",
                check_btf: sockets_by_address,
                degraded: "",
            },
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "iter:task_file",
                check_btf: sockets_by_cookie,
                degraded: "",
            },
        ],
        missing: "a UDP socket created where another one was closed a moment before continues its \
                  figures",
    },
    SignalSpec {
        signal: Signal::DatagramSize,
        required: false,
        choices: &[best(&[
            fentry("datagram_in", "__udp_enqueue_schedule_skb"),
            fexit("datagram_refused", "__udp_enqueue_schedule_skb"),
        ])],
        missing: "the bytes of arriving datagrams are seen when they are read",
    },
    SignalSpec {
        signal: Signal::ReadSplice,
        required: false,
        choices: &[best(&[fexit("splice_read", "tcp_splice_read")])],
        missing: "bytes that splice moves from a socket to a pipe are not seen as read",
    },
    SignalSpec {
        signal: Signal::Write,
        required: false,
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
                check_btf: any,
                degraded: "",
            },
            best(&[fexit("sendmsg_v4", "inet_sendmsg"), fexit("sendmsg_v6", "inet6_sendmsg")]),
        ],
        missing: "writes are not seen, and therefore neither are exchanges",
    },
    SignalSpec {
        signal: Signal::WriteBlocked,
        required: false,
        choices: &[best(&[fentry("wait_memory", "sk_stream_wait_memory")])],
        missing: "how long a blocking write waited for room is known to within one tick",
    },
    SignalSpec {
        signal: Signal::Retransmit,
        required: false,
        choices: &[same(&[tracepoint("retransmit", "tcp_retransmit_skb")])],
        missing: "retransmitted segments are counted only at the end of a connection",
    },
    SignalSpec {
        signal: Signal::DelayedAck,
        required: false,
        choices: &[
            best(&[fentry("delayed_ack", "tcp_delack_timer_handler")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "tp_btf:sk_data_ready",
                check_btf: |btf| tracepoint_arity(btf, "sk_data_ready", 1),
                degraded: "ACKs that were delayed while the application worked on its answer are \
                           not counted",
            },
        ],
        missing: "ACKs that this host delayed are not counted",
    },
];
