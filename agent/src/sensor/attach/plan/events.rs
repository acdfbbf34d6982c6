//! Signals of single events: with `--detail events` alone. What else an event needs is hooked for
//! exchanges already.

use super::{
    signal::Signal,
    spec::{Choice, SignalSpec, any, best, fentry, fexit, same, tracepoint},
};
use crate::model::Tier;

pub(super) const SIGNALS: &[SignalSpec] = &[
    SignalSpec {
        signal: Signal::Segment,
        required: false,
        choices: &[
            best(&[
                fentry("segment", "__tcp_transmit_skb"),
                fexit("segment_sent", "__tcp_transmit_skb"),
            ]),
            // The packet has all of it, but the hook sees each packet of the machine.
            same(&[tracepoint("segment_queued", "net_dev_queue")]),
        ],
        missing: "segments are not seen one by one, and neither is when this host's window closes",
    },
    SignalSpec {
        signal: Signal::Ack,
        required: false,
        choices: &[
            best(&[fentry("ack", "tcp_ack")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[tracepoint("ack_established", "tcp_probe")],
                shares: "",
                check_btf: any,
                degraded: "acknowledgements that come after either side has closed are not seen",
            },
        ],
        missing: "acknowledgements are not seen one by one, and neither is when the peer's window \
                  closes",
    },
    SignalSpec {
        signal: Signal::ReadBlocked,
        required: false,
        choices: &[best(&[fentry("wait_data", "sk_wait_data")])],
        missing: "how long a read waited for data is unknown",
    },
    SignalSpec {
        signal: Signal::Reset,
        required: false,
        choices: &[same(&[
            tracepoint("reset_sent", "tcp_send_reset"),
            tracepoint("reset_received", "tcp_receive_reset"),
        ])],
        missing: "RSTs are not seen one by one; the state changes that they cause are",
    },
    SignalSpec {
        signal: Signal::TimeWait,
        required: false,
        choices: &[
            best(&[fentry("time_wait", "tcp_time_wait")]),
            Choice {
                tier: Tier::Tracepoint,
                programs: &[],
                shares: "tp_btf:inet_sock_set_state",
                check_btf: any,
                degraded: "TIME_WAIT is inferred: the socket went from FIN_WAIT2 or CLOSING to \
                           CLOSE without an error",
            },
        ],
        missing: "TIME_WAIT is not seen",
    },
];
