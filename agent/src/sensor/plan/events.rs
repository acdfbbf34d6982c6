//! Signals of single events: with `--detail events` alone. What else an event needs is hooked for
//! exchanges already.

use super::{Choice, Row, Tier, any, best, fentry, fexit, same, tracepoint};

pub(super) const ROWS: &[Row] = &[
    Row {
        signal: "segment",
        vital: false,
        choices: &[
            best(&[
                fentry("segment", "__tcp_transmit_skb"),
                fexit("segment_sent", "__tcp_transmit_skb"),
            ]),
            // The packet has all of it; but each packet of the machine comes by.
            same(&[tracepoint("segment_queued", "net_dev_queue")]),
        ],
        without: "segments are not seen one by one, nor when this host's window is shut",
    },
    Row {
        signal: "ack",
        vital: false,
        choices: &[
            best(&[fentry("ack", "tcp_ack")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("ack_established", "tcp_probe")],
                shares: "",
                fits: any,
                loses: "acknowledgements that come once either side has closed",
            },
        ],
        without: "acknowledgements are not seen one by one, nor when the peer's window is shut",
    },
    Row {
        signal: "read_blocked",
        vital: false,
        choices: &[best(&[fentry("wait_data", "sk_wait_data")])],
        without: "how long a read waited for data is unknown",
    },
    Row {
        signal: "reset",
        vital: false,
        choices: &[same(&[
            tracepoint("reset_sent", "tcp_send_reset"),
            tracepoint("reset_received", "tcp_receive_reset"),
        ])],
        without: "RSTs are not seen one by one; the state changes that they bring about are",
    },
    Row {
        signal: "time_wait",
        vital: false,
        choices: &[
            best(&[fentry("time_wait", "tcp_time_wait")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "tp_btf:inet_sock_set_state",
                fits: any,
                loses: "TIME_WAIT is inferred: the socket went from FIN_WAIT2 or CLOSING to CLOSE without an error",
            },
        ],
        without: "TIME_WAIT is not seen",
    },
];
