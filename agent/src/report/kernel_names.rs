//! The kernel's names for the numbers that single events carry.

use crate::model::event::HoldReason;

/// A TCP state, as `include/net/tcp_states.h` names it.
pub(super) fn state(number: u8) -> &'static str {
    const NAMES: [&str; 14] = [
        "unknown",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
        "BOUND_INACTIVE",
    ];
    NAMES.get(usize::from(number)).copied().unwrap_or(NAMES[0])
}

/// A state of congestion control, as `enum tcp_ca_state` names it.
pub(super) fn ca_state(number: u8) -> &'static str {
    ["Open", "Disorder", "CWR", "Recovery", "Loss"]
        .get(usize::from(number))
        .copied()
        .unwrap_or("unknown")
}

/// Cause of a retransmission: `Loss` is entered by the timeout, `Recovery` by
/// duplicate ACKs; in the others it is the probe for a lost tail.
pub(super) fn cause(ca_state: u8) -> &'static str {
    match ca_state {
        4 => "timeout",
        3 => "recovery",
        _ => "tail_loss_probe",
    }
}

/// The flags of a TCP header that are set.
pub(super) fn flags(bits: u8) -> Vec<&'static str> {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let mut set = Vec::new();
    for (bit, name) in names.into_iter().enumerate() {
        if bits & 1 << bit != 0 {
            set.push(name);
        }
    }
    set
}

/// The directions of a socket that are shut down.
pub(super) fn shutdown(bits: u8) -> &'static str {
    match bits & 3 {
        0 => "none",
        1 => "receive",
        2 => "send",
        _ => "both",
    }
}

/// Reason of a hold, as slices of an exchange are called.
pub(super) fn why(reason: HoldReason) -> &'static str {
    match reason {
        HoldReason::Nagle => "nagle",
        HoldReason::Cork => "cork",
        HoldReason::Congestion => "congestion",
        HoldReason::ReceiveWindow => "receive_window",
        HoldReason::Pacing => "pacing",
    }
}
