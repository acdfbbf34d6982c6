//! Bytes of the ring, of the iterators and of maps, turned into the sensor's events.

use backscope_abi as abi;

use super::attach::Chosen;
use super::decode::{Capabilities, DecodeContext, Decoded, FirstBytes, Newest, decode};
use super::sample::{Connections, Sampler};
use crate::model::event::{ConnectionPart, Event, Sample};

/// Time of the samples, ns.
const NOW: u64 = 1_000_000_000_000;
/// Longer than any record.
const RECORD: usize = 2_048;
const CAPABILITIES: Capabilities = Capabilities { tick_ns: 4_000_000, sees_delayed_acks: true };

/// Finds the workload of a process by its cgroups, and reads a file as each runtime would.
pub(crate) fn workload(cgroup: &[u8], file: &[u8]) {
    super::workload::fuzzed(cgroup, file);
}

/// Decodes records of the ring. Each is a byte that is its kind, with a high bit if it is cut off,
/// one that is its length, and its bytes; zeroes follow them.
pub(crate) fn ring(bytes: &[u8], mut take: impl FnMut(&Event)) {
    let context = DecodeContext::new(&Chosen::default(), CAPABILITIES);
    let (mut newest, mut first) = (Newest::new(), FirstBytes::new(true));
    for (kind, bytes) in parts(bytes) {
        let record = padded(kind, bytes);
        match decode(&record, context, &mut newest) {
            Some(Decoded::Event) => {
                if let Event::Closed(closed) = newest.event() {
                    first.forget(closed.sock);
                }
                take(newest.event());
            }
            Some(Decoded::FirstBytes) => {
                first.take_bytes(&record, bytes).iter().for_each(&mut take)
            }
            Some(Decoded::Adopt(_)) | None => {}
        }
    }
}

/// Recognises first bytes. Each record is a byte of flags, one that is its length, and its bytes,
/// on one of four sockets (`parts`).
pub(crate) fn first_bytes(bytes: &[u8], mut take: impl FnMut(&Event)) {
    let mut first = FirstBytes::new(true);
    let mut at = [0_u32; 8];
    for (flags, bytes) in parts(bytes) {
        let (sock, outbound) = (usize::from(flags & 3), flags & 4 != 0);
        let at = &mut at[2 * sock + usize::from(outbound)];
        let is_datagram = flags & 8 != 0;
        if flags & 16 != 0 {
            *at = at.wrapping_mul(3).wrapping_add(7);
        }
        let head = abi::PayloadPrefix {
            kind: if is_datagram { abi::DATAGRAM_PREFIX } else { abi::PAYLOAD_PREFIX },
            length: bytes.len() as u32,
            sock: sock as u64,
            ts_ns: NOW,
            at: if is_datagram { 1_200 } else { *at },
            outbound: outbound.into(),
            last: flags >> 5 & 1,
            preexisting: flags >> 6 & 1,
            role: if flags & 2 != 0 { abi::role::CLIENT } else { abi::role::SERVER },
            fast_open: flags >> 7,
            _pad: [0; 3],
            place: 0,
        };
        let record = record_of(&head, is_datagram);
        *at = at.wrapping_add(bytes.len() as u32);
        first.take_bytes(&record, bytes).iter().for_each(&mut take);
        if flags == u8::MAX {
            first.forget(sock as u64);
        }
    }
}

/// Returns a record of first bytes, field by field as `repr(C)` lays them out.
fn record_of(head: &abi::PayloadPrefix, is_datagram: bool) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD);
    record.extend(head.kind.to_ne_bytes());
    record.extend(head.length.to_ne_bytes());
    record.extend(head.sock.to_ne_bytes());
    record.extend(head.ts_ns.to_ne_bytes());
    record.extend(head.at.to_ne_bytes());
    record.extend([head.outbound, head.last, head.preexisting, head.role, head.fast_open]);
    record.resize(size_of::<abi::PayloadPrefix>(), 0);
    if is_datagram {
        record.resize(size_of::<abi::DatagramPrefix>(), 1);
    }
    record
}

/// Decodes entries of the iterators, and values of the map of listeners. Each is a byte that is its
/// tag, or 0 for a listener, one that is its length, and its bytes; zeroes follow them.
pub(crate) fn scan(bytes: &[u8], mut take: impl FnMut(&Event)) {
    let chosen = Chosen::default();
    let mut sampler = Sampler::new(&chosen, true);
    let mut connections = Connections::new(CAPABILITIES);
    let mut sample = Sample { ts_ns: NOW, ..Sample::default() };
    let mut output = Vec::new();
    for (at, (tag, bytes)) in parts(bytes).enumerate() {
        let entry = padded(tag, bytes);
        if tag & 0x7f == 0 {
            sample.listeners.extend(sampler.fuzzed_listener(at as u64, &entry[4..]));
            continue;
        }
        output.extend(&entry[..size_of_entry(tag).min(entry.len())]);
    }
    sampler.fuzzed_scan(&output, &mut sample);
    take(&Event::Sample(sample));
    let scanned = connections.fuzzed(&output, NOW);
    scanned.found.iter().for_each(&mut take);
    take(&Event::Connections(ConnectionPart { ts_ns: NOW, connections: scanned.connections }));
    take(&Event::Sample(Sample { ts_ns: NOW + 1_000_000_000, ..Sample::default() }));
}

fn size_of_entry(tag: u8) -> usize {
    match u32::from(tag & 0x7f) {
        abi::SCAN_LISTENER => size_of::<abi::ScanEntry>(),
        abi::SCAN_CONNECTION => size_of::<abi::ScanConnection>() + size_of::<abi::Exchange>(),
        abi::SCAN_DATAGRAM => size_of::<abi::ScanDatagram>(),
        abi::SCAN_UNIX => size_of::<abi::ScanUnix>(),
        abi::SCAN_OTHER => size_of::<abi::ScanOther>(),
        abi::EXCHANGE => size_of::<abi::Exchange>(),
        _ => RECORD,
    }
}

/// A kind as its number, and bytes behind it: as long as a record may be, unless it is cut off.
fn padded(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut record = u32::from(kind & 0x7f).to_ne_bytes().to_vec();
    record.extend(bytes);
    if kind & 0x80 == 0 {
        record.resize(RECORD, 0);
    }
    record
}

/// Cuts bytes into parts: each begins with a byte of its kind and one that is its length in words
/// of two bytes.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let ([kind, length], rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at((2 * usize::from(*length)).min(rest.len()));
        bytes = rest;
        Some((*kind, part))
    })
}
