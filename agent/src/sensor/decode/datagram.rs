//! A UDP socket's totals, as the probes keep them in a map.

use backscope_abi as abi;

use super::record::{address, comm, known};
use crate::{
    model::event::{DatagramFlow, DatagramSample},
    sensor::attach::{Chosen, Signal},
};

/// Signals of UDP sockets that are seen: a total of 0 means none only where its signal is.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sensor) struct DatagramSignals {
    reads: bool,
    writes: bool,
    sizes: bool,
}

impl DatagramSignals {
    pub(in crate::sensor) fn new(chosen: &Chosen) -> Self {
        Self {
            reads: chosen.has(Signal::Read),
            writes: chosen.has(Signal::Write),
            sizes: chosen.has(Signal::DatagramSize),
        }
    }
}

/// The facts in a socket's totals, after the refresh period `ended`. The caller adds the waits, and
/// whether it is closed.
pub(in crate::sensor) fn datagram(
    raw: &abi::Datagram,
    seen: DatagramSignals,
    ended: u32,
) -> DatagramSample {
    let slot = (ended & 1) as usize;
    let in_period = raw.period[slot] == ended.wrapping_add(1);
    let (peak, longest_ns) = if in_period {
        (raw.peak[slot].max(raw.queued), raw.longest_in_ns[slot])
    } else {
        (raw.queued, 0)
    };
    let arrived_bytes = if seen.sizes { Some(raw.bytes_in) } else { None };
    DatagramSample {
        sock: raw.sock,
        since_ns: raw.since_ns,
        local: address(raw.local),
        peer: if raw.peer.port == 0 { None } else { Some(address(raw.peer)) },
        pid: raw.tgid,
        comm: comm(&raw.comm),
        closed: false,
        arrived: flow(seen.reads, raw.noted, arrived_bytes),
        read: flow(seen.reads, raw.read, Some(raw.read_bytes)),
        written: flow(seen.writes, raw.written, Some(raw.written_bytes)),
        waiting: raw.waiting,
        queued_bytes: raw.queued.into(),
        peak_bytes: peak.into(),
        buffer_bytes: raw.buffer.into(),
        drops: raw.drops.into(),
        drops_before: raw.drops_base.into(),
        waits: Vec::new(),
        at_least: raw.at_least,
        longest_us: raw.longest_ns / 1_000,
        longest_recent_us: longest_ns / 1_000,
        oldest_ns: if raw.waiting == 0 { None } else { oldest_ns(raw) },
        reader: if raw.reader == 0 { None } else { Some(thread(raw.reader)) },
        read_ns: known(raw.read_ns),
    }
}

fn flow(seen: bool, datagrams: u64, bytes: Option<u64>) -> Option<DatagramFlow> {
    if seen { Some(DatagramFlow { datagrams, bytes }) } else { None }
}

/// Process and thread.
fn thread(raw: u64) -> (u32, u32) {
    ((raw >> 32) as u32, raw as u32)
}

/// The time at which the datagram that is to be read next arrived, at the latest: the first mark
/// that is not of datagrams before it.
fn oldest_ns(raw: &abi::Datagram) -> Option<u64> {
    const NUMBERS: u64 = (1 << abi::MARK_NUMBER_BITS) - 1;
    let next = raw.read.wrapping_add(raw.vanished).wrapping_add(1);
    let in_use = raw.tail.wrapping_sub(raw.head).min(abi::MARKS);
    for at in 0..in_use {
        let mark = raw.marks[(raw.head.wrapping_add(at) % abi::MARKS) as usize];
        let is_before = (mark & NUMBERS).wrapping_sub(next) & NUMBERS > NUMBERS / 2;
        if !is_before {
            return Some(mark >> abi::MARK_TIME_SHIFT << abi::MARK_UNIT_SHIFT);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(us: u64, number: u64) -> u64 {
        ((us * 1_000) >> abi::MARK_UNIT_SHIFT) << abi::MARK_TIME_SHIFT | number
    }

    #[test]
    fn the_oldest_is_the_one_to_be_read_next() {
        let mut raw = abi::Datagram { read: 4, tail: 258, head: 255, ..abi::Datagram::BLANK };
        raw.marks[255] = mark(1_000_000, 4);
        raw.marks[0] = mark(2_000_000, 5);
        raw.marks[1] = mark(3_000_000, 6);
        let off_ns = oldest_ns(&raw).map(|ns| ns.abs_diff(2_000_000_000));
        assert!(off_ns.is_some_and(|off_ns| off_ns < 2_000), "{off_ns:?}");
        raw.read = 6;
        assert_eq!(oldest_ns(&raw), None);
    }
}
