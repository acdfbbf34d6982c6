//! UDP sockets: from the probes' map and the iterator's output to the model's facts.

use std::collections::{BTreeMap, HashMap};

use backscope_abi as abi;

use super::{choose::Chosen, connections::Held, maps::Maps, stream, targets};
use crate::model::event::{DatagramFlow, DatagramSample, SockId};

/// Turns the map's totals into samples.
#[derive(Default)]
pub(super) struct Datagrams {
    sees_reads: bool,
    sees_writes: bool,
    sees_sizes: bool,
    /// The waits told of already, by key. No larger than the map.
    told: HashMap<u64, Box<[u32; abi::LATENCY_BUCKETS]>>,
}

impl Datagrams {
    pub(super) fn new(chosen: &Chosen) -> Self {
        Self {
            sees_reads: chosen.has("read"),
            sees_writes: chosen.has("write"),
            sees_sizes: chosen.has("datagram_size"),
            told: HashMap::new(),
        }
    }

    /// The state of every socket. One that nobody holds any more is told of for the last time, and
    /// its place is free.
    ///
    /// `ended` is the refresh period that is over.
    pub(super) fn sample(
        &mut self,
        maps: &mut Maps,
        held: &Held,
        ended: u32,
    ) -> Vec<DatagramSample> {
        let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for entry in &held.sockets {
            holders.entry(entry.key).or_default().push(entry.tgid);
        }
        let mut samples = Vec::new();
        for (key, raw) in maps.datagrams() {
            let held_by = holders.get(&key);
            let closed =
                held_by.is_none() && held.since_ns.is_some_and(|since_ns| raw.since_ns < since_ns);
            samples.push(self.one(key, &raw, held_by.map_or(&[], Vec::as_slice), closed, ended));
            if closed {
                maps.forget_datagram(key);
                self.told.remove(&key);
            }
        }
        samples.sort_by_key(|socket| (socket.since_ns, socket.sock));
        samples
    }

    fn one(
        &mut self,
        key: u64,
        raw: &abi::Datagram,
        held_by: &[u32],
        closed: bool,
        ended: u32,
    ) -> DatagramSample {
        let slot = (ended & 1) as usize;
        let in_period = raw.period[slot] == ended.wrapping_add(1);
        let known = |ns: u64| (ns != 0).then_some(ns);
        let flow = |seen: bool, datagrams, bytes: Option<u64>| {
            seen.then_some(DatagramFlow { datagrams, bytes })
        };
        let (pid, comm) = match held_by.first() {
            // Who used it first may have handed it on.
            Some(&holder) if !held_by.contains(&raw.tgid) => {
                (holder, targets::comm_of(holder).unwrap_or_default())
            }
            _ => (raw.tgid, stream::comm(&raw.comm)),
        };
        DatagramSample {
            sock: raw.sock,
            since_ns: raw.since_ns,
            local: stream::address(raw.local),
            peer: (raw.peer.port != 0).then(|| stream::address(raw.peer)),
            pid,
            comm,
            closed,
            arrived: flow(self.sees_reads, raw.noted, self.sees_sizes.then_some(raw.bytes_in)),
            read: flow(self.sees_reads, raw.read, Some(raw.read_bytes)),
            written: flow(self.sees_writes, raw.written, Some(raw.written_bytes)),
            waiting: raw.waiting,
            queued_bytes: raw.queued.into(),
            peak_bytes: if in_period { raw.peak[slot].max(raw.queued) } else { raw.queued }.into(),
            buffer_bytes: raw.buffer.into(),
            drops: raw.drops.into(),
            drops_before: raw.drops_base.into(),
            waits: self.new_waits(key, &raw.latencies),
            at_least: raw.at_least,
            longest_us: raw.longest_ns / 1_000,
            longest_lately_us: if in_period { raw.longest_in_ns[slot] / 1_000 } else { 0 },
            oldest_ns: (raw.waiting > 0).then(|| oldest_ns(raw)).flatten(),
            reader: (raw.reader != 0).then_some(((raw.reader >> 32) as u32, raw.reader as u32)),
            read_ns: known(raw.read_ns),
        }
    }

    /// The waits that were counted since the last time, as (µs, how many).
    fn new_waits(&mut self, key: SockId, waits: &[u32; abi::LATENCY_BUCKETS]) -> Vec<(u64, u32)> {
        let told = self.told.entry(key).or_insert_with(|| Box::new([0; abi::LATENCY_BUCKETS]));
        let new = waits
            .iter()
            .zip(told.iter())
            .enumerate()
            .map(|(at, (now, before))| (abi::bucket_middle_us(at), now.wrapping_sub(*before)));
        let new = new.filter(|(_, count)| *count > 0).collect();
        **told = *waits;
        new
    }
}

/// When the datagram that is to be read next arrived, at the latest: the first mark that is not of
/// datagrams before it.
fn oldest_ns(raw: &abi::Datagram) -> Option<u64> {
    const NUMBERS: u64 = (1 << abi::MARK_NUMBER_BITS) - 1;
    let next = raw.read + raw.vanished + 1;
    let in_use = raw.tail.wrapping_sub(raw.head).min(abi::MARKS);
    let marks = (0..in_use).map(|at| raw.marks[(raw.head.wrapping_add(at) % abi::MARKS) as usize]);
    let is_before = |mark: u64| (mark & NUMBERS).wrapping_sub(next) & NUMBERS > NUMBERS / 2;
    marks
        .skip_while(|&mark| is_before(mark))
        .map(|mark| mark >> abi::MARK_TIME_SHIFT << abi::MARK_UNIT_SHIFT)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(us: u64, number: u64) -> u64 {
        ((us * 1_000) >> abi::MARK_UNIT_SHIFT) << abi::MARK_TIME_SHIFT | number
    }

    #[test]
    fn only_new_waits_are_told() {
        let mut datagrams = Datagrams::default();
        let mut waits = [0; abi::LATENCY_BUCKETS];
        waits[3] = 2;
        assert_eq!(datagrams.new_waits(1, &waits), [(3, 2)]);
        assert_eq!(datagrams.new_waits(1, &waits), []);
        waits[abi::latency_bucket(50_000)] = 1;
        assert_eq!(
            datagrams.new_waits(1, &waits),
            [(abi::bucket_middle_us(abi::latency_bucket(50_000)), 1)]
        );
        assert_eq!(datagrams.new_waits(2, &waits).len(), 2, "another socket");
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
