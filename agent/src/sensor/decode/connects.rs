//! Connects that bring no connection, and data that come when a connection is closed.

use backscope_abi as abi;

use super::record::{address, known};
use crate::{
    model::event::{Connect, Late, Outcome},
    sensor::procfs,
    text::Untrusted,
};

/// A connect that failed.
pub(super) fn failed(raw: &abi::Failed) -> Connect {
    let outcome = outcome(raw);
    let error = match outcome {
        Outcome::GivenUp => known(raw.soft_error),
        _ => known(raw.error),
    };
    let (low, high) = (raw.ports as u16, (raw.ports >> 16) as u16);
    Connect {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        peer: address(raw.peer),
        pid: raw.tgid,
        comm: procfs::comm(raw.tgid).unwrap_or_default(),
        tid: known(raw.tid),
        asked_ns: raw.asked_ns,
        outcome,
        error,
        inferred: outcome == Outcome::NoPort,
        syns: if raw.stage == abi::attempt::SENT { raw.again.saturating_add(1) } else { 0 },
        ports: if raw.ports == 0 { None } else { Some((low, high)) },
        time_wait: None,
    }
}

fn outcome(raw: &abi::Failed) -> Outcome {
    let error = i32::try_from(raw.error).unwrap_or(0);
    match raw.stage {
        abi::attempt::PORTLESS => Outcome::NoPort,
        abi::attempt::UNROUTED if error == libc::EADDRNOTAVAIL => Outcome::NoPort,
        abi::attempt::UNROUTED => Outcome::NoRoute,
        _ => match error {
            0 if raw.closed != 0 => Outcome::GivenUp,
            libc::ECONNREFUSED => Outcome::Refused,
            libc::ETIMEDOUT => Outcome::TimedOut,
            libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EACCES | libc::EPERM => {
                Outcome::Unreachable
            }
            _ => Outcome::Failed,
        },
    }
}

/// A connect that hangs, as the iterator shows it.
pub(in crate::sensor) fn pending(
    head: &abi::ScanConnection,
    raw: &abi::Exchange,
    comm: Untrusted,
    now_ns: u64,
) -> Connect {
    Connect {
        ts_ns: now_ns,
        sock: raw.sock,
        peer: address(head.peer),
        pid: head.tgid,
        comm,
        tid: known(raw.writer.tid),
        asked_ns: head.since_ns,
        outcome: Outcome::Pending,
        error: None,
        inferred: false,
        syns: u32::from(head.again) + 1,
        ports: None,
        time_wait: None,
    }
}

/// Data that came too late.
pub(super) fn late(raw: &abi::Late) -> Late {
    Late {
        ts_ns: raw.ts_ns,
        local: address(raw.local),
        peer: address(raw.peer),
        bytes: raw.bytes.into(),
        lingers: if raw.sock == 0 { None } else { Some((raw.sock, raw.idle_ns)) },
    }
}
